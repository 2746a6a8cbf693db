"""Weekly hours: spans of wall-clock time in a zone, and the instants at which they begin and end.

Imports no models. A span whose end is not after its start ends the next day (`22:00` to `06:00`; the same time
twice: a whole day). Hours are by the wall clock, also when the clocks change: a time that the spring change skips
means an hour later, one that the autumn change repeats means the first.
"""

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.utils.dates import WEEKDAYS_ABBR

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# The next begin or end of hours is within a week, except for hours that never end.
_SEARCH_AHEAD = dt.timedelta(days=8)


class Period(NamedTuple):
    """Working time without a gap, UTC."""

    starts_at: dt.datetime
    ends_at: dt.datetime


def periods(hours: Mapping[str, Mapping[str, str]], zone: ZoneInfo, now: dt.datetime) -> list[Period]:
    """Return the working periods from two days before `now` to ten days after; those that touch are merged."""
    today = now.astimezone(zone).date()
    found = []
    for offset in range(-2, 11):
        date = today + dt.timedelta(days=offset)
        span = hours.get(DAYS[date.weekday()])
        if span is None:
            continue
        start, end = (dt.time.fromisoformat(span[side]) for side in ("from", "to"))
        last = date if end > start else date + dt.timedelta(days=1)
        period = Period(_instant(date, start, zone), _instant(last, end, zone))
        # A span within the skipped hour may be empty.
        if period.ends_at > period.starts_at:
            found.append(period)
    merged: list[Period] = []
    for period in sorted(found):
        if merged and period.starts_at <= merged[-1].ends_at:
            merged[-1] = Period(merged[-1].starts_at, max(merged[-1].ends_at, period.ends_at))
        else:
            merged.append(period)
    return merged


def are_now(hours: Mapping[str, Mapping[str, str]], zone: ZoneInfo, now: dt.datetime) -> bool:
    """Return whether `now` is within the hours; the begin is within, the end is not."""
    return any(starts_at <= now < ends_at for starts_at, ends_at in periods(hours, zone, now))


def next_change(hours: Mapping[str, Mapping[str, str]], zone: ZoneInfo, now: dt.datetime) -> dt.datetime | None:
    """Return when the hours next begin or end after `now`; None: never."""
    edges = [instant for period in periods(hours, zone, now) for instant in period]
    return min((edge for edge in edges if now < edge <= now + _SEARCH_AHEAD), default=None)


def in_words(hours: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """Return (day, span) of each working day, such as `("Mon", "08:00–18:00")`."""
    spans = [(number, hours.get(day)) for number, day in enumerate(DAYS)]
    return [(str(WEEKDAYS_ABBR[number]), f"{span['from']}–{span['to']}") for number, span in spans if span]


def _instant(date: dt.date, time: dt.time, zone: ZoneInfo) -> dt.datetime:
    return dt.datetime.combine(date, time, zone).astimezone(dt.UTC)
