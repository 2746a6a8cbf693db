"""What is connected when Django has loaded the models, and what follows each migration: indexes of a search."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from stepper import admin_names


class StepperConfig(AppConfig):
    name = "stepper"
    verbose_name = "StepperGO"

    def ready(self) -> None:
        from realtime import permissions  # noqa: PLC0415 - models exist only now
        from stepper import checks, security_changes  # noqa: F401, PLC0415 - models exist only now
        from stepper.accounts import addresses, language, session_store, sessions  # noqa: PLC0415 - models exist only now
        from stepper.audit import writing as audit  # noqa: PLC0415 - models exist only now
        from stepper.monitoring import sentry  # noqa: PLC0415 - settings exist only now
        from stepper.search_indexes import create_search_indexes  # noqa: PLC0415 - models exist only now
        from stepper.web import converters, cookies  # noqa: PLC0415 - models exist only now

        sentry.start()
        admin_names.name_fields()
        addresses.connect()
        language.connect()
        # Before the list of sessions, which shows what this notes.
        session_store.connect()
        sessions.connect()
        converters.register()
        cookies.connect()
        permissions.connect()
        security_changes.connect()
        audit.connect()
        post_migrate.connect(create_search_indexes, sender=self, dispatch_uid="stepper.search_indexes")
