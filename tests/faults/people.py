"""People of the fault tests: programs that come back whenever a connection ends, and what they believe.

A person keeps the view that docs/protocol.md promises a client: what a snapshot says, then each durable event once
(by its id) and never a lower version of a trip. `truth` is the same view out of the database.
"""

import asyncio
import contextlib
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple, Self

import httpx
import websockets
from channels.db import database_sync_to_async
from django.db.models import Q
from websockets import Subprotocol

from drivers.models import Driver
from stepper.api.tokens import sign_in
from stepper.models import User
from tests.factories import DriverFactory, PassengerFactory
from tests.live import LiveServer
from trips import offers as trips_offers
from trips.models import Booking, Trip
from trips.states import BookingStatus, TripStatus

Frame = dict[str, Any]
run = database_sync_to_async

# Of the issue: after a recovery, and after a socket has opened again.
AGREE_WITHIN_S = 15
AGREE_AFTER_OPENING_S = 2
ANSWER_WITHIN_S = 10
BACK_OFF_S = 0.1
_OVER = {TripStatus.CANCELLED, TripStatus.COMPLETED}

# Each test has its own place on the map: nobody left over from another one is asked.
_places = itertools.count()


class View(NamedTuple):
    """The offers somebody can answer, and version and status of each unfinished trip they are on."""

    offers: set[int]
    trips: dict[int, tuple[int, str]]


def truth(user: User) -> View:
    driver_id = Driver.objects.filter(user=user).values_list("pk", flat=True).first()
    offers = {card.offer_id for card in trips_offers.open_cards(driver_id)} if driver_id else set()
    seats = Booking.objects.filter(passenger=user).exclude(status=BookingStatus.CANCELLED).values("trip")
    mine = Q(organiser=user) | Q(driver__user=user) | Q(pk__in=seats)
    rows = Trip.objects.unfinished().filter(mine).values_list("pk", "version", "status")
    return View(offers, {pk: (version, str(status)) for pk, version, status in rows})


class Program:
    """A program of one account on one server: it comes back whenever a connection ends, and resumes."""

    # Sent with each request and each opening of a socket.
    headers: Mapping[str, str] = {}

    def __init__(self, server: LiveServer, token: str, cursor: str = "") -> None:
        self.server = server
        self.token = token
        self.socket: Any = None
        # The last code a socket was closed with by the server, and how often one was opened.
        self.closed_with: int | None = None
        self.connections = 0
        self.opened_at = 0.0
        self.resyncs = 0
        self.frames: list[Frame] = []
        self.ids: Counter[str] = Counter()
        self._cursor = cursor
        self._changed = asyncio.Event()

    @property
    def protocols(self) -> list[Subprotocol]:
        return [Subprotocol("stepper.v1"), Subprotocol(f"bearer.{self.token}")]

    async def connect(self) -> Any:
        """One more socket, which nobody reads or brings back."""
        return await websockets.connect(
            f"{self.server.ws_url}/ws/", subprotocols=self.protocols, additional_headers=self.headers
        )

    async def keep(self) -> None:
        """Connects and reads until it is cancelled."""
        while True:
            with contextlib.suppress(OSError, websockets.InvalidHandshake, websockets.ConnectionClosed, TimeoutError):
                async with websockets.connect(
                    f"{self.server.ws_url}/ws/",
                    subprotocols=self.protocols,
                    additional_headers=self.headers,
                    close_timeout=1,
                    max_queue=None,
                ) as self.socket:
                    await self._read()
            self.socket = None
            self._changed.set()
            await asyncio.sleep(BACK_OFF_S)

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                await self._take(json.loads(text))
        finally:
            self.closed_with = self.socket.close_code

    async def _take(self, frame: Frame) -> None:
        self.frames.append(frame)
        event_id = frame.get("id", "")
        self.ids[event_id] += bool(event_id)
        self.resyncs += frame.get("code") == "resync.required"
        if self.ids[event_id] <= 1:
            self._believe(frame)
        missed_since = self._cursor
        self._cursor = frame.get("cursor") or self._cursor
        if frame["type"] == "connection.established":
            self.connections += 1
            self.opened_at = asyncio.get_running_loop().time()
            if missed_since:
                await self.send(type="resume", cursor=missed_since, ref="resume")
        self._changed.set()

    def _believe(self, frame: Frame) -> None:
        """Learn from a frame that is not a repeated one."""

    async def send(self, **command: Any) -> None:
        await self.socket.send(json.dumps(command))

    async def until(self, kind: str, since: int = 0, **fields: Any) -> Frame:
        """The first frame of a type and with these fields, of those that came after the first `since`."""
        return await self._first(lambda frame: frame["type"] == kind and fields.items() <= frame.items(), since)

    async def until_status(self, trip_id: int, status: str) -> Frame:
        """The first frame that says this of a trip: a change, or the snapshot where it is followed only since then."""
        return await self._first(
            lambda frame: frame.get("trip_id") == trip_id and status in (frame.get("new"), frame.get("status"))
        )

    async def _first(self, is_wanted: Callable[[Frame], bool], since: int = 0) -> Frame:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while True:
                self._changed.clear()
                for frame in self.frames[since:]:
                    if is_wanted(frame):
                        return frame
                await self._changed.wait()

    async def until_it(self, holds: Callable[[Self], bool]) -> None:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while not holds(self):
                self._changed.clear()
                await self._changed.wait()

    async def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        """One REST request to the person's server; raises httpx.TransportError where it does not answer."""
        headers = {"Authorization": f"Bearer {self.token}", **self.headers} | ({"Idempotency-Key": key} if key else {})
        async with httpx.AsyncClient(base_url=self.server.url, timeout=30) as client:
            return await client.request(method, f"/api/{path}", json=body, headers=headers)


