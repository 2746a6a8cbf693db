"""The forms of the driver's dashboard: filters, working time, breaks, a status with its details, stars."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from django import forms
from django.utils import timezone
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _

from drivers.working_time import BREAK_MAX, BREAK_MIN, WorkingTime
from realtime import events
from stepper.errors import InvalidInput
from stepper.texts import PlainTextInput
from stepper.web.refusals import add_refusal
from trips.states import TripType

from .hours import DAYS
from .models import Driver

# The zones offered; a zone that was set over REST stays selectable for its driver.
ZONES = {
    "Asia/Almaty": _("Almaty"),
    "Asia/Aqtau": _("Aktau"),
    "Asia/Aqtobe": _("Aktobe"),
    "Asia/Atyrau": _("Atyrau"),
    "Asia/Bishkek": _("Bishkek"),
    "Asia/Oral": _("Oral"),
    "Asia/Qostanay": _("Kostanay"),
    "Asia/Qyzylorda": _("Kyzylorda"),
    "Asia/Samarkand": _("Samarkand"),
    "Asia/Tashkent": _("Tashkent"),
}
IDLE_CHOICES = (60, 90, 120, 180, 240)


class FiltersForm(forms.Form):
    """The driver's filters; an empty number removes the limit."""

    max_distance_km = forms.FloatField(
        required=False,
        min_value=1,
        max_value=1000,
        localize=True,
        error_messages={
            "invalid": _("Enter kilometres as a number, for example 15."),
            "min_value": _("Choose 1 to 1000 km."),
            "max_value": _("Choose 1 to 1000 km."),
        },
    )
    min_earnings = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100_000_000,
        error_messages={
            "invalid": _("Enter whole tenge, for example 2000."),
            "min_value": _("Choose 0 or more."),
            "max_value": _("Choose less: no trip pays that much."),
        },
    )
    trip_types = forms.MultipleChoiceField(
        choices=TripType.choices,
        error_messages={
            "required": _("Choose at least one kind of trip."),
            "invalid_choice": _("Choose from the list."),
        },
    )
    accepts_long_distance = forms.BooleanField(required=False)

    @classmethod
    def of(cls, driver: Driver) -> "FiltersForm":
        """Return an unbound form that shows the stored filters."""
        km = driver.max_distance_km
        return cls(
            initial={
                "max_distance_km": int(km) if km is not None and km.is_integer() else km,
                "min_earnings": driver.min_earnings,
                "trip_types": driver.trip_types,
                "accepts_long_distance": driver.accepts_long_distance,
            }
        )

    def filters(self) -> events.Filters:
        """Return the entered filters."""
        entered: dict[str, Any] = self.cleaned_data
        return events.Filters(**entered)


class Day(NamedTuple):
    """A day of the weekly hours: its two fields and their first error."""

    label: Any
    start: forms.BoundField
    end: forms.BoundField
    error: str


class HoursForm(forms.Form):
    """Weekly hours, two times a day or none; the zone; how long the driver stays online without activity."""

    timezone = forms.ChoiceField(label=_("Time zone"))
    auto_offline_min = forms.TypedChoiceField(label=_("Without activity, offline after"), coerce=int)

    def __init__(self, driver: Driver, data: Any = None) -> None:
        initial: dict[str, Any] = {"timezone": driver.timezone, "auto_offline_min": driver.auto_offline_min}
        for day, span in driver.weekly_hours.items():
            initial |= {f"{day}_from": span["from"], f"{day}_to": span["to"]}
        super().__init__(data, initial=initial)
        zones, spans = sorted({*ZONES, driver.timezone}), sorted({*IDLE_CHOICES, driver.auto_offline_min})
        self.fields["timezone"].choices = [(zone, ZONES.get(zone, zone.partition("/")[2])) for zone in zones]  # type: ignore[attr-defined]
        self.fields["auto_offline_min"].choices = [(minutes, minutes) for minutes in spans]  # type: ignore[attr-defined]
        for day in DAYS:
            for side in ("from", "to"):
                self.fields[f"{day}_{side}"] = forms.TimeField(
                    required=False, error_messages={"invalid": _("Enter a time, for example 08:00.")}
                )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        for day in DAYS:
            if not {f"{day}_from", f"{day}_to"} & self.errors.keys():
                missing = [side for side in ("from", "to") if data.get(f"{day}_{side}") is None]
                if len(missing) == 1:
                    self.add_error(f"{day}_{missing[0]}", _("Enter both times, or none for a free day."))
        return data

    def working_time(self) -> WorkingTime:
        """Return the entered settings."""
        data = self.cleaned_data
        spans = {
            day: {side: f"{data[f'{day}_{side}']:%H:%M}" for side in ("from", "to")}
            for day in DAYS
            if data[f"{day}_from"] is not None
        }
        chosen = {"timezone": data["timezone"], "auto_offline_min": data["auto_offline_min"]}
        return msgspec.convert({**chosen, "hours": spans}, WorkingTime)

    def days(self) -> Iterator[Day]:
        """Yield the fields day by day, for the template."""
        for number, day in enumerate(DAYS):
            start, end = self[f"{day}_from"], self[f"{day}_to"]
            errors = [*start.errors, *end.errors]
            yield Day(WEEKDAYS[number], start, end, str(errors[0]) if errors else "")


