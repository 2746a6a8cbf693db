"""How many queries it takes to open a socket: a whole city comes back at once when a server restarts."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.db.backends.utils import CursorWrapper

from stepper.api.tokens import sign_in
from stepper.asgi import application
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, PassengerFactory, TripFactory
from trips.states import TripStatus

from .conftest import Client

run = database_sync_to_async


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What any thread asks the database."""
    asked: list[str] = []
    execute: Callable[..., object] = CursorWrapper.execute

    def counted(self: CursorWrapper, sql: str, params: object = None) -> object:
        asked.append(str(sql))
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", counted)
    return asked


@pytest.fixture
async def line(transactional_db: None, queries: list[str]) -> AsyncIterator[Callable[[User], Awaitable[int]]]:
    """`await line(user)`: how many queries opening their socket takes, with nothing else running."""
    opened: list[WebsocketCommunicator] = []

    async def opening(user: User) -> int:
        access = (await run(sign_in)(user))["access"]
        queries.clear()
        communicator = WebsocketCommunicator(application, "/ws/", subprotocols=["stepper.v1", f"bearer.{access}"])
        opened.append(communicator)
        assert (await communicator.connect(timeout=5))[0]
        await communicator.send_to(text_data='{"type":"ping","ref":"end"}')
        client = Client(communicator)
        await client.until("heartbeat", ref="end")
        return len(queries)

    yield opening
    for communicator in opened:
        await communicator.disconnect()
    await get_channel_layer().close()


# Session, user, what they are on, settings; of a driver whether they are approved, their rides, position and offers; of
# a trip the snapshot, and settings again where somebody drives it.
async def test_driver_on_a_trip_comes_back(line: Callable[[User], Awaitable[int]]) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.EN_ROUTE, driver=await run(DriverFactory.create)(at=ALMATY))
    assert await line(trip.driver.user) == 10


async def test_passenger_with_a_driver_comes_back(line: Callable[[User], Awaitable[int]]) -> None:
    trip = await run(TripFactory.create)(status=TripStatus.EN_ROUTE, driver=await run(DriverFactory.create)(at=ALMATY))
    assert await line(trip.organiser) == 6


async def test_passenger_without_a_trip_comes_back(line: Callable[[User], Awaitable[int]]) -> None:
    assert await line(await run(PassengerFactory.create)()) == 4


@pytest.mark.parametrize("trips", [1, 3])
async def test_number_of_trips_costs_no_query(line: Callable[[User], Awaitable[int]], trips: int) -> None:
    user = await run(PassengerFactory.create)()
    for _ in range(trips):
        driver = await run(DriverFactory.create)(at=ALMATY)
        await run(TripFactory.create)(status=TripStatus.EN_ROUTE, organiser=user, driver=driver)
    assert await line(user) == 6
