"""Cookies under HTTPS: their prefix, and sessions of the release before, on pages and sockets."""

from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode

import pytest
from channels.db import database_sync_to_async
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client

from realtime.auth import identify
from stepper.errors import NotSignedIn
from stepper.models import User
from stepper.web.cookies import PREFIXED
from tests.browsing import session_cookie
from tests.factories import PASSWORD, PassengerFactory
from tests.live import LiveServer

pytestmark = pytest.mark.embedded_only

NEW, OLD = "__Host-sessionid", "sessionid"
SECURE: dict[str, Any] = {"secure": True, "HTTP_HOST": "testserver"}


@pytest.fixture
def prefixed(settings: Any) -> None:
    settings.COOKIE_PREFIX = "__Host-"
    settings.SESSION_COOKIE_NAME = NEW
    settings.CSRF_COOKIE_NAME = "__Host-csrftoken"
    settings.SESSION_COOKIE_SECURE = True


def key_of_before(user: User) -> str:
    """Open a session as the release before did."""
    return str(session_cookie(user, "")["value"])


def browser(**cookies: str) -> Client:
    client = Client()
    for name, value in cookies.items():
        client.cookies[name.replace("HOST", "__Host-")] = value
    return client


@pytest.mark.django_db
@pytest.mark.usefixtures("prefixed")
def test_session_of_the_release_before_goes_on_under_the_new_name() -> None:
    key = key_of_before(PassengerFactory.create())
    answer = browser(sessionid=key).get("/trips/", **SECURE)
    assert answer.status_code == 200
    cookie = answer.cookies[NEW]
    assert cookie.value == key
    assert (cookie["secure"], cookie["httponly"], cookie["path"], cookie["domain"]) == (True, True, "/", "")
    assert OLD not in answer.cookies  # a server of the release before goes on reading it


@pytest.mark.django_db
@pytest.mark.usefixtures("prefixed")
def test_new_name_counts_before_the_old_one() -> None:
    mine, planted = PassengerFactory.create(), PassengerFactory.create()
    client = Client()
    client.force_login(mine)
    client.cookies[OLD] = key_of_before(planted)
    answer = client.get("/trips/", **SECURE)
    assert answer.wsgi_request.user == mine
    client.cookies[NEW] = "gone"
    assert client.get("/trips/", **SECURE).status_code == 302


@pytest.mark.django_db
@pytest.mark.usefixtures("prefixed")
def test_session_opened_since_is_not_accepted_under_the_old_name() -> None:
    """Another host of the domain can plant a cookie of the old name, but no session of before in it."""
    attacker = Client()
    attacker.force_login(PassengerFactory.create())
    key = attacker.cookies[NEW].value
    assert Session.objects.get(session_key=key).get_decoded()[PREFIXED] is True
    answer = browser(sessionid=key).get("/trips/", **SECURE)
    assert answer.status_code == 302
    assert NEW not in answer.cookies


@pytest.mark.django_db
def test_name_is_the_only_one_without_https() -> None:
    key = key_of_before(PassengerFactory.create())
    assert browser(sessionid=key).get("/trips/").status_code == 200
    assert browser(HOSTsessionid=key).get("/trips/").status_code == 302


@pytest.mark.django_db
@pytest.mark.usefixtures("prefixed")
def test_form_that_was_open_during_the_upgrade_is_accepted() -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies[OLD] = key_of_before(PassengerFactory.create())
    client.cookies["csrftoken"] = "c" * 32
    answer = client.post(
        "/notifications/read-all/", {"csrfmiddlewaretoken": "c" * 32}, HTTP_REFERER="https://testserver/", **SECURE
    )
    assert answer.status_code == 302


