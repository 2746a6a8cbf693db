"""Mailboxes: the messages that wait for one channel until its socket takes them."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from stepper.monitoring.figures import traffic

Message = dict[str, Any]
# Takes a message immediately, or returns False: then it waits in the mailbox.
Taker = Callable[[Message], bool]

RESYNC: Message = {"type": "layer.resync"}


class Backlog:
    """Number of events (not positions) that wait in the mailboxes of this process."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Mailbox:
    """The messages that wait for one channel, oldest first.

    Most mailboxes are empty, so an empty one allocates no containers.
    """

    __slots__ = ("_backlog", "_is_stalled", "_items", "_keyed", "_waiter", "capacity", "taker")

    def __init__(self, capacity: int, backlog: Backlog | None = None) -> None:
        self.capacity = capacity
        self.taker: Taker | None = None
        self._backlog = backlog or Backlog()
        self._is_stalled = False
        # A message, or the key of one in _keyed.
        self._items: deque[Message | str] | None = None
        self._keyed: dict[str, Message] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items) if self._items else 0

    def put(self, message: Message) -> None:
        if self.taker is None or not self.taker(message):
            self.keep(message)

    def keep(self, message: Message) -> None:
        """Keep a message until the socket takes it.

        It replaces the waiting one with the same `key`. If `capacity` messages wait, one RESYNC replaces them all.
        """
        if self._items is None:
            self._items, self._keyed = deque(), {}
        keyed = self._keyed if self._keyed is not None else {}
        key = message.get("key")
        if key is not None and key in keyed:
            keyed[key] = message  # only the newest position matters
            return
        if len(self._items) >= self.capacity:
            self.clear()
            self._items, self._keyed = deque(), {}
            self._append(RESYNC)
            traffic.overflows += 1
        elif key is not None:
            keyed[key] = message
            self._items.append(key)
        else:
            self._append(message)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _append(self, message: Message) -> None:
        if self._items is not None:
            self._items.append(message)
            self._backlog.count += not self._is_stalled

    def clear(self) -> None:
        self._backlog.count -= self._events_counted()
        self._items = self._keyed = None

    def _events_counted(self) -> int:
        return 0 if self._is_stalled else sum(not isinstance(item, str) for item in self._items or ())

    def stall(self, is_stalled: bool) -> None:
        """Set whether the client does not read; while it does not, its messages do not count in the backlog."""
        self._backlog.count -= self._events_counted()
        self._is_stalled = is_stalled
        self._backlog.count += self._events_counted()

    def pop(self) -> Message | None:
        """Remove and return the oldest message; None: none waits."""
        if not self._items or self._keyed is None:
            return None
        item = self._items.popleft()
        if isinstance(item, str):
            message = self._keyed.pop(item)
        else:
            self._backlog.count -= not self._is_stalled
            message = item
        if not self._items:
            self._items = self._keyed = None
        return message

    async def get(self) -> Message:
        while (message := self.pop()) is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return message
