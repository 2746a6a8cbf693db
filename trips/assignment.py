"""Assignment: giving a trip to a driver, by staff or after they accepted (trips.accepting), and taking it back.

Everything is decided in the database, so any number of processes may run this together, be killed and come back.
Lock order everywhere: driver, trip, offers, bookings. Deadlines are judged by the database's clock.
"""

import datetime as dt
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.availability import DOCUMENTS_EXPIRED, lock_driver, mark_free, require_approved
from drivers.models import Driver
from realtime import events, groups
from realtime.delivery.notifications import notify
from realtime.outbox import publish
from stepper import limits
from stepper.db.clock import database_now
from stepper.db.transactions import Stale, best_effort, in_transaction
from stepper.errors import Conflict, NotFound
from stepper.models import ServiceSettings, User
from stepper.templatetags.units import clock
from trips import overlap, pricing
from trips.access import require_searching, require_staff, trip_for
from trips.cards import driver_card, vehicle_card
from trips.dispatch import RoundResult, start_round
from trips.eligibility import unfit
from trips.models import NO_WAVE, Offer, Trip
from trips.offers import (
    withdraw_offers,
    withdraw_overlapping,
)
from trips.repeats import is_repeated
from trips.states import OPEN, OfferStatus, Role, TripStatus


class Unfit(Conflict):
    """The driver's present licence or vehicle does not meet what the trip needs."""


