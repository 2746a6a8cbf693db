"""A virtual driver: everything over one socket, as the phone of a real one would do it.

One task keeps the socket open, another drives the trip that is due or moves about, and sends positions. Offers are
answered in answers.py. What the driver believes about a trip comes from frames (jobs.py); after a reconnect or a
refused step the server is asked.
"""

import asyncio
import time
from random import Random
from typing import NoReturn

from realtime import events
from stepper.simulator.answers import OfferAnswers
from stepper.simulator.behaviour import Behaviour, Restraint
from stepper.simulator.client import STARS, TOO_EARLY, Account, Gone, ReconnectingSocket, Refused
from stepper.simulator.clock import DRIVING_KMH, Clock, Spot, away, heading_deg, km_between, now, towards
from stepper.simulator.jobs import Job, Jobs
from trips import states
from trips.states import TripStatus

# "Available" is said again this often, so that nobody is taken offline in the middle of a long day.
STILL_HERE_S = 20 * 60.0
# Suspended, a driver finishes the trip in hand and otherwise only asks this often whether they may work again.
BARRED_S = 60.0
# Between two tries to say "arrived" to a server that has not believed the position yet; real seconds.
NOT_THERE_S = 2.0


class VirtualDriver:
    """One driver of the city: online as long as `run` runs."""

    def __init__(
        self,
        account: Account,
        home: Spot,
        *,
        clock: Clock,
        rng: Random,
        behaviour: Behaviour,
        restraint: Restraint | None = None,
    ) -> None:
        self.socket = ReconnectingSocket(account, self._on_frame)
        self.driver_id: int | None = None
        # Set when the server has taken "available" for the first time.
        self.online = asyncio.Event()
        self.spot = home
        self.completed = 0
        self._account = account
        self._home = home
        self._clock = clock
        self._rng = rng
        self._behaviour = behaviour
        self._wake = asyncio.Event()
        self._jobs = Jobs(self._wake.set, self._on_completed)
        self._answers = OfferAnswers(
            self.socket,
            clock,
            rng=rng,
            behaviour=behaviour,
            restraint=restraint,
            is_driving=lambda: self.is_driving,
            on_accepted=self._on_accepted,
        )
        # Kept so that the loop does not lose it.
        self._rating: asyncio.Task[None] | None = None
        # Both on the monotonic clock; 0: never.
        self._said_here_at = 0.0
        self._barred_until = 0.0
        # Of the socket's connections, the one whose beginning `_go_online` has seen.
        self._greeted = 0
        self._goal = home

    @property
    def is_free(self) -> bool:
        return self.socket.connected.is_set() and not self.is_driving

    @property
    def is_driving(self) -> bool:
        return self._jobs.next_due(self.spot, self._clock) is not None

    @property
    def _is_barred(self) -> bool:
        return time.monotonic() < self._barred_until

    async def run(self) -> None:
        """Live for ever. Raises Refused where the account is not let in."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.socket.keep_open())
                group.create_task(self._act_forever())
        finally:
            self._answers.cancel_all()

    async def go_offline(self) -> None:
        """Go offline, unless a trip is being driven."""
        if not self.is_driving:
            await self.socket.send(events.AvailabilityUpdate(availability="offline"))

    # What the server says

    def _on_frame(self, frame: events.Frame) -> None:
        match frame:
            case events.ConnectionEstablished():
                self.driver_id = frame.driver_id
                self._wake.set()
            case events.OfferCreated():
                self._answers.begin(frame)
            case events.OfferExpired():
                self._answers.cancel(frame.offer_id)
            case events.OfferAccepted():
                if frame.driver.id == self.driver_id:
                    card = self._answers.card(frame.offer_id)
                    self._jobs.add(frame.trip_id, frame.version, card=card, spot=self.spot)
            case events.TripSnapshot():
                self._jobs.apply_snapshot(frame, self.driver_id)
            case events.TripStatusUpdated():
                self._jobs.apply_status(frame)
            case events.Error(code="driver.not_approved"):
                self._barred_until = time.monotonic() + BARRED_S
            case _:
                pass

    def _on_accepted(self, card: events.OfferCreated) -> None:
        self._jobs.add(card.trip_id, card.version, card=card, spot=self.spot)

    def _on_completed(self, trip_id: int) -> None:
        self.completed += 1
        self._rating = asyncio.create_task(self._rate(trip_id))

    async def _rate(self, trip_id: int) -> None:
        try:
            await self._account.call("POST", f"/api/trips/{trip_id}/rate", body={"stars": self._rng.choice(STARS)})
        except Refused as refusal:
            if refusal.code != "rating.already_given":
                self._account.api.tally.add_refusal(refusal.code)

    # Acting

    async def _act_forever(self) -> NoReturn:
        while True:
            await self.socket.connected.wait()
            await self._go_online()
            job = self._jobs.next_due(self.spot, self._clock)
            if job is None:
                await self._move_about()
            elif job.is_doubtful:
                await self._ask_about(job)
            else:
                await self._work_on(job)

    async def _go_online(self) -> None:
        """Go online and send the position; once a connection, have the trips in hand asked about."""
        if self._greeted != self.socket.connections:
            self._greeted = self.socket.connections
            self._said_here_at = 0.0
            await self._send_spot(moving=False)
            self._jobs.doubt_all()
        if self._is_barred:
            return
        if time.monotonic() - self._said_here_at > STILL_HERE_S or not self._said_here_at:
            try:
                await self.socket.request(events.AvailabilityUpdate(availability="available"))
            except (Gone, Refused):
                # Tried again next time; the tally has counted a refusal.
                await self._pause(5)
            else:
                self._said_here_at = time.monotonic()
                self.online.set()

    async def _ask_about(self, job: Job) -> None:
        try:
            await self.socket.request(events.TripSubscribe(trip_ids=[job.trip_id]))
        except Refused:
            self._jobs.end(job.trip_id)
        except Gone:
            await self._pause(1)
        else:
            # The snapshot comes before or right after the answer.
            if job.is_doubtful and not job.is_over:
                await self._pause(1)

    async def _work_on(self, job: Job) -> None:
        """Take the next step of a trip, after the drive or the wait that comes before it."""
        match job.status:
            case TripStatus.EN_ROUTE:
                if not await self._drive(job, job.pickup):
                    return
            case TripStatus.DRIVER_ARRIVED:
                await self._wait_with(job, self._behaviour.at_pickup_s)
            case TripStatus.IN_TRANSIT if job.stops_reached < len(job.stops):
                if await self._drive(job, job.stops[job.stops_reached]):
                    await self._reach_stop(job)
                return
            case TripStatus.IN_TRANSIT:
                if not await self._drive(job, job.dropoff):
                    return
            case TripStatus.ARRIVED:
                await self._wait_with(job, self._behaviour.at_dropoff_s)
            case _:
                pass
        step = states.next_step(job.status)
        if step is None:
            self._jobs.end(job.trip_id)
        elif not job.is_over and not job.is_doubtful:
            await self._take_step(job, step)

    async def _take_step(self, job: Job, step: TripStatus) -> None:
        if await self._update(job, step.value):
            job.status = step
            if step == TripStatus.COMPLETED:
                self._jobs.end(job.trip_id)

    async def _reach_stop(self, job: Job) -> None:
        number = job.stops_reached + 1
        if not (job.is_over or job.is_doubtful) and await self._update(job, "stop_reached", stop=number):
            job.stops_reached = max(job.stops_reached, number)

    async def _update(self, job: Job, status: str, stop: int | None = None) -> bool:
        """Send what happened; False: it was refused, or nobody knows."""
        spot = self.spot
        update = events.StatusUpdate(trip_id=job.trip_id, status=status, lat=spot.lat, lng=spot.lng, stop=stop)
        try:
            await self.socket.request(update)
        except Gone:
            job.is_doubtful = True
        except Refused as refusal:
            await self._handle_refusal(job, refusal)
        else:
            return True
        return False

    async def _handle_refusal(self, job: Job, refusal: Refused) -> None:
        if refusal.code == "rate.limited":
            await self._pause(refusal.retry_after_s or 5)
        elif refusal.code in TOO_EARLY:
            await self._pause(30)
        elif refusal.code == "trip.not_at_pickup":
            # The server still believes an older position; the next ones convince it.
            await self._send_spot(moving=False)
            await self._pause(NOT_THERE_S)
        elif refusal.code in ("trip.transition_refused", "trip.stop_refused"):
            job.is_doubtful = True
        else:
            self._jobs.end(job.trip_id)

    # Moving

    async def _drive(self, job: Job, goal: Spot) -> bool:
        """Drive to `goal`, sending positions; False: the trip ended or must be asked about on the way."""
        wanted = job.status
        left_at, start, whole = time.monotonic(), self.spot, km_between(self.spot, goal)
        while True:
            done = (time.monotonic() - left_at) * self._clock.km_per_real_s
            self.spot = goal if done >= whole else towards(start, goal, done)
            await self._send_spot(moving=self.spot != goal, goal=goal)
            if self.spot == goal:
                return True
            await self._pause(min(self._behaviour.moving_real_s, self._clock.driving_s(whole - done)))
            if job.is_over or job.is_doubtful or job.status != wanted or not self.socket.connected.is_set():
                return False

    async def _wait_with(self, job: Job, span_s: tuple[float, float]) -> None:
        """Wait for people to get in or out."""
        until = time.monotonic() + self._clock.real_s(self._rng.uniform(*span_s))
        wanted = job.status
        while (left := until - time.monotonic()) > 0 and job.status == wanted and not job.is_over:
            await self._pause(min(left, self._behaviour.standing_real_s))
            if until - time.monotonic() > 0:
                await self._send_spot(moving=False)

    async def _move_about(self) -> None:
        """Move about for one leg, or stand and send the position now and then."""
        reach = self._behaviour.wander_km
        if self._is_barred:
            self._said_here_at = 0.0
            await self._pause(BARRED_S)
            return
        if reach is None:
            await self._send_spot(moving=False)
            await self._pause(self._behaviour.standing_real_s)
            return
        if self.spot == self._goal:
            self._goal = away(self._home, self._rng.uniform(0, 360), reach * self._rng.random() ** 0.5)
            await self._pause(self._rng.uniform(2, 20))
        else:
            km = self._behaviour.wander_kmh / 3600 * self._behaviour.moving_real_s
            self.spot = towards(self.spot, self._goal, km)
            await self._send_spot(moving=True, goal=self._goal, kmh=self._behaviour.wander_kmh)
            await self._pause(self._behaviour.moving_real_s)

    async def _send_spot(self, *, moving: bool, goal: Spot | None = None, kmh: float = DRIVING_KMH) -> None:
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
        await self.socket.send(events.LocationUpdate(points=[point]))

    async def _pause(self, real_s: float) -> None:
        """Sleep until the time is over or something happened."""
        self._wake.clear()
        try:
            async with asyncio.timeout(real_s):
                await self._wake.wait()
        except TimeoutError:
            pass
