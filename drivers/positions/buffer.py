"""The buffer of GPS fixes: each is relayed at once, all are written once a second.

Every path (REST, socket) hands its points to `report`. The process keeps the latest believed fix of each driver
(`drivers.positions.fixes` says which are), relays it to the watchers at once and writes all of them in one statement
every `FLUSH_S`, without waiting for the disk. A process without a server (command, test) writes at once.

What a fix needs to know of its driver (approved, which trips) is kept in memory (`drivers.positions.facts`); where it
is there, the fix does not wait for the database (`report_now`).
"""

import asyncio
import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from threading import get_ident

from channels.layers import get_channel_layer
from django.db import DatabaseError, DataError, IntegrityError
from msgspec import structs

from drivers.availability import require_approved, sync_dispatchable_locked
from drivers.models import Driver, DriverPosition
from drivers.positions.facts import KnownDrivers
from drivers.positions.fixes import AGREEING_FOR, OLDEST, Doubt, Fix, first_fix, is_noise, keep_aside, next_fix
from drivers.positions.relaying import PositionRelay
from drivers.positions.store import write_apart, write_batch
from drivers.positions.tracking import point_of
from drivers.positions.trails import TrailBuffer, TrailFix
from drivers.positions.types import DriverFacts, ReportResult, TrackedTrip
from realtime import events
from stepper.db.clock import database_now
from stepper.db.transactions import run_in_thread, service_pool
from stepper.models import ServiceSettings
from trips.waking import wake_trips_around

logger = logging.getLogger("stepper.positions")

FLUSH_S = 1.0
# After this long a process checks whether another one has stored a newer fix than the one it knows.
_NEWEST_FOR_S = 120.0
# What is known of a driver who sends nothing for so long is forgotten: their next fix reads the database anyway.
_IDLE_FOR_S = 3600.0
_FORGET_EVERY_S = 60.0
# The result of nearly every report, created once.
_ONE_ACCEPTED = ReportResult(accepted=1, dropped=0, kept_aside=0, clamped=0)


