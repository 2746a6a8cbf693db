"""The pace of a virtual city, and the way from one point to another in it.

Arrivals, driving and human hesitation run `speed` times as fast as life; the server's deadlines and the time
stamps people send stay real.
"""

import asyncio
import datetime as dt
import math
from dataclasses import dataclass
from typing import NamedTuple

from drivers.geo import EARTH_RADIUS_KM, distance_km

DRIVING_KMH = 40.0


class Spot(NamedTuple):
    lat: float
    lng: float


@dataclass(frozen=True, slots=True)
class Clock:
    """City seconds to real seconds."""

    speed: float = 1.0

    def real_s(self, city_s: float) -> float:
        return city_s / self.speed

    async def sleep(self, city_s: float) -> None:
        await asyncio.sleep(self.real_s(city_s))

    @property
    def km_per_real_s(self) -> float:
        return DRIVING_KMH * self.speed / 3600

    def driving_s(self, km: float) -> float:
        """Return the real seconds to drive `km`."""
        return km / self.km_per_real_s


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def km_between(a: Spot, b: Spot) -> float:
    return distance_km(a.lat, a.lng, b.lat, b.lng)


def heading_deg(a: Spot, b: Spot) -> float:
    """Return the initial bearing from `a` to `b`, 0 is north, clockwise."""
    phi_a, phi_b = math.radians(a.lat), math.radians(b.lat)
    turn = math.radians(b.lng - a.lng)
    east = math.sin(turn) * math.cos(phi_b)
    north = math.cos(phi_a) * math.sin(phi_b) - math.sin(phi_a) * math.cos(phi_b) * math.cos(turn)
    return round(math.degrees(math.atan2(east, north)) % 360, 1) % 360


def towards(a: Spot, b: Spot, km: float) -> Spot:
    """Return the point `km` along the great circle from `a` to `b`; `b` itself where that is nearer."""
    whole = km_between(a, b)
    if whole <= km:
        return b
    return away(a, heading_deg(a, b), km)


def away(start: Spot, bearing_deg: float, km: float) -> Spot:
    """Return the point `km` from `start` in a direction."""
    angle, bearing, phi = km / EARTH_RADIUS_KM, math.radians(bearing_deg), math.radians(start.lat)
    lat = math.asin(math.sin(phi) * math.cos(angle) + math.cos(phi) * math.sin(angle) * math.cos(bearing))
    turn = math.atan2(
        math.sin(bearing) * math.sin(angle) * math.cos(phi), math.cos(angle) - math.sin(phi) * math.sin(lat)
    )
    lng = (start.lng + math.degrees(turn) + 540) % 360 - 180
    return Spot(round(math.degrees(lat), 6), round(lng, 6))
