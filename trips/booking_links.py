"""Links that fill the booking form: `/book/?from=…&to=…&at=…` of hotels and QR codes, and a past trip once more.

`from` and `to` are the name of a place, or `lat,lng` with the name to show in `from_name` and `to_name`; so is `via`,
once for each stop between, with its name in the `via_name` of the same number; `at` is an ISO time, with its offset or
by the pickup's clock; `seats`, `bags` and `class` as in the form. `again` and `return` name a trip of one's own: the
same way, and the way back. What is wrong is said at its field.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from realtime import events
from stepper.db.clock import database_now
from stepper.errors import InvalidInput
from stepper.models import ServiceSettings, User

from . import wishes
from .booking_requests import check_request, is_on_earth, most_stops
from .cards import dropoff, pickup
from .forms import LATER, PLACES, STOPS, BookingForm
from .models import Trip
from .places.finding import Searcher

_SIDES = {"from": "pickup", "to": "dropoff"}
_FIELDS = {"seats": "seats", "bags": "bags", "class": "vehicle_class"}
_POINT = re.compile(r"\s*(-?\d{1,3}(?:\.\d{1,15})?)\s*,\s*(-?\d{1,3}(?:\.\d{1,15})?)\s*")
# A plus that a link does not escape arrives as a space.
_OFFSET = re.compile(r" (\d\d:?\d\d)$")


def form_of_link(values: QueryDict, searcher: Searcher, *, initial: Mapping[str, str]) -> BookingForm | None:
    """Return the form that a link fills in, with errors at what is wrong in it; None: the address has nothing to fill.

    `searcher`: who follows the link, counted for each name in it. `initial`: what the form has where the link says
    nothing.
    """
    data = _fields_of_trip(values, searcher.user)
    named = set(data)
    via = [str(text) for text in values.getlist("via") if text]
    if via:
        data |= _stop_fields(via, [str(name) for name in values.getlist("via_name")])
        named |= {f"{side}_name" for side in STOPS}
    for key, side in _SIDES.items():
        if values.get(key):
            data |= _place_fields(side, str(values[key]), str(values.get(f"{key}_name", "")))
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
        data |= {"departure": LATER, "departure_date": "", "departure_time": ""} | _time_fields(instant, data, searcher)
    form = BookingForm({**initial, **data}, searcher=searcher)
    form.is_valid()
    _fill_places(form)
    if len(via) > len(STOPS):
        form.add_error(f"{STOPS[-1]}_name", str(most_stops()))
    if at and instant is None:
        form.errors.pop("departure_date", None)
        form.errors.pop("departure_time", None)
        form.add_error("departure_time", _("The link's time cannot be read. Choose date and time."))
    _keep_errors_of(form, named)
    return form


def _fields_of_trip(values: Mapping[str, str], user: User | None) -> dict[str, Any]:
    """Return the fields of a trip that the user booked and that the link names; empty: there is none."""
    way, number = next(((key, values[key]) for key in ("again", "return") if values.get(key)), ("", ""))
    if user is None or not re.fullmatch(r"[0-9]{1,18}", number):
        return {}
    trip = Trip.objects.filter(pk=int(number), organiser=user).first()
    return {} if trip is None else fields_of(trip, is_back=way == "return")


def fields_of(trip: Trip, *, is_back: bool = False) -> dict[str, Any]:
    """Return the form's fields of the same way once more; `is_back`: of the way back."""
    places = [pickup(trip), *trip.stop_list, dropoff(trip)]
    if is_back:
        places.reverse()
    offered = dict(wishes.offered_choices()) if trip.wishes else {}
    fields: dict[str, Any] = {
        "seats": str(trip.seats),
        "bags": str(trip.bags),
        "vehicle_class": trip.vehicle_class,
        "traveller_name": trip.traveller_name,
        "traveller_phone": trip.traveller_phone,
        "wishes": [wish.code for wish in trip.wish_list if wish.code in offered],
    }
    sides = ("pickup", *STOPS[: len(places) - 2], "dropoff")
    for side, place in zip(sides, places, strict=True):
        fields |= _fields_of_place(side, place)
    return fields


def _fields_of_place(side: str, place: events.Place) -> dict[str, str]:
    return {
        f"{side}_name": place.name,
        f"{side}_address": place.address,
        f"{side}_lat": f"{place.lat!r}",
        f"{side}_lng": f"{place.lng!r}",
    }


def _stop_fields(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return the fields of the stops, as many as the form has; those that the link leaves out are empty."""
    fields: dict[str, str] = {}
    for number, side in enumerate(STOPS):
        text = texts[number] if number < len(texts) else ""
        fields |= _place_fields(side, text, names[number] if number < len(names) else "")
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


def _time_fields(instant: dt.datetime | None, data: Mapping[str, str], searcher: Searcher) -> dict[str, str]:
    """Return date and time by the pickup's clock; by the home zone's where there is none.

    With an offset the pickup's words are looked up; then also its coordinates, so that nothing is looked up twice.
    """
    found: dict[str, str] = {}
    if instant is None:
        return found
    if instant.tzinfo is not None:
        pickup_alone = {name: value for name, value in data.items() if name.startswith("pickup_")}
        form = BookingForm(pickup_alone, searcher=searcher)
        zone = ZoneInfo(form.zone)
        _fill_places(form)
        found = {name: str(value) for name, value in form.data.items() if name.startswith("pickup_")}
        try:
            instant = instant.astimezone(zone)
        except OverflowError:  # the last or the first day of the calendar
            return found
    return found | {"departure_date": f"{instant:%Y-%m-%d}", "departure_time": f"{instant:%H:%M}"}


def _fill_places(form: BookingForm) -> None:
    """Put the coordinates of places that were found by their words into the form, where the map looks for them."""
    for side in PLACES:
        place = form.cleaned_data.get(side)
        if place is not None and not is_on_earth(place):
            form.add_error(f"{side}_name", _("These coordinates are no place; choose it again."))
        elif place is not None:
            form.enter(**_fields_of_place(side, place))


def _keep_errors_of(form: BookingForm, named: set[str]) -> None:
    """Say what is wrong with what the link names, the verb's rules included, and nothing of what it leaves out."""
    if form.is_priceable() and not form.errors.keys() & {f"{side}_name" for side in PLACES}:
        try:
            check_request(form.request(), ServiceSettings.current(), database_now())
        except InvalidInput as error:
            form.refuse(error)
    for field in set(form.errors) - named:
        del form.errors[field]
