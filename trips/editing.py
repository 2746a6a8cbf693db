"""Editing a trip by staff, also one that has a driver: place, time, seats, fare. Both sides are told what changed.

A trip that drivers are asked about is asked about anew, as after a change by its passenger (trips.changes). A driver
who has the trip keeps it, if they can drive it as it is now; where it is another trip than the one they said yes to
they may give it back until boarding, and that counts for nothing (trips.assignment.release). Lock order: driver, trip,
offers, bookings.
"""

import copy
import datetime as dt
import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from django.db import IntegrityError
from django.utils.functional import lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.availability import lock_driver
from drivers.documents import require_not_own
from drivers.models import Driver
from realtime.delivery.notifications import notify
from stepper import limits
from stepper.db.clock import database_now
from stepper.db.transactions import Stale, best_effort, in_transaction
from stepper.errors import Conflict, InvalidInput
from stepper.models import ServiceSettings, User
from stepper.templatetags.units import money
from trips import access, overlap
from trips.change_words import change_in_words
from trips.changes import ASKED_ABOUT, DETAILS, plan_columns, write_columns
from trips.dispatch import start_round
from trips.eligibility import unfit
from trips.fitness import require_no_overlap
from trips.models import NO_DELAY, Trip, TripChange
from trips.models.changes import DECIDED_BY
from trips.states import ABOARD, ASSIGNED, OPEN, TripStatus
from trips.steering import require_reason

MOST_FARE: Final = 10_000_000
_TIME = frozenset({"departure_at", "is_now", "ends_at", "search_until"})
_FARE = frozenset({"fare", "platform_fee", "driver_earnings", "seat_price"})
_DROPOFF = frozenset({f"dropoff_{part}" for part in ("name", "address", "lat", "lng")})
# What follows from the way.
_WAY = frozenset({"distance_km", "duration_min", "zone", "ends_at"})
# What can change in a state, beside what can in every one; None: all.
_CHANGEABLE: Final[dict[TripStatus, frozenset[str] | None]] = {
    TripStatus.ACCEPTED: None,
    TripStatus.EN_ROUTE: None,
    # The driver stands at the pickup.
    TripStatus.DRIVER_ARRIVED: _DROPOFF | _WAY | {"stops", "seats", "bags", "wishes", "vehicle_class"},
    TripStatus.PASSENGERS_BOARDED: _DROPOFF | _WAY,
    TripStatus.IN_TRANSIT: _DROPOFF | _WAY,
    TripStatus.ARRIVED: frozenset(),
}


def edit_trip(
    trip_id: int,
    user: User,
    wanted: Mapping[str, Any],
    *,
    reason: str,
    fare: int | None = None,
    version: int | None = None,
) -> Trip:
    """Change a trip by staff, until it is over. Wanting what is there already changes nothing.

    `wanted`: as of `changes.change`; which of it can change depends on how far the trip is. `fare`: in whole tenge,
    whatever the tariff says; None: as the tariff says where way, class or seats change, else as it is. `version`: the
    trip's when the member of staff saw it; None: change it however it is now.

    Raises:
        NotFound, NotPermitted
        InvalidInput: input.invalid, a field (also `reason`, `fare`) is wrong
        Conflict: trip.changed_meanwhile, trip.change_too_late, trip.transition_refused (it is over), driver.overlap,
            vehicle.overlap, driver.too_few_seats
        TooManyRequests: more than `changes_per_min`
    """
    access.require_staff(user)
    reason = require_reason(reason)[:200]
    limits.count_call_of(user, "change", "changes_per_min")
    trip, asks_anew = _edit(trip_id, user, wanted, reason, fare, version)
    if asks_anew:
        # If this process dies before, the dispatcher starts the round.
        best_effort(start_round, trip.pk)
        best_effort(trip.refresh_from_db)
    return trip


@in_transaction
def _edit(
    trip_id: int, user: User, wanted: Mapping[str, Any], reason: str, fare: int | None, version: int | None
) -> tuple[Trip, bool]:
    """Lock driver and trip, check the change, write it and tell both sides; return whether drivers are asked anew."""
    unlocked = access.trip_for(user, trip_id)
    driver = lock_driver(unlocked.driver_id, with_mates=True) if unlocked.driver_id else None
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.driver_id != unlocked.driver_id:
        raise Stale
    settings, now = ServiceSettings.current(), database_now()
    columns = plan_columns(trip, wanted, settings=settings, now=now)
    if fare is not None:
        for person_id in (trip.organiser_id, trip.driver.user_id if trip.driver is not None else None):
            if person_id is not None:
                require_not_own(user, person_id)
        columns |= _fare_columns(trip, fare, columns)
    if not columns:
        return trip, False
    _require_changeable(trip, columns.keys())
    if version is not None and trip.changed_version > version:
        raise Conflict(
            "trip.changed_meanwhile",
            _("This trip was changed meanwhile. Nothing of yours was saved; look at how it is now."),
        )
    _require_whole_parts(trip, columns)
    asks_anew = trip.status in OPEN and not (ASKED_ABOUT | {"fare"}).isdisjoint(columns)
    if driver is not None and trip.status in ASSIGNED:
        columns |= _columns_of_driver(trip, driver, columns, settings=settings, now=now)
    row = _write(trip, columns, user=user, asks_anew=asks_anew, settings=settings, now=now, reason=reason)
    if row is not None:
        _tell_both(trip, row)
    return trip, asks_anew


