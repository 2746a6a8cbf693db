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
    """Run a request or command in a thread of the pool: at most as many at once as it has threads.

    It begins after the events of those before it were handed to the channel layer, so that who lost a race hears of it
    first.

    Who is cancelled (the client hung up) keeps the turn until the thread is done: it goes on, and would find the
    request's body closed under it; and hanging up must not let others crowd into the pool.
    """
    loop = asyncio.get_running_loop()
    places = _slots.setdefault(loop, {}).setdefault(pool, asyncio.Semaphore(pool._max_workers))
    async with places:
        await publisher.wait_until_delivered()
        working = asyncio.ensure_future(run_in_thread(func, *args, pool=pool))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            raise
