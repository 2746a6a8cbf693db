"""What the room shows of drivers and trips, read once a second for all viewers of a process."""

import datetime as dt
import enum
import hashlib
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from django.utils import timezone
from msgspec import Struct

from drivers.models import Availability, Driver, DriverPosition
from stepper.db.clock import database_now
from stepper.models import ServiceSettings
from trips.attention import live_trips
from trips.room import claims, queue
from trips.states import ABOARD, DRIVING, OPEN, TripStatus

# Degrees are sent as whole numbers of 0.00001°, about a metre.
E5: Final = 100_000
# Trips are on the map from so long before their departure.
AHEAD: Final = dt.timedelta(hours=24)
# Positions are written once a second, perhaps by a statement that takes a while: so far back they are read again.
_OVERLAP: Final = dt.timedelta(seconds=5)
# All positions are read anew so often: what waited for the database longer than _OVERLAP.
_ALL_EVERY_S: Final = 30.0
# Applications and documents do not change by the second.
_DRIVERS_EVERY_S: Final = 10.0

# Number, latitude and longitude in E5, state.
Point = tuple[int, int, int, int]


class DriverState(enum.IntEnum):
    """In which colour a driver is on the map."""

    FREE = 0
    ON_TRIP = 1
    ON_BREAK = 2
    # Whatever they do: their position is old.
    STALE = 3


class TripState(enum.IntEnum):
    """In which colour a trip is on the map."""

    LOOKING = 0
    UNFILLED = 1
    TAKEN = 2
    COMING = 3
    ABOARD = 4


# The counters, in the order in which frames have them.
COUNTERS: Final = (
    "online",
    "on_trip",
    "on_break",
    "looking",
    "unfilled",
    "waiting",
    "taken",
    "coming",
    "aboard",
)


class Picture(Struct, frozen=True):
    """All of the map, the counters in the order of COUNTERS, and which state the queue has."""

    at: dt.datetime
    drivers: list[Point]
    trips: list[Point]
    counts: list[int]
    queue: str


def trip_state(status: str) -> TripState:
    """Return the state of a trip that is published and not over."""
    if status in OPEN:
        return TripState.UNFILLED if status == TripStatus.UNFILLED else TripState.LOOKING
    if status in ABOARD:
        return TripState.ABOARD
    return TripState.COMING if status in DRIVING else TripState.TAKEN


def gone_after_s(settings: ServiceSettings) -> int:
    """Return how old a driver's position may be to be on the map.

    `position_replay_s`; where that leaves no time to be grey, twice `position_fresh_s`.
    """
    fresh, shown = settings.position_fresh_s, settings.position_replay_s
    return shown if shown > fresh else 2 * fresh


