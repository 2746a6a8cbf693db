"""What a command that starts something looks at first, so that it ends with one line instead of a traceback."""

import os
import socket

from django.core.management.base import CommandError, OutputWrapper
from django.db import connection

from stepper.server import readiness


def require(
    *,
    services: bool = False,
    migrations: bool = False,
    address: tuple[str, int] | None = None,
) -> None:
    """Raise CommandError where what is named cannot be used or is missing, or the port is taken."""
    try:
        if services:
            readiness.require_services()
        if migrations:
            readiness.require_migrations()
    except readiness.NotReady as reason:
        raise CommandError(str(reason)) from reason
    finally:
        # The main thread of a server has no more to do with the database. A caller's transaction goes on.
        if not connection.in_atomic_block:
            connection.close()
    if address is not None:
        _require_free_port(*address)


def _require_free_port(host: str, port: int) -> None:
    try:
        family, kind, _protocol, _name, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"Port {port} of {host} cannot be used ({reason}). Try PORT=8001 or --port 8001.") from error


def warn_of_missing_static_files(stderr: OutputWrapper) -> None:
    """Say in one line that pages will fail, as after a restore into an empty installation; programs need no files."""
    if readiness.are_static_files_missing():
        stderr.write(
            "Warning: static files are not collected, so pages will be answered with 500. "
            f"Run: {readiness.command_line('prepare')}"
        )


def warn_of_root(stderr: OutputWrapper) -> None:
    """Say in one line that the process runs as root, and what to do."""
    if os.geteuid() == 0:
        stderr.write(
            "Warning: this runs as root, so whoever breaks into it owns the machine. Make a user for it and run it as "
            "that one (docs/operations.md, Starting and stopping)."
        )
