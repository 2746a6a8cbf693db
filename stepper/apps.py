from django.apps import AppConfig


class StepperConfig(AppConfig):
    name = "stepper"
    verbose_name = "StepperGO"
