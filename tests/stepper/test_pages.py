"""What holds for every page and endpoint: nobody gets in without signing in, nothing that the policy forbids."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

import drivers.joining_urls
import drivers.urls
import realtime.urls
import trips.urls
from stepper.api import urls as api
from stepper.models import AccountSession, ServiceSettings
from tests.backoffice import list_url, signed_in
from tests.factories import DriverFactory, StaffFactory, TripFactory

# The same views and templates on both set-ups.
pytestmark = pytest.mark.embedded_only

ROOT = Path(settings.BASE_DIR)
# Of the people who use it; the administration's own pages bring scripts of their own, mails run none.
TEMPLATES = [
    path
    for path in sorted((ROOT / "templates").rglob("*.html"))
    if not {"admin", "email"} & set(path.relative_to(ROOT).parts)
]
# A script without a source, a style, or a handler in an attribute.
_INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style\b|\sstyle=|\son[a-z]+=", re.IGNORECASE)
# Their body says who it is: whoever signs in has no access token yet, whoever signs out may have none any more. Places
# are for everybody, limited by address.
# And for a telephone exchange, which has a token of its own.
OPEN_TO_ALL = {"token", "token/refresh", "token/revoke", "phone/code", "places", "places/at", "calls"}


def _addresses(before: str, patterns: list[URLPattern]) -> list[str]:
    return [before + re.sub(r"<[^>]*>", "1", str(one.pattern)).replace("<slug:name>", "offers") for one in patterns]


# The booking form and its price are for everybody.
OPEN_PAGES = {"/trips/new/", "/trips/quote/"}
PAGES = [
    *(address for address in _addresses("/trips/", trips.urls.urlpatterns) if address not in OPEN_PAGES),
    *_addresses("/driver/", drivers.urls.urlpatterns),
    *_addresses("/drivers/", drivers.joining_urls.urlpatterns),
    *_addresses("/notifications/", realtime.urls.urlpatterns),
]
ENDPOINTS = _addresses(
    "/api/",
    [one for one in api.urlpatterns if hasattr(one.callback, "view_class") and str(one.pattern) not in OPEN_TO_ALL],
)


def _account_routes(patterns: list[URLPattern | URLResolver], before: str = "/") -> Iterator[str]:
    """Every route below /account/ and /accounts/ that the whole table has, whichever module it is from."""
    for one in patterns:
        route = before + str(one.pattern).removeprefix("^").removesuffix("$")
        if isinstance(one, URLResolver):
            yield from _account_routes(one.url_patterns, route)
        elif route.startswith(("/account/", "/accounts/")):
            yield route


ACCOUNT_ROUTES = list(_account_routes(get_resolver().url_patterns))
# Whoever is not signed in uses them.
OPEN_ROUTES = ("signup/", "login/", "logout/", "inactive/", "password/reset/", "sign-in/phone/")


def _fill_in(route: str, number: int) -> str:
    """An address of a route: rows get the number, anything else words."""
    return re.sub(
        r"<[^>]*>|\(\?P<\w+>\[[^)]*\)|\(\?P<\w+>\.[^)]*\)",
        "x1",
        re.sub("<row:(session|place|passkey)_id>", str(number), route),
    )


ACCOUNT_PAGES = [
    _fill_in(one, 1)
    for one in ACCOUNT_ROUTES
    # The earlier address of the account page leads to the present one.
    if one != "/accounts/" and not one.removeprefix("/accounts/").startswith(OPEN_ROUTES)
]


@pytest.mark.django_db
@pytest.mark.parametrize("address", [*PAGES, *ACCOUNT_PAGES])
def test_page_sends_strangers_to_sign_in(client: Client, address: str) -> None:
    answers = [client.get(address), client.post(address)]
    allowed = [answer for answer in answers if answer.status_code != 405]
    assert allowed
    assert {(answer.status_code, answer.headers["Location"].partition("?")[0]) for answer in allowed} == {
        (302, "/accounts/login/")
    }


@pytest.mark.django_db
@pytest.mark.parametrize("address", ENDPOINTS)
def test_endpoint_refuses_strangers(client: Client, address: str) -> None:
    answers = [getattr(client, verb)(address).status_code for verb in ("get", "post", "put", "delete")]
    assert set(answers) == {401}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.relative_to(ROOT / "templates").as_posix())
def test_template_has_no_inline_script_or_style(template: Path) -> None:
    assert _INLINE.findall(template.read_text()) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("css/base.css", 'text/css; charset="utf-8"'),
        ("js/page.js", 'text/javascript; charset="utf-8"'),
        ("icons/favicon.svg", "image/svg+xml; charset=utf-8"),
    ],
)
def test_static_file_is_of_its_kind_and_for_our_own_pages(client: Client, path: str, kind: str) -> None:
    response = client.get(f"/static/{path}")
    response.close()
    headers = response.headers
    assert headers["Content-Type"] == kind
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers
    # A picture that can be opened as a page is bound like one.
    policy = set(headers.get("Content-Security-Policy", "").split("; "))
    wanted = {"default-src 'none'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"}
    assert wanted & policy == (wanted if kind.startswith("image/svg") else set())


@pytest.mark.parametrize(
    "path", ["", "../settings.py", "%2e%2e/settings.py", "css/", "css", ".env", "icons/../../manage.py"]
)
def test_nothing_but_a_static_file_is_served_as_one(client: Client, path: str) -> None:
    """No list of a folder, nothing from outside of it."""
    assert client.get(f"/static/{path}").status_code == 404


# Who is seen to be here, and how long staff's session lasts while they are: nothing else of a session.
_SEEN = re.compile(
    r"""UPDATE "stepper_accountsession" SET "(last_seen_at|address|user_agent)" = .* WHERE"""
    r"""|UPDATE "django_session" SET "expire_date" = [^"]* WHERE"""
    # That staff looked, in the audit log.
    r"""|INSERT (OR IGNORE )?INTO "stepper_auditentry" """
)

