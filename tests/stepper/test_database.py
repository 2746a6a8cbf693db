"""The file of the embedded database, and how long it stays open."""

import stat
from pathlib import Path

import pytest
from django.conf import settings
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


@pytest.mark.embedded_only
def test_a_thread_keeps_its_connection_until_another_file_is_there(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    names = tmp_path / "present.sqlite3", tmp_path / "next.sqlite3"
    handler = ConnectionHandler({"default": settings.DATABASES["default"] | {"NAME": str(names[0])}})
    connection = handler["default"]

    def tables() -> list[str]:
        connection.close_if_unusable_or_obsolete()
        return connection.introspection.table_names()

    with django_db_blocker.unblock():
        connection.settings_dict["NAME"] = str(names[1])
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE later (id integer)")
        connection.settings_dict["NAME"] = str(names[0])
        assert tables() == []
        opened = connection.connection
        assert tables() == []
        assert connection.connection is opened
        # What is written to a file that was replaced would be lost without a word.
        names[1].rename(names[0])
        assert tables() == ["later"]
        connection.close()
