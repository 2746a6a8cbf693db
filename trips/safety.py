"""Calls for help from a trip: who may call the staff, with which position, and when the call has been handled."""

from functools import partial

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.models import DriverPosition
from realtime.delivery.notifications import notify, notify_staff
from stepper import limits
from stepper.db.clock import database_now
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, NotFound
from stepper.models import User

from . import access
from .models import PositionOf, SafetyAlert, Trip
from .states import ASSIGNED

# Who sees to a trip sees to a call from it: staff must not need another permission first.
HANDLE = "trips.change_trip"


def has_part_in(user: User, trip: Trip) -> bool:
    """Say whether the user drives the trip, booked it or has seats on it."""
    if trip.organiser_id == user.pk or access.drives(user, trip):
        return True
    return access.list_booked_by(user).filter(pk=trip.pk).exists()


def may_call(user: User, trip: Trip) -> bool:
    """Say whether the user may call for help: from the driver's acceptance to the end of the trip."""
    return trip.status in ASSIGNED and has_part_in(user, trip)


def open_alert(user: User, trip: Trip) -> SafetyAlert | None:
    """Return the user's call that nobody has handled yet; None: there is none."""
    return SafetyAlert.objects.filter(trip=trip, raised_by=user, handled_at__isnull=True).first()


def raise_alert(trip_id: int, user: User, *, lat: float | None = None, lng: float | None = None) -> SafetyAlert:
    """Call the staff for help. While a call is open, calling again only tells where the caller is now.

    `lat`, `lng`: where the caller is, in degrees; None: unknown, then the last position of the driver stands for it.

    Raises:
        NotFound: trip.not_found, for all but who travels or drives
        Conflict: safety.no_trip, the trip has no driver or is over
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "safety", "changes_per_min")
    return _raise_alert(trip_id, user, (lat, lng) if lat is not None and lng is not None else None)


@in_transaction
def _raise_alert(trip_id: int, user: User, position: tuple[float, float] | None) -> SafetyAlert:
    trip = Trip.objects.for_page().locked().filter(pk=trip_id).first()
    if trip is None or not has_part_in(user, trip):
        raise NotFound("trip.not_found", _("There is no such trip."))
    if trip.status not in ASSIGNED:
        raise Conflict("safety.no_trip", _("This trip is not under way. Call the emergency number."))
    alert = open_alert(user, trip)
    if alert is not None:
        if position is not None:
            (alert.lat, alert.lng), alert.position_of = position, PositionOf.SENDER
            alert.save(update_fields=["lat", "lng", "position_of"])
        return alert
    alert = SafetyAlert(trip=trip, raised_by=user, raised_at=database_now())
    if position is not None:
        (alert.lat, alert.lng), alert.position_of = position, PositionOf.SENDER
    elif (last := DriverPosition.objects.filter(driver=trip.driver_id).first()) is not None:
        alert.lat, alert.lng, alert.position_of = last.lat, last.lng, PositionOf.DRIVER
    alert.save(force_insert=True)
    address = reverse("admin:trips_safetyalert_change", args=[alert.pk])
    notify_staff(HANDLE, partial(_alert_words, trip, user), address, is_urgent=True)
    return alert


def _alert_words(trip: Trip, user: User) -> tuple[str, str]:
    phone = user.phone.as_international if user.phone else ""
    title = _("Call for help from trip %(id)d") % {"id": trip.pk}
    return title, " · ".join(part for part in (user.name, phone, trip.title) if part)


def mark_handled(alert_id: int, staff: User) -> SafetyAlert:
    """Mark a call as handled and tell the caller. Repeating it changes nothing.

    Raises:
        NotPermitted: auth.forbidden
        NotFound: not_found
    """
    staff.require_staff(HANDLE)
    return _mark_handled(alert_id, staff)


@in_transaction
def _mark_handled(alert_id: int, staff: User) -> SafetyAlert:
    rows = SafetyAlert.objects.select_for_update(of=("self",), no_key=True)
    alert = rows.select_related("trip", "raised_by").filter(pk=alert_id).first()
    if alert is None:
        raise NotFound("not_found", _("There is no such call for help."))
    if alert.handled_at is None:
        alert.handled_at, alert.handled_by = database_now(), staff
        alert.save(update_fields=["handled_at", "handled_by"])
        notify(
            alert.raised_by,
            gettext_lazy("Our staff have handled your call for help"),
            message=alert.trip.title,
            audience="driver" if access.drives(alert.raised_by, alert.trip) else "passenger",
            priority="high",
            action_url=reverse("trips:detail", args=[alert.trip_id]),
        )
    return alert
