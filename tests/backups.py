"""What the tests of backup and restore share: an installation beside the tests' own, and the commands."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from psycopg import sql

from stepper.backups import client_tools
from stepper.backups.database import connected_to

# Files that are no database.
BESIDE = (".lock", "-wal", "-shm")


def back_up(folder: Path, **options: Any) -> Path:
    """The folder of a new backup of the tests' database."""
    before = set(folder.glob("stepper-*"))
    call_command("backup", to=folder, verbosity=0, **options)
    (made,) = set(folder.glob("stepper-*")) - before
    return made


def refusal(command: str, *arguments: object, **options: Any) -> tuple[str, int]:
    """The code and the exit status that a command ends with."""
    with pytest.raises(CommandError) as raised:
        call_command(command, *map(str, arguments), **options)
    return str(raised.value).partition(":")[0], raised.value.returncode


class Installation:
    """An installation of its own, with nothing in it: `environ` starts a server on it, inside of `entered()` the tests'
    own process is one of its processes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_postgresql = connection.vendor == "postgresql"
        self.name = (
            f"{connection.settings_dict['NAME']}_restored"[:63]
            if self.is_postgresql
            else str(folder / "stepper.sqlite3")
        )

    @property
    def environ(self) -> dict[str, str]:
        if not self.is_postgresql:
            return {"DATA_DIR": str(self.folder)}
        server, _slash, _name = settings.DATABASE_URL.rpartition("/")
        return {"DATABASE_URL": f"{server}/{self.name}", "DATA_DIR": str(self.folder)}

    @contextlib.contextmanager
    def entered(self, database: str | None = None) -> Iterator[None]:
        """With another of its databases: one that a restore replaced."""
        before, settings.DATA_DIR = settings.DATA_DIR, self.folder
        try:
            with connected_to(database or self.name):
                yield
        finally:
            settings.DATA_DIR = before

    def databases(self) -> list[str]:
        """What databases are there, also replaced and unfinished ones."""
        if not self.is_postgresql:
            return [str(path) for path in self.folder.glob("stepper.sqlite3*") if not path.name.endswith(BESIDE)]
        with contextlib.closing(client_tools.connect("postgres")) as server:
            names = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [self.name])
            return [row[0] for row in names.fetchall()]

    def remove(self) -> None:
        """PostgreSQL's databases do not go with the test's directory."""
        if self.is_postgresql:
            with contextlib.closing(client_tools.connect("postgres")) as server:
                for name in self.databases():
                    server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    folder = tmp_path / "installation"
    folder.mkdir()
    made = Installation(folder)
    yield made
    made.remove()
