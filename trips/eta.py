"""How long a drive takes, without a routing server."""

import datetime as dt
import itertools
import math
from collections.abc import Sequence

from msgspec import Struct

from drivers.geo import distance_km
from drivers.models import DriverPosition
from stepper.models import ServiceSettings

# Where something is: latitude and longitude.
LatLng = tuple[float, float]

# Of a drive, the first 15 km are driven at the speed of a city, those up to 50 km at that of its surroundings.
CITY_KM = 15.0
SUBURB_KM = 50.0
# Standing in traffic says nothing about the road ahead, nor does the speed on it where most of it is still ahead.
SLOW_KMH = 5.0
NEAR_KM = 3.0
# Driving time to the pickup that is assumed for a driver without any position.
_UNKNOWN = dt.timedelta(minutes=30)


class Speeds(Struct, frozen=True, gc=False):
    """The settings that an estimate depends on: speeds in km/h, and road km for each km of the great circle."""

    road_factor: float
    city_kmh: float
    suburb_kmh: float
    highway_kmh: float


def speeds_of(settings: ServiceSettings) -> Speeds:
    return Speeds(
        road_factor=settings.road_factor,
        city_kmh=settings.speed_city_kmh,
        suburb_kmh=settings.speed_suburb_kmh,
        highway_kmh=settings.speed_highway_kmh,
    )


def minutes(straight_km: float, speeds: Speeds, reported_kmh: float | None = None) -> int:
    """Estimate the minutes of a drive between two points that are `straight_km` of great circle apart.

    Each part of the road (great circle × road factor) at the speed for its length. Within 3 km all of it at the speed
    that the driver's phone reports, unless that is under 5 km/h or unknown (None).
    """
    road_km = straight_km * speeds.road_factor
    if road_km <= NEAR_KM and reported_kmh is not None and reported_kmh >= SLOW_KMH:
        return round(road_km / reported_kmh * 60)
    if road_km <= CITY_KM:
        return round(road_km / speeds.city_kmh * 60)
    hours = CITY_KM / speeds.city_kmh + (min(road_km, SUBURB_KM) - CITY_KM) / speeds.suburb_kmh
    hours += max(0.0, road_km - SUBURB_KM) / speeds.highway_kmh
    return round(hours * 60)


def parts_km(points: Sequence[LatLng]) -> list[float]:
    """Return the great circle in km from each point to the next."""
    return [distance_km(*start, *end) for start, end in itertools.pairwise(points)]


def minutes_along(points: Sequence[LatLng], speeds: Speeds, reported_kmh: float | None = None) -> int:
    """Estimate the minutes of a drive from point to point, each part by its own length.

    `reported_kmh`, what the driver's phone reports, says something of the first part alone.
    """
    first, *rest = parts_km(points)
    return minutes(first, speeds, reported_kmh) + sum(minutes(part, speeds) for part in rest)


def drive_to(lat: float, lng: float, position: DriverPosition | None, speeds: Speeds) -> dt.timedelta:
    """Estimate a driver's drive to a place from where they were last; half an hour where nobody knows."""
    if position is None:
        return _UNKNOWN
    return dt.timedelta(minutes=minutes(distance_km(position.lat, position.lng, lat, lng), speeds))


def with_delay(drive_min: int, delayed_until: dt.datetime | None, now: dt.datetime) -> int:
    """Return the minutes that somebody waits: the drive, or until the time that the driver announced, if that is later.

    `delayed_until` None: no delay is announced.
    """
    if delayed_until is None:
        return drive_min
    return max(drive_min, math.ceil((delayed_until - now) / dt.timedelta(minutes=1)))
