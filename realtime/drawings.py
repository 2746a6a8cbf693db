"""Fragments of HTML that several tabs and a response need at the same moment, drawn once in each process.

The key of a drawing is the page, its subject, the language and the change. The events of one change of a trip share
one key, because each of them has the same regions drawn.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from realtime import events
from stepper.db.transactions import run_in_thread

# Number of drawings kept: enough that all tabs which get an event find what the first of them drew.
_KEPT = 512


class DrawingKey(NamedTuple):
    """Identifies a fragment; two fragments with the same key have the same content.

    `subject`: the id or ids of the page, such as a driver's.
    """

    page: events.Page
    subject: tuple[int, ...]
    language: str
    change: tuple[str | int, ...]


def change_of(event: events.DurableFrame) -> tuple[str | int, ...]:
    """Return the key of the change behind an event: events of one change, which draw the same regions, share it."""
    match event:
        case (
            events.OfferAccepted()
            | events.TripStatusUpdated()
            | events.SharedTripUpdated()
            | events.BookingConfirmed()
            | events.BookingCancelled()
        ):
            return ("change", event.trip_id, event.version)
        case (
            events.NotificationDriver()
            | events.NotificationPassenger()
            | events.NotificationStaff()
            | events.NotificationRead()
        ):
            return ("notification", event.id)
        case _:
            return ("change", event.id)


class _Drawing:
    """One fragment: the first thread draws it, the others wait for that thread.

    The lock is taken inside a database thread, so nobody waits for a thread that is still queued.
    """

    __slots__ = ("_html", "_lock", "waited_for")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._html: str | None = None
        # The sockets of one loop wait for one database thread together.
        self.waited_for: asyncio.Future[str] | None = None

    def html(self, draw: Callable[[], str]) -> str:
        """Return the HTML, calling `draw` unless it has been drawn."""
        with self._lock:
            if self._html is None:
                self._html = draw()
            return self._html


# Of each page, subject and language the newest change and its drawing. An older change that comes late, by the bus or
# by a sweep, is drawn as things are then: what was drawn for it before would take back what the tabs got since.
_drawings: OrderedDict[tuple[str | int, ...], tuple[DrawingKey, _Drawing]] = OrderedDict()
_drawings_lock = threading.Lock()


def _find_or_create_drawing(key: DrawingKey) -> _Drawing:
    # Notifications have no part in this: they read nothing that a change draws.
    place = (key.page, *key.subject, key.language, key.change[0])
    with _drawings_lock:
        newest = _drawings.get(place)
        if newest is None or newest[0] != key:
            newest = _drawings[place] = (key, _Drawing())
            _drawings.move_to_end(place)
            while len(_drawings) > _KEPT:
                _drawings.popitem(last=False)
        return newest[1]


def draw_once(key: DrawingKey, draw: Callable[[], str]) -> str:
    """Return the HTML of `key`, calling `draw` unless this process has drawn it. Call it in a database thread."""
    return _find_or_create_drawing(key).html(draw)


async def draw_once_for_sockets(key: DrawingKey, draw: Callable[[], str]) -> str:
    """Do `draw_once` for a caller on the event loop; `draw` runs in a database thread."""
    drawing = _find_or_create_drawing(key)
    waited_for = drawing.waited_for
    if waited_for is None or waited_for.get_loop() is not asyncio.get_running_loop() or _has_failed(waited_for):
        drawing.waited_for = waited_for = asyncio.ensure_future(run_in_thread(drawing.html, draw))
    # Shielded: the first tab's task may be cancelled while others wait.
    return await asyncio.shield(waited_for)


def _has_failed(future: asyncio.Future[str]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)
