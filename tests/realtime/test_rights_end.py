"""Every kind of socket × every way a right ends: afterwards it may do what a new connection may, and no more.

The measure is a second connection with the same credentials, opened when the right has ended: where that one is
refused, the first is closed with the same code; where it is not, the first has joined what it has joined.
"""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import msgspec
import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from drivers import approvals, availability
from drivers.models import Driver
from drivers.positions import buffer
from realtime import events, groups
from realtime.sockets import base
from realtime.sockets.base import SocketConsumer, open_sockets
from realtime.sockets.close_codes import CLOSE_SUSPENDED
from stepper.accounts import sessions
from stepper.api.tokens import end_session, sign_in, token_claims
from stepper.asgi import application
from stepper.models import AccountSession, ServiceSettings, User
from tests.browsing import session_cookie
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from trips import assignment, bookings, driving
from trips.models import Booking, Trip
from trips.states import BookingStatus, TripStatus

from .conftest import Client
from .test_limits import eventually, hub

run = database_sync_to_async
PASSWORD = "a long enough password"


class Scene(NamedTuple):
    trip: Trip
    user: User
    staff: User


class Login(NamedTuple):
    """What one connection after another is made with."""

    session_key: str
    headers: list[tuple[bytes, bytes]]
    subprotocols: list[str]
    access: str | None


def _scene(role: str) -> Scene:
    driver = DriverFactory.create(at=ALMATY)
    trip = TripFactory.create(status=TripStatus.ACCEPTED, trip_type="shared", seats=3, driver=driver)
    Trip.objects.filter(pk=trip.pk).update(seats=4, available_seats=0)
    passenger, staff = PassengerFactory.create(), StaffFactory.create()
    Booking.objects.create(trip=trip, passenger=passenger, status=BookingStatus.CONFIRMED, amount=trip.fare)
    clerk = StaffFactory.create(is_superuser=False)
    # For the operations room, beside the right that ends.
    clerk.user_permissions.add(Permission.objects.get(codename="view_driver"))
    user = {"driver": trip.driver.user, "passenger": passenger, "clerk": clerk}[role]
    return Scene(trip, user, staff)


def _log_in(user: User, with_token: bool) -> Login:
    if with_token:
        access = sign_in(user)["access"]
        claims = token_claims(access)
        assert claims is not None
        return Login(claims.session_key, [], ["stepper.v1", f"bearer.{access}"], access)
    key = session_cookie(user, "http://testserver")["value"]
    headers = [(b"cookie", f"{settings.SESSION_COOKIE_NAME}={key}".encode()), (b"host", b"testserver")]
    headers.append((b"origin", b"http://testserver"))
    return Login(key, headers, ["stepper.v1"], None)


PATHS = {
    "program": "/ws/",
    "program of a page": "/ws/",
    "trip page": "/ws/dashboard/trips/{}/",
    "trip list": "/ws/dashboard/trips/",
    "driver page": "/ws/dashboard/driver/",
    "operations room": "/ws/dashboard/ops/",
}

# Ways by which a right ends.


def release(scene: Scene, _login: Login) -> None:
    driving.update_status(scene.trip.driver.pk, scene.trip.pk, status="released")


def take_off(scene: Scene, _login: Login) -> None:
    assignment.take_off(scene.trip.pk, scene.staff, "complaint")


def cancel(scene: Scene, _login: Login) -> None:
    bookings.cancel(scene.trip.pk, scene.staff, "flood")


def suspend(scene: Scene, _login: Login) -> None:
    approvals.suspend(scene.trip.driver.pk, scene.staff)


def deactivate(scene: Scene, _login: Login) -> None:
    scene.user.is_active = False
    scene.user.save()


def _browser(login: Login) -> Browser:
    browser = Browser()
    browser.cookies[settings.SESSION_COOKIE_NAME] = login.session_key
    return browser


def sign_out(_scene: Scene, login: Login) -> None:
    assert _browser(login).post(reverse("account_logout")).status_code == 302


def sign_out_of_the_admin(_scene: Scene, login: Login) -> None:
    assert _browser(login).post(reverse("admin:logout")).status_code in (200, 302)


def revoke(_scene: Scene, login: Login) -> None:
    if login.access is not None:
        end_session(login.access)
    else:
        SessionStore(login.session_key).delete()


