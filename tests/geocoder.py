"""A real HTTP server on this machine that speaks a geocoder's API, and can be slow, wrong or elsewhere."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.serving import served

# What is sent: bytes, or a function that is given the one which sends them.
Body = bytes | Callable[[Callable[[bytes], Any]], None]
Answer = Callable[["Geocoder", str, dict[str, str]], tuple[int, Body, dict[str, str]]]

DOSTYK = {"name": None, "street": "Dostyk Avenue", "housenumber": "85", "city": "Almaty", "country": "Kazakhstan"}


def feature(properties: dict[str, Any], lat: float, lng: float) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [lng, lat]},
        "properties": {name: value for name, value in properties.items() if value is not None},
    }


def photon(*features: dict[str, Any]) -> Answer:
    """Answer these places to whatever is asked, as Photon writes them."""
    body = json.dumps({"type": "FeatureCollection", "features": list(features)}).encode()
    return lambda _server, _path, _query: (200, body, {"Content-Type": "application/json"})


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
    server.answer = photon()
    with served(server):
        try:
            yield server
        finally:
            server.over.set()
