"""Processes and databases of a replay's own: made for the run, gone after it.

Servers and dispatchers are started as a company would start them, `manage.py serve` and `manage.py dispatcher`,
with an environment of their own; what they write goes to logs that are read for trouble at the end.
"""

import contextlib
import os
import re
import secrets
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import redis
from django.conf import settings
from django.db import connections
from environs import Env
from psycopg import sql

READY_S = 60
STOP_S = 15
DROP_S = 15
# The embedded default's database, in its folder.
EMBEDDED = "stepper.sqlite3"
TROUBLE = re.compile(r"Traceback|\bERROR\b|\bCRITICAL\b")
# Redis counts its databases from 0 to 15 unless told otherwise; 0 is everybody's.
REDIS_DATABASES = range(15, 0, -1)
CLAIM_S = 2 * 60 * 60


class CannotStart(Exception):
    """A process ended or stayed silent instead of starting; the message carries the end of its log."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Processes:
    """`manage.py` processes in one environment, their logs in `folder`."""

    folder: Path
    environment: Mapping[str, str]
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _metrics_ports: dict[str, int] = field(default_factory=dict)

    def run(self, *arguments: str) -> None:
        """Run one command to its end. Raises CannotStart."""
        process = self._spawn(arguments[0], arguments)
        if process.wait() != 0:
            raise CannotStart(f"manage.py {arguments[0]} failed:\n{self._end_of_log(arguments[0])}")

    def serve(self, name: str) -> str:
        """Start a server on a free port and return its address."""
        port = free_port()
        arguments = ("serve", "--host", "127.0.0.1", "--port", str(port))
        self._running[name] = self._spawn(name, arguments, metrics_port=self._give_metrics_port(name))
        return f"http://127.0.0.1:{port}"

    def dispatch(self, name: str) -> None:
        self._running[name] = self._spawn(name, ("dispatcher",), metrics_port=self._give_metrics_port(name))

    def _give_metrics_port(self, name: str) -> int:
        self._metrics_ports[name] = free_port()
        return self._metrics_ports[name]

    def read_figures(self) -> list[str]:
        """Return what each process that runs answers at /metrics."""
        with httpx.Client(trust_env=False, timeout=10) as client:
            urls = [f"http://127.0.0.1:{port}/metrics" for port in self._metrics_ports.values()]
            return [client.get(url).raise_for_status().text for url in urls]

    def wait_until_ready(self, urls: list[str]) -> None:
        """Wait until each server answers. Raises CannotStart where one does not in time, or a process has ended."""
        deadline = time.monotonic() + READY_S
        with httpx.Client(trust_env=False, timeout=5) as client:
            for url in urls:
                while not self._is_ready(client, url):
                    self.check()
                    if time.monotonic() > deadline:
                        logs = "\n".join(self._end_of_log(name) for name in self._running)
                        raise CannotStart(f"No server answered as ready within {READY_S} s:\n{logs}")
                    time.sleep(0.2)

    @staticmethod
    def _is_ready(client: httpx.Client, url: str) -> bool:
        try:
            return client.get(f"{url}/health/ready/").status_code == 200
        except httpx.TransportError:
            return False

    def check(self) -> None:
        """Raise CannotStart where a process has ended by itself."""
        for name in self.ended():
            raise CannotStart(f"{name} has ended:\n{self._end_of_log(name)}")

    def ended(self) -> list[str]:
        return [name for name, process in self._running.items() if process.poll() is not None]

    def stop(self) -> None:
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def trouble(self) -> Counter[str]:
        """Return the lines of the logs that say something went wrong."""
        found: Counter[str] = Counter()
        for log in sorted(self.folder.glob("*.log")):
            for line in log.read_text(errors="replace").splitlines():
                if TROUBLE.search(line):
                    found[f"{log.stem}: {line.strip()[:160]}"] += 1
        return found

    def _spawn(self, name: str, arguments: tuple[str, ...], *, metrics_port: int = 0) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
        with self._log(name).open("ab") as log:
            # A session of its own: Ctrl-C is for the replay, which stops them in order.
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.environment, "METRICS_PORT": str(metrics_port)},
                cwd=settings.BASE_DIR,
                start_new_session=True,
            )

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _end_of_log(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])


@dataclass(frozen=True)
class Scratch:
    """A database of the replay's own: a file in a folder, or a database on the PostgreSQL server at `server_url`."""

    folder: Path
    server_url: str = ""
    name: str = ""

    @property
    def url(self) -> str:
        return urlunsplit(urlsplit(self.server_url)._replace(path=f"/{self.name}")) if self.server_url else ""