def new_password(scene: Scene, _login: Login) -> None:
    """With the session that goes on, as the site's form does, and not that of the sockets."""
    browser = Browser()
    browser.force_login(scene.user)
    data = {"oldpassword": PASSWORD, "password1": PASSWORD + "!", "password2": PASSWORD + "!"}
    assert browser.post(reverse("account_change_password"), data).status_code == 302


def new_password_from_a_shell(scene: Scene, _login: Login) -> None:
    _set_password(scene.user, PASSWORD + "?")


def _set_password(user: User, password: str) -> None:
    user.set_password(password)
    user.save()


def end_it_from_another_device(scene: Scene, login: Login) -> None:
    row = AccountSession.objects.get(session_id=login.session_key)
    sessions.end_session(scene.user, _another_device(scene.user), row.pk)


def sign_out_everywhere_else(scene: Scene, _login: Login) -> None:
    sessions.end_other_sessions(scene.user, _another_device(scene.user))


def sign_out_everywhere(scene: Scene, _login: Login) -> None:
    sessions.end_all_sessions(scene.user, _another_device(scene.user))


def signed_out_by_staff(scene: Scene, _login: Login) -> None:
    sessions.end_sessions_by_staff(scene.user.pk, scene.staff)


def _another_device(user: User) -> SessionBase:
    browser = Browser()
    browser.force_login(user)
    return browser.session


def let_the_session_expire(_scene: Scene, login: Login) -> None:
    """Nobody publishes that; the sockets know from the start when it will be, so they are told then."""
    gone = timezone.now() - dt.timedelta(seconds=1)
    Session.objects.filter(session_key=login.session_key).update(expire_date=gone)
    for socket in open_sockets:
        socket.identity = msgspec.structs.replace(socket.identity, expires_at=gone)


def delete_expired_sessions(_scene: Scene, login: Login) -> None:
    let_the_session_expire(_scene, login)
    call_command("clearsessions")


def take_permission(scene: Scene, _login: Login) -> None:
    scene.user.user_permissions.clear()


def leave_group(scene: Scene, _login: Login) -> None:
    scene.user.groups.clear()


def take_permission_from_group(scene: Scene, _login: Login) -> None:
    Group.objects.get(name="clerks").permissions.clear()


def delete_group(_scene: Scene, _login: Login) -> None:
    Group.objects.get(name="clerks").delete()


def make_no_staff(scene: Scene, _login: Login) -> None:
    scene.user.is_staff = False
    scene.user.save(update_fields=["is_staff"])


def demand_second_factor(_scene: Scene, _login: Login) -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults={"staff_second_factor": True})


OF_THE_ACCOUNT = [
    deactivate,
    sign_out,
    sign_out_of_the_admin,
    revoke,
    new_password,
    new_password_from_a_shell,
    end_it_from_another_device,
    sign_out_everywhere_else,
    sign_out_everywhere,
    signed_out_by_staff,
    let_the_session_expire,
    delete_expired_sessions,
]
WAYS: dict[str, list[Callable[[Scene, Login], None]]] = {
    "driver": [release, take_off, cancel, suspend, *OF_THE_ACCOUNT],
    "passenger": [cancel, deactivate, let_the_session_expire],
    "clerk": [
        take_permission,
        leave_group,
        take_permission_from_group,
        delete_group,
        make_no_staff,
        deactivate,
        # The last one, as it holds for whoever comes after.
        demand_second_factor,
    ],
}
EVERYBODYS = ["program", "program of a page", "trip page"]
KINDS = {
    "driver": [*EVERYBODYS, "trip list", "driver page"],
    "passenger": [*EVERYBODYS, "trip list"],
    "clerk": [*EVERYBODYS, "operations room"],
}
# Sockets of drivers at work: closed by a suspension, and what a new one has is less.
OF_DRIVERS = ["program", "program of a page", "driver page"]
CASES = [(role, kind) for role in WAYS for kind in KINDS[role]]


def _permit(scene: Scene, way: Callable[[Scene, Login], None]) -> None:
    """By the way that will end."""
    permission = Permission.objects.get(codename="view_trip")
    if way is take_permission:
        scene.user.user_permissions.add(permission)
        return
    clerks = Group.objects.get_or_create(name="clerks")[0]
    clerks.permissions.add(permission)
    scene.user.groups.add(clerks)