def _write(trip: Trip, columns: dict[str, Any], **how: Any) -> TripChange | None:
    try:
        return write_columns(trip, columns, **how)
    except IntegrityError as error:
        if overlap.NAME not in str(error):
            raise
        raise Conflict("driver.overlap", _("Overlaps with another trip of this driver.")) from error


def _fare_columns(trip: Trip, fare: int, planned: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a fare that staff set; the fee has its share of it. `planned`: what else changes.

    Former legs keep what their drivers have of it.

    Raises:
        InvalidInput: input.invalid (fare)
    """
    if isinstance(fare, bool) or not max(1, trip.former_fare) <= fare <= MOST_FARE:
        least, most = max(1, trip.former_fare), MOST_FARE
        words = _("Enter whole tenge, from %(least)s to %(most)s.") % {"least": money(least), "most": money(most)}
        raise InvalidInput("input.invalid", words, {"fare": [words]})
    whole = planned.get("fare", trip.fare) - trip.former_fare
    fee = planned.get("platform_fee", trip.platform_fee) - trip.former_fee
    own_fee = (2 * fee * (fare - trip.former_fare) + whole) // (2 * whole) if whole > 0 else 0
    platform_fee = trip.former_fee + own_fee
    columns = {
        "fare": fare,
        "platform_fee": platform_fee,
        "driver_earnings": fare - platform_fee,
        "seat_price": math.ceil(fare / planned.get("seats", trip.seats)),
    }
    # Also what the tariff says is no change where the fare stays.
    return {name: value for name, value in columns.items() if name in planned or value != getattr(trip, name)}


def _require_whole_parts(trip: Trip, columns: Mapping[str, Any]) -> None:
    """Refuse a price that is less than what the drivers of former legs have of it. Raises Conflict."""
    left = columns.get("fare", trip.fare) - trip.former_fare
    left_fee = columns.get("platform_fee", trip.platform_fee) - trip.former_fee
    if trip.former_legs and not (
        0 <= left_fee <= left and columns.get("distance_km", trip.distance_km) >= trip.former_km
    ):
        raise Conflict("trip.change_too_late", _("A former driver of this trip has more of it already; set the fare."))


def _require_changeable(trip: Trip, names: Collection[str]) -> None:
    """Refuse a change for which the trip is too far. Raises Conflict: trip.change_too_late, trip.transition_refused."""
    if trip.is_finished:
        raise Conflict("trip.transition_refused", _("This trip is over."))
    still = changeable(trip)
    rest = set(names) - _FARE - DETAILS
    if still is None or rest <= still:
        return
    raise Conflict("trip.change_too_late", limit_in_words(trip))


def changeable(trip: Trip) -> frozenset[str] | None:
    """Return the columns that can still change beside the fare and what the driver alone reads; None: all."""
    if trip.status in OPEN and not trip.former_legs:
        return None
    return frozenset() if trip.former_legs else _CHANGEABLE.get(TripStatus(trip.status), frozenset())


def limit_in_words(trip: Trip) -> str:
    """Say what can still change of a trip of which not all can."""
    if trip.status == TripStatus.DRIVER_ARRIVED and not trip.former_legs:
        return _("The driver is at the pickup: pickup and time cannot change any more. Take back the arrival first.")
    if trip.status == TripStatus.ARRIVED:
        return _("The passengers have arrived: only the fare can still change.")
    if trip.status in ABOARD and not trip.former_legs:
        return _("The passengers are on the way: only the destination and the fare can still change.")
    return _("The passengers are on the way: only the fare can still change.")


def _columns_of_driver(
    trip: Trip, driver: Driver, columns: Mapping[str, Any], *, settings: ServiceSettings, now: dt.datetime
) -> dict[str, Any]:
    """Return what else changes of a trip that has a driver, who must be able to drive it as it will be.

    Raises:
        Conflict: driver.overlap, vehicle.overlap, driver.too_few_seats
    """
    planned = copy.copy(trip)
    for name, value in columns.items():
        setattr(planned, name, value)
    if "seats" in columns and "too_few_seats" in unfit(planned, driver):
        raise Conflict("driver.too_few_seats", _("This driver's vehicle has too few seats."))
    if {"departure_at", "ends_at"}.isdisjoint(columns):
        return {}
    require_no_overlap(driver, planned, settings, by_staff=True)
    half = overlap.half_margin(settings)
    more: dict[str, Any] = {"busy_from": planned.departure_at - half, "busy_until": planned.ends_at + half}
    if not _TIME.isdisjoint(columns.keys() - {"ends_at"}):
        # The reminders and the delay were about the time before.
        more |= NO_DELAY | {"watch_at": now}
    return more


def _tell_both(trip: Trip, row: TripChange) -> None:
    """Notify the organiser and the driver of what was changed, from what to what."""
    words = lazy(_in_words, str)
    notify(
        trip.organiser,
        gettext_lazy("Our staff changed your trip"),
        message=words(trip, row, may_give_back=False),
        audience="passenger",
        priority="high",
        category="booking",
        action_url=f"/trips/{trip.pk}/",
        is_critical=True,
    )
    if trip.driver is not None:
        is_another = not DECIDED_BY.isdisjoint(row.changes) and trip.status not in ABOARD
        notify(
            trip.driver.user,
            gettext_lazy("Our staff changed your trip"),
            message=words(trip, row, may_give_back=is_another),
            audience="driver",
            priority="high",
            action_url="/driver/",
        )


def _in_words(trip: Trip, row: TripChange, *, may_give_back: bool) -> str:
    words = f"{trip.title}: {change_in_words(row, trip.timezone)}."
    if may_give_back:
        words += " " + _("If that does not suit you, you can give it back; that does not count against you.")
    return words
