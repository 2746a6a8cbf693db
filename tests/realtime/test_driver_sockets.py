"""What a process holds about the drivers whose sockets it carries, and what they may hear."""

from typing import Any

import pytest
from channels.db import database_sync_to_async
from pytest_django import Settings

from drivers.positions.buffer import buffer
from tests.factories import ALMATY, DriverFactory, OfferFactory, TripFactory
from trips import accepting
from trips.models import Trip
from trips.states import TripStatus

from .conftest import Connect

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
