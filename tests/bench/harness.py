"""What the benchmarks share: a scratch service, servers pinned to a core, the load generator, tables, the last line.

A benchmark is a module with `main()`, run as `python -m tests.bench.<name>` (`make bench-<name>`). It prints a table
and, as its last line, one JSON object; it fails where a server failed, whatever the figures are. Figures of one machine
say little, so everything is compared with something else in the same run, in turn.
"""

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests import servers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# One core for the server that is measured, the other for those who load it.
SERVER_CORE, LOAD_CORE = 0, 1
STARTS_WITHIN_S = 60


class Failed(SystemExit):
    """The benchmark could not be carried through; the message says why."""


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="stepper-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def scratch(home: Path, database: str = "postgresql", **environ: str) -> Iterator[None]:
    """A service of its own in this process's environment, migrated and with Django set up: `postgresql` or `sqlite`.

    PostgreSQL and Redis are those of the tests: the ones running here, else ones started for this.
    """
    name = f"stepper_bench_{secrets.token_hex(4)}"
    url, redis_url = "", ""
    if database == "postgresql":
        servers.provide(os.environ)
        server = os.environ[servers.POSTGRESQL]
        url, redis_url = f"{server}/{name}", servers.claim_redis_database(os.environ[servers.REDIS])
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    os.environ.update(
        {
            "DATA_DIR": str(home),
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "DEBUG": "0",
            "HTTPS": "0",
            "LOG_LEVEL": "WARNING",
            "ALLOWED_HOSTS": "127.0.0.1",
            "DISPATCHER": "inside",
            "DJANGO_SETTINGS_MODULE": "stepper.settings",
        }
        | environ
    )
    import django
    from django.core.management import call_command
    from django.db import connections

    try:
        django.setup()
        call_command("migrate", verbosity=0)
        yield
    finally:
        connections.close_all()
        if database == "postgresql":
            with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            servers.release_redis_database(redis_url)


def _begin(core: int | None) -> None:
    """In the child, before its program: a benchmark that is killed leaves no server behind."""
    servers.die_with_parent()
    if core is not None:
        os.sched_setaffinity(0, {core})