@pytest.mark.django_db
@pytest.mark.usefixtures("prefixed")
@pytest.mark.parametrize(
    ("token", "origin", "status"),
    [
        ("o" * 32, "https://testserver", 302),
        ("n" * 32, "https://testserver", 302),
        ("x" * 32, "https://testserver", 403),
        ("o" * 32, "https://elsewhere.example", 403),
        ("n" * 32, "https://elsewhere.example", 403),
    ],
)
def test_forms_of_both_releases_are_accepted_while_both_cookies_are_there(token: str, origin: str, status: int) -> None:
    """Whoever signs in at an old server and was at a new one has both, and the old one knows its own alone."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(PassengerFactory.create())
    client.cookies["csrftoken"], client.cookies["__Host-csrftoken"] = "o" * 32, "n" * 32
    answer = client.post("/notifications/read-all/", {"csrfmiddlewaretoken": token}, HTTP_ORIGIN=origin, **SECURE)
    assert answer.status_code == status


@pytest.mark.django_db
@pytest.mark.usefixtures("prefixed")
def test_form_with_the_secret_of_before_has_the_browser_keep_the_new_one() -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies["csrftoken"], client.cookies["__Host-csrftoken"] = "o" * 32, "n" * 32
    form = {"csrfmiddlewaretoken": "o" * 32, "login": "", "password": ""}
    answer = client.post("/accounts/login/", form, HTTP_ORIGIN="https://testserver", **SECURE)
    assert (answer.status_code, answer.cookies["__Host-csrftoken"].value) == (200, "n" * 32)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("prefixed")
@pytest.mark.parametrize("is_marked", [False, True])
async def test_socket_reads_the_cookie_of_before_likewise(is_marked: bool) -> None:
    run = database_sync_to_async
    user = await run(PassengerFactory.create)()
    key = await run(key_of_before)(user)
    if is_marked:
        await run(mark)(key)
    headers = [(b"cookie", f"{OLD}={key}".encode()), (b"origin", b"https://testserver"), (b"host", b"testserver")]
    scope = {"type": "websocket", "scheme": "wss", "headers": headers, "subprotocols": []}
    if is_marked:
        with pytest.raises(NotSignedIn):
            await run(identify)(scope)
    else:
        assert (await run(identify)(scope)).user == user


def mark(key: str) -> None:
    store = SessionStore(key)
    store[PREFIXED] = True
    store.save()


def _ask(live: LiveServer, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", live.port, timeout=20)
    body = urlencode(form) if form else None
    kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
    connection.request(method, path, body, {"Host": "localhost", "X-Forwarded-Proto": "https", **kind, **headers})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def _cookies(response: HTTPResponse) -> dict[str, str]:
    """The Set-Cookie lines by name."""
    return {line.partition("=")[0]: line for line in response.headers.get_all("Set-Cookie", [])}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
def test_all_cookies_have_the_prefix_and_what_it_asks_for(start_server: Callable[..., LiveServer], server: str) -> None:
    user = PassengerFactory.create()
    live = start_server("--server", server, HTTPS="1")
    path = "/accounts/login/"
    page = _ask(live, "GET", path)
    csrf = _cookies(page)["__Host-csrftoken"].partition("=")[2].partition(";")[0]
    form = {"login": user.email, "password": PASSWORD, "csrfmiddlewaretoken": csrf}
    signed_in = _ask(live, "POST", path, form, Cookie=f"__Host-csrftoken={csrf}", Referer=f"https://localhost{path}")
    assert signed_in.status == 302
    choice = {"language": "en", "csrfmiddlewaretoken": csrf}
    chosen = _ask(live, "POST", "/language/", choice, Cookie=f"__Host-csrftoken={csrf}", Referer="https://localhost/")
    given = _cookies(page) | _cookies(signed_in) | _cookies(chosen)
    names = ("csrftoken", "sessionid", "device", "messages", "django_language")
    assert set(given) == {f"__Host-{name}" for name in names}
    for line in given.values():
        attributes = {part.strip().lower() for part in line.split(";")[1:]}
        assert {"secure", "path=/", "httponly", "samesite=lax"} <= attributes, line
        assert not [one for one in attributes if one.startswith("domain")]
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    bad = _ask(live, "GET", "/", Host="elsewhere.example")
    assert (bad.status, bad.headers["X-Content-Type-Options"]) == (400, "nosniff")
    large = _ask(live, "POST", path, None, **{"Content-Length": str(9 << 20)})
    assert (large.status, large.headers.get_all("X-Content-Type-Options")) == (413, ["nosniff"])
