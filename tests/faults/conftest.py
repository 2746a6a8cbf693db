"""The stage of the fault tests: a database, and with the scaled suite a Redis, of its own, and servers on them.

Started once a test process: everything on it may be killed, and the tests' own database and Redis go on. While a
test uses it, Django's default database in the test process is the stage's as well. What a test leaves in the
database stays there, so every test makes a cast of its own, somewhere else on the map.
"""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import SyncToAsync
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections

from tests.conftest import SUITE
from tests.live import LiveServer
from tests.servers import Postgresql, Valkey

SEEN_WITHIN_S = 10


class Watched(LiveServer):
    """A server that can be looked into, see `tests.faults.watched`."""

    program = ("-m", "tests.faults.watched")

    def __init__(self, log: Path, environ: dict[str, str]) -> None:
        self._window = log.with_suffix(".json")
        super().__init__(log, environ | {"WATCHED_FILE": str(self._window)})

    def holds(self) -> dict[str, Any]:
        """What the process holds now: tasks by name, sockets, consumers that are not garbage, groups joined."""
        self._window.unlink(missing_ok=True)
        os.kill(self.process.pid, signal.SIGUSR1)
        until = time.monotonic() + SEEN_WITHIN_S
        while not self._window.exists():
            assert time.monotonic() < until, f"the server does not say what it holds:\n{self.log_text()}"
            time.sleep(0.01)
        seen: dict[str, Any] = json.loads(self._window.read_text())
        return seen

    def left_over(self) -> dict[str, Any]:
        """What is left of any socket."""
        held = self.holds()
        return {name: held[name] for name in ("sockets", "consumers", "joined") if held[name]}

    def has_died(self) -> bool:
        """By itself, as it was told to; it can be started again."""
        process, self.process = self.process, None
        return process.wait(SEEN_WITHIN_S) == -signal.SIGKILL

    def end_at_next_commit(self) -> None:
        """The next change that logs events is committed and not published: SIGKILL comes between."""
        os.kill(self.process.pid, signal.SIGUSR2)


class Stage:
    """`servers`: two that share PostgreSQL and Redis, or on the embedded suite the one there can be."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="stepper-stage-"))
        self.postgresql: Postgresql | None = None
        self.redis: Valkey | None = None
        environ = {"DATA_DIR": str(self.folder), "DATABASE_URL": "", "REDIS_URL": "", "SOCKET_SLOW_S": "1"}
        if SUITE == "scaled":
            self.postgresql, self.redis = Postgresql(), Valkey()
            with psycopg.connect(f"{self.postgresql.url}/postgres", autocommit=True) as admin:
                admin.execute("CREATE DATABASE stage")
            environ |= {"DATABASE_URL": f"{self.postgresql.url}/stage", "REDIS_URL": f"{self.redis.url}/0"}
            address = self.postgresql.url.rpartition(":")
            self._database = {"NAME": "stage", "HOST": "127.0.0.1", "PORT": address[2], "USER": "postgres"}
        else:
            path = self.folder / "stepper.sqlite3"
            # No test runs yet: what is in the tests' database are its tables.
            with sqlite3.connect(connection.settings_dict["NAME"]) as tables, sqlite3.connect(path) as copy:
                tables.backup(copy)
            self._database = {"NAME": str(path)}
        number = 2 if SUITE == "scaled" else 1
        self.servers = [Watched(self.folder / f"server-{n}.log", environ) for n in range(number)]

    @contextlib.contextmanager
    def on_it(self) -> Iterator[None]:
        """Django's default database is the stage's."""
        before = {name: connection.settings_dict[name] for name in self._database}
        _point_at(self._database)
        try:
            yield
        finally:
            _point_at(before)

    def start(self) -> None:
        """Whatever does not run."""
        for service in (self.postgresql, self.redis):
            if service is not None and not service.is_running:
                service.start()
        missing = [server for server in self.servers if server.process is None]
        for server in missing:
            server.launch()
        for server in missing:
            server.await_answer()

    def end(self) -> None:
        for server in self.servers:
            if server.process is not None:
                server.kill()
        for service in (self.postgresql, self.redis):
            if service is not None:
                service.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _point_at(database: dict[str, Any]) -> None:
    connections.close_all()
    # The thread in which asynchronous tests query would go on with the file that it has open.
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
    if settings.DATABASE_URL:
        connection.close_pool()  # type: ignore[attr-defined]
    # The same dictionary for the connections of every thread.
    connection.settings_dict.update(database)


@pytest.fixture(scope="session")
def _stage(django_db_setup: None, django_db_blocker: Any) -> Iterator[Stage]:
    stage = Stage()
    try:
        if SUITE == "scaled":
            with django_db_blocker.unblock(), stage.on_it():
                call_command("migrate", verbosity=0)
        yield stage
    finally:
        stage.end()


@pytest.fixture
def stage(transactional_db: None, _stage: Stage) -> Iterator[Stage]:
    """Everything on it runs; afterwards the servers' logs hold no traceback."""
    with _stage.on_it():
        _stage.start()
        sizes = [server.log.stat().st_size for server in _stage.servers]
        yield _stage
    for server, size in zip(_stage.servers, sizes, strict=True):
        log = server.log.read_text(errors="replace")[size:]
        if "Traceback" in log:
            pytest.fail(f"The server logged a traceback:\n{log}")
