"""A statement as CSV and XLSX: for the reader's spreadsheet, in their language, and without formulas.

How such files are written is in stepper.web.spreadsheets. Amounts are plain whole numbers; place names are other
people's words.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from stepper.web import spreadsheets
from trips.places.curated import in_readers_language

if TYPE_CHECKING:
    from .statements import Statement


def write(statement: "Statement", file_format: str = spreadsheets.CSV) -> bytes:
    """Write one line a trip in the order of their completion, and the sums below."""
    return spreadsheets.write_table(file_format, statement.month.key, _head(), _rows(statement))


def _head() -> list[str]:
    return [
        *(_("Trip"), _("Date"), _("Completed"), pgettext("place", "From"), pgettext("place", "To"), _("Distance, km")),
        *(_("Fare, ₸"), _("Fee, ₸"), _("Yours, ₸"), _("Cash collected, ₸")),
    ]


def _rows(statement: "Statement") -> Iterator[Sequence[Any]]:
    zone = ZoneInfo(statement.driver.timezone)
    for trip in statement.trips:
        at = trip.completed_at.astimezone(zone)
        way = [in_readers_language(trip.pickup), in_readers_language(trip.dropoff), round(trip.distance_km, 1)]
        yield [trip.trip_id, f"{at:%Y-%m-%d}", f"{at:%H:%M}", *way, trip.fare, trip.fee, trip.earned, trip.cash]
    total = statement.total
    yield [_("Total"), "", "", "", "", "", total.fare, total.fee, total.earned, statement.cash]
