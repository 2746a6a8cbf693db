"""A statement of earnings for paper: A4 as PDF, in the reader's language."""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from fpdf import FontFace
from fpdf.enums import TableBordersLayout

from stepper.paper import FONT, INK, LINE, QUIET, Paper, printable
from stepper.templatetags.units import km, money
from trips.places.curated import in_readers_language

if TYPE_CHECKING:
    from .statements import Statement

# Of the page's 180 mm: date, route, distance, and four amounts.
_COLUMNS_MM = (24, 70, 16, 18, 16, 18, 18)
_ALIGN = ("LEFT", "LEFT", "RIGHT", "RIGHT", "RIGHT", "RIGHT", "RIGHT")


def write(statement: "Statement") -> bytes:
    """Write the head with driver and vehicle, the sums, and a table of the trips."""
    zone = ZoneInfo(statement.driver.timezone)
    name = statement.month.name
    made_at = statement.made_at.astimezone(zone)
    title = _("Statement of earnings, %(month)s") % {"month": name}
    paper = Paper(title, f"StepperGO · {printable(name)}", made_at)
    paper.line_of_text(title, size=18, style="B")
    paper.ln(2)
    for text in _head(statement, made_at):
        paper.line_of_text(printable(text), size=9.5, quiet=True)
    paper.ln(4)
    paper.rows(_sums(statement))
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
    owed = (_("Of it you owe the service"), money(total.fee_owed))
    if total.service_owes:
        owed = (_("The service owes you"), money(total.service_owes))
    return (
        (_("Trips"), str(total.trips)),
        (_("Fares"), money(total.fare)),
        (_("Fee of the service"), money(total.fee)),
        (_("Your share"), money(total.earned)),
        (_("Cash collected"), money(statement.cash)),
        owed,
    )


def _write_trips(paper: Paper, statement: "Statement", zone: ZoneInfo) -> None:
    paper.set_font(FONT, size=8)
    paper.set_text_color(*INK)
    paper.set_draw_color(*LINE)
    with paper.table(
        col_widths=_COLUMNS_MM,
        text_align=_ALIGN,
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=FontFace(emphasis="BOLD", color=QUIET),
        line_height=4.5,
        padding=(0.8, 0.8),
    ) as table:
        table.row([_("Completed"), _("Trip"), _("Distance"), _("Fare"), _("Fee"), _("Yours"), _("Cash")])
        for trip in statement.trips:
            at = trip.completed_at.astimezone(zone)
            route = printable(f"{in_readers_language(trip.pickup)} → {in_readers_language(trip.dropoff)}")
            amounts = [money(amount) for amount in (trip.fare, trip.fee, trip.earned, trip.cash)]
            table.row([f"{at:%d.%m. %H:%M}", route, km(trip.distance_km), *amounts])
