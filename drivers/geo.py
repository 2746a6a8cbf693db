"""Geometry on the globe: the only distance function, and the grid that positions are indexed by."""

import math

EARTH_RADIUS_KM = 6371.0088
# Cells are 0.01° squares: about 1.1 km north to south.
CELLS_PER_DEGREE = 100
_KM_PER_CELL = math.pi * EARTH_RADIUS_KM / 180 / CELLS_PER_DEGREE
_LNG_CELLS = 360 * CELLS_PER_DEGREE


def distance_km(lat_a: float, lng_a: float, lat_b: float, lng_b: float) -> float:
    """Great-circle distance in km (haversine, mean earth radius)."""
    phi_a, phi_b = math.radians(lat_a), math.radians(lat_b)
    half = (
        math.sin((phi_b - phi_a) / 2) ** 2
        + math.cos(phi_a) * math.cos(phi_b) * math.sin(math.radians(lng_b - lng_a) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, half)))


def cell(lat: float, lng: float) -> int:
    """The grid cell of a point, `lat_i << 20 | lng_i`: the cells of one row (a latitude) are contiguous."""
    lat_i = min(int((lat + 90) * CELLS_PER_DEGREE), 180 * CELLS_PER_DEGREE - 1)
    return lat_i << 20 | int((lng + 180) * CELLS_PER_DEGREE) % _LNG_CELLS


def cell_ranges(lat: float, lng: float, radius_km: float) -> list[tuple[int, int]]:
    """Inclusive ranges of cells that cover a circle, one or two a row (two where it crosses 180°)."""
    reach = math.ceil(radius_km / _KM_PER_CELL)
    lat_i, lng_i = divmod(cell(lat, lng), 1 << 20)
    first, last = max(0, lat_i - reach), min(180 * CELLS_PER_DEGREE - 1, lat_i + reach)
    # The widest row is the one nearest to a pole; a circle over the pole takes whole rows.
    widest = max(abs(first / CELLS_PER_DEGREE - 90), abs((last + 1) / CELLS_PER_DEGREE - 90))
    shrink = math.cos(math.radians(min(widest, 90)))
    width = math.ceil(reach / shrink) + 1 if shrink > 0.001 else _LNG_CELLS
    if 2 * width + 1 >= _LNG_CELLS:
        spans = [(0, _LNG_CELLS - 1)]
    else:
        low, high = lng_i - width, lng_i + width
        if low < 0:
            spans = [(0, high), (low + _LNG_CELLS, _LNG_CELLS - 1)]
        elif high >= _LNG_CELLS:
            spans = [(low, _LNG_CELLS - 1), (0, high - _LNG_CELLS)]
        else:
            spans = [(low, high)]
    return [(row << 20 | low, row << 20 | high) for row in range(first, last + 1) for low, high in spans]
