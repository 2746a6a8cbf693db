"""The file of the embedded database, and how long it stays open."""

import contextlib
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.utils import ConnectionHandler
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from realtime.models import ServerBeat
from stepper.db.durability import sync_log


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


@pytest.fixture
def handler(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[ConnectionHandler]:
    """The embedded default's connections, to a file of their own."""
    with django_db_blocker.unblock():
        yield ConnectionHandler({"default": settings.DATABASES["default"] | {"NAME": str(tmp_path / "one.sqlite3")}})


def tables(connection: Any) -> list[str]:
    connection.close_if_unusable_or_obsolete()
    found: list[str] = connection.introspection.table_names()
    return found


@pytest.mark.embedded_only
def test_a_thread_keeps_its_connection_until_the_settings_name_another_file(
    tmp_path: Path, handler: ConnectionHandler
) -> None:
    connection = handler["default"]
    assert tables(connection) == []
    opened = connection.connection
    assert tables(connection) == []
    assert connection.connection is opened
    connection.settings_dict["NAME"] = str(tmp_path / "two.sqlite3")
    assert tables(connection) == []
    assert connection.connection is not opened
    connection.close()


@pytest.mark.embedded_only
def test_a_file_that_takes_the_place_of_an_open_one_is_not_opened(
    tmp_path: Path, handler: ConnectionHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """What is written to the old one would be lost without a word, and its log be applied to the new one."""
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:

        def fill() -> None:
            with handler["default"].cursor() as cursor:
                cursor.execute("CREATE TABLE earlier (id integer)")

        def read() -> list[str]:
            return tables(handler["default"])

        first.submit(fill).result()
        assert second.submit(read).result() == ["earlier"]
        with contextlib.closing(sqlite3.connect(tmp_path / "two.sqlite3")) as other:
            other.execute("CREATE TABLE later (id integer)")
        (tmp_path / "two.sqlite3").rename(tmp_path / "one.sqlite3")
        for thread in (first, second, first):
            with pytest.raises(OperationalError, match="start it again"):
                thread.submit(read).result()
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.embedded_only
def test_what_was_committed_gets_into_the_file_while_connections_stay_open() -> None:
    file = Path(str(connection.settings_dict["NAME"]))
    ServerBeat.objects.create(name="a beat that is looked for", beat_at=timezone.now())
    sync_log()
    # By another process: closing the file here would take the locks of every connection of this one away.
    assert subprocess.run(["grep", "-q", "a beat that is looked for", file], check=False).returncode == 0
