"""Clients that misbehave without meaning to: one that flaps, one with the wrong time; tabs."""

import asyncio
import datetime as dt
import json
from typing import Any

import websockets
from django.conf import settings
from django.utils import timezone
from websockets import Origin

from tests.browsing import session_cookie
from tests.live import LiveServer

from .conftest import Stage
from .people import Person, agree, cast, eventually, eventually_none, online, run

HERE = {"lat": 43.25, "lng": 76.9}
# Of a client that flaps every second, without the waiting.
FLAPS = 30


async def _ride(driver: Person, passenger: Person, booking: dict[str, Any]) -> int:
    """Books and has the driver take it."""
    trip_id = (await passenger.call("POST", "trips", booking)).json()["id"]
    await driver.until("trip.offer.created", trip_id=trip_id)
    accepted = await driver.call("POST", f"drivers/trips/accept/{trip_id}")
    assert accepted.status_code == 200, accepted.text
    await agree(driver, passenger)
    return int(trip_id)


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
        await eventually(lambda: _lasting(here.holds()) == _lasting(before))
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


def _lasting(held: dict[str, Any]) -> tuple[int, dict[str, int]]:
    """Consumers, and the tasks of the server that do not end with a request."""
    tasks = {name: number for name, number in held["tasks"].items() if not name.startswith("ASGIHandler")}
    return held["consumers"], tasks


async def test_fixes_of_a_clock_ten_minutes_ahead_are_of_now_and_all_count(stage: Stage) -> None:
    there, here = stage.servers[0], stage.servers[-1]
    driver, passenger, booking = await run(cast)(there, here)
    async with online(driver, passenger):
        await _ride(driver, passenger, booking)
        for number in range(3):
            theirs = timezone.now() + dt.timedelta(minutes=10)
            point = {"lat": 43 + number / 100, "lng": 76.9, "recorded_at": theirs.isoformat()}
            await driver.send(type="driver.location.update", points=[point])
            frame = await passenger.until("driver.location.updated", lat=43 + number / 100)
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
        await driver.send(type="driver.location.update", points=[HERE | {"recorded_at": stamp.isoformat()}])
        await passenger.until("driver.location.updated", lat=HERE["lat"])


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
        await tabs[2].send(json.dumps({"type": "driver.location.update", "points": [HERE]}))
        await passenger.until("driver.location.updated", lat=HERE["lat"], trip_id=trip_id)
        await driver.send(type="driver.location.update", points=[HERE | {"lat": 43.26}], ref="here")
        await driver.until("ack", ref="here")
        await passenger.until("driver.location.updated", lat=43.26, trip_id=trip_id)
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
