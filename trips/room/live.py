"""The viewers of the room in this process: one reads for all of them, and each is sent one message a second at most.

With several servers each reads the database for its own viewers, so all of them show the same, whichever server a
driver's phone is connected to.
"""

import asyncio
import logging
import time
from typing import Protocol

from django.db import DatabaseError
from msgspec import Struct

from realtime import events
from stepper.db.transactions import run_in_thread
from stepper.monitoring import log_ids
from trips.room.picture import Picture, Reader
from trips.room.view import Cells, Known, Viewport, compose

logger = logging.getLogger("stepper.room")

PERIOD_S = 1.0


class Viewer(Protocol):
    """A socket of the room's page."""

    def deliver(self, text: str) -> bool:
        """Write a frame without waiting; False: the client does not read now."""


class _Seen(Struct):
    """What a viewer looks at and was sent. `looks` counts their changes of the viewport."""

    viewport: Viewport | None = None
    known: Known | None = None
    sent_at: float = 0.0
    looks: int = 0


class LiveRoom:
    """The viewers of this process. Call everything on the server's loop."""

    def __init__(self) -> None:
        self._viewers: dict[Viewer, _Seen] = {}
        self._picture: Picture | None = None
        self._cells: Cells | None = None
        self._reader = Reader()
        self._read_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._looked: asyncio.Event | None = None

    def enter(self, viewer: Viewer) -> None:
        """Send a viewer everything anew, from the next message on; the first time they come in."""
        seen = self._viewers.setdefault(viewer, _Seen())
        seen.known, seen.looks = None, seen.looks + 1
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._looked = asyncio.Event()
            self._task = loop.create_task(self._run())

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer. When the last one has left nothing is read any more."""
        self._viewers.pop(viewer, None)

    def look(self, viewer: Viewer, viewport: Viewport) -> None:
        """Set what a viewer looks at."""
        seen = self._viewers.get(viewer)
        if seen is None:
            return
        seen.viewport, seen.looks = viewport, seen.looks + 1
        if self._looked is not None:
            self._looked.set()

    async def _run(self) -> None:
        # Not in the name of the viewer who came first.
        log_ids.begin()
        looked = self._looked
        while self._viewers and looked is not None:
            try:
                if time.monotonic() - self._read_at >= PERIOD_S:
                    await self._read()
                await self._send()
            except DatabaseError as error:
                logger.warning("the operations room waits for the database: %s", error)
                self._read_at = time.monotonic()
            except Exception:  # nothing replaces this loop, and its viewers would go on looking at an old picture
                logger.exception("the operations room could not be drawn")
                self._read_at = time.monotonic()
            looked.clear()
            # Until the next reading, or until somebody looks elsewhere; no viewer is sent two messages in a second.
            left = self._read_at + PERIOD_S - time.monotonic()
            try:
                async with asyncio.timeout(max(0.02, left)):
                    await looked.wait()
            except TimeoutError:
                continue

    async def _read(self) -> None:
        self._picture = await run_in_thread(self._reader.read)
        self._cells = Cells(self._picture)
        self._read_at = time.monotonic()

    async def _send(self) -> None:
        """Send each viewer what changed, those apart who had a message within the last second."""
        picture, cells, now = self._picture, self._cells, time.monotonic()
        if picture is None or cells is None:
            return
        due = [
            (viewer, seen.looks, seen.viewport, seen.known)
            for viewer, seen in self._viewers.items()
            if seen.viewport is not None and now - seen.sent_at >= PERIOD_S
        ]
        if not due:
            return
        composed = await run_in_thread(_compose_all, picture, cells, due)
        for (viewer, looks, _viewport, _known), (text, known) in zip(due, composed, strict=True):
            seen = self._viewers.get(viewer)
            # Who has looked elsewhere meanwhile, or begins anew, gets the next one.
            if seen is None or seen.looks != looks:
                continue
            if viewer.deliver(text):
                seen.known, seen.sent_at = known, time.monotonic()


def _compose_all(
    picture: Picture, cells: Cells, due: list[tuple[Viewer, int, Viewport, Known | None]]
) -> list[tuple[str, Known]]:
    """Compose the viewers' messages, in a database thread: the loop of the server has others to serve."""
    found = []
    for _viewer, _looks, viewport, known in due:
        frame, then = compose(picture, cells, viewport, known)
        found.append((events.encode(frame), then))
    return found


room = LiveRoom()
