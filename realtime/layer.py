"""The channel layer: local delivery at once, what other processes need in batches over Redis pub/sub.

Implements the full Channels interface. A message to a group reaches the sockets of this process by a call, uncopied
(senders do not touch it afterwards); when a Redis is configured, messages of one tick go to the other processes in one
round trip, and a process subscribes only to the groups that its sockets joined. Each channel has a bounded mailbox:
of messages with a `key` (positions) the newest replaces the waiting one; when it overflows, or when the bus was away,
its owner is told to `layer.resync` instead of silently missing something.
"""

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from typing import Any
from urllib.parse import urlsplit

import msgspec
from channels.layers import BaseChannelLayer
from redis.asyncio import Redis
from redis.exceptions import RedisError

logger = logging.getLogger("stepper.layer")

RESYNC: dict[str, Any] = {"type": "layer.resync"}
_TICK_S = 0.005
_SUBSCRIBE_TIMEOUT_S = 2.0


class Backlog:
    """How many events, positions aside, wait in the mailboxes of this process."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Mailbox:
    """What waits for one channel, oldest first."""

    __slots__ = ("_backlog", "_items", "_keyed", "_waiter", "capacity")

    def __init__(self, capacity: int, backlog: Backlog | None = None) -> None:
        self.capacity = capacity
        self._backlog = backlog or Backlog()
        # A message, or the key of one in _keyed.
        self._items: deque[dict[str, Any] | str] = deque()
        self._keyed: dict[str, dict[str, Any]] = {}
        self._waiter: asyncio.Future[None] | None = None

    def put(self, message: dict[str, Any]) -> None:
        key = message.get("key")
        if key is not None and key in self._keyed:
            self._keyed[key] = message  # the newest is worth more than the backlog
            return
        if len(self._items) >= self.capacity:
            self.clear()
            self._append(RESYNC)
        elif key is not None:
            self._keyed[key] = message
            self._items.append(key)
        else:
            self._append(message)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _append(self, message: dict[str, Any]) -> None:
        self._items.append(message)
        self._backlog.count += 1

    def clear(self) -> None:
        self._backlog.count -= sum(not isinstance(item, str) for item in self._items)
        self._items.clear()
        self._keyed.clear()

    async def get(self) -> dict[str, Any]:
        while not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        item = self._items.popleft()
        if isinstance(item, str):
            return self._keyed.pop(item)
        self._backlog.count -= 1
        return item


class HubChannelLayer(BaseChannelLayer):
    """`redis_url` empty: this process only. `capacity` bounds each mailbox."""

    extensions = ["groups", "flush"]

    def __init__(self, redis_url: str = "", capacity: int = 500, prefix: str = "stepper", **_config: Any) -> None:
        super().__init__(capacity=capacity)
        self._mailboxes: dict[str, Mailbox] = {}
        self._backlog = Backlog()
        self._groups: dict[str, set[str]] = {}
        self._memberships: dict[str, set[str]] = {}
        self._process = secrets.token_hex(6)
        self._bus = Bus(self, redis_url, prefix, self._process) if redis_url else None

    # Channels

    async def new_channel(self, prefix: str = "specific") -> str:
        name = f"{prefix}.{self._process}!{secrets.token_hex(8)}"
        self._mailboxes[name] = Mailbox(self.capacity, self._backlog)
        return name

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        self.require_valid_channel_name(channel)
        process = channel.partition("!")[0].rpartition(".")[2] if "!" in channel else self._process
        if process == self._process or self._bus is None:
            self._mailbox(channel).put(message)
        else:
            await self._bus.start()
            self._bus.publish(f"p:{process}", {"channel": channel, "message": message})
            await self._bus.drain()

    async def receive(self, channel: str) -> dict[str, Any]:
        if self._bus is not None:
            await self._bus.start()
        return await self._mailbox(channel).get()

    def _mailbox(self, channel: str) -> Mailbox:
        return self._mailboxes.setdefault(channel, Mailbox(self.capacity, self._backlog))

    def discard_channel(self, channel: str) -> None:
        """Forgets a channel whose socket is gone and everything it had joined."""
        mailbox = self._mailboxes.pop(channel, None)
        if mailbox is not None:
            mailbox.clear()
        for group in self._memberships.pop(channel, set()):
            self._leave(group, channel)

    # Groups

    async def group_add(self, group: str, channel: str) -> None:
        """Returns when messages sent from now on, by any process, reach the channel."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        self._groups.setdefault(group, set()).add(channel)
        self._memberships.setdefault(channel, set()).add(group)
        if self._bus is not None:
            await self._bus.subscribe(group)

    async def group_discard(self, group: str, channel: str) -> None:
        self.require_valid_group_name(group)
        self._memberships.get(channel, set()).discard(group)
        self._leave(group, channel)

    def _leave(self, group: str, channel: str) -> None:
        members = self._groups.get(group)
        if members is None:
            return
        members.discard(channel)
        if not members:
            del self._groups[group]
            if self._bus is not None:
                self._bus.unsubscribe(group)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.require_valid_group_name(group)
        self.deliver(group, message)
        if self._bus is not None:
            await self._bus.start()
            self._bus.publish(f"g:{group}", message)

    def deliver(self, group: str, message: dict[str, Any]) -> None:
        """To the members in this process."""
        for channel in self._groups.get(group, ()):
            self._mailbox(channel).put(message)

    def resync(self) -> None:
        """Messages may have been missed: every channel of this process is told."""
        for mailbox in self._mailboxes.values():
            mailbox.put(RESYNC)

    @property
    def waiting(self) -> int:
        """Events that the sockets of this process have not been handed yet."""
        return self._backlog.count

    @property
    def joined(self) -> list[str]:
        return list(self._groups)

    async def drain(self) -> None:
        """Waits until what was sent so far is with Redis. Raises OSError while Redis is away."""
        if self._bus is not None:
            await self._bus.drain()

    async def flush(self) -> None:
        self._mailboxes.clear()
        self._groups.clear()
        self._memberships.clear()
        if self._bus is not None:
            await self._bus.close()

    async def close(self) -> None:
        if self._bus is not None:
            await self._bus.close()


