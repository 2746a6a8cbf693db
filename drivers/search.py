"""The search for the drivers nearest to a point, in a growing circle.

It reads a small circle first and larger ones until enough drivers are found or the radius is reached. How much larger
depends on how many were found; if nobody was, one index-only query finds the nearest cell with a driver. A query that
finds more than a few hundred drivers is repeated with a smaller circle. So a search takes about as long in a city
centre, in empty country and near the edge of a city.
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

# The radius of the first circle: in the middle of a city it holds enough drivers.
_FIRST_KM = 0.15
# The next ring is at most and at least this many times as wide as the last one.
_MOST_GROWTH, _LEAST_GROWTH = 8.0, 0.5
# If a query finds more than 3 × wanted + 100 rows, repeat it with a smaller circle.
_SPARE_FACTOR, _SPARE = 3, 100
# Half of a cell's diagonal.
_CELL_KM = 0.8
# Shrink the radius at least to this share.
_SHRINK_TO = 0.9
# No ring is thinner than _LEAST_KM or than _LEAST_SHARE of its radius: many drivers in one place are read together.
_LEAST_KM, _LEAST_SHARE = 0.02, 0.01


class StoredFix(NamedTuple):
    """The columns of a driver's stored position that the search reads."""

    driver_id: int
    lat: float
    lng: float
    accuracy_m: float | None
    recorded_at: dt.datetime
    # Whether newer fixes of the driver are kept aside as implausible (drivers.positions.fixes).
    is_doubted: bool


class Near(NamedTuple):
    """A driver found, with the distance from the point searched."""

    driver_id: int
    distance_km: float
    position: StoredFix


def in_cells(field: str, lat: float, lng: float, radius_km: float) -> Q:
    """Return the condition on a cell column that covers the circle, and a little more."""
    return reduce(operator.or_, (Q(**{f"{field}__range": span}) for span in geo.cell_ranges(lat, lng, radius_km)))


def search_outward(lat: float, lng: float, radius_km: float, enough: int) -> Iterator[list[Near]]:
    """Yield all dispatchable drivers within `radius_km`, nearest first, in batches, as far as the caller iterates.

    `enough` is how many are probably wanted; a batch has about as many, but may have fewer (also none) or more.
    Drivers move meanwhile: nobody is yielded twice, but one who drives towards the point between two queries may be
    missed.

    1. Read the drivers in the circle `search_km` who are not in `found_ids`.
    2. If they are too many, shrink the circle and read again.
    3. Else yield them, and widen the circle by how many they were, or to the nearest cell with a driver.
    """
    found_ids: set[int] = set()
    covered_km, search_km = 0.0, min(_FIRST_KM, radius_km)
    # A circle of this radius is known to hold too many for one query.
    too_many_km = math.inf
    while True:
        wanted = enough - len(found_ids) if len(found_ids) < enough else enough
        limit = len(found_ids) + _SPARE_FACTOR * wanted + _SPARE
        least_km = max(_LEAST_KM, _LEAST_SHARE * covered_km)
        divisible = search_km - covered_km > least_km
        rows = _search_circle(lat, lng, search_km, limit + 1 if divisible else None)
        new = [(geo.distance_km(lat, lng, row[1], row[2]), row[0], row) for row in rows if row[0] not in found_ids]
        new = sorted(one for one in new if one[0] <= search_km)
        if divisible and len(rows) > limit:
            # The distance of the wanted-th nearest row is a radius that holds enough, whichever rows were returned.
            bound_km = new[wanted - 1][0] if len(new) >= wanted else search_km
            too_many_km = search_km
            search_km = bound_km if bound_km < _SHRINK_TO * search_km else _between(covered_km, search_km)
            search_km = max(search_km, covered_km + least_km)
            continue
        found_ids.update(driver_id for _km, driver_id, _row in new)
        yield [Near(driver_id, distance_km, _to_fix(row)) for distance_km, driver_id, row in new]
        if search_km >= radius_km:
            return
        if new:
            # Far enough for as many again as are wanted, at the density of the ring just read.
            width_km, ring = search_km - covered_km, search_km**2 - covered_km**2
            next_km = math.sqrt(search_km**2 + 2 * wanted * ring / len(new)) - search_km
            covered_km = search_km
            search_km += min(width_km * _MOST_GROWTH, max(width_km * _LEAST_GROWTH, next_km))
        else:
            covered_km, search_km = _next_ring(lat, lng, search_km, radius_km)
        search_km = min(radius_km, search_km)
        if _between(covered_km, too_many_km) < _SHRINK_TO * too_many_km:
            search_km = min(search_km, _between(covered_km, too_many_km))
        else:
            search_km, too_many_km = min(search_km, too_many_km), math.inf


