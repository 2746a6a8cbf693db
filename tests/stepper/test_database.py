"""The file of the embedded database."""

import stat
from pathlib import Path

from django.db.utils import ConnectionHandler
from pytest_django import DjangoDbBlocker


def test_database_is_its_owners_only(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> None:
    """Password hashes, phone numbers and where people went are in it; and in the files that SQLite puts beside it."""
    made = {"ENGINE": "stepper.db.sqlite", "NAME": str(tmp_path / "made.sqlite3")}
    connection = ConnectionHandler({"default": made})["default"]
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode=wal")
        cursor.execute("CREATE TABLE one (id integer)")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        connection.close()

    assert modes == {f"made.sqlite3{end}": 0o600 for end in ("", "-wal", "-shm")}
