"""What one viewer of the room is sent: what they look at, and of that what changed."""

import datetime as dt
from typing import Any

import pytest

from realtime import events
from trips.room.picture import E5, Picture, Point
from trips.room.view import CELLS, MARKERS, MARKERS_AGAIN, Cells, Known, Viewport, compose, viewport

pytestmark = pytest.mark.embedded_only

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)


def picture(drivers: list[Point] = [], trips: list[Point] = [], **fields: Any) -> Picture:  # noqa: B006 - never changed
    return Picture(NOW, drivers, trips, fields.get("counts", [0] * 9), fields.get("queue", "q1"))


def looking_at(south: float, west: float, north: float, east: float, zoom: float = 12) -> Viewport:
    return viewport(events.OpsView(south=south, west=west, north=north, east=east, zoom=zoom))


def at(pk: int, lat: float, lng: float, state: int = 0) -> Point:
    return pk, round(lat * E5), round(lng * E5), state


def send(now: Picture, seen: Viewport, known: Known | None = None) -> tuple[events.OpsMap, Known]:
    return compose(now, Cells(now), seen, known)


ALMATY = looking_at(43.0, 76.5, 43.5, 77.2)


def test_first_message_has_what_is_in_view_and_nothing_else() -> None:
    inside, outside = at(1, 43.2, 76.9), at(2, 51.1, 71.4)
    frame, _known = send(picture([inside, outside], [at(7, 43.3, 77.0, 1), at(8, 42.0, 77.0)]), ALMATY)
    assert frame == events.OpsMap(
        timestamp=NOW, whole=True, drivers=[inside], trips=[at(7, 43.3, 77.0, 1)], counts=[0] * 9, queue="q1"
    )


def test_next_message_has_what_came_moved_changed_and_went() -> None:
    still, moves, changes, leaves = at(1, 43.2, 76.9), at(2, 43.2, 76.8), at(3, 43.2, 76.7), at(4, 43.2, 76.6)
    _frame, known = send(picture([still, moves, changes, leaves], [at(7, 43.3, 77.0)]), ALMATY)
    moved, changed, came = at(2, 43.21, 76.8), at(3, 43.2, 76.7, 3), at(5, 43.2, 76.9)
    frame, known = send(picture([still, moved, changed, at(4, 44.0, 76.6), came]), ALMATY, known)
    assert frame == events.OpsMap(timestamp=NOW, drivers=[moved, changed, came], drivers_gone=[4], trips_gone=[7])
    frame, _known = send(picture([still, moved, changed, at(4, 44.0, 76.6), came]), ALMATY, known)
    assert frame == events.OpsMap(timestamp=NOW)


def test_counters_and_queue_come_when_they_change() -> None:
    _frame, known = send(picture(), ALMATY)
    frame, _known = send(picture(counts=[1] * 9, queue="q2"), ALMATY, known)
    assert (frame.counts, frame.queue) == ([1] * 9, "q2")


def test_moving_the_map_brings_what_comes_into_view_and_takes_what_leaves_it() -> None:
    almaty, between, astana = at(1, 43.2, 76.9), at(2, 45.0, 75.0), at(3, 51.1, 71.4)
    now = picture([almaty, between, astana])
    _frame, known = send(now, looking_at(43.0, 71.0, 46.0, 77.0))
    frame, _known = send(now, looking_at(44.0, 71.0, 52.0, 77.0), known)
    assert (frame.whole, frame.drivers, frame.drivers_gone) == (False, [astana], [1])


def test_viewport_across_the_date_line_has_both_sides() -> None:
    west, east, elsewhere = at(1, -16.8, 179.9), at(2, -16.8, -179.9), at(3, -16.8, 0.0)
    frame, _known = send(picture([west, east, elsewhere]), looking_at(-18, 179, -16, -179))
    assert frame.drivers == [west, east]


def many(count: int, lat: float = 43.2) -> list[Point]:
    return [at(pk, lat + pk % 20 * 0.005, 76.8 + pk // 20 * 0.001, pk % 4) for pk in range(1, count + 1)]


def total(frame: events.OpsMap) -> int:
    return sum(sum(cell[4:]) for cell in frame.cells)


def test_too_many_are_counted_in_cells() -> None:
    drivers, trips = many(MARKERS), [at(7, 43.3, 77.0, 1)]
    frame, known = send(picture(drivers, trips), ALMATY)
    assert (frame.whole, frame.drivers, frame.trips, total(frame)) == (True, [], [], MARKERS + 1)
    by_state = [sum(cell[4 + state] for cell in frame.cells) for state in range(9)]
    assert by_state == [MARKERS // 4] * 4 + [0, 1, 0, 0, 0]
    # One goes, all others stay where they are.
    frame, _known = send(picture(drivers[1:], trips), ALMATY, known)
    assert (frame.whole, len(frame.cells), frame.cells_gone) == (False, 1, [])


def test_single_ones_come_back_below_the_lower_limit() -> None:
    _frame, known = send(picture(many(MARKERS + 1)), ALMATY)
    frame, known = send(picture(many(MARKERS_AGAIN + 1)), ALMATY, known)
    assert (frame.whole, frame.zoom is not None) == (False, True)
    frame, known = send(picture(many(MARKERS_AGAIN)), ALMATY, known)
    assert (frame.whole, frame.zoom, len(frame.drivers)) == (True, None, MARKERS_AGAIN)
    # And not the other way before the upper one.
    frame, _known = send(picture(many(MARKERS)), ALMATY, known)
    assert (frame.whole, frame.zoom) == (False, None)


def test_another_zoom_has_other_cells() -> None:
    now = picture(many(MARKERS + 1))
    _frame, known = send(now, ALMATY)
    frame, _known = send(now, looking_at(43.0, 76.5, 43.5, 77.2, zoom=9), known)
    assert frame.whole
    assert frame.zoom is not None
    assert frame.zoom < ALMATY.zoom


@pytest.mark.parametrize("zoom", [0, 3, 24])
@pytest.mark.parametrize("box", [(-90, -180, 90, 180), (43.0, 76.5, 43.5, 77.2), (-18, 179, -16, -179)])
def test_viewport_never_has_more_cells_than_a_message_holds(box: tuple[float, ...], zoom: float) -> None:
    seen = looking_at(*box, zoom=zoom)  # type: ignore[misc]
    everywhere = [at(pk, -85 + pk // 200 * 170 / 200, -180 + pk % 200 * 360 / 200) for pk in range(200 * 200)]
    frame, _known = send(picture(everywhere), seen)
    assert len(frame.cells) <= CELLS
    assert len(events.encode(frame)) < 64 * 1024


def test_cells_out_of_view_are_not_sent() -> None:
    frame, _known = send(picture([*many(MARKERS + 1), *many(MARKERS, lat=51.0)]), ALMATY)
    assert total(frame) == MARKERS + 1
