"""Places for people: found by a text, by their full name, or by a point, with words in the active language."""

import math
from typing import Final

from django.utils.translation import get_language
from django.utils.translation import gettext as _
from msgspec import Struct

from stepper.templatetags.units import km
from trips.models import Place

from . import index
from .curated import country_name, regions
from .index import Entry, Index, LatLng

# What a page shows of the own places.
SHOWN: Final = 7
# A point this near to a place is the place; up to NAMED_KM it is said where it is from there.
SNAP_KM, NAMED_KM = 0.25, 150.0
# Of places with one name, the one meant without more words is so much greater in rank: ten times the people.
_PLAINLY_GREATER: Final = 10


class FoundPlace(Struct, frozen=True, omit_defaults=True):
    """A place to begin or end a trip at.

    `kind`: that of a `Place`; `address`: a geocoder's; `recent`: of an earlier trip; `point`: of the map; `saved`: the
    account's own, which calls it `label`.
    """

    name: str
    address: str
    lat: float
    lng: float
    kind: str
    label: str = ""


def search(text: str, near: LatLng | None = None, limit: int = SHOWN) -> list[FoundPlace]:
    """Search the own places; empty text: those that are popular. `near`: where the reader's map is."""
    known = index.current()
    if not text.strip():
        return [describe(entry) for entry in known.popular()[:limit]]
    return [describe(entry) for entry in known.search(text, near=near, limit=limit)]


def named(text: str, known: Index | None = None) -> FoundPlace | None:
    """Return the place of exactly this name, or the only one found by the text; None: there is no single one.

    Of several with the name it is the one that is plainly the greatest. `known`: the index, for whoever asks often.
    """
    known = known or index.current()
    found = known.named(text)
    if len(found) > 1 and found[0].place.rank - found[1].place.rank >= _PLAINLY_GREATER:
        found = found[:1]
    found = found or known.matching(text)
    return describe(found[0]) if len(found) == 1 else None


def describe(entry: Entry) -> FoundPlace:
    place = entry.place
    return FoundPlace(place.name, _address(entry), place.lat, place.lng, place.kind)


def _address(entry: Entry) -> str:
    """Return what stands below a place's name: its address, its region where it has none or shares the name, and,
    abroad, its country."""
    place = entry.place
    language = (get_language() or "en")[:2]
    address: str = getattr(place, f"address_{language}", "") or place.address_ru or place.address_en
    region, country = regions().get(place.region), country_name(place.country)
    parts = address.split(", ") if address else []
    ends_in_country = country in parts
    if region is not None and (not address or entry.has_namesake):
        parts.append(region.name)
    if ends_in_country or (not address and (place.country != "KZ" or not parts)):
        parts = [part for part in parts if part != country] + [country]
    # Almaty in Almaty says nothing; two of one name in one region are told apart.
    parts = [part for part in dict.fromkeys(parts) if part != place.name] or [country]
    if entry.near_city is not None:
        parts.append(_("near %(place)s") % {"place": entry.near_city.name})
    return ", ".join(parts)


def describe_point(
    lat: float, lng: float, street: FoundPlace | None = None, *, known: Index | None = None
) -> FoundPlace:
    """Name a point for people: the place at it, its street (a geocoder's), else how far it is from which place.

    The address has the coordinates, unless the point is the place. `known`: the index, for whoever asks often.
    """
    coordinates = f"{lat:.5f}, {lng:.5f}"
    nearest = (known or index.current()).nearest((lat, lng))
    if nearest is not None and nearest[1] <= SNAP_KM:
        place = describe(nearest[0])
        return FoundPlace(place.name, place.address, lat, lng, place.kind)
    if street is not None:
        address = f"{street.address}, {coordinates}" if street.address else coordinates
        return FoundPlace(street.name, address, lat, lng, "address")
    if nearest is None or nearest[1] > NAMED_KM:
        return FoundPlace(_("Point on the map"), coordinates, lat, lng, "point")
    place_row, distance = nearest[0].place, nearest[1]
    return FoundPlace(_from_place(place_row, (lat, lng), distance), coordinates, lat, lng, "point")


def _from_place(place: Place, point: LatLng, distance_km: float) -> str:
    """Write where a point is, seen from a place: `3.2 km north of Medeu`."""
    north = point[0] - place.lat
    east = ((point[1] - place.lng + 180) % 360 - 180) * math.cos(math.radians((point[0] + place.lat) / 2))
    eighth = round(math.degrees(math.atan2(east, north)) / 45) % 8
    sentences = (
        _("%(distance)s north of %(place)s"),
        _("%(distance)s northeast of %(place)s"),
        _("%(distance)s east of %(place)s"),
        _("%(distance)s southeast of %(place)s"),
        _("%(distance)s south of %(place)s"),
        _("%(distance)s southwest of %(place)s"),
        _("%(distance)s west of %(place)s"),
        _("%(distance)s northwest of %(place)s"),
    )
    return sentences[eighth] % {"distance": km(distance_km), "place": place.name}
