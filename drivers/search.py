"""The growing search for the drivers nearest to a point.

It looks at a small circle first and at larger ones until enough drivers are found or the radius is reached. How much
larger follows from how many were found, and no look reads more than a few hundred drivers: one that would is
repeated with a smaller circle. So a city centre, empty country and a city at the rim of it take about as long.
"""

import datetime as dt
import math
import operator
from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

from django.db import connection
from django.db.models import Q

from . import geo

# The first circle: in the middle of a city it holds enough drivers.
_FIRST_KM = 0.15
# Between two looks: with nobody found, and with nearly enough.
_MOST_GROWTH, _LEAST_GROWTH = 8.0, 1.5
# A look that finds more than these per driver wanted, and these in any case, is repeated nearer.
_SPARE_FACTOR, _SPARE = 4, 200
# No ring is thinner than this: a crowd on one spot is read whatever it holds.
_LEAST_KM = 0.02


class Fix(NamedTuple):
    """What the search reads of a driver's position."""

    driver_id: int
    lat: float
    lng: float
    accuracy_m: float | None
    recorded_at: dt.datetime


class Near(NamedTuple):
    driver_id: int
    distance_km: float
    position: Fix


def in_cells(field: str, lat: float, lng: float, radius_km: float) -> Q:
    """A condition on a cell column that covers the circle (and a little more)."""
    return reduce(operator.or_, (Q(**{f"{field}__range": span}) for span in geo.cell_ranges(lat, lng, radius_km)))


def nearest(lat: float, lng: float, radius_km: float, enough: int) -> list[Near]:
    """The `enough` nearest of the dispatchable drivers within `radius_km`, nearest first; all where there are fewer.

    Whether their position is fresh is not asked here: a dark driver is turned down with a reason.
    """
    found: list[Near] = []
    for batch in outward(lat, lng, radius_km, enough):
        found += batch
        if len(found) >= enough:
            break
    return found[:enough]


def outward(lat: float, lng: float, radius_km: float, enough: int) -> Iterator[list[Near]]:
    """All dispatchable drivers within `radius_km`, nearest first, batch by batch as far as the caller asks.

    `enough` is how many are probably wanted: the size of a batch follows it, but may be less (also none) or more.
    Drivers move meanwhile: nobody comes twice, and who drives towards the point between two looks may be missed.
    """
    seen: set[int] = set()
    covered_km, look_km = 0.0, min(_FIRST_KM, radius_km)
    # Up to here there were more than a look may read.
    too_many_km = math.inf
    while True:
        wanted = enough - len(seen) if len(seen) < enough else enough
        limit = len(seen) + _SPARE_FACTOR * wanted + _SPARE
        divisible = look_km - covered_km > _LEAST_KM
        fixes = _look(lat, lng, look_km, limit + 1 if divisible else None)
        if divisible and len(fixes) > limit:
            too_many_km = look_km
            look_km = max(math.sqrt(covered_km * look_km), look_km / 4, covered_km + _LEAST_KM)
            continue
        batch = []
        for fix in fixes:
            if fix[0] not in seen:
                distance_km = geo.distance_km(lat, lng, fix[1], fix[2])
                if distance_km <= look_km:
                    batch.append((distance_km, fix[0], fix))
        batch.sort()
        seen.update(driver_id for _km, driver_id, _row in batch)
        yield [Near(driver_id, distance_km, _fix(row)) for distance_km, driver_id, row in batch]
        if look_km >= radius_km:
            return
        # As many again as are wanted, if the country goes on as in the ring just looked at.
        ring = look_km**2 - covered_km**2
        next_km = math.sqrt(look_km**2 + 2 * wanted * ring / len(batch)) if batch else math.inf
        covered_km = look_km
        look_km = min(radius_km, look_km * _MOST_GROWTH, max(look_km * _LEAST_GROWTH, next_km))
        between_km = math.sqrt(covered_km * too_many_km)
        if between_km < 0.9 * too_many_km:
            look_km = min(look_km, between_km)
        else:
            look_km, too_many_km = min(look_km, too_many_km), math.inf


Row = tuple[int, float, float, float | None, dt.datetime]


def _fix(row: Row) -> Fix:
    # SQLite keeps instants without a zone, in UTC.
    at = row[4] if row[4].tzinfo else row[4].replace(tzinfo=dt.UTC)
    return Fix(row[0], row[1], row[2], row[3], at)


def _look(lat: float, lng: float, radius_km: float, limit: int | None) -> list[Row]:
    """Dispatchable drivers in a square around the circle, `limit` of them at most, in no order."""
    spans = ", ".join(f"({low}, {high})" for low, high in geo.cell_ranges(lat, lng, radius_km))
    south, north, west, east = geo.box(lat, lng, radius_km)
    within = "dispatchable AND cell BETWEEN low AND high AND lat BETWEEN %s AND %s"
    bounds = [south, north]
    if west >= -180 and east <= 180:
        within += " AND lng BETWEEN %s AND %s"
        bounds += [west, east]
    cut = f"LIMIT {limit}" if limit else ""
    columns = "driver_id, lat, lng, accuracy_m, recorded_at"
    # Range by range through the partial index, also where the planner thinks that the ranges hold half of the table.
    # S608: the text is made of numbers and constants of this module only.
    spans = f"WITH span(low, high) AS (VALUES {spans}) SELECT {columns} FROM span CROSS JOIN"  # noqa: S608
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            near = f"SELECT {columns} FROM drivers_driverposition WHERE {within} {cut}"  # noqa: S608
            # Thinking so it would also compile the query, which takes a hundred times as long as running it.
            cursor.execute(f"SET LOCAL jit = off; {spans} LATERAL ({near}) AS near {cut}", bounds)
            cursor.nextset()
        else:
            cursor.execute(f"{spans} drivers_driverposition WHERE {within} {cut}", bounds)
        rows: list[Row] = cursor.fetchall()
    return rows