class BreakForm(forms.Form):
    """A break from now on (`minutes`), or on a date from one time to another, in the driver's zone."""

    minutes = forms.IntegerField(required=False, min_value=BREAK_MIN, max_value=BREAK_MAX)
    date = forms.DateField(required=False, error_messages={"invalid": _("Enter a date.")})
    start = forms.TimeField(required=False, error_messages={"invalid": _("Enter a time, for example 08:00.")})
    end = forms.TimeField(required=False, error_messages={"invalid": _("Enter a time, for example 08:00.")})

    def __init__(self, driver: Driver, data: Any = None) -> None:
        self.zone = ZoneInfo(driver.timezone)
        super().__init__(data, initial={"date": f"{timezone.localdate(timezone=self.zone):%Y-%m-%d}"})

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if "minutes" in self.errors or data.get("minutes") is not None:
            return data
        for name in ("date", "start", "end"):
            if name not in self.errors and data.get(name) is None:
                self.add_error(name, _("Enter the day and both times."))
        if not self.errors and self._ends_by_mistake(data["date"], data["start"], data["end"]):
            self.add_error("end", _("The end must be after the start."))
        return data

    def _ends_by_mistake(self, date: dt.date, start: dt.time, end: dt.time) -> bool:
        """Say whether the end is not after the start, and the next day's would make it longer than a break may be."""
        if end > start:
            return False
        night = dt.datetime.combine(date + dt.timedelta(days=1), end) - dt.datetime.combine(date, start)
        return night > dt.timedelta(minutes=BREAK_MAX)

    def span(self) -> tuple[dt.datetime, dt.datetime]:
        """Return the planned break's start and end; an end that is not after the start is the next day's."""
        date, start, end = (self.cleaned_data[name] for name in ("date", "start", "end"))
        last = date if end > start else date + dt.timedelta(days=1)
        return dt.datetime.combine(date, start, self.zone), dt.datetime.combine(last, end, self.zone)

    def refuse(self, error: InvalidInput) -> None:
        """Add the errors of the domain function to the fields that they are about."""
        add_refusal(self, error, {"starts_at": "start", "ends_at": "end"})

    @property
    def plan_error(self) -> str:
        """The first error of a planned break; empty: none."""
        return next((str(self.errors[name][0]) for name in ("date", "start", "end") if name in self.errors), "")


class StatusForm(forms.Form):
    """One step of a trip, or `delayed`, `stop_reached`, `released`, `no_show`; the position is the browser's."""

    status = forms.CharField(max_length=20)
    note = PlainTextInput(max_length=200, required=False)
    lat = forms.FloatField(required=False, min_value=-90, max_value=90)
    lng = forms.FloatField(required=False, min_value=-180, max_value=180)
    delay_minutes = forms.IntegerField(
        required=False, min_value=1, max_value=1440, error_messages={"invalid": _("Enter whole minutes.")}
    )
    delay_reason = PlainTextInput(max_length=200, required=False)
    stop = forms.IntegerField(required=False, min_value=1, max_value=100)
    code = forms.CharField(max_length=8, required=False)


class StarsForm(forms.Form):
    """The driver's rating of a passenger."""

    stars = forms.IntegerField(min_value=1, max_value=5)
