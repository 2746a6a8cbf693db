"""What a release needs before its servers start: the database migrated, static files, roles, somebody to sign in.

Demo accounts, whose password anybody can read, are locked where they are found outside of the demo. The first time that
it makes the roles, in real use, it has staff need two-step sign-in, unless there are staff already: an upgrade takes no
rights from people at work or from their programs, but says that it can be switched on.

`make serve` runs it each time; where nothing changed it takes a second. With several server processes it runs
once, before them.
"""

import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from stepper import roles
from stepper.audit import context
from stepper.db.locks import run_with_retries
from stepper.management.starting import require
from stepper.models import ServiceSettings, User
from stepper.server.readiness import command_line
from stepper.simulator.people import DEMO_DOMAIN


class Command(BaseCommand):
    help = "Migrates the database, collects static files and asks for the first staff account where there is none."

    def handle(self, *args: Any, verbosity: int, **options: Any) -> None:
        require(services=True)
        run_with_retries(lambda: call_command("migrate", interactive=False, verbosity=0), self._say)
        call_command("collectstatic", interactive=False, verbosity=0)
        with context.by_system("command prepare"):
            is_first = bool(roles.make_groups())
        if not settings.DEBUG:
            was_demo = self._lock_demo()
            if is_first or was_demo:
                self._demand_second_factor()
        if not ServiceSettings.current().support:
            self.stderr.write(
                "No contact of your staff is set: pages have nobody to send people to. Enter a phone, WhatsApp or "
                "Telegram in the administration, under Settings."
            )
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

    def _demand_second_factor(self) -> None:
        """Demand it of all staff of a new installation; say where there are staff that it can be demanded."""
        row, _created = ServiceSettings.objects.get_or_create(pk=1)
        if row.staff_second_factor:
            return
        if User.objects.filter(Q(is_staff=True) | Q(is_superuser=True), is_active=True).exists():
            self.stderr.write(
                "Staff need no two-step sign-in here: a password alone opens the administration. A superuser who has "
                "set it up can demand it of all, under Settings; staff are led to setting it up then."
            )
            return
        row.staff_second_factor = True
        row.save(update_fields=["staff_second_factor"])
        self.stdout.write(
            "Staff need two-step sign-in: whoever comes without is led to setting it up, the first account as well. "
            "A superuser can switch that off, under Settings."
        )

    def _lock_demo(self) -> bool:
        """Lock the accounts of the demo, and say whether there were any."""
        locked = User.objects.filter(email__endswith=f"@{DEMO_DOMAIN}", is_active=True).update(is_active=False)
        if locked:
            self.stdout.write(
                f"Locked {locked} demo accounts: their password is public. Their trips and drivers are still in this "
                "database; set DATA_DIR (or DATABASE_URL) to start with an empty one."
            )
        return bool(locked)
