"""Fixes in, batches out.

Every path (REST, socket) hands its points to `report`. The process keeps the latest fix of each driver, relays it to
the watchers at once and writes all of them in one statement every `FLUSH_S`, without waiting for the disk. A process
without a server (command, test) writes at once.
"""

import asyncio
import datetime as dt
import logging
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from channels.layers import get_channel_layer
from django.db import DatabaseError, DataError, IntegrityError, connection, transaction
from django.utils import timezone
from msgspec import Struct

from realtime import events, groups
from stepper.models import ServiceSettings
from stepper.transactions import in_thread
from trips import eta
from trips.models import Trip
from trips.states import ABOARD, ASSIGNED, DRIVING

from . import geo
from .models import DriverPosition, TrailPoint

logger = logging.getLogger("stepper.positions")

FLUSH_S = 0.5
# How long a process believes what it knows about a driver's trips.
_KNOWN_FOR = dt.timedelta(seconds=2)
# A first fix older than this says nothing about where the driver is.
_OLDEST = dt.timedelta(days=1)


class ReportResult(Struct, frozen=True):
    """How many points were newer than the last known one, and how many were not and were dropped."""

    accepted: int
    dropped: int


class _Fix(NamedTuple):
    driver_id: int
    point: events.Point
    recorded_at: dt.datetime
    received_at: dt.datetime


class _Ride(NamedTuple):
    """What relaying a fix needs of a trip under way."""

    trip_id: int
    status: str
    pickup: tuple[float, float]
    dropoff: tuple[float, float]
    is_tracked: bool


class _Known(NamedTuple):
    until: dt.datetime
    rides: list[_Ride]


