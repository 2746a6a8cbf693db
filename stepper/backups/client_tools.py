"""PostgreSQL's client programs: found, new enough for the server, and told whom to connect to without a password.

The password goes through the environment, which only the same user reads; a command line is everybody's to see.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, Any, cast

import psycopg
from django.db import connection
from psycopg.conninfo import make_conninfo

from .errors import BackupError

# Of Django's options those that are not libpq's.
_NOT_OF_LIBPQ = {"pool", "isolation_level", "assume_role", "server_side_binding", "cursor_factory", "context"}
# Options of libpq that must not be on a command line, and their variables.
_SECRET = {"password": "PGPASSWORD", "sslpassword": "PGSSLPASSWORD"}


def parameters(name: str) -> dict[str, Any]:
    """Return libpq's parameters for a database of the configured server, the password included."""
    configured = connection.settings_dict
    given = {
        "user": configured["USER"],
        "password": configured["PASSWORD"],
        "host": configured["HOST"],
        "port": configured["PORT"],
        **{key: value for key, value in configured["OPTIONS"].items() if key not in _NOT_OF_LIBPQ},
        "dbname": name,
    }
    return {key: value for key, value in given.items() if value not in {"", None}}


def connect(name: str) -> psycopg.Connection[Any]:
    """Connect to a database of the configured server, without Django. Raises psycopg.OperationalError."""
    return psycopg.connect(**parameters(name), autocommit=True)


def destination(name: str) -> str:
    """Return what `--dbname` gets: everything but the secrets."""
    return make_conninfo(**{key: value for key, value in parameters(name).items() if key not in _SECRET})


def require_tool(program: str, server_version: int) -> None:
    """Check that a program is there and not older than the server (`150020` is 15.20).

    Raises:
        BackupError: backup.tool_missing, with what to install.
    """
    needed = server_version // 10_000
    install = f"Install PostgreSQL's client programs, version {needed} or newer (Debian: postgresql-client-{needed})"
    path = shutil.which(program)
    if path is None:
        raise BackupError("backup.tool_missing", f"{program} is not installed. {install}.")
    printed = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\) (\d+)", printed)
    if found is None or int(found[1]) < needed:
        raise BackupError(
            "backup.tool_missing",
            f"{printed.strip() or path} is older than the server, which is PostgreSQL {needed}. {install}, "
            "and have it come first in PATH.",
        )


@contextmanager
def running(program: str, *arguments: str) -> Iterator[IO[bytes]]:
    """Start a program, yield what it prints, and wait for its end.

    Raises:
        subprocess.CalledProcessError: it failed; `stderr` is what it wrote there.
    """
    secrets = {_SECRET[key]: str(value) for key, value in parameters("").items() if key in _SECRET}
    # A file, because it would wait while nobody reads a pipe. LC_ALL: its last line becomes a part of ours.
    with TemporaryFile() as messages:
        process = subprocess.Popen(
            [program, *arguments],
            env={**os.environ, "LC_ALL": "C", **secrets},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
        )
        with process:
            try:
                yield cast("IO[bytes]", process.stdout)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            messages.seek(0)
            said = messages.read().decode(errors="replace")
            raise subprocess.CalledProcessError(process.returncode, program, stderr=said)


def last_line(error: subprocess.CalledProcessError) -> str:
    """Return the last thing that a program said before it failed."""
    lines = str(error.stderr).strip().splitlines()
    return lines[-1] if lines else f"it ended with status {error.returncode}"
