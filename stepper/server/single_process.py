"""Without Redis there is one server process: a second one would not hear of the first one's events."""

import fcntl
from typing import IO

from django.conf import settings


class AlreadyRunning(Exception):
    """Another server holds the data directory."""


def claim_data_directory() -> IO[str] | None:
    """Hold the data directory until the returned file is closed; None where Redis joins several servers.

    Raises:
        AlreadyRunning: with what to do about it
    """
    if settings.REDIS_URL:
        return None
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    lock = open(settings.DATA_DIR / "server.lock", "w")  # noqa: SIM115 - held until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise AlreadyRunning(
            f"A server already runs on {settings.DATA_DIR}. Stop it, or set DATABASE_URL and REDIS_URL for several."
        ) from error
    return lock
