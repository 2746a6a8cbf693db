"""Types that the modules of drivers.positions share."""

import datetime as dt
from collections.abc import Sequence

from msgspec import Struct

from trips.eta import LatLng, Speeds


class ReportResult(Struct, frozen=True, gc=False):
    """Numbers of a report's points by result; all but `clamped` add up to all points.

    `dropped` were older than the last believed fix, or noise. `kept_aside` are implausible and not used. `clamped`
    counts those of all points whose time was in the future and was set to now. `late` were older than the last believed
    fix, but are in the trail of a trip.
    """

    accepted: int
    dropped: int
    kept_aside: int
    clamped: int
    late: int = 0


class TrackedTrip(Struct, frozen=True, gc=False):
    """The data of an assigned trip that relaying a fix needs."""

    trip_id: int
    # The number of the leg that this driver drives (trips.handover).
    leg: int
    # Whether the driver's fixes are added to its trail.
    is_driven: bool
    is_at_pickup: bool
    is_aboard: bool
    pickup: LatLng
    # When its driver got it: earlier fixes are not of this trip.
    since: dt.datetime
    # Passengers get positions from this time on.
    tracked_from: dt.datetime
    group: str
    # Of who watches it by a link; empty: it is not shared.
    shared_group: str
    # Minutes from pickup to dropoff, by way of the stops.
    trip_min: int
    speeds: Speeds
    # Where it goes from here once the passengers are aboard: the stops that are not reached, and the dropoff.
    ahead: Sequence[LatLng]
    # Passengers are not driven off before.
    departure_at: dt.datetime
    # When the next stop is expected by the delay that the driver announced; None: there is none.
    delayed_until: dt.datetime | None = None


class DriverFacts(Struct, frozen=True, gc=False):
    """The facts about one driver, valid `until` (time.monotonic())."""

    until: float
    is_approved: bool
    rides: Sequence[TrackedTrip]
