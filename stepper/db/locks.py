"""Trying again what gave way to another transaction's locks, for migrations while servers run."""

import time
from collections.abc import Callable

from django.db import OperationalError

# lock_not_available, deadlock_detected
_SQLSTATES = frozenset({"55P03", "40P01"})
TRIES = 60
# Long enough for what had queued behind the last try to be done.
PAUSE_S = 3.0


def run_with_retries(migrate: Callable[[], object], say: Callable[[str], object], pause_s: float = PAUSE_S) -> None:
    """Run `migrate`, again after a pause each time it did not get a lock, TRIES times in all; `say` the first time.

    Raises:
        OperationalError: of the last try, or another than for a lock
    """
    for tried in range(1, TRIES + 1):
        try:
            migrate()
        except OperationalError as error:
            if tried == TRIES or getattr(error.__cause__, "sqlstate", None) not in _SQLSTATES:
                raise
            if tried == 1:
                say("A migration waits for a transaction that uses its table. It is tried again.")
            time.sleep(pause_s)
        else:
            return
