"""The map in words: lists of the drivers and trips in a part of it, for who does not see it or wants names."""

import datetime as dt
from typing import NamedTuple

from django.db.models import Max, Min, Q

from drivers.models import Availability, Driver, DriverPosition
from stepper.db.clock import database_now
from stepper.models import ServiceSettings
from trips.attention import live_trips
from trips.models import Trip
from trips.room.picture import AHEAD, gone_after_s
from trips.states import ABOARD, DRIVING

# Of each list; the map is moved for others.
MOST = 50


class InView(NamedTuple):
    """What is listed; `more`: there is more of it than that."""

    drivers: list[Driver]
    trips: list[Trip]
    more: bool


def read(south: float, west: float, north: float, east: float) -> InView:
    """Read what a part of the map shows. Three queries. `west` is greater than `east` across the date line."""
    settings, now = ServiceSettings.current(), database_now()
    shown = now - dt.timedelta(seconds=gone_after_s(settings))
    fresh = now - dt.timedelta(seconds=settings.position_fresh_s)
    online = ~Q(availability=Availability.OFFLINE) | Q(on_break_until__gt=now)
    box = (south, west, north, east)
    drivers = Driver.objects.filter(online, _inside("position__", box), position__recorded_at__gte=shown)
    drivers = drivers.select_related("user", "vehicle", "position").order_by("user__name", "pk")
    begins = ~Q(status__in=sorted(ABOARD)) & _inside("pickup_", box)
    ends = Q(status__in=sorted(ABOARD)) & _inside("dropoff_", box)
    soon = Q(departure_at__lte=now + AHEAD) | Q(status__in=sorted(DRIVING))
    trips = live_trips().filter(begins | ends, soon).order_by("departure_at", "pk")
    found_drivers, found_trips = list(drivers[: MOST + 1]), list(trips[: MOST + 1])
    for driver in found_drivers:
        driver.is_stale = driver.position.recorded_at < fresh  # type: ignore[attr-defined]
    more = len(found_drivers) > MOST or len(found_trips) > MOST
    return InView(found_drivers[:MOST], found_trips[:MOST], more)


def bounds() -> tuple[float, float, float, float] | None:
    """Return south, west, north and east of the drivers on the map; None: there are none. Two queries."""
    settings, now = ServiceSettings.current(), database_now()
    shown = now - dt.timedelta(seconds=gone_after_s(settings))
    rows = DriverPosition.objects.filter(recorded_at__gte=shown)
    found = rows.aggregate(south=Min("lat"), west=Min("lng"), north=Max("lat"), east=Max("lng"))
    corners = (found["south"], found["west"], found["north"], found["east"])
    return None if None in corners else corners


def _inside(prefix: str, box: tuple[float, float, float, float]) -> Q:
    south, west, north, east = box
    lat = Q(**{f"{prefix}lat__range": (south, north)})
    if west <= east:
        return lat & Q(**{f"{prefix}lng__range": (west, east)})
    return lat & (Q(**{f"{prefix}lng__gte": west}) | Q(**{f"{prefix}lng__lte": east}))
