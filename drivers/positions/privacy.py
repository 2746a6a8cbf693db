"""The privacy of positions: from when on, and until when, a driver's position is shown to the watchers of a trip.

The trip page, REST, the sockets' snapshots and the relay of each fix all use these functions. Who may watch a trip:
`trips.access.visible_to`. Staff who may see all trips also get the position of every driver, at any time.
"""

import datetime as dt

from drivers.models import DriverPosition
from stepper.models import ServiceSettings
from trips.models import Trip
from trips.states import ASSIGNED, DRIVING

# Earlier than any fix.
_ALWAYS = dt.datetime.min.replace(tzinfo=dt.UTC)


def window_opens_at(trip: Trip, settings: ServiceSettings) -> dt.datetime:
    """Return `tracking_opens_min` before the departure: then the driver may be at the pickup, too (trips.driving)."""
    return trip.departure_at - dt.timedelta(minutes=settings.tracking_opens_min)


def opens_at(trip: Trip, settings: ServiceSettings) -> dt.datetime:
    """Return the earliest time at which watchers of an assigned trip get its driver's position.

    `tracking_opens_min` before the departure; once the driver has set off, always.
    """
    if trip.status in DRIVING:
        return _ALWAYS
    return window_opens_at(trip, settings)


def is_tracked(trip: Trip, settings: ServiceSettings, now: dt.datetime) -> bool:
    """Say whether watchers of the trip get its driver's position: it has a driver, is not over, and tracking is open.

    Who watches a trip: trips.access.
    """
    return trip.status in ASSIGNED and now >= opens_at(trip, settings)


def is_dark(row: DriverPosition, settings: ServiceSettings, now: dt.datetime) -> bool:
    """Say whether a stored position is too old to tell where the driver is."""
    return row.recorded_at < now - dt.timedelta(seconds=settings.position_replay_s)
