"""Sockets of pages that watch a trip by a link: what they get, what they cannot do, and when they end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async as run
from channels.testing import WebsocketCommunicator
from django.utils.translation import override

from stepper.asgi import application
from stepper.errors import DomainError
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory
from tests.realtime.conftest import Client, Connect
from trips import bookings, driving, shares
from trips.models import Trip

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

Open = Callable[..., Awaitable[Client]]


@pytest.fixture
async def open_link(server: None) -> AsyncIterator[Open]:
    """`await open_link(token)`: the socket of a page behind a link, with neither cookie nor token of a user."""
    opened: list[WebsocketCommunicator] = []

    async def opening(token: str, language: str = "en") -> Client:
        communicator = WebsocketCommunicator(application, f"/ws/shared/{language}/{token}/")
        opened.append(communicator)
        assert (await communicator.connect(timeout=5))[0]
        return Client(communicator)

    yield opening
    for communicator in opened:
        if communicator.future is not None and not communicator.future.done():
            await communicator.disconnect()


def _shared_trip(**fields: Any) -> tuple[Trip, str, shares.TripShare]:
    trip = TripFactory.create(status="en_route", driver=DriverFactory.create(at=ALMATY), **fields)
    made = shares.create_share(trip.pk, trip.organiser)
    return trip, made.token, made.share


async def test_guest_is_greeted_without_a_user_and_sees_the_page(open_link: Open) -> None:
    trip, token, _share = await run(_shared_trip)()
    guest = await open_link(token)

    greeting = await guest.receive()

    assert (greeting["type"], greeting["user_id"], greeting["driver_id"]) == ("connection.established", None, None)
    assert 'id="trip-panel"' in await guest.receive_html()
    location = await guest.receive()
    assert set(location) == {
        "type", "timestamp", "trip_id", "driver_since", "lat", "lng", "heading_deg", "recorded_at", "eta",
    }  # fmt: skip
    assert (location["type"], location["trip_id"]) == ("trip.shared.location", trip.pk)


async def test_guest_gets_positions_without_the_drivers_id_and_speed(open_link: Open, connect: Connect) -> None:
    trip, token, _share = await run(_shared_trip)()
    guest, driver = await open_link(token), await connect(await run(lambda: trip.driver.user)())
    await guest.receive_html()
    await guest.until("trip.shared.location")

    await driver.send(type="driver.location.update", points=[{"lat": 43.2221, "lng": 76.8513, "speed_kmh": 40}])

    frame = await guest.until("trip.shared.location", lat=43.2221)
    assert not {"driver_id", "speed_kmh", "accuracy_m"} & set(frame)


async def test_guest_sees_each_step_and_the_end_then_the_link_is_dead(open_link: Open) -> None:
    trip, token, _share = await run(_shared_trip)()
    guest = await open_link(token, "ru")
    await guest.receive_html()

    await run(driving.update_status)(trip.driver_id, trip.pk, status="driver_arrived")
    assert 'data-status="driver_arrived"' in await guest.receive_html()
    await run(bookings.cancel)(trip.pk, await run(_staff)())
    assert 'data-status="cancelled"' in await guest.receive_html()

    assert await guest.closed_with() == 4403
    again = await open_link(token, "ru")
    refused = await again.receive()
    assert (refused["code"], refused["message"]) == ("share.ended", in_russian(shares.link_ended()))
    assert await again.closed_with() == 4403


def in_russian(error: DomainError) -> str:
    with override("ru"):
        return str(error.message)


def _staff() -> Any:
    return StaffFactory.create(is_superuser=True)


async def test_revoked_link_closes_its_pages_and_not_those_of_another(open_link: Open) -> None:
    trip, token, share = await run(_shared_trip)()
    other = await run(shares.create_share)(trip.pk, trip.organiser)
    guest, kept = await open_link(token), await open_link(other.token)
    await guest.receive_html()
    await kept.receive_html()

    await run(shares.revoke_share)(trip.pk, share.pk, trip.organiser)

    assert (await guest.until("error"))["code"] == "share.ended"
    assert await guest.closed_with() == 4403
    await run(driving.update_status)(trip.driver_id, trip.pk, status="driver_arrived")
    assert 'data-status="driver_arrived"' in await kept.receive_html()


async def test_link_of_a_deactivated_account_shows_no_further_change(open_link: Open) -> None:
    trip, token, _share = await run(_shared_trip)()
    guest = await open_link(token)
    await guest.receive_html()
    await run(User.objects.filter(pk=trip.organiser_id).update)(is_active=False)

    await run(driving.update_status)(trip.driver_id, trip.pk, status="driver_arrived")

    assert (await guest.until("error"))["code"] == "share.ended"
    assert await guest.closed_with() == 4403


@pytest.mark.parametrize(
    "command",
    [
        {"type": "trip.subscribe", "trip_ids": [1]},
        {"type": "driver.location.update", "points": [{"lat": 43.0, "lng": 76.0}]},
        {"type": "driver.availability.update", "availability": "available"},
        {"type": "trip.offer.accept", "offer_id": 1},
        {"type": "trip.status.update", "trip_id": 1, "status": "driver_arrived"},
        {"type": "resume", "cursor": "x"},
    ],
    ids=lambda command: command["type"],
)
async def test_guest_may_send_nothing_but_pings(command: dict[str, Any], open_link: Open) -> None:
    _trip, token, _share = await run(_shared_trip)()
    guest = await open_link(token)
    await guest.receive_html()

    await guest.send(**command, ref="mine")
    assert (await guest.until("error", ref="mine"))["code"] == "message.unknown_type"
    await guest.send(type="ping", ref="still")
    await guest.until("heartbeat", ref="still")


async def test_link_has_at_most_twenty_sockets(open_link: Open) -> None:
    _trip, token, _share = await run(_shared_trip)()
    for _number in range(20):
        assert (await (await open_link(token)).receive())["type"] == "connection.established"

    late = await open_link(token)

    assert (await late.receive())["code"] == "socket.too_many"
    assert await late.closed_with() == 4409


async def test_unknown_link_is_refused(open_link: Open) -> None:
    guest = await open_link("nobody-made-this")
    assert (await guest.receive())["code"] == "share.ended"
    assert await guest.closed_with() == 4403
