"""The dispatcher: deadlines, rounds that are due, trips given up, drivers' working time, trips that have a driver.

Any number of them may run. Also forgets what is no longer needed.
"""

import asyncio
import contextlib
import datetime as dt
import logging
import os
import socket
import time

from django.db import DatabaseError
from django.utils import timezone

from drivers import metrics, working_time
from drivers.models import TrailPoint
from realtime.models import Event, ServerBeat
from stepper.db.transactions import run_in_thread, service_pool
from stepper.models import ServiceSettings
from trips import deadlines, unfilled, watch
from trips.models import DispatchRound

logger = logging.getLogger("stepper.server.dispatcher")

TICK_S = 0.25
# Breaks, hours and trips under way are judged in minutes.
SUPERVISE_S = 2.0
# Looked after at once; everybody's hours may begin at eight.
BATCH = 100
BEAT_S = 5.0
PRUNE_S = 600.0
# Where more is to be forgotten than one go takes, the next one is due sooner.
PRUNE_ON_S = 10.0
PRUNED_AT_ONCE = 20_000


def dispatch_due() -> int:
    """One look at everything that is due; returns what was done.

    Where more deadlines have passed than one look settles, they come first: they take no time, rounds do.
    """
    if not deadlines.is_anything_due():
        return 0
    expired = deadlines.expire_due_offers()
    if expired >= deadlines.EXPIRED_AT_ONCE:
        return expired
    return expired + deadlines.start_due_rounds() + deadlines.cancel_due_searches()


def supervise_due() -> bool:
    """One look at drivers' working time and at trips whose driver is expected; True: there may be more to do now."""
    done = (
        working_time.apply_due(BATCH),
        watch.watch_due(BATCH),
        metrics.count_due(BATCH),
        unfilled.escalate_due(BATCH),
    )
    return max(done) >= BATCH


def prune() -> int:
    """Delete events, rounds and points of trails older than they are kept, and dispatchers long gone.

    Return how many rows; `PRUNED_AT_ONCE` or more: there may be more to delete.
    """
    now = timezone.now()
    ServerBeat.objects.filter(beat_at__lt=now - dt.timedelta(days=1)).delete()
    settings = ServiceSettings.current()
    # The oldest ones, found by their keys: an index on the time would be written with every row and read by nobody.
    oldest_rounds = DispatchRound.objects.order_by("pk").values("pk")[:PRUNED_AT_ONCE]
    kept_since = now - dt.timedelta(days=settings.rounds_kept_days)
    done = DispatchRound.objects.filter(pk__in=oldest_rounds, created_at__lt=kept_since).delete()[0]
    oldest_points = TrailPoint.objects.order_by("pk").values("pk")[:PRUNED_AT_ONCE]
    kept_since = now - dt.timedelta(days=settings.trail_kept_days)
    done += TrailPoint.objects.filter(pk__in=oldest_points, recorded_at__lt=kept_since).delete()[0]
    kept_for = dt.timedelta(hours=settings.event_log_hours)
    return done + Event.objects.filter(created_at__lt=now - kept_for, published_at__isnull=False).delete()[0]


class Dispatcher:
    """The loop of one process. State is in the database only, so it may be killed at any moment."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self.run())

    async def stop(self) -> None:
        """Stop once what is being done is finished."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def run(self) -> None:
        """Until stopped. Offers never wait for what is judged in minutes."""
        await asyncio.gather(self._dispatch(), self._look_after())

    async def _look_after(self) -> None:
        while not self._stopping.is_set():
            try:
                more = await run_in_thread(supervise_due, pool=service_pool)
            except DatabaseError as error:
                logger.warning("working time and watches wait for the database: %s", error)
                more = False
            except Exception:  # as below: nothing may end this loop
                logger.exception("looking after drivers and trips failed")
                more = False
            if not more:
                await self._pause(SUPERVISE_S)

    async def _dispatch(self) -> None:
        beat_due = prune_due = 0.0
        while not self._stopping.is_set():
            try:
                if time.monotonic() >= beat_due:
                    await run_in_thread(self._beat, pool=service_pool)
                    beat_due = time.monotonic() + BEAT_S
                done = await run_in_thread(dispatch_due, pool=service_pool)
                if time.monotonic() >= prune_due:
                    pruned = await run_in_thread(prune, pool=service_pool)
                    prune_due = time.monotonic() + (PRUNE_S if pruned < PRUNED_AT_ONCE else PRUNE_ON_S)
            except DatabaseError as error:
                logger.warning("the dispatcher waits for the database: %s", error)
                done = 0
                await self._pause(1)
            except Exception:  # one trip that cannot be handled must not end dispatch for all of them
                logger.exception("the dispatcher failed")
                done = 0
                await self._pause(1)
            if not done:
                await self._pause(TICK_S)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _beat(self) -> None:
        ServerBeat.objects.update_or_create(name=self.name, defaults={"beat_at": timezone.now()})
