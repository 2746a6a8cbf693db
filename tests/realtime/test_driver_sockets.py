"""What a process holds about the drivers whose sockets it carries, and what they may hear."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from channels.db import database_sync_to_async
from pytest_django import Settings

from drivers.models import DriverPosition
from drivers.positions.buffer import buffer
from realtime.models import Notification
from realtime.outbox import read_watermark
from tests.clocks import clock_wrong_by, real_now
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, TripFactory
from tests.rest import as_user
from tests.stepper.test_texts import CLEAN, NASTY
from trips import accepting
from trips.models import Offer, Trip
from trips.states import TripStatus

from .conftest import Client, Connect

run = database_sync_to_async


@pytest.fixture
def few_frames(settings: Settings) -> None:
    """Three frames at once, and no more to come."""
    settings.SOCKET_BURST, settings.SOCKET_RATE = 3, 0


@pytest.mark.usefixtures("few_frames")
async def test_positions_are_counted_like_every_frame(connect: Connect) -> None:
    client = await connect((await run(DriverFactory.create)(at=ALMATY)).user)
    for _ in range(6):
        await client.send(type="driver.location.update", points=[{"lat": 43.2, "lng": 76.9}])
    assert await client.closed_with() == 4429


async def test_position_follows_the_trip_from_its_first_moment_to_its_last(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.OFFERED)
    driver = await run(DriverFactory.create)(at=(43.2, 76.9))
    client, watcher = await connect(driver.user), await connect(trip.organiser)
    await client.send(type="driver.location.update", points=[{"lat": 43.2, "lng": 76.9}], ref="before")
    await client.until("ack", ref="before")
    await run(_give)(trip, driver)
    await client.until("trip.offer.accepted")
    await client.send(type="driver.location.update", points=[{"lat": 43.201, "lng": 76.9}])
    assert (await watcher.until("driver.location.updated"))["lat"] == 43.201
    await client.send(type="trip.status.update", trip_id=trip.pk, status="released", ref="r")
    # The answer and the event come in either order.
    seen: set[str] = set()
    while not {"ack", "accepted"} <= seen:
        frame = await client.receive()
        seen |= {frame["type"], frame.get("previous", "")}
    await client.send(type="driver.location.update", points=[{"lat": 43.202, "lng": 76.9}], ref="after")
    assert (await client.until("ack", ref="after"))["accepted"] == 1
    while not await watcher.communicator.receive_nothing(timeout=0.3):
        assert (await watcher.receive())["type"] != "driver.location.updated"


def _give(trip: Trip, driver: Any) -> None:
    accepting.accept(driver.pk, OfferFactory.create(trip=trip, driver=driver).pk)


async def test_nothing_is_remembered_of_drivers_whose_sockets_are_gone(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    tabs = [await connect(driver.user) for _ in range(2)]
    await tabs[0].send(type="driver.location.update", points=[{"lat": 43.1, "lng": 76.9}], ref="x")
    await tabs[0].until("ack", ref="x")
    await tabs[0].communicator.disconnect()
    assert driver.pk in buffer.facts.sockets
    await tabs[1].communicator.disconnect()
    assert driver.pk not in buffer.facts.sockets
    assert driver.pk not in buffer.facts.known


async def test_next_driver_of_a_trip_does_not_resume_what_the_one_before_was_told(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    next_driver = await run(DriverFactory.create)(at=ALMATY)
    early = await connect(next_driver.user, greeted=False)
    cursor = (await early.until("connection.established"))["cursor"]
    former = await connect(trip.driver.user)
    await former.send(
        type="trip.status.update", trip_id=trip.pk, status="delayed", delay_minutes=5, note="secret", ref="d"
    )
    await former.until("ack", ref="d")
    await former.send(type="trip.status.update", trip_id=trip.pk, status="released", ref="r")
    await former.until("ack", ref="r")
    await run(_give)(await run(Trip.objects.get)(pk=trip.pk), next_driver)
    again = await connect(next_driver.user)
    await again.send(type="resume", cursor=cursor, ref="r")
    heard = []
    while (frame := await again.receive())["type"] != "ack":
        heard.append(frame)
    assert [one for one in heard if one["type"] == "trip.offer.accepted"]
    assert not [one for one in heard if one.get("note") == "secret" or one.get("delay_minutes")]


async def test_sockets_strip_what_nobody_sees(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    offer = await run(OfferFactory.create)(driver=driver)
    trip = await run(TripFactory.create)(status=TripStatus.EN_ROUTE, driver=driver)
    client = await connect(driver.user)
    await client.send(type="trip.offer.decline", offer_id=offer.pk, reason=NASTY, ref="no")
    await client.until("ack", ref="no")
    await client.send(
        type="trip.status.update", trip_id=trip.pk, status="delayed", delay_minutes=5, delay_reason=NASTY, ref="late"
    )
    told = await client.until("trip.status.updated", trip_id=trip.pk)

    assert (told["note"], told["delay_reason"]) == (CLEAN, CLEAN)
    assert (await run(Offer.objects.get)(pk=offer.pk)).reason == CLEAN
    assert (await run(Trip.objects.get)(pk=trip.pk)).delay_reason == CLEAN
    assert CLEAN in (await run(Notification.objects.get)(title="Your driver is delayed")).message


async def test_a_socket_is_greeted_with_the_databases_time(connect: Connect) -> None:
    """By which countdowns run; this process's clock is an hour ahead."""
    with clock_wrong_by(dt.timedelta(hours=1)):
        await run(read_watermark)()
        client = await connect(await run(PassengerFactory.create)(), greeted=False)
        greeting = await client.until("connection.established")
    assert abs(dt.datetime.fromisoformat(greeting["server_time"]) - real_now()) < dt.timedelta(seconds=10)


