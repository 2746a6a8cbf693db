"""The dispatcher: deadlines, due rounds, searches that end, drivers' working time, watches of trips with a driver.

Any number of dispatchers may run. Each also deletes old rows (stepper.server.pruning), and one of them at a time counts
for the reports (trips.reports) and sends those of the night.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time

from django.db import DatabaseError
from django.utils import timezone

from drivers import metrics, validity, working_time
from realtime.models import ServerBeat
from stepper.audit import retention
from stepper.audit.context import by_system
from stepper.db.durability import sync_log
from stepper.db.transactions import run_in_thread, service_pool
from stepper.server.pruning import Pruner
from trips import deadlines, unfilled, watch
from trips.reports import keeping, nightly

logger = logging.getLogger("stepper.server.dispatcher")

TICK_S = 0.25
# Breaks, hours and watches need no more precision: their limits are minutes.
SUPERVISE_S = 2.0
# Rows of a kind that one pass handles: the hours of many drivers may begin at the same time.
BATCH = 100
BEAT_S = 5.0
# Months of the audit log end seldom.
DROPS_AUDIT_S = 24 * 3600.0
# A server that has just started has people to answer; what is old can wait.
PRUNES_AFTER_S = 30.0
COUNTS_AFTER_S = 15.0


def dispatch_due() -> int:
    """Handle offers, rounds and searches that are due; return the number of trips handled.

    If more offers have expired than one pass settles, the next pass settles more of them before rounds start, because
    they take little time and rounds take long.
    """
    if not deadlines.is_anything_due():
        return 0
    expired = deadlines.expire_due_offers()
    if expired >= deadlines.EXPIRED_AT_ONCE:
        return expired
    started = deadlines.start_due_rounds()
    with by_system("dispatcher: end of search"):
        return expired + started + deadlines.cancel_due_searches()


def supervise_due() -> bool:
    """Handle due working time, watches, metrics, unfilled trips and reminders of documents, one batch each.

    Return whether more may be due now.
    """
    done = (
        working_time.apply_due(BATCH),
        watch.watch_due(BATCH),
        metrics.count_due(BATCH),
        unfilled.escalate_due(BATCH),
        validity.remind_due(BATCH),
    )
    return max(done) >= BATCH


def report_due() -> float:
    """Count days for the reports, and send those of the night; return the seconds until it is due again."""
    waits_s = keeping.count_due()
    nightly.send_due()
    return waits_s


class Dispatcher:
    """The dispatcher's loops in one process. All state is in the database, so it may be killed at any moment."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._pruner = Pruner()

    def start(self) -> None:
        self._task = asyncio.create_task(self.run())

    async def stop(self) -> None:
        """Stop after the present pass."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def run(self) -> None:
        """Run the loops until stopped. They are separate, so that offers wait for nothing else."""
        await asyncio.gather(self._dispatch(), self._look_after(), self._prune(), self._count())

    async def _look_after(self) -> None:
        while not self._stopping.is_set():
            try:
                more = await run_in_thread(supervise_due, pool=service_pool)
            except DatabaseError as error:
                logger.warning("working time and watches wait for the database: %s", error)
                more = False
            except Exception:  # as in `_dispatch`: nothing may end this loop
                logger.exception("looking after drivers and trips failed")
                more = False
            if not more:
                await self._pause(SUPERVISE_S)

    async def _dispatch(self) -> None:
        beat_due = 0.0
        while not self._stopping.is_set():
            try:
                if time.monotonic() >= beat_due:
                    await run_in_thread(self._beat, pool=service_pool)
                    beat_due = time.monotonic() + BEAT_S
                done = await run_in_thread(dispatch_due, pool=service_pool)
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

    async def _prune(self) -> None:
        await self._pause(PRUNES_AFTER_S)
        audit_due = 0.0
        while not self._stopping.is_set():
            try:
                if time.monotonic() >= audit_due:
                    audit_due = time.monotonic() + DROPS_AUDIT_S
                    await self._drop_audit()
                wait_s = await run_in_thread(self._pruner.prune_due, pool=service_pool)
            except DatabaseError as error:
                logger.warning("the deletion of old rows waits for the database: %s", error)
                wait_s = 1.0
            except Exception:  # as in `_dispatch`: nothing may end this loop
                logger.exception("old rows were not deleted")
                wait_s = 1.0
            await self._pause(wait_s)

    async def _drop_audit(self) -> None:
        """Drop old months of the audit log; where that fails, other old rows still go."""
        try:
            await run_in_thread(retention.drop_old_months, pool=service_pool)
        except Exception:
            logger.exception("old months of the audit log were not dropped")

    async def _count(self) -> None:
        await self._pause(COUNTS_AFTER_S)
        while not self._stopping.is_set():
            try:
                wait_s = await run_in_thread(report_due, pool=service_pool)
            except DatabaseError as error:
                logger.warning("counting for the reports waits for the database: %s", error)
                wait_s = 5.0
            except Exception:  # as in `_dispatch`: nothing may end this loop
                logger.exception("nothing was counted for the reports")
                wait_s = 60.0
            await self._pause(wait_s)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _beat(self) -> None:
        ServerBeat.objects.update_or_create(name=self.name, defaults={"beat_at": timezone.now()})
        sync_log()
