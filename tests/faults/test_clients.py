"""Clients that misbehave without meaning to: one that stops reading, one that flaps, one with the wrong time; tabs."""

import asyncio
import datetime as dt
import json
import socket
from collections import Counter
from typing import Any

import websockets
from django.conf import settings
from django.utils import timezone
from websockets import Origin

from realtime import events, groups
from realtime.outbox import publish_many
from tests.browsing import session_cookie
from tests.live import LiveServer

from .conftest import Stage
from .people import Person, agree, beside, cast, eventually, eventually_none, online, run

# More than the buffers of both ends hold.
LARGE, MANY = "x" * 60_000, 120
# Of a client that flaps every second, without the waiting.
FLAPS = 30


def _flood(user_id: int) -> None:
    notes = [
        events.NotificationPassenger(
            notification_id=number, title="", message=LARGE, priority="low", category="system", action_url=""
        )
        for number in range(MANY)
    ]
    publish_many((note, groups.user(user_id)) for note in notes)


async def _ride(driver: Person, passenger: Person, booking: dict[str, Any]) -> int:
    """Books and has the driver take it."""
    trip_id = (await passenger.call("POST", "trips", booking)).json()["id"]
    await driver.until("trip.offer.created", trip_id=trip_id)
    accepted = await driver.call("POST", f"drivers/trips/accept/{trip_id}")
    assert accepted.status_code == 200, accepted.text
    await agree(driver, passenger)
    return int(trip_id)


async def _stops_reading(person: Person) -> Any:
    """A socket of the person's whose reader has stopped: what the server sends fills the buffers on the way."""
    narrow = socket.create_connection(("127.0.0.1", person.server.port))
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck = await websockets.connect(
        f"{person.server.ws_url}/ws/", subprotocols=person.protocols, sock=narrow, max_queue=1, ping_interval=None
    )
    await stuck.recv()
    return stuck


async def test_socket_that_stops_reading_delays_nobody_and_is_let_go(stage: Stage) -> None:
    there, here = stage.servers[0], stage.servers[-1]
    driver, passenger, booking = await run(cast)(there, here)
    async with online(driver, passenger):
        await _ride(driver, passenger, booking)
        stuck = await _stops_reading(passenger)
        await run(_flood)(passenger.user.pk)
        await driver.send(type="driver.location.update", points=[beside(booking)])
        await passenger.until("driver.location.updated", lat=beside(booking)["lat"])
        # Each of two servers sweeps a share of them, so the last may come before others.
        await passenger.until_it(lambda one: {note["notification_id"] for note in _notes(one)} >= set(range(MANY)))

        # The server does not keep it, nor what it had not read.
        await eventually(lambda: sum(server.holds()["sockets"] for server in {there, here}) == 2)
        with_it = [text async for text in _rest_of(stuck)]
        assert len(with_it) < MANY
        await agree(driver, passenger)
    for server in stage.servers:
        await eventually_none(server.left_over)


def _notes(person: Person) -> list[dict[str, Any]]:
    return [frame for frame in person.frames if frame["type"] == "notification.passenger" and frame["message"] == LARGE]


async def _rest_of(stuck: Any) -> Any:
    async with asyncio.timeout(10):
        try:
            async for text in stuck:
                yield text
        except websockets.ConnectionClosed:
            pass


async def test_client_that_flaps_leaves_nothing_behind(stage: Stage) -> None:
    there, here = stage.servers[0], stage.servers[-1]
    driver, passenger, booking = await run(cast)(there, here)
    async with online(passenger):
        before = here.holds()
        trip_id = (await passenger.call("POST", "trips", booking)).json()["id"]
        for number in range(FLAPS):
            await _flap(driver.connect(), rudely=bool(number % 2), greeted=bool(number % 3))
        async with online(driver):
            await driver.until("trip.offer.created", trip_id=trip_id)
            accepted = await driver.call("POST", f"drivers/trips/accept/{trip_id}")
            assert accepted.status_code == 200, accepted.text
            await agree(driver, passenger)
        await eventually(lambda: here.holds()["sockets"] == 1)
        # Something ends a moment later, as what a request began; nothing stays that was not there before.
        await eventually_none(lambda: _held_by(here.holds()) - _held_by(before))
    for server in stage.servers:
        await eventually_none(server.left_over)


