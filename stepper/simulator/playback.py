"""Play rides of a file against servers: drivers wait where the pick-ups are, passengers book when their time comes."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NoReturn

from stepper.simulator.behaviour import Behaviour
from stepper.simulator.client import Account, Api, Refused, Tally, first_cause
from stepper.simulator.clock import Clock, Spot
from stepper.simulator.drivers import VirtualDriver
from stepper.simulator.passengers import VirtualPassenger, Watched
from stepper.simulator.people import People
from stepper.simulator.pickups import Ride
from trips import states
from trips.states import TripStatus

# Nothing changes any more. With every driver free and nobody being asked, what is unfilled stays so until the server
# looks again, a quarter of an hour later. Otherwise the longest deadline of a trip for now has to pass first.
QUIET_IDLE_S = 15.0
QUIET_S = 180.0
ONLINE_S = 180.0
# Between two looks at whether the servers are ready, and the longest that one may not be.
READINESS_S = 1.0
AWAY_S = 600.0
BEHAVIOUR = Behaviour(moving_real_s=2.0)


class NotServed(Exception):
    """The servers cannot be used for a replay."""


@dataclass
class Progress:
    """Where a replay is; `changed_at` is on the monotonic clock, `away` counts the servers that are not ready."""

    rides: int
    statuses: dict[int, TripStatus]
    refused: int = 0
    changed_at: float = 0.0
    away: int = 0

    def note_status(self, trip: Watched) -> None:
        self.statuses[trip.trip_id] = trip.status
        self.changed_at = time.monotonic()

    @property
    def counts(self) -> Counter[TripStatus]:
        return Counter(self.statuses.values())

    @property
    def booked(self) -> int:
        return len(self.statuses) + self.refused

    @property
    def over(self) -> int:
        return sum(status in states.FINISHED for status in self.statuses.values()) + self.refused

    def is_over(self, drivers_free: bool) -> bool:
        """Return whether every ride was booked and ended, or what is left does not move; never while a server waits."""
        if self.booked < self.rides or self.away:
            return False
        left = {status for status in self.statuses.values() if status not in states.FINISHED}
        if not left:
            return True
        quiet_s = time.monotonic() - self.changed_at
        return quiet_s > (QUIET_IDLE_S if drivers_free and left == {TripStatus.UNFILLED} else QUIET_S)


class Playback:
    """One replay. `tick` is called several times a second with the progress, `say` with what happened to a server."""

    def __init__(
        self,
        urls: Sequence[str],
        people: People,
        *,
        rides: Sequence[Ride],
        clock: Clock,
        seed: int,
        tick: Callable[[Progress], None],
        say: Callable[[str], None],
    ) -> None:
        self.tally = Tally()
        self.progress = Progress(len(rides), {})
        # Where the drivers began.
        self.homes: list[Spot] = []
        self._rides = rides
        self._clock = clock
        self._people = people
        self._urls = urls
        self._rng = Random(f"{seed}:people")
        self._tick = tick
        self._say = say

    async def play(self) -> None:
        """Play all rides; return when every trip is over or nothing moves any more. Raises NotServed."""
        apis = [Api(url, self.tally) for url in self._urls]
        try:
            await self._play(apis)
        except ExceptionGroup as group:
            cause = first_cause(group)
            if isinstance(cause, NotServed):
                raise cause from group
            if isinstance(cause, Refused):
                raise NotServed(f"An account was not let in: {cause}") from group
            raise cause from group
        finally:
            await asyncio.gather(*(api.close() for api in apis))

    async def _play(self, apis: Sequence[Api]) -> None:
        drivers = self._create_drivers(apis)
        passengers = self._create_passengers(apis)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(driver.run()) for driver in drivers]
            tasks += [group.create_task(self._watch_readiness(api)) for api in apis]
            await self._until_online(drivers)
            tasks += [group.create_task(passenger.run()) for passenger in passengers]
            group.create_task(self._book_all(passengers))
            self.progress.changed_at = time.monotonic()
            while not self.progress.is_over(all(driver.is_free for driver in drivers)):
                self._tick(self.progress)
                await asyncio.sleep(0.25)
            self._tick(self.progress)
            for task in tasks:
                task.cancel()

    async def _watch_readiness(self, api: Api) -> NoReturn:
        """Say when a server waits for something and when it goes on. Raises NotServed after AWAY_S.

        Everybody repeats what was not answered, with the same key; while a server waits, it is no sign of the end that
        nothing moves.
        """
        away_since: float | None = None
        while True:
            codes = await api.readiness_codes()
            now_s = time.monotonic()
            if codes:
                if away_since is None:
                    away_since = now_s
                    self.progress.away += 1
                    self._say(f"{api.url} waits ({', '.join(codes)}); the replay goes on when it is ready.")
                elif now_s - away_since > AWAY_S:
                    raise NotServed(f"{api.url} was not ready for {AWAY_S:.0f} s ({', '.join(codes)}).")
                self.progress.changed_at = now_s
            elif away_since is not None:
                self._say(f"{api.url} is ready again after {now_s - away_since:.0f} s.")
                self.progress.away -= 1
                away_since = None
            await asyncio.sleep(READINESS_S)

    def _accounts(self, apis: Sequence[Api], emails: Iterable[str]) -> list[Account]:
        return [
            Account(apis[index % len(apis)], email, password=self._people.password, rng=Random(self._rng.random()))
            for index, email in enumerate(emails)
        ]

    def _create_drivers(self, apis: Sequence[Api]) -> list[VirtualDriver]:
        """Create the drivers, each where somebody of the file is picked up."""
        accounts = self._accounts(apis, self._people.drivers)
        self.homes = [self._rng.choice(self._rides).pickup for _account in accounts]
        return [
            VirtualDriver(account, home, clock=self._clock, rng=account.rng, behaviour=BEHAVIOUR)
            for account, home in zip(accounts, self.homes, strict=True)
        ]

    def _create_passengers(self, apis: Sequence[Api]) -> list[VirtualPassenger]:
        # On another server than the driver of the same number, where there are several.
        shifted = [*apis[1:], *apis[:1]]
        return [
            VirtualPassenger(account, account.rng, self.progress.note_status)
            for account in self._accounts(shifted, self._people.passengers)
        ]

    async def _until_online(self, drivers: Sequence[VirtualDriver]) -> None:
        try:
            async with asyncio.timeout(ONLINE_S):
                for driver in drivers:
                    await driver.online.wait()
        except TimeoutError as error:
            online = sum(driver.online.is_set() for driver in drivers)
            raise NotServed(f"Only {online} of {len(drivers)} drivers came online in {ONLINE_S:.0f} s.") from error

    async def _book_all(self, passengers: Sequence[VirtualPassenger]) -> None:
        start, first = time.monotonic(), self._rides[0].at
        queue = deque(passengers)
        async with asyncio.TaskGroup() as group:
            for ride in self._rides:
                due = start + self._clock.real_s((ride.at - first).total_seconds())
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                queue.rotate(-1)
                # Who waits for the fewest trips; the queue turns, so that of several it is not always the same one.
                passenger = min(queue, key=lambda one: one.waiting)
                group.create_task(self._book(passenger, ride))

    async def _book(self, passenger: VirtualPassenger, ride: Ride) -> None:
        try:
            await passenger.book(ride.pickup, ride.dropoff, names=(_name(ride.pickup), _name(ride.dropoff)))
        except Refused as refusal:
            self.tally.add_trouble(f"refused a booking: {refusal}")
            self.progress.refused += 1


def _name(spot: Spot) -> str:
    return f"{spot.lat:.4f}, {spot.lng:.4f}"
