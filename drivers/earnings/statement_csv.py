"""A statement as CSV: for the reader's spreadsheet, in their language, and without formulas.

UTF-8 with a byte order mark, without which Excel reads Cyrillic as Latin; cells end with what spreadsheets of the
language expect. Amounts are plain whole numbers. Place names are other people's words: a cell that begins like a
formula gets an apostrophe, also where a spreadsheet splits the line at another separator than ours (OWASP, CSV
injection).
"""

import csv
import io
import re
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.utils.translation import get_language, pgettext
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from .statements import Statement

# Where commas are decimal.
_SEMICOLON_LANGUAGES = frozenset({"kk", "ru"})
_FORMULA = re.compile(r"(^|[,;\t\r\n])([\s\"']*)([=+\-@\uff1d\uff0b\uff0d\uff20])")


def write(statement: "Statement") -> bytes:
    """Write one line a trip in the order of their completion, and the sums below."""
    text = io.StringIO()
    delimiter = ";" if (get_language() or "") in _SEMICOLON_LANGUAGES else ","
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    zone = ZoneInfo(statement.driver.timezone)
    writer.writerow(
        [
            *(
                _("Trip"),
                _("Date"),
                _("Completed"),
                pgettext("place", "From"),
                pgettext("place", "To"),
                _("Distance, km"),
            ),
            *(_("Fare, ₸"), _("Fee, ₸"), _("Yours, ₸"), _("Cash collected, ₸")),
        ]
    )
    for trip in statement.trips:
        at = trip.completed_at.astimezone(zone)
        places = [safe_cell(trip.pickup), safe_cell(trip.dropoff), _decimal(trip.distance_km, delimiter)]
        money = [trip.fare, trip.fee, trip.earned, trip.cash]
        writer.writerow([trip.trip_id, f"{at:%Y-%m-%d}", f"{at:%H:%M}", *places, *money])
    total = statement.total
    writer.writerow([_("Total"), "", "", "", "", "", total.fare, total.fee, total.earned, statement.cash])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def safe_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return _FORMULA.sub(r"\1\2'\3", text)


def _decimal(number: float, delimiter: str) -> str:
    text = f"{number:.1f}"
    return text if delimiter == "," else text.replace(".", ",")
