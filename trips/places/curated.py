"""What comes with the project: places with names in three languages, and the names of regions and countries.

The rows of data/places.csv are brought into the table after each migration, so a fresh installation and an upgraded one
have them without a command. Coordinates and populations of towns are from GeoNames (CC BY 4.0), but for Uchquduq, which
its list of large towns has in another region. Parts of a town that are in that list, such as Chilanzar, are of the kind
"other".
"""

import csv
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from babel import Locale
from django.apps import apps as current_apps
from django.db import transaction
from django.utils import timezone
from django.utils.translation import get_language
from msgspec import Struct

from trips.models import Place, PlaceSource

_DATA: Final = Path(__file__).parent / "data"
# Served unless the command that imports places is told otherwise.
COUNTRIES: Final = ("KZ", "KG", "UZ")
# What an import writes of a row; `is_shown` is for staff alone.
WRITTEN: Final = (
    *("source", "kind", "country", "region", "lat", "lng", "rank", "popular"),
    *("name_en", "name_ru", "name_kk", "address_en", "address_ru", "address_kk", "aliases"),
)
ROWS_AT_ONCE: Final = 500


class Region(Struct, frozen=True):
    """A region (code `KZ-09`) or a country (`KZ`) with its names."""

    code: str
    name_en: str
    name_ru: str
    name_kk: str

    @property
    def name(self) -> str:
        """The name in the active language."""
        name: str = getattr(self, f"name_{(get_language() or 'en')[:2]}", self.name_en)
        return name


@functools.cache
def regions() -> dict[str, Region]:
    """Return regions and countries by their code."""
    with open(_DATA / "regions.csv", newline="", encoding="utf-8") as file:
        return {row["code"]: Region(**row) for row in csv.DictReader(file)}


def country_name(code: str) -> str:
    """Return the name of a country in the active language; the code itself where nobody knows it."""
    if (country := regions().get(code)) is not None:
        return country.name
    return str(Locale.parse((get_language() or "en")[:2]).territories.get(code, code))


def read_curated() -> list[Place]:
    """Return the places of the file, not saved."""
    with open(_DATA / "places.csv", newline="", encoding="utf-8") as file:
        return [
            Place(
                **{
                    **row,
                    "source": PlaceSource.CURATED,
                    "lat": float(row["lat"]),
                    "lng": float(row["lng"]),
                    "rank": int(row["rank"]),
                    "popular": int(row["popular"]) if row["popular"] else None,
                }
            )
            for row in csv.DictReader(file)
        ]


@functools.cache
def _by_words() -> dict[str, dict[str, str]]:
    """Return names and addresses, by language, by each of them; without those that several places have differently."""
    found: dict[str, dict[str, str]] = {}
    doubtful: set[str] = set()
    for place in read_curated():
        for part in ("name", "address"):
            words = {language: getattr(place, f"{part}_{language}") for language in ("en", "ru", "kk")}
            for text in filter(None, words.values()):
                if found.setdefault(text, words) != words:
                    doubtful.add(text)
    return {text: words for text, words in found.items() if text not in doubtful}


def in_readers_language(text: str) -> str:
    """Return the name or address of a place that comes with the project in the active language; others as they are."""
    return _by_words().get(text, {}).get((get_language() or "en")[:2]) or text


class Written(Struct):
    """How many rows an import added and changed, and how many it left to whom they belong."""

    added: int = 0
    changed: int = 0
    left: int = 0


def write_places(places: Iterable[Place], sources: set[str]) -> Written:
    """Add and change rows by their slug, but only rows of these sources; a place that staff changed is theirs."""
    wanted = {place.slug: place for place in places}
    written = Written()
    with transaction.atomic():
        stored = {row.slug: row for row in Place.objects.order_by("pk").select_for_update() if row.slug in wanted}
        added = [place for slug, place in wanted.items() if slug not in stored]
        changed = []
        for slug, row in stored.items():
            if row.source not in sources:
                written.left += 1
                continue
            new = {name: getattr(wanted[slug], name) for name in WRITTEN}
            if any(getattr(row, name) != value for name, value in new.items()):
                for name, value in new.items():
                    setattr(row, name, value)
                row.revision += 1
                row.changed_at = timezone.now()
                changed.append(row)
        # A server that starts at the same moment may be adding them, too.
        Place.objects.bulk_create(added, batch_size=ROWS_AT_ONCE, ignore_conflicts=True)
        if changed:
            Place.objects.bulk_update(changed, [*WRITTEN, "revision", "changed_at"], batch_size=ROWS_AT_ONCE)
        written.added, written.changed = len(added), len(changed)
    return written


def write_curated(apps: Any = current_apps, **_signal: Any) -> None:
    """Bring the curated places into the table, after a migration and after a flush.

    Where the migration stopped at a state of the table that is not today's, nothing is written.
    """
    try:
        state = apps.get_model("trips", "Place")
    except LookupError:
        return
    if {field.column for field in state._meta.fields} == {field.column for field in Place._meta.fields}:
        # What an import found before it was curated becomes curated.
        write_places(read_curated(), {PlaceSource.CURATED, PlaceSource.GEONAMES, PlaceSource.AIRPORTS})