class Bus:
    """Redis pub/sub with one PUBLISH pipeline a tick, one subscription per joined group, and its own reconnecting."""

    def __init__(self, layer: HubChannelLayer, url: str, prefix: str, process: str) -> None:
        self._layer = layer
        self._url = url
        # Topics know nothing of Redis database numbers: two services on one server must not hear each other.
        self._prefix = f"{prefix}:{urlsplit(url).path.strip('/') or 0}"
        self._process = process
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._outgoing: list[tuple[str, bytes]] = []
        # The batch being collected and the one on its way; done when Redis has it.
        self._batch: asyncio.Future[None] | None = None
        self._in_flight: asyncio.Future[None] | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._confirmations: dict[str, asyncio.Future[None]] = {}
        self._changes: deque[tuple[str, bool]] = deque()
        self._changed = asyncio.Event()
        self._redis: Any = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop = loop
        self._outgoing, self._batch, self._in_flight, self._flusher = [], None, None, None
        self._confirmations, self._changed = {}, asyncio.Event()
        # Named, so that CLIENT LIST tells an operator which process a connection belongs to.
        self._redis = Redis.from_url(
            self._url, socket_timeout=5, socket_connect_timeout=5, client_name=f"{self._prefix}:{self._process}"
        )
        self._tasks = [asyncio.create_task(self._listen_for_ever())]

    async def close(self) -> None:
        await _end(*self._tasks, *([self._flusher] if self._flusher else []))
        for batch in (self._in_flight, self._batch):
            if batch is not None and not batch.done():
                batch.set_exception(ConnectionError("the bus was closed"))
        if self._redis is not None:
            await self._redis.aclose()
        self._tasks, self._flusher, self._loop, self._redis = [], None, None, None

    def _name(self, topic: str) -> str:
        return f"{self._prefix}:{topic}"

    # Out

    def publish(self, topic: str, message: dict[str, Any]) -> None:
        self._outgoing.append((self._name(topic), msgspec.msgpack.encode((self._process, message))))
        if self._batch is None:
            self._batch = asyncio.get_running_loop().create_future()
            # Whether anybody waits for it or not (nobody does for positions), its failure has been seen.
            self._batch.add_done_callback(lambda batch: batch.exception())
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())

    async def drain(self) -> None:
        """Waits until Redis has what was published so far. Raises ConnectionError where it is away."""
        for batch in (self._in_flight, self._batch):
            if batch is not None:
                await asyncio.shield(batch)

    async def _flush(self) -> None:
        while self._batch is not None:
            await asyncio.sleep(_TICK_S)
            outgoing, self._outgoing = self._outgoing, []
            batch, self._batch = self._batch, None
            self._in_flight = batch
            try:
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for name, body in outgoing:
                        pipeline.publish(name, body)
                    await pipeline.execute()
            except (RedisError, OSError) as error:
                batch.set_exception(ConnectionError(f"Redis: {error}"))
            except Exception as error:  # whatever it is, those who wait for the batch must not wait for ever
                logger.exception("a batch could not be sent")
                batch.set_exception(ConnectionError(f"Redis: {error}"))
            else:
                batch.set_result(None)
            self._in_flight = None

    # In

    async def subscribe(self, group: str) -> None:
        await self.start()
        name = self._name(f"g:{group}")
        confirmation = self._confirmations.get(name)
        if confirmation is None:
            confirmation = self._confirmations[name] = asyncio.get_running_loop().create_future()
            self._changes.append((name, True))
            self._changed.set()
        if not confirmation.done():
            # While Redis is away the sockets live on; they are resynced when it is back.
            await asyncio.wait([confirmation], timeout=_SUBSCRIBE_TIMEOUT_S)

    def unsubscribe(self, group: str) -> None:
        name = self._name(f"g:{group}")
        confirmation = self._confirmations.pop(name, None)
        if confirmation is not None:
            if not confirmation.done():
                confirmation.set_result(None)
            self._changes.append((name, False))
            self._changed.set()

    async def _listen_for_ever(self) -> None:
        pause_s = 0.1
        # Whether sockets may have joined or heard nothing while there was no connection.
        missed = False
        while True:
            pubsub = self._redis.pubsub()
            try:
                self._changes.clear()
                await pubsub.subscribe(self._name(f"p:{self._process}"), *self._confirmations)
                if missed:
                    self._layer.resync()
                pause_s = 0.1
                await self._pump(pubsub)
            except (RedisError, OSError) as error:
                logger.warning("the bus is away, trying again in %.1f s: %s", pause_s, error)
            except Exception:  # without this loop the process would be deaf for good
                logger.exception("the bus failed, trying again in %.1f s", pause_s)
            finally:
                # A connection that hangs cannot be closed in order either.
                with contextlib.suppress(RedisError, OSError):
                    await pubsub.aclose()
            missed = True
            await asyncio.sleep(pause_s * (0.5 + secrets.randbelow(1000) / 1000))
            pause_s = min(pause_s * 2, 5)

    async def _pump(self, pubsub: Any) -> None:
        reader = asyncio.create_task(self._read(pubsub))
        writer = asyncio.create_task(self._change_subscriptions(pubsub))
        try:
            done, _pending = await asyncio.wait([reader, writer], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _end(reader, writer)

    async def _change_subscriptions(self, pubsub: Any) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._changes:
                name, wanted = self._changes.popleft()
                batch = [name]
                while self._changes and self._changes[0][1] == wanted:
                    batch.append(self._changes.popleft()[0])
                if wanted:
                    await pubsub.subscribe(*batch)
                elif left := [one for one in batch if one not in self._confirmations]:
                    await pubsub.unsubscribe(*left)  # without names it would leave everything

    async def _read(self, pubsub: Any) -> None:
        groups = self._name("g:")
        while True:
            # Returns None at the time-out; a ping in between notices a half-open connection.
            item = await pubsub.get_message(timeout=15)
            if item is None:
                await pubsub.ping()
                continue
            name = item["channel"].decode() if isinstance(item["channel"], bytes) else str(item["channel"])
            if item["type"] == "subscribe":
                confirmation = self._confirmations.get(name)
                if confirmation is not None and not confirmation.done():
                    confirmation.set_result(None)
            elif item["type"] == "message":
                sender, message = msgspec.msgpack.decode(item["data"])
                if sender == self._process:
                    continue
                if name.startswith(groups):
                    self._layer.deliver(name.removeprefix(groups), message)
                else:
                    await self._layer.send(message["channel"], message["message"])


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancels until they have ended: a cancellation that meets a finished wait inside the client is swallowed."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.5)
    await asyncio.gather(*tasks, return_exceptions=True)
