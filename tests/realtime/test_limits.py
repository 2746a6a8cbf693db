"""What one socket may do to the server: how much it may send, how long it may be silent, how long it may not read."""

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.test import Client as Browser
from django.urls import reverse
from pytest_django import Settings

from drivers import availability
from drivers.models import Driver
from realtime import consumers, events, groups
from realtime.consumers import open_sockets
from realtime.layer import HubChannelLayer
from realtime.notify import notify
from stepper.asgi import application
from stepper.models import User
from stepper.tokens import sign_in
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from trips.states import TripStatus

from .conftest import Connect, Frame

run = database_sync_to_async


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.005)


class Line:
    """A client on a server whose writes wait while it does not read, as uvicorn's do."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.is_cut = False
        self.task: asyncio.Task[None] | None = None

    def open(self, access: str) -> None:
        scope = {
            "type": "websocket",
            "path": "/ws/",
            "headers": [],
            "subprotocols": ["stepper.v1", f"bearer.{access}"],
        }
        self.sent.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(application(scope, self.sent.get, self._write))

    @property
    def transport(self) -> "Line":
        """As of uvicorn's protocol."""
        return self

    def abort(self) -> None:
        self.is_cut = True

    async def _write(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.heard.put_nowait(message)

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.heard.get(), 5)

    async def until(self, kind: str) -> Frame:
        while True:
            message = await self.next()
            frame: Frame = msgspec.json.decode(message.get("text", "{}"))
            if frame.get("type") == kind:
                return frame

    def say(self, **command: Any) -> None:
        self.sent.put_nowait({"type": "websocket.receive", "text": msgspec.json.encode(command).decode()})

    async def close(self) -> None:
        self.sent.put_nowait({"type": "websocket.disconnect", "code": 1000})
        if self.task is not None:
            await asyncio.wait_for(self.task, 5)


OpenLine = Callable[[User], Awaitable[Line]]


@pytest.fixture
async def open_line(server: None) -> AsyncIterator[OpenLine]:
    """`await open_line(user)`: connected, greeted."""
    lines: list[Line] = []

    async def opening(user: User) -> Line:
        line = Line()
        line.open((await run(sign_in)(user))["access"])
        lines.append(line)
        await line.until("connection.established")
        return line

    yield opening
    for line in lines:
        await line.close()


def hub() -> HubChannelLayer:
    layer = get_channel_layer()
    assert isinstance(layer, HubChannelLayer)
    return layer


def position(trip_id: int, lat: float) -> dict[str, Any]:
    frame = f'{{"type":"driver.location.updated","lat":{lat}}}'
    group = groups.trip(trip_id)
    return {"type": "position.relayed", "group": group, "key": group, "driver_id": 0, "frame": frame.encode()}


# Sending


async def test_flood_is_refused_then_sent_away_with_4429(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "_RATE", 0)
    monkeypatch.setattr(consumers, "_BURST", 2)
    client = await connect(await run(PassengerFactory.create)())
    for number in range(4):
        await client.send(type="ping", ref=str(number))
    frames = [await client.receive() for _ in range(3)]
    assert [(frame["type"], frame.get("code"), frame["ref"]) for frame in frames] == [
        ("heartbeat", None, "0"),
        ("heartbeat", None, "1"),
        ("error", "rate.limited", "2"),
    ]
    assert await client.closed_with() == 4429


async def test_one_socket_too_many_is_sent_away_with_4409_until_another_closes(
    connect: Connect, settings: Settings
) -> None:
    settings.SOCKETS_PER_USER = 1
    user = await run(PassengerFactory.create)()
    first = await connect(user)
    second = await connect(user, greeted=False)
    assert (await second.receive())["code"] == "socket.too_many"
    assert await second.closed_with() == 4409
    await first.communicator.disconnect()
    await connect(user)


async def test_client_that_says_nothing_is_sent_away_with_4408(connect: Connect, settings: Settings) -> None:
    client = await connect(await run(PassengerFactory.create)())
    await client.send(type="ping")
    await client.until("heartbeat")
    (socket,) = open_sockets
    socket.beat(events.encode(events.Heartbeat(cursor="")))
    assert (await client.receive())["type"] == "heartbeat"
    settings.SOCKET_IDLE_S = 0
    socket.beat("")
    assert await client.closed_with() == 4408


@pytest.mark.parametrize(
    ("frame", "message", "field"),
    [
        ({"type": "trip.offer.accept"}, "offer_id is missing.", "offer_id"),
        ({"type": "driver.location.update", "points": [{"lat": 1}]}, "points[0].lng is missing.", "points[0].lng"),
        ({"type": "resume", "cursor": 7}, "cursor is not what it should be.", "cursor"),
    ],
)
async def test_wrong_field_is_named_in_a_plain_sentence(
    connect: Connect, frame: Frame, message: str, field: str
) -> None:
    client = await connect(await run(PassengerFactory.create)())
    await client.send(**frame)
    error = await client.receive()
    assert (error["message"], error["fields"]) == (message, {field: [message]})


# Reading


async def test_slow_reader_gets_the_newest_position_and_delays_nobody(open_line: OpenLine) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.EN_ROUTE)
    slow, quick = await open_line(trip.organiser), await open_line(trip.organiser)
    for line in (slow, quick):
        await line.until("trip.snapshot")
    slow.reads.clear()
    for lat in (1, 2, 3):
        hub().relay(groups.trip(trip.pk), position(trip.pk, lat))
    assert [(await quick.until("driver.location.updated"))["lat"] for _ in range(3)] == [1, 2, 3]
    slow.reads.set()
    assert (await slow.until("driver.location.updated"))["lat"] == 3