class PositionBuffer:
    """The latest fixes of this process that are not in the database yet. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[int, Fix] = {}
        self._trail = TrailBuffer()
        # The last believed fix of each driver; and, of drivers whose newest fixes are implausible, those kept aside.
        self._last: dict[int, Fix] = {}
        self._doubts: dict[int, Doubt] = {}
        self.facts = KnownDrivers()
        # The dictionary of `facts`, which every fix reads.
        self._known = self.facts.known
        # Drivers whose next written fix makes the search find them again.
        self._findable_again: set[int] = set()
        self._forget_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        # `PositionRelay.relay_fix` of this process, bound; None without a server.
        self._relay: Callable[[Fix, Iterable[TrackedTrip]], None] | None = None
        self._task: asyncio.Task[None] | None = None

    # The server's side

    def open(self) -> None:
        """Begin to relay and to write. Call on the server's loop."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = get_ident()
        self._relay = PositionRelay(get_channel_layer()).relay_fix
        self._task = asyncio.create_task(self._flush_for_ever())

    async def close(self) -> None:
        """Stop, and write what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task, self._loop = None, None
        try:
            await run_in_thread(self.flush, pool=service_pool)
        except DatabaseError as error:
            logger.warning("positions of the last moment are lost: %s", error)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                if self._latest or self._trail.points:
                    await run_in_thread(self.flush, pool=service_pool)
                if self.facts.sockets:
                    self._forget_drivers(await run_in_thread(self.facts.renew_facts, pool=service_pool))
                self._forget_idle(time.monotonic())
            except DatabaseError as error:
                logger.warning("positions wait for the database: %s", error)
                await asyncio.sleep(1)
            except Exception:  # newer fixes replace what this lost; nothing replaces this loop
                logger.exception("positions could not be written")
                await asyncio.sleep(1)

    # Everybody's side

    def report(self, driver_id: int, points: Sequence[events.Point]) -> ReportResult:
        """Take a driver's points: drop those that say nothing, clamp future stamps to now, keep implausible ones aside.

        Points older than the last believed one only complete the trail of a trip (drivers.positions.late).

        Reads the database only if this process does not know the driver's facts or newest fix, or only old ones.

        Raises:
            NotPermitted: driver.not_approved
        """
        known = self.load_facts(driver_id)
        if not known.is_approved:
            driver = Driver.objects.select_related("user").filter(pk=driver_id).first()
            if driver is not None:
                require_approved(driver)
        return self._accept_fix(driver_id, points, known, time.monotonic())

    def load_facts(self, driver_id: int, settings: ServiceSettings | None = None) -> DriverFacts:
        """Read the driver's facts and newest fix unless known, so that their next fixes need no database.

        `settings` None: read them if they are needed.
        """
        known, last, now = self._known.get(driver_id), self._last.get(driver_id), time.monotonic()
        if known is None or known.until < now:
            known = self.facts.read_facts([driver_id], settings)[driver_id]
        if not known.is_approved:
            # Also of an account that was deleted meanwhile: nothing of it stays here.
            self._forget_drivers([driver_id])
        elif last is None or last.known_at + _NEWEST_FOR_S < now:
            self._read_last(driver_id, now)
        return known

    def _forget_drivers(self, driver_ids: Iterable[int]) -> None:
        """Forget the fixes of drivers, also those that are not written yet."""
        with self._lock:
            for driver_id in driver_ids:
                for kept in (self._last, self._latest, self._doubts):
                    kept.pop(driver_id, None)
                self._findable_again.discard(driver_id)

    def _forget_idle(self, now: float) -> None:
        """Forget, once a minute, what is kept of drivers and trips that send nothing any more."""
        if now < self._forget_at:
            return
        self._forget_at = now + _FORGET_EVERY_S
        self.facts.forget_expired()
        with self._lock:
            idle = [pk for pk, last in self._last.items() if last.known_at + _IDLE_FOR_S < now]
            for driver_id in [pk for pk in idle if pk not in self._latest]:
                del self._last[driver_id]
                self._doubts.pop(driver_id, None)
            self._trail.forget_ended(database_now())

    def _read_last(self, driver_id: int, now: float) -> None:
        """Read the stored position, which another process may have written."""
        row = DriverPosition.objects.filter(driver_id=driver_id).first()
        with self._lock:
            last = self._last.get(driver_id)
            if row is not None and (last is None or row.recorded_at > last.recorded_at):
                read = first_fix(
                    driver_id, point_of(row), recorded_at=row.recorded_at, received_at=row.received_at, known_at=now
                )
                self._last[driver_id] = structs.replace(read, is_doubted=row.jumped)
                self._doubts.pop(driver_id, None)
            elif last is not None:
                self._last[driver_id] = structs.replace(last, known_at=now)

    def report_now(self, driver_id: int, points: Sequence[events.Point]) -> ReportResult | None:
        """Do `report` without the database, on the server's loop; None: the database is needed, nothing was done."""
        known, last, now = self._known.get(driver_id), self._last.get(driver_id), time.monotonic()
        if (
            known is None
            or not known.is_approved
            or known.until < now
            or last is None
            or last.known_at + _NEWEST_FOR_S < now
            or self._loop is None
        ):
            return None
        return self._accept_fix(driver_id, points, known, now)

    def _accept_fix(
        self, driver_id: int, points: Sequence[events.Point], known: DriverFacts, known_at: float
    ) -> ReportResult:
        now = database_now()
        if len(points) > 1:
            points = sorted(points, key=lambda point: point.recorded_at or now)
        with self._lock:
            before = self._last.get(driver_id)
            last, result = self._judge(driver_id, points, known.rides, before, now, known_at)
            if result.dropped and before is not None:
                late = self._trail.follow_late(
                    points, known.rides, newest=before, received_at=now, max_kmh=self.facts.max_kmh
                )
                result = structs.replace(result, dropped=result.dropped - late, late=late)
            if last is None or (last is before and not result.late):
                return result
            if last is not before:
                self._last[driver_id] = self._latest[driver_id] = last
        relay = self._relay
        if relay is None or self._loop is None:
            self.flush()
        elif result.accepted:
            if get_ident() == self._loop_thread:
                relay(last, known.rides)
            else:
                self._loop.call_soon_threadsafe(relay, last, known.rides)
        return result

    def _judge(
        self,
        driver_id: int,
        points: Sequence[events.Point],
        rides: Sequence[TrackedTrip],
        before: Fix | None,
        now: dt.datetime,
        known_at: float,
    ) -> tuple[Fix | None, ReportResult]:
        """Sort points into believed, kept aside and dropped; return the last believed fix, `before` where none is new.

        `points` by their time. Call it with the lock.
        """
        facts = self.facts
        accepted = kept_aside = clamped = 0
        last = earlier = before
        # Also ignore impossible times: the year 1 would break the flush.
        last_at = before.recorded_at if before is not None else now - OLDEST
        for point in points:
            recorded_at = point.recorded_at
            if recorded_at is None:
                recorded_at = now
            elif recorded_at > now:
                recorded_at = now
                clamped += 1
            if recorded_at > last_at:
                earlier = last
            # Points clamped to the same instant are in order, and are compared with the fix before them: with no time
            # elapsed any distance would be implausible.
            elif not accepted or recorded_at != last_at:
                continue
            if is_noise(point):
                continue
            fix: Fix | None = None
            if earlier is not None:
                fix = next_fix(
                    earlier, point, recorded_at=recorded_at, received_at=now, known_at=known_at, max_kmh=facts.max_kmh
                )
            if fix is None:
                fix = first_fix(driver_id, point, recorded_at=recorded_at, received_at=now, known_at=known_at)
                if earlier is not None:
                    fix = self._keep_aside(fix)
            if fix is None:
                kept_aside += 1
                if last is not None and not last.is_doubted:
                    last = structs.replace(last, is_doubted=True)
                continue
            if self._doubts:
                self._end_doubt(driver_id, now)
            last, last_at = fix, recorded_at
            accepted += 1
            for ride in rides:
                if ride.is_driven:
                    self._trail.follow(ride, fix)
        if accepted and (before is None or before.recorded_at < now - facts.fresh_for):
            self._findable_again.add(driver_id)
        if accepted == 1 == len(points) and not clamped:
            return last, _ONE_ACCEPTED
        return last, ReportResult(accepted, len(points) - accepted - kept_aside, kept_aside, clamped)

    def _keep_aside(self, fix: Fix) -> Fix | None:
        """Keep an implausible fix aside; return it as one to be believed where enough of them agree."""
        doubt = self._doubts[fix.driver_id] = keep_aside(self._doubts.get(fix.driver_id), fix, self.facts.max_kmh)
        return doubt.latest if doubt.is_settled else None

    def _end_doubt(self, driver_id: int, now: dt.datetime) -> None:
        """Discard what is kept aside: a newer fix is believed."""
        doubt = self._doubts.pop(driver_id, None)
        # A driver in doubt for AGREEING_FOR or longer wakes the trips around like one who came online. Not after a
        # shorter doubt: otherwise a phone could start a search of every trip around with each of its fixes.
        if doubt is not None and now - doubt.since >= AGREEING_FOR:
            self._findable_again.add(driver_id)

    def latest(self, driver_id: int, row: DriverPosition | None) -> DriverPosition | None:
        """Return a driver's newest position: their row, or a believed fix that this process has not written yet."""
        last = self._last.get(driver_id)
        if last is None or (row is not None and row.recorded_at > last.recorded_at):
            return row
        return DriverPosition(
            driver_id=driver_id,
            lat=last.point.lat,
            lng=last.point.lng,
            accuracy_m=last.point.accuracy_m,
            recorded_at=last.recorded_at,
            received_at=last.received_at,
            jumped=last.is_doubted,
        )

    def flush(self) -> int:
        """Write the latest fixes and the trail in one transaction; return the number of drivers written.

        Does not wait for the disk: a lost second of positions is replaced by the next one.
        """
        with self._lock:
            latest, self._latest = self._latest, {}
            trail = self._trail.take()
            # The fixes of the others are not in this batch yet: until they are written the search cannot find them.
            findable = self._findable_again & latest.keys()
            self._findable_again -= findable
        if not latest and not trail:
            return 0
        try:
            self._write([latest[driver_id] for driver_id in sorted(latest)], trail)
        except DatabaseError:
            with self._lock:
                self._latest = {**latest, **self._latest}
                self._trail.put_back(trail)
                self._findable_again |= findable
            raise
        if findable:
            try:
                sync_dispatchable_locked(findable)
                wake_trips_around(findable)
            except DatabaseError:
                with self._lock:
                    self._findable_again |= findable
                raise
        return len(latest)

    def _write(self, fixes: Sequence[Fix], trail: Sequence[TrailFix]) -> None:
        """Write fixes, ascending by driver so that two processes cannot wait for each other, and points of trails."""
        try:
            write_batch(fixes, trail)
        except (IntegrityError, DataError) as error:
            logger.warning("positions were refused as one batch and are written one by one: %s", error)
            for driver_id in write_apart(fixes, trail):
                # What was known of them led to what is refused.
                self.facts.forget_driver(driver_id)


buffer = PositionBuffer()
report = buffer.report
