from django.apps import AppConfig


class StepperConfig(AppConfig):
    name = "stepper"
    verbose_name = "StepperGO"

    def ready(self) -> None:
        from . import addresses, converters, rights

        addresses.connect()
        converters.register()
        rights.connect()
