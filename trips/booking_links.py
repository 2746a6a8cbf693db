"""Links that fill the booking form: `/book/?from=…&to=…&at=…` of hotels and QR codes, and a past trip once more.

`from` and `to` are the name of a place, or `lat,lng` with the name to show in `from_name` and `to_name`; `at` is an ISO
time, with its offset or by the pickup's clock; `seats`, `bags` and `class` as in the form. `again` and `return` name a
trip of one's own: the same way, and the way back. What is wrong is said at its field.
"""

import datetime as dt
import re
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from stepper.db.clock import database_now
from stepper.errors import InvalidInput
from stepper.models import ServiceSettings, User

from .booking_requests import check_request, is_on_earth
from .forms import LATER, BookingForm
from .models import Trip

_SIDES = {"from": "pickup", "to": "dropoff"}
_FIELDS = {"seats": "seats", "bags": "bags", "class": "vehicle_class"}
_POINT = re.compile(r"\s*(-?\d{1,3}(?:\.\d{1,15})?)\s*,\s*(-?\d{1,3}(?:\.\d{1,15})?)\s*")
# A plus that a link does not escape arrives as a space.
_OFFSET = re.compile(r" (\d\d:?\d\d)$")


def form_of_link(values: Mapping[str, str], user: User | None, *, initial: Mapping[str, str]) -> BookingForm | None:
    """Return the form that a link fills in, with errors at what is wrong in it; None: the address has nothing to fill.

    `initial`: what the form has where the link says nothing.
    """
    data = _fields_of_trip(values, user)
    named = set(data)
    for key, side in _SIDES.items():
        if values.get(key):
            data |= _place_fields(side, values[key], values.get(f"{key}_name", ""))
            named.add(f"{side}_name")
    for key, field in _FIELDS.items():
        if values.get(key):
            data[field] = values[key]
            named.add(field)
    at = values.get("at", "")
    if at:
        named |= {"departure_date", "departure_time"}
    if not named:
        return None
    instant = _parse_time(at)
    if at:
        data |= {"departure": LATER, "departure_date": "", "departure_time": ""} | _time_fields(instant, data)
    form = BookingForm({**initial, **data})
    form.is_valid()
    _fill_places(form)
    if at and instant is None:
        form.errors.pop("departure_date", None)
        form.errors.pop("departure_time", None)
        form.add_error("departure_time", _("The link's time cannot be read. Choose date and time."))
    _keep_errors_of(form, named)
    return form


def _fields_of_trip(values: Mapping[str, str], user: User | None) -> dict[str, str]:
    """Return the fields of a trip that the user booked and that the link names; empty: there is none."""
    way, number = next(((key, values[key]) for key in ("again", "return") if values.get(key)), ("", ""))
    if user is None or not re.fullmatch(r"[0-9]{1,18}", number):
        return {}
    trip = Trip.objects.filter(pk=int(number), organiser=user).first()
    if trip is None:
        return {}
    ends = ("pickup", "dropoff") if way == "again" else ("dropoff", "pickup")
    fields = {
        "seats": str(trip.seats),
        "bags": str(trip.bags),
        "vehicle_class": trip.vehicle_class,
        "traveller_name": trip.traveller_name,
        "traveller_phone": trip.traveller_phone,
    }
    for side, end in zip(("pickup", "dropoff"), ends, strict=True):
        for part in ("name", "address", "lat", "lng"):
            fields[f"{side}_{part}"] = str(getattr(trip, f"{end}_{part}"))
    return fields


def _place_fields(side: str, text: str, name: str) -> dict[str, str]:
    """Return the fields of one end: of a point its coordinates, else the words, which the form looks up."""
    point = _POINT.fullmatch(text)
    if point is None:
        return {f"{side}_name": text, f"{side}_lat": "", f"{side}_lng": "", f"{side}_address": ""}
    return {f"{side}_name": name, f"{side}_lat": point[1], f"{side}_lng": point[2], f"{side}_address": ""}


def _parse_time(text: str) -> dt.datetime | None:
    """Parse an ISO time, which may be without an offset; None: it is none."""
    try:
        return parse_datetime(_OFFSET.sub(r"+\1", text.strip()))
    except ValueError:  # a day that no calendar has
        return None


def _time_fields(instant: dt.datetime | None, data: Mapping[str, str]) -> dict[str, str]:
    """Return date and time by the pickup's clock, whose words are looked up; by the home zone's where there is none."""
    if instant is None:
        return {}
    if instant.tzinfo is not None:
        try:
            instant = instant.astimezone(ZoneInfo(BookingForm(dict(data)).zone))
        except OverflowError:  # the last or the first day of the calendar
            return {}
    return {"departure_date": f"{instant:%Y-%m-%d}", "departure_time": f"{instant:%H:%M}"}


def _fill_places(form: BookingForm) -> None:
    """Put the coordinates of places that were found by their words into the form, where the map looks for them."""
    for side in _SIDES.values():
        place = form.cleaned_data.get(side)
        if place is not None and not is_on_earth(place):
            form.add_error(f"{side}_name", _("These coordinates are no place; choose it again."))
        elif place is not None:
            fields = {"name": place.name, "address": place.address, "lat": f"{place.lat!r}", "lng": f"{place.lng!r}"}
            form.data = {**form.data, **{f"{side}_{part}": value for part, value in fields.items()}}


def _keep_errors_of(form: BookingForm, named: set[str]) -> None:
    """Say what is wrong with what the link names, the verb's rules included, and nothing of what it leaves out."""
    if form.is_priceable() and not form.errors.keys() & {"pickup_name", "dropoff_name"}:
        try:
            check_request(form.request(), ServiceSettings.current(), database_now())
        except InvalidInput as error:
            form.refuse(error)
    for field in set(form.errors) - named:
        del form.errors[field]