def offer_again(trip_id: int, user: User) -> RoundResult:
    """Start the next round of an open trip now, for its organiser or staff.

    Raises:
        NotFound, NotPermitted, Conflict (trip.transition_refused): it has a driver or is over
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "offer_again", "changes_per_min")
    trip = trip_for(user, trip_id)
    require_searching(trip, user, _("Only who booked the trip can have it offered again."))
    if trip.status != TripStatus.UNFILLED:
        return start_round(trip_id, at_once=True)
    return start_round(trip_id, Role.STAFF if user.may_steer_trips else Role.ORGANISER, by_id=user.pk, at_once=True)


def require_fit(driver: Driver, trip: Trip, *, by_staff: bool = False) -> None:
    """Refuse a driver whose present licence or vehicle does not meet what the trip needs.

    Staff may assign a smaller class of vehicle. Too few seats or expired papers are refused to staff as well.

    Raises:
        Unfit: driver.licence_expired, driver.documents_expired, driver.no_vehicle, driver.too_few_seats,
            driver.vehicle_class
    """
    codes = unfit(trip, driver)
    if "licence_expired" in codes:
        yours = _("Your licence has expired; please send our staff the new one.")
        raise Unfit("driver.licence_expired", _("This driver's licence has expired.") if by_staff else yours)
    if "documents_expired" in codes:
        theirs = _("A document of this driver is not valid any more.")
        raise Unfit("driver.documents_expired", theirs if by_staff else DOCUMENTS_EXPIRED)
    if "no_vehicle" in codes:
        yours = _("You have no vehicle yet; please contact our staff.")
        raise Unfit("driver.no_vehicle", _("This driver has no vehicle.") if by_staff else yours)
    if "too_few_seats" in codes:
        yours = _("Your vehicle has too few seats for this trip.")
        raise Unfit("driver.too_few_seats", _("This driver's vehicle has too few seats.") if by_staff else yours)
    if "vehicle_class" in codes and not by_staff:
        raise Unfit("driver.vehicle_class", _("The passenger booked a larger class of vehicle than yours."))


def require_no_overlap(driver: Driver, trip: Trip, settings: ServiceSettings) -> None:
    """Refuse a driver at the time of whose other trip, or of another trip of their vehicle, this one is.

    The driver has a vehicle (`require_fit`), and all who drive it are locked.

    Raises:
        Conflict: driver.overlap, vehicle.overlap
    """
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    others = Trip.objects.filter(driver__vehicle=driver.vehicle_id)
    others = others.overlapping(trip.departure_at, trip.ends_at, margin).order_by("departure_at")
    rows = list(others.values_list("driver_id", "departure_at", "timezone"))
    for holder_id, departure_at, timezone in rows:
        if holder_id == driver.pk:
            time = clock(departure_at, timezone)
            raise Conflict("driver.overlap", _("Overlaps with your trip at %(time)s.") % {"time": time})
    if rows:
        time = clock(*rows[0][1:])
        raise Conflict(
            "vehicle.overlap", _("Another driver has a trip with this vehicle at %(time)s.") % {"time": time}
        )


def assign_driver(
    trip: Trip, driver: Driver, *, role: Role, by_id: int, offer_id: int | None, settings: ServiceSettings
) -> None:
    """Give the trip to the driver, withdraw the other offers, publish and notify. Driver and trip are locked."""
    now = database_now()
    trip.driver = None  # so that `move` finds no former driver
    changes: dict[str, Any] = {"driver": driver, "vehicle": driver.vehicle, "accepted_at": now}
    changes |= overlap.span(trip, settings) | NO_WAVE
    try:
        trip.move(TripStatus.ACCEPTED, role, by_id=by_id, **changes)
    except IntegrityError as error:
        if overlap.NAME not in str(error):
            raise
        raise Conflict("driver.overlap", _("Overlaps with another trip of this driver.")) from error
    withdraw_offers(trip, "accepted_by_another")
    publish(
        events.OfferAccepted(
            trip_id=trip.pk,
            offer_id=offer_id,
            version=trip.version,
            driver=driver_card(driver),
            vehicle=vehicle_card(driver.vehicle),
            accepted_at=now,
        ),
        groups.trip(trip.pk),
        groups.driver(driver.pk),
    )
    notify(
        trip.organiser,
        gettext_lazy("Driver found"),
        message=f"{driver.user.short_name} · {driver.vehicle}",
        audience="passenger",
        action_url=f"/trips/{trip.pk}/",
    )


# Giving back, assigning


@in_transaction
def release(driver_id: int, trip_id: int, reason: str = "", *, key: str = "") -> Trip:
    """Release an accepted trip by its driver: it is immediately offered to others, never again to them.

    `key`: see trips.repeats.

    Raises:
        NotFound, InvalidInput, Conflict (trip.release_too_late, trip.transition_refused, command.key_reused)
    """
    driver = lock_driver(driver_id)
    trip = Trip.objects.for_page().locked().filter(pk=trip_id).first()
    if trip is None or trip.driver_id != driver_id:
        if trip is not None and trip.offers.filter(driver_id=driver_id, released_at__isnull=False).exists():
            return trip
        raise NotFound("trip.not_found", _("There is no such trip."))
    if is_repeated(driver_id, key, f"status {trip_id} released"):
        return trip
    until = trip.departure_at - dt.timedelta(minutes=ServiceSettings.current().release_until_min)
    # A trip for now departs when it is booked; it can be given back until the driver is at the pickup.
    if not trip.is_now and database_now() > until:
        raise Conflict("trip.release_too_late", _("It is too late to release this trip; please contact our staff."))
    _give_back(trip, driver, role=Role.DRIVER, by_id=driver.user_id, reason=reason)
    return trip


@in_transaction
def take_off(trip_id: int, user: User, reason: str = "") -> Trip:
    """Take the trip off its driver, by staff: it is immediately offered to others, not to them.

    Raises:
        NotFound, NotPermitted, Conflict (trip.transition_refused)
    """
    require_staff(user)
    unlocked = trip_for(user, trip_id)
    if unlocked.driver_id is None:
        raise Conflict("trip.transition_refused", _("This trip has no driver."))
    driver = lock_driver(unlocked.driver_id)
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.driver_id != unlocked.driver_id:
        raise Stale
    _give_back(trip, driver, role=Role.STAFF, by_id=user.pk, reason=reason)
    notify(
        driver.user,
        gettext_lazy("A trip was taken off you"),
        message=f"{trip.title}. {reason}".strip(),
        audience="driver",
        priority="high",
        action_url="/driver/",
    )
    return trip


def _give_back(trip: Trip, driver: Driver, *, role: Role, by_id: int, reason: str) -> None:
    """Take the trip off its driver and offer it to others after the commit. Driver and trip are locked."""
    now = database_now()
    _mark_released(trip, driver, now)
    # If the trip begins about now (given back late, or the driver never set off), search as long as for a trip that
    # was booked for now.
    search_until = max(trip.search_until, now + dt.timedelta(minutes=ServiceSettings.current().patience_min))
    trip.move(
        TripStatus.OFFERED,
        role,
        by_id=by_id,
        note=reason,
        driver=None,
        vehicle=None,
        accepted_at=None,
        **NO_WAVE | {"next_look_at": now},
        search_until=search_until,
    )
    transaction.on_commit(partial(best_effort, start_round, trip.pk))
    mark_free(driver.pk)
    notify(
        trip.organiser,
        gettext_lazy("Your driver had to give up the trip"),
        message=gettext_lazy("We are finding you another driver."),
        audience="passenger",
        priority="high",
        action_url=f"/trips/{trip.pk}/",
    )


def _mark_released(trip: Trip, driver: Driver, now: dt.datetime) -> None:
    """Mark the driver's offer of the trip as released: they are not asked about it again."""
    offers = trip.offers.filter(driver=driver)
    accepted = offers.filter(status=OfferStatus.ACCEPTED, released_at__isnull=True)
    if accepted.update(released_at=now) or offers.filter(released_at__isnull=False).exists():
        return
    # Staff assigned the trip without an offer: create a released one, so that the driver is not asked again.
    Offer.objects.create(
        trip=trip,
        driver=driver,
        round_number=trip.round_number + 1,
        status=OfferStatus.ACCEPTED,
        urgency=pricing.urgency(trip.departure_at, now),
        difficulty=pricing.difficulty(trip.distance_km),
        distance_km=0,
        pickup_min=0,
        created_at=now,
        expires_at=now,
        responded_at=now,
        released_at=now,
    )


