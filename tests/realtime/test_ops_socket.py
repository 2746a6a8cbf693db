"""The socket of the operations room: who may open it, what it sends, when it ends."""

import asyncio

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import Permission
from django.utils import timezone

from drivers.models import Driver
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory, place
from trips.models import Trip
from trips.room.live import LiveRoom, room

from .conftest import Client, Connect

run = database_sync_to_async
PATH = "/ws/dashboard/ops/"
VIEW = {"type": "ops.view", "south": 43.0, "west": 76.5, "north": 43.5, "east": 77.2, "zoom": 12}
E5 = [4322200, 7685120]


@pytest.fixture(autouse=True)
def _nobody_looks() -> None:
    """Each test begins without a picture of the one before."""
    vars(room).update(vars(LiveRoom()))


def _clerk(*permissions: str) -> User:
    user: User = StaffFactory.create(is_superuser=False)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


async def _look(connect: Connect, user: User) -> Client:
    client = await connect(user, PATH)
    await client.receive_html()
    await client.send(**VIEW)
    return client


async def test_viewer_gets_all_in_view_and_then_what_changes(connect: Connect) -> None:
    driver: Driver = await run(DriverFactory.create)(at=ALMATY)
    trip = await run(TripFactory.create)(status="unfilled", next_look_at=None)
    await run(DriverFactory.create)(at=(51.1, 71.4))
    client = await _look(connect, await run(StaffFactory.create)())
    frame = await client.until("ops.map")
    assert frame.pop("timestamp")
    assert frame.pop("queue")
    assert frame == {
        "type": "ops.map",
        "whole": True,
        "drivers": [[driver.pk, *E5, 0]],
        "trips": [[trip.pk, *E5, 1]],
        "counts": [2, 0, 0, 0, 1, 0, 0, 0, 0],
    }
    await run(place)(driver, ALMATY[0] + 0.01, ALMATY[1])
    while "drivers" not in (frame := await client.until("ops.map")):
        pass
    assert frame.keys() == {"type", "timestamp", "drivers"}
    assert frame["drivers"] == [[driver.pk, E5[0] + 1000, E5[1], 0]]


async def test_command_is_answered_and_a_wrong_one_refused(connect: Connect) -> None:
    client = await connect(await run(StaffFactory.create)(), PATH)
    await client.receive_html()
    await client.send(**VIEW, ref="v1")
    assert (await client.until("ack", ref="v1"))["ref"] == "v1"
    await client.send(**VIEW | {"south": 44.0, "ref": "v2"})
    assert (await client.until("error", ref="v2"))["code"] == "message.invalid"
    await client.send(type="driver.availability.update", availability="available", ref="v3")
    assert (await client.until("error", ref="v3"))["code"] == "message.unknown_type"


@pytest.mark.parametrize("permissions", [(), ("view_trip",), ("view_driver",)])
async def test_without_the_permissions_it_is_refused(connect: Connect, permissions: tuple[str, ...]) -> None:
    client = await connect(await run(_clerk)(*permissions), PATH, greeted=False)
    assert (await client.until("error"))["code"] == "auth.forbidden"
    assert await client.closed_with() == 4403
    assert not room._viewers


async def test_whoever_is_not_staff_is_refused(connect: Connect) -> None:
    client = await connect(await run(PassengerFactory.create)(), PATH, greeted=False)
    assert await client.closed_with() == 4403


async def test_it_is_closed_when_a_permission_ends(connect: Connect) -> None:
    user = await run(_clerk)("view_trip", "view_driver")
    client = await _look(connect, user)
    await client.until("ops.map")
    await run(user.user_permissions.clear)()
    assert await client.closed_with() == 4403
    assert not room._viewers


async def test_who_comes_again_gets_everything_anew(connect: Connect) -> None:
    driver: Driver = await run(DriverFactory.create)(at=ALMATY)
    staff = await run(StaffFactory.create)()
    for _time in range(2):
        client = await _look(connect, staff)
        frame = await client.until("ops.map")
        assert (frame["whole"], frame["drivers"]) == (True, [[driver.pk, *E5, 0]])
        await client.communicator.disconnect()
    assert not room._viewers


async def test_who_comes_again_sees_what_is_there_now(connect: Connect) -> None:
    """What went while the socket was away is in nothing that it gets: the page draws the whole picture anew."""
    gone: Driver = await run(DriverFactory.create)(at=ALMATY)
    trip = await run(TripFactory.create)(status="unfilled", next_look_at=None)
    staff = await run(StaffFactory.create)()
    first = await _look(connect, staff)
    before = await first.until("ops.map")
    assert (before["drivers"], before["trips"]) == ([[gone.pk, *E5, 0]], [[trip.pk, *E5, 1]])
    await first.communicator.disconnect()

    await run(Driver.objects.filter(pk=gone.pk).update)(availability="offline", is_online=False)
    await run(Trip.objects.filter(pk=trip.pk).update)(status="cancelled")
    come = await run(DriverFactory.create)(at=ALMATY)
    waits = await run(TripFactory.create)(status="unfilled", escalated_at=timezone.now(), next_look_at=None)
    second = await _look(connect, staff)
    drivers: dict[int, list[int]] = {}
    trips: dict[int, list[int]] = {}
    wanted = ({come.pk: [come.pk, *E5, 0]}, {waits.pk: [waits.pk, *E5, 1]})
    frame = await second.until("ops.map")
    assert frame["whole"] is True
    queue = frame["queue"]
    # The first may be of the second before; what went since is named in the next one. It ends with what is there.
    async with asyncio.timeout(30):
        while (drivers, trips) != wanted or queue == before["queue"]:
            drivers |= {row[0]: row for row in frame.get("drivers", [])}
            trips |= {row[0]: row for row in frame.get("trips", [])}
            drivers = {pk: row for pk, row in drivers.items() if pk not in frame.get("drivers_gone", [])}
            trips = {pk: row for pk, row in trips.items() if pk not in frame.get("trips_gone", [])}
            queue = frame.get("queue", queue)
            if (drivers, trips) != wanted or queue == before["queue"]:
                frame = await second.until("ops.map")
