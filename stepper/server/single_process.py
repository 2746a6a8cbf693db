"""The rule that without Redis only one server process runs: a second one would not get the first one's events."""

import fcntl
from typing import IO

from django.conf import settings


class AlreadyRunning(Exception):
    """Another server has locked the data directory."""


def claim_data_directory() -> IO[str] | None:
    """Lock the data directory until the returned file is closed; None: with Redis there may be several servers.

    Raises:
        AlreadyRunning: another server has locked it; the message says what to do
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
