"""A bound on the HTTP requests that are worked on at once.

Every request runs in a thread of its own. Unbounded, a crowd that arrives together (two hundred drivers accepting one
trip) takes the interpreter away from the event loop, and the sockets hear of the outcome seconds late; here it
queues instead, which costs it nothing: the machine is as busy with eight requests as with two hundred.
"""

import asyncio
from typing import Any

from django.conf import settings


class BoundedHttp:
    """Wraps an ASGI HTTP application; at most `settings.DATABASE_THREADS` requests run, the others wait in turn."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(settings.DATABASE_THREADS)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._places = loop, asyncio.Semaphore(settings.DATABASE_THREADS)
        async with self._places:
            await self._application(scope, receive, send)
