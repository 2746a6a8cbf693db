"""Tables as files for spreadsheets, CSV and XLSX, without formulas.

UTF-8 with a byte order mark, without which Excel reads Cyrillic as Latin; cells end with what spreadsheets of the
language expect. A cell that begins like a formula gets an apostrophe, also where a spreadsheet splits the line at
another separator than ours (OWASP, CSV injection).
"""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Any

import tablib
from django.utils.translation import get_language

# Where commas are decimal.
_SEMICOLON_LANGUAGES = frozenset({"kk", "ru"})
_FORMULA = re.compile(r"(^|[,;\t\r\n])([\s\"']*)([=+\-@\uff1d\uff0b\uff0d\uff20])")
# Of a sheet's name in Excel.
_SHEET_LENGTH, _NOT_IN_SHEETS = 31, re.compile(r"[\[\]:*?/\\]")

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CSV, XLSX = "csv", "xlsx"
CONTENT_TYPES = {
    CSV: "text/csv; charset=utf-8",
    XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def delimiter() -> str:
    """Return what separates cells of CSV in the active language."""
    return ";" if (get_language() or "") in _SEMICOLON_LANGUAGES else ","


def safe_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    # A tab or a line break before it hides the sign from some programs, and is the separator of others.
    return _FORMULA.sub(r"\1\2'\3", text)


def write_table(file_format: str, title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Write a table as `csv` or `xlsx`; texts are made safe, numbers stay numbers."""
    name = _NOT_IN_SHEETS.sub(" ", title)[:_SHEET_LENGTH]
    table = tablib.Dataset(headers=[safe_cell(label) for label in head], title=name)
    separator = delimiter()
    for row in rows:
        table.append([_cell(value, file_format, separator) for value in row])
    if file_format == XLSX:
        # Whatever is left of a formula is text: tablib's own guard behind ours.
        content: bytes = table.export(XLSX, escape=True)
        return content
    text: str = table.export(CSV, delimiter=separator, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC)
    return BYTE_ORDER_MARK + text.encode()


def _cell(value: Any, file_format: str, separator: str) -> Any:
    if isinstance(value, str):
        return safe_cell(value)
    if isinstance(value, float) and file_format == CSV and separator == ";":
        return str(value).replace(".", ",")
    return value
