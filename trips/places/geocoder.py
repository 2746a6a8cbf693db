"""Addresses from a geocoder (Photon, Nominatim or Pelias): streets and house numbers near the map, and of a point.

Which one is the environment's setting (`GEOCODER_URL`). It is asked within `TIMEOUT_S`, by at most `_AT_ONCE` requests
of a process at a time, as each of them keeps a thread; after `_FAILURES` failures in a row nobody asks it for
`_PAUSE_S`. What it answers is text of others: cleaned, cut to the columns, and judged by its coordinates.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from django.conf import settings
from django.core.cache import cache
from django.utils.translation import get_language
from redis.exceptions import RedisError

from drivers.geo import box, distance_km
from stepper.geocoder_address import GeocoderAddress
from stepper.limits import digest
from stepper.outbound import CallFailed, CallRefused, get_bytes
from stepper.texts import clean_text
from trips.models.places import ADDRESS_LENGTH, NAME_LENGTH

from .index import LatLng
from .lookup import FoundPlace

logger = logging.getLogger("trips.places")

TIMEOUT_S: Final = 2.5
MOST_BYTES: Final = 256 * 1024
SHOWN: Final = 5
# An address farther from the map's centre comes after those that are nearer.
WITHIN_KM: Final = 300.0
# What an answer may stand for meanwhile: streets do not move.
KEPT_S: Final = 600
_AT_ONCE, _FAILURES, _PAUSE_S = 2, 3, 30.0
# A point's street is one next to it.
_STREET_KM: Final = 0.15


class GeocoderFailed(Exception):
    """The geocoder gave no usable answer; `args[0]` says why, for the log."""


class _Health:
    """Whether a geocoder is asked: not by too many at once, and not for a while after it failed."""

    def __init__(self) -> None:
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._failures = 0
        # Monotonic.
        self._asked_again_at = 0.0

    def call(self, ask: Callable[[], bytes]) -> bytes:
        """Return the answer. Raises GeocoderFailed."""
        if time.monotonic() < self._asked_again_at:
            raise GeocoderFailed("it failed a moment ago")
        if not self._slots.acquire(blocking=False):
            raise GeocoderFailed("too many are asking it")
        try:
            answer = ask()
        except CallRefused as error:
            # Of what somebody typed: the next one may ask.
            raise GeocoderFailed(str(error)) from error
        except CallFailed as error:
            self._failures += 1
            if self._failures >= _FAILURES:
                self._asked_again_at = time.monotonic() + _PAUSE_S
                logger.warning("the geocoder fails (%s); it is asked again in %d s", error, _PAUSE_S)
            raise GeocoderFailed(str(error)) from error
        else:
            self._failures = 0
            return answer
        finally:
            self._slots.release()


@functools.cache
def _health_of(url: str) -> _Health:
    return _Health()


def is_configured() -> bool:
    return settings.GEOCODER is not None


def search(text: str, near: LatLng | None) -> list[FoundPlace]:
    """Return addresses for a text, those near the map's centre first; empty without a geocoder.

    Raises:
        GeocoderFailed: it is away, slow, or answers what is no answer.
    """
    if settings.GEOCODER is None:
        return []
    path, params = _search_request(settings.GEOCODER, text, near)
    found = _places(_ask(settings.GEOCODER, path, params))
    if near is not None:
        found.sort(key=lambda place: distance_km(place.lat, place.lng, *near) > WITHIN_KM)
    return list({(place.name, place.address): place for place in found}.values())[:SHOWN]


def street_at(lat: float, lng: float) -> FoundPlace | None:
    """Return the street or building at a point; None: there is none, or no geocoder. Raises GeocoderFailed."""
    if settings.GEOCODER is None:
        return None
    path, params = _reverse_request(settings.GEOCODER, lat, lng)
    near = [
        place
        for place in _places(_ask(settings.GEOCODER, path, params))
        if distance_km(place.lat, place.lng, lat, lng) <= _STREET_KM
    ]
    return near[0] if near else None


def _language() -> str:
    return (get_language() or "en")[:2]


def _search_request(geocoder: GeocoderAddress, text: str, near: LatLng | None) -> tuple[str, dict[str, str]]:
    """Return the path and the parameters of a search, in the words of this kind."""
    match geocoder.kind:
        case "photon":
            params = {"q": text, "limit": str(2 * SHOWN), **_photon_language()}
            if near is not None:
                params |= {"lat": f"{near[0]:.3f}", "lon": f"{near[1]:.3f}"}
            return "/api", params
        case "nominatim":
            params = {"q": text, "limit": str(2 * SHOWN), **_NOMINATIM, "accept-language": _language()}
            if near is not None:
                south, north, west, east = box(*near, WITHIN_KM)
                params["viewbox"] = f"{west:.3f},{south:.3f},{east:.3f},{north:.3f}"
            return "/search", params
        case _:
            params = {"text": text, "size": str(2 * SHOWN), "lang": _language()}
            if near is not None:
                params |= {"focus.point.lat": f"{near[0]:.3f}", "focus.point.lon": f"{near[1]:.3f}"}
            return "/v1/search", params


def _reverse_request(geocoder: GeocoderAddress, lat: float, lng: float) -> tuple[str, dict[str, str]]:
    at, beside = f"{lat:.5f}", f"{lng:.5f}"
    match geocoder.kind:
        case "photon":
            return "/reverse", {"lat": at, "lon": beside, "limit": "1", **_photon_language()}
        case "nominatim":
            return "/reverse", {"lat": at, "lon": beside, "zoom": "18", **_NOMINATIM, "accept-language": _language()}
        case _:
            return "/v1/reverse", {"point.lat": at, "point.lon": beside, "size": "1", "lang": _language()}


_NOMINATIM: Final = {"format": "geojson", "addressdetails": "1"}


def _photon_language() -> dict[str, str]:
    """Photon refuses languages that it has not indexed; without one it answers in the place's own."""
    return {"lang": "en"} if _language() == "en" else {}