class PositionBuffer:
    """The latest fixes of this process that are not in the database yet. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[int, _Fix] = {}
        self._trail: list[tuple[int, _Fix]] = []
        self._last_at: dict[int, dt.datetime] = {}
        self._known: dict[int, _Known] = {}
        self._came_online: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    # The server's side

    def open(self) -> None:
        """Call on the server's loop."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._flush_for_ever())

    async def close(self) -> None:
        """Stops and writes what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task, self._loop = None, None
        try:
            await in_thread(self.flush)
        except DatabaseError as error:
            logger.warning("positions of the last moment are lost: %s", error)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            if self._latest or self._trail:
                try:
                    await in_thread(self.flush)
                except DatabaseError as error:
                    logger.warning("positions wait for the database: %s", error)
                    await asyncio.sleep(1)
                except Exception:  # newer fixes replace what this lost; nothing replaces this loop
                    logger.exception("positions could not be written")
                    await asyncio.sleep(1)

    # Everybody's side

    def report(self, driver_id: int, points: Sequence[events.Point]) -> ReportResult:
        """Takes a driver's points: drops those older than the last known one, clamps future stamps to now.

        Reads the database only when this process has not heard of the driver for a moment.
        """
        now = timezone.now()
        rides = self._rides(driver_id, now)
        with self._lock:
            # Also what no clock can mean: a stamp of the year 1 would end the flush for everybody.
            last_at = self._last_at.get(driver_id, now - _OLDEST)
            fixes: list[_Fix] = []
            for point in sorted(points, key=lambda one: one.recorded_at or now):
                recorded_at = min(point.recorded_at or now, now)
                # Stamps of one batch that a clock ahead of ours had clamped to the same instant are in order still.
                if recorded_at > last_at or (fixes and recorded_at == last_at):
                    fixes.append(_Fix(driver_id, point, recorded_at, now))
                    last_at = recorded_at
            if not fixes:
                return ReportResult(accepted=0, dropped=len(points))
            self._last_at[driver_id] = fixes[-1].recorded_at
            self._latest[driver_id] = fixes[-1]
            self._trail += [(ride.trip_id, fix) for ride in rides if ride.status in DRIVING for fix in fixes]
        self._relay(fixes[-1], rides)
        if self._loop is None:
            self.flush()
        return ReportResult(accepted=len(fixes), dropped=len(points) - len(fixes))

    def _rides(self, driver_id: int, now: dt.datetime) -> list[_Ride]:
        known = self._known.get(driver_id)
        if known is not None and known.until > now:
            return known.rides
        settings = ServiceSettings.current()
        opens_at = now + dt.timedelta(minutes=settings.tracking_opens_min)
        rides = [
            _Ride(
                trip.pk,
                trip.status,
                (trip.pickup_lat, trip.pickup_lng),
                (trip.dropoff_lat, trip.dropoff_lng),
                trip.departure_at <= opens_at,
            )
            for trip in Trip.objects.filter(driver_id=driver_id, status__in=sorted(ASSIGNED))
        ]
        if driver_id not in self._last_at:
            row = DriverPosition.objects.filter(driver_id=driver_id).first()
            fresh_since = now - dt.timedelta(seconds=settings.position_fresh_s)
            if row is not None:
                self._last_at.setdefault(driver_id, row.recorded_at)
            came_online = row is None or row.recorded_at < fresh_since
        else:
            came_online = self._last_at[driver_id] < now - dt.timedelta(seconds=settings.position_fresh_s)
        if came_online:
            with self._lock:
                self._came_online.add(driver_id)
        self._known[driver_id] = _Known(now + _KNOWN_FOR, rides)
        return rides

    def _relay(self, fix: _Fix, rides: Sequence[_Ride]) -> None:
        if self._loop is None:
            return
        for ride in rides:
            if ride.is_tracked:
                frame = location_frame(fix.driver_id, ride.trip_id, fix.point, fix.recorded_at, _eta(fix.point, ride))
                self._loop.call_soon_threadsafe(_send, groups.trip(ride.trip_id), f"trip.{ride.trip_id}", frame)
        frame = location_frame(fix.driver_id, None, fix.point, fix.recorded_at, events.Eta())
        self._loop.call_soon_threadsafe(_send, groups.STAFF, f"driver.{fix.driver_id}", frame)

    def flush(self) -> int:
        """Writes the latest fixes and the trail in one transaction; returns the number of drivers written.

        Does not wait for the disk: a lost second of positions is replaced by the next one.
        """
        from trips.dispatch import wake_around

        from .availability import settle_dispatchable

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
                        cursor.execute("SET LOCAL synchronous_commit = off")
                # Ascending, so that two processes cannot wait for each other.
                _upsert([latest[driver_id] for driver_id in sorted(latest)])
                TrailPoint.objects.bulk_create(
                    TrailPoint(trip_id=trip_id, lat=fix.point.lat, lng=fix.point.lng, recorded_at=fix.recorded_at)
                    for trip_id, fix in trail
                )
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
                settle_dispatchable(came_online)
                wake_around(came_online)
            except DatabaseError:
                with self._lock:
                    self._came_online |= came_online
                raise
        return len(latest)


_COLUMNS = "driver_id, lat, lng, cell, heading_deg, speed_kmh, accuracy_m, recorded_at, received_at"
_DISPATCHABLE = (
    "(SELECT approval = 'approved' AND availability = 'available' FROM drivers_driver WHERE drivers_driver.id = {})"
)
_ON_CONFLICT = (
    "ON CONFLICT (driver_id) DO UPDATE SET lat = excluded.lat, lng = excluded.lng, cell = excluded.cell, "
    "heading_deg = excluded.heading_deg, speed_kmh = excluded.speed_kmh, accuracy_m = excluded.accuracy_m, "
    "recorded_at = excluded.recorded_at, received_at = excluded.received_at "
    "WHERE excluded.recorded_at > drivers_driverposition.recorded_at"
)


def _upsert(fixes: Sequence[_Fix]) -> None:
    rows = [
        (
            fix.driver_id,
            fix.point.lat,
            fix.point.lng,
            geo.cell(fix.point.lat, fix.point.lng),
            fix.point.heading_deg,
            fix.point.speed_kmh,
            fix.point.accuracy_m,
            fix.recorded_at,
            fix.received_at,
        )
        for fix in fixes
    ]
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            types = "bigint[], float8[], float8[], bigint[], float8[], float8[], float8[], timestamptz[], timestamptz[]"
            arrays = ", ".join(f"%s::{kind}" for kind in types.split(", "))
            # S608: the text is made of constants of this module only.
            cursor.execute(
                f"INSERT INTO drivers_driverposition ({_COLUMNS}, dispatchable) "  # noqa: S608
                f"SELECT new.*, {_DISPATCHABLE.format('new.driver_id')} FROM unnest({arrays}) AS new({_COLUMNS}) "
                f"WHERE EXISTS (SELECT 1 FROM drivers_driver d WHERE d.id = new.driver_id) {_ON_CONFLICT}",
                [list(column) for column in zip(*rows, strict=True)],
            )
        else:
            adapt = connection.ops.adapt_datetimefield_value
            cursor.executemany(
                f"INSERT INTO drivers_driverposition ({_COLUMNS}, dispatchable) "  # noqa: S608
                f"SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, {_DISPATCHABLE.format('%s')} "
                f"WHERE EXISTS (SELECT 1 FROM drivers_driver d WHERE d.id = %s) {_ON_CONFLICT}",
                [(*row[:7], adapt(row[7]), adapt(row[8]), row[0], row[0]) for row in rows],
            )


def location_frame(
    driver_id: int, trip_id: int | None, point: events.Point, recorded_at: dt.datetime, to_go: events.Eta
) -> events.DriverLocationUpdated:
    return events.DriverLocationUpdated(
        trip_id=trip_id,
        driver_id=driver_id,
        lat=point.lat,
        lng=point.lng,
        heading_deg=point.heading_deg,
        speed_kmh=point.speed_kmh,
        accuracy_m=point.accuracy_m,
        recorded_at=recorded_at,
        eta=to_go,
    )


def _eta(point: events.Point, ride: _Ride) -> events.Eta:
    """Minutes to the pickup until the passengers are aboard, and to the dropoff (by way of the pickup before)."""
    here = (point.lat, point.lng)
    if ride.status in ABOARD:
        return events.Eta(None, eta.minutes(geo.distance_km(*here, *ride.dropoff), point.speed_kmh))
    pickup_min = eta.minutes(geo.distance_km(*here, *ride.pickup), point.speed_kmh)
    return events.Eta(pickup_min, pickup_min + eta.minutes(geo.distance_km(*ride.pickup, *ride.dropoff)))


def _send(group: str, key: str, frame: events.DriverLocationUpdated) -> None:
    """On the server's loop: hands a position to the layer, where a newer one replaces it while it waits."""
    message: dict[str, Any] = {"type": "position.relayed", "group": group, "key": key, "frame": events.encode(frame)}
    task = asyncio.ensure_future(get_channel_layer().group_send(group, message))
    _sending.add(task)
    task.add_done_callback(_sending.discard)


_sending: set[asyncio.Future[None]] = set()

buffer = PositionBuffer()
report = buffer.report


def last_known(trip: Trip, max_age_s: int) -> events.DriverLocationUpdated | None:
    """The last position of a trip's driver where it is fresh enough to be replayed to a new watcher."""
    if trip.driver_id is None or trip.status not in ASSIGNED:
        return None
    row = DriverPosition.objects.filter(driver_id=trip.driver_id).first()
    if row is None or not row.is_fresh(max_age_s):
        return None
    point = events.Point(
        lat=row.lat,
        lng=row.lng,
        heading_deg=row.heading_deg,
        speed_kmh=row.speed_kmh,
        accuracy_m=row.accuracy_m,
    )
    ride = _Ride(trip.pk, trip.status, (trip.pickup_lat, trip.pickup_lng), (trip.dropoff_lat, trip.dropoff_lng), True)
    return location_frame(trip.driver_id, trip.pk, point, row.recorded_at, _eta(point, ride))
