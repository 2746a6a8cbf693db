"""Words for the failures of commands that are nobody's fault in the code: settings, services, the data directory."""

from pathlib import Path

import environs
import redis
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, OperationalError

from stepper.server import readiness


def describe_failure(error: Exception) -> str | None:
    """Return one line that says what went wrong and where; None: a fault, whose traceback is wanted."""
    if isinstance(error, ImproperlyConfigured | environs.EnvError):
        return _on_one_line(error)
    if isinstance(error, readiness.NotReady):
        return str(error)
    if isinstance(error, OperationalError | InterfaceError | redis.RedisError):
        return _describe_service() or _on_one_line(error)
    if isinstance(error, DatabaseError):
        # A table or column that is not there, most likely because the database was not migrated.
        return _describe_service()
    if isinstance(error, OSError) and error.filename and _is_ours(Path(str(error.filename))):
        return f"{error.filename} cannot be used: {error.strerror}."
    return None


def _describe_service() -> str | None:
    """Look which service is away or not as it must be; None: none, now."""
    try:
        readiness.require_services()
        readiness.require_migrations()
    except readiness.NotReady as reason:
        return str(reason)
    return None


def _is_ours(path: Path) -> bool:
    return path.absolute().is_relative_to(Path(readiness.settings.DATA_DIR).absolute())


def _on_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
