from django.db.models import Q
from django.utils.translation import gettext as _

from stepper.errors import Conflict, NotFound, NotPermitted, Text
from stepper.models import User
from trips.models import Booking, Trip, TripQuerySet
from trips.states import OPEN, BookingStatus


def require_staff(user: User) -> None:
    if not user.may_steer_trips:
        raise NotPermitted("auth.forbidden", _("Only staff can do this."))


def visible_to(user: User) -> TripQuerySet:
    """The trips somebody is on (organiser, booked passenger, driver); for staff all."""
    if user.may_see_trips:
        return Trip.objects.all()
    booked = Booking.objects.filter(passenger=user).exclude(status=BookingStatus.CANCELLED).values("trip")
    return Trip.objects.filter(Q(organiser=user) | Q(driver__user=user) | Q(pk__in=booked))


def trip_for(user: User, trip_id: int) -> Trip:
    """The trip as somebody on it (organiser, booked passenger, its driver) or staff may see it.

    Raises:
        NotFound: there is none, or it is somebody else's; the answer is the same.
    """
    trip = visible_to(user).for_page().filter(pk=trip_id).first()
    if trip is None:
        raise NotFound("trip.not_found", _("There is no such trip."))
    return trip


def require_searching(trip: Trip, user: User, refused: Text) -> None:
    """The trip looks for a driver, and this user booked it or is staff.

    Raises:
        NotPermitted (auth.forbidden): with `refused`
        Conflict (trip.transition_refused): it has a driver or is over
    """
    if trip.organiser_id != user.pk and not user.may_steer_trips:
        raise NotPermitted("auth.forbidden", refused)
    if trip.status not in OPEN:
        raise Conflict("trip.transition_refused", _("This trip is not looking for a driver."))
