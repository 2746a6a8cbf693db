"""A process whose clock is wrong, while the databases' and the machine's are right."""

import contextlib
import datetime as dt
from collections.abc import Iterator

import time_machine
from django.utils import timezone


def real_now() -> dt.datetime:
    """Return the machine's time, however wrong this process's clock is set."""
    hatch = time_machine.escape_hatch
    return hatch.datetime.datetime.now(dt.UTC) if hatch.is_travelling() else timezone.now()


@contextlib.contextmanager
def clock_wrong_by(difference: dt.timedelta) -> Iterator[None]:
    """Set this process's clock ahead, or back; it goes on."""
    with time_machine.travel(real_now() + difference, tick=True):
        yield
