"""Search in the operations room: trips, drivers and passengers by number, name, phone in any spelling, or plate."""

import re
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from drivers.models import Driver
from stepper.admin import searching
from stepper.models import User
from stepper.templatetags.units import when
from trips.attention import live_trips
from trips.models import Trip

# Of each kind.
MOST = 6
# What is typed of a phone or a name before anything is looked for.
LEAST = 2
_NUMBER = re.compile(r"[#№]?\s*(\d+)")
# By whom a trip under way is found: who booked it, who travels, who drives and in what.
_ON_TRIP = [*searching.person("organiser"), "traveller_name", "traveller_phone", *searching.person("driver__user")]
_TRIP = [*_ON_TRIP, "vehicle__plate"]


class Found(NamedTuple):
    """One result: its icon, what kind it is, and where it leads."""

    icon: str
    kind: str
    title: str
    line: str
    path: str


def find(term: str, user: User) -> list[Found]:
    """Return what is found, trips first. At most four queries.

    A trip is found by its number at any time, by people and plates until it is over. Passengers are for staff who may
    see accounts.
    """
    term = term.strip()[:100]
    number = _NUMBER.fullmatch(term)
    if len(term) < LEAST and number is None:
        return []
    found = [_trip(trip) for trip in _trips(term, number)]
    found += [_driver(driver) for driver in _drivers(term)]
    if user.has_perm("stepper.view_user"):
        found += [_person(person) for person in _people(term)]
    return found


def _trips(term: str, number: re.Match[str] | None) -> list[Trip]:
    rows = Trip.objects.select_related("organiser", "driver__user")
    found: list[Trip] = []
    if number is not None and len(number[1]) <= searching.KEY_DIGITS:
        found += rows.filter(pk=int(number[1]))
    condition = searching.condition_of(Trip, _TRIP, term)
    if len(term) >= LEAST and condition is not None:
        live = live_trips().filter(condition).exclude(pk__in=[trip.pk for trip in found])
        found += live.select_related("organiser", "driver__user").order_by("departure_at")[:MOST]
    return found


def _drivers(term: str) -> list[Driver]:
    condition = searching.condition_of(Driver, ["=id", *searching.person("user"), "vehicle__plate"], term)
    if condition is None:
        return []
    return list(Driver.objects.filter(condition).select_related("user", "vehicle").order_by("pk")[:MOST])


def _people(term: str) -> list[User]:
    condition = searching.condition_of(User, searching.person(), term)
    if condition is None:
        return []
    return list(User.objects.filter(condition, driver__isnull=True).order_by("pk")[:MOST])


def _trip(trip: Trip) -> Found:
    line = f"{trip.get_status_display()} · {when(trip.departure_at, trip.timezone)} · {trip.traveller_short_name}"
    return Found("route", _("Trip %(id)d") % {"id": trip.pk}, trip.title, line, f"/ops/trips/{trip.pk}/")


def _driver(driver: Driver) -> Found:
    plate = driver.vehicle.plate_text if driver.vehicle else ""
    line = " · ".join(part for part in (plate, _phone(driver.user), driver.get_availability_display()) if part)
    return Found("car", _("Driver"), driver.user.name, line, f"/ops/drivers/{driver.pk}/")


def _person(person: User) -> Found:
    line = " · ".join(str(part) for part in (_phone(person), person.email) if part)
    path = f"/ops/call/#{urlencode({'phone': str(person.phone)})}" if person.phone else _account(person)
    return Found("user", _("Passenger"), person.name, line, path)


def _account(person: User) -> str:
    return reverse("admin:stepper_user_change", args=[person.pk])


def _phone(user: Any) -> str:
    return user.phone.as_international if user.phone else ""
