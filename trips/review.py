"""Review of a driver's offers and accepted trips after staff changed their vehicle or licence."""

from functools import partial

from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.availability import lock_driver
from drivers.models import Driver
from realtime.delivery.notifications import notify, notify_staff
from stepper.db.transactions import in_transaction
from trips.eligibility import REASONS, unfit
from trips.models import Trip
from trips.offers import withdraw_unsuitable
from trips.states import BEFORE_BOARDING


def review_driver(driver_id: int) -> None:
    """Check a driver's offers and accepted trips again, after staff changed their vehicle or licence.

    Open offers that the driver can no longer take are withdrawn. A trip before boarding gets the driver's new
    vehicle, and its passenger is notified. Staff are notified of each trip for which driver or vehicle are not fit.
    """
    _review_offers(driver_id)
    ahead = Trip.objects.filter(driver_id=driver_id, status__in=sorted(BEFORE_BOARDING))
    for trip_id in ahead.order_by("pk").values_list("pk", flat=True):
        _review_trip(driver_id, trip_id)


@in_transaction
def _review_offers(driver_id: int) -> None:
    withdraw_unsuitable(lock_driver(driver_id))


@in_transaction
def _review_trip(driver_id: int, trip_id: int) -> None:
    """Set the driver's present vehicle on a trip before boarding; notify staff if driver or vehicle are not fit."""
    driver = lock_driver(driver_id)
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.driver_id != driver_id or trip.status not in BEFORE_BOARDING:
        return  # the trip changed meanwhile
    if driver.vehicle is not None and trip.vehicle_id != driver.vehicle.pk:
        trip.amend(vehicle=driver.vehicle)
        notify(
            trip.organiser,
            gettext_lazy("Your driver comes in another vehicle"),
            # Written out in the language of whom it is for.
            message=format_lazy("{} · {}", driver.user.short_name, driver.vehicle),
            audience="passenger",
            priority="high",
            action_url=f"/trips/{trip.pk}/",
        )
    codes = unfit(trip, driver)
    if codes:
        make_words = partial(_unfit_words, trip, driver, codes)
        notify_staff("trips.change_trip", make_words, reverse("admin:trips_trip_change", args=[trip.pk]))


def _unfit_words(trip: Trip, driver: Driver, codes: list[str]) -> tuple[str, str]:
    title = _("Trip %(id)d: its driver does not fit any more") % {"id": trip.pk}
    return title, f"{trip.title} · {driver.user.name}: {', '.join(str(REASONS[code]) for code in codes)}"