async def test_work_of_others_does_not_wait_for_a_client_that_does_not_read(open_line: OpenLine) -> None:
    user = await run(PassengerFactory.create)()
    slow = await open_line(user)
    slow.reads.clear()
    for _ in range(3):
        await run(notify)(user, "Something happened", audience="passenger")
    (socket,) = open_sockets
    await eventually(lambda: socket._mailbox is not None and len(socket._mailbox) == 2)
    assert hub().waiting == 0
    slow.reads.set()
    for _ in range(3):
        await slow.until("notification.passenger")
    await eventually(lambda: hub().waiting == 0)


async def test_client_that_stops_reading_is_sent_away_with_4413(open_line: OpenLine, settings: Settings) -> None:
    settings.SOCKET_SLOW_S = 0.05
    line = await open_line(await run(PassengerFactory.create)())
    (socket,) = open_sockets
    line.reads.clear()
    line.say(type="ping", ref="p")
    await eventually(lambda: socket._closing)
    line.reads.set()
    assert await line.next() == {"type": "websocket.close", "code": 4413}


async def test_goodbye_to_one_that_does_not_read_holds_up_no_heartbeat(
    open_line: OpenLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "HEARTBEAT_S", 1)
    monkeypatch.setattr(consumers, "_turns", itertools.repeat(0))
    silent = await open_line(await run(PassengerFactory.create)())
    (idle,) = open_sockets
    other = await open_line(await run(PassengerFactory.create)())
    (beaten,) = open_sockets - {idle}
    # In the order of their turn: the one that says nothing first.
    monkeypatch.setattr(consumers, "open_sockets", [idle, beaten])
    idle._heard_at = -math.inf
    silent.reads.clear()

    consumers._beat(0)

    await other.until("heartbeat")
    assert silent.heard.empty()
    monkeypatch.undo()
    silent.reads.set()
    while (message := await silent.next())["type"] != "websocket.close":
        pass
    assert message["code"] == 4408


# Rights that end


async def driving(open_line: OpenLine) -> tuple[Driver, Line, Line]:
    """A driver whose positions cross without the database, their line, and that of the passenger who watches."""
    trip = await run(TripFactory.create)(status=TripStatus.EN_ROUTE, driver=await run(DriverFactory.create)(at=ALMATY))
    line, watcher = await open_line(trip.driver.user), await open_line(trip.organiser)
    for one in (line, watcher):
        await one.until("trip.snapshot")
    await drive(line, watcher, 43.1)
    return trip.driver, line, watcher


async def drive(line: Line, watcher: Line, lat: float) -> None:
    line.say(type="driver.location.update", points=[{"lat": lat, "lng": 76.9}])
    assert (await watcher.until("driver.location.updated"))["lat"] == lat


async def _sees_nothing_of(driver: Driver, line: Line, watcher: Line) -> None:
    line.say(type="driver.location.update", points=[{"lat": 43.2, "lng": 76.9}], ref="x")
    line.reads.set()
    assert (await line.until("error"))["code"] == "driver.not_approved"
    watcher.say(type="ping", ref="end")
    while (frame := msgspec.json.decode((await watcher.next())["text"]))["type"] != "heartbeat":
        assert frame["type"] != "driver.location.updated"


async def test_suspended_driver_who_does_not_read_relays_nothing_more(open_line: OpenLine) -> None:
    driver, line, watcher = await driving(open_line)
    line.reads.clear()
    for _ in range(2):
        await run(notify)(driver.user, "Something happened", audience="driver")
    await run(availability.suspend)(driver.pk, await run(StaffFactory.create)())
    await eventually(lambda: any(one.driver_id == driver.pk and len(one._mailbox or ()) > 1 for one in open_sockets))
    await _sees_nothing_of(driver, line, watcher)


async def test_suspended_driver_who_wants_no_offers_relays_nothing_more(open_line: OpenLine) -> None:
    driver, line, watcher = await driving(open_line)
    line.say(type="driver.unsubscribe", ref="u")
    await line.until("ack")
    line.say(type="trip.unsubscribe", trip_ids=[await driver.trips.values_list("pk", flat=True).aget()], ref="t")
    await line.until("ack")
    await drive(line, watcher, 43.15)
    await run(availability.suspend)(driver.pk, await run(StaffFactory.create)())
    await line.until("notification.driver")
    await _sees_nothing_of(driver, line, watcher)


async def test_new_password_closes_the_sockets_of_other_sessions(open_line: OpenLine) -> None:
    user = await run(PassengerFactory.create)()
    old = "an old password of mine"
    await run(_set_password)(user, old)
    line = await open_line(user)
    assert await run(_change_password)(user, old) == 302
    assert (await line.until("error"))["code"] == "auth.required"
    assert (await line.next())["code"] == 4401


def _set_password(user: User, password: str) -> None:
    user.set_password(password)
    user.save()


def _change_password(user: User, old: str) -> int:
    browser = Browser()
    browser.force_login(user)
    new = "another one, longer than that"
    data = {"oldpassword": old, "password1": new, "password2": new}
    return browser.post(reverse("account_change_password"), data).status_code
