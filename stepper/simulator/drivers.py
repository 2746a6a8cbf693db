"""A virtual driver: everything over one socket, as the phone of a real one would do it.

One task keeps the socket, one lives: drives the trip that is due or moves about, and sends positions. Each offer
is thought about in a task of its own that ends when the offer does. What the driver believes about a trip comes
from frames; after a reconnect or a refused step it is asked again.
"""

import asyncio
import datetime as dt
import time
from dataclasses import dataclass
from random import Random
from typing import NoReturn, Protocol

from realtime import events
from stepper.simulator.client import STARS, Account, BackOff, Gone, Line, Refused
from stepper.simulator.clock import DRIVING_KMH, Clock, Spot, away, heading_deg, km_between, now, towards
from trips import states
from trips.states import TripStatus

# Coming this much before departure to a trip that is not for now.
EARLY = dt.timedelta(minutes=5)
# "Still here", said again so that nobody is taken offline in the middle of a long day.
STILL_HERE_S = 20 * 60.0
# Suspended, a driver finishes the trip in hand and otherwise only asks this often whether they may work again.
BARRED_S = 60.0
# Between two tries to say "arrived" to a server that has not believed the position yet; real seconds.
NOT_THERE_S = 2.0
# Of the time to answer, at most.
LOOKED_AT_FOR = 0.8


@dataclass(frozen=True)
class Manners:
    """How drivers of a city behave; seconds are the city's unless they say real."""

    answer_s: tuple[float, float] = (1.0, 8.0)
    # Nobody races for a passenger at the other end of town: the nearer have this much time more, up to a limit.
    answer_s_per_km: float = 8.0
    answer_far_s: float = 40.0
    declines: float = 0.1
    at_pickup_s: tuple[float, float] = (20.0, 60.0)
    at_dropoff_s: tuple[float, float] = (10.0, 30.0)
    moving_real_s: float = 3.0
    # Within the age at which a position counts as dark, whatever the pace.
    standing_real_s: float = 30.0
    # Idle drivers move about within this distance of `home`; None: they stand where they are.
    wander_km: float | None = None
    wander_kmh: float = 25.0

    def hesitates_s(self, rng: Random, km: float, to_answer: dt.timedelta) -> float:
        """Seconds until a driver so far from the pickup answers; nobody looks on until the time is nearly up."""
        far_s = min(self.answer_far_s, self.answer_s_per_km * km)
        return min(rng.uniform(*self.answer_s) + far_s, LOOKED_AT_FOR * to_answer.total_seconds())


@dataclass
class Job:
    """A trip of this driver as far as they know."""

    trip_id: int
    version: int
    status: TripStatus
    pickup: Spot
    dropoff: Spot
    departure_at: dt.datetime
    # Something was refused or missed: ask before the next step.
    doubtful: bool = False
    over: bool = False


class Restraint(Protocol):
    """What holds a virtual driver back for the sake of persons."""

    async def wait(self, card: events.OfferCreated) -> None:
        """Returns when the offer may be taken."""

    async def may_decline(self, card: events.OfferCreated) -> bool: ...


