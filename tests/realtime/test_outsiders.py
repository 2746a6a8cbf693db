"""Who has no right to a trip hears nothing of it over any socket, and changes nothing by any command.

The sockets come from the address map, the commands from their union: a new command that has no row in `FILLED` fails.
HTTP: tests/stepper/test_trip_matrix.py.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from channels.db import database_sync_to_async as run

from realtime import events
from realtime.routing import websocket_urlpatterns
from stepper.models import User
from tests.drives import step_there
from tests.factories import StaffFactory
from tests.outsiders import DRIVER_AT, OUTSIDERS, find_mark, outsider, rows_of, somebodys_trip
from tests.realtime.conftest import Client, Connect, Frame
from trips import accepting, bookings, driving, messages
from trips.models import Trip
from trips.states import TripStatus

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]

# What each command says of the trip, by its tag. `cursor`: of before everything.
FILLED: dict[str, Callable[[Trip, str], Frame]] = {
    "driver.subscribe": lambda _trip, _cursor: {},
    "driver.unsubscribe": lambda _trip, _cursor: {},
    "trip.subscribe": lambda trip, _cursor: {"trip_ids": [trip.pk]},
    "trip.unsubscribe": lambda trip, _cursor: {"trip_ids": [trip.pk]},
    "trip.offer.accept": lambda trip, _cursor: {"offer_id": trip.offers.order_by("pk")[0].pk},
    "trip.offer.decline": lambda trip, _cursor: {"offer_id": trip.offers.order_by("pk")[0].pk},
    "driver.location.update": lambda _trip, _cursor: {"points": [{"lat": 51.2, "lng": 71.4}]},
    "driver.availability.update": lambda _trip, _cursor: {"availability": "available"},
    "trip.status.update": lambda trip, _cursor: {"trip_id": trip.pk, "status": "driver_arrived", "code": "8351"},
    "trip.message.send": lambda trip, _cursor: {"trip_id": trip.pk, "text": "Where are you?"},
    "ops.view": lambda _trip, _cursor: {"south": 43, "west": 76, "north": 44, "east": 77, "zoom": 14},
    "resume": lambda _trip, cursor: {"cursor": cursor},
    "ping": lambda _trip, _cursor: {},
}
# Nobody's account is refused for anything else than who they are.
REFUSED = {4401, 4403}


class Ear:
    """A socket of an outsider, with everything that was said over it."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.said: list[str] = []
        self.cursor = ""
        self.is_open = True
        self._client = client

    async def listen(self, ref: str) -> None:
        """Take everything until what answers `ref`, or the end."""
        while self.is_open:
            message = await self._client.communicator.receive_output(timeout=10)
            if message["type"] == "websocket.close":
                assert message["code"] in REFUSED, self.name
                self.is_open = False
                return
            text = message["text"]
            self.said.append(text)
            if not text.startswith("{"):
                continue
            frame = msgspec.json.decode(text)
            self.cursor = self.cursor or frame.get("cursor", "")
            if frame.get("ref") == ref:
                return

    async def send(self, kind: str, **fields: Any) -> None:
        if self.is_open:
            await self._client.send(type=kind, ref=kind, **fields)
            await self.listen(kind)

    def heard(self) -> list[str]:
        return [text for text in self.said if find_mark(text)]


def _people(trip: Trip) -> dict[str, User | None]:
    return {"nobody": None} | {role: outsider(role, trip) for role in OUTSIDERS}


