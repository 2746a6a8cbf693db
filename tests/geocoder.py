"""A real HTTP server on this machine that speaks the API of Photon (github.com/komoot/photon), or is slow or wrong."""

import contextlib
import json
import math
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from drivers.geo import distance_km
from tests.serving import served

Properties = dict[str, Any]
# What is sent: bytes, or a function that is given the one which sends them.
Body = bytes | Callable[[Callable[[bytes], Any]], None]
Answer = Callable[["Geocoder", str, dict[str, str]], tuple[int, Body, dict[str, str]]]

# What a Photon of ours has indexed beside `default`, the place's own language.
LANGUAGES = ("default", "en")
MOST, REVERSE_KM = 50, 1.0


class Known(NamedTuple):
    """A street or house that the server knows, with its properties by language."""

    lat: float
    lng: float
    en: Properties
    default: Properties


def house(
    lat: float, lng: float, number: str | None, *, en: tuple[str, str, str], default: tuple[str, str, str]
) -> Known:
    """Return a house; without a number its street. `en`, `default`: street, city, country."""

    def properties(street: str, city: str, country: str) -> Properties:
        if number is None:
            return {"name": street, "city": city, "country": country}
        return {"street": street, "housenumber": number, "city": city, "country": country}

    return Known(lat, lng, properties(*en), properties(*default))


def same(properties: Properties, lat: float, lng: float) -> Known:
    """Return a place with the same words in every language."""
    return Known(lat, lng, properties, properties)


_DOSTYK = {
    "en": ("Dostyk Avenue", "Almaty", "Kazakhstan"),
    "default": ("Достық даңғылы", "Алматы", "Қазақстан"),
}
_ABAY = {
    "en": ("Abay Avenue", "Almaty", "Kazakhstan"),
    "default": ("Абай даңғылы", "Алматы", "Қазақстан"),
}
_ABAY_OF_ASTANA = {
    "en": ("Abay Avenue", "Astana", "Kazakhstan"),
    "default": ("Абай даңғылы", "Астана", "Қазақстан"),
}
HOUSE = house(43.2330, 76.9570, "85", **_DOSTYK)
STREETS = (
    house(43.2390, 76.9560, None, **_DOSTYK),
    house(43.2452, 76.9569, "52", **_DOSTYK),
    HOUSE,
    house(43.2400, 76.9100, None, **_ABAY),
    house(43.2407, 76.9508, "10", **_ABAY),
    house(43.2390, 76.9050, "101", **_ABAY),
    house(51.1700, 71.4200, None, **_ABAY_OF_ASTANA),
    house(51.1690, 71.4300, "10", **_ABAY_OF_ASTANA),
)


def feature(properties: Properties, lat: float, lng: float) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [lng, lat]},
        "properties": {name: value for name, value in properties.items() if value is not None},
    }


def canned(*features: dict[str, Any]) -> Answer:
    """Answer these places to whatever is asked, as GeoJSON."""
    return lambda _server, _path, _query: _json(200, {"type": "FeatureCollection", "features": list(features)})


def photon(*known: Known) -> Answer:
    """Answer as Photon would that knows these places: `/api` and `/reverse`, and nothing else."""

    def answer(_server: "Geocoder", path: str, query: dict[str, str]) -> tuple[int, Body, dict[str, str]]:
        ask = {"/api": _search, "/reverse": _reverse}.get(path)
        if ask is None:
            return _json(404, {"message": f"Endpoint GET {path} not found"})
        try:
            language = query.get("lang", "default")
            if language not in LANGUAGES:
                raise _Refused(f"Language is not supported. Supported are: {', '.join(LANGUAGES)}")
            found = ask(known, query)[: _limit(query, 15 if path == "/api" else 1)]
        except _Refused as refused:
            return _json(400, {"message": str(refused)})
        features = [feature(one.en if language == "en" else one.default, one.lat, one.lng) for one in found]
        return _json(200, {"type": "FeatureCollection", "features": features})

    return answer


