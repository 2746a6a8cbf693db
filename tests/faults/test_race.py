"""Two hundred drivers want one trip: half over HTTP, half over sockets, all holding its offer on an open socket."""

import asyncio
import json
import os
import time
from collections import Counter
from typing import Any

import httpx
import pytest
import websockets
from channels.db import database_sync_to_async
from websockets import Subprotocol

from drivers.models import Driver
from realtime import events
from stepper.api.tokens import sign_in
from stepper.models import ServiceSettings
from tests.factories import ALMATY, MEDEU, DriverFactory, PassengerFactory
from tests.live import LiveServer
from trips import bookings
from trips.booking_requests import BookingRequest
from trips.models import Offer, Trip
from trips.states import OfferStatus

DRIVERS = 200
# STEPPER_RACES=20 for a longer look.
ROUNDS = int(os.environ.get("STEPPER_RACES", "1"))
ALL_ANSWER_WITHIN_S = 60


class Contender:
    """A driver with an open socket, read all the time, who accepts over it or over HTTP."""

    def __init__(self, driver: Driver, by_socket: bool) -> None:
        self.driver = driver
        self.by_socket = by_socket
        self.token = sign_in(driver.user)["access"]
        self.socket: Any = None
        self.seen: dict[str, asyncio.Future[tuple[float, Any]]] = {}
        self.answered_at = 0.0

    async def connect(self, live: LiveServer) -> None:
        self.socket = await websockets.connect(
            f"{live.ws_url}/ws/",
            subprotocols=[Subprotocol("stepper.v1"), Subprotocol(f"bearer.{self.token}")],
            open_timeout=60,
        )
        await self.socket.recv()

    def expect(self) -> None:
        """Forgets the last race."""
        self.seen = {name: asyncio.get_running_loop().create_future() for name in ("card", "gone", "answer")}

    async def read(self) -> None:
        names = {"trip.offer.created": "card", "trip.offer.expired": "gone"}
        async for text in self.socket:
            frame = json.loads(text)
            name = "answer" if frame.get("ref") == "race" else names.get(frame["type"])
            if name is not None and not self.seen[name].done():
                self.seen[name].set_result((time.monotonic(), frame))

    async def accept(self, client: httpx.AsyncClient, trip_id: int) -> str:
        """`won` or the refusal's code."""
        if self.by_socket:
            _at, card = await self.seen["card"]
            await self.socket.send(
                json.dumps({"type": "trip.offer.accept", "offer_id": card["offer_id"], "ref": "race"})
            )
            self.answered_at, frame = await self.seen["answer"]
            return "won" if frame["type"] == "ack" else str(frame["code"])
        response = await client.post(
            f"/api/drivers/trips/accept/{trip_id}", headers={"Authorization": f"Bearer {self.token}"}
        )
        self.answered_at = time.monotonic()
        assert response.status_code in (200, 409), response.text
        return "won" if response.status_code == 200 else str(response.json()["code"])


@pytest.mark.django_db(transaction=True)
async def test_race_for_one_trip_has_one_winner(live: LiveServer) -> None:
    contenders = await database_sync_to_async(_contenders)()
    try:
        await _run(contenders, live)
    finally:
        await asyncio.gather(*(one.socket.close() for one in contenders if one.socket))
    assert "database is locked" not in live.log_text()
    assert " ERROR " not in live.log_text()


async def _run(contenders: list[Contender], live: LiveServer) -> None:
    await asyncio.gather(*(one.connect(live) for one in contenders))
    limits = httpx.Limits(max_connections=DRIVERS)
    async with (
        httpx.AsyncClient(base_url=live.url, timeout=ALL_ANSWER_WITHIN_S, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        for one in contenders:
            one.expect()
        readers = [group.create_task(one.read()) for one in contenders]
        for _round in range(ROUNDS):
            await _race(contenders, client)
        for reader in readers:
            reader.cancel()


async def _race(contenders: list[Contender], client: httpx.AsyncClient) -> None:
    for one in contenders:
        one.expect()
    trip = await database_sync_to_async(_book)()
    await asyncio.wait_for(asyncio.gather(*(one.seen["card"] for one in contenders)), 30)
    started_at = time.monotonic()
    outcomes = await asyncio.wait_for(
        asyncio.gather(*(one.accept(client, trip.pk) for one in contenders)), ALL_ANSWER_WITHIN_S
    )
    assert Counter(outcomes) == {"won": 1, "offer.taken": DRIVERS - 1}
    winner = contenders[outcomes.index("won")]
    losers = [one for one in contenders if one is not winner]
    gone = await asyncio.wait_for(asyncio.gather(*(one.seen["gone"] for one in losers)), 30)
    last_gone_s = max(at for at, _frame in gone) - winner.answered_at
    answered_s = max(one.answered_at for one in contenders) - started_at
    print(f"round: all answered in {answered_s:.2f} s, the last card gone {last_gone_s:.2f} s after the win")
    await database_sync_to_async(_assert_settled)(trip, winner.driver)


def _contenders() -> list[Contender]:
    ServiceSettings.objects.create(pk=1, round_size=DRIVERS, api_per_min=10_000)
    drivers = DriverFactory.create_batch(DRIVERS, at=ALMATY)
    return [Contender(driver, by_socket=number % 2 == 0) for number, driver in enumerate(drivers)]


def _book() -> Trip:
    request = BookingRequest(events.Place("Almaty", "", *ALMATY), events.Place("Medeu", "", *MEDEU))
    return bookings.book(PassengerFactory.create(), request)


def _assert_settled(trip: Trip, winner: Driver) -> None:
    trip.refresh_from_db()
    assert trip.driver_id == winner.pk
    outcomes = Counter(Offer.objects.filter(trip=trip).values_list("status", flat=True))
    assert outcomes == {OfferStatus.ACCEPTED: 1, OfferStatus.WITHDRAWN: DRIVERS - 1}
    # Frees the winner for the next round.
    bookings.cancel(trip.pk, trip.organiser)
