"""The registry of dashboard fragments: which functions draw a page, as a whole and after an event.

`events.Durable.pages` declares the pages that draw an event. A function that lacks an event of its page fails the type
check; an event that is declared and drawn nowhere fails tests/realtime/test_page_updates.py.
"""

from collections.abc import Callable

from django.utils.translation import override

from drivers import application_fragments
from drivers import fragments as driver_fragments
from drivers.earnings import page as earnings_page
from realtime import events
from realtime.drawings import DrawingKey, change_of, draw_once_for_sockets
from stepper.db.transactions import run_in_thread
from stepper.ops import fragments as ops_fragments
from trips import fragments as trip_fragments
from trips import shared_fragments
from trips.room import fragments as room_fragments

SNAPSHOTS: dict[events.Page, Callable[..., str]] = {
    "driver": driver_fragments.snapshot,
    "earnings": earnings_page.snapshot,
    "trip": trip_fragments.snapshot,
    "trips": trip_fragments.list_snapshot,
    "apply": application_fragments.snapshot,
    "shared": shared_fragments.snapshot,
    "ops": room_fragments.snapshot,
    "ops_trip": ops_fragments.trip_snapshot,
    "ops_driver": ops_fragments.driver_snapshot,
}
CHANGES: dict[events.Page, Callable[..., str]] = {
    "driver": driver_fragments.render,
    "earnings": earnings_page.render,
    "trip": trip_fragments.render,
    "trips": trip_fragments.list_render,
    "apply": application_fragments.render,
    "shared": shared_fragments.render,
    "ops": room_fragments.render,
    "ops_trip": ops_fragments.render_trip,
    "ops_driver": ops_fragments.render_driver,
}


async def snapshot(page: events.Page, subject: tuple[int, ...], language: str) -> str:
    """Draw all regions of the page that events can change, for out-of-band swaps."""
    return await run_in_thread(_draw, SNAPSHOTS[page], subject, language)


async def change(page: events.Page, subject: tuple[int, ...], *, language: str, event: events.DurableFrame) -> str:
    """Draw what an event changes on the page, once for all its tabs. "": the page does not draw such events."""
    key = DrawingKey(page, subject, language, change_of(event))
    return await draw_once_for_sockets(key, lambda: _draw(CHANGES[page], (event, *subject), language))


def _draw(function: Callable[..., str], arguments: tuple[object, ...], language: str) -> str:
    with override(language):
        return function(*arguments)
