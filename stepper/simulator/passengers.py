"""A virtual passenger: books over REST, watches over a socket, rates at the end."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NoReturn

from realtime import events
from stepper.simulator.client import STARS, Account, ReconnectingSocket, Refused
from stepper.simulator.clock import Spot
from trips import states
from trips.states import TripStatus

# trip.subscribe takes so many at once.
SUBSCRIBE_AT_ONCE = 100


@dataclass
class Watched:
    """A trip as its passenger sees it."""

    trip_id: int
    status: TripStatus
    version: int = 0

    @property
    def is_over(self) -> bool:
        return self.status in states.FINISHED


OnChange = Callable[[Watched], None]


class VirtualPassenger:
    """One passenger of the city: watches and rates as long as `run` runs."""

    def __init__(self, account: Account, rng: Random, on_change: OnChange = lambda _trip: None) -> None:
        self.socket = ReconnectingSocket(account, self._on_frame)
        self.trips: dict[int, Watched] = {}
        self.completed = 0
        self._account = account
        self._rng = rng
        # Called whenever a trip of theirs changed.
        self._on_change = on_change
        self._to_rate: list[int] = []
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Return how many of their trips are not over."""
        return sum(not trip.is_over for trip in self.trips.values())

    async def run(self) -> None:
        """Live for ever. Raises Refused where the account is not let in."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.socket.keep_open())
            group.create_task(self._watch_trips())

    async def _watch_trips(self) -> NoReturn:
        greeted = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            if greeted != self.socket.connections:
                greeted = self.socket.connections
                # The snapshots that this brings say what was missed.
                await self._subscribe([trip.trip_id for trip in self.trips.values() if not trip.is_over])
            await self._rate()

    async def book(
        self, pickup: Spot, dropoff: Spot, *, names: tuple[str, str], seats: int = 1, stops: Sequence[Spot] = ()
    ) -> Watched:
        """Book a trip for now; a server that is away in between gets the same request again, so it is one trip.

        `names`: of the pickup and the drop-off.

        Raises:
            Refused: the service will not have it.
        """
        body = {
            "pickup": _place(pickup, names[0]),
            "dropoff": _place(dropoff, names[1]),
            "seats": seats,
            "vehicle_class": "sedan",
            "stops": [_place(stop, f"Stop {number}") for number, stop in enumerate(stops, 1)],
        }
        answer = await self._account.call("POST", "/api/trips", body=body, key=uuid.uuid4().hex)
        trip = Watched(int(answer["id"]), TripStatus(answer["status"]))
        trip = self.trips.setdefault(trip.trip_id, trip)
        self._on_change(trip)
        await self._subscribe([trip.trip_id])
        return trip

    async def _rate(self) -> None:
        while self._to_rate:
            trip_id = self._to_rate.pop()
            try:
                await self._account.call("POST", f"/api/trips/{trip_id}/rate", body={"stars": self._rng.choice(STARS)})
            except Refused as refusal:
                if refusal.code != "rating.already_given":
                    self._account.api.tally.add_refusal(refusal.code)

    async def _subscribe(self, trip_ids: Sequence[int]) -> None:
        for start in range(0, len(trip_ids), SUBSCRIBE_AT_ONCE):
            # Not connected: everything unfinished is subscribed to on the next connection.
            await self.socket.send(events.TripSubscribe(trip_ids=list(trip_ids[start : start + SUBSCRIBE_AT_ONCE])))

    def _on_frame(self, frame: events.Frame) -> None:
        match frame:
            case events.ConnectionEstablished():
                self._wake.set()
            case events.TripSnapshot():
                self._learn(frame.trip_id, frame.version, frame.status)
            case events.TripStatusUpdated():
                self._learn(frame.trip_id, frame.version, frame.new)
            case _:
                pass

    def _learn(self, trip_id: int, version: int, status: str) -> None:
        trip = self.trips.get(trip_id)
        if trip is None or version < trip.version:
            return
        was, trip.version, trip.status = trip.status, version, TripStatus(status)
        if trip.status == was:
            return
        if trip.status == TripStatus.COMPLETED:
            self.completed += 1
            self._to_rate.append(trip_id)
            self._wake.set()
        self._on_change(trip)


def _place(spot: Spot, name: str) -> dict[str, str | float]:
    return {"name": name, "address": "", "lat": spot.lat, "lng": spot.lng}
