"""The configuration of the app: SQLite's triggers against overlapping trips are restored after each migration."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class TripsConfig(AppConfig):
    name = "trips"
    verbose_name = _("Trips")

    def ready(self) -> None:
        from trips.overlap import restore_triggers  # noqa: PLC0415 - models exist only now

        post_migrate.connect(restore_triggers, sender=self, dispatch_uid="trips.overlap")
