"""What staff do about a trip under way when its driver cannot: take back a step, complete the trip.

Each has a reason, which the trip's history keeps for staff, and none of it counts against the driver.
"""

from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.availability import lock_driver
from realtime.delivery.notifications import notify
from stepper.db.transactions import Stale, in_transaction
from stepper.errors import InvalidInput, Text
from stepper.models import User
from stepper.texts import clean_text
from trips import access
from trips.ending import end_trip
from trips.models import TransitionRefused, Trip
from trips.states import Role, TripStatus

# An arrival that was not -> where the trip is in truth.
TAKEN_BACK: Final = {
    TripStatus.DRIVER_ARRIVED: TripStatus.EN_ROUTE,
    TripStatus.ARRIVED: TripStatus.IN_TRANSIT,
}
_SAID_TO_PASSENGER: Final[dict[TripStatus, Text]] = {
    TripStatus.EN_ROUTE: gettext_lazy("Your driver is not at the pickup yet"),
    TripStatus.IN_TRANSIT: gettext_lazy("You are not at the destination yet"),
}


def require_reason(reason: str) -> str:
    """Return a reason as it is stored. Raises InvalidInput: input.invalid, there is none."""
    words = clean_text(reason)
    if not words:
        raise InvalidInput("input.invalid", _("Say why."), {"reason": [_("Say why.")]})
    return words


@in_transaction
def take_back_arrival(trip_id: int, user: User, reason: str, *, shown_driver_id: int | None = None) -> Trip:
    """Take back an arrival at the pickup or at the destination that the driver reported by mistake.

    Repeating it changes nothing. `shown_driver_id`: see `access.require_as_shown`.

    Raises:
        NotFound, NotPermitted
        InvalidInput: input.invalid, there is no reason
        Conflict: trip.transition_refused, the trip stands at no arrival; assignment.changed_meanwhile
    """
    reason = require_reason(reason)
    trip = _lock_trip(trip_id, user, shown_driver_id)
    wanted = TAKEN_BACK.get(TripStatus(trip.status))
    if wanted is None:
        if _was_taken_back(trip):
            return trip
        raise TransitionRefused(trip.status, TripStatus.EN_ROUTE)
    trip.move(wanted, Role.STAFF, by_id=user.pk, note=reason, announced="", arrival_flagged=False)
    _tell_both(trip, _SAID_TO_PASSENGER[wanted], gettext_lazy("Our staff took back your step: you have not arrived"))
    return trip


def _was_taken_back(trip: Trip) -> bool:
    last = trip.transitions.order_by("-pk").first()
    return last is not None and TAKEN_BACK.get(TripStatus(last.from_status)) == last.to_status == trip.status


@in_transaction
def complete(trip_id: int, user: User, reason: str, *, shown_driver_id: int | None = None) -> Trip:
    """Complete a trip with passengers on board whose driver cannot say so. Repeating it changes nothing.

    `shown_driver_id`: see `access.require_as_shown`.

    Raises:
        NotFound, NotPermitted
        InvalidInput: input.invalid, there is no reason
        Conflict: trip.transition_refused, nobody is on board; assignment.changed_meanwhile
    """
    reason = require_reason(reason)
    trip = _lock_trip(trip_id, user, shown_driver_id)
    if trip.status == TripStatus.COMPLETED:
        return trip
    end_trip(trip, TripStatus.COMPLETED, role=Role.STAFF, by_id=user.pk, note=reason, is_note_private=True)
    _tell_both(
        trip,
        gettext_lazy("You have arrived. How was your trip?"),
        gettext_lazy("Our staff completed your trip"),
    )
    return trip


def _lock_trip(trip_id: int, user: User, shown_driver_id: int | None) -> Trip:
    """Lock the driver and the trip for staff. Raises NotFound, NotPermitted, Conflict: as the verbs."""
    access.require_staff(user)
    unlocked = access.trip_for(user, trip_id)
    if unlocked.driver_id:
        lock_driver(unlocked.driver_id)
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.driver_id != unlocked.driver_id:
        raise Stale
    access.require_as_shown(trip, shown_driver_id)
    return trip


def _tell_both(trip: Trip, passenger: Text, driver: Text) -> None:
    """Notify the organiser and the driver of what staff did."""
    notify(
        trip.organiser,
        passenger,
        message=trip.title,
        audience="passenger",
        priority="high",
        action_url=f"/trips/{trip.pk}/",
    )
    if trip.driver is not None:
        notify(trip.driver.user, driver, message=trip.title, audience="driver", priority="high", action_url="/driver/")