def never(server: "Geocoder", _path: str, _query: dict[str, str]) -> tuple[int, Body, dict[str, str]]:
    """Answer when the test is over."""
    server.over.wait()
    return 200, b"{}", {}


def malformed(_server: "Geocoder", _path: str, _query: dict[str, str]) -> tuple[int, Body, dict[str, str]]:
    """Answer what is no list of places."""
    return 200, b'{"type": "FeatureCollection", "features": [{"type": "Fea', {"Content-Type": "application/json"}


class _Refused(Exception):
    """The query is none that Photon answers; `args[0]` says why."""


def _json(status: int, content: Any) -> tuple[int, bytes, dict[str, str]]:
    return status, json.dumps(content).encode(), {"Content-Type": "application/json"}


def _search(known: tuple[Known, ...], query: dict[str, str]) -> list[Known]:
    """Return what has every word of `q` in one of its languages: houses of that number, then streets; near ones first.

    Of a number that no house has the street is left.
    """
    asked, point = _words(query.get("q", "")), _point(query)
    if not asked:
        raise _Refused("The search term is required")
    numbers = {word for word in asked if word[0].isdigit()}
    found = []
    for place in known:
        have = set(_words(*place.en.values(), *place.default.values()))
        number = place.en.get("housenumber")
        if all(any(one.startswith(word) for one in have) for word in asked if word not in numbers):
            away_km = distance_km(place.lat, place.lng, *point) if point else 0.0
            if number is None or not numbers or number in numbers:
                found.append((bool(number) != bool(numbers), away_km, place))
    return [place for *_order, place in sorted(found, key=lambda one: one[:2])]


def _reverse(known: tuple[Known, ...], query: dict[str, str]) -> list[Known]:
    """Return what is within a kilometre of the point, the nearest first."""
    point = _point(query)
    if point is None:
        raise _Refused("Missing coordinates: lat and lon are required")
    near = [(distance_km(place.lat, place.lng, *point), place) for place in known]
    return [place for away_km, place in sorted(near, key=lambda one: one[0]) if away_km <= REVERSE_KM]


def _words(*texts: Any) -> list[str]:
    return [word for text in texts if isinstance(text, str) for word in re.findall(r"\w+", text.lower())]


def _point(query: dict[str, str]) -> tuple[float, float] | None:
    if "lat" not in query and "lon" not in query:
        return None
    try:
        lat, lng = float(query["lat"]), float(query["lon"])
    except (KeyError, ValueError) as error:
        raise _Refused("Invalid search location: lat and lon must be numbers") from error
    if not (math.isfinite(lat) and math.isfinite(lng) and abs(lat) <= 90 and abs(lng) <= 180):
        raise _Refused("Invalid search location: lat and lon are out of bounds")
    return lat, lng


def _limit(query: dict[str, str], default: int) -> int:
    try:
        return min(max(1, int(query.get("limit", default))), MOST)
    except ValueError as error:
        raise _Refused("Invalid limit: it must be a number") from error


class Geocoder(ThreadingHTTPServer):
    """The server; `asked` are the requests so far, `answer` may be exchanged at any time."""

    answer: Answer

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        # Set when the test is over: whoever is kept waiting ends.
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gives up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Geocoder

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        self.server.asked.append((parts.path, query))
        status, body, headers = self.server.answer(self.server, parts.path, query)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if isinstance(body, bytes):
            self.wfile.write(body)
        else:
            body(self.wfile.write)

    def log_message(self, *_args: Any) -> None:
        pass


@contextlib.contextmanager
def running_geocoder() -> Iterator[Geocoder]:
    server = Geocoder()
    server.answer = photon(*STREETS)
    with served(server):
        try:
            yield server
        finally:
            server.over.set()


@contextlib.contextmanager
def address_where_nothing_listens() -> Iterator[str]:
    """Give an address of this machine that nobody else can take meanwhile, and that refuses connections."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"
