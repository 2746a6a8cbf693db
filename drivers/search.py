"""The growing search for the drivers nearest to a point."""

import operator
from collections.abc import Callable
from functools import reduce
from itertools import takewhile
from typing import NamedTuple

from django.db.models import Q

from . import geo
from .models import DriverPosition

# Each look covers sixteen times the area of the last, so the dense city is done after one small one.
_GROWTH_KM = (0.5, 2.0, 8.0, 32.0)


class Near(NamedTuple):
    driver_id: int
    distance_km: float
    position: DriverPosition


def in_cells(field: str, lat: float, lng: float, radius_km: float) -> Q:
    """A condition on a cell column that covers the circle (and a little more)."""
    return reduce(operator.or_, (Q(**{f"{field}__range": span}) for span in geo.cell_ranges(lat, lng, radius_km)))


def nearest(lat: float, lng: float, radius_km: float, enough: int) -> list[Near]:
    """Dispatchable drivers within `radius_km`, nearest first; stops growing at `enough` within the looked-at circle.

    Whether their position is fresh is not asked here: a dark driver is turned down with a reason.
    """
    steps = [*takewhile(lambda step: step < radius_km, _GROWTH_KM), radius_km]
    found: list[Near] = []
    for step in steps:
        found = _within(lat, lng, step)
        if len(found) >= enough:
            break
    return found


def _within(lat: float, lng: float, radius_km: float) -> list[Near]:
    positions = DriverPosition.objects.filter(in_cells("cell", lat, lng, radius_km), dispatchable=True)
    near = [Near(row.driver_id, geo.distance_km(lat, lng, row.lat, row.lng), row) for row in positions]
    by_distance: Callable[[Near], tuple[float, int]] = lambda one: (one.distance_km, one.driver_id)  # noqa: E731
    return sorted((one for one in near if one.distance_km <= radius_km), key=by_distance)
