"""The growing search for the drivers nearest to a point.

It looks at a small circle first and at larger ones until enough drivers are found or the radius is reached. How much
larger follows from how many were found; where nobody was, it asks the index alone which cell around is the nearest
that anybody is in. No look reads more than a few hundred drivers: one that would is repeated with a smaller circle.
So a city centre, empty country and a city at the rim of it take about as long.
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
# How much wider than the last the next ring is, at most and at least.
_MOST_GROWTH, _LEAST_GROWTH = 8.0, 0.5
# A look that finds more than these per driver wanted, and these in any case, is repeated nearer.
_SPARE_FACTOR, _SPARE = 3, 100
# Half of a cell's diagonal.
_CELL_KM = 0.8
# A circle is shrunk to less than this, or it will hold too many again.
_WORTH_IT = 0.9
# No ring is thinner than this, or than this share of its radius: a crowd on one spot is read whatever it holds.
_LEAST_KM, _LEAST_SHARE = 0.02, 0.01


class Fix(NamedTuple):
    """What the search reads of a driver's position."""

    driver_id: int
    lat: float
    lng: float
    accuracy_m: float | None
    recorded_at: dt.datetime
    # Newer fixes of the driver are kept aside (drivers.positions.fixes).
    is_doubted: bool


class Near(NamedTuple):
    driver_id: int
    distance_km: float
    position: Fix


def in_cells(field: str, lat: float, lng: float, radius_km: float) -> Q:
    """A condition on a cell column that covers the circle (and a little more)."""
    return reduce(operator.or_, (Q(**{f"{field}__range": span}) for span in geo.cell_ranges(lat, lng, radius_km)))


def search_outward(lat: float, lng: float, radius_km: float, enough: int) -> Iterator[list[Near]]:
    """All dispatchable drivers within `radius_km`, nearest first, batch by batch as far as the caller asks.

    Whether their position is fresh is not asked here: a dark driver is turned down with a reason.
    `enough` is how many are probably wanted: the size of a batch follows it, but may be less (also none) or more.
    Drivers move meanwhile: nobody comes twice, and who drives towards the point between two looks may be missed.
    """
    seen: set[int] = set()
    covered_km, look_km = 0.0, min(_FIRST_KM, radius_km)
    # A circle this large is known to hold too many for a look.
    too_many_km = math.inf
    while True:
        wanted = enough - len(seen) if len(seen) < enough else enough
        limit = len(seen) + _SPARE_FACTOR * wanted + _SPARE
        least_km = max(_LEAST_KM, _LEAST_SHARE * covered_km)
        divisible = look_km - covered_km > least_km
        rows = _search_circle(lat, lng, look_km, limit + 1 if divisible else None)
        new = [(geo.distance_km(lat, lng, row[1], row[2]), row[0], row) for row in rows if row[0] not in seen]
        new = sorted(one for one in new if one[0] <= look_km)
        if divisible and len(rows) > limit:
            # As many as are wanted are within the distance of the last of them, whichever were read.
            sure_km = new[wanted - 1][0] if len(new) >= wanted else look_km
            too_many_km = look_km
            look_km = sure_km if sure_km < _WORTH_IT * look_km else _between(covered_km, look_km)
            look_km = max(look_km, covered_km + least_km)
            continue
        seen.update(driver_id for _km, driver_id, _row in new)
        yield [Near(driver_id, distance_km, _fix(row)) for distance_km, driver_id, row in new]
        if look_km >= radius_km:
            return
        if new:
            # As many again as are wanted, if the country goes on as in the ring just looked at.
            width_km, ring = look_km - covered_km, look_km**2 - covered_km**2
            next_km = math.sqrt(look_km**2 + 2 * wanted * ring / len(new)) - look_km
            covered_km = look_km
            look_km += min(width_km * _MOST_GROWTH, max(width_km * _LEAST_GROWTH, next_km))
        else:
            covered_km, look_km = _next_ring(lat, lng, look_km, radius_km)
        look_km = min(radius_km, look_km)
        if _between(covered_km, too_many_km) < _WORTH_IT * too_many_km:
            look_km = min(look_km, _between(covered_km, too_many_km))
        else:
            look_km, too_many_km = min(look_km, too_many_km), math.inf


def _between(near_km: float, far_km: float) -> float:
    return max(math.sqrt(near_km * far_km), far_km / 4)


def _next_ring(lat: float, lng: float, covered_km: float, radius_km: float) -> tuple[float, float]:
    """Around a circle with nobody new in it: up to where there is nobody either, and where there is somebody.

    In each row the index knows the next cell to the west and to the east that somebody is in. Those that the circle
    touches are left out, so this says where to look, not what is there.
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


def _fix(row: Row) -> Fix:
    # SQLite keeps instants without a zone, in UTC.
    at = row[4] if row[4].tzinfo else row[4].replace(tzinfo=dt.UTC)
    return Fix(row[0], row[1], row[2], row[3], at, bool(row[5]))


def _search_circle(lat: float, lng: float, radius_km: float, limit: int | None) -> list[Row]:
    """Dispatchable drivers within the circle and a hair more, `limit` of them at most, in no order."""
    spans = ", ".join(f"({low}, {high})" for low, high in geo.cell_ranges(lat, lng, radius_km))
    within = f"dispatchable AND cell BETWEEN low AND high AND {_in_circle(lat, lng, radius_km)}"
    cut = f"LIMIT {limit}" if limit else ""
    columns = "driver_id, lat, lng, accuracy_m, recorded_at, jumped"
    # Range by range through the partial index, also where the planner thinks that the ranges hold half of the table.
    # S608: the text is made of numbers and constants of this module only.
    spans = f"WITH span(low, high) AS (VALUES {spans}) SELECT {columns} FROM span CROSS JOIN"  # noqa: S608
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            near = f"SELECT {columns} FROM drivers_driverposition WHERE {within} {cut}"  # noqa: S608
            # Thinking so it would also compile the query, which takes a hundred times as long as running it.
            cursor.execute(f"SET LOCAL jit = off; {spans} LATERAL ({near}) AS near {cut}")
            cursor.nextset()
        else:
            cursor.execute(f"{spans} drivers_driverposition WHERE {within} {cut}")
        rows: list[Row] = cursor.fetchall()
    return rows


def _in_circle(lat: float, lng: float, radius_km: float) -> str:
    """Keeps out what the cells reach beyond the circle, with what every database multiplies quickly.

    The haversine with x for sin x and three terms of the cosine of the latitude: never less than the distance, and more
    by what `slack` says. Beside a pole and across 180° the cells alone have to do.
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
