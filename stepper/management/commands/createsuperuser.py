"""Django's command, but for a password that the rules refuse: it is asked for again and cannot be forced.

Django offers to create the account anyway. Nothing here lets a bad password pass, so the answer "y" ended the command,
and `make serve` with it.
"""

import getpass
import sys
from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.password_validation import password_validators_help_texts, validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import Field
from django.utils.text import capfirst

from stepper.models import User

TRIES = 5


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        if not options["interactive"] or not self.stdin.isatty():
            super().handle(*args, **options)
            return
        try:
            email = self._ask(User._meta.get_field("email"), options["email"])
            name = self._ask(User._meta.get_field("name"), options["name"])
            password = self._ask_password(User(email=email, name=name))
        except (KeyboardInterrupt, EOFError):
            self.stderr.write("\nOperation cancelled.")
            sys.exit(1)
        User.objects.db_manager(options["database"]).create_superuser(email=email, name=name, password=password)
        if options["verbosity"] >= 1:
            self.stdout.write("Superuser created successfully.")

    def _ask(self, field: Field[Any, Any], given: str | None) -> str:
        """Return the value of a field, given as an option or typed, once it is valid and no other account's."""
        while True:
            try:
                value = field.clean(input(f"{capfirst(field.verbose_name)}: ") if given is None else given, None)
                if not value:
                    raise ValidationError("This is needed.")
                if field.name == "email" and User.objects.filter(email__iexact=value).exists():
                    raise ValidationError("Another account has this address.")
            except ValidationError as refused:
                self.stderr.write("\n".join(refused.messages))
                given = None
                continue
            return str(value)

    def _ask_password(self, user: User) -> str:
        """Say what a password must be and return the one that is typed twice and keeps the rules.

        Raises:
            CommandError: after TRIES passwords that do not
        """
        self.stdout.write("\n".join(f"  {rule}" for rule in password_validators_help_texts()))
        for _try in range(TRIES):
            password = getpass.getpass()
            if password != getpass.getpass("Password (again): "):
                self.stderr.write("The passwords differ. Type them again.")
                continue
            try:
                validate_password(password, user)
            except ValidationError as refused:
                self.stderr.write("\n".join([*refused.messages, "Type another password."]))
                continue
            return password
        raise CommandError("No account was created: none of the passwords could be taken.")
