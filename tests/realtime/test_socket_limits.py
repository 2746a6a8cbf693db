"""What one socket may do, and what an account's sockets may be: each limit with its close code."""

from typing import Any

import pytest
from channels.db import database_sync_to_async

from drivers.positions import buffer
from realtime import consumers
from realtime.consumers import open_sockets
from tests.factories import ALMATY, DriverFactory, PassengerFactory, TripFactory
from trips import dispatch
from trips.models import Trip
from trips.states import TripStatus

from .conftest import Connect

run = database_sync_to_async


@pytest.fixture
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three frames at once, and no more to come."""
    monkeypatch.setattr(consumers, "_BURST", 3.0)
    monkeypatch.setattr(consumers, "_RATE", 0.0)


@pytest.mark.usefixtures("few_frames")
async def test_frames_beyond_the_burst_are_refused_with_their_ref(connect: Connect) -> None:
    client = await connect(await run(PassengerFactory.create)())
    for number in range(4):
        await client.send(type="ping", ref=f"{number}")
    for number in range(3):
        assert (await client.until("heartbeat"))["ref"] == f"{number}"
    refusal = await client.until("error")
    assert (refusal["code"], refusal["ref"], refusal["retry_after_s"]) == ("rate.limited", "3", 1)


@pytest.mark.usefixtures("few_frames")
async def test_who_goes_on_after_a_burst_of_refusals_is_sent_away_with_4429(connect: Connect) -> None:
    client = await connect(await run(PassengerFactory.create)())
    for _ in range(6):
        await client.send(type="ping")
    assert await client.closed_with() == 4429


@pytest.mark.usefixtures("few_frames")
async def test_positions_are_counted_like_every_frame(connect: Connect) -> None:
    client = await connect((await run(DriverFactory.create)(at=ALMATY)).user)
    for _ in range(6):
        await client.send(type="driver.location.update", points=[{"lat": 43.2, "lng": 76.9}])
    assert await client.closed_with() == 4429


async def test_silent_socket_is_sent_away_with_4408(connect: Connect, settings: Any) -> None:
    client = await connect(await run(PassengerFactory.create)())
    await client.send(type="ping")
    await client.until("heartbeat")
    settings.SOCKET_IDLE_S = -1
    await next(iter(open_sockets)).beat("{}")
    assert await client.closed_with() == 4408


async def test_account_has_a_number_of_sockets_and_gets_a_place_back(connect: Connect, settings: Any) -> None:
    settings.SOCKETS_PER_USER = 2
    user, other = await run(PassengerFactory.create)(), await run(PassengerFactory.create)()
    first = await connect(user)
    await connect(user)
    refused = await connect(user, greeted=False)
    assert (await refused.receive())["code"] == "socket.too_many"
    assert await refused.closed_with() == 4409
    await connect(other)
    await first.communicator.disconnect()
    await connect(user)


class Unread:
    """A server whose client reads nothing until it is told to."""

    def __init__(self) -> None:
        self.is_writable = True
        self.was_cut = False

    def cut(self) -> None:
        self.was_cut = True


async def test_socket_that_is_not_read_is_sent_away_with_4413_and_cut(
    connect: Connect, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "_LAST_WORD_S", 0.01)
    settings.SOCKET_SLOW_S = 0.05
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    client = await connect(trip.organiser)
    await client.until("trip.snapshot")
    line, socket = Unread(), next(iter(open_sockets))
    socket.scope["stepper.hang_up"] = line.cut
    socket._is_writable = lambda: line.is_writable
    line.is_writable = False
    await run(trip.move)(TripStatus.EN_ROUTE, "driver")
    assert await client.closed_with() == 4413
    for _look in range(100):
        if line.was_cut:
            break
        await client.communicator.receive_nothing(timeout=0.02)
    assert line.was_cut


async def test_socket_that_is_read_again_gets_the_newest_position_and_every_event(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.ACCEPTED)
    watcher = await connect(trip.organiser)
    await watcher.until("trip.snapshot")
    line, socket = Unread(), next(iter(open_sockets))
    socket._is_writable = lambda: line.is_writable
    driver = await connect(trip.driver.user)
    line.is_writable = False
    await run(trip.move)(TripStatus.EN_ROUTE, "driver")
    for lat in (43.1, 43.2, 43.3):
        await driver.send(type="driver.location.update", points=[{"lat": lat, "lng": 76.9}], ref=f"{lat}")
        await driver.until("ack", ref=f"{lat}")
    line.is_writable = True
    assert (await watcher.until("trip.status.updated"))["new"] == "en_route"
    assert (await watcher.until("driver.location.updated"))["lat"] == 43.3


# What is known of a driver


async def test_position_follows_the_trip_from_its_first_moment_to_its_last(connect: Connect) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.OFFERED)
    driver = await run(DriverFactory.create)(at=ALMATY)
    client, watcher = await connect(driver.user), await connect(trip.organiser)
    await client.send(type="driver.location.update", points=[{"lat": 43.1, "lng": 76.9}], ref="before")
    await client.until("ack", ref="before")
    await run(_give)(trip, driver)
    await client.until("trip.offer.accepted")
    await client.send(type="driver.location.update", points=[{"lat": 43.2, "lng": 76.9}])
    assert (await watcher.until("driver.location.updated"))["lat"] == 43.2
    await client.send(type="trip.status.update", trip_id=trip.pk, status="released", ref="r")
    # The answer and the event come in either order.
    seen: set[str] = set()
    while not {"ack", "accepted"} <= seen:
        frame = await client.receive()
        seen |= {frame["type"], frame.get("previous", "")}
    await client.send(type="driver.location.update", points=[{"lat": 43.3, "lng": 76.9}], ref="after")
    await client.until("ack", ref="after")
    while not await watcher.communicator.receive_nothing(timeout=0.3):
        assert (await watcher.receive())["type"] != "driver.location.updated"


def _give(trip: Trip, driver: Any) -> None:
    from tests.factories import OfferFactory

    dispatch.accept(driver.pk, OfferFactory.create(trip=trip, driver=driver).pk)


async def test_nothing_is_remembered_of_drivers_whose_sockets_are_gone(connect: Connect) -> None:
    driver = await run(DriverFactory.create)(at=ALMATY)
    tabs = [await connect(driver.user) for _ in range(2)]
    await tabs[0].send(type="driver.location.update", points=[{"lat": 43.1, "lng": 76.9}], ref="x")
    await tabs[0].until("ack", ref="x")
    await tabs[0].communicator.disconnect()
    assert driver.pk in buffer._held
    await tabs[1].communicator.disconnect()
    assert driver.pk not in buffer._held
    assert driver.pk not in buffer._known


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
