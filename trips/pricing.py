"""What a trip costs and how it is classed. Pure functions of numbers; formulas and thresholds from the domain facts."""

import datetime as dt
import math
from collections.abc import Sequence

from msgspec import Struct

from stepper.models import ServiceSettings

from . import eta
from .states import Difficulty, Urgency

LONG_DISTANCE_KM = 200.0


class Quote(Struct, frozen=True):
    """A price and its parts, in whole tenge. `distance_km` is by road: great circle × road factor."""

    distance_km: float
    duration_min: int
    zone: str
    base: int
    distance_fare: int
    multiplier: float
    fare: int
    platform_fee: int
    driver_earnings: int
    seat_price: int


def quote(
    pickup: eta.LatLng,
    dropoff: eta.LatLng,
    seats: int,
    vehicle_class: str,
    settings: ServiceSettings,
    *,
    stops: Sequence[eta.LatLng] = (),
    kept_fare: int | None = None,
) -> Quote:
    """Return the price of a trip between two points, by way of `stops`.

    Fare = (base + per km × distance) × class multiplier; the platform takes its percentage, the driver keeps the
    rest; a seat costs the total divided by the seats, rounded up. Distance and duration are the sums of the parts
    between the stops. `kept_fare`: what was promised for the trip (trips.kept_quotes); the fee is of that.
    """
    route = (pickup, *stops, dropoff)
    road_km = sum(eta.parts_km(route)) * settings.road_factor
    multiplier = settings.multiplier(vehicle_class)
    fare = kept_fare
    if fare is None:
        fare = round((settings.base_fare + settings.fare_per_km * road_km) * multiplier)
    fee = round(fare * settings.platform_fee_percent / 100)
    duration_min = eta.minutes_along(route, eta.speeds_of(settings))
    return Quote(
        distance_km=round(road_km, 1),
        duration_min=duration_min,
        zone=zone(road_km, duration_min),
        base=settings.base_fare,
        distance_fare=round(settings.fare_per_km * road_km),
        multiplier=multiplier,
        fare=fare,
        platform_fee=fee,
        driver_earnings=fare - fee,
        seat_price=math.ceil(fare / seats),
    )


def zone(km: float, duration_min: float) -> str:
    """Return the price zone: A ≤ 200 km and ≤ 8 h, B ≤ 600 km and ≤ 48 h, else C."""
    if km <= 200 and duration_min <= 8 * 60:
        return "A"
    return "B" if km <= 600 and duration_min <= 48 * 60 else "C"


def urgency(departure_at: dt.datetime, now: dt.datetime) -> Urgency:
    hours = (departure_at - now) / dt.timedelta(hours=1)
    if hours < 2:
        return Urgency.URGENT
    if hours < 6:
        return Urgency.HIGH
    return Urgency.NORMAL if hours < 24 else Urgency.LOW


def difficulty(km: float) -> Difficulty:
    if km < 50:
        return Difficulty.EASY
    if km < 200:
        return Difficulty.NORMAL
    return Difficulty.CHALLENGING if km < 500 else Difficulty.DIFFICULT
