"""The columns of drivers, offers and trips that eligibility and ranking read, as plain tuples."""

import datetime as dt
from collections.abc import Collection
from typing import NamedTuple

from drivers.models import Driver
from stepper.models import ServiceSettings
from trips.models import Offer, Trip
from trips.states import NO_LONGER_ELIGIBLE, OfferStatus


class Facts(NamedTuple):
    """The data about a driver that the rules and the ranking read, for one trip and round."""

    driver_id: int
    user_id: int
    is_active: bool
    approval: str
    availability: str
    licence_expires_on: dt.date
    documents_valid_until: dt.date | None
    trip_types: list[str]
    accepts_long_distance: bool
    max_distance_km: float | None
    min_earnings: int | None
    rating_sum: int
    rating_count: int
    # None: no vehicle.
    vehicle_id: int | None
    seats: int | None
    vehicle_class: str | None
    # The driver metrics (drivers.metrics); None: not counted yet.
    acceptance: float | None
    cancellations: int | None
    last_trip_at: dt.datetime | None
    # Number of offers that can still be answered, of all trips.
    open_offers: int = 0
    # For this trip: how often it was the driver's to answer, whether they were asked as often as allowed in this round,
    # whether an offer of this round was withdrawn because they could not take it, whether they declined or gave it
    # back.
    asked: int = 0
    asked_now: bool = False
    withdrawn_now: bool = False
    refused: bool = False
    # The driver, or another driver of their vehicle, has a trip at the time of this one.
    overlapping: bool = False
    vehicle_overlapping: bool = False


_COLUMNS = (
    "pk",
    "user_id",
    "user__is_active",
    "approval",
    "availability",
    "licence_expires_on",
    "documents_valid_until",
    "trip_types",
    "accepts_long_distance",
    "max_distance_km",
    "min_earnings",
    "rating_sum",
    "rating_count",
    "vehicle_id",
    "vehicle__seats",
    "vehicle__vehicle_class",
    "metrics__acceptance",
    "metrics__cancellations",
    "metrics__last_trip_at",
)


def read_facts(driver_id: int) -> Facts:
    """Read one driver's facts, without those of a trip."""
    return Facts(*Driver.objects.values_list(*_COLUMNS).get(pk=driver_id))


def lock_drivers(driver_ids: Collection[int]) -> dict[int, Facts]:
    """Lock the drivers' rows until the transaction ends, and read them; drivers are first in the lock order."""
    rows = Driver.objects.filter(pk__in=driver_ids).locked().values_list(*_COLUMNS)
    return {row[0]: Facts(*row) for row in rows}


def facts(
    trip: Trip,
    round_number: int,
    *,
    driver_ids: Collection[int],
    settings: ServiceSettings,
    rows: dict[int, Facts] | None = None,
) -> dict[int, Facts]:
    """Read the facts about drivers, by id, in three queries for any number of drivers.

    No model instances: they would take ten times as long. `rows`: the result of `lock_drivers`; None: read them.
    """
    found = rows or {
        row[0]: Facts(*row) for row in Driver.objects.filter(pk__in=driver_ids).order_by().values_list(*_COLUMNS)
    }
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    # All drivers of these vehicles: nobody without a vehicle may be asked, whatever trips they have.
    drivers_of: dict[int, list[int]] = {}
    for row in found.values():
        if row.vehicle_id is not None:
            drivers_of.setdefault(row.vehicle_id, []).append(row.driver_id)
    busy = Trip.objects.filter(driver__vehicle__in=drivers_of).overlapping(trip.departure_at, trip.ends_at, margin)
    for holder_id, vehicle_id in busy.order_by().values_list("driver_id", "driver__vehicle_id"):
        for driver_id in drivers_of[vehicle_id]:
            one = found[driver_id]
            is_own = driver_id == holder_id
            found[driver_id] = one._replace(overlapping=True) if is_own else one._replace(vehicle_overlapping=True)
    # Only the drivers' offers of this trip, and their open offers of other trips.
    columns = ("driver_id", "trip_id", "round_number", "status", "released_at", "reason", "asked_again")
    of_trip = Offer.objects.filter(trip=trip, driver__in=driver_ids).values_list(*columns)
    elsewhere = Offer.objects.open().filter(driver__in=driver_ids).exclude(trip=trip).values_list(*columns)
    offers = of_trip.order_by().union(elsewhere.order_by(), all=True)
    for driver_id, trip_id, number, status, released_at, reason, asked_again in offers:
        one = found[driver_id]
        if status == OfferStatus.PENDING:
            one = one._replace(open_offers=one.open_offers + 1)
        if trip_id == trip.pk:
            is_now = number == round_number
            # Such an offer was not theirs to answer until its deadline, so they may be asked once more.
            withdrawn = status == OfferStatus.WITHDRAWN and reason == NO_LONGER_ELIGIBLE
            one = one._replace(
                asked=one.asked + (not withdrawn),
                asked_now=one.asked_now or (is_now and (asked_again or not withdrawn)),
                withdrawn_now=one.withdrawn_now or (is_now and withdrawn),
                refused=one.refused or status == OfferStatus.DECLINED or released_at is not None,
            )
        found[driver_id] = one
    return found
