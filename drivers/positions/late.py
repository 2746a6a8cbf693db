"""Fixes that come after newer ones: they never move the live position, they complete the trail of a trip.

A phone that was without a network sends what it has kept when it is back, perhaps after a newer fix has come by another
way, and perhaps a second time. What belongs to a trip that the driver is driving goes to its trail; the database keeps
each (trip, second) once, so a trail grows by no more than its trip takes, whatever a phone sends.
"""

import datetime as dt
from collections.abc import Sequence

from drivers.positions.fixes import Fix, first_fix, is_noise, is_within_reach, next_fix
from realtime.events import Point

# Older points are worth nothing: nobody drives that long without a network.
LATE_FOR = dt.timedelta(hours=12)
# A trail has at most one point in this time.
TRAIL_STEP = dt.timedelta(seconds=1)


def trail_time(fix: Fix) -> dt.datetime:
    """Return the time of a fix in a trail: the second in which it was recorded, however it came and how often."""
    return fix.recorded_at.replace(microsecond=0)


def judge_late(
    points: Sequence[Point], *, newest: Fix, since: dt.datetime, received_at: dt.datetime, max_kmh: float
) -> list[Fix]:
    """Return those of the points, which ascend by their time, that are older than `newest` and that a trail may take.

    They are not older than `since` and LATE_FOR, TRAIL_STEP apart or more, no noise, and somebody can have driven from
    each to the next and from each to `newest`, the last believed fix.
    """
    fixes: list[Fix] = []
    oldest = max(since, received_at - LATE_FOR)
    for point in points:
        recorded_at = point.recorded_at
        if recorded_at is None or not oldest <= recorded_at <= newest.recorded_at or is_noise(point):
            continue
        if fixes and recorded_at - fixes[-1].recorded_at < TRAIL_STEP:
            continue
        if not is_within_reach(newest, point, recorded_at, max_kmh):
            continue
        known_at = newest.known_at
        fix: Fix | None
        if not fixes:
            fix = first_fix(
                newest.driver_id, point, recorded_at=recorded_at, received_at=received_at, known_at=known_at
            )
        else:
            fix = next_fix(
                fixes[-1], point, recorded_at=recorded_at, received_at=received_at, known_at=known_at, max_kmh=max_kmh
            )
        if fix is not None:
            fixes.append(fix)
    return fixes