Open = Callable[[str, Scene, Login], Any]


@pytest.fixture
async def open_with(server: None) -> AsyncIterator[Open]:
    """`await open_with(kind, scene, login)`: the client, and the code it was closed with, None: it is open."""
    opened: list[WebsocketCommunicator] = []

    async def opening(kind: str, scene: Scene, login: Login) -> tuple[Client, int | None]:
        path = PATHS[kind].format(scene.trip.pk)
        communicator = WebsocketCommunicator(application, path, headers=login.headers, subprotocols=login.subprotocols)
        opened.append(communicator)
        assert (await communicator.connect(timeout=5))[0]
        client = Client(communicator)
        first = await client.receive()
        if first["type"] == "error":
            return client, await client.closed_with()
        if path == "/ws/":
            await client.send(type="trip.subscribe", trip_ids=[scene.trip.pk], ref="watch")
            while (await client.receive()).get("ref") != "watch":
                pass
        else:
            await client.send(type="ping", ref="open")
            await _until_ref(client, "open")
        return client, None

    yield opening
    for communicator in opened:
        if communicator.future is not None and not communicator.future.done():
            await communicator.disconnect()


async def _until_ref(client: Client, ref: str) -> list[str]:
    """What comes before the answer to a ping."""
    came = []
    while f'"ref":"{ref}"' not in (text := await client.communicator.receive_from(timeout=5)):
        came.append(text)
    return came


def _the_other(socket: SocketConsumer) -> SocketConsumer:
    (other,) = open_sockets - {socket}
    return other


@pytest.mark.parametrize(("role", "kind"), CASES)
async def test_ended_right_leaves_what_a_new_connection_has(open_with: Open, role: str, kind: str) -> None:
    """One way after the other, each with people and a trip of its own: emptying the database takes far longer."""
    wrong = {}
    for way in WAYS[role]:
        found = await _end_right(open_with, role, kind, way)
        if found is not None:
            wrong[way.__name__] = found
    assert not wrong


async def _end_right(open_with: Open, role: str, kind: str, way: Callable[[Scene, Login], None]) -> str | None:
    """What is wrong with the socket afterwards; None: nothing."""
    scene = await run(_scene)(role)
    if role == "clerk":
        await run(_permit)(scene, way)
    if way is new_password:
        await run(_set_password)(scene.user, PASSWORD)
    login = await run(_log_in)(scene.user, kind == "program")
    client, refused = await open_with(kind, scene, login)
    assert refused is None
    (socket,) = open_sockets

    await run(way)(scene, login)
    if way in (let_the_session_expire, delete_expired_sessions):
        socket.beat("{}")

    second, refused = await open_with(kind, scene, login)
    try:
        if refused is not None:
            closed_with = await client.closed_with()
            return None if closed_with == refused else f"closed with {closed_with}, not {refused}"
        if way is suspend and kind in OF_DRIVERS:
            closed_with = await client.closed_with()
            return None if closed_with == CLOSE_SUSPENDED else f"closed with {closed_with}"
        fresh = _the_other(socket)
        await eventually(lambda: socket.joined == fresh.joined)
    except TimeoutError:
        return f"not closed, in {socket.joined}"
    finally:
        for one in (client, second):
            await one.communicator.disconnect()
        await eventually(lambda: not open_sockets)
    return None


# The next driver


def _following() -> Driver:
    return DriverFactory.create(at=ALMATY, user__name="Zarina Quanysh", vehicle__seats=4)


def _hand_over(scene: Scene) -> int:
    """Another driver gets the trip, sets off, and is somewhere."""
    following = _following()
    assignment.assign(scene.trip.pk, following.pk, scene.staff, "asked to")
    driving.update_status(following.pk, scene.trip.pk, status="en_route")
    buffer.report(following.pk, [events.Point(lat=43.2221, lng=76.8512)])
    return int(following.pk)