def environment(scratch: Scratch, *, redis_url: str, external_dispatchers: bool) -> dict[str, str]:
    """Return the environment of a scratch service: this one's, with nothing of the real service in it."""
    return {
        **os.environ,
        "DEBUG": "false",
        "HTTPS": "false",
        "ALLOWED_HOSTS": "127.0.0.1",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "DATA_DIR": str(scratch.folder),
        "DATABASE_URL": scratch.url,
        "REDIS_URL": redis_url,
        "DISPATCHER": "external" if external_dispatchers else "inside",
        "PYTHONUNBUFFERED": "1",
        # All virtual people sign in from this machine.
        "SIGN_INS_PER_ADDRESS": "1000000",
    }


def attach(alias: str, scratch: Scratch) -> None:
    """Let this process read and write the scratch database as `alias`."""
    if scratch.url:
        config = {**Env().dj_db_url("", scratch.url), "CONN_MAX_AGE": 0}
    else:
        config = {
            "ENGINE": "stepper.db.sqlite",
            "NAME": str(scratch.folder / EMBEDDED),
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 30},
        }
    connections.databases[alias] = connections.configure_settings({"default": {}, alias: config})[alias]


def detach(alias: str) -> None:
    connections[alias].close()
    del connections[alias]
    del connections.databases[alias]


@contextmanager
def scratch_database(folder: Path, server_url: str, template: Scratch | None = None) -> Iterator[Scratch]:
    """Create an empty database, or a copy of another one that nobody is connected to, and drop it at the end."""
    if not server_url:
        if template is not None:
            # By SQLite: a plain copy of a file could miss what is in its log.
            with contextlib.closing(sqlite3.connect(template.folder / EMBEDDED)) as kept:
                kept.execute("VACUUM INTO ?", [str(folder / EMBEDDED)])
        yield Scratch(folder)
        return
    made = Scratch(folder, server_url, f"stepper_replay_{os.getpid()}_{secrets.token_hex(4)}")
    source = sql.Identifier(template.name if template is not None else "template1")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(made.name), source))
    try:
        yield made
    finally:
        _drop_database(server_url, made.name)


def _drop_database(database_url: str, name: str) -> None:
    """Drop a database; where the server is away, wait for it for DROP_S. Raises CannotStart."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    deadline = time.monotonic() + DROP_S
    while True:
        try:
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute(statement)
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise CannotStart(f"The scratch database {name} is still there, drop it: {error}") from error
            time.sleep(0.5)
        else:
            return


@contextmanager
def scratch_redis(redis_url: str) -> Iterator[str]:
    """Yield an empty database of the Redis at `redis_url`, emptied again; the one in the address where there is one."""
    parts = urlsplit(redis_url)
    if parts.path.strip("/"):
        yield redis_url
        return
    everybodys = urlunsplit(parts._replace(path="/0"))
    with redis.Redis.from_url(everybodys) as claims:
        number = _claim(claims)
        url = urlunsplit(parts._replace(path=f"/{number}"))
        try:
            yield url
        finally:
            with redis.Redis.from_url(url) as client:
                client.flushdb()
            claims.delete(_claim_name(number))


def _claim_name(number: int) -> str:
    """Name a claim, kept in database 0 as the tests' are: emptying a cache empties its database, claims included."""
    return f"stepper:claimed:{number}"


def _claim(claims: Any) -> int:
    """Claim a numbered database with nothing in it and nobody listening, for two hours at most."""
    sizes = claims.info("keyspace")
    for number in REDIS_DATABASES:
        in_use = f"db{number}" in sizes or claims.pubsub_channels(f"stepper:{number}:*")
        if not in_use and claims.set(_claim_name(number), "replay", nx=True, ex=CLAIM_S):
            return number
    raise CannotStart("Every database of that Redis is in use; name one: redis://host:6379/7")
