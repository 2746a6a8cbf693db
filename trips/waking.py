"""Wake trips: search open trips immediately when drivers become available around them."""

import datetime as dt
from collections.abc import Iterable, Sequence

from django.db.models import Q
from django.db.models.functions import Now

from drivers import search
from drivers.geo import distance_km
from drivers.models import DriverPosition
from stepper.db.clock import database_now
from stepper.db.transactions import in_transaction
from stepper.models import DispatchMode
from trips.models import Trip
from trips.policy import Policies
from trips.states import OPEN


def wake_trips_around(driver_ids: Iterable[int]) -> None:
    """Set the next search of open trips around drivers who became available to now.

    Trips that are matched with others wait until their window closes; if none is open, one opens now.
    """
    policies = Policies.current()
    positions = list(DriverPosition.objects.filter(driver_id__in=list(driver_ids), dispatchable=True))
    if not positions:
        return
    # Trips with a wider radius are few.
    widened = Trip.objects.filter(status__in=sorted(OPEN), radius_km__gt=policies.settings.discovery_radius_km)
    farther = list(widened.values_list("pk", "pickup_lat", "pickup_lng", "radius_km"))
    for position in positions:
        lat, lng = position.lat, position.lng
        _wake_trips_around(
            lat, lng, [pk for pk, *point, km in farther if distance_km(lat, lng, *point) <= (km or 0)], policies
        )


@in_transaction
def _wake_trips_around(lat: float, lng: float, farther: Sequence[int], policies: Policies) -> None:
    settings = policies.settings
    near = search.in_cells("pickup_cell", lat, lng, settings.discovery_radius_km)
    if farther:
        near |= Q(pk__in=farther)
    # Ascending, so that two drivers who come online together cannot wait for each other.
    trips = list(Trip.objects.filter(near, status__in=sorted(OPEN)).order_by("pk").locked())
    batched = {trip.pk for trip in trips if policies.of(trip).mode == DispatchMode.BATCHED}
    Trip.objects.filter(pk__in=[trip.pk for trip in trips if trip.pk not in batched]).update(next_look_at=Now())
    if batched:
        closes_at = database_now() + dt.timedelta(seconds=settings.match_window_s)
        waiting_longer = Q(next_look_at__isnull=True) | Q(next_look_at__gt=closes_at)
        Trip.objects.filter(waiting_longer, pk__in=batched).update(next_look_at=closes_at)
