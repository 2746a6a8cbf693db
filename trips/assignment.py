"""Assignment: giving a trip to a driver, by staff or after they accepted (trips.accepting), and taking it back.

Everything is decided in the database, so any number of processes may run this together, be killed and come back.
Lock order everywhere: driver, trip, offers, bookings. Deadlines are judged by the database's clock.
"""

import datetime as dt
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.functional import lazy
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.availability import lock_both, lock_driver, mark_free, require_approved
from drivers.models import Driver
from realtime import events, groups
from realtime.delivery.notifications import notify
from realtime.outbox import publish
from stepper import limits
from stepper.db.clock import database_now
from stepper.db.transactions import Stale, best_effort, in_transaction
from stepper.errors import Conflict, InvalidInput, NotFound, Text
from stepper.models import ServiceSettings, User
from stepper.monitoring import figures
from stepper.staff_words import ask_staff
from stepper.templatetags.units import when_in_words
from stepper.texts import clean_text
from trips import boarding, legs, overlap
from trips.access import gone_on, require_as_shown, require_searching, require_staff, trip_for
from trips.candidates import judge_driver
from trips.cards import driver_card, vehicle_card
from trips.dispatch import RoundResult, first_search_at, start_round
from trips.eligibility import REASONS
from trips.fitness import require_fit, require_no_overlap
from trips.models import NO_WAVE, StaffAssignment, Trip, TripChange
from trips.offers import (
    withdraw_offers,
    withdraw_overlapping,
)
from trips.repeats import is_repeated
from trips.states import ASSIGNED_BY_STAFF, BEFORE_BOARDING, OPEN, OfferStatus, Role, TripStatus

_DRIVER_FOUND = gettext_lazy("Driver found")


