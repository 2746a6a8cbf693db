"""What a report is about: days of the service's zone, a class of vehicle, a place."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from stepper.dates import short_date
from stepper.errors import InvalidInput
from stepper.time_zones import USABLE_YEARS
from trips.reports.days import DAY
from trips.states import VehicleClass

MOST_DAYS = 400
DEFAULT_DAYS = 30
QUICK_DAYS = (1, 7, 30, 90)


@dataclass(frozen=True, slots=True)
class Scope:
    """`last` is part of it. `vehicle_class`, `place`: empty is all of them; the place is the slug of a town."""

    first: dt.date
    last: dt.date
    vehicle_class: str = ""
    # None: all; empty: trips that began in no town.
    place: str | None = None

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def dates(self) -> list[dt.date]:
        return [self.first + number * DAY for number in range(self.days)]

    @property
    def query(self) -> str:
        """The query string of its page."""
        found = {"from": self.first.isoformat(), "to": self.last.isoformat()}
        if self.vehicle_class:
            found["class"] = self.vehicle_class
        if self.place is not None:
            found["place"] = self.place or NO_TOWN
        return urlencode(found)

    @property
    def name(self) -> str:
        """The days as people write them."""
        if self.first == self.last:
            return short_date(self.first, year=True)
        return f"{short_date(self.first, year=self.first.year != self.last.year)} – {short_date(self.last, year=True)}"

    def conditions(self) -> dict[str, Any]:
        """Return the filter of rows of days, by class and place."""
        found: dict[str, Any] = self.of_days()
        if self.vehicle_class:
            found["vehicle_class"] = self.vehicle_class
        if self.place is not None:
            found["place"] = self.place
        return found

    def of_days(self) -> dict[str, Any]:
        return {"day__gte": self.first, "day__lte": self.last}


# What stands in addresses for trips that began in no town; no slug looks like it.
NO_TOWN = "-"


def parse_scope(query: Mapping[str, str], today: dt.date) -> Scope:
    """Read a scope from a query string; without days: the last 30, today among them.

    Raises:
        InvalidInput: input.invalid, with the fields: no such day, none that has come, the last one before the first,
            more than 400 days, no such class
    """
    last = _parse_day("to", query.get("to", ""), today)
    first = _parse_day("from", query.get("from", ""), last - (DEFAULT_DAYS - 1) * DAY)
    vehicle_class = query.get("class", "")
    if vehicle_class and vehicle_class not in VehicleClass.values:
        raise _invalid("class", _("There is no such class of vehicle."))
    if first > last:
        raise _invalid("to", _("The last day is before the first."))
    if (last - first).days >= MOST_DAYS:
        raise _invalid("from", _("Choose at most %(most)d days.") % {"most": MOST_DAYS})
    if first > today:
        raise _invalid("from", _("This day has not begun yet."))
    place = query.get("place", "")[:60]
    return Scope(first, min(last, today), vehicle_class, None if not place else "" if place == NO_TOWN else place)


def _parse_day(name: str, text: str, default: dt.date) -> dt.date:
    if not text:
        return default
    found = re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", text)
    try:
        date = dt.date(*map(int, found.groups())) if found else None
    except ValueError:
        date = None
    if date is None or date.year not in USABLE_YEARS:
        raise _invalid(name, _("There is no such day; write it as 2026-11-27."))
    return date


def _invalid(name: str, reason: str) -> InvalidInput:
    return InvalidInput("input.invalid", reason, {name: [reason]})
