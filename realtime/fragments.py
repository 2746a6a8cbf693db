"""Fragments of the dashboard pages, rendered once per audience and event however many tabs are open.

An audience is a role in a language, looking at one thing: the driver's dashboard, one trip, a user's trips.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from django.utils.translation import override

from drivers import fragments as driver_fragments
from realtime import events
from stepper.db.transactions import run_in_thread
from trips import fragments as trip_fragments

# Enough for the tabs of one event to find what the first of them rendered.
_KEPT = 512
_rendered: OrderedDict[tuple[str, tuple[int, ...], str, str], asyncio.Future[str]] = OrderedDict()

SNAPSHOTS: dict[str, Callable[..., str]] = {
    "driver": driver_fragments.snapshot,
    "trip": trip_fragments.snapshot,
    "trips": trip_fragments.list_snapshot,
}
CHANGES: dict[str, Callable[..., str]] = {
    "driver": driver_fragments.render,
    "trip": trip_fragments.render,
    "trips": trip_fragments.list_render,
}


async def fragment(audience: str, subject: tuple[int, ...], *, language: str, logged: tuple[str, str] | None) -> str:
    """HTML for out-of-band swaps: what a logged event (id, frame) changes, or None: everything as it stands."""
    if logged is None:
        return await run_in_thread(_render, audience, subject, language, None)
    event_id, frame = logged
    key = (audience, subject, language, event_id)
    rendering = _rendered.get(key)
    if rendering is None or rendering.get_loop() is not asyncio.get_running_loop():
        rendering = asyncio.ensure_future(run_in_thread(_render, audience, subject, language, frame))
        _rendered[key] = rendering
        while len(_rendered) > _KEPT:
            _rendered.popitem(last=False)
    # Shielded: the tab that began may close while others wait.
    return await asyncio.shield(rendering)


def _render(audience: str, subject: tuple[int, ...], language: str, frame: str | None) -> str:
    with override(language):
        if frame is None:
            return SNAPSHOTS[audience](*subject)
        return CHANGES[audience](events.decode_frame(frame), *subject)
