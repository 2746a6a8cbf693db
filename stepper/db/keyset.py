"""Pages of a long list by what the last row of a page was, so that any page costs as much as the first."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet

PAGE = 50
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
# Up to the year 5138, so no instant is too large.
_CURSOR = re.compile(r"([0-9]{1,17})-([0-9]{1,18})")


class ListPage(NamedTuple):
    """A page of a list. `more`: the cursor of the next page; empty: this is the last.

    `is_cut`: a search found more than the pages show.
    """

    rows: Sequence[Any]
    more: str
    is_cut: bool = False


def page_by_instant(rows: QuerySet[Any], at: str, after: str, *, latest_first: bool, size: int = PAGE) -> ListPage:
    """Return the page of rows, ordered by the column `at` and their ids, behind a cursor; "": the first page.

    A cursor that is none is the first page: it is an address that somebody has cut.
    """
    sign, beyond = ("-", "lt") if latest_first else ("", "gt")
    if found := _CURSOR.fullmatch(after):
        instant, pk = _EPOCH + int(found[1]) * _MICROSECOND, int(found[2])
        # The first condition alone is one that an index of the column answers.
        rows = rows.filter(**{f"{at}__{beyond}e": instant}).filter(
            Q(**{f"{at}__{beyond}": instant}) | Q(**{at: instant, f"pk__{beyond}": pk})
        )
    found_rows = list(rows.order_by(f"{sign}{at}", f"{sign}pk")[: size + 1])
    more = ""
    if len(found_rows) > size:
        last = found_rows[size - 1]
        more = f"{(getattr(last, at) - _EPOCH) // _MICROSECOND}-{last.pk}"
    return ListPage(found_rows[:size], more)


def page_by_id(rows: QuerySet[Any], after: str) -> ListPage:
    """Return the page of rows, the newest first, behind an id; "": the first page."""
    if after.isascii() and after.isdecimal() and len(after) <= 18:
        rows = rows.filter(pk__lt=int(after))
    found = list(rows.order_by("-pk")[: PAGE + 1])
    return ListPage(found[:PAGE], str(found[PAGE - 1].pk) if len(found) > PAGE else "")
