"""The trips in a virtual driver's hands, as far as frames have told of them."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from realtime import events
from stepper.simulator.clock import Clock, Spot, km_between, now
from trips import states
from trips.states import TripStatus

# Coming this much before departure to a trip that is not for now.
EARLY = dt.timedelta(minutes=5)


@dataclass
class Job:
    """A trip of this driver as far as they know."""

    trip_id: int
    version: int
    status: TripStatus
    pickup: Spot
    dropoff: Spot
    departure_at: dt.datetime
    # The stops between, and how many of them are reached.
    stops: list[Spot] = field(default_factory=list)
    stops_reached: int = 0
    # Something was refused or missed: ask before the next step.
    is_doubtful: bool = False
    is_over: bool = False

    def is_due(self, spot: Spot, clock: Clock) -> bool:
        """Return whether a driver at `spot` has to drive it now."""
        if self.status != TripStatus.ACCEPTED:
            return True
        on_the_way = dt.timedelta(seconds=clock.driving_s(km_between(spot, self.pickup)))
        return self.is_doubtful or now() >= self.departure_at - on_the_way - EARLY


class Jobs:
    """One driver's trips.

    Args:
        on_change: called when any of them changed.
        on_completed: called with the trip's id, once for each trip that was completed.
    """

    def __init__(self, on_change: Callable[[], None], on_completed: Callable[[int], None]) -> None:
        self._jobs: dict[int, Job] = {}
        self._on_change = on_change
        self._on_completed = on_completed

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def add(self, trip_id: int, version: int, *, card: events.OfferCreated | None, spot: Spot) -> None:
        """Add a trip that was given to this driver.

        Without its card (assigned by staff) nothing else is known, so it is doubtful and the socket will be asked;
        `spot`: where the driver is.
        """
        if trip_id in self._jobs:
            pass
        elif card is None:
            self._jobs[trip_id] = Job(trip_id, version, TripStatus.ACCEPTED, spot, spot, now(), is_doubtful=True)
        else:
            pickup, dropoff = _spot(card.pickup), _spot(card.dropoff)
            stops = [_spot(stop) for stop in card.stops]
            self._jobs[trip_id] = Job(trip_id, version, TripStatus.ACCEPTED, pickup, dropoff, card.departure_at, stops)
        self._on_change()

    def apply_snapshot(self, trip: events.TripSnapshot, driver_id: int | None) -> None:
        """Note what a snapshot says; a trip that is over, or not this driver's, is ended."""
        job = self._jobs.get(trip.trip_id)
        if trip.driver is None or trip.driver.id != driver_id or trip.status in states.FINISHED:
            if job is not None:
                job.status = TripStatus(trip.status)
            self.end(trip.trip_id)
            return
        pickup, dropoff = _spot(trip.pickup), _spot(trip.dropoff)
        if job is None:
            job = Job(trip.trip_id, trip.version, TripStatus(trip.status), pickup, dropoff, trip.departure_at)
            self._jobs[trip.trip_id] = job
        elif trip.version >= job.version:
            job.version, job.status = trip.version, TripStatus(trip.status)
            job.pickup, job.dropoff, job.departure_at = pickup, dropoff, trip.departure_at
        job.stops = [_spot(stop) for stop in trip.stops]
        job.stops_reached = sum(1 for stop in trip.stops if stop.reached_at)
        job.is_doubtful = False
        self._on_change()

    def apply_status(self, change: events.TripStatusUpdated) -> None:
        """Note a new status, unless a newer one is known."""
        job = self._jobs.get(change.trip_id)
        if job is None or change.version < job.version:
            return
        job.version, job.status = change.version, TripStatus(change.new)
        job.stops_reached = change.stops_reached
        if job.status in states.FINISHED or job.status in states.OPEN:
            self.end(change.trip_id)
        self._on_change()

    def end(self, trip_id: int) -> None:
        """Forget a trip; one that is not there is left alone."""
        job = self._jobs.pop(trip_id, None)
        if job is not None and not job.is_over:
            job.is_over = True
            if job.status == TripStatus.COMPLETED:
                self._on_completed(trip_id)
            self._on_change()

    def doubt_all(self) -> None:
        """Have each trip asked about before its next step."""
        for job in self:
            job.is_doubtful = True

    def next_due(self, spot: Spot, clock: Clock) -> Job | None:
        """Return the trip that a driver at `spot` has to drive now: the one begun, else the next to depart."""
        due = [job for job in self if job.is_due(spot, clock)]
        return min(due, key=lambda job: (job.status == TripStatus.ACCEPTED, job.departure_at), default=None)


def _spot(place: events.Place) -> Spot:
    return Spot(place.lat, place.lng)
