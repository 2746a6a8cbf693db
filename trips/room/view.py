"""What one viewer of the room is sent: what of a picture is in their viewport and changed since the last message.

Where the viewport holds too many, cells with counts stand for them. A cell is a tile of the Web Mercator map, in the
zoom at which it is about 64 pixels wide; at most CELLS of them are in a viewport.
"""

import math
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from realtime import events
from trips.room.picture import E5, DriverState, Picture, Point, TripState

# From so many drivers and trips in a viewport on cells are sent; below the second number single ones again.
MARKERS, MARKERS_AGAIN = 500, 400
CELLS: Final = 512
# A tile of 256 pixels has 16 cells.
_CELL_ZOOMS: Final = 2
_MOST_ZOOM: Final = 20
# The latitude at which Web Mercator ends.
_END_LAT: Final = 85.0511
# The place of a cell's counts is told to an eighth of its width, so that it is not sent again for every metre.
_STEPS: Final = 8

DRIVER_STATES, TRIP_STATES = len(DriverState), len(TripState)
# x, y, latitude and longitude in E5, drivers by state, trips by state.
Cell = tuple[int, ...]
CellKey = tuple[int, int]


class Viewport(Struct, frozen=True):
    """Which part of the map a viewer sees: degrees in E5. `west` is greater than `east` across the date line."""

    south: int
    west: int
    north: int
    east: int
    zoom: int

    def holds(self, points: Iterable[Point]) -> list[Point]:
        """Return the points that are in it."""
        south, north, west, east = self.south, self.north, self.west, self.east
        if west <= east:
            return [point for point in points if south <= point[1] <= north and west <= point[2] <= east]
        return [point for point in points if south <= point[1] <= north and (point[2] >= west or point[2] <= east)]


def viewport(command: events.OpsView) -> Viewport:
    """Return the viewport that a client asks for, with the zoom of its cells."""
    corners = (command.south, command.west, command.north, command.east)
    south, west, north, east = (round(degrees * E5) for degrees in corners)
    zoom = min(math.floor(command.zoom) + _CELL_ZOOMS, _MOST_ZOOM)
    while zoom > 0 and _cells_in(command, zoom) > CELLS:
        zoom -= 1
    return Viewport(south=south, west=west, north=north, east=east, zoom=zoom)


def _cells_in(command: events.OpsView, zoom: int) -> int:
    """Count the cells of a viewport."""
    left, top = _tile(command.north, command.west, zoom)
    right, bottom = _tile(command.south, command.east, zoom)
    columns = right - left if command.west <= command.east else right - left + 2**zoom
    return (math.floor(columns) + 2) * (math.floor(bottom - top) + 2)


def _tile(lat: float, lng: float, zoom: int) -> tuple[float, float]:
    """Return the place of a point in tiles of the Web Mercator map."""
    phi = math.radians(max(-_END_LAT, min(_END_LAT, lat)))
    size = 2.0**zoom
    return (lng + 180) / 360 * size, (1 - math.asinh(math.tan(phi)) / math.pi) / 2 * size


class Known(Struct, frozen=True):
    """What a viewer was sent so far. `cells` None: single drivers and trips."""

    drivers: dict[int, Point]
    trips: dict[int, Point]
    cells: dict[CellKey, Cell] | None
    zoom: int
    counts: list[int]
    queue: str


class Cells:
    """The cells of a picture by zoom, each computed once for all viewers."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._by_zoom: dict[int, dict[CellKey, Cell]] = {}

    def of(self, zoom: int) -> dict[CellKey, Cell]:
        """Return the cells of a zoom that have something in them."""
        if zoom not in self._by_zoom:
            self._by_zoom[zoom] = _gather(self._picture, zoom)
        return self._by_zoom[zoom]


def _gather(picture: Picture, zoom: int) -> dict[CellKey, Cell]:
    """Count drivers and trips by cell and state, and find the middle of each cell's."""
    sums: dict[CellKey, list[int]] = {}
    size = 2.0**zoom
    across, turn = size / (360 * E5), 180 * E5
    sin, log, to_rad, last = math.sin, math.log, math.pi / 180 / E5, int(size) - 1
    down = size / (4 * math.pi)
    for first, points in ((4, picture.drivers), (4 + DRIVER_STATES, picture.trips)):
        for _pk, lat, lng, state in points:
            sine = sin(lat * to_rad)
            # Beyond the end of the map, and at a pole, where it is infinitely far away.
            sine = max(-0.9963, min(0.9963, sine))
            key = (
                min(int((lng + turn) * across), last),
                min(max(int(size / 2 - log((1 + sine) / (1 - sine)) * down), 0), last),
            )
            cell = sums.get(key)
            if cell is None:
                cell = sums[key] = [0] * (4 + DRIVER_STATES + TRIP_STATES)
            cell[0] += 1
            cell[2] += lat
            cell[3] += lng
            cell[first + state] += 1
    step = max(1, round(360 * E5 / size / _STEPS))
    return {
        key: (*key, _rounded(cell[2], cell[0], step), _rounded(cell[3], cell[0], step), *cell[4:])
        for key, cell in sums.items()
    }


