"""The viewers of the room in one process: who is sent what, and how often."""

import datetime as dt

import pytest

from realtime import events
from trips.room import live
from trips.room.live import LiveRoom
from trips.room.picture import Picture, Point
from trips.room.view import Cells, Viewport

pytestmark = pytest.mark.embedded_only

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
ALMATY = Viewport(south=43_00000, west=76_50000, north=43_50000, east=77_20000, zoom=14)
ELSEWHERE = Viewport(south=50_00000, west=71_00000, north=52_00000, east=72_00000, zoom=14)


class Screen:
    """A viewer whose client reads or does not."""

    reads = True

    def __init__(self) -> None:
        self.frames: list[events.OpsMap] = []

    def deliver(self, text: str) -> bool:
        if self.reads:
            frame = events.decode_frame(text)
            assert isinstance(frame, events.OpsMap)
            self.frames.append(frame)
        return self.reads

    def drivers(self) -> list[list[Point]]:
        return [frame.drivers for frame in self.frames]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> LiveRoom:
    """A room that reads nothing by itself."""
    room = LiveRoom()

    async def idle() -> None:
        pass

    monkeypatch.setattr(room, "_run", idle)
    return room


def show(room: LiveRoom, *drivers: Point) -> None:
    room._picture = Picture(NOW, list(drivers), [], [0] * 9, "q")
    room._cells = Cells(room._picture)


HERE, MOVED = (1, 43_20000, 76_90000, 0), (1, 43_30000, 76_90000, 0)


async def test_each_viewer_is_sent_what_they_look_at(room: LiveRoom) -> None:
    there, here, blind = Screen(), Screen(), Screen()
    for screen in (there, here, blind):
        room.enter(screen)
    room.look(there, ELSEWHERE)
    room.look(here, ALMATY)
    show(room, HERE)
    await room._send()
    assert (there.drivers(), here.drivers(), blind.drivers()) == ([[]], [[HERE]], [])


async def test_second_message_waits_for_the_next_second(room: LiveRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    room.enter(screen)
    room.look(screen, ALMATY)
    show(room, HERE)
    await room._send()
    show(room, MOVED)
    # Also who looks elsewhere and back again.
    room.look(screen, ALMATY)
    await room._send()
    assert screen.drivers() == [[HERE]]
    monkeypatch.setattr(live, "PERIOD_S", 0.0)
    await room._send()
    assert screen.drivers() == [[HERE], [MOVED]]


async def test_who_does_not_read_misses_nothing(room: LiveRoom) -> None:
    screen = Screen()
    screen.reads = False
    room.enter(screen)
    room.look(screen, ALMATY)
    show(room, HERE)
    await room._send()
    screen.reads = True
    show(room, MOVED)
    await room._send()
    assert [(frame.whole, frame.drivers) for frame in screen.frames] == [(True, [MOVED])]


async def test_who_begins_anew_gets_everything(room: LiveRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PERIOD_S", 0.0)
    screen = Screen()
    room.enter(screen)
    room.look(screen, ALMATY)
    show(room, HERE)
    for _time in range(2):
        await room._send()
    room.enter(screen)
    await room._send()
    assert [(frame.whole, frame.drivers) for frame in screen.frames] == [(True, [HERE]), (False, []), (True, [HERE])]


async def test_who_has_left_is_sent_nothing(room: LiveRoom) -> None:
    screen = Screen()
    room.enter(screen)
    room.look(screen, ALMATY)
    show(room, HERE)
    room.leave(screen)
    room.look(screen, ALMATY)
    await room._send()
    assert screen.frames == []
