"""Faults reported to Sentry: what a real endpoint gets from a process that fails, and what it does not."""

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest
from django.conf import settings

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only

# A request of somebody that fails in our code, with everything about them at hand.
FAILS = """
import django, logging
django.setup()
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
from django.test import Client
from django.urls import path
from stepper import urls
from stepper.monitoring import log_ids
def fail(request, trip_id):
    phone = "+77011234567"
    request.POST
    raise ValueError(f"{phone} of aigerim@example.kz at /t/secret-token/")
urls.urlpatterns.append(path("fails/<int:trip_id>/", fail))
headers = {"authorization": "Bearer secret-bearer"}
client = Client(raise_request_exception=False, headers=headers, REMOTE_ADDR="203.0.113.9")
client.cookies["sessionid"] = "secret-session"
assert client.post("/fails/7/?q=secret-query", {"name": "secret-body"}).status_code == 500
logging.getLogger("stepper.x").warning("a warning of secret-warning")
"""


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a service that takes what it is sent, and the items that it got."""
    got: list[dict[str, Any]] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            unpack = {"br": brotli.decompress, "gzip": gzip.decompress}.get(self.headers["Content-Encoding"], bytes)
            got.extend(json.loads(line) for line in unpack(body).decode().splitlines() if line)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://key@127.0.0.1:{server.server_port}/1", got
    server.shutdown()
    thread.join()
    server.server_close()


def run(**environment: str) -> str:
    own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", FAILS],
        cwd=settings.BASE_DIR,
        env=own | {"DJANGO_SETTINGS_MODULE": "stepper.settings"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_fault_is_reported_with_its_traceback_and_without_the_person(
    endpoint: tuple[str, list[dict[str, Any]]],
) -> None:
    dsn, got = endpoint
    run(SENTRY_DSN=dsn, SENTRY_ENVIRONMENT="tests")
    [event] = [one for one in got if "exception" in one]
    [error] = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "+… of …@… at /t/…/")
    assert error["stacktrace"]["frames"][-1]["function"] == "fail"
    assert event["environment"] == "tests"
    assert event["tags"]["trip_id"] == "7"
    assert event["tags"]["request_id"]
    sent = json.dumps(got)
    assert not {"request", "user", "breadcrumbs", "extra", "modules", "server_name"} & event.keys()
    assert not any("vars" in frame for frame in error["stacktrace"]["frames"])
    assert "secret" not in sent.replace("/t/secret-token/", "")
    assert "7701" not in sent.replace('phone = \\"+77011234567\\"', "")


def test_nothing_is_reported_without_an_address(endpoint: tuple[str, list[dict[str, Any]]]) -> None:
    _dsn, got = endpoint
    assert "sentry" not in run(SENTRY_DSN="").lower()
    assert got == []