class Process:
    """A server on a port of its own, kept to one core."""

    def __init__(
        self,
        name: str,
        home: Path,
        command: Sequence[str],
        environ: Mapping[str, str] | None = None,
        core: int | None = SERVER_CORE,
    ) -> None:
        environ = environ or {}
        self.name = name
        self.port = int(command[command.index("--port") + 1]) if "--port" in command else int(environ["PORT"])
        self.log = home / f"{name}.log"
        with open(self.log, "ab") as log:
            self.process = psutil.Popen(
                list(command),
                cwd=ROOT,
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(_begin, core),
            )

    def wait(self, answers: Callable[[int], bool]) -> "Process":
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not answers(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Failed(f"{self.name} did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        return self

    def cpu_s(self) -> float:
        """CPU time it has used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory_kib(self) -> float:
        """Memory that is its own (the unshared pages)."""
        return float(self.process.memory_full_info().uss) / 1024

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except psutil.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def trouble(self) -> str:
        """What its log says that no log should say."""
        text = self.log.read_text(errors="replace")
        return text[-3000:] if "Traceback" in text or "Error:" in text else ""


def answers_http(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live/", timeout=2) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def uvicorn(
    name: str,
    home: Path,
    application: str = "stepper.asgi:application",
    environ: Mapping[str, str] | None = None,
    core: int | None = SERVER_CORE,
) -> Process:
    """Started as docs/operations.md says one starts it under load."""
    command = [sys.executable, "manage.py", "serve", "--server", "uvicorn", "--host", "127.0.0.1"]
    if application != "stepper.asgi:application":
        command = [sys.executable, "-m", application.partition(":")[0], "--server", "uvicorn"]
    command += ["--port", str(servers.free_port())]
    return Process(name, home, command, environ or {}, core).wait(answers_http)


def daphne(name: str, home: Path, environ: Mapping[str, str]) -> Process:
    command = [sys.executable, "manage.py", "serve", "--host", "127.0.0.1", "--port", str(servers.free_port())]
    return Process(name, home, command, environ).wait(answers_http)


def installed(folder: Path, package: str) -> str:
    """Install what a folder's package.json names, when it is first needed; return the path of Node."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Failed(f"Node and npm are missing: {package} runs on them (Debian: apt-get install nodejs npm).")
    if not (folder / "node_modules" / package).is_dir():
        print(f"Installing {package} (once)", file=sys.stderr)
        subprocess.run([npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True)
    return node


def socketio(name: str, home: Path, kind: str, redis_url: str = "") -> Process:
    """Socket.IO on Node, installed when it is first needed."""
    node = installed(HERE / "socketio", "socket.io")
    port = str(servers.free_port())
    command = [node, str(HERE / "socketio" / "server.js"), port, kind, *([redis_url] if redis_url else [])]
    return Process(name, home, command, {"PORT": port, "NODE_ENV": "production"}).wait(answers_http)


def compiled(name: str, home: Path) -> str:
    """One of the C programs here, built with the machine's compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Failed("A C compiler is missing: the load generator is C (Debian: apt-get install gcc libc6-dev).")
    binary = home / name
    if not binary.exists():
        subprocess.run([compiler, "-O2", "-o", str(binary), str(HERE / f"{name}.c")], check=True)
    return str(binary)


def echo(home: Path) -> Process:
    port = str(servers.free_port())

    def answers(number: int) -> bool:
        with contextlib.suppress(OSError), servers.socket.create_connection(("127.0.0.1", number), 1):
            return True
        return False

    return Process("echo", home, [compiled("echo", home), port], {"PORT": port}).wait(answers)


class Load:
    """The generator with its connections open; `go` lets it send and returns what it measured."""

    def __init__(
        self,
        home: Path,
        port: int,
        dialect: str,
        mode: str,
        value: float,
        seconds: float,
        template: str,
        connections: Iterable[Sequence[str | int]],
        core: int | None = LOAD_CORE,
    ) -> None:
        gate, self._gate = os.pipe()
        command = [compiled("generator", home), str(port), dialect, str(seconds), mode, str(value), template]
        with tempfile.TemporaryFile("w+") as lines:
            lines.writelines("\t".join(str(part) for part in one) + "\n" for one in connections)
            lines.seek(0)
            self.process = subprocess.Popen(
                command,
                stdin=lines,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"GATE": str(gate)},
                pass_fds=[gate],
                preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 - no threads
            )
        os.close(gate)
        self.connect_s = 0.0

    def ready(self) -> "Load":
        """Returns when everybody is connected."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            self._fail()
        self.connect_s = float(line.split()[1])
        return self

    def go(self, within_s: float = 600) -> dict[str, float]:
        assert self.process.stdout is not None
        self.start()
        return self.result(within_s)

    def start(self) -> None:
        os.write(self._gate, b"g")

    def reach(self) -> None:
        """In mode group: one event, until everybody in the group has it."""
        assert self.process.stdout is not None
        self.start()
        if self.process.stdout.readline() != "reached\n":
            self._fail()

    def result(self, within_s: float = 600) -> dict[str, float]:
        assert self.process.stdout is not None
        found, _, _ = select.select([self.process.stdout], [], [], within_s)
        line = self.process.stdout.readline() if found else ""
        if not line.startswith("{"):
            self._fail()
        self.end()
        measured: dict[str, float] = json.loads(line)
        return measured

    def end(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._gate)
        self.process.kill()
        self.process.communicate()

    def _fail(self) -> None:
        self.process.kill()
        _out, error = self.process.communicate()
        raise Failed(f"The generator stopped: {error.strip()}")


def spread(values: Sequence[float]) -> str:
    """Median, and how far the rounds were apart."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of the ratios of rounds that ran one after the other."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    made = Table(title=title, title_justify="left")
    for number, name in enumerate(head):
        made.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    Console(width=120).print(made)


def finish(figures: Mapping[str, Any], processes: Iterable[Process] = ()) -> None:
    """Stops the servers; the last line, unless one of them had trouble."""
    troubles = []
    for process in processes:
        ended = process.process.poll()
        if ended is not None:
            troubles.append(f"{process.name} ended by itself with {ended}")
        process.stop()
        if process.trouble():
            troubles.append(f"{process.name}:\n{process.trouble()}")
    print(json.dumps(dict(figures)), flush=True)
    if troubles:
        raise Failed("\n".join(troubles))
