"""Rate limits: how often somebody may do something in a minute, counted where all processes see it.

The window opens with the first request and closes a minute later. Its counter is one atomic increment, so
requests that race cannot all slip through, as they would with a list that is read and written back.

Domain verbs count themselves, before they change anything: `count_call` for a driver's, `count_call_of` for a user's.
So pages, REST and sockets share one count, and a transaction that is repeated is counted once.
"""

import contextlib
import functools
import hashlib
import logging
import math
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from django.core.cache import DEFAULT_CACHE_ALIAS, cache, caches
from django.utils.translation import gettext_lazy as _
from redis.exceptions import RedisError

from .errors import Text, TooManyRequests
from .models import ServiceSettings, User
from .redis_cache import CountingRedisCache

logger = logging.getLogger("stepper.limits")

P = ParamSpec("P")
T = TypeVar("T")

WINDOW_S = 60
HOUR_S = 3600
TOO_MANY_REQUESTS = _("Too many requests. Try again in a moment.")
# One integer per counter: when its window closes (Unix time) times this, plus the number of requests.
_REQUESTS = 1_000_000_000


class Window:
    """A span in which requests are counted, from the first one on; all processes see the same counter."""

    def __init__(self, name: str, window_s: int = WINDOW_S) -> None:
        self.key = f"calls:{name}"
        self._window_s = window_s
        # Unix time; set by `increment` and `number`.
        self._closes_at = 0

    def increment(self) -> int:
        """Count one request; return the number including it. Raises RedisError."""
        while True:
            now = time.time()
            opened = math.ceil(now + self._window_s) * _REQUESTS
            self._closes_at, requests = divmod(_add_and_increment(self.key, opened, self._window_s), _REQUESTS)
            if self._closes_at > now:
                return requests
            cache.delete(self.key)  # the window is over by this machine's clock, though not yet by the cache's

    def take_back(self) -> None:
        """Undo one `increment`, unless its window has closed. Raises RedisError."""
        if divmod(cache.get(self.key) or 0, _REQUESTS)[0] == self._closes_at:
            with contextlib.suppress(ValueError):  # it closed between the two statements
                cache.decr(self.key)

    @property
    def number(self) -> int:
        """Number of requests counted in the window. Raises RedisError."""
        self._closes_at, requests = divmod(cache.get(self.key) or 0, _REQUESTS)
        return requests if self._closes_at > time.time() else 0

    @property
    def closes_in_s(self) -> int:
        """Seconds until the window closes, at least one."""
        return min(self._window_s, max(1, math.ceil(self._closes_at - time.time())))


def _add_and_increment(key: str, initial: int, timeout_s: int) -> int:
    backend = caches[DEFAULT_CACHE_ALIAS]
    if isinstance(backend, CountingRedisCache):
        return backend.add_and_increment(key, initial, timeout_s)
    while True:
        backend.add(key, initial, timeout_s)
        with contextlib.suppress(ValueError):  # it expired between the two statements
            return backend.incr(key)


def count_and_get_wait_s(scope: str, who: int | str, *, most: int, window_s: int = WINDOW_S) -> int | None:
    """Count one request of `who` in `scope`; return the seconds until the window closes, or None if it is allowed.

    Nothing is refused while Redis is away: a driver must be able to finish a trip.
    """
    window, requests = _count(scope, who, window_s)
    return window.closes_in_s if requests > most else None


def _count(scope: str, who: int | str, window_s: int = WINDOW_S) -> tuple[Window, int]:
    """Count one request; return the window and the count. The count is 0 when Redis cannot be reached."""
    window = Window(f"{scope}:{who}", window_s)
    try:
        return window, window.increment()
    except RedisError as error:
        logger.warning("nobody's requests are counted: %s", error)
        return window, 0


def spend(scope: str, who: int | str, *, most: int, window_s: int = WINDOW_S) -> None:
    """Count one request of `who` in `scope`.

    Raises:
        TooManyRequests: more than `most` in this window.
    """
    retry_after_s = count_and_get_wait_s(scope, who, most=most, window_s=window_s)
    if retry_after_s is not None:
        raise too_many(retry_after_s)


def too_many(retry_after_s: int, message: Text = TOO_MANY_REQUESTS) -> TooManyRequests:
    """Return the error for a request over a limit."""
    return TooManyRequests("rate.limited", message, retry_after_s)


def count_call(verb: str, who: int | str, *, setting: str, settings: ServiceSettings | None = None) -> None:
    """Count one call of a domain verb by `who` (an account's or driver's id, a network address) against the setting.

    If `settings` is None, they are read only from the second call of a minute on: every limit is at least 1.

    Raises:
        TooManyRequests: more than the setting allows in this minute.
    """
    window, requests = _count(verb, who)
    if requests <= 1:
        return
    if requests > getattr(settings or ServiceSettings.current(), setting):
        raise too_many(window.closes_in_s)


def count_call_of(user: User, verb: str, setting: str) -> None:
    """Count one call by a user as `count_call` does. Staff who steer everybody's trips are not limited.

    Raises:
        TooManyRequests: more than the setting allows in this minute.
    """
    if not user.may_steer_trips:
        count_call(verb, user.pk, setting=setting)


def counted(verb: str, setting: str) -> Callable[[Callable[Concatenate[int, P], T]], Callable[Concatenate[int, P], T]]:
    """Decorate a verb whose first argument is who calls it (a driver's or user's id) with `count_call`.

    Put it above `in_transaction`, which may run the function more than once.
    """

    def decorate(function: Callable[Concatenate[int, P], T]) -> Callable[Concatenate[int, P], T]:
        @functools.wraps(function)
        def run(who: int, /, *args: P.args, **kwargs: P.kwargs) -> T:
            count_call(verb, who, setting=setting)
            return function(who, *args, **kwargs)

        return run

    return decorate


def digest(text: str) -> str:
    """Hash what people typed for use as a cache key: fixed length, and not readable in the cache."""
    return hashlib.sha256(text.encode()).hexdigest()