class Reader:
    """Reads pictures, one after another; not from several threads at once."""

    def __init__(self) -> None:
        # Driver -> latitude and longitude in E5, and when the phone was there.
        self._positions: dict[int, tuple[int, int, dt.datetime]] = {}
        self._read_to: dt.datetime | None = None
        self._read_all_at = -math.inf
        self._drivers: list[queue.Item] = []
        self._read_drivers_at = -math.inf

    def read(self) -> Picture:
        """Read how it stands. Eight queries; with what is read less often, nine."""
        settings, now = ServiceSettings.current(), database_now()
        self._read_positions(now)
        drivers, availabilities = self._draw_drivers(settings, now)
        trips, statuses = _draw_trips(now)
        items = self._read_queue(settings, now)
        counts = [
            sum(number for state, number in availabilities.items() if state != DriverState.ON_BREAK),
            availabilities[DriverState.ON_TRIP],
            availabilities[DriverState.ON_BREAK],
            statuses[TripState.LOOKING],
            statuses[TripState.UNFILLED],
            queue.count_waiting(settings, now),
            statuses[TripState.TAKEN],
            statuses[TripState.COMING],
            statuses[TripState.ABOARD],
        ]
        return Picture(now, drivers, trips, counts, _digest(items))

    def _read_positions(self, now: dt.datetime) -> None:
        """Read the positions that were written since the last time; now and then all of them."""
        rows, started = DriverPosition.objects.order_by(), time.monotonic()
        if self._read_to is None or started - self._read_all_at >= _ALL_EVERY_S:
            self._read_all_at, self._positions = started, {}
        else:
            rows = rows.filter(received_at__gte=self._read_to - _OVERLAP)
        for pk, lat, lng, at in rows.values_list("driver", "lat", "lng", "recorded_at"):
            self._positions[pk] = (round(lat * E5), round(lng * E5), at)
        self._read_to = now

    def _draw_drivers(self, settings: ServiceSettings, now: dt.datetime) -> tuple[list[Point], Counter[DriverState]]:
        """Return the drivers of the map, and how many drivers do what, also those without a position."""
        fresh = now - dt.timedelta(seconds=settings.position_fresh_s)
        shown = now - dt.timedelta(seconds=gone_after_s(settings))
        online = Driver.objects.exclude(availability=Availability.OFFLINE)
        on_break = Driver.objects.filter(availability=Availability.OFFLINE, on_break_until__gt=now)
        rows = (online | on_break).order_by().values_list("pk", "availability")
        points: list[Point] = []
        numbers: Counter[DriverState] = Counter()
        positions = self._positions
        for pk, availability in rows:
            state = _STATES[availability]
            numbers[state] += 1
            lat, lng, at = positions.get(pk, _NOWHERE)
            if at >= shown:
                points.append((pk, lat, lng, int(state if at >= fresh else DriverState.STALE)))
        return points, numbers

    def _read_queue(self, settings: ServiceSettings, now: dt.datetime) -> list[queue.Item]:
        """Read the queue, and end the claims of what is solved."""
        started = time.monotonic()
        if started - self._read_drivers_at >= _DRIVERS_EVERY_S:
            self._drivers, self._read_drivers_at = queue.driver_items(timezone.localdate()), started
        items = [*queue.urgent_items(settings, now), *self._drivers]
        held = queue.running_claims(settings, now)
        claims.end_solved(held.values(), {item.key for item in items}, settings, now)
        return queue.with_claims(items, held)


_STATES: Final = {
    Availability.AVAILABLE.value: DriverState.FREE,
    Availability.BUSY.value: DriverState.ON_TRIP,
    Availability.OFFLINE.value: DriverState.ON_BREAK,
}
_NOWHERE: Final = (0, 0, dt.datetime.min.replace(tzinfo=dt.UTC))


def _draw_trips(now: dt.datetime) -> tuple[list[Point], Counter[TripState]]:
    """Return the trips of the map, where they begin or, with passengers on board, where they go; and how many."""
    columns = ("pk", "status", "departure_at", "pickup_lat", "pickup_lng", "dropoff_lat", "dropoff_lng")
    rows = live_trips().values_list(*columns)
    points: list[Point] = []
    numbers: Counter[TripState] = Counter()
    for pk, status, departure_at, lat, lng, to_lat, to_lng in rows:
        state = trip_state(status)
        numbers[state] += 1
        if departure_at <= now + AHEAD or state >= TripState.COMING:
            is_aboard = state == TripState.ABOARD
            place = (to_lat, to_lng) if is_aboard else (lat, lng)
            points.append((pk, round(place[0] * E5), round(place[1] * E5), int(state)))
    return points, numbers


def _digest(items: Iterable[queue.Item]) -> str:
    """Return what changes with the queue: its rows, their matters and who has claimed them."""
    told = [(*item[:4], item.held and (item.held.by_id, item.held.claimed_at)) for item in items]
    return hashlib.blake2b(repr(told).encode(), digest_size=8).hexdigest()


def named(counts: Sequence[int]) -> dict[str, int]:
    """Return counters by their names."""
    return dict(zip(COUNTERS, counts, strict=True))