def offer_again(trip_id: int, user: User, *, shown_driver_id: int | None = None) -> RoundResult:
    """Start the next round of an open trip now, for its organiser or staff.

    A trip that gets a driver between the checks and the round stays as it is: only open trips have rounds.
    `shown_driver_id`: see `access.require_as_shown`.

    Raises:
        NotFound, NotPermitted
        Conflict: trip.transition_refused, it has a driver or is over; assignment.changed_meanwhile
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "offer_again", "changes_per_min")
    trip = trip_for(user, trip_id)
    require_as_shown(trip, shown_driver_id)
    require_searching(trip, user, _("Only who booked the trip can have it offered again."))
    if trip.status != TripStatus.UNFILLED:
        return start_round(trip_id, at_once=True)
    return start_round(trip_id, Role.STAFF if user.may_steer_trips else Role.ORGANISER, by_id=user.pk, at_once=True)


def assign_driver(
    trip: Trip,
    driver: Driver,
    *,
    role: Role,
    by_id: int,
    offer_id: int | None,
    settings: ServiceSettings,
    note: str = "",
    told: Text = _DRIVER_FOUND,
) -> None:
    """Give the trip to the driver, withdraw the other offers, publish and notify. Driver and trip are locked.

    A former driver, of whom `Trip.move` tells, is the trip's until now. `note`: for the history, which staff alone
    read; `told`: what the passenger is told first.
    """
    now = database_now()
    changes = {"boarding_code": boarding.new_code(settings)}
    move_to_driver(trip, driver, changes, role=role, by_id=by_id, now=now, settings=settings, note=note)
    withdraw_offers(trip, "accepted_by_another")
    publish_accepted(trip, driver, offer_id=offer_id, accepted_at=now)
    notify(
        trip.organiser,
        told,
        # Written out in the language of whom it is for.
        message=format_lazy("{} · {}", driver.user.short_name, driver.vehicle),
        audience="passenger",
        action_url=f"/trips/{trip.pk}/",
        is_critical=True,
    )


def move_to_driver(
    trip: Trip,
    driver: Driver,
    changes: Mapping[str, Any],
    *,
    role: Role,
    by_id: int,
    now: dt.datetime,
    settings: ServiceSettings,
    note: str = "",
) -> None:
    """Move a locked trip to accepted with its driver, in the span of its times. `note` is for staff alone.

    `changes`: further columns, which may be the times.

    Raises:
        Conflict: driver.overlap
    """
    half = overlap.half_margin(settings)
    columns: dict[str, Any] = {
        **NO_WAVE,
        "driver": driver,
        "vehicle": driver.vehicle,
        "accepted_at": now,
        "busy_from": changes.get("departure_at", trip.departure_at) - half,
        "busy_until": changes.get("ends_at", trip.ends_at) + half,
        **changes,
    }
    try:
        trip.move(TripStatus.ACCEPTED, role, by_id=by_id, note=note, announced="", **columns)
    except IntegrityError as error:
        if overlap.NAME not in str(error):
            raise
        raise Conflict("driver.overlap", _("Overlaps with another trip of this driver.")) from error


def publish_accepted(trip: Trip, driver: Driver, *, offer_id: int | None, accepted_at: dt.datetime) -> None:
    """Publish who drives the trip now, to whoever watches it and to the driver."""
    publish(
        events.OfferAccepted(
            trip_id=trip.pk,
            offer_id=offer_id,
            version=trip.version,
            driver=driver_card(driver),
            vehicle=vehicle_card(driver.vehicle),
            accepted_at=accepted_at,
        ),
        groups.trip(trip.pk),
        groups.driver(driver.pk),
    )


# Giving back


@in_transaction
def release(driver_id: int, trip_id: int, reason: str = "", *, key: str = "") -> Trip:
    """Release an accepted trip by its driver: it is offered to others, never again to them.

    A trip of which staff have made another one since may be given back until boarding, and that counts for nothing.
    `key`: see trips.repeats.

    Raises:
        NotFound, InvalidInput, Conflict (trip.release_too_late, trip.transition_refused, command.key_reused)
    """
    driver = lock_driver(driver_id)
    trip = Trip.objects.for_page().locked().filter(pk=trip_id).first()
    if trip is None or trip.driver_id != driver_id:
        if trip is not None and _had_it(trip, driver_id):
            return trip
        raise NotFound("trip.not_found", _("There is no such trip."))
    if is_repeated(driver_id, key, f"status {trip_id} released"):
        return trip
    until = trip.departure_at - dt.timedelta(minutes=ServiceSettings.current().release_until_min)
    is_another = TripChange.objects.made_another_trip_of(trip)
    # A trip for now departs when it is booked; it can be given back until the driver is at the pickup.
    if not trip.is_now and not is_another and database_now() > until:
        raise ask_staff(Conflict("trip.release_too_late", _("It is too late to release this trip.")))
    _give_back(
        trip,
        driver,
        role=Role.DRIVER,
        by_id=driver.user_id,
        reason=reason,
        told=gettext_lazy("Your driver had to give up the trip"),
        is_free=is_another,
    )
    return trip


@in_transaction
def take_off(trip_id: int, user: User, reason: str = "", *, shown_driver_id: int | None = None) -> Trip:
    """Take the trip off its driver, by staff: it is offered to others, not to them, and counts against nobody.

    Others are asked at once, or, of a trip that leaves much later, when drivers are (`next_look_at`).
    `shown_driver_id`: see `access.require_as_shown`.

    Raises:
        NotFound, NotPermitted, Conflict (trip.transition_refused, assignment.changed_meanwhile)
    """
    require_staff(user)
    unlocked = trip_for(user, trip_id)
    if unlocked.driver_id is None:
        raise Conflict("trip.transition_refused", _("This trip has no driver."))
    driver = lock_driver(unlocked.driver_id)
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.driver_id != unlocked.driver_id:
        raise Stale
    require_as_shown(trip, shown_driver_id)
    _give_back(
        trip,
        driver,
        role=Role.STAFF,
        by_id=user.pk,
        reason=reason,
        told=gettext_lazy("Our staff took the trip off your driver"),
    )
    _tell_taken_off(trip, driver, reason)
    return trip


def _tell_taken_off(trip: Trip, driver: Driver, reason: str) -> None:
    notify(
        driver.user,
        gettext_lazy("A trip was taken off you"),
        message=f"{trip.title}. {reason}".strip(),
        audience="driver",
        priority="high",
        action_url="/driver/",
    )


def _give_back(
    trip: Trip, driver: Driver, *, role: Role, by_id: int, reason: str, told: Text, is_free: bool = False
) -> None:
    """Take the trip off its driver and offer it to others after the commit. Driver and trip are locked.

    `is_free`: staff have made another trip of it, so that giving it back counts for nothing.
    """
    now, settings = database_now(), ServiceSettings.current()
    _record_end(trip, driver, role=role, by_id=by_id, reason=reason, now=now, is_free=is_free)
    # If the trip begins about now (given back late, or the driver never set off), search as long as for a trip that
    # was booked for now.
    search_until = max(trip.search_until, now + dt.timedelta(minutes=settings.patience_min))
    asked_at = first_search_at(trip.departure_at, settings, now)
    trip.move(
        TripStatus.OFFERED,
        role,
        by_id=by_id,
        note=reason,
        # What staff say of a driver is not for the passengers; the driver reads it in a notification.
        announced="" if role == Role.STAFF else None,
        driver=None,
        vehicle=None,
        accepted_at=None,
        **NO_WAVE | {"next_look_at": asked_at},
        search_until=search_until,
    )
    transaction.on_commit(partial(best_effort, start_round, trip.pk))
    mark_free(driver.pk)
    notify(
        trip.organiser,
        told,
        message=lazy(_when_asked, str)(trip, asked_at if asked_at > now else None),
        audience="passenger",
        priority="high",
        action_url=f"/trips/{trip.pk}/",
    )


def _when_asked(trip: Trip, asked_at: dt.datetime | None) -> str:
    """Say in the active language what comes next for a trip without a driver; None: drivers are asked now."""
    if asked_at is None:
        return _("We are finding you another driver.")
    return _("Drivers are asked from %(when)s.") % {"when": when_in_words(asked_at, trip.timezone)}


def _had_it(trip: Trip, driver_id: int) -> bool:
    """Say whether the driver had the trip and lost it."""
    return (
        trip.offers.filter(driver_id=driver_id, released_at__isnull=False).exists()
        or trip.staff_assignments.filter(driver_id=driver_id, ended_at__isnull=False).exists()
    )


def _record_end(
    trip: Trip, driver: Driver, *, role: Role, by_id: int, reason: str, now: dt.datetime, is_free: bool = False
) -> None:
    """Record that the driver loses the trip, by themself or by staff: they are not asked about it again.

    What staff gave or took is a row of theirs; of a driver's own answers only what they gave back themself counts,
    unless it `is_free`.
    """
    by_staff = role == Role.STAFF
    accepted = trip.offers.filter(driver=driver, status=OfferStatus.ACCEPTED, released_at__isnull=True)
    ended: dict[str, Any] = {"released_at": now, "taken_off": by_staff or is_free}
    released = accepted.update(**ended | ({"reason": "changed"} if is_free else {}))
    end = {"ended_at": now, "ended_as": role, "ended_by_id": by_id, "end_reason": clean_text(reason)[:200]}
    if trip.staff_assignments.running().filter(driver=driver).update(**end) or (released and not by_staff):
        return
    # Staff take it off a driver who accepted it; or a server of the release before, which writes no such rows, had
    # assigned it.
    StaffAssignment.objects.create(trip=trip, driver=driver, assigned_at=trip.accepted_at or now, **end)


# Assigning by staff


def assign(trip_id: int, driver_id: int, user: User, reason: str = "") -> Trip:
    """Assign the trip to a driver, by staff, also to one who has no offer. Repeating it changes nothing.

    `reason`: needed where a rule speaks against the driver that does not refuse (trips.candidates).

    Raises:
        NotFound, NotPermitted (also driver.not_approved)
        InvalidInput: assignment.reason_needed
        Conflict: driver.overlap, vehicle.overlap, driver.own_trip, driver.had_trip, driver.licence_expired,
            driver.documents_expired, driver.no_vehicle, driver.too_few_seats, trip.transition_refused
    """
    require_staff(user)
    trip = _assign_by_staff(trip_id, driver_id, user, clean_text(reason)[:200])
    best_effort(withdraw_overlapping, driver_id, trip, ServiceSettings.current())
    return trip


@in_transaction
def _assign_by_staff(trip_id: int, driver_id: int, user: User, reason: str) -> Trip:
    """Lock the vehicle's drivers and the trip, check the driver and assign it; their open offer ends with it."""
    driver = lock_driver(driver_id, with_mates=True)
    trip = Trip.objects.for_page().locked().filter(pk=trip_id).first()
    if trip is None:
        raise NotFound("trip.not_found", _("There is no such trip."))
    if trip.driver_id == driver_id and trip.status == TripStatus.ACCEPTED:
        return trip
    if trip.status not in OPEN:
        raise gone_on(trip)
    settings = ServiceSettings.current()
    warnings = _require_assignable(trip, driver, reason, settings)
    pending = trip.offers.filter(driver=driver, status=OfferStatus.PENDING)
    offer_id = pending.values_list("pk", flat=True).first()
    # The driver did not accept it: an offer that staff end counts neither way.
    withdrawn = pending.update(status=OfferStatus.WITHDRAWN, responded_at=Now(), reason=ASSIGNED_BY_STAFF)
    figures.count_after_commit(figures.OFFERS, withdrawn, outcome=OfferStatus.WITHDRAWN.value)
    assign_driver(trip, driver, role=Role.STAFF, by_id=user.pk, offer_id=offer_id, settings=settings, note=reason)
    _record_assignment(trip, driver, user, reason, warnings)
    return trip


