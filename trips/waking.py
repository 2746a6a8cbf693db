"""Wake trips: search open trips immediately when drivers who may be asked become available around them.

A driver whom a rule refuses wakes nothing: another look would find what the last one found. Such a trip is looked at
again when its pause is over (trips.dispatch), and then says why it was not this driver's either.
"""

import datetime as dt
from collections.abc import Iterable

from django.db.models import Q
from django.db.models.functions import Now

from drivers import search
from drivers.geo import distance_km
from drivers.models import DriverPosition
from stepper.db.clock import database_now
from stepper.db.transactions import in_transaction
from stepper.models import DispatchMode
from trips.driver_facts import facts_by_trip
from trips.eligibility import refusals
from trips.models import Trip
from trips.policy import Policies
from trips.states import OPEN


def wake_trips_around(driver_ids: Iterable[int]) -> None:
    """Set the next search of the open trips that drivers who became available may be asked about to now.

    Not of trips that leave so much later that drivers are not asked about them yet: their pages would say they were.
    Trips that are matched with others wait until their window closes; if none is open, one opens now. A wave that runs
    is joined by those within its reach only.
    """
    policies = Policies.current()
    positions = list(DriverPosition.objects.filter(driver_id__in=list(driver_ids), dispatchable=True))
    if not positions:
        return
    # Trips with a wider radius are few.
    widened = Trip.objects.filter(status__in=sorted(OPEN), radius_km__gt=policies.settings.discovery_radius_km)
    farther = {trip.pk: trip for trip in widened.order_by("pk")}
    for position in positions:
        trip_ids = _find_trips_for(position, farther, policies)
        if trip_ids:
            _wake_trips(trip_ids, policies)


def _find_trips_for(position: DriverPosition, farther: dict[int, Trip], policies: Policies) -> list[int]:
    """Return the ids of the open trips around a driver that no rule refuses to them, ascending.

    `farther`: the trips that are searched farther than the settings say. Without locks: a trip that changes meanwhile
    is searched anew by the change, and the search judges the driver again.
    """
    settings = policies.settings
    fix = search.StoredFix(
        position.driver_id,
        position.lat,
        position.lng,
        position.accuracy_m,
        position.recorded_at,
        position.jumped,
    )
    near = search.in_cells("pickup_cell", fix.lat, fix.lng, settings.discovery_radius_km)
    trips = {trip.pk: trip for trip in Trip.objects.filter(near, status__in=sorted(OPEN)).order_by("pk")} | farther
    if not trips:
        return []
    driver = facts_by_trip(position.driver_id, list(trips.values()), settings=settings)
    found = []
    for trip_id, facts in sorted(driver.items()):
        trip = trips[trip_id]
        km = distance_km(fix.lat, fix.lng, trip.pickup_lat, trip.pickup_lng)
        if trip.reach_km is not None and km > trip.reach_km:
            continue
        if not refusals(trip, facts, fix=fix, distance_km=km, policy=policies.of(trip), settings=settings):
            found.append(trip_id)
    return found


@in_transaction
def _wake_trips(trip_ids: list[int], policies: Policies) -> None:
    # Ascending, so that two drivers who come online together cannot wait for each other.
    waiting = Trip.objects.filter(pk__in=trip_ids, status__in=sorted(OPEN))
    offer_ahead_h = policies.settings.offer_ahead_h
    if offer_ahead_h:
        # A wave that runs was wanted at once.
        waiting = waiting.filter(Q(wave__gt=0) | Q(departure_at__lte=Now() + dt.timedelta(hours=offer_ahead_h)))
    trips = list(waiting.order_by("pk").locked())
    batched = {trip.pk for trip in trips if policies.of(trip).mode == DispatchMode.BATCHED}
    Trip.objects.filter(pk__in=[trip.pk for trip in trips if trip.pk not in batched]).update(next_look_at=Now())
    if batched:
        closes_at = database_now() + dt.timedelta(seconds=policies.settings.match_window_s)
        waiting_longer = Q(next_look_at__isnull=True) | Q(next_look_at__gt=closes_at)
        Trip.objects.filter(waiting_longer, pk__in=batched).update(next_look_at=closes_at)
