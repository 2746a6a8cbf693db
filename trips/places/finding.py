"""What somebody who chooses a place is shown: own places, then addresses; and what a point of the map is called.

The limits are here, so that the page and programs share them: by account, or by network for whoever is not signed in.
"""

import logging
from typing import Final, Literal

from django.conf import settings
from msgspec import Struct

from stepper import limits
from stepper.models import User
from trips.models import SavedPlace, Trip

from . import geocoder, lookup
from .folding import fold
from .index import LatLng
from .lookup import FoundPlace

logger = logging.getLogger("trips.places")

_RECENT_SHOWN: Final = 3
_TRIPS_READ: Final = 10
# Shorter texts are beginnings of anything.
_ADDRESS_FROM: Final = 3

# What became of asking for addresses: there is no geocoder; it was asked; it gave no answer; the text was too short.
Addresses = Literal["off", "asked", "unavailable", "not_asked"]


class Searcher(Struct, frozen=True):
    """Who searches: an account (None: nobody is signed in) and the network of the request."""

    user: User | None
    network: str

    def spend(self) -> None:
        """Count one search. Raises TooManyRequests."""
        if self.user is not None:
            limits.spend("places", self.user.pk, most=settings.PLACE_SEARCHES_PER_USER)
        else:
            limits.spend("places:address", self.network, most=settings.PLACE_SEARCHES_PER_ADDRESS)


class Found(Struct, frozen=True):
    """What is shown, and the one place that the text names without doubt, if there is one."""

    places: list[FoundPlace]
    named: FoundPlace | None
    addresses: Addresses


def find_places(searcher: Searcher, text: str, near: LatLng | None = None) -> Found:
    """Search for places to begin or end a trip at: own ones, then addresses near `near`.

    The account's saved places are first. Empty text: all of them, then those of its last trips, then popular ones.

    Raises:
        TooManyRequests: of this account, or of strangers from this network.
    """
    searcher.spend()
    text = text.strip()
    if not text:
        return Found(_suggest(searcher.user), None, "not_asked" if geocoder.is_configured() else "off")
    own, named = lookup.search(text, near), lookup.named(text)
    own = _saved(searcher.user, text) + own
    if not geocoder.is_configured():
        return Found(own, named, "off")
    if len(text) < _ADDRESS_FROM:
        return Found(own, named, "not_asked")
    try:
        addresses = geocoder.search(text, near)
    except geocoder.GeocoderFailed as error:
        logger.info("no addresses are found: %s", error)
        return Found(own, named, "unavailable")
    known = {(place.name.casefold(), round(place.lat, 2), round(place.lng, 2)) for place in own}
    new = [one for one in addresses if (one.name.casefold(), round(one.lat, 2), round(one.lng, 2)) not in known]
    return Found(own + new, named, "asked")


def find_at(searcher: Searcher, lat: float, lng: float) -> FoundPlace:
    """Name a point of the map: the place at it, its street, else where it is from the nearest place.

    Raises:
        TooManyRequests: of this account, or of strangers from this network.
    """
    searcher.spend()
    try:
        street = geocoder.street_at(lat, lng)
    except geocoder.GeocoderFailed as error:
        logger.info("a point has no street: %s", error)
        street = None
    return lookup.describe_point(lat, lng, street)


def _suggest(user: User | None) -> list[FoundPlace]:
    own = [] if user is None else _saved(user)
    points = {(place.lat, place.lng) for place in own}
    own += [] if user is None else [place for place in _recent(user) if (place.lat, place.lng) not in points]
    names = {place.name for place in own}
    popular = [place for place in lookup.search("") if place.name not in names]
    return own + popular[: max(0, lookup.SHOWN - len(own))]


def _saved(user: User | None, text: str = "") -> list[FoundPlace]:
    """Return somebody's saved places that have the text in a name, in any spelling of it; empty: all."""
    rows = [] if user is None else SavedPlace.objects.list_of(user.pk)
    return [
        FoundPlace(row.place_name, row.address, row.lat, row.lng, "saved", row.title)
        for row in rows
        if _has(row.title, text) or _has(row.place_name, text)
    ]


def _has(name: str, text: str) -> bool:
    """Say whether a name has the text in it.

    As it is typed, too: the first letter of "Zhanar" is folded otherwise than alone, and other scripts to nothing.
    """
    folded = fold(text)
    return text.casefold() in name.casefold() or (bool(folded) and folded in fold(name))


def _recent(user: User) -> list[FoundPlace]:
    """Return the places of somebody's last bookings, each once, the latest first."""
    sides = [tuple(f"{side}_{part}" for part in ("name", "address", "lat", "lng")) for side in ("dropoff", "pickup")]
    trips = Trip.objects.filter(organiser=user).order_by("-created_at").values(*sides[0], *sides[1])[:_TRIPS_READ]
    found: dict[str, FoundPlace] = {}
    for trip in trips:
        for name, address, lat, lng in sides:
            found.setdefault(trip[name], FoundPlace(trip[name], trip[address], trip[lat], trip[lng], "recent"))
    return list(found.values())[:_RECENT_SHOWN]
