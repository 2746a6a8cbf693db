"""Whose turn it is when many want something at once: what happened is told before the next one is asked in."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from realtime.publish import outlet

from .transactions import database_pool, in_thread

T = TypeVar("T")

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ThreadPoolExecutor, asyncio.Semaphore]] = WeakKeyDictionary()


async def in_turn(func: Callable[..., T], *args: Any, pool: ThreadPoolExecutor = database_pool) -> T:
    """`in_thread` for a request or command from outside: at most a pool's worth at once, after what has to be told."""
    loop = asyncio.get_running_loop()
    places = _turns.setdefault(loop, {}).setdefault(pool, asyncio.Semaphore(pool._max_workers))
    async with places:
        await outlet.settled()
        return await in_thread(func, *args, pool=pool)
