"""A table of a report: the values as they are, for files, and as pages write them."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.utils import formats
from django.utils.translation import gettext as _

from stepper.dates import weekday_and_date
from stepper.templatetags.units import THIN_SPACE, money, seconds, time_spent


class Kind(StrEnum):
    """How a value is written. Percents are of 1; minutes and seconds are whole numbers."""

    TEXT = "text"
    DAY = "day"
    NUMBER = "number"
    MONEY = "money"
    PERCENT = "percent"
    MINUTES = "minutes"
    SECONDS = "seconds"
    STARS = "stars"


@dataclass(frozen=True, slots=True)
class Column:
    label: str
    kind: Kind = Kind.NUMBER

    @property
    def is_text(self) -> bool:
        return self.kind in (Kind.TEXT, Kind.DAY)

    @property
    def file_label(self) -> str:
        """The label in files, whose values are bare numbers."""
        units = {
            Kind.MONEY: _("%(name)s, ₸"),
            Kind.PERCENT: _("%(name)s, %%"),
            Kind.MINUTES: _("%(name)s, min"),
            Kind.SECONDS: _("%(name)s, s"),
        }
        return units[self.kind] % {"name": self.label} if self.kind in units else self.label

    def shown(self, value: Any) -> str:
        """Write a value for a page, in the active language; None is a dash."""
        if value is None:
            return "–"
        if self.kind is Kind.DAY and isinstance(value, dt.date):
            return weekday_and_date(value)
        writers = {
            Kind.NUMBER: lambda: f"{value:,}".replace(",", THIN_SPACE),
            Kind.MONEY: lambda: f"−{money(-value)}" if value < 0 else money(value),
            Kind.PERCENT: lambda: f"{formats.number_format(round(100 * value, 1), 1, use_l10n=True)}{THIN_SPACE}%",
            Kind.MINUTES: lambda: time_spent(value),
            Kind.SECONDS: lambda: seconds(value),
            Kind.STARS: lambda: str(formats.number_format(round(value, 2), 2, use_l10n=True)),
        }
        return str(writers[self.kind]()) if self.kind in writers else str(value)

    def filed(self, value: Any) -> Any:
        """Return a value for a file: numbers as numbers, days as they are sorted."""
        if value is None:
            return ""
        if self.kind is Kind.PERCENT:
            return round(100 * value, 1)
        if self.kind is Kind.STARS:
            return round(value, 2)
        return value.isoformat() if isinstance(value, dt.date) else value


@dataclass(frozen=True, slots=True)
class Row:
    values: Sequence[Any]
    # Where the first cell leads; empty: nowhere.
    url: str = ""


@dataclass(frozen=True)
class Table:
    columns: Sequence[Column]
    rows: Sequence[Row]
    # Of the same length as the columns; None: there is no sense in one.
    total: Sequence[Any] | None = None
    # So many of the rows are on the page; files have all.
    most_shown: int = 500

    @property
    def lines(self) -> list[tuple[str, str, list[tuple[Column, str]]]]:
        """(address, first cell, the others with their columns) of the rows on the page."""
        return [self._line(row.values, row.url) for row in self.rows[: self.most_shown]]

    @property
    def total_line(self) -> tuple[str, str, list[tuple[Column, str]]] | None:
        return None if self.total is None else self._line(self.total, "")

    @property
    def left_out(self) -> int:
        return max(0, len(self.rows) - self.most_shown)

    def _line(self, values: Sequence[Any], url: str) -> tuple[str, str, list[tuple[Column, str]]]:
        shown = [(column, column.shown(value)) for column, value in zip(self.columns, values, strict=True)]
        return url, shown[0][1], shown[1:]


@dataclass(frozen=True)
class Report:
    """A report as it is drawn. `tiles`: (label, value) of what matters most, above the chart."""

    key: str
    title: str
    table: Table
    chart: Any = None
    tiles: Sequence[tuple[str, str]] = field(default_factory=tuple)
    note: str = ""
    # The place can be chosen: drivers drive in several.
    by_place: bool = True

    @property
    def is_empty(self) -> bool:
        return not self.table.rows


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