def _rounded(total: int, number: int, step: int) -> int:
    return round(total / number / step) * step


def compose(picture: Picture, cells: Cells, seen: Viewport, known: Known | None) -> tuple[events.OpsMap, Known]:
    """Return the next message of a viewer and what they know then. `known` None: they have nothing yet."""
    drivers, trips = seen.holds(picture.drivers), seen.holds(picture.trips)
    number, was_clustered = len(drivers) + len(trips), known is not None and known.cells is not None
    if number > (MARKERS_AGAIN if was_clustered else MARKERS):
        return _compose_cells(picture, cells, seen, known)
    before = known if known is not None and known.cells is None else None
    now = Known(
        drivers={point[0]: point for point in drivers},
        trips={point[0]: point for point in trips},
        cells=None,
        zoom=seen.zoom,
        counts=picture.counts,
        queue=picture.queue,
    )
    old_drivers, old_trips = (before.drivers, before.trips) if before else ({}, {})
    frame = events.OpsMap(
        timestamp=picture.at,
        whole=before is None,
        drivers=_changed(now.drivers, old_drivers),
        trips=_changed(now.trips, old_trips),
        drivers_gone=[pk for pk in old_drivers if pk not in now.drivers],
        trips_gone=[pk for pk in old_trips if pk not in now.trips],
        counts=_new_counts(picture, known),
        queue=_new_queue(picture, known),
    )
    return frame, now


def _compose_cells(picture: Picture, cells: Cells, seen: Viewport, known: Known | None) -> tuple[events.OpsMap, Known]:
    before = known.cells if known is not None and known.zoom == seen.zoom else None
    within = _within(cells.of(seen.zoom), seen)
    now = Known(drivers={}, trips={}, cells=within, zoom=seen.zoom, counts=picture.counts, queue=picture.queue)
    old = before or {}
    frame = events.OpsMap(
        timestamp=picture.at,
        whole=before is None,
        zoom=seen.zoom,
        cells=[cell for key, cell in within.items() if old.get(key) != cell],
        cells_gone=[key for key in old if key not in within],
        counts=_new_counts(picture, known),
        queue=_new_queue(picture, known),
    )
    return frame, now


def _within(cells: dict[CellKey, Cell], seen: Viewport) -> dict[CellKey, Cell]:
    """Return the cells of which a part is in the viewport: their counts are of all of them."""
    left, top = (math.floor(place) for place in _tile(seen.north / E5, seen.west / E5, seen.zoom))
    right, bottom = (math.floor(place) for place in _tile(seen.south / E5, seen.east / E5, seen.zoom))
    if seen.west <= seen.east:
        return {key: cell for key, cell in cells.items() if left <= key[0] <= right and top <= key[1] <= bottom}
    return {key: cell for key, cell in cells.items() if top <= key[1] <= bottom and (key[0] >= left or key[0] <= right)}


def _new_counts(picture: Picture, known: Known | None) -> list[int] | None:
    """Return the counters where one is another than before."""
    return picture.counts if known is None or known.counts != picture.counts else None


def _new_queue(picture: Picture, known: Known | None) -> str | None:
    """Return the state of the queue where it is another than before."""
    return picture.queue if known is None or known.queue != picture.queue else None


def _changed(now: dict[int, Point], before: dict[int, Point]) -> list[Point]:
    return [point for pk, point in now.items() if before.get(pk) != point]
