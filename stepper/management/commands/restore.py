"""`manage.py restore`: the database as a backup holds it, while no server runs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from stepper.backups.errors import BackupError
from stepper.backups.running import renew_present, restore


class Command(BaseCommand):
    help = (
        "Puts a backup in place of the database. Everybody has to sign in again, and programs get the state anew. "
        "Stop servers, dispatchers and db_worker first."
    )
    # Before there is a database.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("backup", type=Path, nargs="?", help="folder of one backup")
        parser.add_argument(
            "--replace", action="store_true", help="also where the database is not empty; it is kept under another name"
        )
        parser.add_argument(
            "--renew",
            action="store_true",
            help="instead of a backup: the database was restored by other means (a snapshot of the disk, point-in-time "
            "recovery), do only what must follow",
        )

    def handle(self, *, backup: Path | None, replace: bool, renew: bool, verbosity: int, **options: Any) -> None:
        if (backup is None) != renew:
            raise CommandError("Give either the folder of a backup or --renew.", returncode=2)
        try:
            if backup is None:
                renew_present()
                self.stdout.write(
                    "Sessions, tokens, cursors and recovery codes given out before are not valid any more. Second "
                    "factors changed and accounts deleted since the copy was made are as they were: do that again."
                )
                return
            self._restore(backup, replace=replace)
        except BackupError as error:
            raise CommandError(str(error), returncode=error.exit_status) from error

    def _restore(self, backup: Path, *, replace: bool) -> None:
        restored = restore(backup.absolute(), replace=replace, report=self.stdout.write)
        made_at = restored.manifest.made_at
        if restored.kept:
            self.stdout.write(f"The database of before is kept as {restored.kept}")
        self.stdout.write(
            "Everybody has to sign in again. Accounts deactivated, passwords, permissions and second factors changed "
            "since then are as they were, and accounts that their owners deleted are back: do that again. "
            "Recovery codes are deleted: people make new ones on their account page."
        )
        if restored.on_the_road:
            self.stdout.write(f"{restored.on_the_road} trips had a driver then: look at what became of them.")
        self.stdout.write(f"Restored the database of {made_at:%Y-%m-%d %H:%M:%S} UTC.")
