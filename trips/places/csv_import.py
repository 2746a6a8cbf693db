"""Places from a table that staff send: CSV with a row of column names, all of it or, with an error by row, nothing."""

import csv
import io
import math
from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from msgspec import Struct

from drivers.geo import distance_km
from trips.models import Place, PlaceSource

# As many as a body of 1 MiB may well have.
MOST_ROWS: Final = 5000
ERRORS_SHOWN: Final = 50
COLUMNS: Final = (
    *("slug", "kind", "name_en", "name_ru", "name_kk", "lat", "lng", "country", "region", "rank", "popular"),
    *("address_en", "address_ru", "address_kk", "aliases", "is_shown"),
)
_REQUIRED: Final = ("name_en", "lat", "lng")
_NUMBERS: Final = {"lat": float, "lng": float, "rank": int, "popular": int}
_NO: Final = {"0", "no", "false", "нет"}
# A row without a slug is the place that staff have so near under this name.
_SAME_WITHIN_KM: Final = 1.0


class RowError(Struct, frozen=True):
    """What is wrong with a row; `line` as a text editor counts, 1 is the names of the columns."""

    line: int
    message: str


class Outcome(Struct):
    """What an import did; with errors it has changed nothing. `more`: errors that are not listed."""

    added: int = 0
    changed: int = 0
    errors: list[RowError] = []
    more: int = 0


def import_csv(data: bytes) -> Outcome:
    """Add and change places as a file says. Whatever it writes counts as staff's, which no other import changes.

    1. Read the text: UTF-8, columns separated by commas, semicolons or tabs.
    2. Find the place of each row: by its slug, else staff's own of that name within a kilometre; else it is new.
    3. Check each row as a form would.
    4. Save all of them, or none if a row has an error.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Outcome(errors=[RowError(1, _("The file is not UTF-8. In a spreadsheet choose “CSV UTF-8”."))])
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        if problem := _problem_of_columns([name.strip() for name in reader.fieldnames or ()]):
            return Outcome(errors=[RowError(1, problem)])
        rows = [(reader.line_num, row) for row in reader if any(row.values())]
    except csv.Error as error:
        return Outcome(errors=[RowError(reader.line_num, _("This is no CSV: %(error)s.") % {"error": error})])
    if len(rows) > MOST_ROWS:
        return Outcome(errors=[RowError(1, _("At most %(count)d rows at once.") % {"count": MOST_ROWS})])
    return _write(rows)


def _problem_of_columns(names: list[str]) -> str:
    unknown = [name for name in names if name not in COLUMNS]
    missing = [name for name in _REQUIRED if name not in names]
    if unknown:
        return _("Unknown columns: %(names)s.") % {"names": ", ".join(unknown)[:200]}
    if missing:
        return _("Columns are missing: %(names)s.") % {"names": ", ".join(missing)}
    return ""


@transaction.atomic
def _write(rows: list[tuple[int, dict[str, str]]]) -> Outcome:
    outcome, errors = Outcome(), []
    stored = list(Place.objects.order_by("pk").select_for_update())
    by_slug = {place.slug: place for place in stored}
    own: dict[str, list[Place]] = {}
    for place in stored:
        if place.source == PlaceSource.STAFF:
            own.setdefault(place.name_en, []).append(place)
    ready: list[Place] = []
    slugs: dict[str, int] = {}
    for line, row in rows:
        try:
            place = _read_row(row, by_slug, own)
            if place.slug and slugs.setdefault(place.slug, line) != line:
                raise ValidationError(_("Line %(line)d is the same place.") % {"line": slugs[place.slug]})
        except ValidationError as error:
            errors += [RowError(line, message) for message in _messages(error)]
        else:
            ready.append(place)
    if errors:
        return Outcome(errors=errors[:ERRORS_SHOWN], more=max(0, len(errors) - ERRORS_SHOWN))
    for place in ready:
        outcome.added += place.pk is None
        outcome.changed += place.pk is not None
        place.save()
    return outcome


def _read_row(row: dict[str, str], by_slug: dict[str, Place], own: dict[str, list[Place]]) -> Place:
    """Return the place of a row with what the row says, not saved. Raises ValidationError."""
    if None in row or None in row.values():
        raise ValidationError(_("The row has another number of columns than the first one."))
    values = {name.strip(): value.strip() for name, value in row.items()}
    slug = values.pop("slug", "")
    read = {name: _read_value(name, value) for name, value in values.items() if value or name not in _REQUIRED}
    if missing := [name for name in _REQUIRED if name not in read]:
        raise ValidationError(_("Empty: %(names)s.") % {"names": ", ".join(missing)})
    if slug and slug not in by_slug:
        raise ValidationError(
            _("There is no place with the slug %(slug)s; leave it empty for a new one.") % {"slug": slug}
        )
    place = by_slug[slug] if slug else _own_at(own.get(str(read["name_en"]), []), read) or Place()
    for name, value in read.items():
        # An empty cell leaves what a default or the place has, but for texts, which it empties.
        if value is not None or name == "popular":
            setattr(place, name, value)
    place.source = PlaceSource.STAFF
    place.country = place.country.upper()
    place.full_clean(exclude=["slug"], validate_constraints=False)
    return place


def _own_at(places: list[Place], read: dict[str, object]) -> Place | None:
    lat, lng = read["lat"], read["lng"]
    if not isinstance(lat, float) or not isinstance(lng, float) or not (-90 <= lat <= 90 and -180 <= lng <= 180):
        return None
    return next((one for one in places if distance_km(one.lat, one.lng, lat, lng) <= _SAME_WITHIN_KM), None)


def _read_value(name: str, value: str) -> object:
    """Return a cell as its column wants it; None: an empty number or choice. Raises ValidationError."""
    if name == "is_shown":
        return value.lower() not in _NO
    if name in ("kind", "country"):
        return value or None
    if (number := _NUMBERS.get(name)) is None:
        return value
    if not value:
        return None
    try:
        read = number(value.replace(",", "."))
    except ValueError:
        read = math.nan
    if not math.isfinite(read):
        raise ValidationError(_("%(column)s: “%(value)s” is no number.") % {"column": name, "value": value[:40]})
    return read


def _messages(error: ValidationError) -> list[str]:
    """Return what is wrong, with the column before it where it is one."""
    if hasattr(error, "error_dict"):
        return [f"{name}: {text}" for name, texts in error.message_dict.items() for text in texts]
    return list(error.messages)
