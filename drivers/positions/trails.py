"""Points of trails on their way to the database: at most one a second of each trip."""

import datetime as dt
import logging
from collections.abc import Sequence
from typing import NamedTuple

from drivers.positions.fixes import OLDEST, Fix
from drivers.positions.late import LATE_FOR, TRAIL_STEP, judge_late
from drivers.positions.types import TrackedTrip
from realtime.events import Point

logger = logging.getLogger("stepper.positions")

# At most this many points are kept while the database is away; beyond that the oldest are discarded.
MAX_POINTS = 100_000


class TrailFix(NamedTuple):
    """A fix as a point of the trail of a trip and its leg."""

    trip_id: int
    leg: int
    fix: Fix


class TrailBuffer:
    """The points of trails that a process has not written yet. Call everything with the lock of the position buffer."""

    def __init__(self) -> None:
        self.points: list[TrailFix] = []
        # Trip -> time of the last point that was not late.
        self._trailed_at: dict[int, dt.datetime] = {}

    def follow(self, ride: TrackedTrip, fix: Fix) -> None:
        """Add a fix to the trail of its trip, at most one point a second: a map shows no more."""
        recorded_at, trailed_at = fix.recorded_at, self._trailed_at.get(ride.trip_id)
        if trailed_at is not None and recorded_at - trailed_at < TRAIL_STEP:
            return
        if recorded_at >= ride.since and fix.received_at - recorded_at <= LATE_FOR:
            self._trailed_at[ride.trip_id] = recorded_at
            self.points.append(TrailFix(ride.trip_id, ride.leg, fix))
            self._discard_oldest()

    def follow_late(
        self,
        points: Sequence[Point],
        rides: Sequence[TrackedTrip],
        *,
        newest: Fix,
        received_at: dt.datetime,
        max_kmh: float,
    ) -> int:
        """Add those points that are older than the last believed fix to the trail of their trip; return how many."""
        count = 0
        for ride in rides:
            if ride.is_driven:
                fixes = judge_late(points, newest=newest, since=ride.since, received_at=received_at, max_kmh=max_kmh)
                self.points += [TrailFix(ride.trip_id, ride.leg, fix) for fix in fixes]
                count += len(fixes)
        self._discard_oldest()
        return count

    def _discard_oldest(self) -> None:
        """Discard the oldest points if there are too many: the database takes none."""
        if len(self.points) > MAX_POINTS:
            logger.warning("the oldest points of trails are given up, the database takes none")
            del self.points[: max(len(self.points) - MAX_POINTS, MAX_POINTS // 10)]

    def take(self) -> list[TrailFix]:
        """Return all points, to be written."""
        points, self.points = self.points, []
        return points

    def put_back(self, points: list[TrailFix]) -> None:
        """Keep points that could not be written for the next time."""
        self.points = points + self.points

    def forget_ended(self, now: dt.datetime) -> None:
        """Forget the time of the last point of trips where it is older than OLDEST: they are over."""
        for trip_id in [pk for pk, trailed_at in self._trailed_at.items() if now - trailed_at > OLDEST]:
            del self._trailed_at[trip_id]