# Keeps in the session the secret that it shows, which is worth nothing until a code of it is entered.
SET_UP = "/accounts/two-step/set-up/"


def _changes(client: Client, verb: str, address: str) -> list[str]:
    """Open an address; return the statements that changed anything but who is seen to be here."""
    with CaptureQueriesContext(connection) as captured:
        response = client.generic(verb, address)
        assert response.status_code < 500
    statements = [query["sql"] for query in captured if re.match(r"INSERT|UPDATE|DELETE", query["sql"])]
    return [one for one in statements if not _SEEN.match(one)]


@pytest.mark.django_db
@pytest.mark.parametrize("verb", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_opening_an_address_changes_nothing(verb: str) -> None:
    """Other pages can have these sent with our cookie, and CSRF tokens are not asked for."""
    driver = DriverFactory.create()
    trip = TripFactory.create(organiser=driver.user)
    client = signed_in(driver.user)
    elsewhere = signed_in(driver.user).session.session_key
    session = AccountSession.objects.get(session_id=elsewhere)
    addresses = [
        *(one.replace("/1", f"/{trip.pk}") for one in (*PAGES, *ENDPOINTS)),
        *(_fill_in(one, session.pk) for one in ACCOUNT_ROUTES),
    ]
    assert f"/accounts/sessions/{session.pk}/end/" in addresses
    found = {one: _changes(client, verb, one) for one in addresses}
    found[SET_UP] = [one for one in found[SET_UP] if not one.startswith('UPDATE "django_session" SET "session_data"')]
    assert {one: statements for one, statements in found.items() if statements} == {}


@pytest.mark.django_db
def test_no_answer_repeats_a_trace() -> None:
    """Nor its head, which has the cookie that no script may read."""
    client = signed_in(DriverFactory.create().user)
    client.cookies["secret"] = marker = "repeated-by-the-answer"
    addresses = [*PAGES, *ENDPOINTS, *ACCOUNT_PAGES, "/", "/admin/", "/static/js/page.js", "/nowhere/"]
    answers = {one: client.generic("TRACE", one, marker, HTTP_X_MARKER=marker) for one in addresses}
    # A file's answer is a stream.
    texts = {one: b"".join(answer) + str(answer.headers).encode() for one, answer in answers.items()}
    assert [one for one, text in texts.items() if marker.encode() in text] == []


@pytest.mark.django_db
def test_opening_the_administration_changes_nothing() -> None:
    client = signed_in(StaffFactory.create())
    ServiceSettings.objects.get_or_create(pk=1)
    client.get("/admin/")  # notes in the session that it is staff's, which shortens it
    lists = [list_url(model) for model in admin.site._registry]
    assert [one for one in ("/admin/", *lists) if _changes(client, "GET", one)] == []
