"""What a history of the operations room consists of, and how pages of it are put together from several tables.

Every table is asked for its newest rows before an instant, at most as many as a page has, so a page costs the same
however long the history is.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import QuerySet

from stepper.admin.base import format_instant
from stepper.errors import InvalidInput
from stepper.models import User

PAGE = 40


class Line(NamedTuple):
    """One line below an entry: a driver whom a wave considered, with their offer."""

    name: str
    words: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened. `icon`: of Lucide; `kind`: for the style; `who`: empty where nobody did it."""

    at: dt.datetime
    kind: str
    icon: str
    title: str
    who: str = ""
    details: Sequence[str] = ()
    lines: Sequence[Line] = field(default=())
    # How many more lines there are than these.
    lines_left: int = 0

    @property
    def time(self) -> str:
        return format_instant(self.at)


class HistoryPage(NamedTuple):
    """A page of a history, the earliest first. `earlier`: where the page before it ends; empty: this is the first."""

    entries: list[Entry]
    earlier: str


class Reader:
    """Reads each table's part of a page, before an instant; none of them asks for more than a page has."""

    def __init__(self, viewer: User, before: dt.datetime | None) -> None:
        self.viewer, self.before = viewer, before

    def newest(self, rows: QuerySet[Any], at: str) -> QuerySet[Any]:
        """Return the newest rows by the column `at`, before the page that is shown already."""
        if self.before is not None:
            rows = rows.filter(**{f"{at}__lt": self.before})
        return rows.order_by(f"-{at}", "-pk")[: PAGE + 1]

    def is_before(self, at: dt.datetime | None) -> bool:
        """Say whether something happened before the page that is shown already."""
        return at is not None and (self.before is None or at < self.before)


def page_of(entries: Iterable[Entry]) -> HistoryPage:
    """Return the newest of the entries, at most a page and what happened at the same instant as its earliest."""
    newest = sorted(entries, key=lambda entry: entry.at, reverse=True)
    count = min(PAGE, len(newest))
    while 0 < count < len(newest) and newest[count].at == newest[count - 1].at:
        count += 1
    shown = newest[:count][::-1]
    return HistoryPage(shown, shown[0].at.isoformat() if count < len(newest) else "")


def parse_before(text: str) -> dt.datetime | None:
    """Return the instant of `earlier`; None: nothing was given. Raises InvalidInput: it is no instant with a zone."""
    if not text:
        return None
    try:
        before = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("input.invalid", "before") from error
    if before.tzinfo is None:
        raise InvalidInput("input.invalid", "before")
    return before
