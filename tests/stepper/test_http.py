"""Requests through the real application: who hashes a password keeps nobody else waiting."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from channels.db import database_sync_to_async
from channels.testing import HttpCommunicator
from django.conf import settings as django_settings
from django.http import HttpResponse

from stepper.accounts.hashers import Argon2Hasher
from stepper.asgi import application
from stepper.models import User
from stepper.server import admission, handler
from stepper.web.middleware import ApiTrailingSlashMiddleware
from tests.browsing import session_cookie
from tests.factories import PASSWORD, PassengerFactory, StaffFactory, TripFactory
from trips.models import Trip

pytestmark = pytest.mark.django_db(transaction=True)

run = database_sync_to_async
CSRF = "c" * 32
NEW = "a whole new battery"
WITHIN_S = 10


def request(
    method: str, path: str, body: dict[str, Any] | None = None, cookie: str = "", json: bool = False
) -> HttpCommunicator:
    kind = "application/json" if json else "application/x-www-form-urlencoded"
    cookies = f"csrftoken={CSRF}" + (f"; {django_settings.SESSION_COOKIE_NAME}={cookie}" if cookie else "")
    headers = {"host": "testserver", "cookie": cookies, "x-csrftoken": CSRF, "content-type": kind}
    content = (msgspec.json.encode(body) if json else urlencode(body).encode()) if body else b""
    headers["content-length"] = str(len(content))
    communicator = HttpCommunicator(
        application, method, path, content, [(name.encode(), value.encode()) for name, value in headers.items()]
    )
    communicator.scope["client"] = ("127.0.0.1", 50000)
    return communicator


async def send(method: str, path: str, body: dict[str, str] | None = None, **more: Any) -> Any:
    communicator = request(method, path, body, **more)
    response = await communicator.get_response(timeout=WITHIN_S)
    await communicator.wait(WITHIN_S)
    return response


def header(response: Any, name: str) -> str:
    return {key.decode().lower(): value.decode() for key, value in response["headers"]}[name]


def ask_for_token(user: User) -> Any:
    return send("POST", "/api/token", body={"email": str(user.email), "password": PASSWORD}, json=True)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Every password that is checked waits for this event."""
    go_on = threading.Event()
    verify = Argon2Hasher.verify

    def waiting(self: Argon2Hasher, password: str, encoded: str) -> bool:
        go_on.wait(3 * WITHIN_S)
        return bool(verify(self, password, encoded))

    monkeypatch.setattr(Argon2Hasher, "verify", waiting)
    yield go_on
    go_on.set()


async def test_others_are_answered_while_many_sign_in(held: threading.Event) -> None:
    users = await run(PassengerFactory.create_batch)(12)
    trip = await run(TripFactory.create)()
    cookie = await run(session_cookie)(trip.organiser, "http://testserver")
    signing_in = [asyncio.create_task(ask_for_token(user)) for user in users]
    await asyncio.sleep(0)

    assert (await send("GET", "/health/live/"))["status"] == 200
    assert (await send("GET", f"/trips/{trip.pk}/", cookie=cookie["value"]))["status"] == 200
    assert (await send("POST", "/api/token/refresh", body={"refresh": "a.b.c"}, json=True))["status"] == 401

    assert not any(task.done() for task in signing_in)
    held.set()
    assert {answer["status"] for answer in await asyncio.gather(*signing_in)} == {200}


@pytest.mark.parametrize("over_rest", [True, False])
async def test_one_more_than_may_wait_is_sent_away(held: threading.Event, settings: Any, over_rest: bool) -> None:
    settings.SIGN_IN_QUEUE = 3
    users = await run(PassengerFactory.create_batch)(settings.SIGN_IN_THREADS + 4)
    form = "/accounts/login/"
    asked = [
        ask_for_token(user) if over_rest else send("POST", form, body={"login": str(user.email), "password": PASSWORD})
        for user in users
    ]
    tasks = [asyncio.create_task(one) for one in asked]

    done, waiting = await asyncio.wait(tasks, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED)

    (refused,) = [task.result() for task in done]
    assert (refused["status"], header(refused, "retry-after")) == (503, "5")
    if over_rest:
        assert msgspec.json.decode(refused["body"])["code"] == "server.busy"
    else:
        assert b"Many people are signing in." in refused["body"]
    held.set()
    assert {answer["status"] for answer in await asyncio.gather(*waiting)} <= {200, 302}
    again = await ask_for_token(users[0])
    assert again["status"] == 200


