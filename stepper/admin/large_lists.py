"""Lists of the administration whose tables have millions of rows: nothing is counted or grouped over all of them.

The number of rows is counted up to a limit, as far as anybody turns pages. The years, months and days to choose
from are those between the first row and the last, whether each has rows or not.
"""

import datetime as dt
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

from django.core.paginator import Paginator
from django.db.models import DateTimeField, QuerySet
from django.utils import timezone

COUNTED: Final = 10_000
# More than a search of the administration shows in a large list.
_FEW: Final = 2_000
# More than the days of a month or the years of a service; whatever is wrong with a row's date, no page gets longer.
_MOST_PERIODS: Final = 100


class CountedPaginator(Paginator):
    """A paginator that counts, and shows, so many rows at most."""

    @cached_property
    def count(self) -> int:
        """The number of rows, COUNTED at most."""
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        # The key alone: else what the list computes of each row is computed of those that are counted.
        return int(rows.order_by().values("pk")[:COUNTED].count())


def list_periods_between_ends(rows: QuerySet[Any], name: str, *, are_few: bool = False) -> None:
    """Have a list's rows answer what the choice of periods asks of them (the tag `date_hierarchy`) from two rows.

    `name`: the column of the choice; `are_few`: the rows are what a search found. Copies of the rows are not changed.
    """
    if not isinstance(rows.model._meta.get_field(name), DateTimeField):
        return
    # Read once, when the page asks.
    found: list[dict[str, dt.datetime | None]] = []

    def ends(**_asked: Any) -> dict[str, dt.datetime | None]:
        found[:] = found or [(_ends_of_few(rows, name) if are_few else None) or _ends(rows, name)]
        return found[0]

    def periods(_name: str, kind: str) -> list[dt.datetime]:
        instants = [timezone.localtime(end) for end in ends().values() if end is not None]
        return list(_between(min(instants), max(instants), kind)) if instants else []

    rows.aggregate = ends  # type: ignore[method-assign]
    rows.datetimes = periods  # type: ignore[method-assign,assignment]


def _ends(rows: QuerySet[Any], name: str) -> dict[str, dt.datetime | None]:
    """Return the first and the last value of the column, by its index, else those of the first and the last key."""
    indexed = {index.fields[0].lstrip("-") for index in rows.model._meta.indexes if index.fields}
    by = name if name in indexed else "pk"
    dated = rows.filter(**{f"{name}__isnull": False}).values_list(name, flat=True)
    return {"first": dated.order_by(by).first(), "last": dated.order_by(f"-{by}").first()}


def _ends_of_few(rows: QuerySet[Any], name: str) -> dict[str, dt.datetime | None] | None:
    """Return the first and the last value of a few rows by reading all; None: there are too many.

    For one of them in the order of an index, PostgreSQL reads the index until it meets it: a year of newer rows.
    """
    values = list(rows.order_by().values_list(name, flat=True)[: _FEW + 1])
    if len(values) > _FEW:
        return None
    dated = [value for value in values if value is not None]
    return {"first": min(dated, default=None), "last": max(dated, default=None)}


def _between(first: dt.datetime, last: dt.datetime, kind: str) -> Iterator[dt.datetime]:
    at = first.replace(hour=0, minute=0, second=0, microsecond=0)
    if kind != "day":
        at = at.replace(day=1)
    if kind == "year":
        at = at.replace(month=1)
    for _number in range(_MOST_PERIODS):
        if at > last:
            return
        yield at
        if kind == "day":
            at += dt.timedelta(days=1)
        else:
            months = at.year * 12 + at.month - 1 + (12 if kind == "year" else 1)
            at = at.replace(year=months // 12, month=months % 12 + 1)
