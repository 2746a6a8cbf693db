"""Backup and restore on SQLite: a copy by `VACUUM INTO`, and a restored file that takes the old one's place."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from stepper.models import User
from stepper.server.single_process import AlreadyRunning, claim_data_directory

from .contents import LEFT_OUT, MIGRATIONS_TABLE, Contents
from .database import Database
from .errors import BackupError
from .folders import flush, locked

# Seconds to wait for a writer that has the database locked.
_BUSY_S = 30
# Files of SQLite beside the database's.
_BESIDE = ("-wal", "-shm", "-journal")


class SqliteDatabase(Database):
    kind = "sqlite"

    def __init__(self) -> None:
        self.path = Path(connection.settings_dict["NAME"]).absolute()
        self.source = str(self.path)

    def dump(self, file: Path) -> Contents:
        """Copy the database as it is at one instant; writers go on meanwhile. LEFT_OUT is overwritten in the copy."""
        try:
            with _open(self.path, "rw") as live:
                live.execute("VACUUM INTO ?", [str(file)])
            with _open(file, "rw") as copy:
                # A copy that fails is thrown away: it needs no journal.
                copy.execute("PRAGMA journal_mode=OFF")
                copy.execute("PRAGMA secure_delete=ON")
                for table in set(LEFT_OUT) & set(_tables(copy)):
                    copy.execute(f"DELETE FROM {table}")  # noqa: S608 - our own tables
        except sqlite3.Error as error:
            raise BackupError("backup.failed", f"{self.path} could not be copied: {error}.") from error
        contents = self._read_checked(file)
        if not contents.migrations:
            raise BackupError("backup.failed", f"{self.path} is not a database of StepperGO: no migration is in it.")
        return contents

    def check(self, file: Path, contents: Contents) -> None:
        found = self._read_checked(file)
        if (sorted(found.migrations), found.rows) != (sorted(contents.migrations), contents.rows):
            raise BackupError("backup.damaged", f"{file} does not hold the rows that its manifest lists.")

    @contextlib.contextmanager
    def reserved(self) -> Iterator[None]:
        running = BackupError("restore.in_use", "Another restore is running.")
        with contextlib.ExitStack() as stack:
            try:
                server = claim_data_directory()
            except AlreadyRunning as error:
                message = f"A server runs on {settings.DATA_DIR}: stop it before a restore."
                raise BackupError("restore.in_use", message) from error
            if server is not None:
                stack.enter_context(server)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(self.path.with_name(f"{self.path.name}.restore.lock"), running))
            yield

    def is_empty(self) -> bool:
        if not self.path.exists() or not self.path.stat().st_size:
            return True
        try:
            with _open(self.path, "rw") as present:
                tables = _tables(present)
                accounts = User._meta.db_table
                return not tables or (accounts in tables and _count(present, accounts) == 0)
        except sqlite3.Error:
            return False  # damaged, which is why somebody restores: it is kept

    @contextlib.contextmanager
    def stage(self, file: Path, contents: Contents) -> Iterator[str]:
        # In the folder of the database, so that it can be renamed.
        staged = self.path.with_name(f"{self.path.name}.restoring")
        _remove(staged)
        try:
            try:
                shutil.copyfile(file, staged)
            except OSError as error:
                raise BackupError("restore.failed", f"{staged} could not be written: {error.strerror}.") from error
            self.check(staged, contents)
            yield str(staged)
        finally:
            _remove(staged)

    def swap(self, staged: str, *, keep: bool) -> str | None:
        """Fold the write-ahead logs into their files, keep the old file under another name, rename the new one."""
        path = Path(staged)
        _close_log(path)
        flush(path)
        kept = None
        if self.path.exists():
            try:
                _close_log(self.path)
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    message = (
                        f"{self.path} is open in another process: stop servers, dispatchers, db_worker and shells."
                    )
                    raise BackupError("restore.in_use", message) from error
            except sqlite3.DatabaseError:
                pass  # damaged: it is kept as it is, with its log
            if keep:
                kept = self.path.with_name(f"{self.path.name}.before-{timezone.now():%Y%m%dT%H%M%SZ}")
                os.link(self.path, kept)
            # SQLite would apply a log that is left to the new file.
            for suffix in _BESIDE:
                log = Path(f"{self.path}{suffix}")
                if log.exists() and kept is not None:
                    log.rename(f"{kept}{suffix}")
                else:
                    log.unlink(missing_ok=True)
        path.replace(self.path)
        flush(self.path.parent)
        return str(kept) if kept is not None else None

    def _read_checked(self, file: Path) -> Contents:
        """Read a copy after SQLite has checked all its pages, indexes and references."""
        try:
            with _open(file, "ro") as copy:
                problems = [row[0] for row in copy.execute("PRAGMA integrity_check(5)") if row[0] != "ok"]
                problems += [f"a broken reference in {row[0]}" for row in copy.execute("PRAGMA foreign_key_check")]
                if problems:
                    raise BackupError("backup.damaged", f"{file}: {'; '.join(problems[:5])}")
                tables = _tables(copy)
                names = f"SELECT app || '.' || name FROM {MIGRATIONS_TABLE}"  # noqa: S608 - a constant
                applied = [row[0] for row in copy.execute(names)] if MIGRATIONS_TABLE in tables else []
                return Contents(
                    database_version=sqlite3.sqlite_version,
                    migrations=sorted(applied),
                    rows={table: _count(copy, table) for table in tables if table not in LEFT_OUT},
                )
        except sqlite3.Error as error:
            raise BackupError("backup.damaged", f"{file} cannot be read as a database: {error}.") from error


@contextlib.contextmanager
def _open(path: Path, mode: str) -> Iterator[Any]:
    """Open a database that exists, without Django's connection: another file, and no write lock."""
    with contextlib.closing(
        sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=_BUSY_S, isolation_level=None)
    ) as opened:
        yield opened


def _tables(opened: Any) -> list[str]:
    rows = opened.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return sorted(row[0] for row in rows)


def _count(opened: Any, table: str) -> int:
    return int(opened.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608 - names from the database


def _close_log(path: Path) -> None:
    """Write the write-ahead log into the file and remove it, which works only while nobody else has it open."""
    with contextlib.closing(sqlite3.connect(path, timeout=1)) as opened:
        opened.execute("PRAGMA journal_mode=DELETE")


def _remove(path: Path) -> None:
    for suffix in ("", *_BESIDE):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
