"""A driver's position as the watchers of a trip get it: the frame, and the ETA. When they get it: privacy.py."""

import datetime as dt
import math

from drivers.geo import distance_km
from drivers.models import DriverPosition
from drivers.positions.privacy import is_dark, is_tracked, opens_at
from drivers.positions.types import TrackedTrip
from realtime import events, groups
from stepper.db.clock import database_now
from stepper.models import ServiceSettings
from trips import eta
from trips.models import Trip
from trips.states import ABOARD, DRIVING, TripStatus


def tracked_trip(trip: Trip, settings: ServiceSettings) -> TrackedTrip:
    """Return the data of an assigned trip that relaying a fix to its watchers needs."""
    speeds = eta.speeds_of(settings)
    return TrackedTrip(
        trip_id=trip.pk,
        leg=trip.leg,
        is_driven=trip.status in DRIVING,
        is_at_pickup=trip.status == TripStatus.DRIVER_ARRIVED,
        is_aboard=trip.status in ABOARD,
        since=trip.driver_since,
        pickup=(trip.pickup_lat, trip.pickup_lng),
        tracked_from=opens_at(trip, settings),
        group=groups.trip(trip.pk),
        shared_group=groups.shared_trip(trip.pk) if trip.is_shared else "",
        # Not by stops that a former driver reached.
        trip_min=eta.minutes_along([(trip.pickup_lat, trip.pickup_lng), *trip.points_ahead], speeds),
        speeds=speeds,
        ahead=trip.points_ahead,
        departure_at=trip.departure_at,
        delayed_until=trip.expected_after_delay_at,
    )


def point_of(row: DriverPosition) -> events.Point:
    """Return a stored position as the point of a fix."""
    return events.Point(
        lat=row.lat,
        lng=row.lng,
        heading_deg=row.heading_deg,
        speed_kmh=row.speed_kmh,
        accuracy_m=row.accuracy_m,
    )


def location_frame(
    driver_id: int,
    trip_id: int | None,
    *,
    point: events.Point,
    recorded_at: dt.datetime,
    timestamp: dt.datetime,
    to_go: events.Eta,
) -> events.DriverLocationUpdated:
    """Return the frame of a position; `trip_id` None: for the staff's map of all drivers."""
    return events.DriverLocationUpdated(
        timestamp=timestamp,
        trip_id=trip_id,
        driver_id=driver_id,
        lat=point.lat,
        lng=point.lng,
        heading_deg=point.heading_deg,
        speed_kmh=point.speed_kmh,
        accuracy_m=point.accuracy_m,
        recorded_at=recorded_at,
        eta=to_go,
    )


NO_ETA = events.Eta()


def shared_location(
    frame: events.DriverLocationUpdated, trip_id: int, driver_since: dt.datetime
) -> events.SharedLocation:
    """Return what of a position goes to those who watch the trip by a link. `driver_since`: TrackedTrip.since."""
    return events.SharedLocation(
        timestamp=frame.timestamp,
        trip_id=trip_id,
        driver_since=driver_since,
        lat=frame.lat,
        lng=frame.lng,
        heading_deg=frame.heading_deg,
        recorded_at=frame.recorded_at,
        eta=frame.eta,
    )


def eta_for(point: events.Point, ride: TrackedTrip, now: dt.datetime) -> events.Eta:
    """Estimate the minutes to the pickup (None once the passengers are aboard) and to the dropoff, by way of the stops.

    With the delay that the driver announced. Both None until the driver has set off: nothing is promised before.
    """
    if not ride.is_driven:
        return NO_ETA
    if ride.is_aboard:
        drive_min = eta.minutes_along(((point.lat, point.lng), *ride.ahead), ride.speeds, point.speed_kmh)
        return events.Eta(None, eta.with_delay(drive_min, ride.delayed_until, now))
    # Each fix is relayed with this: reckoning with what there is not would double its time.
    drive_min = eta.minutes(distance_km(point.lat, point.lng, *ride.pickup), ride.speeds, point.speed_kmh)
    until_departure_min = 0
    if ride.departure_at > now:
        until_departure_min = math.ceil((ride.departure_at - now) / dt.timedelta(minutes=1))
    if ride.is_at_pickup:
        # The next stop is the dropoff, so a delay is one of that.
        on_time_min = until_departure_min + ride.trip_min
        return events.Eta(drive_min, eta.with_delay(on_time_min, ride.delayed_until, now))
    wait_min = eta.with_delay(drive_min, ride.delayed_until, now)
    return events.Eta(wait_min, max(wait_min, until_departure_min) + ride.trip_min)


def last_known(trip: Trip, settings: ServiceSettings) -> events.DriverLocationUpdated | None:
    """Read the driver's stored position as a new watcher of the trip gets it; None: there is none to be shown."""
    if trip.driver_id is None or not is_tracked(trip, settings, database_now()):
        return None
    row = DriverPosition.objects.filter(driver_id=trip.driver_id).first()
    return location_for_watchers(trip, row, settings)


def location_for_watchers(
    trip: Trip, row: DriverPosition | None, settings: ServiceSettings
) -> events.DriverLocationUpdated | None:
    """Return a position that was read as a new watcher of the trip gets it; None: it is not shown, or too old."""
    now = database_now()
    if trip.driver_id is None or row is None:
        return None
    if not is_tracked(trip, settings, now) or is_dark(row, settings, now):
        return None
    point = point_of(row)
    return location_frame(
        trip.driver_id,
        trip.pk,
        point=point,
        recorded_at=row.recorded_at,
        timestamp=now,
        to_go=eta_for(point, tracked_trip(trip, settings), now),
    )
