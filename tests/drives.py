"""Steps of a trip as an honest driver takes them: at the place where the step belongs, with a position that says so."""

from typing import Any

from tests.factories import place
from trips import driving
from trips.models import Trip
from trips.states import TripStatus

_AT_DROPOFF = {TripStatus.ARRIVED, TripStatus.COMPLETED}


def step_there(trip_id: int, status: str, **fields: Any) -> Trip:
    """Puts the trip's driver where `status` belongs and takes the step."""
    trip = Trip.objects.select_related("driver").get(pk=trip_id)
    assert trip.driver is not None
    at_dropoff = status in _AT_DROPOFF
    lat = trip.dropoff_lat if at_dropoff else trip.pickup_lat
    lng = trip.dropoff_lng if at_dropoff else trip.pickup_lng
    place(trip.driver, lat, lng)
    return driving.update_status(trip.driver.pk, trip_id, status=status, **fields)
