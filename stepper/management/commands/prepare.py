"""What a release needs before its servers start: the database migrated, static files collected, somebody to sign in.

Demo accounts, whose password anybody can read, are locked where they are found outside of the demo.

`make serve` runs it each time; where nothing changed it takes a second. With several server processes it runs
once, before them.
"""

import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from stepper.db.locks import run_with_retries
from stepper.management.starting import require
from stepper.models import User
from stepper.server.readiness import command_line
from stepper.simulator.people import DEMO_DOMAIN


class Command(BaseCommand):
    help = "Migrates the database, collects static files and asks for the first staff account where there is none."

    def handle(self, *args: Any, verbosity: int, **options: Any) -> None:
        require(services=True)
        run_with_retries(lambda: call_command("migrate", interactive=False, verbosity=0), self._say)
        call_command("collectstatic", interactive=False, verbosity=0)
        if not settings.DEBUG:
            self._lock_demo()
        if User.objects.filter(is_superuser=True, is_active=True).exists():
            return
        if sys.stdin.isatty():
            self.stdout.write("Nobody can sign in to the administration yet. The first staff account:")
            try:
                call_command("createsuperuser", verbosity=verbosity)
            except CommandError as refused:
                self.stderr.write(str(refused))
                self._say_how()
        else:
            self._say_how()

    def _say_how(self) -> None:
        """Say how to create the first staff account later: the server starts without it."""
        self.stdout.write(
            "Nobody can sign in to the administration yet. Create the first staff account, while the server runs "
            f"or not: {command_line('createsuperuser')}"
        )

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _lock_demo(self) -> None:
        locked = User.objects.filter(email__endswith=f"@{DEMO_DOMAIN}", is_active=True).update(is_active=False)
        if locked:
            self.stdout.write(
                f"Locked {locked} demo accounts: their password is public. Their trips and drivers are still in this "
                "database; set DATA_DIR (or DATABASE_URL) to start with an empty one."
            )