class VirtualDriver:
    def __init__(
        self,
        account: Account,
        home: Spot,
        clock: Clock,
        rng: Random,
        manners: Manners,
        restraint: Restraint | None = None,
    ) -> None:
        self.line = Line(account, self._on_frame)
        self.driver_id: int | None = None
        # Set when the server has taken "available" for the first time.
        self.online = asyncio.Event()
        self._account = account
        # Kept so that the loop does not lose it.
        self._rating: asyncio.Task[None] | None = None
        self.spot = home
        self.completed = 0
        self._home = home
        self._clock = clock
        self._rng = rng
        self._manners = manners
        self._restraint = restraint
        self._jobs: dict[int, Job] = {}
        self._cards: dict[int, events.OfferCreated] = {}
        self._thinking: dict[int, asyncio.Task[None]] = {}
        self._answering = asyncio.Lock()
        self._wake = asyncio.Event()
        self._said_here_at = 0.0
        self._barred_until = 0.0
        self._greeted = 0
        self._goal = home

    @property
    def is_free(self) -> bool:
        return self.line.connected.is_set() and not any(self._is_due(job) for job in self._jobs.values())

    @property
    def is_driving(self) -> bool:
        return any(self._is_due(job) for job in self._jobs.values())

    @property
    def _is_barred(self) -> bool:
        return time.monotonic() < self._barred_until

    async def run(self) -> None:
        """For ever. Raises Refused where the account is not let in."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.line.keep())
                group.create_task(self._live())
        finally:
            for task in list(self._thinking.values()):
                task.cancel()

    async def go_offline(self) -> None:
        if not self.is_driving:
            await self.line.send(events.AvailabilityUpdate(availability="offline"))

    # What the server says

    def _on_frame(self, frame: events.Frame) -> None:
        match frame:
            case events.ConnectionEstablished():
                self.driver_id = frame.driver_id
                self._wake.set()
            case events.OfferCreated():
                self._consider(frame)
            case events.OfferExpired():
                self._forget(frame.offer_id)
            case events.OfferAccepted():
                if frame.driver.id == self.driver_id:
                    self._have(frame.trip_id, frame.version, frame.offer_id)
            case events.TripSnapshot():
                self._learn(frame)
            case events.TripStatusUpdated():
                self._moved(frame)
            case events.Error(code="driver.not_approved"):
                self._barred_until = time.monotonic() + BARRED_S
            case _:
                pass

    def _consider(self, card: events.OfferCreated) -> None:
        # Delivered at least once, and again on each connection.
        if card.offer_id not in self._thinking:
            self._cards[card.offer_id] = card
            task = asyncio.create_task(self._answer(card))
            self._thinking[card.offer_id] = task
            task.add_done_callback(lambda _task: self._thought(card.offer_id))

    def _thought(self, offer_id: int) -> None:
        self._thinking.pop(offer_id, None)
        self._cards.pop(offer_id, None)

    def _forget(self, offer_id: int) -> None:
        if task := self._thinking.get(offer_id):
            task.cancel()

    def _have(self, trip_id: int, version: int, offer_id: int | None) -> None:
        """The trip is this driver's; without its card (assigned by staff) the socket is asked for it."""
        card = self._cards.get(offer_id) if offer_id is not None else None
        if trip_id not in self._jobs:
            if card is None:
                self._jobs[trip_id] = Job(
                    trip_id, version, TripStatus.ACCEPTED, self.spot, self.spot, now(), doubtful=True
                )
            else:
                pickup, dropoff = _spot(card.pickup), _spot(card.dropoff)
                self._jobs[trip_id] = Job(trip_id, version, TripStatus.ACCEPTED, pickup, dropoff, card.departure_at)
        self._wake.set()

    def _learn(self, trip: events.TripSnapshot) -> None:
        job = self._jobs.get(trip.trip_id)
        if trip.driver is None or trip.driver.id != self.driver_id or trip.status in states.FINISHED:
            if job is not None:
                job.status = TripStatus(trip.status)
            self._end(trip.trip_id)
            return
        if job is None:
            job = self._jobs[trip.trip_id] = Job(
                trip.trip_id,
                trip.version,
                TripStatus(trip.status),
                _spot(trip.pickup),
                _spot(trip.dropoff),
                trip.departure_at,
            )
        elif trip.version >= job.version:
            job.version, job.status = trip.version, TripStatus(trip.status)
            job.pickup, job.dropoff, job.departure_at = _spot(trip.pickup), _spot(trip.dropoff), trip.departure_at
        job.doubtful = False
        self._wake.set()

    def _moved(self, change: events.TripStatusUpdated) -> None:
        job = self._jobs.get(change.trip_id)
        if job is None or change.version < job.version:
            return
        job.version, job.status = change.version, TripStatus(change.new)
        if job.status in states.FINISHED or job.status in states.OPEN:
            self._end(change.trip_id)
        self._wake.set()

    def _end(self, trip_id: int) -> None:
        job = self._jobs.pop(trip_id, None)
        if job is not None and not job.over:
            job.over = True
            if job.status == TripStatus.COMPLETED:
                self.completed += 1
                self._rating = asyncio.create_task(self._rate(trip_id))
            self._wake.set()

    async def _rate(self, trip_id: int) -> None:
        try:
            await self._account.call("POST", f"/api/trips/{trip_id}/rate", {"stars": self._rng.choice(STARS)})
        except Refused as refusal:
            if refusal.code != "rating.already_given":
                self._account.api.tally.refusal(refusal.code)

    # Answering offers

    async def _answer(self, card: events.OfferCreated) -> None:
        manners = self._manners
        to_answer = (card.expires_at - card.created_at) * self._clock.speed
        await self._clock.sleep(manners.hesitates_s(self._rng, card.distance_km, to_answer))
        held_back = self._restraint
        whim = self._rng.random() < manners.declines
        if whim and (held_back is None or await held_back.may_decline(card)):
            await self._settle(events.OfferDecline(offer_id=card.offer_id, reason="Not this one"))
            return
        if held_back is not None:
            await held_back.wait(card)
        # One thing at a time; what a driver can no longer take the server takes back by itself.
        async with self._answering:
            if not self.is_driving and await self._settle(events.OfferAccept(offer_id=card.offer_id)):
                self._have(card.trip_id, card.version, card.offer_id)

    async def _settle(self, command: events.OfferAccept | events.OfferDecline) -> bool:
        """Whether the server took the answer; asked again while it is away and the offer still stands."""
        back_off = BackOff(self._rng)
        card = self._cards[command.offer_id]
        while now() < card.expires_at:
            await self.line.connected.wait()
            try:
                await self.line.ask(command)
                return True
            except Gone:
                await back_off.sleep()
            except Refused as refusal:
                if refusal.code != "rate.limited":
                    return False
                await asyncio.sleep(refusal.retry_after_s or 5)
        return False

    # Living

    async def _live(self) -> NoReturn:
        while True:
            await self.line.connected.wait()
            await self._greet()
            job = self._due_job()
            if job is None:
                await self._idle()
            elif job.doubtful:
                await self._ask_about(job)
            else:
                await self._advance(job)

    async def _greet(self) -> None:
        """Once a connection: online, here, and what became of the trips in hand."""
        if self._greeted != self.line.connections:
            self._greeted = self.line.connections
            self._said_here_at = 0.0
            await self._send_spot(moving=False)
            for job in self._jobs.values():
                job.doubtful = True
        if self._is_barred:
            return
        if time.monotonic() - self._said_here_at > STILL_HERE_S or not self._said_here_at:
            try:
                await self.line.ask(events.AvailabilityUpdate(availability="available"))
            except (Gone, Refused):
                # Said again on the next round of life; what was refused is in the tally.
                await self._pause(5)
            else:
                self._said_here_at = time.monotonic()
                self.online.set()

    def _is_due(self, job: Job) -> bool:
        if job.status != TripStatus.ACCEPTED:
            return True
        on_the_way = dt.timedelta(seconds=self._clock.driving_s(km_between(self.spot, job.pickup)))
        return job.doubtful or now() >= job.departure_at - on_the_way - EARLY

    def _due_job(self) -> Job | None:
        due = [job for job in self._jobs.values() if self._is_due(job)]
        return min(due, key=lambda job: (job.status == TripStatus.ACCEPTED, job.departure_at), default=None)

    async def _ask_about(self, job: Job) -> None:
        try:
            await self.line.ask(events.TripSubscribe(trip_ids=[job.trip_id]))
        except Refused:
            self._end(job.trip_id)
        except Gone:
            await self._pause(1)
        else:
            # The snapshot comes before or right after the answer.
            if job.doubtful and not job.over:
                await self._pause(1)

    async def _advance(self, job: Job) -> None:
        """The next step of a trip, with what comes before it."""
        match job.status:
            case TripStatus.EN_ROUTE:
                if not await self._drive(job, job.pickup):
                    return
            case TripStatus.DRIVER_ARRIVED:
                await self._stand(job, self._manners.at_pickup_s)
            case TripStatus.IN_TRANSIT:
                if not await self._drive(job, job.dropoff):
                    return
            case TripStatus.ARRIVED:
                await self._stand(job, self._manners.at_dropoff_s)
            case _:
                pass
        step = states.next_step(job.status)
        if step is None:
            self._end(job.trip_id)
        elif not job.over and not job.doubtful:
            await self._step(job, step)

    async def _step(self, job: Job, step: TripStatus) -> None:
        spot = self.spot
        update = events.StatusUpdate(trip_id=job.trip_id, status=step.value, lat=spot.lat, lng=spot.lng)
        try:
            await self.line.ask(update)
        except Gone:
            job.doubtful = True
        except Refused as refusal:
            await self._refused(job, refusal)
        else:
            job.status = step
            if step == TripStatus.COMPLETED:
                self._end(job.trip_id)

    async def _refused(self, job: Job, refusal: Refused) -> None:
        if refusal.code == "rate.limited":
            await self._pause(refusal.retry_after_s or 5)
        elif refusal.code == "trip.boarding_too_early":
            await self._pause(30)
        elif refusal.code == "trip.not_at_pickup":
            # The server believes an older position; the next ones will have it believe where this driver is.
            await self._send_spot(moving=False)
            await self._pause(NOT_THERE_S)
        elif refusal.code == "trip.transition_refused":
            job.doubtful = True
        else:
            self._end(job.trip_id)

    # Moving

    async def _drive(self, job: Job, goal: Spot) -> bool:
        """Drives to `goal`, sending positions; False when the trip ended or must be asked about on the way."""
        wanted = job.status
        left_at, start, whole = time.monotonic(), self.spot, km_between(self.spot, goal)
        while True:
            done = (time.monotonic() - left_at) * self._clock.km_per_real_s
            self.spot = goal if done >= whole else towards(start, goal, done)
            await self._send_spot(moving=self.spot != goal, goal=goal)
            if self.spot == goal:
                return True
            await self._pause(min(self._manners.moving_real_s, self._clock.driving_s(whole - done)))
            if job.over or job.doubtful or job.status != wanted or not self.line.connected.is_set():
                return False

    async def _stand(self, job: Job, span_s: tuple[float, float]) -> None:
        """Waits for people to get in or out."""
        until = time.monotonic() + self._clock.real_s(self._rng.uniform(*span_s))
        wanted = job.status
        while (left := until - time.monotonic()) > 0 and job.status == wanted and not job.over:
            await self._pause(min(left, self._manners.standing_real_s))
            if until - time.monotonic() > 0:
                await self._send_spot(moving=False)

    async def _idle(self) -> None:
        """One leg of moving about, or standing with a position now and then."""
        reach = self._manners.wander_km
        if self._is_barred:
            self._said_here_at = 0.0
            await self._pause(BARRED_S)
            return
        if reach is None:
            await self._send_spot(moving=False)
            await self._pause(self._manners.standing_real_s)
            return
        if self.spot == self._goal:
            self._goal = away(self._home, self._rng.uniform(0, 360), reach * self._rng.random() ** 0.5)
            await self._pause(self._rng.uniform(2, 20))
        else:
            km = self._manners.wander_kmh / 3600 * self._manners.moving_real_s
            self.spot = towards(self.spot, self._goal, km)
            await self._send_spot(moving=True, goal=self._goal, kmh=self._manners.wander_kmh)
            await self._pause(self._manners.moving_real_s)

    async def _send_spot(self, moving: bool, goal: Spot | None = None, kmh: float = DRIVING_KMH) -> None:
        if self._is_barred:
            return
        # The speed is the city's: an ETA from it is right in the city's minutes.
        point = events.Point(
            lat=self.spot.lat,
            lng=self.spot.lng,
            heading_deg=heading_deg(self.spot, goal) if moving and goal else None,
            speed_kmh=kmh if moving else 0.0,
            accuracy_m=8.0,
            recorded_at=now(),
        )
        await self.line.send(events.LocationUpdate(points=[point]))

    async def _pause(self, real_s: float) -> None:
        """Ends early when something happened."""
        self._wake.clear()
        try:
            async with asyncio.timeout(real_s):
                await self._wake.wait()
        except TimeoutError:
            pass


def _spot(place: events.Place) -> Spot:
    return Spot(place.lat, place.lng)
