"""Where somebody is, to those who watch: never logged, the latest wins."""

import datetime as dt

from msgspec import Struct, field

from realtime.events.answers import now


class Eta(Struct, frozen=True):
    """Minutes until the pickup and the dropoff; None where it no longer applies."""

    pickup_min: int | None = None
    dropoff_min: int | None = None


class DriverLocationUpdated(Struct, frozen=True, kw_only=True, tag_field="type", tag="driver.location.updated"):
    """To the trip and staff: the latest position. Not in the outbox, so no `id`. `driver_id`: for the staff map."""

    timestamp: dt.datetime = field(default_factory=now)
    trip_id: int | None
    driver_id: int
    lat: float
    lng: float
    heading_deg: float | None
    speed_kmh: float | None
    accuracy_m: float | None
    recorded_at: dt.datetime
    eta: Eta


class SharedLocation(Struct, frozen=True, kw_only=True, tag_field="type", tag="trip.shared.location"):
    """To the pages that watch a trip by a link: where its vehicle is, and since when its driver has the trip.

    Never logged, the latest wins."""

    timestamp: dt.datetime
    trip_id: int
    driver_since: dt.datetime
    lat: float
    lng: float
    heading_deg: float | None
    recorded_at: dt.datetime
    eta: Eta


class OpsMap(Struct, frozen=True, kw_only=True, tag_field="type", tag="ops.map", omit_defaults=True):
    """To a page of the operations room: what of its map has changed. Never logged; after a reconnect all of it comes.

    Numbers only, each second (trips.room.view): a driver or trip is [number, latitude, longitude, state], degrees in
    0.00001; a cell is [x, y, latitude, longitude, drivers by state, trips by state]."""

    timestamp: dt.datetime
    # Forget what came before.
    whole: bool = False
    drivers: list[tuple[int, int, int, int]] = field(default_factory=list)
    trips: list[tuple[int, int, int, int]] = field(default_factory=list)
    drivers_gone: list[int] = field(default_factory=list)
    trips_gone: list[int] = field(default_factory=list)
    # Too many to be sent one by one: tiles of this zoom stand for them. None: they are not.
    zoom: int | None = None
    cells: list[tuple[int, ...]] = field(default_factory=list)
    cells_gone: list[tuple[int, int]] = field(default_factory=list)
    # The counters, where one changed, in the order of trips.room.picture.COUNTERS.
    counts: list[int] | None = None
    # Another one than before: the queue has changed, fetch it.
    queue: str | None = None
