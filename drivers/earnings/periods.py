"""Days, weeks and months of a driver's calendar, and the instants at which they begin and end.

A period is of the driver's time zone. It begins with the first instant of its first day, also where the clocks change
at midnight and the day begins at 01:00, or has 25 hours. Imports no models.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

from django.utils.dates import WEEKDAYS_ABBR
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from stepper.dates import midnight, short_date
from stepper.errors import InvalidInput
from stepper.time_zones import USABLE_YEARS

_HOUR, _DAY, _WEEK = dt.timedelta(hours=1), dt.timedelta(days=1), dt.timedelta(days=7)


class Kind(StrEnum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


CURRENT_LABELS: dict[Kind, str | Promise] = {
    Kind.DAY: gettext_lazy("Today"),
    Kind.WEEK: gettext_lazy("This week"),
    Kind.MONTH: gettext_lazy("This month"),
}


class Span(NamedTuple):
    """A part of a period, an hour of a day or a day of a week or month; UTC. `label` is short, `name` is in full."""

    starts_at: dt.datetime
    ends_at: dt.datetime
    label: str
    name: str


@dataclass(frozen=True, slots=True)
class Period:
    """A day, a week from Monday or a month. `first` is its first day."""

    kind: Kind
    first: dt.date
    zone: ZoneInfo

    @classmethod
    def containing(cls, kind: Kind, date: dt.date, zone: ZoneInfo) -> Self:
        first = {Kind.DAY: date, Kind.WEEK: date - dt.timedelta(days=date.weekday()), Kind.MONTH: date.replace(day=1)}
        return cls(kind, first[kind], zone)

    @property
    def end(self) -> dt.date:
        """The first day after the period."""
        if self.kind is Kind.MONTH:
            return (self.first + dt.timedelta(days=31)).replace(day=1)
        return self.first + (_DAY if self.kind is Kind.DAY else _WEEK)

    @property
    def starts_at(self) -> dt.datetime:
        return midnight(self.first, self.zone)

    @property
    def ends_at(self) -> dt.datetime:
        return midnight(self.end, self.zone)

    @property
    def key(self) -> str:
        """The period as it is written in addresses: `2026-11-27`, of a month `2026-11`."""
        return f"{self.first:%Y-%m}" if self.kind is Kind.MONTH else self.first.isoformat()

    @property
    def name(self) -> str:
        """The period as people write it, in the active language."""
        if self.kind is Kind.MONTH:
            return date_format(self.first, "YEAR_MONTH_FORMAT")
        if self.kind is Kind.DAY:
            return date_format(self.first, "DATE_FORMAT")
        last = self.end - _DAY
        return f"{date_format(self.first, 'MONTH_DAY_FORMAT')} – {date_format(last, 'MONTH_DAY_FORMAT')} {last.year}"

    @property
    def previous(self) -> Self | None:
        """The period before; None: it would be before the usable years."""
        return None if self.first.year <= USABLE_YEARS.start else self._beside(self.first - _DAY)

    @property
    def next(self) -> Self:
        return self._beside(self.end)

    @property
    def month(self) -> Self:
        """The month in which the period begins."""
        return type(self)(Kind.MONTH, self.first.replace(day=1), self.zone)

    def _beside(self, date: dt.date) -> Self:
        return type(self).containing(self.kind, date, self.zone)

    def is_current(self, now: dt.datetime) -> bool:
        return self.starts_at <= now < self.ends_at

    @property
    def spans(self) -> list[Span]:
        """The hours of a day (23 to 25 of them), else the days, in order and without gaps."""
        if self.kind is Kind.DAY:
            return self._hours()
        return [self._day(self.first + number * _DAY) for number in range((self.end - self.first).days)]

    def _hours(self) -> list[Span]:
        spans, at, end = [], self.starts_at, self.ends_at
        while at < end:
            until = min(at + _HOUR, end)
            local = at.astimezone(self.zone)
            spans.append(Span(at, until, str(local.hour), f"{local:%H:%M}"))
            at = until
        return spans

    def _day(self, date: dt.date) -> Span:
        label = str(WEEKDAYS_ABBR[date.weekday()]) if self.kind is Kind.WEEK else str(date.day)
        name = f"{WEEKDAYS_ABBR[date.weekday()]}, {short_date(date)}"
        return Span(midnight(date, self.zone), midnight(date + _DAY, self.zone), label, name)


def current(kind: Kind, zone: ZoneInfo, now: dt.datetime) -> Period:
    return Period.containing(kind, now.astimezone(zone).date(), zone)


def parse(kind: Kind, text: str, zone: ZoneInfo, now: dt.datetime) -> Period:
    """Read a period: any day of it as `2026-11-27`, a month as `2026-11`, the current one as an empty text.

    Raises:
        InvalidInput: input.invalid, with the kind as the field: no such day or month, or one that has not begun
    """
    period = current(kind, zone, now) if not text else Period.containing(kind, parse_date(kind, text), zone)
    if period.starts_at > now:
        raise _invalid(kind, _("%(period)s has not begun yet.") % {"period": period.name})
    return period


def requested(query: Mapping[str, str], zone: ZoneInfo, now: dt.datetime) -> Period:
    """Read the period of a query string: the first of day, week and month that it has; none of them: today.

    Raises:
        InvalidInput: as `parse`
    """
    kind = next((kind for kind in Kind if kind in query), Kind.DAY)
    return parse(kind, query.get(kind, ""), zone, now)


def parse_kind(text: str) -> Kind:
    """Read a kind of period. Raises InvalidInput."""
    try:
        return Kind(text)
    except ValueError:
        raise InvalidInput("input.invalid", _("Choose day, week or month.")) from None


def parse_date(kind: Kind, text: str) -> dt.date:
    """Read a day, or the first day of a month. Raises InvalidInput: there is none, or not in a usable year."""
    pattern = r"([0-9]{4})-([0-9]{2})" if kind is Kind.MONTH else r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    found = re.fullmatch(pattern, text)
    try:
        date = dt.date(*(int(part) for part in (*found.groups(), "1")[:3])) if found else None
    except ValueError:
        date = None
    if date is None or date.year not in USABLE_YEARS:
        example = _("There is no such month; write it as 2026-11.")
        raise _invalid(kind, example if kind is Kind.MONTH else _("There is no such day; write it as 2026-11-27."))
    return date


def _invalid(kind: Kind, reason: str) -> InvalidInput:
    return InvalidInput("input.invalid", reason, {kind.value: [reason]})
