"""What staff do on the pages of a trip and of a driver: each action, whether it makes sense now, who may do it.

An action calls one verb of the domain, which checks the permission again and decides.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.db.models import TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers import approvals, availability, deactivation
from drivers.models import Driver
from stepper.errors import Conflict, Text
from stepper.models import ServiceSettings, User
from trips import assignment, bookings, driving, safety, steering
from trips.candidate_words import cancel_effect, take_off_effect
from trips.eligibility import in_words
from trips.history_words import nobody_online
from trips.models import Trip
from trips.policy import radius_of
from trips.states import (
    ABOARD,
    ASSIGNED,
    BEFORE_BOARDING,
    EXPECTED,
    FINISHED,
    HANDED_OVER_IN,
    OPEN,
    Role,
    TripStatus,
    allowed,
)

STEER = "trips.change_trip"
SEE_DRIVERS = "drivers.view_driver"


class Reason(NamedTuple):
    """The field of a reason: who reads it, and whether it can be left out."""

    help: Text
    needed: bool = True


class Action(NamedTuple):
    """One thing that staff can do to a trip or a driver."""

    name: str
    title: Text
    icon: str
    # What doing it will do, said before it is done: for the row that is shown.
    effect: Callable[[Any], Text]
    # What is said when it is done.
    done: Text
    # Gets the row, the member of staff, the reason ("": none was asked for or given), and of a trip the driver whom its
    # page showed (`access.require_as_shown`).
    do: Callable[[Any, User, str, int | None], object]
    makes_sense: Callable[[Any], bool]
    permissions: tuple[str, ...]
    # None: it is done without a reason.
    reason: Reason | None = None
    # Drawn as something that cannot be undone.
    is_danger: bool = False
    # Only soon after signing in, or with the password once more.
    is_confirmed: bool = False


def available(actions: tuple[Action, ...], row: Any, user: User) -> list[Action]:
    """Return the actions that make sense for the row and that the user may do."""
    return [action for action in actions if action.makes_sense(row) and user.has_perms(action.permissions)]


def find(actions: tuple[Action, ...], name: str) -> Action | None:
    return next((action for action in actions if action.name == name), None)


# Trips: choosing a driver and editing have pages of their own.


class Picking(TextChoices):
    """What choosing a driver does to a trip."""

    ASSIGN = "assign", gettext_lazy("Assign a driver")
    REASSIGN = "reassign", gettext_lazy("Move to another driver")
    HAND_OVER = "hand-over", gettext_lazy("Hand over to another driver")


def picking(trip: Trip) -> Picking | None:
    """Return what choosing a driver would do to a trip now; None: nobody can be chosen."""
    if trip.status in OPEN:
        return Picking.ASSIGN
    if trip.status in BEFORE_BOARDING:
        return Picking.REASSIGN
    return Picking.HAND_OVER if trip.status in HANDED_OVER_IN else None


def may_pick(user: User) -> bool:
    return user.has_perms((STEER, SEE_DRIVERS))


def may_edit(trip: Trip, user: User) -> bool:
    return trip.status not in FINISHED | {TripStatus.DRAFT} and user.has_perm(STEER)


def _offer_again(trip: Trip, user: User, _reason: str, shown: int | None) -> None:
    result = assignment.offer_again(trip.pk, user, shown_driver_id=shown)
    if not result.drivers_notified:
        why = in_words(result.reasons) or nobody_online(radius_of(trip, ServiceSettings.current()))
        raise Conflict("dispatch.nobody", _("Nobody else can be asked now (%(why)s).") % {"why": why})


def _handle_calls_for_help(trip: Trip, user: User, _reason: str, _shown: int | None) -> None:
    calls = trip.safety_alerts.filter(handled_at__isnull=True).order_by("pk")
    for alert_id in list(calls.values_list("pk", flat=True)):
        safety.mark_handled(alert_id, user)


_TOLD = Reason(gettext_lazy("The passenger and the driver read it."))
_KNOWN = Reason(gettext_lazy("How you know, for the trip's history: “the passenger sees the car”."))
_FOR_STAFF = Reason(gettext_lazy("For the trip's history, which staff alone read."))

TRIP_ACTIONS: tuple[Action, ...] = (
    Action(
        "help-handled",
        gettext_lazy("Call for help handled"),
        "shield-check",
        lambda trip: _("You have reached whoever called. They are told, and may call again."),
        gettext_lazy("The call for help is handled."),
        _handle_calls_for_help,
        lambda trip: trip.has_call_for_help,
        (STEER, safety.HANDLE),
    ),
    Action(
        "offer-again",
        gettext_lazy("Offer again"),
        "radar",
        lambda trip: _("Drivers around the pickup are searched now, without waiting for the next round."),
        gettext_lazy("Drivers are asked."),
        _offer_again,
        lambda trip: trip.status in OPEN,
        (STEER,),
    ),
    Action(
        "take-off",
        gettext_lazy("Take off the driver"),
        "user-minus",
        lambda trip: take_off_effect([trip]),
        gettext_lazy("The trip is taken off the driver."),
        lambda trip, user, reason, shown: assignment.take_off(trip.pk, user, reason, shown_driver_id=shown),
        lambda trip: trip.status in ASSIGNED and allowed(trip.status, TripStatus.OFFERED, role=Role.STAFF),
        (STEER,),
        Reason(gettext_lazy("The driver reads it."), needed=False),
        is_danger=True,
    ),
    Action(
        "confirm-arrival",
        gettext_lazy("Confirm arrival"),
        "map-pin",
        lambda trip: _(
            "The driver counts as at the pickup, whatever their position says: the passenger is told and cannot cancel "
            "any more, and the wait before a no-show begins."
        ),
        gettext_lazy("The driver counts as at the pickup."),
        lambda trip, user, reason, shown: driving.confirm_arrival(trip.pk, user, reason, shown_driver_id=shown),
        lambda trip: trip.status in EXPECTED or trip.awaits_confirmation,
        (STEER,),
        _KNOWN,
    ),
    Action(
        "waive-code",
        gettext_lazy("Board without the code"),
        "key-round",
        lambda trip: _(
            "The driver is not asked for the passenger's code any more. Make sure that it is the right passenger."
        ),
        gettext_lazy("The driver boards without a code."),
        lambda trip, user, reason, shown: driving.waive_boarding_code(trip.pk, user, reason, shown_driver_id=shown),
        lambda trip: bool(trip.boarding_code) and trip.status in BEFORE_BOARDING,
        (STEER,),
        _KNOWN,
    ),
    Action(
        "take-back-arrival",
        gettext_lazy("Take back the arrival"),
        "undo-2",
        lambda trip: _(
            "For an arrival that was tapped by mistake: the driver is on the way to the pickup again, or on the road "
            "to the destination. Passenger and driver are told; it counts against nobody."
        ),
        gettext_lazy("The arrival is taken back."),
        lambda trip, user, reason, shown: steering.take_back_arrival(trip.pk, user, reason, shown_driver_id=shown),
        lambda trip: trip.status in steering.TAKEN_BACK,
        (STEER,),
        _FOR_STAFF,
    ),
    Action(
        "complete",
        gettext_lazy("Complete"),
        "circle-check",
        lambda trip: _(
            "For passengers who have arrived and whose driver cannot say so: the trip is completed and counts as paid. "
            "This cannot be undone."
        ),
        gettext_lazy("The trip is completed."),
        lambda trip, user, reason, shown: steering.complete(trip.pk, user, reason, shown_driver_id=shown),
        lambda trip: trip.status in ABOARD and allowed(trip.status, TripStatus.COMPLETED, role=Role.STAFF),
        (STEER,),
        _FOR_STAFF,
        is_danger=True,
    ),
    Action(
        "cancel",
        gettext_lazy("Cancel the trip"),
        "ban",
        lambda trip: cancel_effect([trip]),
        gettext_lazy("The trip is cancelled."),
        lambda trip, user, reason, shown: bookings.cancel(trip.pk, user, reason, shown_driver_id=shown),
        lambda trip: allowed(trip.status, TripStatus.CANCELLED, role=Role.STAFF),
        (STEER,),
        _TOLD,
        is_danger=True,
    ),
)

_DRIVER_READS = Reason(gettext_lazy("The driver reads it."), needed=False)
_APPLICANT_READS = Reason(gettext_lazy("Who applied reads it."), needed=False)


def _reinstate(driver: Driver, user: User, _reason: str, _shown: int | None) -> None:
    approvals.reinstate(driver.pk, user)


def _approve(driver: Driver, user: User, _reason: str, _shown: int | None) -> None:
    approvals.approve(driver.pk, user)


DRIVER_ACTIONS: tuple[Action, ...] = (
    Action(
        "approve",
        gettext_lazy("Approve"),
        "user-check",
        lambda driver: _("They are told, can go online and are asked about trips."),
        gettext_lazy("The driver is approved."),
        _approve,
        lambda driver: driver.approval in approvals.DECISIONS["approve"],
        (approvals.CHANGE,),
    ),
    Action(
        "reject",
        gettext_lazy("Reject"),
        "user-x",
        lambda driver: _("They are told and cannot go online. You can approve them later."),
        gettext_lazy("The application is rejected."),
        lambda driver, user, reason, _shown: approvals.reject(driver.pk, user, reason),
        lambda driver: driver.approval in approvals.DECISIONS["reject"],
        (approvals.CHANGE,),
        _APPLICANT_READS,
        is_danger=True,
    ),
    Action(
        "take-offline",
        gettext_lazy("Take offline"),
        "power",
        lambda driver: _(
            "They are told and get no new offers until they go online again. A trip they have stays theirs."
        ),
        gettext_lazy("The driver is offline."),
        lambda driver, user, reason, _shown: availability.take_offline(driver.pk, user, reason),
        lambda driver: driver.is_online or driver.on_break_until is not None,
        (approvals.CHANGE,),
        _DRIVER_READS,
    ),
    Action(
        "suspend",
        gettext_lazy("Suspend"),
        "ban",
        lambda driver: _(
            "They are told, go offline and lose their open offers. A trip they have stays theirs until you take it off."
        ),
        gettext_lazy("The driver is suspended."),
        lambda driver, user, reason, _shown: approvals.suspend(driver.pk, user, reason),
        lambda driver: driver.approval in approvals.DECISIONS["suspend"],
        (approvals.CHANGE,),
        _DRIVER_READS,
        is_danger=True,
    ),
    Action(
        "reinstate",
        gettext_lazy("Reinstate"),
        "user-check",
        lambda driver: _("They are told and can go online again."),
        gettext_lazy("The driver is reinstated."),
        _reinstate,
        lambda driver: driver.approval in approvals.DECISIONS["reinstate"],
        (approvals.CHANGE,),
    ),
    Action(
        "deactivate",
        gettext_lazy("Close the account"),
        "user-x",
        lambda driver: _(
            "They are signed out everywhere, go offline and lose their open offers; they cannot sign in until the "
            "account is opened again. A trip they have stays theirs until you take it off."
        ),
        gettext_lazy("The account is closed."),
        lambda driver, user, reason, _shown: deactivation.deactivate(driver.pk, user, reason),
        lambda driver: driver.user.is_active,
        (deactivation.CHANGE,),
        Reason(gettext_lazy("For the security log, which staff alone read.")),
        is_danger=True,
        is_confirmed=True,
    ),
)
