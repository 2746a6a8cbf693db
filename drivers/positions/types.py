"""What the modules of positions hand to each other."""

import datetime as dt
from collections.abc import Sequence

from msgspec import Struct


class ReportResult(Struct, frozen=True, gc=False):
    """What became of the points of a report; the first three add up to their number.

    `dropped` were older than the last believed one or said nothing, `kept_aside` are implausible and used by nothing;
    `clamped`, of all of them, had a stamp in the future and count as now.
    """

    accepted: int
    dropped: int
    kept_aside: int
    clamped: int


class TrackedTrip(Struct, frozen=True, gc=False):
    """What relaying a fix needs of a trip under way."""

    trip_id: int
    # Their fixes belong to its trail.
    is_driven: bool
    is_aboard: bool
    pickup: tuple[float, float]
    dropoff: tuple[float, float]
    # From then on the position is the passengers' business.
    tracked_from: dt.datetime
    group: str
    # Pickup to dropoff.
    trip_min: int


class DriverFacts(Struct, frozen=True, gc=False):
    """About one driver. `until` is of time.monotonic()."""

    until: float
    is_approved: bool
    rides: Sequence[TrackedTrip]