def _reset_path(user: User, key: str) -> str:
    return f"/accounts/password/reset/key/{user_pk_to_url_str(user)}-{key}/"


FORMS: dict[str, dict[str, str]] = {
    "/accounts/login/": {"login": "asem@example.test", "password": PASSWORD},
    "/accounts/signup/": {"name": "Aliya", "phone": "", "email": "new@example.test", "password1": NEW},
    "/accounts/password/change/": {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW},
    "reset": {"password1": NEW, "password2": NEW},
    "/accounts/confirm/": {"password": PASSWORD},
    "/api/token": {"email": "asem@example.test", "password": PASSWORD},
    "/admin/password_change/": {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW},
    "/admin/stepper/user/add/": {
        "name": "Aliya",
        "email": "new@example.test",
        "language": "en",
        "password1": NEW,
        "password2": NEW,
    },
    "/admin/stepper/user/{pk}/password/": {"password1": NEW, "password2": NEW, "usable_password": "true"},
}


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_with_a_password_is_answered_by_the_threads_that_hash(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff = await run(StaffFactory.create)(email="asem@example.test")
    cookie = await run(session_cookie)(staff, "http://testserver")
    signed_in = form not in {"/accounts/login/", "/accounts/signup/"}
    path = form.format(pk=staff.pk)
    if form == "reset":
        key = await run(default_token_generator.make_token)(staff)
        await send("GET", _reset_path(staff, key), cookie=cookie["value"])
        path = _reset_path(staff, "set-password")
    threads = []
    for name in ("encode", "verify"):
        original = getattr(Argon2Hasher, name)

        def noted(self: Argon2Hasher, *args: Any, original: Any = original) -> Any:
            threads.append(threading.current_thread().name)
            return original(self, *args)

        monkeypatch.setattr(Argon2Hasher, name, noted)

    answer = await send("POST", path, body=FORMS[form], cookie=cookie["value"] if signed_in else "", json="api" in form)

    assert answer["status"] in {200, 302}
    assert threads
    assert {name.partition("_")[0] for name in threads} == {"hashing"}


CLIENTS = {
    "token": {"authorization": "Bearer a.b.c"},
    "session": {"cookie": "sessionid=abc"},
    "nobody": {},
}


@pytest.mark.parametrize("who", CLIENTS)
async def test_further_requests_of_one_client_wait_and_others_pass_them(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, go_on = threading.Semaphore(0), threading.Event()

    def wait(_middleware: Any, request: Any) -> None:
        if request.path_info == "/flood/":
            running.release()
            go_on.wait(3 * WITHIN_S)

    monkeypatch.setattr(ApiTrailingSlashMiddleware, "process_request", wait)
    flood = [asyncio.create_task(ask(CLIENTS[who], "/flood/")) for _ in range(django_settings.DATABASE_THREADS)]
    await asyncio.to_thread(running.acquire, timeout=WITHIN_S)

    # As many as there are threads left, each of them another client of the same network.
    others = [{"authorization": f"Bearer {number}"} for number in range(django_settings.DATABASE_THREADS - 2)]
    answers = await asyncio.gather(*(ask(other, "/health/live/") for other in others))
    assert {answer["status"] for answer in answers} == {200}
    # Files of the page are not behind the page's requests.
    assert (await ask(CLIENTS[who], "/static/none.css"))["status"] == 404
    assert not running.acquire(blocking=False)
    go_on.set()
    await asyncio.gather(*flood)


@pytest.fixture
def over_limit(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Whoever asks for /flood/ is refused, and waits for longer than a test; released for each."""
    monkeypatch.setattr(handler, "REFUSED_PAUSE_S", 60)
    seen = threading.Semaphore(0)

    def refuse(_middleware: Any, request: Any) -> HttpResponse | None:
        if request.path_info != "/flood/":
            return None
        seen.release()
        return HttpResponse(status=429)

    monkeypatch.setattr(ApiTrailingSlashMiddleware, "process_request", refuse)
    return seen


async def test_who_is_over_a_limit_waits_for_a_moment_and_nobody_else_does(over_limit: threading.Semaphore) -> None:
    flooder, other = {"authorization": "Bearer 1"}, {"authorization": "Bearer 2"}
    stranger: dict[str, str] = {}
    waiting = []
    for who, path in ((flooder, "/flood/"), (stranger, "/flood/"), (flooder, "/health/live/")):
        waiting.append(_asking(who, path))
        await waiting[-1].send_input({"type": "http.request", "body": b""})
        if path == "/flood/":
            assert await asyncio.to_thread(over_limit.acquire, timeout=WITHIN_S)

    # Strangers of one network are many: one that is refused has only itself to wait for.
    for who in (other, stranger):
        assert (await ask(who, "/health/live/"))["status"] == 200
    for one in waiting:
        assert await one.receive_nothing()
        await one.send_input({"type": "http.disconnect"})
        await one.wait(WITHIN_S)


async def test_more_requests_of_a_refused_client_than_may_wait_are_sent_away(
    over_limit: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MOST_WAITING", 1)
    flooder = {"authorization": "Bearer 1"}
    waiting = [_asking(flooder, "/flood/"), _asking(flooder, "/api/me")]
    for one in waiting:
        await one.send_input({"type": "http.request", "body": b""})
        assert await one.receive_nothing()
    assert over_limit.acquire(blocking=False)

    sent_away = await ask(flooder, "/api/me")
    assert (sent_away["status"], msgspec.json.decode(sent_away["body"])["code"]) == (503, "server.busy")
    for one in waiting:
        await one.send_input({"type": "http.disconnect"})
        await one.wait(WITHIN_S)


async def test_token_that_is_none_is_refused_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "REFUSED_PAUSE_S", 60)
    refused = request("POST", "/api/token/refresh", {"refresh": "a.b.c"}, json=True)
    await refused.send_input({"type": "http.request", "body": refused.body})
    assert await refused.receive_nothing(timeout=1)
    assert (await ask({}, "/health/live/"))["status"] == 200
    await refused.send_input({"type": "http.disconnect"})
    await refused.wait(WITHIN_S)


def _asking(headers: dict[str, str], path: str) -> HttpCommunicator:
    sent = [(name.encode(), value.encode()) for name, value in {"host": "testserver", **headers}.items()]
    communicator = HttpCommunicator(application, "GET", path, b"", sent)
    communicator.scope["client"] = ("192.0.2.7", 50000)
    return communicator


async def ask(headers: dict[str, str], path: str) -> Any:
    communicator = _asking(headers, path)
    response = await communicator.get_response(timeout=WITHIN_S)
    await communicator.wait(WITHIN_S)
    return response


async def test_client_that_hangs_up_has_its_request_done_and_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    user = await run(PassengerFactory.create)()
    cookie = (await run(session_cookie)(user, "http://testserver"))["value"]
    begun, hung_up = threading.Event(), threading.Event()

    def wait(_middleware: Any, _request: Any) -> None:
        begun.set()
        hung_up.wait(WITHIN_S)

    monkeypatch.setattr(ApiTrailingSlashMiddleware, "process_request", wait)
    places = {name: {"name": name, "lat": lat, "lng": 76.9} for name, lat in (("pickup", 43.2), ("dropoff", 43.3))}
    communicator = request("POST", "/api/trips", places, cookie, json=True)
    await communicator.send_input({"type": "http.request", "body": communicator.body})
    await asyncio.to_thread(begun.wait, WITHIN_S)
    await communicator.send_input({"type": "http.disconnect"})
    _done, working = await asyncio.wait({communicator.future}, timeout=0.1)
    hung_up.set()
    await communicator.wait(WITHIN_S)
    assert working
    assert await Trip.objects.filter(organiser=user).aexists()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
