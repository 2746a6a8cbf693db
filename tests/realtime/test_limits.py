"""What one socket may do to the server: how much it may send, how long it may be silent, how long it may not read."""

import asyncio
import itertools
import math
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from drivers import approvals
from drivers.models import Driver, DriverPosition
from drivers.positions import buffer
from realtime import events, groups
from realtime.delivery.notifications import notify
from realtime.layer.hub import HubChannelLayer
from realtime.models import Event
from realtime.outbox import publisher, refresh_permissions
from realtime.sockets import base, commands, heartbeat
from realtime.sockets import opening as sockets_opening
from realtime.sockets.base import open_sockets
from stepper.api.tokens import sign_in
from stepper.asgi import application
from stepper.db.transactions import run_in_thread
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from trips.models import Offer
from trips.states import OfferStatus, TripStatus

from .conftest import Client, Connect, Frame

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


async def test_flood_is_refused_then_sent_away_with_4429(connect: Connect, settings: Settings) -> None:
    settings.SOCKET_BURST, settings.SOCKET_RATE = 2, 0
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
    for module in (base, heartbeat):
        monkeypatch.setattr(module, "HEARTBEAT_S", 1)
    monkeypatch.setattr(base, "_turns", itertools.repeat(0))
    silent = await open_line(await run(PassengerFactory.create)())
    (idle,) = open_sockets
    other = await open_line(await run(PassengerFactory.create)())
    (beaten,) = open_sockets - {idle}
    # In the order of their turn: the one that says nothing first.
    monkeypatch.setattr(heartbeat, "open_sockets", [idle, beaten])
    idle._bucket.filled_at = -math.inf
    silent.reads.clear()

    heartbeat._send_heartbeats(0)

    await other.until("heartbeat")
    assert silent.heard.empty()
    monkeypatch.undo()
    silent.reads.set()
    while (message := await silent.next())["type"] != "websocket.close":
        pass
    assert message["code"] == 4408


# Rights that end


HERE = (43.1, 76.9)


async def driving(open_line: OpenLine) -> tuple[Driver, Line, Line]:
    """A driver whose positions cross without the database, their line, and that of the passenger who watches."""
    trip = await run(TripFactory.create)(status=TripStatus.EN_ROUTE, driver=await run(DriverFactory.create)(at=HERE))
    line, watcher = await open_line(trip.driver.user), await open_line(trip.organiser)
    for one in (line, watcher):
        await one.until("trip.snapshot")
    await drive(line, watcher, HERE[0])
    return trip.driver, line, watcher


async def drive(line: Line, watcher: Line, lat: float) -> None:
    line.say(type="driver.location.update", points=[{"lat": lat, "lng": HERE[1]}])
    assert (await watcher.until("driver.location.updated"))["lat"] == lat


async def _sees_nothing_of(driver: Driver, line: Line, watcher: Line) -> None:
    line.say(type="driver.location.update", points=[{"lat": 43.102, "lng": 76.9}], ref="x")
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
    await run(approvals.suspend)(driver.pk, await run(StaffFactory.create)())
    await eventually(lambda: any(one.driver_id == driver.pk and len(one._mailbox or ()) > 1 for one in open_sockets))
    await _sees_nothing_of(driver, line, watcher)


async def test_suspended_driver_who_wants_no_offers_relays_nothing_more(open_line: OpenLine) -> None:
    driver, line, watcher = await driving(open_line)
    line.say(type="driver.unsubscribe", ref="u")
    await line.until("ack")
    line.say(type="trip.unsubscribe", trip_ids=[await driver.trips.values_list("pk", flat=True).aget()], ref="t")
    await line.until("ack")
    await drive(line, watcher, 43.101)
    await run(approvals.suspend)(driver.pk, await run(StaffFactory.create)())
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


# What the sockets of one account may do together


