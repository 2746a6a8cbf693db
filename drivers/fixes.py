"""Which of a driver's fixes are believed.

A fix that nobody can have driven to from the last believed one is kept aside. The believed position moves there when
`AGREEING` fixes in a row are plausible among themselves and came over at least `AGREEING_FOR`, by the server's clock:
that is what a phone does whose first fix was wrong, and a batch of invented points does not. A plausible fix in
between discards what was kept aside. What is kept aside lives in the memory of one process; where it is lost, more
fixes are needed.
"""

import datetime as dt
from typing import NamedTuple

from msgspec import Struct

from realtime.events import Point

from . import geo

# So many fixes in a row, over so long, move the believed position to where nobody can have driven.
AGREEING = 3
AGREEING_FOR = dt.timedelta(seconds=20)
# A believed fix older than this says nothing about where the driver can be now.
OLDEST = dt.timedelta(days=1)
# A fix that may be this far off is dropped.
WORST_ACCURACY_M = 1000.0
# Around latitude and longitude 0, where phones are that have no fix: about 110 m, in open sea.
_NOWHERE_DEG = 0.001
# Nearer than this, two fixes a second apart differ by what satellites are wrong about.
_WANDER_KM = 0.5
# Within this nothing is that far, whatever the latitude.
_NEAR_DEG = 0.003
# Many short steps are measured from where they began, over so long, or they would add up to any speed.
_ANCHORED_FOR = dt.timedelta(seconds=60)


class Anchor(NamedTuple):
    """Where the driver was believed to be up to a minute before a fix."""

    lat: float
    lng: float
    recorded_at: dt.datetime
    until: dt.datetime


class Fix(Struct, frozen=True, gc=False):
    """A believed fix, or one that is kept aside."""

    driver_id: int
    point: Point
    # The phone's clock, clamped to the server's; and the server's own.
    recorded_at: dt.datetime
    received_at: dt.datetime
    # When this process last knew it to be the newest: other processes hear of the driver, too.
    checked_at: dt.datetime
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
    """Whether a fix says nothing at all: latitude and longitude 0, or an accuracy worse than a kilometre."""
    accuracy_m = point.accuracy_m
    if accuracy_m is not None and accuracy_m > WORST_ACCURACY_M:
        return True
    return -_NOWHERE_DEG < point.lat < _NOWHERE_DEG and -_NOWHERE_DEG < point.lng < _NOWHERE_DEG


def is_implausible(last: Fix, point: Point, recorded_at: dt.datetime, max_kmh: float) -> bool:
    """Whether nobody can have driven to `point` from the fix before, or from where the last minute's steps began."""
    lat, lng, before, anchor = point.lat, point.lng, last.point, last.anchor
    return (
        (abs(lat - before.lat) > _NEAR_DEG or abs(lng - before.lng) > _NEAR_DEG)
        and _is_out_of_reach(before.lat, before.lng, last.recorded_at, point, recorded_at, max_kmh)
    ) or (
        (abs(lat - anchor[0]) > _NEAR_DEG or abs(lng - anchor[1]) > _NEAR_DEG)
        and _is_out_of_reach(anchor[0], anchor[1], anchor[2], point, recorded_at, max_kmh)
    )


def _is_out_of_reach(
    lat: float, lng: float, since: dt.datetime, point: Point, recorded_at: dt.datetime, max_kmh: float
) -> bool:
    elapsed = recorded_at - since
    if elapsed > OLDEST:
        return False
    km = geo.distance_km(lat, lng, point.lat, point.lng)
    return km > _WANDER_KM and km > max_kmh * elapsed.total_seconds() / 3600


def make_fix(
    driver_id: int, point: Point, recorded_at: dt.datetime, received_at: dt.datetime, before: Fix | None
) -> Fix:
    """A fix after the one `before`, whose anchor it keeps for a minute."""
    if before is not None and recorded_at < before.anchor[3]:
        anchor = before.anchor
    else:
        anchor = Anchor(point.lat, point.lng, recorded_at, recorded_at + _ANCHORED_FOR)
    return Fix(driver_id, point, recorded_at, received_at, received_at, anchor)


def keep_aside(
    doubt: Doubt | None,
    driver_id: int,
    point: Point,
    recorded_at: dt.datetime,
    received_at: dt.datetime,
    max_kmh: float,
) -> Doubt:
    """What is kept aside after an implausible fix: it continues the row that there is, or begins a new one."""
    since, began_at, agreeing, before = received_at, received_at, 1, None
    if doubt is not None:
        if recorded_at < doubt.latest.recorded_at:
            return doubt
        since = doubt.since
        if not is_implausible(doubt.latest, point, recorded_at, max_kmh):
            began_at, agreeing, before = doubt.began_at, doubt.agreeing + 1, doubt.latest
    return Doubt(since, began_at, agreeing, make_fix(driver_id, point, recorded_at, received_at, before))
