"""HTML that several tabs and an answer want at the same moment, drawn once in each process.

A drawing is known by the page, what it is about, the language and what happened: the events of one change of a trip
share one, as each of them would have the same regions read again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from realtime import events
from stepper.db.transactions import run_in_thread

# Enough for the tabs of one event to find what the first of them drew.
_KEPT = 512


class DrawingKey(NamedTuple):
    """Two fragments with the same key have the same content."""

    page: events.Page
    subject: tuple[int, ...]
    language: str
    change: tuple[str | int, ...]


def change_of(event: events.DurableFrame) -> tuple[str | int, ...]:
    """Name what happened: events that have the same regions drawn anew share it."""
    match event:
        case (
            events.OfferAccepted() | events.TripStatusUpdated() | events.BookingConfirmed() | events.BookingCancelled()
        ):
            return ("trip", event.trip_id, event.version)
        case _:
            return ("event", event.id)


class _Drawing:
    """Whichever thread comes first draws; the others wait for a thread that is at work, never for one in a queue."""

    __slots__ = ("_html", "_lock", "waited_for")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._html: str | None = None
        # The sockets of one loop take one database thread together.
        self.waited_for: asyncio.Future[str] | None = None

    def html(self, draw: Callable[[], str]) -> str:
        with self._lock:
            if self._html is None:
                self._html = draw()
            return self._html


_drawings: OrderedDict[DrawingKey, _Drawing] = OrderedDict()
_drawings_lock = threading.Lock()


def _drawing(key: DrawingKey) -> _Drawing:
    with _drawings_lock:
        found = _drawings.get(key)
        if found is None:
            found = _drawings[key] = _Drawing()
            while len(_drawings) > _KEPT:
                _drawings.popitem(last=False)
        return found


def draw_once(key: DrawingKey, draw: Callable[[], str]) -> str:
    """Return the HTML of `key`, calling `draw` unless somebody in this process has. In a database thread."""
    return _drawing(key).html(draw)


async def draw_once_for_sockets(key: DrawingKey, draw: Callable[[], str]) -> str:
    """`draw_once` on the loop of the sockets; `draw` runs in a database thread."""
    drawing = _drawing(key)
    waited_for = drawing.waited_for
    if waited_for is None or waited_for.get_loop() is not asyncio.get_running_loop() or _has_failed(waited_for):
        drawing.waited_for = waited_for = asyncio.ensure_future(run_in_thread(drawing.html, draw))
    # Shielded: the tab that began may close while others wait.
    return await asyncio.shield(waited_for)


def _has_failed(future: asyncio.Future[str]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)
