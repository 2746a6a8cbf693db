"""Dates as lists write them: short, in the active language."""

import datetime as dt

from django.utils import formats
from django.utils.translation import pgettext


def short_date(date: dt.date, *, year: bool = False) -> str:
    """Write a day as `28 Nov`, with its year as `28 Nov 2026`; an instant by its own zone.

    The letters are Django's. They are a text of the catalogues because Django's formats have no short one with a month
    in words, and `M` writes a capital in every language.
    """
    return formats.date_format(date, pgettext("format", "j M Y") if year else pgettext("format", "j M"))


def weekday_and_date(date: dt.date) -> str:
    """Write a day as `Wed 2 Dec`."""
    return formats.date_format(date, pgettext("format", "D j M"))
