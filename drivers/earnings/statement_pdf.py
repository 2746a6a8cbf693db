"""A statement for paper: A4 as PDF, in the reader's language.

Set in Inter, which has the Kazakh letters and ₸, from the files that the admin package brings along. Only the letters
that occur go into the PDF.
"""

import datetime as dt
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from fontTools.ttLib import TTFont
from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout, XPos, YPos

from stepper.templatetags.units import km, money

if TYPE_CHECKING:
    from .statements import Statement

_FONT = "Inter"
_INK, _QUIET, _LINE = (20, 32, 27), (85, 98, 91), (223, 226, 218)
# Of the page's 180 mm: date, route, distance, and four amounts.
_COLUMNS_MM = (24, 70, 16, 18, 16, 18, 18)
_ALIGN = ("LEFT", "LEFT", "RIGHT", "RIGHT", "RIGHT", "RIGHT", "RIGHT")


def _font_file(weight: str) -> Path:
    return Path(str(files("unfold") / "static/unfold/fonts/inter" / f"Inter-{weight}.woff2"))


@cache
def _letters() -> frozenset[int]:
    """Return the code points that the font has."""
    with TTFont(_font_file("Regular"), lazy=True) as font:
        return frozenset(font.getBestCmap())


def printable(text: str) -> str:
    """Return the text with a question mark for each letter that the font lacks, such as Chinese ones."""
    letters = _letters()
    return "".join(letter if ord(letter) in letters else "?" for letter in text)


class _Paper(FPDF):
    """An A4 page with the number of the page at its foot."""

    def __init__(self, foot: str) -> None:
        super().__init__(format="A4")
        self._foot = foot
        self.add_font(_FONT, "", _font_file("Regular"))
        self.add_font(_FONT, "B", _font_file("Bold"))
        self.set_margin(15)
        self.set_auto_page_break(auto=True, margin=18)
        self.add_page()

    def footer(self) -> None:
        self.set_y(-13)
        self.set_font(_FONT, size=8)
        self.set_text_color(*_QUIET)
        self.cell(0, 5, self._foot, new_x=XPos.LMARGIN, new_y=YPos.TOP)
        self.cell(0, 5, f"{self.page_no()} / {{nb}}", align="R")

    def line_of_text(self, text: str, *, size: float, style: str = "", quiet: bool = False) -> None:
        self.set_font(_FONT, style, size)
        self.set_text_color(*(_QUIET if quiet else _INK))
        self.multi_cell(0, size * 0.5, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def write(statement: "Statement") -> bytes:
    """Write the head with driver and vehicle, the sums, and a table of the trips."""
    zone = ZoneInfo(statement.driver.timezone)
    name = statement.month.name
    made_at = statement.made_at.astimezone(zone)
    title = _("Statement of earnings, %(month)s") % {"month": name}
    paper = _Paper(f"StepperGO · {printable(name)}")
    paper.set_title(title)
    paper.set_lang(get_language() or "en")
    paper.set_creation_date(made_at)
    paper.line_of_text(title, size=18, style="B")
    paper.ln(2)
    for text in _head(statement, made_at):
        paper.line_of_text(printable(text), size=9.5, quiet=True)
    paper.ln(4)
    _write_sums(paper, _sums(statement))
    paper.ln(5)
    if statement.trips:
        _write_trips(paper, statement, zone)
    else:
        paper.line_of_text(_("No trips were completed."), size=10)
    return bytes(paper.output())


def _head(statement: "Statement", made_at: dt.datetime) -> list[str]:
    driver = statement.driver
    made = {
        "at": date_format(made_at, "DATETIME_FORMAT"),
        "zone": driver.timezone,
    }
    lines = [driver.user.name]
    if driver.vehicle:
        lines.append(str(driver.vehicle))
    lines.append(_("Made on %(at)s, times of %(zone)s. A trip counts on the day on which it ended.") % made)
    if not statement.is_final:
        lines.append(_("The month is not over: trips that are completed later are missing."))
    return lines


def _sums(statement: "Statement") -> Sequence[tuple[str, str]]:
    total = statement.total
    return (
        (_("Trips"), str(total.trips)),
        (_("Fares"), money(total.fare)),
        (_("Fee of the service"), money(total.fee)),
        (_("Your share"), money(total.earned)),
        (_("Cash collected"), money(statement.cash)),
        (_("Of which fees owed"), money(total.fee_owed)),
    )


def _write_sums(paper: _Paper, sums: Sequence[tuple[str, str]]) -> None:
    for label, value in sums:
        paper.set_font(_FONT, size=10)
        paper.set_text_color(*_QUIET)
        paper.cell(60, 6, label)
        paper.set_font(_FONT, "B", 10)
        paper.set_text_color(*_INK)
        paper.cell(40, 6, value, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _write_trips(paper: _Paper, statement: "Statement", zone: ZoneInfo) -> None:
    paper.set_font(_FONT, size=8)
    paper.set_text_color(*_INK)
    paper.set_draw_color(*_LINE)
    with paper.table(
        col_widths=_COLUMNS_MM,
        text_align=_ALIGN,
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=FontFace(emphasis="BOLD", color=_QUIET),
        line_height=4.5,
        padding=(0.8, 0.8),
    ) as table:
        table.row([_("Completed"), _("Trip"), _("Distance"), _("Fare"), _("Fee"), _("Yours"), _("Cash")])
        for trip in statement.trips:
            at = trip.completed_at.astimezone(zone)
            route = printable(f"{trip.pickup} → {trip.dropoff}")
            amounts = [money(amount) for amount in (trip.fare, trip.fee, trip.earned, trip.cash)]
            table.row([f"{at:%d.%m. %H:%M}", route, km(trip.distance_km), *amounts])
