"""The parts that several drivers have of one trip: reading them, and what the trip gets back of them when it ends."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from drivers.geo import cell
from stepper.errors import Conflict
from trips.models import Trip, TripLeg


class Part(NamedTuple):
    """What one driver drove of a trip and has of its money: all of it where it was never handed over."""

    # None: the last or only leg.
    leg: TripLeg | None
    pickup: str
    dropoff: str
    km: float
    fare: int
    earned: int


def part_of(driver_id: int, trip: Trip, legs: Iterable[TripLeg]) -> Part:
    """Return the part of a driver who drives or drove the trip. `legs`: the trip's former ones, in their order."""
    former = list(legs)
    for leg in former:
        if leg.driver_id == driver_id:
            return Part(leg, leg.from_name, leg.to_name, leg.km, leg.fare, leg.earned)
    pickup = former[-1].to_name if former else trip.pickup_name
    return Part(None, pickup, trip.dropoff_name, trip.own_km, trip.own_fare, trip.own_earnings)


def legs_of(trips: Iterable[Trip]) -> dict[int, list[TripLeg]]:
    """Return the former legs of those trips that have any, by trip. One query, none where no trip has."""
    found: dict[int, list[TripLeg]] = {trip.pk: [] for trip in trips if trip.former_legs}
    if found:
        for leg in TripLeg.objects.filter(trip__in=found).select_related("driver__user", "vehicle").order_by("number"):
            found[leg.trip_id].append(leg)
    return found


def had_by(trip: Trip, driver_ids: Collection[int]) -> set[int]:
    """Return which of the drivers have driven a former leg of the trip. No query where it has none."""
    if not trip.former_legs:
        return set()
    return set(trip.legs.filter(driver__in=driver_ids).values_list("driver_id", flat=True))


def require_no_part(trip: Trip, driver_id: int) -> None:
    """Refuse a driver who has driven a former leg of the trip. Raises Conflict: driver.had_trip."""
    if had_by(trip, [driver_id]):
        raise Conflict("driver.had_trip", _("This driver has driven a part of this trip already."))


def columns_given_back(legs: Sequence[TripLeg]) -> dict[str, Any]:
    """Return what a trip that ends gets back: where and when it began, before it was handed over.

    `legs`: its former ones, in their order.
    """
    if not legs:
        return {}
    first = legs[0]
    return {
        "pickup_name": first.from_name,
        "pickup_address": first.from_address,
        "pickup_lat": first.from_lat,
        "pickup_lng": first.from_lng,
        "pickup_cell": cell(first.from_lat, first.from_lng),
        "departure_at": first.departure_at,
        "ends_at": first.ends_at,
        "is_now": first.is_now,
    }
