"""The app of drivers, their working time and positions."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DriversConfig(AppConfig):
    name = "drivers"
    verbose_name = _("Drivers")

    def ready(self) -> None:
        from drivers import deactivation  # noqa: PLC0415 - models exist only now

        deactivation.connect()
