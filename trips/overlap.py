"""No overlapping trips of one driver or of one vehicle.

Drivers may share a vehicle, and their trips must not overlap either: it would be promised to two passengers. The verbs
that give a driver a trip lock all drivers of the vehicle and check that (`trips.fitness.require_no_overlap`).

For one driver a constraint of the database says it as well, so no code can break the rule. For a vehicle there is none:
databases from before the rule may hold such trips, and an upgrade must not stop at them.

A driver's spans must not overlap. `busy_from` and `busy_until` are set when a driver gets the trip: from departure to
estimated end, plus half of `overlap_margin_min` before and after, so that the whole margin is free between two trips.
If staff change that setting, trips that have a driver keep their span.

PostgreSQL has an exclusion constraint (in a migration). It indexes the driver's id as a range of one number, so that
the extension btree_gist is not needed. SQLite has triggers. When a table changes, SQLite makes a copy without its
triggers, so they are created again after every migration.
"""

import datetime as dt
from typing import Any

from django.db import connections

from stepper.models import ServiceSettings

from .models import Trip
from .states import ASSIGNED, BEFORE_BOARDING

NAME = "trip_no_overlap"
_ASSIGNED = ", ".join(f"'{status.value}'" for status in sorted(ASSIGNED))
_TRIGGER = (
    f"CREATE TRIGGER IF NOT EXISTS {NAME}_{{when}} BEFORE {{event}} ON trips_trip "  # noqa: S608 - constants only
    f"WHEN new.driver_id IS NOT NULL AND new.status IN ({_ASSIGNED}) AND EXISTS ("
    "SELECT 1 FROM trips_trip other WHERE other.driver_id = new.driver_id AND other.id IS NOT new.id "
    f"AND other.status IN ({_ASSIGNED}) "
    "AND coalesce(other.busy_from, other.departure_at) < coalesce(new.busy_until, new.ends_at) "
    "AND coalesce(other.busy_until, other.ends_at) > coalesce(new.busy_from, new.departure_at)) "
    f"BEGIN SELECT RAISE(ABORT, '{NAME}'); END"
)
_COLUMNS = "driver_id, status, departure_at, ends_at, busy_from, busy_until"
TRIGGERS = (
    _TRIGGER.format(when="insert", event="INSERT"),
    _TRIGGER.format(when="update", event=f"UPDATE OF {_COLUMNS}"),
)


def half_margin(settings: ServiceSettings) -> dt.timedelta:
    """Return how far the span of a driver's trip reaches beyond its departure and its end."""
    return dt.timedelta(minutes=settings.overlap_margin_min) / 2


def find_clash(driver_id: int, vehicle_id: int, settings: ServiceSettings) -> Trip | None:
    """Return a trip that keeps a driver from getting a vehicle; None: none does.

    It is one of another driver of the vehicle, and overlaps one that the driver would drive with it.
    """
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    others = Trip.objects.filter(driver__vehicle=vehicle_id).exclude(driver=driver_id).order_by("departure_at")
    for trip in Trip.objects.filter(driver=driver_id, status__in=sorted(BEFORE_BOARDING)).order_by("departure_at"):
        other = others.overlapping(trip.departure_at, trip.ends_at, margin).select_related("driver__user").first()
        if other is not None:
            return other
    return None


def restore_triggers(using: str, **_signal: Any) -> None:
    """Create SQLite's triggers again after a migration."""
    connection = connections[using]
    if connection.vendor == "sqlite" and "trips_trip" in connection.introspection.table_names():
        with connection.cursor() as cursor:
            for trigger in TRIGGERS:
                cursor.execute(trigger)