def _addresses(trip: Trip, driver_id: int) -> list[str]:
    names = {"trip_id": str(trip.pk), "driver_id": str(driver_id), "language": "en", "token": trip.dead_token}  # type: ignore[attr-defined]
    names |= {"kind": "week", "period": "2030-01-07"}
    routes = [str(pattern.pattern) for pattern in websocket_urlpatterns]
    return ["/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: names[found[1]], route) for route in routes]


async def _open_all(connect: Connect, trip: Trip, driver_id: int) -> list[Ear]:
    """Open each socket as each outsider; where they are refused they have heard why."""
    ears = []
    for role, user in (await run(_people)(trip)).items():
        for path in _addresses(trip, driver_id):
            ear = Ear(f"{role} at {path}", await connect(user, path, greeted=False))
            await ear.send("ping")
            ears.append(ear)
    return ears


async def _try_everything(ears: list[Ear], trip: Trip) -> None:
    """Send every command from each socket; none of them changes anything of the trip."""
    before = await run(rows_of)(trip)
    for command in get_args(events.Command):
        kind = command.__struct_config__.tag
        said = [await run(FILLED[kind])(trip, ear.cursor) for ear in ears]
        await asyncio.gather(*(ear.send(kind, **fields) for ear, fields in zip(ears, said, strict=True)))
    assert await run(rows_of)(trip) == before


def _story(trip: Trip, driver_id: int) -> list[Callable[[], object]]:
    """What happens to the trip, one step after the other, with everything that is said of it on the way."""

    def accept() -> None:
        accepting.accept(driver_id, trip.offers.get(driver=driver_id).pk)

    def write() -> None:
        messages.send(trip.pk, trip.organiser, text="zyrtau: at the gate")

    def delay() -> None:
        driving.update_status(driver_id, trip.pk, status="delayed", delay_minutes=5, delay_reason="zyrtau")

    steps = [TripStatus.EN_ROUTE, TripStatus.DRIVER_ARRIVED, TripStatus.PASSENGERS_BOARDED]
    steps += [TripStatus.IN_TRANSIT, TripStatus.ARRIVED, TripStatus.COMPLETED]
    walked = [lambda status=status: step_there(trip.pk, status, code="8351") for status in steps]
    return [accept, write, walked[0], delay, *walked[1:]]


async def test_outsiders_hear_nothing_of_a_trip_and_change_nothing(connect: Connect) -> None:
    trip = await run(somebodys_trip)(TripStatus.OFFERED)
    driver = await run(lambda: trip.offers.order_by("pk")[0].driver)()
    driver_user = await run(lambda: driver.user)()
    ears = await _open_all(connect, trip, driver.pk)
    assert any(ear.is_open for ear in ears)
    witness, driving_socket = await connect(trip.organiser), await connect(driver_user)
    await _try_everything(ears, trip)

    *steps, completed = _story(trip, driver.pk)
    for step in steps:
        await run(step)()
        await driving_socket.send(type="driver.location.update", points=[{"lat": DRIVER_AT[0], "lng": DRIVER_AT[1]}])
        programs = [ear for ear in ears if ear.name.endswith("/ws/")]
        await _try_everything(programs, trip)
    await _assert_silent(witness, "arrived", ears)
    await run(completed)()
    # Who drove a part of it rates its passenger now.
    others = [ear for ear in ears if not ear.name.startswith("driver of a former leg")]
    await _assert_silent(witness, "completed", others)


async def _assert_silent(witness: Client, status: str, ears: list[Ear]) -> None:
    """Wait until a status has come to whom it is for, so that it would have come to the others, too."""
    await witness.until("trip.status.updated", new=status)
    await asyncio.gather(*(ear.send("ping") for ear in ears))
    assert {ear.name: ear.heard() for ear in ears if ear.heard()} == {}


async def test_outsiders_hear_nothing_of_a_trip_that_is_cancelled(connect: Connect) -> None:
    trip = await run(somebodys_trip)(TripStatus.OFFERED)
    ears = await _open_all(connect, trip, await run(lambda: trip.offers.order_by("pk")[0].driver_id)())
    witness = await connect(trip.organiser)
    await run(lambda: bookings.cancel(trip.pk, StaffFactory.create(), reason="zyrtau"))()
    await _assert_silent(witness, "cancelled", ears)


async def test_ears_would_hear_it(connect: Connect) -> None:
    """The trip's own passenger, over the same sockets, hears of it, and their commands change it."""
    trip = await run(somebodys_trip)(TripStatus.EN_ROUTE)
    ear = Ear("organiser", await connect(trip.organiser, greeted=False))
    await ear.send("ping")
    assert ear.heard()
    with pytest.raises(AssertionError):
        await _try_everything([ear], trip)
