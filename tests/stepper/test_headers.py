"""Headers of every response: each route for strangers, for somebody signed in and for staff, errors and files too."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from stepper.web import middleware
from tests.backoffice import list_url, signed_in
from tests.factories import DriverFactory, StaffFactory, TripFactory
from tests.stepper.test_pages import ENDPOINTS, PAGES

# The same middleware on both set-ups.
pytestmark = [pytest.mark.embedded_only, pytest.mark.django_db]


def _routes(patterns: list[Any], before: str = "/") -> list[str]:
    """List an address for each route but those of the administration, which `test_admin…` opens."""
    found = []
    for one in patterns:
        part = re.sub(r"<[^>]*>|\(\?P[^)]*\)", "1", str(one.pattern)).strip("^$")
        if isinstance(one, URLResolver):
            found += [] if part == "admin/" else _routes(one.url_patterns, before + part)
        elif isinstance(one, URLPattern):
            found.append(before + part)
    return found


# A file that no page is made of goes without them.
OF_DOCUMENTS = {"X-Frame-Options", "Cross-Origin-Opener-Policy", "Permissions-Policy", "Content-Security-Policy"}
ROUTES = sorted(set(_routes(get_resolver().url_patterns)))


def missing(response: Any) -> set[str]:
    """Name the headers that a response should have and lacks."""
    headers = response.headers
    expected = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    wrong = {name for name, value in expected.items() if headers.get(name) != value}
    # The stricter one where the address itself is a secret (a link to a trip).
    if headers.get("Referrer-Policy") not in {"strict-origin-when-cross-origin", "strict-origin"}:
        wrong.add("Referrer-Policy")
    if "geolocation=(self)" not in headers.get("Permissions-Policy", ""):
        wrong.add("Permissions-Policy")
    if "frame-ancestors 'none'" not in headers.get("Content-Security-Policy", ""):
        wrong.add("Content-Security-Policy")
    return wrong


def is_kept(response: Any) -> bool:
    """Return whether a browser or a proxy may keep a copy."""
    return "no-store" not in response.headers.get("Cache-Control", "")


def test_routes_are_those_of_the_pages_and_endpoints() -> None:
    assert len(ROUTES) > 40
    assert {one.rstrip("/") for one in PAGES + ENDPOINTS} <= {one.rstrip("/") for one in ROUTES}


@pytest.mark.parametrize("verb", ["get", "post"])
def test_every_route_has_them_for_strangers(verb: str) -> None:
    client = Client()
    answers = {route: getattr(client, verb)(route) for route in ROUTES}
    assert {route: wrong for route, answer in answers.items() if (wrong := missing(answer))} == {}
    kept = {route for route, answer in answers.items() if is_kept(answer)}
    assert [one for one in kept if one.startswith(("/api/", "/accounts/", "/health/"))] == []


@pytest.mark.parametrize("verb", ["get", "post"])
def test_every_route_has_them_and_nobody_keeps_it_for_who_is_signed_in(verb: str) -> None:
    driver = DriverFactory.create()
    trip = TripFactory.create(organiser=driver.user)
    answers = {}
    for route in ROUTES:
        # A client of its own each time: one of the routes signs out.
        client = signed_in(driver.user)
        answers[route] = getattr(client, verb)(re.sub(r"/1(?=/|$)", f"/{trip.pk}", route))
    assert {route: wrong for route, answer in answers.items() if (wrong := missing(answer))} == {}
    assert [route for route, answer in answers.items() if is_kept(answer)] == []


def test_administration_has_them_and_nobody_keeps_it() -> None:
    client = signed_in(StaffFactory.create())
    addresses = ["/admin/", "/admin/jsi18n/", "/admin/none/", *map(list_url, admin.site._registry)]
    answers = {address: client.get(address) for address in addresses}
    assert {address: wrong for address, answer in answers.items() if (wrong := missing(answer))} == {}
    assert [address for address, answer in answers.items() if is_kept(answer)] == []


def _fail(*_args: Any, **_more: Any) -> None:
    raise ZeroDivisionError


def test_errors_have_them(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    client = Client(raise_request_exception=False)
    answers = {
        "host": client.get("/trips/", HTTP_HOST="elsewhere.example"),
        "404": client.get("/none/"),
        "404 of the API": client.get("/api/none"),
        "405": client.delete("/book/"),
        "csrf": Client(enforce_csrf_checks=True).post("/accounts/login/"),
    }
    settings.SIGN_UPS_PER_ADDRESS = 0
    answers["429"] = client.post("/accounts/signup/", {"name": "x"})
    monkeypatch.setattr(middleware.RefusalMiddleware, "process_request", _fail)
    answers["500"] = client.get("/")
    statuses = {name: answer.status_code for name, answer in answers.items()}
    assert statuses == {
        "host": 400,
        "404": 404,
        "404 of the API": 404,
        "405": 405,
        "csrf": 403,
        "429": 429,
        "500": 500,
    }
    assert {name: wrong for name, answer in answers.items() if (wrong := missing(answer))} == {}


def test_host_that_is_not_ours_is_refused_with_them_under_https(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = Client().get("/trips/", HTTP_HOST="elsewhere.example")
    assert (answer.status_code, missing(answer)) == (400, set())


def test_page_of_a_session_that_has_ended_is_not_kept() -> None:
    client = Client()
    client.cookies["sessionid"] = "gone"
    assert not is_kept(client.get("/"))


def test_static_file_has_them_and_is_kept() -> None:
    client = signed_in(StaffFactory.create())
    answer = client.get("/static/css/base.css")
    answer.close()
    # No page is made of it, whatever it says.
    assert missing(answer) == OF_DOCUMENTS
    assert "max-age" in answer.headers["Cache-Control"]
    assert is_kept(answer)
    again = client.get("/static/css/base.css", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, missing(again)) == (304, OF_DOCUMENTS)


def test_static_file_that_can_be_opened_as_a_page_has_all_of_them() -> None:
    answer = Client().get("/static/icons/favicon.svg")
    answer.close()
    assert missing(answer) == set()


def test_page_is_compressed_for_who_can_read_it_with_a_length_that_tells_nothing() -> None:
    answers = [Client().get("/", headers={"Accept-Encoding": "gzip"}) for _time in range(10)]
    assert {answer.headers["Content-Encoding"] for answer in answers} == {"gzip"}
    assert all("Accept-Encoding" in answer.headers["Vary"] for answer in answers)
    assert max(len(answer.content) for answer in answers) < len(Client().get("/").content) / 2
    # The padding is in the head, where a reader passes over it.
    assert len({len(answer.content) for answer in answers}) > 1