def _require_assignable(trip: Trip, driver: Driver, reason: str, settings: ServiceSettings) -> list[str]:
    """Refuse a driver who cannot drive the trip; return the codes of the rules that staff overrule by their reason.

    Raises:
        NotPermitted, Conflict, InvalidInput: as `assign`
    """
    require_approved(driver, by_staff=True)
    if driver.user_id == trip.organiser_id:
        raise Conflict("driver.own_trip", _("This driver booked the trip."))
    legs.require_no_part(trip, driver.pk)
    require_fit(driver, trip, by_staff=True)
    require_no_overlap(driver, trip, settings, by_staff=True)
    warnings = judge_driver(trip, driver).warnings
    if warnings and not reason:
        why = ", ".join(str(REASONS[code]) for code in warnings)
        words = _("Say why this driver drives it all the same: %(why)s.") % {"why": why}
        raise InvalidInput("assignment.reason_needed", words, {"reason": [words]})
    return warnings


def _record_assignment(trip: Trip, driver: Driver, user: User, reason: str, warnings: list[str]) -> None:
    """Write the row of an assignment, and notify the driver. The trip is theirs already."""
    StaffAssignment.objects.create(
        trip=trip,
        driver=driver,
        assigned_by=user,
        assigned_at=trip.accepted_at or database_now(),
        reason=reason,
        warnings=warnings,
    )
    notify(
        driver.user,
        gettext_lazy("A trip was assigned to you"),
        message=trip.title,
        audience="driver",
        priority="high",
        action_url="/driver/",
    )