def assign(trip_id: int, driver_id: int, user: User) -> Trip:
    """Assign the trip to a driver, by staff, also to one who has no offer.

    Raises:
        NotFound, NotPermitted, Conflict (driver.overlap, vehicle.overlap, driver.own_trip, driver.licence_expired,
            driver.no_vehicle, driver.too_few_seats, trip.transition_refused)
    """
    require_staff(user)
    trip = _assign_by_staff(trip_id, driver_id, user)
    best_effort(withdraw_overlapping, driver_id, trip, ServiceSettings.current())
    return trip


@in_transaction
def _assign_by_staff(trip_id: int, driver_id: int, user: User) -> Trip:
    """Lock the vehicle's drivers and the trip, check the driver and assign it; their open offer is accepted with it."""
    driver = lock_driver(driver_id, with_mates=True)
    trip = Trip.objects.for_page().locked().filter(pk=trip_id).first()
    if trip is None:
        raise NotFound("trip.not_found", _("There is no such trip."))
    if trip.driver_id == driver_id and trip.status == TripStatus.ACCEPTED:
        return trip
    if trip.status not in OPEN:
        raise Conflict("trip.transition_refused", _("This trip is not looking for a driver."))
    require_approved(driver)
    if driver.user_id == trip.organiser_id:
        raise Conflict("driver.own_trip", _("This driver booked the trip."))
    require_fit(driver, trip, by_staff=True)
    settings = ServiceSettings.current()
    require_no_overlap(driver, trip, settings)
    pending = trip.offers.filter(driver=driver, status=OfferStatus.PENDING)
    offer_id = pending.values_list("pk", flat=True).first()
    pending.update(status=OfferStatus.ACCEPTED, responded_at=Now())
    assign_driver(trip, driver, role=Role.STAFF, by_id=user.pk, offer_id=offer_id, settings=settings)
    notify(
        driver.user,
        gettext_lazy("A trip was assigned to you"),
        message=trip.title,
        audience="driver",
        priority="high",
        action_url="/driver/",
    )
    return trip
