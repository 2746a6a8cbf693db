"""Which of a driver's fixes are believed.

A fix that nobody can have driven to from the last believed one is kept aside. The believed position moves there when
`AGREEING` fixes in a row are plausible among themselves and came over at least `AGREEING_FOR`, by the server's clock:
that is what a phone does whose first fix was wrong, and a batch of invented points does not. A plausible fix in
between discards what was kept aside. What is kept aside lives in the memory of one process; where it is lost, more
fixes are needed.
"""

import datetime as dt

from msgspec import Struct

from drivers import geo
from realtime.events import Point

# This many implausible fixes in a row, over at least this time, are believed if they agree.
AGREEING = 3
AGREEING_FOR = dt.timedelta(seconds=20)
# A believed fix older than this says nothing about where the driver can be now.
OLDEST = dt.timedelta(days=1)
# A fix that may be this far off is dropped.
WORST_ACCURACY_M = 1000.0
# Around latitude and longitude 0, where phones are that have no fix: about 110 m, in open sea.
_NOWHERE_DEG = 0.001
# Two fixes nearer than this can differ by the error of the GPS alone, so their speed says nothing.
_WANDER_KM = 0.5
# If the two differences together are below this, the distance is below _WANDER_KM.
_NEAR_DEG = 0.004
# Length of a degree of latitude; a degree of longitude is shorter.
_KM_PER_DEG = 111.2
# Also measured from a point up to 60 s back; otherwise many small jumps could hide any speed.
_ANCHORED_FOR = dt.timedelta(seconds=60)


# Where the driver was believed to be up to a minute before: lat, lng, when, until when it is measured from there.
Anchor = tuple[float, float, dt.datetime, dt.datetime]


class Fix(Struct, frozen=True, gc=False):
    """A believed fix, or one that is kept aside."""

    driver_id: int
    point: Point
    # The phone's clock, clamped to the server's; and the server's own.
    recorded_at: dt.datetime
    received_at: dt.datetime
    # When this process last knew it to be the newest, by time.monotonic(): others hear of the driver, too.
    known_at: float
    anchor: Anchor
    # Newer fixes are kept aside: whether the driver is still there is in doubt.
    is_doubted: bool = False


class Doubt(Struct, frozen=True, gc=False):
    """What is kept aside of one driver: the newest of a row of fixes that agree, and how many there were."""

    # When the first implausible fix came, of this row or of an earlier one.
    since: dt.datetime
    began_at: dt.datetime
    agreeing: int
    latest: Fix

    @property
    def is_settled(self) -> bool:
        return self.agreeing >= AGREEING and self.latest.received_at - self.began_at >= AGREEING_FOR


def is_noise(point: Point) -> bool:
    """Say whether a fix is worth nothing: latitude and longitude 0, or an accuracy worse than a kilometre."""
    accuracy_m = point.accuracy_m
    return (accuracy_m is not None and accuracy_m > WORST_ACCURACY_M) or (
        -_NOWHERE_DEG < point.lat < _NOWHERE_DEG and -_NOWHERE_DEG < point.lng < _NOWHERE_DEG
    )


def first_fix(
    driver_id: int, point: Point, *, recorded_at: dt.datetime, received_at: dt.datetime, known_at: float
) -> Fix:
    """Make a fix that is not compared with an earlier one."""
    anchor = (point.lat, point.lng, recorded_at, recorded_at + _ANCHORED_FOR)
    return Fix(driver_id, point, recorded_at, received_at, known_at, anchor)


def next_fix(
    before: Fix, point: Point, *, recorded_at: dt.datetime, received_at: dt.datetime, known_at: float, max_kmh: float
) -> Fix | None:
    """Make the fix that follows `before`; None: nobody can have driven there from that fix or from its anchor.

    Runs for every position of every driver.
    """
    lat, lng, last, anchor = point.lat, point.lng, before.point, before.anchor
    apart_deg = abs(lat - last.lat) + abs(lng - last.lng)
    if apart_deg > _NEAR_DEG and _is_out_of_reach(
        point, apart_deg, place=(last.lat, last.lng), elapsed=recorded_at - before.recorded_at, max_kmh=max_kmh
    ):
        return None
    from_lat, from_lng, since, until = anchor
    apart_deg = abs(lat - from_lat) + abs(lng - from_lng)
    if apart_deg > _NEAR_DEG:
        elapsed = recorded_at - since
        # An upper bound of the distance; mostly it is plausible already, which saves the call.
        if apart_deg * _KM_PER_DEG * 3600 > max_kmh * elapsed.total_seconds() and _is_out_of_reach(
            point, apart_deg, place=(from_lat, from_lng), elapsed=elapsed, max_kmh=max_kmh
        ):
            return None
    if recorded_at >= until:
        anchor = (lat, lng, recorded_at, recorded_at + _ANCHORED_FOR)
    return Fix(before.driver_id, point, recorded_at, received_at, known_at, anchor)


def _is_out_of_reach(
    point: Point, apart_deg: float, *, place: tuple[float, float], elapsed: dt.timedelta, max_kmh: float
) -> bool:
    """Say whether nobody can have driven from `place` to `point` in the time.

    `apart_deg`: the degrees between them, of both coordinates together.
    """
    reach_km = max(_WANDER_KM, max_kmh * elapsed.total_seconds() / 3600)
    # An upper bound of the distance: mostly it is short enough, so that the distance need not be computed.
    if apart_deg * _KM_PER_DEG <= reach_km or elapsed > OLDEST:
        return False
    return geo.distance_km(*place, point.lat, point.lng) > reach_km


def is_within_reach(fix: Fix, point: Point, recorded_at: dt.datetime, max_kmh: float) -> bool:
    """Say whether somebody can have driven between the fix and the point, whichever was recorded first."""
    apart_deg = abs(point.lat - fix.point.lat) + abs(point.lng - fix.point.lng)
    place, elapsed = (fix.point.lat, fix.point.lng), abs(fix.recorded_at - recorded_at)
    return not _is_out_of_reach(point, apart_deg, place=place, elapsed=elapsed, max_kmh=max_kmh)


def keep_aside(doubt: Doubt | None, fix: Fix, max_kmh: float) -> Doubt:
    """Return what is kept aside after an implausible `first_fix`: it continues the row that there is, or begins one."""
    if doubt is None:
        return Doubt(fix.received_at, fix.received_at, 1, fix)
    if fix.recorded_at < doubt.latest.recorded_at:
        return doubt
    continued = next_fix(
        doubt.latest,
        fix.point,
        recorded_at=fix.recorded_at,
        received_at=fix.received_at,
        known_at=fix.known_at,
        max_kmh=max_kmh,
    )
    if continued is None:
        return Doubt(doubt.since, fix.received_at, 1, fix)
    return Doubt(doubt.since, doubt.began_at, doubt.agreeing + 1, continued)
