"""A city that lives around a running server: virtual drivers on the move, virtual passengers who book now and then.

Persons come first. An offer that a person also holds, or whose trip a person booked, is left to persons for a while;
and there are always drivers kept free, so that a person who books is answered.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import NoReturn

from django.db import DatabaseError

from realtime import events
from stepper.db.transactions import run_in_thread
from stepper.simulator.behaviour import Behaviour
from stepper.simulator.client import Account, Api, Refused, Tally, first_cause
from stepper.simulator.clock import Clock, Spot, away, km_between, now
from stepper.simulator.drivers import VirtualDriver
from stepper.simulator.passengers import VirtualPassenger
from stepper.simulator.people import People, Persons

# Where people of Almaty want to go; the first is where the city begins for a driver.
PLACES: dict[str, Spot] = {
    "Abay Square": Spot(43.2430, 76.9577),
    "Green Bazaar": Spot(43.2645, 76.9532),
    "Almaty-2 station": Spot(43.2731, 76.9404),
    "Almaty-1 station": Spot(43.3420, 76.9491),
    "Panfilov Park": Spot(43.2588, 76.9536),
    "Kok-Tobe": Spot(43.2304, 76.9569),
    "Dostyk Plaza": Spot(43.2335, 76.9566),
    "Esentai Mall": Spot(43.2186, 76.9277),
    "First President Park": Spot(43.1885, 76.8863),
    "Mega Alma-Ata": Spot(43.2017, 76.8924),
    "Sayran bus station": Spot(43.2400, 76.8570),
    "Atakent": Spot(43.2250, 76.9075),
    "Botanical Garden": Spot(43.2190, 76.9120),
    "Almaty airport": Spot(43.3521, 77.0405),
    "Medeu": Spot(43.1622, 77.0800),
}
WANDER_KM = 4.0
BOOK_EVERY_S = 20.0
# Of the drivers, this share is kept free of bots' bookings.
RESERVE = 0.25
SHORTEST_RIDE_KM = 1.0
REPORT_EVERY_S = 60.0
LONGEST_WAIT = dt.timedelta(seconds=45)
# What a person booked is for a person: who plays both sides needs time to change windows, and to look at the card.
SWITCHING = dt.timedelta(seconds=20)
BOOKED_ALONE_FOR = dt.timedelta(seconds=90)
# Bots answer so long before an offer ends, however long they would leave it to a person.
SPARE = dt.timedelta(seconds=5)
# How often a waiting bot looks whether the person has answered.
LOOK_S = 2.0
# `manage.py run` waits 2 s for this process to end; going offline may take so much of it.
FAREWELL_S = 0.5


@dataclass(frozen=True)
class Courtesy:
    """How bots make room for persons; without a look into the database (a server elsewhere) they cannot."""

    persons: Persons | None
    # How long a person has an offer alone; of a trip that a person booked.
    alone_for: dt.timedelta = dt.timedelta(seconds=30)
    booked_alone_for: dt.timedelta = BOOKED_ALONE_FOR
    # How long a trip that a person booked waits for a driver who is a person, whether or not there is one.
    switching: dt.timedelta = SWITCHING

    async def wait(self, card: events.OfferCreated) -> None:
        """Return when a bot may accept this: no person holds it, or has held it alone for long enough."""
        if self.persons is None:
            return
        latest = min(card.created_at + BOOKED_ALONE_FOR, card.expires_at - SPARE)
        while now() < latest:
            until = latest
            # The database may be away as the server may; asked again.
            with suppress(DatabaseError):
                until = min(latest, await run_in_thread(self._reserved_until, self.persons, card))
            left = (until - now()).total_seconds()
            if left <= 0:
                return
            await asyncio.sleep(min(left, LOOK_S))

    def _reserved_until(self, persons: Persons, card: events.OfferCreated) -> dt.datetime:
        """Return until when a bot leaves this to persons, as it looks now."""
        has_booked, since = persons.has_booked(card.trip_id), persons.hold_since(card.trip_id)
        if has_booked:
            alone_until = since + self.booked_alone_for if since else card.created_at
            return max(alone_until, card.created_at + self.switching)
        if since is None:
            return card.created_at
        # However late the person came to it, the bot who booked is answered within a minute.
        return min(since + self.alone_for, card.created_at + LONGEST_WAIT)

    async def may_decline(self, card: events.OfferCreated) -> bool:
        """Return whether a bot may decline this: not a trip that a person booked."""
        if self.persons is None:
            return True
        try:
            return not await run_in_thread(self.persons.has_booked, card.trip_id)
        except DatabaseError:
            return False


class Simulation:
    """The virtual drivers and passengers of one server; `say` is called with a report now and then."""

    def __init__(
        self,
        url: str,
        people: People,
        *,
        persons: Persons | None,
        clock: Clock,
        rng: Random,
        say: Callable[[str], None],
    ) -> None:
        self.tally = Tally()
        self.refused: list[str] = []
        self._url = url
        self._people = people
        self._clock = clock
        self._rng = rng
        self._say = say
        self._courtesy = Courtesy(persons)
        self.drivers: list[VirtualDriver] = []
        self.passengers: list[VirtualPassenger] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Run the city until `stop` is set, then have drivers who are not driving go offline.

        Raises Refused where an account is not let in.
        """
        api = Api(self._url, self.tally)
        try:
            self._create_people(api)
            await self._run_all(stop)
        except ExceptionGroup as group:
            raise first_cause(group) from group
        finally:
            await api.close()

    async def _run_all(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(driver.run()) for driver in self.drivers]
            tasks += [group.create_task(passenger.run()) for passenger in self.passengers]
            tasks += [group.create_task(self._book_for_ever()), group.create_task(self._report_for_ever())]
            await stop.wait()
            try:
                async with asyncio.timeout(FAREWELL_S):
                    await asyncio.gather(*(driver.go_offline() for driver in self.drivers))
            except TimeoutError:
                pass
            for task in tasks:
                task.cancel()

    def _create_people(self, api: Api) -> None:
        places = list(PLACES.values())
        behaviour = Behaviour(wander_km=WANDER_KM)
        for email in self._people.drivers:
            rng = Random(self._rng.random())
            home = away(rng.choice(places[:-2]), rng.uniform(0, 360), rng.uniform(0, 2))
            account = Account(api, email, password=self._people.password_of(email), rng=rng)
            driver = VirtualDriver(
                account, home, clock=self._clock, rng=rng, behaviour=behaviour, restraint=self._courtesy
            )
            self.drivers.append(driver)
        for email in self._people.passengers:
            rng = Random(self._rng.random())
            account = Account(api, email, password=self._people.password_of(email), rng=rng)
            self.passengers.append(VirtualPassenger(account, rng))

    @property
    def free_drivers(self) -> int:
        return sum(driver.is_free for driver in self.drivers)

    async def _book_for_ever(self) -> NoReturn:
        # By then most drivers are online.
        await asyncio.sleep(BOOK_EVERY_S / 4)
        while True:
            passenger = self._choose_passenger()
            if passenger is not None:
                await self._book(passenger)
            await asyncio.sleep(BOOK_EVERY_S * self._rng.uniform(0.7, 1.3))

    def _choose_passenger(self) -> VirtualPassenger | None:
        """Choose who waits for the fewest trips; None: too few drivers would stay free for persons."""
        there = [one for one in self.passengers if one.socket.connected.is_set()]
        if not there or self.free_drivers <= RESERVE * len(self.drivers):
            return None
        self._rng.shuffle(there)
        return min(there, key=lambda one: one.waiting)

    async def _book(self, passenger: VirtualPassenger) -> None:
        (start, pickup), (end, dropoff) = self._draw_ride()
        try:
            await passenger.book(pickup, dropoff, names=(start, end))
        except Refused as refusal:
            self.tally.add_refusal(refusal.code)

    def _draw_ride(self) -> Sequence[tuple[str, Spot]]:
        while True:
            start, end = self._rng.sample(list(PLACES.items()), 2)
            if km_between(start[1], end[1]) >= SHORTEST_RIDE_KM:
                # People stand in front of the place, not on its centre.
                return (start[0], away(start[1], self._rng.uniform(0, 360), 0.15)), end

    async def _report_for_ever(self) -> NoReturn:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            online = sum(driver.socket.connected.is_set() for driver in self.drivers)
            driving = sum(driver.is_driving for driver in self.drivers)
            done = sum(driver.completed for driver in self.drivers)
            odd = f", unexpected: {dict(self.tally.trouble)}" if self.tally.total else ""
            self._say(f"City: {online} drivers online, {driving} on a trip, {done} trips completed{odd}")