def _between(near_km: float, far_km: float) -> float:
    """Return a radius between the two: their geometric mean, at least a quarter of the larger."""
    return max(math.sqrt(near_km * far_km), far_km / 4)


def _next_ring(lat: float, lng: float, covered_km: float, radius_km: float) -> tuple[float, float]:
    """Return the radius known to be empty and the radius that reaches the nearest occupied cell.

    Asks the index, row by row, for the nearest occupied cell to the west and to the east. The cells that the circle
    touches are left out, so the result says where to search, not who is there.
    """
    inner = {low >> 20: (low, high) for low, high in geo.cell_ranges(lat, lng, covered_km)}
    column = geo.cell(lat, lng) & (1 << 20) - 1
    spans = []
    for low, high in geo.cell_ranges(lat, lng, radius_km):
        here = low >> 20 << 20 | column
        if low <= here <= high:
            west, east = inner.get(low >> 20, (here + 1, here))
            spans += [f"({low}, {west - 1}, 0)", f"({east + 1}, {high}, 1)"]
        else:  # beyond 180°
            spans.append(f"({low}, {high}, {int(high < here)})")
    within = "FROM drivers_driverposition WHERE dispatchable AND cell BETWEEN low AND high"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH span(low, high, east) AS (VALUES {', '.join(spans)}) SELECT CASE WHEN east = 1 "  # noqa: S608
            f"THEN (SELECT min(cell) {within}) ELSE (SELECT max(cell) {within}) END FROM span"
        )
        cells = [found for (found,) in cursor.fetchall() if found is not None]
    if not cells:
        return covered_km, radius_km
    nearest_km = min(geo.distance_km(lat, lng, *geo.centre(one)) for one in cells)
    return max(covered_km, min(radius_km, nearest_km) - _CELL_KM), max(covered_km, nearest_km) + _CELL_KM


Row = tuple[int, float, float, float | None, dt.datetime, bool]


def _to_fix(row: Row) -> StoredFix:
    """Convert a row of the query."""
    # SQLite keeps instants without a zone, in UTC.
    at = row[4] if row[4].tzinfo else row[4].replace(tzinfo=dt.UTC)
    return StoredFix(row[0], row[1], row[2], row[3], at, bool(row[5]))


def _search_circle(lat: float, lng: float, radius_km: float, limit: int | None) -> list[Row]:
    """Read the dispatchable drivers within the circle and slightly beyond, at most `limit`, in no order; None: all."""
    spans = ", ".join(f"({low}, {high})" for low, high in geo.cell_ranges(lat, lng, radius_km))
    within = f"dispatchable AND cell BETWEEN low AND high AND {_in_circle(lat, lng, radius_km)}"
    cut = f"LIMIT {limit}" if limit else ""
    columns = "driver_id, lat, lng, accuracy_m, recorded_at, jumped"
    # Read the partial index range by range, even if the planner estimates that the ranges hold half of the table.
    # S608: the text is made of numbers and constants of this module only.
    spans = f"WITH span(low, high) AS (VALUES {spans}) SELECT {columns} FROM span CROSS JOIN"  # noqa: S608
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            near = f"SELECT {columns} FROM drivers_driverposition WHERE {within} {cut}"  # noqa: S608
            # With that estimate the planner would also start its JIT, which takes 100 times longer than the query.
            cursor.execute(f"SET LOCAL jit = off; {spans} LATERAL ({near}) AS near {cut}")
            cursor.nextset()
        else:
            cursor.execute(f"{spans} drivers_driverposition WHERE {within} {cut}")
        rows: list[Row] = cursor.fetchall()
    return rows


def _in_circle(lat: float, lng: float, radius_km: float) -> str:
    """Return the SQL condition that leaves out what the cells cover beyond the circle, with multiplications only.

    The haversine formula with x for sin x and three terms of the series for the cosine of the latitude. `slack` widens
    the circle by the largest error, so that no driver within it is lost. Near a pole and across 180° every row passes.
    """
    south, north, west, east = geo.box(lat, lng, radius_km)
    if west < -180 or east > 180 or abs(lat) > 85:
        return "lat >= -90"
    phi, degree = math.radians(lat), math.pi / 180
    sine, cosine = math.sin(phi), math.cos(phi)
    dlat, dlng = f"(lat - ({lat!r}))", f"(lng - ({lng!r}))"
    at = f"({cosine!r} - ({sine * degree!r}) * {dlat} - {cosine * degree**2 / 2!r} * {dlat} * {dlat})"
    slack = 1.0001 + ((east - west) / 2 * degree) ** 2 / 12 + ((north - south) / 2 * degree) ** 2 / 12
    reach = ((north - south) / 2) ** 2 * slack
    return f"{dlat} * {dlat} + {cosine!r} * {at} * {dlng} * {dlng} <= {reach!r}"
