"""Dates as lists write them, short, in the active language; and as lists are filtered by them."""

import datetime as dt
import functools
import re

from django.utils import formats
from django.utils.translation import get_language, pgettext

from stepper.time_zones import USABLE_YEARS

# The last day of what was never valid, where a column must hold a day. Pages say so in words.
NEVER = dt.date(1970, 1, 1)

# What Django's letters of the short dates stand for.
_PLACES = {"j": "{day}", "M": "{month}", "N": "{month}", "Y": "{year}"}
_LETTER = re.compile("|".join(_PLACES))


def short_date(date: dt.date, *, year: bool = False) -> str:
    """Write a day as `28 Nov`, with its year as `28 Nov 2026`; an instant by its own zone.

    The letters are Django's. They are a text of the catalogues because Django's formats have no short one with a month
    in words, and `M` writes a capital in every language.
    """
    return formats.date_format(date, _short_form(year=year))


def _short_form(*, year: bool) -> str:
    return pgettext("format", "j M Y") if year else pgettext("format", "j M")


def short_date_parts() -> dict[str, str]:
    """Return what scripts write `short_date` with, as browsers do not know how Kazakh is written.

    `months`: their names in order, joined by `|`; `date` and `date-year`: `{day} {month}`, the latter with `{year}`.
    """
    return _parts_in(get_language())


@functools.cache
def _parts_in(_language: str | None) -> dict[str, str]:
    """Each page says them, and they are always the same in a language, which is the active one."""
    date, with_year = _short_form(year=False), _short_form(year=True)
    month = "N" if "N" in date else "M"
    names = [formats.date_format(dt.date(NEVER.year, number, 1), month) for number in range(1, 13)]
    return {"months": "|".join(names), "date": _with_places(date), "date-year": _with_places(with_year)}


def _with_places(form: str) -> str:
    return _LETTER.sub(lambda letter: _PLACES[letter[0]], form)


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
