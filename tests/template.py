"""The database of a test worker: the first of a run migrates its own, the others copy it."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import sql

from tests import servers


class Template:
    """The copy from which workers begin; `run_dir` is the folder that all workers of one run share."""

    def __init__(self, run_dir: Path) -> None:
        self._lock = run_dir / "template.lock"
        self._file = run_dir / "template.sqlite3"
        # Its presence says that the template is whole, on both databases.
        self._made = run_dir / "template.made"
        self._name = f"stepper_template_{run_dir.name.rpartition('-')[2]}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with open(self._lock, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def copy_to(self, database: str) -> bool:
        """Make the database of this name; return whether there was a template."""
        if not self._made.exists():
            return False
        if settings.DATABASE_URL:
            self._execute("CREATE DATABASE {} TEMPLATE {}", database, self._name)
            self._hurry(database)
        else:
            # By SQLite: a plain copy of a file could miss what is in its log.
            with contextlib.closing(sqlite3.connect(self._file)) as source:
                source.execute("VACUUM INTO ?", [database])
        return True

    def publish(self, database: str) -> None:
        """Make the template of a database that was just migrated."""
        if settings.DATABASE_URL:
            # Nobody may be connected to what is copied.
            postgresql: Any = connection
            postgresql.close()
            postgresql.close_pool()
            self._execute("CREATE DATABASE {} TEMPLATE {}", self._name, database)
            self._hurry(database)
        else:
            with connection.cursor() as cursor:
                cursor.execute("VACUUM INTO %s", [str(self._file)])
        self._made.touch()

    def _hurry(self, database: str) -> None:
        """Let commits not wait for the disk: no test of these databases kills their PostgreSQL (tests.servers does)."""
        self._execute("ALTER DATABASE {} SET synchronous_commit TO off", database)

    def drop(self) -> None:
        if settings.DATABASE_URL and self._made.exists():
            self._execute("DROP DATABASE {}", self._name)

    def _execute(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(f"{os.environ[servers.POSTGRESQL]}/postgres", autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