@pytest.mark.parametrize("way", [release, take_off])
@pytest.mark.parametrize("kind", KINDS["driver"])
async def test_former_driver_learns_nothing_of_the_next_one(
    open_with: Open, kind: str, way: Callable[[Scene, Login], None]
) -> None:
    scene = await run(_scene)("driver")
    login = await run(_log_in)(scene.user, kind == "program")
    client, _refused = await open_with(kind, scene, login)
    organiser = await run(_log_in)(scene.trip.organiser, True)
    watcher, _refused = await open_with("program", scene, organiser)

    await run(way)(scene, login)
    following = await run(_hand_over)(scene)

    await watcher.until("driver.location.updated", driver_id=following)
    await _knows_nothing_of(client, following)


async def _knows_nothing_of(client: Client, following: int) -> None:
    async with asyncio.timeout(5):
        while not await client.communicator.receive_nothing(timeout=0.3):
            message = await client.communicator.receive_output()
            if message["type"] == "websocket.close":
                assert message["code"] == 4403
                return
            assert f'"driver_id":{following}' not in message["text"]
            assert "Zarina" not in message["text"]


@pytest.mark.parametrize("kind", ["program", "trip page"])
async def test_next_driver_is_heard_of_before_the_refresh_and_not_shown(open_with: Open, kind: str) -> None:
    """The refresh is published by one process and the next driver's events by another, which was quicker."""
    scene = await run(_scene)("driver")
    login = await run(_log_in)(scene.user, kind == "program")
    client, _refused = await open_with(kind, scene, login)
    following = await run(_following)()
    await run(lambda: Trip.objects.filter(pk=scene.trip.pk).update(driver=following))()
    group = groups.trip(scene.trip.pk)
    frame = f'{{"type":"driver.location.updated","driver_id":{following.pk}}}'
    hub().deliver(
        group,
        {
            "type": "position.relayed",
            "group": group,
            "key": group,
            "driver_id": following.pk,
            "frame": frame.encode(),
        },
    )
    accepted = {"type": "trip.offer.accepted", "driver": {"name": following.user.short_name}, "trip_id": scene.trip.pk}
    hub().deliver(
        group,
        {
            "type": "event.logged",
            "group": group,
            "id": "e1",
            "event": "trip.offer.accepted",
            "frame": msgspec.json.encode(accepted).decode(),
        },
    )
    await _knows_nothing_of(client, following.pk)
    (socket,) = open_sockets
    assert socket._closing or group not in socket.joined


async def test_snapshot_leaves_out_a_trip_that_was_lost_since_it_was_asked_for(
    open_with: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = await run(_scene)("driver")
    login = await run(_log_in)(scene.user, True)
    subscribe = base.commands.subscribe

    def lose(user: User, trip_ids: Any) -> None:
        subscribe(user, trip_ids)
        Trip.objects.filter(pk=scene.trip.pk).update(driver=DriverFactory.create(at=ALMATY))

    client, _refused = await open_with("program", scene, login)
    await client.until("trip.snapshot")
    monkeypatch.setattr(base.commands, "subscribe", lose)
    await client.send(type="trip.subscribe", trip_ids=[scene.trip.pk], ref="again")
    await _until_ref(client, "again")
    await client.send(type="ping", ref="end")
    assert await _until_ref(client, "end") == []


# Tokens and sessions


async def test_socket_outlives_its_access_token_but_not_its_session(
    open_with: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = await run(_scene)("driver")
    login = await run(_log_in)(scene.user, True)
    client, _refused = await open_with("program", scene, login)
    monkeypatch.setattr("stepper.api.tokens.jwt_tokens.decode_token", lambda *_token: None)  # as when it has expired
    await run(availability.set_online)(scene.trip.driver.pk, False)
    await client.send(type="ping", ref="alive")
    await _until_ref(client, "alive")
    await run(end_session_by_key)(login.session_key)
    assert await client.closed_with() == 4401


def end_session_by_key(session_key: str) -> None:
    SessionStore(session_key).delete()


async def test_prolonged_session_keeps_its_socket(open_with: Open) -> None:
    scene = await run(_scene)("driver")
    login = await run(_log_in)(scene.user, True)
    client, _refused = await open_with("program", scene, login)
    (socket,) = open_sockets
    expires_at = socket.identity.expires_at
    assert expires_at > timezone.now() + dt.timedelta(days=29)
    socket.identity = msgspec.structs.replace(socket.identity, expires_at=timezone.now())
    socket.beat("{}")
    await eventually(lambda: socket.identity.expires_at == expires_at)
    await client.send(type="ping", ref="alive")
    await _until_ref(client, "alive")
