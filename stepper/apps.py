from django.apps import AppConfig


class StepperConfig(AppConfig):
    name = "stepper"
    verbose_name = "StepperGO"

    def ready(self) -> None:
        from . import converters, rights

        converters.register()
        rights.connect()