IMPOSSIBLE = [
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"),
    *("1969-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2030-05-01T09:00:00+99:00"),
    *("2030-05-01T09:00:00", "2030-02-30T09:00:00Z", 1_700_000_000, "now", [], {}),
]


async def test_a_time_that_no_clock_shows_is_refused_over_the_socket_as_over_rest(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    client, rest = await connect(driver.user), await run(as_user)(driver.user)
    for number, at in enumerate(IMPOSSIBLE):
        good, bad = {"lat": 43.2, "lng": 76.9}, {"lat": 43.2, "lng": 76.9, "recorded_at": at}
        await client.send(type="driver.location.update", points=[good, bad], ref=str(number))
        refused = await client.until("error", ref=str(number))
        assert (refused["code"], list(refused["fields"])) == ("message.invalid", ["points[1].recorded_at"]), at
        response = await run(rest.post)("/api/drivers/location", {"points": [good, bad]}, format="json")
        assert response.status_code == 400, at
        assert (response.json()["code"], list(response.json()["fields"])) == ("input.invalid", ["points.1.recorded_at"])
    # Nothing of what was refused is kept.
    assert (await run(DriverPosition.objects.get)()).lat == ALMATY[0]


async def test_page_sends_steps_that_waited_and_each_is_applied_once(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    page = await connect(trip.driver.user, "/ws/dashboard/driver/")
    command = {"type": "trip.status.update", "trip_id": trip.pk}
    answers = []
    for status, key in (("en_route", "a"), ("driver_arrived", "b"), ("en_route", "a"), ("en_route", "c")):
        await page.send(**command, status=status, key=key, ref=key)
        answers.append(await _answer(page))

    assert [answer.get("status", answer.get("code")) for answer in answers] == [
        "en_route",
        "driver_arrived",
        "driver_arrived",
        "trip.transition_refused",
    ]


async def _answer(page: Client) -> dict[str, Any]:
    """The next frame with a `ref`, between fragments."""
    while True:
        text = await page.communicator.receive_from(timeout=5)
        if text.startswith("{") and "ref" in (frame := msgspec.json.decode(text)):
            return dict(frame)