def _ask(geocoder: GeocoderAddress, path: str, params: Mapping[str, str]) -> Any:
    """Return the decoded answer, of the last minutes if the same was asked. Raises GeocoderFailed."""
    asked = {**geocoder.options, **params}
    key = f"geocoder:{digest(repr((geocoder.url, path, sorted(params.items()), _language())))}"
    body: bytes | None = None
    try:
        body = cache.get(key)
    except RedisError as error:
        logger.warning("no answers of the geocoder are kept: %s", error)
    if body is None:
        headers = {"Accept": "application/json", "Accept-Language": _language(), "User-Agent": "StepperGO"}
        body = _health_of(geocoder.url).call(
            lambda: get_bytes(geocoder.url + path, asked, headers=headers, timeout_s=TIMEOUT_S, most=MOST_BYTES)
        )
        answer = _decode(body)
        try:
            cache.set(key, body, KEPT_S)
        except RedisError:
            return answer
        return answer
    return _decode(body)


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise GeocoderFailed("no JSON") from error


def _places(answer: Any) -> list[FoundPlace]:
    """Read the places of a GeoJSON answer, which all three give. Raises GeocoderFailed."""
    features = answer.get("features") if isinstance(answer, dict) else None
    if not isinstance(features, list):
        if isinstance(answer, dict) and "error" in answer and features is None:
            return []  # Nominatim's way to say that there is nothing at a point
        raise GeocoderFailed("no list of places")
    return [place for feature in features[: 4 * SHOWN] if (place := _place(feature)) is not None]


def _place(feature: Any) -> FoundPlace | None:
    """Read one place; None: it is none that can be used."""
    try:
        lng, lat = (float(value) for value in feature["geometry"]["coordinates"][:2])
        properties: dict[str, Any] = feature["properties"]
        if not (-90 <= lat <= 90 and -180 <= lng <= 180):
            return None
        name, around = _name_and_surroundings(properties)
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    name = clean_text(name)[:NAME_LENGTH].strip()
    parts = dict.fromkeys(clean_text(part) for part in around)
    address = ", ".join(part for part in parts if part and part != name)[:ADDRESS_LENGTH].strip()
    return FoundPlace(name, address, lat, lng, "address") if name else None


def _name_and_surroundings(properties: dict[str, Any]) -> tuple[str, list[str]]:
    """Return what a place is called, and in what it lies, from the narrowest outward."""
    details = properties.get("address")
    # Nominatim has the parts of the address in a table of their own, the others among the properties.
    parts: dict[str, Any] = details if isinstance(details, dict) else properties

    def text(*names: str) -> str:
        return next((value for name in names if isinstance(value := parts.get(name), str) and value), "")

    street = text("street", "road", "pedestrian")
    number = text("housenumber", "house_number")
    line = f"{street} {number}".strip() if street else ""
    own = properties.get("name")
    name = own if isinstance(own, str) and own else line or text("locality", "suburb", "city")
    city = text("city", "town", "village", "locality", "municipality")
    return name, [line, text("district", "borough", "suburb", "neighbourhood"), city, text("state", "region"), ""]