class Person(Program):
    """One user's program on one server, and what it believes."""

    def __init__(self, user: User, server: LiveServer) -> None:
        super().__init__(server, sign_in(user)["access"])
        self.user = user
        self._offers: set[int] = set()
        self._trips: dict[int, tuple[int, str]] = {}

    @property
    def view(self) -> View:
        return View(set(self._offers), {pk: one for pk, one in self._trips.items() if one[1] not in _OVER})

    def _believe(self, frame: Frame) -> None:
        match frame["type"]:
            case "connection.established":
                self._offers, self._trips = set(), {}
            case "error" if frame["code"] == "resync.required":
                self._offers, self._trips = set(), {}
            case "trip.offer.created":
                self._offers.add(frame["offer_id"])
            case "trip.offer.expired":
                self._offers.discard(frame["offer_id"])
            case "trip.offer.accepted":
                self._offers.discard(frame["offer_id"])
                self._step(frame, "accepted")
            case "trip.status.updated":
                self._step(frame, frame["new"])
            case "trip.snapshot":
                self._step(frame, frame["status"])

    def _step(self, frame: Frame, status: str) -> None:
        known = self._trips.get(frame["trip_id"])
        if known is None or frame["version"] >= known[0]:
            self._trips[frame["trip_id"]] = (frame["version"], status)


@contextlib.asynccontextmanager
async def online(*people: Program) -> AsyncIterator[None]:
    """They keep their sockets open; returns once each has been greeted."""
    tasks = [asyncio.create_task(one.keep()) for one in people]
    try:
        for one in people:
            await one.until("connection.established")
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def agree(*people: Person) -> None:
    """Every view equals the database, within what the issue allows since now or since the socket opened."""
    loop = asyncio.get_running_loop()
    until = loop.time() + AGREE_WITHIN_S
    for one in people:
        while one.view != (true := await run(truth)(one.user)) or one.socket is None:
            reopened_until = one.opened_at + AGREE_AFTER_OPENING_S if one.connections > 1 and one.socket else until
            assert loop.time() < max(until, reopened_until), f"{one.view} is not {true}"
            await asyncio.sleep(0.02)


async def eventually_none(of: Callable[[], object]) -> None:
    """Returns once nothing is there; fails with what last was, where that takes longer than a recovery may."""
    until = asyncio.get_running_loop().time() + AGREE_WITHIN_S
    while last := of():
        assert asyncio.get_running_loop().time() < until, f"still {last!r}"
        await asyncio.sleep(0.02)


async def eventually(holds: Callable[[], bool]) -> None:
    await eventually_none(lambda: not holds())


def somewhere() -> tuple[float, float]:
    """A place hundreds of kilometres from every other one."""
    number = next(_places)
    return 40.0 + 3 * (number // 10), 50.0 + 5 * (number % 10)


def beside(booking: Frame, steps: int = 1) -> dict[str, float]:
    """A point so many steps of a hundred metres north of where the cast's driver is."""
    pickup = booking["pickup"]
    return {"lat": round(pickup["lat"] + steps / 1000, 3), "lng": pickup["lng"]}


def cast(driver_on: LiveServer, passenger_on: LiveServer) -> tuple[Person, Person, Frame]:
    """A driver who is available, a passenger beside them, and what the passenger books."""
    lat, lng = somewhere()
    driver = DriverFactory.create(at=(lat, lng))
    booking = {"pickup": {"name": "A", "lat": lat, "lng": lng}, "dropoff": {"name": "B", "lat": lat + 0.1, "lng": lng}}
    return Person(driver.user, driver_on), Person(PassengerFactory.create(), passenger_on), booking
