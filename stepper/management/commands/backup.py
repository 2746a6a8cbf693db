"""`manage.py backup`: a checked copy of the database, while the service runs."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from stepper.backups.errors import BackupError
from stepper.backups.running import make_backup

KEEP = 14


def none_or_more(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ArgumentTypeError("must be 0 or more")
    return number


class Command(BaseCommand):
    help = "Backs the database up while the service runs, checks the copy, and deletes the oldest backups."
    # A database behind or ahead of this release can be backed up too.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", type=Path, help="folder of the backups (DATA_DIR/backups)")
        parser.add_argument(
            "--keep", type=none_or_more, default=KEEP, help=f"backups of this database to keep there, 0: all ({KEEP})"
        )

    def handle(self, *, to: Path | None, keep: int, verbosity: int, **options: Any) -> None:
        try:
            made = make_backup((to or settings.DATA_DIR / "backups").absolute(), keep)
        except BackupError as error:
            raise CommandError(str(error), returncode=error.exit_status) from error
        if verbosity:
            rows = sum(made.manifest.rows.values())
            self.stdout.write(
                f"{made.folder}: {made.manifest.size / 1e6:.1f} MB, {rows} rows, {made.seconds:.1f} s"
                + (f"; deleted {len(made.deleted)} older" if made.deleted else "")
            )
