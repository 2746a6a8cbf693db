"""Permissions on trips: who may see a trip and its trail, and who may start a search for it.

A trip may be seen by its organiser, passengers with seats on it, its driver, and staff who may see all trips. Each of
these is a function here, and the queries of pages, REST and sockets use them. When they get the driver's position:
drivers.positions.privacy.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django.db.models import Case, DateTimeField, Exists, F, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from drivers.models import Approval, Driver, TrailPoint
from stepper.audit.looks import looked_at
from stepper.db.clock import database_now
from stepper.db.prepared import PreparedQuery
from stepper.errors import Conflict, NotFound, NotPermitted, Text
from stepper.models import User
from trips.models import Booking, Trip, TripQuerySet
from trips.states import BEFORE_BOARDING, HANDED_OVER_IN, OPEN, BookingStatus, TripStatus

# Stands for the driver whom a page showed, where it showed that the trip has none; no row has this id.
NOBODY: Final = 0
# What a row of `own_unfinished` is about.
_ON_IT, _DRIVER_ROW, _DRIVES_IT, _SUSPENDED_ROW = 0, 1, 2, 3


class OwnTrips(NamedTuple):
    """A user's own trips, which their sockets watch without a command. `driver_id` None: the user is not a driver."""

    driver_id: int | None
    suspended: bool
    # Unfinished trips that they organised or have seats on.
    on_ids: set[int]
    driven_ids: set[int]


def require_staff(user: User) -> None:
    """Refuse a user who may not steer everybody's trips.

    Raises:
        NotPermitted: auth.forbidden
    """
    user.require_staff("trips.change_trip")


def drives(user: User, trip: Trip) -> bool:
    """Say whether the user is the trip's driver now. Reads the driver's row."""
    return trip.driver is not None and trip.driver.user_id == user.pk


# The reasons why a user sees a trip


def _organised_by(user_id: int) -> TripQuerySet:
    return Trip.objects.filter(organiser=user_id)


def _seats_of(user_id: int) -> QuerySet[Booking]:
    return Booking.objects.filter(passenger=user_id).exclude(status=BookingStatus.CANCELLED)


def _booked_by(user_id: int) -> TripQuerySet:
    return Trip.objects.filter(pk__in=_seats_of(user_id).values("trip"))


def _driven_by(user_id: int) -> TripQuerySet:
    return Trip.objects.filter(driver__user=user_id)


# Which trips a user sees


def visible_to(user: User) -> TripQuerySet:
    """Return the trips a user may see; the caller filters it to the ids it needs.

    For a list use `list_visible_to`: with OR between the parts, the database reads every trip.
    """
    return Trip.objects.all() if user.may_see_trips else _seen_by(user.pk)


def _seen_by(user_id: int) -> TripQuerySet:
    return functools.reduce(operator.or_, (_organised_by(user_id), _booked_by(user_id), _driven_by(user_id)))


def list_visible_to(user: User) -> TripQuerySet:
    """Return the trips a user may see, for a list."""
    if user.may_see_trips:
        return Trip.objects.all()
    return _union([_organised_by(user.pk), _booked_by(user.pk), _driven_by(user.pk)])


def list_booked_by(user: User) -> TripQuerySet:
    """Return the trips that a user organised or has seats on, for a list."""
    return _union([_organised_by(user.pk), _booked_by(user.pk)])


def _union(parts: Sequence[TripQuerySet]) -> TripQuerySet:
    """Return the trips of all parts, found by the index of each."""
    first, *others = (part.order_by().values("pk") for part in parts)
    return Trip.objects.filter(pk__in=first.union(*others))


def only_driven_by(user: User) -> TripQuerySet:
    """Return the unfinished trips that a user sees only because they drive them."""
    driven = _driven_by(user.pk).unfinished().exclude(organiser=user.pk)
    return driven.exclude(pk__in=_seats_of(user.pk).values("trip"))


def own_unfinished(user: User) -> OwnTrips:
    """Read the user's driver row and their unfinished trips, in one statement."""
    rows = _own_unfinished(user.pk)
    return OwnTrips(
        driver_id=next((pk for what, pk in rows if what in (_DRIVER_ROW, _SUSPENDED_ROW)), None),
        suspended=any(what == _SUSPENDED_ROW for what, _pk in rows),
        on_ids={pk for what, pk in rows if what == _ON_IT},
        driven_ids={pk for what, pk in rows if what == _DRIVES_IT},
    )


def _select_own_unfinished(user_id: int) -> QuerySet[Any, tuple[int, int]]:
    """Return the statement of `own_unfinished`.

    A UNION, so that each part uses its own index: with OR between them the database reads every unfinished trip.
    """
    parts = ((_ON_IT, _organised_by), (_ON_IT, _booked_by), (_DRIVES_IT, _driven_by))
    trips = (part(user_id).unfinished().order_by().values_list(Value(what), "pk") for what, part in parts)
    kind = Case(When(approval=Approval.SUSPENDED, then=Value(_SUSPENDED_ROW)), default=Value(_DRIVER_ROW))
    drivers = Driver.objects.filter(user=user_id).order_by().values_list(kind, "pk")
    return drivers.union(*trips)


_own_unfinished = PreparedQuery(_select_own_unfinished)
_any_trip = PreparedQuery(lambda trip_id: Trip.objects.for_page().filter(pk=trip_id))
_seen_trip = PreparedQuery(lambda user_id, trip_id: _seen_by(user_id).for_page().filter(pk=trip_id))


