"""Making a backup and restoring one, step by step, on either database."""

import datetime as dt
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.utils import timezone

from trips.models import Trip
from trips.states import ASSIGNED

from . import folders
from .contents import LEFT_OUT, Contents, Manifest, unknown_migrations
from .database import Database, connected_to
from .errors import BackupError
from .postgresql import PostgresqlDatabase
from .renewal import renew
from .sqlite import SqliteDatabase


class Made(NamedTuple):
    """A backup that was made; `deleted` are the names of those that rotation removed after it."""

    folder: Path
    manifest: Manifest
    seconds: float
    deleted: list[str]


class Restored(NamedTuple):
    """A restore; `kept` is the name of the database it replaced, `on_the_road` how many trips have a driver."""

    manifest: Manifest
    kept: str | None
    on_the_road: int


def this_database() -> Database:
    return PostgresqlDatabase() if connection.vendor == "postgresql" else SqliteDatabase()


def make_backup(folder: Path, keep: int) -> Made:
    """Make a backup in `folder`, check it, and delete all but the newest `keep` of this database (0: none).

    Raises:
        BackupError: nothing is left of the backup, and no other was deleted.
    """
    database, started = this_database(), time.monotonic()
    made_at = timezone.now().astimezone(dt.UTC)
    with folders.owner_only(), _written_to(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        busy = BackupError("backup.already_running", f"Another backup into {folder} is running.")
        with folders.locked(folder / ".lock", busy):
            unfinished = folders.begin(folder, made_at)
            try:
                file = unfinished / folders.FILES[database.kind]
                contents = database.dump(file)
                manifest = Manifest(
                    **msgspec.structs.asdict(contents),
                    made_at=made_at,
                    database=database.kind,
                    source=database.source,
                    size=file.stat().st_size,
                    sha256=folders.sha256(file),
                    left_out=list(LEFT_OUT),
                )
                finished = folders.complete(unfinished, manifest)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            deleted = folders.rotate(folder, database.source, keep)
    return Made(finished, manifest, time.monotonic() - started, deleted)


@contextmanager
def _written_to(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupError("backup.failed", f"{error.filename or folder}: {error.strerror}.") from error


def restore(source: Path, *, replace: bool, report: Callable[[str], None]) -> Restored:
    """Put the backup in the folder `source` in place of the database.

    1. Check manifest, release and SHA-256, then that nobody uses the database, and that it is empty or may be replaced.
    2. Load the backup beside it, compare the rows, migrate it and begin a new generation.
    3. Exchange the two in one step; the old one is kept under another name.

    Raises:
        BackupError: the database is as it was.
    """
    database = this_database()
    manifest = folders.read_manifest(source)
    if manifest.database != database.kind:
        raise BackupError(
            "backup.other_database",
            f"{source} is of {manifest.database}, and this installation uses {database.kind}: see DATABASE_URL.",
        )
    unknown = unknown_migrations(manifest)
    if unknown:
        raise BackupError(
            "backup.newer_release",
            f"{source} was made by a newer release, with {', '.join(unknown[:3])}: install that one first.",
        )
    file = source / folders.FILES[manifest.database]
    folders.require_digest(manifest, file)
    with folders.owner_only(), database.reserved():
        is_empty = database.is_empty()
        if not (is_empty or replace):
            raise BackupError(
                "restore.not_empty", "The present database is not empty. --replace keeps it under another name."
            )
        with database.stage(file, _contents(manifest)) as staged:
            report("The backup is complete and loaded; migrating it.")
            with connected_to(staged):
                _migrate_and_renew(manifest.made_at)
                on_the_road = Trip.objects.filter(status__in=ASSIGNED).count()
            kept = database.swap(staged, keep=not is_empty)
    return Restored(manifest, kept, on_the_road)


def renew_present() -> None:
    """Migrate and renew a database that was restored by other means.

    Raises:
        BackupError: restore.in_use, somebody is connected to it; restore.failed.
    """
    with this_database().reserved():
        _migrate_and_renew(None)


def _migrate_and_renew(made_at: dt.datetime | None) -> None:
    try:
        call_command("migrate", interactive=False, verbosity=0)
        renew(made_at)
    except DatabaseError as error:
        raise BackupError("restore.failed", f"It could not be migrated: {error}") from error


def _contents(manifest: Manifest) -> Contents:
    return Contents(database_version=manifest.database_version, migrations=manifest.migrations, rows=manifest.rows)
