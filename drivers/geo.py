"""Geometry on the globe: distances, and the grid of cells that positions are indexed by."""

import math
from math import asin, cos, radians, sin, sqrt

EARTH_RADIUS_KM = 6371.0088
# Cells are 0.01° squares: about 1.1 km north to south.
CELLS_PER_DEGREE = 100
_LAT_CELLS = 180 * CELLS_PER_DEGREE
_LNG_CELLS = 360 * CELLS_PER_DEGREE
# About a centimetre, added to every radius against rounding errors.
_MARGIN_DEG = 1e-7


def distance_km(lat_a: float, lng_a: float, lat_b: float, lng_b: float) -> float:
    """Return the great-circle distance in km (haversine, mean earth radius)."""
    phi_a, phi_b = radians(lat_a), radians(lat_b)
    sin_lat, sin_lng = sin((phi_b - phi_a) / 2), sin(radians(lng_b - lng_a) / 2)
    half = sin_lat * sin_lat + cos(phi_a) * cos(phi_b) * sin_lng * sin_lng
    return 2 * EARTH_RADIUS_KM * asin(sqrt(half)) if half < 1 else math.pi * EARTH_RADIUS_KM


def cell(lat: float, lng: float) -> int:
    """Return the grid cell of a point, `lat_i << 20 | lng_i`: the cells of one row (a latitude) are contiguous."""
    row = int((lat + 90) * CELLS_PER_DEGREE)
    return (row if row < _LAT_CELLS else _LAT_CELLS - 1) << 20 | int((lng + 180) * CELLS_PER_DEGREE) % _LNG_CELLS


def centre(cell: int) -> tuple[float, float]:
    """Return the centre (lat, lng) of a cell."""
    row, column = divmod(cell, 1 << 20)
    return (row + 0.5) / CELLS_PER_DEGREE - 90, (column + 0.5) / CELLS_PER_DEGREE - 180


def _row(lat: float) -> int:
    return min(max(int((lat + 90) * CELLS_PER_DEGREE), 0), _LAT_CELLS - 1)


def box(lat: float, lng: float, radius_km: float) -> tuple[float, float, float, float]:
    """Return (least lat, greatest lat, least lng, greatest lng) in degrees around a circle, with a margin.

    The longitudes may reach beyond ±180; a circle over a pole has all of them.
    """
    arc = radius_km / EARTH_RADIUS_KM
    reach = math.degrees(arc) + _MARGIN_DEG
    if abs(lat) + reach >= 90:
        return lat - reach, lat + reach, lng - 360, lng + 360
    width = math.degrees(math.asin(min(1.0, math.sin(arc) / math.cos(math.radians(lat)))))
    # Near a pole a centimetre is many degrees.
    width += _MARGIN_DEG / math.cos(math.radians(abs(lat) + reach))
    return lat - reach, lat + reach, lng - width, lng + width


def cell_ranges(lat: float, lng: float, radius_km: float) -> list[tuple[int, int]]:
    """Return the inclusive ranges of cells that a circle touches, in order: one per row, two where it crosses 180°."""
    south, north, west, east = box(lat, lng, radius_km)
    arc, phi = radius_km / EARTH_RADIUS_KM, math.radians(lat)
    over_pole = east - west >= 360
    # The latitude where the circle is widest: nearer to the pole than its centre.
    widest = 90.0 if over_pole else math.degrees(math.asin(max(-1.0, min(1.0, math.sin(phi) / math.cos(arc)))))
    ranges: list[tuple[int, int]] = []
    for row in range(_row(south), _row(north) + 1):
        low, high = 0, _LNG_CELLS - 1
        if not over_pole:
            bottom, top = row / CELLS_PER_DEGREE - 90, (row + 1) / CELLS_PER_DEGREE - 90
            at = math.radians(min(max(widest, bottom, south), top, north))
            turn = (math.cos(arc) - math.sin(at) * math.sin(phi)) / (math.cos(at) * math.cos(phi))
            width = math.degrees(math.acos(max(-1.0, min(1.0, turn)))) + _MARGIN_DEG / math.cos(at)
            low = math.floor((lng - width + 180) * CELLS_PER_DEGREE)
            high = math.floor((lng + width + 180) * CELLS_PER_DEGREE)
        start = row << 20
        if high - low + 1 >= _LNG_CELLS:
            ranges.append((start, start | _LNG_CELLS - 1))
        elif low < 0:
            ranges += [(start, start | high), (start | low + _LNG_CELLS, start | _LNG_CELLS - 1)]
        elif high >= _LNG_CELLS:
            ranges += [(start, start | high - _LNG_CELLS), (start | low, start | _LNG_CELLS - 1)]
        else:
            ranges.append((start | low, start | high))
    return ranges
