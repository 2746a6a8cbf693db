"""Admission control: how many requests run at once, also of one client, and that each begins after earlier events."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from realtime.outbox import publisher
from stepper.db.transactions import database_pool, run_in_thread

T = TypeVar("T")

# Requests of one client that run at once; its further ones wait for these, and others pass them. If it could use every
# thread, somebody else's request would first wait for one of them and then share the interpreter with three.
AT_ONCE_PER_CLIENT = 1

# How long a client that went over a limit waits: for its answer, and with its next request. One that goes on without a
# pause would take its share of the event loop from everybody, refused or not.
REFUSED_PAUSE_S = 0.25
# How many requests of a client that was refused the last time may wait: each holds its body. A browser sends six.
MOST_WAITING = 20


class TooManyWaiting(Exception):
    """A client goes on over its limit with more requests than may wait."""


class Client(NamedTuple):
    """Whose request it is, which decides only what waits for what: nothing of it needs to have been checked."""

    # An address, or a network in which clients can choose theirs. Together its clients leave one thread to others,
    # because one of them may give itself another name with each request.
    network: str
    # None: not told apart from others of the network.
    name: str | None = None


class _Own(asyncio.Semaphore):
    """The slots of one client. `is_refused`: its last request was over a limit."""

    def __init__(self) -> None:
        super().__init__(AT_ONCE_PER_CLIENT)
        self.waiting = 0
        self.is_refused = False

    async def wait(self) -> None:
        """Take a slot when there is one. Raises TooManyWaiting."""
        if self.is_refused and self.waiting >= MOST_WAITING:
            raise TooManyWaiting
        self.waiting += 1
        try:
            await self.acquire()
        finally:
            self.waiting -= 1


class _Slots:
    """The slots of a pool on one event loop: one for each thread, and so many of them for one network or client."""

    def __init__(self, threads: int) -> None:
        self.all = asyncio.Semaphore(threads)
        self._at_once_per_network = max(1, threads - 1)
        # They exist while a request of the client, or of the network, runs or waits.
        self._of_clients: WeakValueDictionary[Client, _Own] = WeakValueDictionary()
        self._of_networks: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of_client(self, client: Client) -> _Own:
        slots = self._of_clients.get(client)
        if slots is None:
            slots = self._of_clients[client] = _Own()
        return slots

    def of_network(self, network: str) -> asyncio.Semaphore:
        slots = self._of_networks.get(network)
        if slots is None:
            slots = self._of_networks[network] = asyncio.Semaphore(self._at_once_per_network)
        return slots


_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ThreadPoolExecutor, _Slots]] = WeakKeyDictionary()


async def run_admitted(
    func: Callable[..., T],
    *args: Any,
    client: Client | None,
    pool: ThreadPoolExecutor = database_pool,
    pause_s: Callable[[T], float] | None = None,
) -> T:
    """Run a request or command in a thread of the pool: at most as many together as it has threads.

    With `client` None it waits for threads only. `pause_s` says for how many seconds after this result no further
    request of the client begins; others do not wait for it. A request begins after the events of earlier requests were
    handed to the channel layer, so that a driver who lost a race learns it before their next request runs.

    Raises TooManyWaiting, and what `func` raises.

    A cancelled request (the client hung up) keeps its slots until its thread has finished. The thread cannot be stopped
    and still reads the request's body, and hanging up must not let more requests into the pool than it has threads.
    """
    loop = asyncio.get_running_loop()
    pools = _slots.setdefault(loop, {})
    if pool not in pools:
        pools[pool] = _Slots(pool._max_workers)
    slots = pools[pool]
    own = slots.of_client(client) if client is not None and client.name is not None else None
    pause = 0.0
    async with AsyncExitStack() as held:
        if own is not None:
            await own.wait()
            held.callback(lambda: loop.call_later(pause, own.release) if pause else own.release())
        if client is not None:
            await held.enter_async_context(slots.of_network(client.network))
        await held.enter_async_context(slots.all)
        await publisher.wait_until_delivered()
        working = asyncio.ensure_future(run_in_thread(func, *args, pool=pool))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            raise
        finally:
            # Hanging up does not avoid the pause.
            if pause_s is not None and working.done() and not working.cancelled() and working.exception() is None:
                pause = pause_s(working.result())
            if own is not None:
                own.is_refused = pause > 0
