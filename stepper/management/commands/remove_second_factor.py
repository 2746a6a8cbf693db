"""`manage.py remove_second_factor LOGIN`: for somebody who has lost their phone and recovery codes."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from stepper.accounts import second_factor
from stepper.errors import Conflict
from stepper.models import User
from stepper.phones import normal_phone


class Command(BaseCommand):
    help = (
        "Takes away the two-step sign-in of an account whose phone and recovery codes are lost: the password alone "
        "opens it then. Its sessions end."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("login", help="e-mail address or phone number of the account")

    def handle(self, *, login: str, verbosity: int, **options: Any) -> None:
        user = User.by_email(login) if "@" in login else User.objects.filter(phone=normal_phone(login)).first()
        if user is None:
            raise CommandError(f"There is no account {login}.")
        try:
            second_factor.remove(user.pk)
        except Conflict as error:
            raise CommandError(f"{login}: {error.message}") from error
        if verbosity:
            self.stdout.write(f"{login} signs in with the password alone now, and is signed out everywhere.")