def reassign(trip_id: int, driver_id: int, user: User, reason: str = "", *, shown_driver_id: int | None = None) -> Trip:
    """Move the trip from its driver to another, by staff, before anybody has boarded. It is offered to nobody between.

    Both drivers and the passenger are told once; it counts against nobody. Repeating it changes nothing.
    `shown_driver_id`: see `access.require_as_shown`.

    Raises:
        as `assign`; Conflict (trip.transition_refused): the trip has no driver, or passengers on board;
            (assignment.changed_meanwhile): it has another driver than was shown
    """
    require_staff(user)
    trip = _reassign(trip_id, driver_id, user, clean_text(reason)[:200], shown_driver_id)
    best_effort(withdraw_overlapping, driver_id, trip, ServiceSettings.current())
    return trip


@in_transaction
def _reassign(trip_id: int, driver_id: int, user: User, reason: str, shown_driver_id: int | None) -> Trip:
    """Lock both drivers, who share the new one's vehicle, and the trip; check the new driver and move the trip."""
    unlocked = trip_for(user, trip_id)
    if unlocked.driver_id is None:
        raise gone_on(unlocked)
    first, driver = lock_both(unlocked.driver_id, driver_id)
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.driver_id != unlocked.driver_id:
        raise Stale
    if trip.status not in BEFORE_BOARDING:
        raise gone_on(trip)
    if trip.driver_id == driver_id:
        return trip
    require_as_shown(trip, shown_driver_id)
    settings = ServiceSettings.current()
    warnings = _require_assignable(trip, driver, reason, settings)
    _record_end(trip, first, role=Role.STAFF, by_id=user.pk, reason=reason, now=database_now())
    Trip.objects.filter(pk=trip.pk, arrival_flagged=True).update(arrival_flagged=False)
    trip.arrival_flagged = False
    assign_driver(
        trip,
        driver,
        role=Role.STAFF,
        by_id=user.pk,
        offer_id=None,
        settings=settings,
        note=reason,
        told=gettext_lazy("Another driver comes to you"),
    )
    _record_assignment(trip, driver, user, reason, warnings)
    mark_free(first.pk)
    # Why is for staff: it may be about the other driver.
    _tell_taken_off(trip, first, "")
    return trip
