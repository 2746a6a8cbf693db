"""`manage.py prune_audit`: delete the months of the audit log that are no longer kept. The dispatcher does so, too."""

from typing import Any

from django.core.management.base import BaseCommand

from stepper.audit.retention import drop_old_months


class Command(BaseCommand):
    help = "Deletes the months of the audit log that are older than the settings keep, and writes in it that it did."

    def handle(self, *, verbosity: int, **options: Any) -> None:
        dropped = drop_old_months()
        if verbosity:
            self.stdout.write(f"{dropped} rows of the audit log were too old and are deleted.")
