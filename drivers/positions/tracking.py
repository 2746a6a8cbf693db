"""The position of a driver as watchers of a trip get it, with the time that is left."""

import datetime as dt

from drivers import geo
from drivers.models import DriverPosition
from drivers.positions.types import TrackedTrip
from realtime import events, groups
from trips import eta
from trips.models import Trip
from trips.states import ABOARD, ASSIGNED, DRIVING


def tracked_trip(trip: Trip, tracked_from: dt.datetime) -> TrackedTrip:
    pickup, dropoff = (trip.pickup_lat, trip.pickup_lng), (trip.dropoff_lat, trip.dropoff_lng)
    trip_min = eta.minutes(geo.distance_km(*pickup, *dropoff))
    return TrackedTrip(
        trip_id=trip.pk,
        is_driven=trip.status in DRIVING,
        is_aboard=trip.status in ABOARD,
        pickup=pickup,
        dropoff=dropoff,
        tracked_from=tracked_from,
        group=groups.trip(trip.pk),
        trip_min=trip_min,
    )


def point_of(row: DriverPosition) -> events.Point:
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


def eta_for(point: events.Point, ride: TrackedTrip) -> events.Eta:
    """Compute the minutes to the pickup until the passengers are aboard, and to the dropoff (by way of the pickup)."""
    if ride.is_aboard:
        return events.Eta(None, eta.minutes(geo.distance_km(point.lat, point.lng, *ride.dropoff), point.speed_kmh))
    pickup_min = eta.minutes(geo.distance_km(point.lat, point.lng, *ride.pickup), point.speed_kmh)
    return events.Eta(pickup_min, pickup_min + ride.trip_min)


NO_ETA = events.Eta()


def last_known(trip: Trip, max_age_s: int) -> events.DriverLocationUpdated | None:
    """Read the last position of a trip's driver where it is fresh enough to be replayed to a new watcher."""
    if trip.driver_id is None or trip.status not in ASSIGNED:
        return None
    return replayed(trip, DriverPosition.objects.filter(driver_id=trip.driver_id).first(), max_age_s)


def replayed(trip: Trip, row: DriverPosition | None, max_age_s: int) -> events.DriverLocationUpdated | None:
    """Make the frame of `last_known` from a position that has been read."""
    if trip.driver_id is None or trip.status not in ASSIGNED or row is None or not row.is_fresh(max_age_s):
        return None
    point = point_of(row)
    to_go = eta_for(point, tracked_trip(trip, trip.departure_at))
    return location_frame(
        trip.driver_id,
        trip.pk,
        point=point,
        recorded_at=row.recorded_at,
        timestamp=dt.datetime.now(dt.UTC),
        to_go=to_go,
    )
