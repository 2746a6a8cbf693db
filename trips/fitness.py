"""What a driver must have to get a trip, in words for who asks: the driver who accepts it, or staff who assign it."""

import datetime as dt

from django.utils.translation import gettext as _

from drivers.availability import DOCUMENTS_EXPIRED, LICENCE_EXPIRED, NO_VEHICLE, SEND_NEW_LICENCE
from drivers.models import Driver
from stepper.errors import Conflict
from stepper.models import ServiceSettings
from stepper.staff_words import ask_staff
from stepper.templatetags.units import clock
from trips.eligibility import unfit
from trips.models import Trip


class Unfit(Conflict):
    """The driver's present licence or vehicle does not meet what the trip needs."""


def require_fit(driver: Driver, trip: Trip, *, by_staff: bool = False) -> None:
    """Refuse a driver whose present licence or vehicle does not meet what the trip needs.

    Staff may assign a smaller class of vehicle. Too few seats or expired papers are refused to staff as well.

    Raises:
        Unfit: driver.licence_expired, driver.documents_expired, driver.no_vehicle, driver.too_few_seats,
            driver.vehicle_class
    """
    codes = unfit(trip, driver)
    if "licence_expired" in codes:
        theirs, code = _("This driver's licence has expired."), "driver.licence_expired"
        raise Unfit(code, theirs) if by_staff else ask_staff(Unfit(code, LICENCE_EXPIRED), SEND_NEW_LICENCE)
    if "documents_expired" in codes:
        theirs = _("A document of this driver is not valid any more.")
        raise Unfit("driver.documents_expired", theirs if by_staff else DOCUMENTS_EXPIRED)
    if "no_vehicle" in codes:
        theirs, code = _("This driver has no vehicle."), "driver.no_vehicle"
        raise Unfit(code, theirs) if by_staff else ask_staff(Unfit(code, NO_VEHICLE))
    if "too_few_seats" in codes:
        yours = _("Your vehicle has too few seats for this trip.")
        raise Unfit("driver.too_few_seats", _("This driver's vehicle has too few seats.") if by_staff else yours)
    if "vehicle_class" in codes and not by_staff:
        raise Unfit("driver.vehicle_class", _("The passenger booked a larger class of vehicle than yours."))


def require_no_overlap(driver: Driver, trip: Trip, settings: ServiceSettings, *, by_staff: bool = False) -> None:
    """Refuse a driver at the time of whose other trip, or of another trip of their vehicle, this one is.

    The driver has a vehicle (`require_fit`), and all who drive it are locked.

    Raises:
        Conflict: driver.overlap, vehicle.overlap
    """
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    others = Trip.objects.filter(driver__vehicle=driver.vehicle_id).exclude(pk=trip.pk)
    others = others.overlapping(trip.departure_at, trip.ends_at, margin).order_by("departure_at")
    rows = list(others.values_list("driver_id", "departure_at", "timezone"))
    for holder_id, departure_at, timezone in rows:
        if holder_id == driver.pk:
            time = clock(departure_at, timezone)
            theirs, yours = _("Overlaps with their trip at %(time)s."), _("Overlaps with your trip at %(time)s.")
            raise Conflict("driver.overlap", (theirs if by_staff else yours) % {"time": time})
    if rows:
        time = clock(*rows[0][1:])
        raise Conflict(
            "vehicle.overlap", _("Another driver has a trip with this vehicle at %(time)s.") % {"time": time}
        )
