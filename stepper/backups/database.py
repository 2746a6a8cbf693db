"""What backup and restore need of a kind of database; sqlite.py and postgresql.py do it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from django.db import connection

from .contents import Contents, Kind


class Database(ABC):
    """The database of this installation."""

    kind: Kind
    # For rotation and for people; no password is in it.
    source: str

    @abstractmethod
    def dump(self, file: Path) -> Contents:
        """Write a consistent copy into `file` while the service runs, check it, and return what it holds.

        Raises:
            BackupError: backup.failed, backup.tool_missing.
        """

    @abstractmethod
    def check(self, file: Path, contents: Contents) -> None:
        """Read all of a copy and compare it with what it should hold.

        Raises:
            BackupError: backup.damaged, backup.tool_missing.
        """

    @abstractmethod
    def reserved(self) -> AbstractContextManager[None]:
        """Keep servers and other restores away meanwhile.

        Raises:
            BackupError: restore.in_use, somebody is connected.
        """

    @abstractmethod
    def is_empty(self) -> bool:
        """Return whether nothing would be lost: there is no database, no table in it, or no account."""

    @abstractmethod
    def stage(self, file: Path, contents: Contents) -> AbstractContextManager[str]:
        """Load a copy beside the present database, check it and yield its name for Django's `NAME`.

        Unless `swap` follows it is removed at the end.

        Raises:
            BackupError: restore.failed, backup.damaged, backup.tool_missing.
        """

    @abstractmethod
    def swap(self, staged: str, *, keep: bool) -> str | None:
        """Put the staged database in place of the present one in one step; nothing can be left half done.

        Returns the name under which the present one is kept; None: there was none, or nothing in it (`keep` False).

        Raises:
            BackupError: restore.in_use, restore.failed.
        """


@contextmanager
def connected_to(name: str) -> Iterator[None]:
    """Have Django's connection lead to another database of the same kind and server."""
    before = connection.settings_dict["NAME"]
    _leave()
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        _leave()
        connection.settings_dict["NAME"] = before


def _leave() -> None:
    connection.close()
    if connection.vendor == "postgresql":
        # Its connections lead to the database of before.
        connection.close_pool()  # type: ignore[attr-defined]
