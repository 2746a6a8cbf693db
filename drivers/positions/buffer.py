"""Fixes in, batches out.

Every path (REST, socket) hands its points to `report`. The process keeps the latest believed fix of each driver
(`drivers.positions.fixes` says which are), relays it to the watchers at once and writes all of them in one statement
every `FLUSH_S`, without waiting for the disk. A process without a server (command, test) writes at once.

What a fix needs to know of its driver (approved, which trips) is kept in memory. For drivers who have a socket in this
process events say when it changes (`forget`) and the flush renews it in one go, so their fixes never wait for the
database (`report_now`); others are looked up every `_KNOWN_FOR_S`.
"""

import asyncio
import datetime as dt
import logging
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from channels.layers import get_channel_layer
from django.db import DatabaseError, DataError, IntegrityError, connection, transaction
from msgspec import structs

from drivers.availability import require_approved, sync_dispatchable_locked
from drivers.models import Approval, Driver, DriverPosition
from drivers.positions.fixes import AGREEING_FOR, OLDEST, Doubt, Fix, first_fix, is_noise, keep_aside, next_fix
from drivers.positions.store import append_trail, write_positions
from drivers.positions.tracking import NO_ETA, eta_for, location_frame, point_of, tracked_trip
from drivers.positions.types import DriverFacts, ReportResult, TrackedTrip
from realtime import events, groups
from realtime.layer.hub import HubChannelLayer
from stepper.db.transactions import run_in_thread, service_pool
from stepper.models import ServiceSettings
from trips.models import Trip
from trips.states import ASSIGNED
from trips.waking import wake_trips_around

logger = logging.getLogger("stepper.positions")

FLUSH_S = 1.0
# How long a process believes what it knows about a driver: without a socket of theirs, and with one.
_KNOWN_FOR_S = 2.0
_HELD_FOR_S = 60.0
# Held drivers are looked up again before that, this many a query (SQLite takes 999 parameters).
_RENEW_AHEAD_S = 15.0
_RENEWED_AT_ONCE = 500
# For so long a process takes the fix it knows for the newest; then it looks whether another process has a newer one.
_NEWEST_FOR_S = 120.0
# Points of trails kept while the database is away; then the oldest are given up.
MAX_TRAIL_POINTS = 100_000
TRAIL_STEP = dt.timedelta(seconds=1)


