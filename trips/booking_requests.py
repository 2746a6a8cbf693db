"""What a passenger asks for: the fields of a booking, and which of them are wrong. Prices are no part of it."""

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import tzfpy
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from msgspec import Struct

from realtime import events
from stepper.accounts.adapter import normal_phone
from stepper.errors import InvalidFields, Text
from stepper.models import ServiceSettings
from stepper.templatetags.units import when_within
from stepper.texts import clean_text

from . import eta
from .states import VehicleClass

# Seats for passengers in a vehicle of each class.
SEATS = {VehicleClass.SEDAN: 4, VehicleClass.SUV: 6, VehicleClass.VAN: 8, VehicleClass.BUS: 50}
# Pickup and dropoff nearer than this are the same place.
SAME_PLACE_KM = 0.05
# The longest trip: from one end of the region to the other.
FURTHEST_KM = 4000
MOST_STOPS = 3
TRAVELLER_NAME = 80


class Traveller(Struct, frozen=True):
    """A person who travels instead of the organiser; the driver asks for and calls this person."""

    name: str
    phone: str


class BookingRequest(Struct, frozen=True):
    """A passenger's request for a trip. `departure_at` None: now; `traveller` None: the passenger travels.

    `stops`: between pickup and dropoff, in their order. `wishes`: codes (trips.wishes).

    It has no price: the server computes prices.
    """

    pickup: events.Place
    dropoff: events.Place
    departure_at: dt.datetime | None = None
    seats: int = 1
    vehicle_class: str = VehicleClass.SEDAN
    bags: int = 0
    note: str = ""
    traveller: Traveller | None = None
    stops: Sequence[events.Place] = ()
    wishes: Sequence[str] = ()

    @property
    def points(self) -> list[tuple[float, float]]:
        """Return the whole way as (lat, lng): pickup, stops, dropoff."""
        return [(place.lat, place.lng) for place in (self.pickup, *self.stops, self.dropoff)]


def is_on_earth(place: events.Place) -> bool:
    """Say whether there is such a latitude and longitude."""
    return -90 <= place.lat <= 90 and -180 <= place.lng <= 180


def check_request(request: BookingRequest, settings: ServiceSettings, now: dt.datetime) -> None:
    """Refuse a request with wrong fields.

    Raises:
        InvalidInput: naming each of them; booking.too_far_ahead where the departure alone is later than may be booked
    """
    fields = _route_errors(request)
    is_too_far_ahead = False
    if request.vehicle_class not in VehicleClass.values:
        fields["vehicle_class"] = [_("There is no such vehicle class.")]
    elif not 1 <= request.seats <= SEATS[VehicleClass(request.vehicle_class)]:
        most = SEATS[VehicleClass(request.vehicle_class)]
        fields["seats"] = [_("Choose 1 to %(most)d seats for this vehicle.") % {"most": most}]
    if not 0 <= request.bags <= 50:
        fields["bags"] = [_("Choose 0 to 50 bags.")]
    if request.departure_at is not None:
        if request.departure_at < now - dt.timedelta(minutes=settings.now_tolerance_min):
            fields["departure_at"] = [_("This time has passed.")]
        elif request.departure_at > now + dt.timedelta(days=settings.book_ahead_days):
            fields["departure_at"] = [_too_far_ahead(request, settings, now)]
            is_too_far_ahead = True
    if request.traveller is not None:
        fields |= _traveller_errors(request.traveller)
    if is_too_far_ahead and len(fields) == 1:
        raise InvalidFields(fields, code="booking.too_far_ahead")
    if fields:
        raise InvalidFields(fields)


def most_stops() -> Text:
    """Say how many stops a trip can have."""
    return ngettext("At most %(most)d stop.", "At most %(most)d stops.", MOST_STOPS) % {"most": MOST_STOPS}


def _route_errors(request: BookingRequest) -> dict[str, list[Text]]:
    """Return the errors of the places; those of a stop are at "stops.0" and so on."""
    if len(request.stops) > MOST_STOPS:
        return {"stops": [most_stops()]}
    stops = {f"stops.{number}": stop for number, stop in enumerate(request.stops)}
    places = {"pickup": request.pickup, **stops, "dropoff": request.dropoff}
    fields: dict[str, list[Text]] = {}
    for name, place in places.items():
        if not is_on_earth(place):
            fields[name] = [_("Latitude is -90 to 90, longitude -180 to 180.")]
        elif not clean_text(place.name):
            fields[name] = [_("Choose a place.")]
    if fields:
        return fields
    parts = eta.parts_km(request.points)
    for name, km in zip(list(places)[1:], parts, strict=True):
        if km < SAME_PLACE_KM:
            same = _("This is the same place as the one before.")
            fields[name] = [same if stops else _("Pickup and dropoff are the same place.")]
    if not fields and sum(parts) > FURTHEST_KM:
        fields["dropoff"] = [_("Nobody drives that far: at most %(km)d km.") % {"km": FURTHEST_KM}]
    return fields


def _too_far_ahead(request: BookingRequest, settings: ServiceSettings, now: dt.datetime) -> Text:
    latest = now + dt.timedelta(days=settings.book_ahead_days)
    words = ngettext(
        "Trips are booked at most %(days)d day ahead: until %(latest)s.",
        "Trips are booked at most %(days)d days ahead: until %(latest)s.",
        settings.book_ahead_days,
    )
    return words % {
        "days": settings.book_ahead_days,
        "latest": when_within(latest, zone_of_place(request.pickup)),
    }


def _traveller_errors(traveller: Traveller) -> dict[str, list[Text]]:
    """Return the errors of the traveller's fields; empty: there are none."""
    fields: dict[str, list[Text]] = {}
    if not 1 <= len(clean_text(traveller.name)) <= TRAVELLER_NAME:
        fields["traveller.name"] = [_("Enter a name of up to %(most)d letters.") % {"most": TRAVELLER_NAME}]
    if normal_phone(traveller.phone) is None:
        fields["traveller.phone"] = [_("Enter a phone number, for example +7 701 234 56 78.")]
    return fields


def zone_of_place(place: events.Place | None) -> str:
    """Return the IANA zone of a place; the home zone where there is none, or none on earth."""
    if place is None or not is_on_earth(place):
        return timezone.get_default_timezone_name()
    return zone_of(place.lat, place.lng)


def zone_of(lat: float, lng: float) -> str:
    """Return the IANA zone of a point; the home zone at sea and where this machine knows no such zone."""
    name = tzfpy.get_tz(lng, lat)
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        return timezone.get_default_timezone_name()
