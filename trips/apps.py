"""The configuration of the app, and what follows each migration: SQLite's triggers against overlaps, known places."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class TripsConfig(AppConfig):
    name = "trips"
    verbose_name = _("Trips")

    def ready(self) -> None:
        from trips.overlap import restore_triggers  # noqa: PLC0415 - models exist only now
        from trips.places.curated import write_curated  # noqa: PLC0415

        post_migrate.connect(restore_triggers, sender=self, dispatch_uid="trips.overlap")
        post_migrate.connect(write_curated, sender=self, dispatch_uid="trips.places")
