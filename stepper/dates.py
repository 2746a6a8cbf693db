"""Dates as lists write them, short, in the active language; and as lists are filtered by them."""

import datetime as dt

from django.utils import formats
from django.utils.translation import pgettext

from stepper.time_zones import USABLE_YEARS

# The last day of what was never valid, where a column must hold a day. Pages say so in words.
NEVER = dt.date(1970, 1, 1)


def short_date(date: dt.date, *, year: bool = False) -> str:
    """Write a day as `28 Nov`, with its year as `28 Nov 2026`; an instant by its own zone.

    The letters are Django's. They are a text of the catalogues because Django's formats have no short one with a month
    in words, and `M` writes a capital in every language.
    """
    return formats.date_format(date, pgettext("format", "j M Y") if year else pgettext("format", "j M"))


def weekday_and_date(date: dt.date) -> str:
    """Write a day as `Wed 2 Dec`."""
    return formats.date_format(date, pgettext("format", "D j M"))


def midnight(date: dt.date, zone: dt.tzinfo) -> dt.datetime:
    """Return the first instant of a day, UTC. Where the clocks skip midnight it is the instant at which they do."""
    return dt.datetime.combine(date, dt.time.min, zone).astimezone(dt.UTC)


def midnight_of(day: dt.date, zone: dt.tzinfo) -> dt.datetime:
    """Return `midnight` of a day, or of a usable one for a day at an end of the calendar, which may have none."""
    if day.year not in USABLE_YEARS:
        day = dt.date(min(max(day.year, USABLE_YEARS[0]), USABLE_YEARS[-1]), 1, 1)
    return midnight(day, zone)
