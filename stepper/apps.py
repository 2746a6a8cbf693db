"""What is connected when Django has loaded the models."""

from django.apps import AppConfig


class StepperConfig(AppConfig):
    name = "stepper"
    verbose_name = "StepperGO"

    def ready(self) -> None:
        from realtime import permissions  # noqa: PLC0415 - models exist only now
        from stepper.accounts import addresses  # noqa: PLC0415 - models exist only now
        from stepper.web import converters  # noqa: PLC0415 - models exist only now

        addresses.connect()
        converters.register()
        permissions.connect()