async def _answer(client: Client, kind: str, ref: str, **fields: Any) -> str:
    """The code of the error that answers a command; "ack": it was obeyed."""
    await client.send(type=kind, ref=ref, **fields)
    while (frame := await client.receive()).get("ref") != ref:
        pass
    return str(frame.get("code", frame["type"]))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("driver.subscribe", {}),
        ("driver.subscribe", {"filters": {"min_earnings": 500}}),
        ("driver.unsubscribe", {}),
        ("trip.subscribe", {"trip_ids": [1]}),
        ("trip.unsubscribe", {"trip_ids": [1]}),
        ("resume", {"cursor": "1.9999999999"}),
        ("trip.offer.decline", {"offer_id": 1}),
    ],
)
async def test_command_in_a_loop_is_refused_on_all_sockets_of_the_account(
    connect: Connect, settings: Settings, kind: str, fields: Frame
) -> None:
    settings.SOCKET_COMMANDS_PER_MIN = 3
    user = (await run(DriverFactory.create)(at=ALMATY)).user
    one, other = await connect(user), await connect(user)
    for number, client in enumerate((one, other, one)):
        assert await _answer(client, kind, str(number), **fields) != "rate.limited"
    await other.send(type=kind, ref="over", **fields)
    refusal = await other.until("error", ref="over")
    assert refusal["code"] == "rate.limited"
    assert 0 < refusal["retry_after_s"] <= 60
    # Neither is closed, other commands are counted by themselves, and so are other accounts.
    assert await _answer(other, "ping", "alive") == "heartbeat"
    stranger = await connect((await run(DriverFactory.create)(at=ALMATY)).user)
    assert await _answer(stranger, kind, "first", **fields) != "rate.limited"


async def test_costly_commands_at_another_process_count_as_well(connect: Connect, settings: Settings) -> None:
    settings.SOCKET_COMMANDS_PER_MIN = 2
    user = (await run(DriverFactory.create)(at=ALMATY)).user
    client = await connect(user)
    for _ in range(2):  # what a process does that has none of these sockets
        await run(commands.resume)(user, "1.9999999999", [])
    assert await _answer(client, "resume", "r", cursor="1.9999999999") == "rate.limited"


async def test_positions_of_all_sockets_of_a_driver_are_counted_together(connect: Connect, settings: Settings) -> None:
    settings.SOCKET_BURST, settings.SOCKET_RATE = 3, 0
    user = (await run(DriverFactory.create)(at=ALMATY)).user
    one, other = await connect(user), await connect(user)
    here = {"points": [{"lat": 43.2, "lng": 76.9}]}
    assert await _answer(one, "driver.location.update", "1", **here) == "ack"
    await other.send(type="driver.location.update", **here)
    assert await _answer(other, "driver.location.update", "3", **here) == "ack"
    assert await _answer(one, "driver.location.update", "4", **here) == "rate.limited"
    await one.send(type="driver.location.update", **here)
    assert (await one.until("error"))["code"] == "rate.limited"


async def test_opening_sockets_in_a_loop_is_refused_with_4429(connect: Connect, settings: Settings) -> None:
    settings.SOCKETS_OPENED_PER_MIN = 1
    user = await run(PassengerFactory.create)()
    await (await connect(user)).communicator.disconnect()
    again = await connect(user, greeted=False)
    assert (await again.receive())["code"] == "rate.limited"
    assert await again.closed_with() == 4429


