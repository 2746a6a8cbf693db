"""The app of drivers, their working time and positions."""

from django.apps import AppConfig


class DriversConfig(AppConfig):
    name = "drivers"

    def ready(self) -> None:
        from drivers import deactivation  # noqa: PLC0415 - models exist only now

        deactivation.connect()
