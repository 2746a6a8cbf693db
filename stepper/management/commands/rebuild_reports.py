"""`manage.py rebuild_reports`: counts all days of the reports again from the trips."""

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand

from stepper.management.starting import require
from trips.reports.keeping import rebuild


class Command(BaseCommand):
    help = (
        "Counts all days of the reports again from the trips, while servers run or not. What pruning has deleted the "
        "sources of (drivers' hours, why nobody took a trip) stays as it was counted."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        require(services=True, migrations=True)
        rebuild(self._say)
        self.stdout.write("All days are counted.")

    def _say(self, day: dt.date) -> None:
        self.stdout.write(f"Counted before {day}")
