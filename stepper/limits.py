"""Rate limits: how often somebody may do something in a minute, counted where all processes see it.

The window opens with the first request and closes a minute later. Its counter is one atomic increment, so
requests that race cannot all slip through, as they would with a list that is read and written back.
"""

import logging
import math
import time
from typing import NamedTuple, Self

from django.core.cache import cache
from django.utils.translation import gettext_lazy as _
from redis.exceptions import RedisError

from .errors import TooManyRequests
from .models import ServiceSettings

logger = logging.getLogger("stepper.limits")

WINDOW_S = 60


def wait_s(scope: str, who: int, per_min: int) -> int | None:
    """Counts one request of `who` in `scope`; seconds until the window closes where it is too many, else None.

    Nothing is refused while Redis is away: a driver must be able to finish a trip.
    """
    try:
        return _count(scope, who, per_min)
    except RedisError as error:
        logger.warning("nobody's requests are counted: %s", error)
        return None


class Window(NamedTuple):
    """A minute in which something is counted, from the first time on; all processes see the same counter."""

    counter: str
    # Unix time
    closes_at: int

    @classmethod
    def current(cls, name: str) -> Self:
        """The open window of `name`, opened where none is. Raises RedisError."""
        now = time.time()
        window = f"limit:{name}"
        next_closes_at = math.ceil(now + WINDOW_S)
        closes_at = cache.get_or_set(window, next_closes_at, WINDOW_S) or next_closes_at
        if closes_at <= now:  # over by this machine's clock, not yet by the cache's
            closes_at = next_closes_at
            cache.set(window, closes_at, WINDOW_S)
        return cls(f"{window}:{closes_at}", closes_at)

    def increment(self) -> int:
        """Count one more and return how many there are now, this one included. Raises RedisError."""
        # Kept for longer than the window: it must not vanish between the two statements.
        cache.add(self.counter, 0, 2 * WINDOW_S)
        return int(cache.incr(self.counter))

    def take_back(self) -> None:
        """Uncount one. Raises RedisError."""
        cache.add(self.counter, 0, 2 * WINDOW_S)
        cache.decr(self.counter)

    @property
    def number(self) -> int:
        """How many were counted. Raises RedisError."""
        return int(cache.get(self.counter, 0))

    @property
    def closes_in_s(self) -> int:
        return min(WINDOW_S, max(1, math.ceil(self.closes_at - time.time())))


def _count(scope: str, who: int, per_min: int) -> int | None:
    window = Window.current(f"{scope}:{who}")
    return None if window.increment() <= per_min else window.closes_in_s


def spend_as_driver(scope: str, driver_id: int) -> None:
    """`spend` of what a driver does with a button: steps of trips ("status"), the switch ("availability")."""
    spend(scope, driver_id, ServiceSettings.current().status_per_min)


def spend(scope: str, who: int, per_min: int) -> None:
    """Counts one request of `who` in `scope`.

    Raises:
        TooManyRequests: more than `per_min` in this minute.
    """
    retry_after_s = wait_s(scope, who, per_min)
    if retry_after_s is not None:
        raise TooManyRequests("rate.limited", _("Too many requests. Try again in a moment."), retry_after_s)
