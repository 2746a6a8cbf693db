"""A real server process for tests: `manage.py serve` with the dispatcher inside, on the tests' own database.

Rows that a test inserts are what the server sees, and events a test logs are swept up by the server as those of
any other process. It can be killed and started again on the same port and data.
"""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from tests.forked import Forked
from tests.servers import free_port

ROOT = Path(__file__).resolve().parent.parent
STARTS_WITHIN_S = 30
STOPS_WITHIN_S = 10


# What only the tests' own process needs. The first would hide a fault of the server; the second is set by whatever
# imports `stepper.asgi`, as the tests' modules do, and a server names its settings itself.
OWN = frozenset({"DJANGO_ALLOW_ASYNC_UNSAFE", "DJANGO_SETTINGS_MODULE"})


def _settled() -> dict[str, str]:
    """Return this process's environment without what is for itself, and what pytest writes into it as it goes on."""
    return {name: value for name, value in os.environ.items() if name not in OWN and not name.startswith("PYTEST_")}


# What the tests' conftest settled, before any test changed it.
USUAL = _settled()
# What nothing of the project reads while it is imported: a server with other values of these is forked from one that
# has been set up (tests.ready) and reads the settings again.
READ_LATE = frozenset(
    {
        "CALL_TOKEN_SHA256",
        "DATABASE_URL",
        "DATA_DIR",
        "EMAIL_URL",
        "GEOCODER_URL",
        "LOG_LEVEL",
        "PUSH_HOSTS",
        "REDIS_URL",
        "REQUEST_BODY_S",
        "REQUEST_BODY_SILENCE_S",
        "REQUEST_HEAD_S",
        "SMS_BODY",
        "SMS_SECRET",
        "SMS_SUCCESS",
        "SMS_URL",
        "SOCKET_SLOW_S",
        "SSL_CERT_FILE",
        "TMPDIR",
        "TRUSTED_PROXIES",
        "WATCHED_FILE",
    }
)


class LiveServer:
    """One server; `environ` overrides what it inherits from the tests (DEBUG, LOG_LEVEL, DISPATCHER …)."""

    # What is started, by which Python, and where.
    python = sys.executable
    program: tuple[str, ...] = ("manage.py",)
    root = ROOT
    arguments: tuple[str, ...] = ()

    def __init__(self, log: Path, environ: dict[str, str]) -> None:
        self.port = free_port()
        self.log = log
        self.environ = environ
        self.process: subprocess.Popen[bytes] | Forked | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self, **environ: str) -> None:
        """Starts it, with further environment from now on, and returns once it answers."""
        self.launch(**environ)
        self.await_answer()

    def launch(self, **environ: str) -> None:
        """Starts it without waiting."""
        assert self.process is None, "it is running"
        self.environ |= environ
        command = [*self.program, "serve", "--host", "127.0.0.1", "--port", str(self.port), *self.arguments]
        if (self.python, self.root) == (sys.executable, ROOT):
            usual, environ = _completed(USUAL), self.whole_environment
            self.process = Forked(
                command,
                environ=environ,
                root=ROOT,
                output=self.log,
                usual=usual if _may_begin_ready(usual, environ) else None,
            )
            return
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.python, *command],
                cwd=self.root,
                env=self.whole_environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_answer(self) -> None:
        assert self.process is not None, "it is not running"
        for _attempt in range(STARTS_WITHIN_S * 10):
            if self.answers():
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)
                break
        pytest.fail(f"The server does not answer. Its log:\n{self.log_text()}")

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/live/", timeout=5) as response:
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """SIGKILL: it can say goodbye to nobody."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, as a service manager does; fails the test where it takes longer than ten seconds."""
        self._end(signal.SIGTERM)

    def restart(self, **environ: str) -> None:
        """Killed, and started again on the same port and data."""
        self.kill()
        self.start(**environ)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _end(self, how: signal.Signals) -> None:
        assert self.process is not None, "it is not running"
        process, self.process = self.process, None
        process.send_signal(how)
        try:
            process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"The server did not stop within {STOPS_WITHIN_S} s. Its log:\n{self.log_text()}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def whole_environment(self) -> dict[str, str]:
        """What the process gets: what it inherits, and its own."""
        return _completed(_settled()) | self.environ


def _completed(environ: dict[str, str]) -> dict[str, str]:
    """Name the tests' own database, and have each line of the log written at once."""
    completed = environ | {"PYTHONUNBUFFERED": "1"}
    if settings.DATABASE_URL:
        server, _slash, _name = settings.DATABASE_URL.rpartition("/")
        completed["DATABASE_URL"] = f"{server}/{connection.settings_dict['NAME']}"
    return completed


def _may_begin_ready(usual: dict[str, str], environ: dict[str, str]) -> bool:
    """Say whether two environments differ in nothing but what is read late."""
    changed = {name for name, _value in usual.items() ^ environ.items()}
    # Models are made for one kind of database.
    kinds = {one["DATABASE_URL"].partition(":")[0] for one in (usual, environ)}
    return changed <= READ_LATE and usual.keys() <= environ.keys() and len(kinds) == 1


@pytest.fixture
def start_server(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., LiveServer]]:
    """`start_server("--server", "uvicorn", LOG_LEVEL="DEBUG")` starts one more server, with these arguments of `serve`
    and this environment; each is ended, and its log read, after the test.

    On the embedded suite there can be one at a time.
    """
    started: list[LiveServer] = []

    def start(*arguments: str, **environ: str) -> LiveServer:
        server = LiveServer(tmp_path / f"server-{len(started)}.log", environ)
        if arguments:
            server.arguments = arguments
        started.append(server)
        server.start()
        return server

    yield start
    try:
        for server in started:
            if server.process is not None:
                server.stop()
    finally:
        for server in started:
            if server.process is not None:
                server.kill()
    for server in started:
        if "Traceback" in server.log_text():
            pytest.fail(f"The server logged a traceback:\n{server.log_text()}")


@pytest.fixture
def live(start_server: Callable[..., LiveServer]) -> LiveServer:
    """A running server: `live.url`, `live.kill()`, `live.start()`, `live.restart()`, `live.log_text()`."""
    return start_server()