async def test_subscribing_again_reads_nothing_anew(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    offer = await run(OfferFactory.create)(driver=driver)
    client = await connect(driver.user)
    await client.until("trip.offer.created")
    read: list[str] = []

    def noted(name: str) -> None:
        original = getattr(commands, name)

        def note(*args: Any) -> Any:
            read.append(name)
            return original(*args)

        monkeypatch.setattr(commands, name, note)

    for name in ("read_rights", "snapshot"):
        noted(name)
    assert await _answer(client, "driver.subscribe", "1") == "ack"
    assert read == []
    assert await _answer(client, "driver.unsubscribe", "2") == "ack"
    await client.send(type="driver.subscribe", ref="3")
    assert (await client.until("trip.offer.created"))["offer_id"] == offer.pk
    assert read == ["snapshot"]


async def test_filters_that_are_as_they_were_write_nothing(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    client = await connect(driver.user)
    assert await _answer(client, "driver.subscribe", "1", filters={"min_earnings": 500}) == "ack"
    before = await Event.objects.acount()
    assert await _answer(client, "driver.subscribe", "2", filters={"min_earnings": 500}) == "ack"
    assert await Event.objects.acount() == before


async def test_refreshes_that_wait_for_a_socket_are_one(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    user = await run(PassengerFactory.create)()
    await connect(user)
    (socket,) = open_sockets
    read_rights = commands.read_rights
    asked, answered = threading.Event(), threading.Event()
    times: list[int] = []

    def slow(*args: Any) -> commands.Rights:
        found = read_rights(*args)
        times.append(len(times))
        asked.set()
        answered.wait(5)
        return found

    monkeypatch.setattr(commands, "read_rights", slow)
    await run(refresh_permissions)(groups.user(user.pk))
    await run(asked.wait)(5)
    # Booked while the first refresh has read already: the one that waits must see it.
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED, organiser=user)
    for _ in range(10):
        await run(refresh_permissions)(groups.user(user.pk))
    await eventually(lambda: bool(socket._mailbox) and publisher._handed_over == publisher._committed)
    answered.set()
    await eventually(lambda: groups.trip(trip.pk) in socket.joined)
    await eventually(lambda: socket._working is None)
    assert len(times) == 2


# Addresses


async def _from(address: str, user: User) -> WebsocketCommunicator:
    protocols = ["stepper.v1", "bearer." + (await run(sign_in)(user))["access"]]
    communicator = WebsocketCommunicator(application, "/ws/", subprotocols=protocols)
    communicator.scope["client"] = [address, 50_000]
    assert (await communicator.connect(timeout=5))[0]
    return communicator


async def test_connections_of_an_address_count_until_somebody_is_signed_in(
    server: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OPENING_SOCKETS_PER_ADDRESS = 1
    users = await run(PassengerFactory.create_batch)(4)
    signed_in = []
    for user in users[:2]:
        # One after the other: two at once would be one too many.
        signed_in.append(await _from("192.0.2.1", user))
        await Client(signed_in[-1]).until("connection.established")

    identify = commands.identify_and_count
    goes_on = threading.Event()
    monkeypatch.setattr(commands, "identify_and_count", lambda scope: (goes_on.wait(5), identify(scope))[1])
    waiting = await _from("192.0.2.1", users[2])
    refused, elsewhere = await _from("192.0.2.1", users[3]), await _from("192.0.2.2", users[3])
    assert (await Client(refused).receive())["code"] == "socket.too_many_opening"
    assert await Client(refused).closed_with() == 1013
    goes_on.set()
    for communicator in (waiting, elsewhere):
        await Client(communicator).until("connection.established")
    for communicator in (*signed_in, waiting, refused, elsewhere):
        await communicator.disconnect()
    assert not sockets_opening._opening


async def test_socket_opened_too_often_is_told_so_after_a_pause(
    server: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SOCKETS_OPENED_PER_MIN = 1
    monkeypatch.setattr(base, "REFUSED_PAUSE_S", 60)
    user, other = await run(PassengerFactory.create_batch)(2)
    first = await _from("192.0.2.1", user)
    await Client(first).until("connection.established")
    refused = await _from("192.0.2.1", user)
    assert await refused.receive_nothing()

    served = await _from("192.0.2.1", other)
    await Client(served).until("connection.established")
    for communicator in (first, served):
        await communicator.disconnect()
    refused.future.cancel()


def test_neighbours_of_one_ipv6_network_are_one_address(settings: Settings) -> None:
    settings.OPENING_SOCKETS_PER_ADDRESS = 1
    opening = [sockets_opening.Opening({"client": [f"2001:db8:0:1::{n}", 5]}) for n in range(1, 3)]
    other = sockets_opening.Opening({"client": ["2001:db8:0:2::1", 5]})
    unknown = [sockets_opening.Opening({"client": None}) for _ in range(3)]
    assert [one.is_one_too_many for one in (*opening, other, *unknown)] == [False, True] + [False] * 4
    for one in (*opening, other, *unknown):
        one.end()
        one.end()
    assert not sockets_opening._opening


# Threads


async def _eventually_true(of_the_database: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not await run(of_the_database)():  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.05)


async def test_service_goes_on_while_clients_have_every_database_thread(dispatcher: None, connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    user = await run(PassengerFactory.create)()
    client = await connect(user)
    goes_on = threading.Event()
    taken = [
        asyncio.ensure_future(run_in_thread(goes_on.wait, 20)) for _ in range(10 * django_settings.DATABASE_THREADS)
    ]
    try:
        frame = events.NotificationPassenger(
            notification_id=1, title="Swept", message="", priority="low", category="system", action_url=""
        )
        row = {"event_id": "e1", "group": groups.user(user.pk), "type": events.tag(frame)}
        await run(Event.objects.create)(**row, frame=events.encode(frame), sweep_at=timezone.now())
        assert (await client.until("notification.passenger"))["title"] == "Swept"

        offer = await run(OfferFactory.create)(driver=driver, expires_at=timezone.now())
        await run(buffer.report)(driver.pk, [events.Point(lat=43.2221, lng=76.8512)])
        await _eventually_true(lambda: Offer.objects.get(pk=offer.pk).status == OfferStatus.EXPIRED)
        await _eventually_true(lambda: DriverPosition.objects.get(driver=driver).lat == 43.2221)
    finally:
        goes_on.set()
        await asyncio.gather(*taken)
