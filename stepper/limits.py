"""Rate limits: how often somebody may do something in a minute, counted where all processes see it.

The window opens with the first request and closes a minute later. Its counter is one atomic increment, so
requests that race cannot all slip through, as they would with a list that is read and written back.
"""

import hashlib
import logging
import math
import time

from django.core.cache import cache
from django.utils.translation import gettext_lazy as _
from redis.exceptions import RedisError

from .errors import TooManyRequests
from .models import ServiceSettings

logger = logging.getLogger("stepper.limits")

WINDOW_S = 60
HOUR_S = 3600


def wait_s(scope: str, who: int | str, most: int, window_s: int = WINDOW_S) -> int | None:
    """Counts one request of `who` in `scope`; seconds until the window closes where it is too many, else None.

    Nothing is refused while Redis is away: a driver must be able to finish a trip.
    """
    try:
        return _count(scope, who, most, window_s)
    except RedisError as error:
        logger.warning("nobody's requests are counted: %s", error)
        return None


def _count(scope: str, who: int | str, most: int, window_s: int) -> int | None:
    now = time.time()
    window = f"limit:{scope}:{who}"
    next_closes_at = math.ceil(now + window_s)
    closes_at = cache.get_or_set(window, next_closes_at, window_s) or next_closes_at
    if closes_at <= now:  # over by this machine's clock, not yet by the cache's
        closes_at = next_closes_at
        cache.set(window, closes_at, window_s)
    counter = f"{window}:{closes_at}"
    # Kept for longer than the window: it must not vanish between the two statements.
    cache.add(counter, 0, 2 * window_s)
    if cache.incr(counter) <= most:
        return None
    return min(window_s, max(1, math.ceil(closes_at - now)))


def spend_as_driver(scope: str, driver_id: int) -> None:
    """`spend` of what a driver does with a button: steps of trips ("status"), the switch ("availability")."""
    spend(scope, driver_id, ServiceSettings.current().status_per_min)


def spend(scope: str, who: int | str, most: int, window_s: int = WINDOW_S) -> None:
    """Counts one request of `who` in `scope`.

    Raises:
        TooManyRequests: more than `most` in this window (a minute, where nothing else is said).
    """
    retry_after_s = wait_s(scope, who, most, window_s)
    if retry_after_s is not None:
        raise TooManyRequests("rate.limited", _("Too many requests. Try again in a moment."), retry_after_s)


def digest(text: str) -> str:
    """A name to count by for what people type: of one length, legible in no cache."""
    return hashlib.sha256(text.encode()).hexdigest()
