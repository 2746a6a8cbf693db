"""Lists of the administration whose tables have millions of rows: nothing is counted or grouped over all of them.

The number of rows is counted up to a limit, as far as anybody turns pages. The years, months and days to choose
from are those between the first row and the last, whether each has rows or not.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import DateTimeField, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from stepper.admin import searching

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


class ListsLargeTables:
    """Part of a list of the administration: its pages, periods and search cost the same in a table of millions."""

    paginator: Any = CountedPaginator
    # It would cost a second COUNT over the whole table and help no search.
    show_full_result_count = False
    get_search_fields: Callable[[HttpRequest], Sequence[str]]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found = searching.search(queryset, self.get_search_fields(request), search_term)
        request.search_is_cut = found.is_cut  # type: ignore[attr-defined]
        return found.rows, False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list; say so where a search found more than it shows."""
        response: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        if isinstance(response, TemplateResponse) and getattr(request, "search_is_cut", False):
            messages.info(request, searching.CUT)
        return response

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the class of the list, one that reads the periods to choose from off two rows."""
        made = super().get_changelist(request, **kwargs)  # type: ignore[misc]

        def get_queryset(listing: Any, *args: Any, **options: Any) -> QuerySet[Any]:
            rows: QuerySet[Any] = made.get_queryset(listing, *args, **options)
            if listing.date_hierarchy:
                list_periods_between_ends(rows, listing.date_hierarchy, are_few=bool(listing.query))
            return rows

        return type(made.__name__, (made,), {"get_queryset": get_queryset})