def trip_for(user: User, trip_id: int) -> Trip:
    """Return the trip if the user may see it, with what a page reads of it.

    Raises:
        NotFound: there is none, or the user may not see it; the answer is the same.
    """
    trip = _any_trip.first(trip_id) if user.may_see_trips else _seen_trip.first(user.pk, trip_id)
    if trip is None:
        raise NotFound("trip.not_found", _("There is no such trip."))
    log_look(user, trip)
    return trip


def log_look(user: User, trip: Trip, what: str = "trips.trip") -> None:
    """Log that staff see a trip that is not theirs, in the audit log. `what`: of it, as a model's label."""
    if user.is_staff and trip.organiser_id != user.pk and not drives(user, trip):
        driver = trip.driver
        looked_at(user, [trip.organiser_id, driver.user_id if driver is not None else None], what, trip.pk)


def require_searching(trip: Trip, user: User, refused: Text) -> None:
    """Refuse a user who is neither the organiser nor staff, and a trip that is not open.

    Raises:
        NotPermitted: auth.forbidden, with the message `refused`
        Conflict: trip.transition_refused, the trip has a driver or is over
    """
    if trip.organiser_id != user.pk and not user.may_steer_trips:
        raise NotPermitted("auth.forbidden", refused)
    if trip.status not in OPEN:
        raise Conflict("trip.transition_refused", _("This trip is not looking for a driver."))


def gone_on(trip: Trip) -> Conflict:
    """Return the refusal to give a trip to another driver in the way that was shown, as it has gone on meanwhile."""
    words = {"status": str(TripStatus(trip.status).label)}
    if trip.is_finished:
        refused = _("This trip is over.")
    elif trip.status in HANDED_OVER_IN:
        refused = _(
            "The trip has gone on meanwhile (“%(status)s”): the passengers are on board. Nothing was done; it can be "
            "handed over to another driver now."
        )
    elif trip.status in OPEN:
        refused = _("The trip has no driver any more (“%(status)s”). Nothing was done; a driver can be assigned now.")
    elif trip.status in BEFORE_BOARDING:
        refused = _("The trip has a driver now (“%(status)s”). Nothing was done; it can be moved to another driver.")
    else:
        refused = _("The trip has gone on meanwhile (“%(status)s”): it cannot get another driver any more.")
    return Conflict("trip.transition_refused", refused % words)


def require_as_shown(trip: Trip, shown_driver_id: int | None) -> None:
    """Refuse to do something to a trip whose driver is not the one whom the member of staff saw.

    `shown_driver_id`: NOBODY where they saw that it has none; None: whoever it is. Of the locked row, or of one whose
    driver is compared with the locked row's. Two who move a trip at the same moment would otherwise move it twice, the
    second from the driver of the first; and an arrival, a code or a cancellation would be the next driver's.

    Raises:
        Conflict: assignment.changed_meanwhile
    """
    if shown_driver_id is not None and shown_driver(trip) != shown_driver_id:
        raise Conflict(
            "assignment.changed_meanwhile",
            _("The driver of this trip is another one meanwhile; nothing of yours was done. Look at who has it now."),
        )


def shown_driver(trip: Trip) -> int:
    """Return what a page keeps of the driver whom it shows: their id, or NOBODY."""
    return trip.driver_id or NOBODY


# Where the vehicle went


def trail_visible_to(user: User, trip: Trip) -> QuerySet[TrailPoint]:
    """Return the points of a trip's trail that a user may see, during the trip and afterwards.

    Staff who may see trips: all. A driver: their own, including the way to the pickup. The organiser and passengers
    with seats: those of each driver who drove them from the boarding to the arrival or the hand-over, not where the
    driver came from or went afterwards. Anybody else: none.
    """
    points = TrailPoint.objects.filter(trip=trip, jumped=False)
    if user.may_see_trips:
        return points
    own = Q(driver__user=user)
    ride = _of_former_legs(trip)
    if trip.driver_id is not None:
        ride |= Q(driver=trip.driver_id) & _of_the_ride(trip)
    if not ride:
        return points.filter(own)
    if trip.organiser_id != user.pk:
        ride &= Q(Exists(_seats_of(user.pk).filter(trip=trip)))
    return points.filter(own | ride)


def _of_former_legs(trip: Trip) -> Q:
    """Return the condition on points of the legs that other drivers drove; empty where there are none."""
    found = Q()
    for leg in trip.legs.all() if trip.former_legs else ():
        found |= Q(driver=leg.driver_id, recorded_at__gte=leg.started_at, recorded_at__lte=leg.ended_at)
    return found


def _of_the_ride(trip: Trip) -> Q:
    """Return the condition on points since the present driver's boarding, until the arrival or the trip's end."""

    def last(status: TripStatus, after: TripStatus) -> Subquery:
        """Return when the trip last came to a status; null where it has come to `after` since."""
        steps = trip.transitions.filter(to_status__in=[status, after]).order_by("-pk")
        at = Case(When(to_status=status, then=F("created_at")), default=None, output_field=DateTimeField())
        return Subquery(steps.annotate(at=at).values("at")[:1])

    ride = Q(recorded_at__gte=last(TripStatus.PASSENGERS_BOARDED, TripStatus.ACCEPTED))
    if trip.status in (TripStatus.ARRIVED, TripStatus.COMPLETED):
        # Staff can complete a trip that never arrived, or whose arrival they took back.
        ended_at = Value(trip.completed_at or database_now(), output_field=DateTimeField())
        arrived = last(TripStatus.ARRIVED, TripStatus.IN_TRANSIT)
        ride &= Q(recorded_at__lte=Coalesce(arrived, ended_at))
    return ride
