"""The receipt of a completed trip: what passengers show to whoever pays for it."""

import datetime as dt
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from msgspec import Struct

from drivers.models import Vehicle
from drivers.plates import keep_on_one_line
from stepper import limits
from stepper.db.clock import database_now
from stepper.errors import Conflict, NotFound
from stepper.models import ServiceSettings, User
from stepper.templatetags.units import duration, km, money
from stepper.web.downloads import File

from . import access
from .legs import legs_of
from .models import Trip, TripLeg
from .states import TripStatus

# A file for paper takes about half a second of a processor.
_FILES_PER_MIN = 10


class Receipt(Struct, frozen=True):
    """A completed trip with whoever issues the receipt. `company_lines`: tax number and address, as far as known."""

    trip: Trip
    company: str
    company_lines: list[str]
    made_at: dt.datetime
    # What former drivers drove of it.
    legs: list[TripLeg]

    @property
    def title(self) -> str:
        return _("Receipt No. %(number)d") % {"number": self.trip.pk}

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Return label and value of each line, in the active language; empty ones are left out."""
        trip, zone = self.trip, ZoneInfo(self.trip.timezone)
        boarded = trip.transitions.filter(to_status=TripStatus.PASSENGERS_BOARDED).order_by("pk").first()
        began_at, ended_at = boarded.created_at if boarded else None, trip.completed_at
        spent = duration(round((ended_at - began_at) / dt.timedelta(minutes=1))) if began_at and ended_at else ""
        rows = [
            (_("Date"), _written(began_at or ended_at, zone)),
            (pgettext("place", "From"), _place(trip.pickup_name, trip.pickup_address)),
            (_("By way of"), "; ".join(stop.name for stop in trip.stop_list)),
            (pgettext("place", "To"), _place(trip.dropoff_name, trip.dropoff_address)),
            (_("Distance"), " · ".join(part for part in (km(trip.distance_km), spent) if part)),
            (_("Passenger"), trip.traveller_name or trip.organiser.name),
            (_("Driver"), "; ".join(user.short_name for user in self._drivers)),
            (_("Vehicle"), "; ".join(f"{one.label} · {keep_on_one_line(one.plate_text)}" for one in self._vehicles)),
            (_("Payment"), trip.get_payment_method_display()),
        ]
        return [(label, value) for label, value in rows if value]

    @property
    def _drivers(self) -> list[User]:
        last = [self.trip.driver.user] if self.trip.driver else []
        return [*(leg.driver.user for leg in self.legs), *last]

    @property
    def _vehicles(self) -> list[Vehicle]:
        last = [self.trip.vehicle] if self.trip.vehicle else []
        # Each once: a colleague may have driven on with it.
        return list(dict.fromkeys([*(leg.vehicle for leg in self.legs), *last]))

    @property
    def total(self) -> str:
        return money(self.trip.fare)


def _written(instant: dt.datetime | None, zone: ZoneInfo) -> str:
    return date_format(instant.astimezone(zone), "DATETIME_FORMAT") if instant else ""


def _place(name: str, address: str) -> str:
    return f"{name}, {address}" if address and address != name else name


def read_receipt(user: User, trip_id: int) -> Receipt:
    """Return the receipt of a trip that the user booked or had seats on; staff who may see all trips get any.

    Raises:
        NotFound: trip.not_found, also to its driver, who has a statement of earnings
        Conflict: receipt.not_completed
    """
    seen = Trip.objects.all() if user.may_see_trips else access.list_booked_by(user)
    trip = seen.for_page().filter(pk=trip_id).first()
    if trip is None:
        raise NotFound("trip.not_found", _("There is no such trip."))
    access.log_look(user, trip)
    if trip.status != TripStatus.COMPLETED:
        raise Conflict("receipt.not_completed", _("There is a receipt once the trip is completed."))
    settings = ServiceSettings.current()
    number = _("Tax number: %(number)s") % {"number": settings.company_number} if settings.company_number else ""
    return Receipt(
        trip=trip,
        company=settings.company_name or "StepperGO",
        company_lines=[line for line in (number, settings.company_address) if line],
        made_at=database_now(),
        legs=legs_of([trip]).get(trip.pk, []),
    )


def write_pdf(user: User, trip_id: int) -> File:
    """Write the receipt for paper, in the active language.

    Raises:
        NotFound, Conflict: as `read_receipt`
        TooManyRequests: more than ten in a minute
    """
    limits.spend("receipt", user.pk, most=_FILES_PER_MIN)
    receipt = read_receipt(user, trip_id)
    # Half a second of imports that a process without files for paper does not need.
    from stepper.paper import Paper, printable  # noqa: PLC0415

    made_at = receipt.made_at.astimezone(ZoneInfo(receipt.trip.timezone))
    paper = Paper(receipt.title, printable(receipt.company), made_at)
    paper.line_of_text(printable(receipt.company), size=11, style="B")
    for line in receipt.company_lines:
        paper.line_of_text(printable(line), size=9.5, quiet=True)
    paper.ln(6)
    paper.line_of_text(receipt.title, size=18, style="B")
    paper.ln(3)
    for label, value in receipt.rows:
        paper.line_of_text(label, size=9, quiet=True)
        paper.line_of_text(printable(value), size=11)
        paper.ln(1.5)
    paper.ln(3)
    paper.rows([(_("Total"), receipt.total)])
    return File(f"steppergo-{trip_id}.pdf", "application/pdf", bytes(paper.output()))