async def _flap(connecting: Any, rudely: bool, greeted: bool) -> None:
    """Opens and closes; `rudely` without a goodbye, sometimes before the server has greeted."""
    connection = await connecting
    if greeted:
        await connection.recv()
    if rudely:
        connection.transport.abort()
        await connection.wait_closed()
    else:
        await connection.close()


def _held_by(held: dict[str, Any]) -> Counter[str]:
    return Counter(held["tasks"]) + Counter(consumers=held["consumers"])


async def test_fixes_of_a_clock_ten_minutes_ahead_are_of_now_and_all_count(stage: Stage) -> None:
    there, here = stage.servers[0], stage.servers[-1]
    driver, passenger, booking = await run(cast)(there, here)
    async with online(driver, passenger):
        await _ride(driver, passenger, booking)
        for number in range(3):
            theirs = timezone.now() + dt.timedelta(minutes=10)
            point = beside(booking, number + 1) | {"recorded_at": theirs.isoformat()}
            await driver.send(type="driver.location.update", points=[point])
            frame = await passenger.until("driver.location.updated", lat=point["lat"])
            assert dt.datetime.fromisoformat(frame["recorded_at"]) <= timezone.now()
        await agree(driver, passenger)


async def test_fix_stamped_by_the_servers_time_counts_whatever_the_clock(stage: Stage) -> None:
    """As docs/protocol.md asks: a phone ten minutes behind stamps by `server_time`, and is not taken for dark."""
    there, here = stage.servers[0], stage.servers[-1]
    driver, passenger, booking = await run(cast)(there, here)
    async with online(driver, passenger):
        await _ride(driver, passenger, booking)
        greeting = await driver.until("connection.established")
        behind = timezone.now() - dt.timedelta(minutes=10)
        # What the phone has to add to its own clock, a moment later than the greeting.
        ahead = dt.datetime.fromisoformat(greeting["server_time"]) - behind
        stamp = timezone.now() - dt.timedelta(minutes=10) + ahead
        await driver.send(type="driver.location.update", points=[beside(booking) | {"recorded_at": stamp.isoformat()}])
        await passenger.until("driver.location.updated", lat=beside(booking)["lat"])


async def test_closing_two_of_three_tabs_changes_nothing_for_the_third(stage: Stage) -> None:
    there, here = stage.servers[0], stage.servers[-1]
    driver, passenger, booking = await run(cast)(there, here)
    cookie = await run(session_cookie)(driver.user, there.url)
    async with online(driver, passenger):
        tabs = [await _tab(there, cookie["value"]) for _ in range(3)]
        programs = [await driver.connect() for _ in range(2)]
        await tabs[0].close()
        tabs[1].transport.abort()
        await programs[0].close()
        programs[1].transport.abort()
        await eventually(lambda: there.holds()["sockets"] == 2 + (here is there))

        trip_id = await _ride(driver, passenger, booking)
        card = await driver.until("trip.offer.created", trip_id=trip_id)
        await _shows(tabs[2], f'id="offer-{card["offer_id"]}"')
        # The permission to send positions is the driver's, not a socket's that has gone.
        await tabs[2].send(json.dumps({"type": "driver.location.update", "points": [beside(booking)]}))
        await passenger.until("driver.location.updated", lat=beside(booking)["lat"], trip_id=trip_id)
        await driver.send(type="driver.location.update", points=[beside(booking, 2)], ref="here")
        await driver.until("ack", ref="here")
        await passenger.until("driver.location.updated", lat=beside(booking, 2)["lat"], trip_id=trip_id)
        await tabs[2].close()


async def _tab(server: LiveServer, session_key: str) -> Any:
    """A driver's dashboard, its first snapshot read."""
    tab = await websockets.connect(
        f"{server.ws_url}/ws/dashboard/driver/",
        origin=Origin(server.url),
        additional_headers={"Cookie": f"{settings.SESSION_COOKIE_NAME}={session_key}"},
    )
    await _shows(tab, "stat-today")
    return tab


async def _shows(tab: Any, text: str) -> None:
    async with asyncio.timeout(10):
        while text not in str(await tab.recv()):
            pass
