"""The columns of drivers, offers and trips that eligibility and ranking read, as plain tuples."""

import datetime as dt
from collections.abc import Collection
from typing import Any, NamedTuple

from django.db.models import BooleanField, CharField, IntegerField, QuerySet, Value
from django.db.models.functions import Now

from drivers.models import Driver
from stepper.models import ServiceSettings
from trips import legs
from trips.models import Offer, StaffAssignment, Trip
from trips.states import ASSIGNED, NO_LONGER_ELIGIBLE, OPEN, OfferStatus


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
    # They drove a former leg of this trip (trips.handover).
    had_trip: bool = False
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


_OFFER_COLUMNS = ("driver_id", "trip_id", "round_number", "status", "released_at", "reason", "asked_again")


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
    others = Trip.objects.filter(driver__vehicle__in=drivers_of).exclude(pk=trip.pk)
    busy = others.overlapping(trip.departure_at, trip.ends_at, margin)
    for holder_id, vehicle_id in busy.order_by().values_list("driver_id", "driver__vehicle_id"):
        for driver_id in drivers_of[vehicle_id]:
            one = found[driver_id]
            is_own = driver_id == holder_id
            found[driver_id] = one._replace(overlapping=True) if is_own else one._replace(vehicle_overlapping=True)
    # Only the drivers' offers of this trip, their open offers of other trips, and what staff took off them of this one.
    of_trip = Offer.objects.filter(trip=trip, driver__in=driver_ids).values_list(*_OFFER_COLUMNS)
    elsewhere = Offer.objects.open().filter(driver__in=driver_ids).exclude(trip=trip).values_list(*_OFFER_COLUMNS)
    taken_off = _taken_off(trip=trip, driver__in=driver_ids)
    for offer in of_trip.order_by().union(elsewhere.order_by(), taken_off, all=True):
        driver_id = offer[0]
        found[driver_id] = _with_offer(found[driver_id], offer, trip, round_number)
    for driver_id in legs.had_by(trip, driver_ids):
        found[driver_id] = found[driver_id]._replace(had_trip=True)
    return found


def facts_by_trip(driver_id: int, trips: Collection[Trip], *, settings: ServiceSettings) -> dict[int, Facts]:
    """Read the facts about one driver for each of these open trips, by the trip's id, in three queries for any number.

    Each for the round in which the trip's drivers are asked now. Empty: there is no such driver.
    """
    row = Driver.objects.filter(pk=driver_id).values_list(*_COLUMNS).first()
    if row is None:
        return {}
    driver = Facts(*row)
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    spans: list[tuple[int, dt.datetime, dt.datetime]] = []
    if driver.vehicle_id is not None:
        of_vehicle = Trip.objects.filter(driver__vehicle=driver.vehicle_id, status__in=ASSIGNED)
        spans = list(of_vehicle.order_by().values_list("driver_id", "departure_at", "ends_at"))
    of_open_trips = Offer.objects.filter(driver=driver_id, trip__status__in=sorted(OPEN))
    answerable = of_open_trips.exclude(status=OfferStatus.PENDING, expires_at__lte=Now()).order_by()
    taken_off = _taken_off(driver=driver_id, trip__status__in=sorted(OPEN))
    offers = list(answerable.values_list(*_OFFER_COLUMNS).union(taken_off, all=True))
    found = {}
    for trip in trips:
        one = driver
        for holder_id, starts_at, ends_at in spans:
            if starts_at < trip.ends_at + margin and ends_at > trip.departure_at - margin:
                is_own = holder_id == driver_id
                one = one._replace(overlapping=True) if is_own else one._replace(vehicle_overlapping=True)
        for offer in offers:
            if offer[1] == trip.pk or offer[3] == OfferStatus.PENDING:
                one = _with_offer(one, offer, trip, trip.asking_round)
        # Handed-over trips are few.
        if trip.former_legs and legs.had_by(trip, [driver_id]):
            one = one._replace(had_trip=True)
        found[trip.pk] = one
    return found


def _taken_off(**of: Any) -> QuerySet[Any, Any]:
    """Return whom staff took a trip off, or who gave back what staff had given them, in columns of an offer."""
    ended = StaffAssignment.objects.filter(ended_at__isnull=False, **of).order_by()
    nothing = Value("", CharField())
    return ended.values_list(
        "driver_id",
        "trip_id",
        Value(-1, IntegerField()),
        nothing,
        "ended_at",
        nothing,
        Value(False, BooleanField()),
    )


def _with_offer(one: Facts, offer: tuple[Any, ...], trip: Trip, round_number: int) -> Facts:
    """Return a driver's facts with one of their offers, which has `_OFFER_COLUMNS`, counted in."""
    _driver_id, trip_id, number, status, released_at, reason, asked_again = offer
    if status == OfferStatus.PENDING:
        one = one._replace(open_offers=one.open_offers + 1)
    if trip_id != trip.pk:
        return one
    is_now = number == round_number
    # Such an offer was not theirs to answer until its deadline, so they may be asked once more.
    withdrawn = status == OfferStatus.WITHDRAWN and reason == NO_LONGER_ELIGIBLE
    # A trip that was changed since is another question; who gave it back is not asked again all the same.
    declined = status == OfferStatus.DECLINED and number > trip.changed_after_round
    return one._replace(
        asked=one.asked + (not withdrawn),
        asked_now=one.asked_now or (is_now and (asked_again or not withdrawn)),
        withdrawn_now=one.withdrawn_now or (is_now and withdrawn),
        refused=one.refused or declined or released_at is not None,
    )
