"""Admission control: how many requests run at once, and that each begins after earlier events were published."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from realtime.outbox import publisher
from stepper.db.transactions import database_pool, run_in_thread

T = TypeVar("T")

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ThreadPoolExecutor, asyncio.Semaphore]] = WeakKeyDictionary()


async def run_admitted(func: Callable[..., T], *args: Any, pool: ThreadPoolExecutor = database_pool) -> T:
    """Run a request or command in a thread of the pool: at most as many together as it has threads.

    It begins after the events of earlier requests were handed to the channel layer, so that a driver who lost a race
    learns it before their next request runs.

    A cancelled request (the client hung up) keeps its slot until its thread has finished. The thread cannot be stopped
    and still reads the request's body, and hanging up must not let more requests into the pool than it has threads.
    """
    loop = asyncio.get_running_loop()
    slots = _slots.setdefault(loop, {}).setdefault(pool, asyncio.Semaphore(pool._max_workers))
    async with slots:
        await publisher.wait_until_delivered()
        working = asyncio.ensure_future(run_in_thread(func, *args, pool=pool))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            raise