class PositionBuffer:
    """The latest fixes of this process that are not in the database yet. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[int, Fix] = {}
        self._trail: list[tuple[int, Fix]] = []
        self._trailed_at: dict[int, dt.datetime] = {}
        # The last believed fix of each driver, and what is kept aside of those whose newest fixes are implausible.
        self._last: dict[int, Fix] = {}
        self._doubts: dict[int, Doubt] = {}
        self._known: dict[int, DriverFacts] = {}
        # Drivers with sockets in this process, and how many.
        self._held: Counter[int] = Counter()
        # How often anything was forgotten, and at which count each driver was last: what was read before is not kept.
        self._forgets = 0
        self._forgotten: dict[int, int] = {}
        self._came_online: set[int] = set()
        self._fresh = dt.timedelta(seconds=300)
        self._max_kmh = 250.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._layer: Any = None
        # The layer, where it can say who watches.
        self._hub: HubChannelLayer | None = None
        self._task: asyncio.Task[None] | None = None

    # The server's side

    def open(self) -> None:
        """Call on the server's loop."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._layer = get_channel_layer()
        self._hub = self._layer if isinstance(self._layer, HubChannelLayer) else None
        self._task = asyncio.create_task(self._flush_for_ever())

    async def close(self) -> None:
        """Stops and writes what is left."""
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
                if self._latest or self._trail:
                    await run_in_thread(self.flush, pool=service_pool)
                if self._held:
                    await run_in_thread(self._renew, pool=service_pool)
            except DatabaseError as error:
                logger.warning("positions wait for the database: %s", error)
                await asyncio.sleep(1)
            except Exception:  # newer fixes replace what this lost; nothing replaces this loop
                logger.exception("positions could not be written")
                await asyncio.sleep(1)

    # What is known of drivers

    def hold(self, driver_id: int) -> None:
        """A socket of the driver is open here: from now on `forget` is called when something about them changes."""
        self.forget(driver_id)
        with self._lock:
            self._held[driver_id] += 1

    def let_go(self, driver_id: int) -> None:
        with self._lock:
            self._held[driver_id] -= 1
            if self._held[driver_id] <= 0:
                del self._held[driver_id]
                self._known.pop(driver_id, None)

    def forget(self, driver_id: int) -> None:
        """Something about the driver changed: their next fix asks the database again."""
        with self._lock:
            self._forgets += 1
            self._forgotten[driver_id] = self._forgets
            self._known.pop(driver_id, None)

    def _learn(self, driver_ids: Collection[int], settings: ServiceSettings | None = None) -> dict[int, DriverFacts]:
        """Reads what fixes of these drivers need, in two queries; keeps it unless it changed meanwhile."""
        at = self._forgets
        now = dt.datetime.now(dt.UTC)
        with self._lock:
            # Trips that are over are not followed any more.
            for trip_id in [pk for pk, trailed_at in self._trailed_at.items() if now - trailed_at > OLDEST]:
                del self._trailed_at[trip_id]
        settings = settings or ServiceSettings.current()
        self._fresh = dt.timedelta(seconds=settings.position_fresh_s)
        self._max_kmh = float(settings.max_speed_kmh)
        approved = set(
            Driver.objects.filter(pk__in=driver_ids, approval=Approval.APPROVED, user__is_active=True).values_list(
                "pk", flat=True
            )
        )
        rides: dict[int, list[TrackedTrip]] = {}
        for trip in Trip.objects.filter(driver_id__in=driver_ids, status__in=sorted(ASSIGNED)):
            rides.setdefault(trip.driver_id or 0, []).append(tracked_trip(trip, settings))
        until = time.monotonic()
        found = {
            pk: DriverFacts(
                until + (_HELD_FOR_S if pk in self._held else _KNOWN_FOR_S), pk in approved, rides.get(pk, ())
            )
            for pk in driver_ids
        }
        with self._lock:
            for pk, known in found.items():
                if self._forgotten.get(pk, 0) <= at:
                    self._known[pk] = known
        return found

    def _renew(self) -> None:
        """Looks drivers with sockets up again before what is known of them is too old to be believed."""
        soon = time.monotonic() + _RENEW_AHEAD_S
        with self._lock:
            due = [pk for pk in self._held if (known := self._known.get(pk)) is not None and known.until < soon]
        for start in range(0, len(due), _RENEWED_AT_ONCE):
            self._learn(due[start : start + _RENEWED_AT_ONCE])

    # Everybody's side

    def report(self, driver_id: int, points: Sequence[events.Point]) -> ReportResult:
        """Take a driver's points: drop those that are older than the last believed one or say nothing, clamp future
        stamps to now, keep implausible ones aside.

        Reads the database only when this process has not heard of the driver for a moment.

        Raises:
            NotPermitted: driver.not_approved
        """
        known = self.prime(driver_id)
        if not known.is_approved:
            driver = Driver.objects.select_related("user").filter(pk=driver_id).first()
            if driver is not None:
                require_approved(driver)
        return self._accept(driver_id, points, known, time.monotonic())

    def prime(self, driver_id: int, settings: ServiceSettings | None = None) -> DriverFacts:
        """Reads what is not known of the driver, so that their next fixes need no database.

        `settings`: those in force, where the caller has them.
        """
        known, last, now = self._known.get(driver_id), self._last.get(driver_id), time.monotonic()
        if known is None or known.until < now:
            known = self._learn([driver_id], settings)[driver_id]
        if last is None or last.known_at + _NEWEST_FOR_S < now:
            self._read_last(driver_id, now)
        return known

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
        """`report` without the database, on the server's loop; None where the database must be asked."""
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
        return self._accept(driver_id, points, known, now)

    def _accept(
        self, driver_id: int, points: Sequence[events.Point], known: DriverFacts, known_at: float
    ) -> ReportResult:
        now = dt.datetime.now(dt.UTC)
        if len(points) > 1:
            points = sorted(points, key=lambda point: point.recorded_at or now)
        with self._lock:
            before = self._last.get(driver_id)
            last, result = self._judge(driver_id, points, known.rides, before, now, known_at)
            if last is before or last is None:
                return result
            self._last[driver_id] = self._latest[driver_id] = last
            if len(self._trail) > MAX_TRAIL_POINTS:
                logger.warning("the oldest points of trails are given up, the database takes none")
                del self._trail[: max(len(self._trail) - MAX_TRAIL_POINTS, MAX_TRAIL_POINTS // 10)]
        if self._loop is None:
            self.flush()
        elif result.accepted:
            if threading.get_ident() == self._loop_thread:
                self._relay(last, known.rides)
            else:
                self._loop.call_soon_threadsafe(self._relay, last, known.rides)
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
        accepted = kept_aside = clamped = 0
        last = earlier = before
        # Also what no clock can mean: a stamp of the year 1 would end the flush for everybody.
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
            # Stamps of one batch that a clock ahead of ours had clamped to the same instant are in order still. They
            # are judged from the fix before that instant: from one to the next nobody drives anywhere in no time.
            elif not accepted or recorded_at != last_at:
                continue
            if is_noise(point):
                continue
            fix: Fix | None
            if earlier is None:
                fix = first_fix(driver_id, point, recorded_at=recorded_at, received_at=now, known_at=known_at)
            else:
                fix = next_fix(
                    earlier, point, recorded_at=recorded_at, received_at=now, known_at=known_at, max_kmh=self._max_kmh
                ) or self._keep_aside(
                    first_fix(driver_id, point, recorded_at=recorded_at, received_at=now, known_at=known_at)
                )
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
                    self._follow(ride.trip_id, fix)
        if accepted and (before is None or before.recorded_at < now - self._fresh):
            self._came_online.add(driver_id)
        return last, ReportResult(accepted, len(points) - accepted - kept_aside, kept_aside, clamped)

    def _keep_aside(self, fix: Fix) -> Fix | None:
        """Keep an implausible fix aside; return it as one to be believed where enough of them agree."""
        doubt = self._doubts[fix.driver_id] = keep_aside(self._doubts.get(fix.driver_id), fix, self._max_kmh)
        return doubt.latest if doubt.is_settled else None

    def _end_doubt(self, driver_id: int, now: dt.datetime) -> None:
        """Discard what is kept aside: a newer fix is believed."""
        doubt = self._doubts.pop(driver_id, None)
        # Who could not be asked for longer than a moment is looked at again as if they had come online; not after a
        # moment, or a phone could have every trip around it looked at with each of its fixes.
        if doubt is not None and now - doubt.since >= AGREEING_FOR:
            self._came_online.add(driver_id)

    def _follow(self, trip_id: int, fix: Fix) -> None:
        """Adds to a trip's trail, a point a second at most: a map shows no more."""
        trailed_at = self._trailed_at.get(trip_id)
        if trailed_at is None or fix.recorded_at - trailed_at >= TRAIL_STEP:
            self._trailed_at[trip_id] = fix.recorded_at
            self._trail.append((trip_id, fix))

    def _relay(self, fix: Fix, rides: Iterable[TrackedTrip]) -> None:
        """On the server's loop: to whoever watches the driver's trips, and to staff."""
        hub = self._hub
        for ride in rides:
            if ride.tracked_from <= fix.received_at and (hub is None or hub.is_watched(ride.group)):
                self._send(ride.group, ride.group, fix, ride.trip_id, eta_for(fix.point, ride))
        if hub is None or hub.is_watched(groups.STAFF):
            self._send(groups.STAFF, f"driver.{fix.driver_id}", fix, None, NO_ETA)

    def _send(self, group: str, key: str, fix: Fix, trip_id: int | None, to_go: events.Eta) -> None:
        """Hands a position to the layer, where a newer one of its `key` replaces it while it waits."""
        frame = location_frame(
            fix.driver_id, trip_id, point=fix.point, recorded_at=fix.recorded_at, timestamp=fix.received_at, to_go=to_go
        )
        message = {
            "type": "position.relayed",
            "group": group,
            "key": key,
            "driver_id": fix.driver_id,
            "frame": events.encode_bytes(frame),
        }
        if self._hub is not None:
            self._hub.relay(group, message)
            return
        task = asyncio.ensure_future(self._layer.group_send(group, message))
        _sending.add(task)
        task.add_done_callback(_sending.discard)

    def latest(self, driver_id: int, row: DriverPosition | None) -> DriverPosition | None:
        """The newest position of a driver: their row, or a believed fix that this process has not written yet."""
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
        """Writes the latest fixes and the trail in one transaction; returns the number of drivers written.

        Does not wait for the disk: a lost second of positions is replaced by the next one.
        """
        with self._lock:
            latest, self._latest = self._latest, {}
            trail, self._trail = self._trail, []
            # The others' first fix is still on its way here: until it is written nothing can find them.
            came_online = self._came_online & latest.keys()
            self._came_online -= came_online
        if not latest and not trail:
            return 0
        try:
            with transaction.atomic():
                if connection.vendor == "postgresql":
                    with connection.cursor() as cursor:
                        # A hash join would take the rows as they lie on the disk, not in the order of the fixes.
                        cursor.execute("SET LOCAL synchronous_commit = off; SET LOCAL enable_hashjoin = off")
                # Ascending, so that two processes cannot wait for each other.
                write_positions([latest[driver_id] for driver_id in sorted(latest)])
                append_trail(trail)
        except DatabaseError as error:
            # A trail that can never be written (its trip is gone) must not stop everybody's positions for ever.
            refused = isinstance(error, IntegrityError | DataError)
            with self._lock:
                self._latest = {**latest, **self._latest}
                self._trail = self._trail if refused else trail + self._trail
                self._came_online |= came_online
            raise
        if came_online:
            try:
                sync_dispatchable_locked(came_online)
                wake_trips_around(came_online)
            except DatabaseError:
                with self._lock:
                    self._came_online |= came_online
                raise
        return len(latest)


_sending: set[asyncio.Future[None]] = set()

buffer = PositionBuffer()
report = buffer.report
