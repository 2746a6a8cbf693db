"""The channel layer: local delivery at once, what other processes need in batches over Redis pub/sub.

Implements the full Channels interface. A message to a group reaches the sockets of this process by a call, uncopied
(senders do not touch it afterwards): straight to the socket where its owner takes it at once, else into its bounded
mailbox. Of messages with a `key` (positions) the newest replaces the waiting one; when a mailbox overflows, or when the
bus was away, its owner is told to `layer.resync` instead of silently missing something.

Between processes there are two ways. Events go out as one PUBLISH a group, in one round trip a tick, to whoever is
subscribed: a process subscribes only to the groups its sockets joined, and joining returns once Redis has confirmed.
Positions, of which the next one makes up for a lost one, are sent only to the processes that announced to have
members (`relay`): all of a tick in one PUBLISH for each such process, and none at all where nobody elsewhere watches.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from channels.layers import BaseChannelLayer
from redis.asyncio import Redis
from redis.exceptions import RedisError

logger = logging.getLogger("stepper.layer")

Message = dict[str, Any]
# Takes a message at once, or says False: then it waits in the mailbox.
Taker = Callable[[Message], bool]

RESYNC: Message = {"type": "layer.resync"}
_TICK_S = 0.005
_SUBSCRIBE_TIMEOUT_S = 2.0
# For a batch and its second try together; two batches end before the sweep gives up waiting for them.
_REPLY_WITHIN_S = 4.0
# The topic of positions. It changes with what a message of a position looks like, so that servers of two releases side
# by side miss each other's positions for a moment instead of stumbling over them.
_PARCELS = "r2"
# Processes repeat that they live this often, and are forgotten after a silence of four times that.
_ALIVE_S = 5.0
# Groups that positions are relayed to, so those whose members a process announces to the others.
RELAYED = ("trip.", "staff")


class Backlog:
    """How many events, positions aside, wait in the mailboxes of this process."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Mailbox:
    """What waits for one channel, oldest first. Ten thousand are empty most of the time: then they hold nothing."""

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
        """For later, as its owner does not take it now."""
        if self._items is None:
            self._items, self._keyed = deque(), {}
        keyed = self._keyed if self._keyed is not None else {}
        key = message.get("key")
        if key is not None and key in keyed:
            keyed[key] = message  # the newest is worth more than the backlog
            return
        if len(self._items) >= self.capacity:
            self.clear()
            self._items, self._keyed = deque(), {}
            self._append(RESYNC)
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
        """While its client does not read, what waits here is no backlog that anybody else has to wait for."""
        self._backlog.count -= self._events_counted()
        self._is_stalled = is_stalled
        self._backlog.count += self._events_counted()

    def pop(self) -> Message | None:
        """The oldest message; None where nothing waits."""
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


class HubChannelLayer(BaseChannelLayer):
    """`redis_url` empty: this process only. `capacity` bounds each mailbox."""

    extensions = ["groups", "flush"]

    def __init__(self, redis_url: str = "", capacity: int = 500, prefix: str = "stepper", **_config: Any) -> None:
        super().__init__(capacity=capacity)
        self._mailboxes: dict[str, Mailbox] = {}
        self._backlog = Backlog()
        self._groups: dict[str, dict[str, Mailbox]] = {}
        self._process = secrets.token_hex(6)
        self._bus = Bus(self, redis_url, prefix, self._process) if redis_url else None

    async def start(self) -> None:
        """Connects to the bus. Optional: whatever needs it does so, too."""
        if self._bus is not None:
            await self._bus.start()

    # Channels

    async def new_channel(self, prefix: str = "specific") -> str:
        name = f"{prefix}.{self._process}!{secrets.token_hex(8)}"
        self._mailboxes[name] = Mailbox(self.capacity, self._backlog)
        return name

    def attach(self, channel: str, taker: Taker) -> Mailbox:
        """The mailbox of a channel whose owner is called for each message, on the loop that delivers it.

        The owner must not take a message at once while others wait in the mailbox.
        """
        mailbox = self._mailboxes[channel]
        mailbox.taker = taker
        return mailbox

    async def send(self, channel: str, message: Message) -> None:
        self.require_valid_channel_name(channel)
        process = self._process_of(channel)
        if process in (None, self._process) or self._bus is None:
            self.hand_over(channel, message)
        else:
            await self._bus.start()
            self._bus.publish(f"p:{process}", {"channel": channel, "message": message})
            await self._bus.drain()

    def hand_over(self, channel: str, message: Message) -> None:
        """To a channel of this process. One that is gone gets nothing; a name without a process is made up for."""
        mailbox = self._mailboxes.get(channel)
        if mailbox is None and "!" not in channel:
            mailbox = self._mailbox(channel)
        if mailbox is not None:
            mailbox.put(message)

    @staticmethod
    def _process_of(channel: str) -> str | None:
        return channel.partition("!")[0].rpartition(".")[2] if "!" in channel else None

    async def receive(self, channel: str) -> Message:
        if self._bus is not None:
            await self._bus.start()
        return await self._mailbox(channel).get()

    def _mailbox(self, channel: str) -> Mailbox:
        mailbox = self._mailboxes.get(channel)
        if mailbox is None:
            mailbox = self._mailboxes[channel] = Mailbox(self.capacity, self._backlog)
        return mailbox

    def discard_channel(self, channel: str, groups: Iterable[str]) -> None:
        """Forgets a channel whose socket is gone; `groups` are those it had joined."""
        for group in groups:
            self._leave(group, channel)
        mailbox = self._mailboxes.pop(channel, None)
        if mailbox is not None:
            mailbox.taker = None
            mailbox.clear()

    # Groups

    async def group_add(self, group: str, channel: str) -> None:
        """Returns when messages sent from now on, by any process, reach the channel."""
        await self.join((group,), channel)

    async def join(self, groups: Sequence[str], channel: str) -> None:
        """`group_add` for several groups, with one wait for Redis."""
        self.require_valid_channel_name(channel)
        for group in groups:
            self.require_valid_group_name(group)
        mailbox = self._mailbox(channel)
        for group in groups:
            self._groups.setdefault(group, {})[channel] = mailbox
        if self._bus is not None:
            await self._bus.subscribe(groups)

    async def group_discard(self, group: str, channel: str) -> None:
        self.require_valid_group_name(group)
        self._leave(group, channel)

    def _leave(self, group: str, channel: str) -> None:
        members = self._groups.get(group)
        if members is None:
            return
        members.pop(channel, None)
        if not members:
            del self._groups[group]
            if self._bus is not None:
                self._bus.unsubscribe(group)

    async def group_send(self, group: str, message: Message) -> None:
        self.require_valid_group_name(group)
        self.deliver(group, message)
        await self.send_elsewhere(group, message)

    async def send_elsewhere(self, group: str, message: Message) -> None:
        """`group_send` to the other processes only: the members here have it already."""
        if self._bus is not None:
            await self._bus.start()
            self._bus.publish(f"g:{group}", message)

    def relay(self, group: str, message: Message) -> None:
        """`group_send` on the loop, without waiting, for a message that the next one of its `key` makes up for.

        Reaches other processes only for groups whose name begins with one of RELAYED, as `group_add` announces those.
        """
        self.deliver(group, message)
        if self._bus is not None:
            self._bus.relay(group, message)

    def is_watched(self, group: str) -> bool:
        """Whether a relayed message would reach anybody, here or elsewhere."""
        return group in self._groups or (self._bus is not None and group in self._bus.routes)

    def deliver(self, group: str, message: Message) -> None:
        """To the members in this process."""
        members = self._groups.get(group)
        if members:
            for mailbox in tuple(members.values()):
                # `put`, without the call: this is done for every position and everybody who watches it.
                if mailbox.taker is None or not mailbox.taker(message):
                    mailbox.keep(message)

    def resync(self) -> None:
        """Messages may have been missed: every channel of this process is told."""
        for mailbox in tuple(self._mailboxes.values()):
            mailbox.put(RESYNC)

    @property
    def waiting(self) -> int:
        """Events that the sockets of this process, but those whose clients do not read, have not been handed yet."""
        return self._backlog.count

    @property
    def joined(self) -> list[str]:
        return list(self._groups)

    async def drain(self) -> None:
        """Waits until what was sent so far is with Redis. Raises OSError while Redis is away."""
        if self._bus is not None:
            await self._bus.drain()

    async def flush(self) -> None:
        for mailbox in self._mailboxes.values():
            mailbox.clear()
        self._mailboxes.clear()
        self._groups.clear()
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
        self._relayed = self._name(f"{_PARCELS}:{process}").encode()
        self._interest, self._groups = self._name("interest").encode(), self._name("g:").encode()
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
        # What is published goes over a connection of its own: taking one from the client's pool and everything that
        # the client does around a command costs more than the command.
        self._out: Any = None
        # Group -> the other processes that have members in it, what this process says of its own, and when each of the
        # others was heard last.
        self.routes: dict[str, set[str]] = {}
        self._heard_at: dict[str, float] = {}
        self._announced: dict[str, bool] = {}
        # Redis did not take an announcement: the next sign of life says everything again.
        self._is_unsaid = False
        # Process -> the (group, message) pairs of this tick.
        self._parcels: dict[str, list[tuple[str, Message]]] = {}

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop = loop
        self._outgoing, self._batch, self._in_flight, self._flusher = [], None, None, None
        self._confirmations, self._changed = {}, asyncio.Event()
        self.routes, self._heard_at, self._announced, self._parcels = {}, {}, {}, {}
        # Named, so that CLIENT LIST tells an operator which process a connection belongs to.
        self._redis = Redis.from_url(
            self._url, socket_timeout=5, socket_connect_timeout=5, client_name=f"{self._prefix}:{self._process}"
        )
        self._out = self._redis.connection_pool.make_connection()
        # One deadline for a batch instead of one for every read and write.
        self._out.socket_timeout = None
        self._tasks = [asyncio.create_task(self._listen_for_ever())]

    async def close(self) -> None:
        await end_tasks(*self._tasks, *([self._flusher] if self._flusher else []))
        if self._redis is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._redis.publish(self._name("interest"), _pack((self._process, "gone", [])))
        for batch in (self._in_flight, self._batch):
            if batch is not None and not batch.done():
                batch.set_exception(ConnectionError("the bus was closed"))
        if self._redis is not None:
            await self._out.disconnect(nowait=True)
            await self._redis.aclose()
        self._tasks, self._flusher, self._loop, self._redis, self._out = [], None, None, None, None

    def _name(self, topic: str) -> str:
        return f"{self._prefix}:{topic}"

    # Out

    def publish(self, topic: str, message: Message) -> None:
        self._outgoing.append((self._name(topic), _pack((self._process, message))))
        self._flush_soon()

    def relay(self, group: str, message: Message) -> None:
        """Hands a position to the processes that watch the group, with the next tick. Lost while Redis is away."""
        processes = self.routes.get(group)
        if processes:
            for process in processes:
                self._parcels.setdefault(process, []).append((group, message))
            self._flush_soon()

    def announce(self, group: str, present: bool) -> None:
        """Tells the other processes, with the next tick, whether this one has members in a relayed group."""
        if group.startswith(RELAYED):
            self._announced[group] = present
            self._flush_soon()

    def _flush_soon(self) -> None:
        if self._batch is None:
            self._batch = asyncio.get_running_loop().create_future()
            # Whether anybody waits for it or not (nobody does for positions), its failure has been seen.
            self._batch.add_done_callback(lambda batch: batch.exception())
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())

    def _collected(self) -> list[tuple[str, bytes]]:
        """What goes out with this tick, as (topic, body)."""
        outgoing, self._outgoing = self._outgoing, []
        announced, self._announced = self._announced, {}
        parcels, self._parcels = self._parcels, {}
        for word, wanted in (("joined", True), ("left", False)):
            if names := [group for group, present in announced.items() if present is wanted]:
                outgoing.append((self._name("interest"), _pack((self._process, word, names))))
        outgoing += [(self._name(f"{_PARCELS}:{process}"), _pack(parcel)) for process, parcel in parcels.items()]
        return outgoing

    async def drain(self) -> None:
        """Waits until Redis has what was published so far. Raises ConnectionError where it is away."""
        for batch in (self._in_flight, self._batch):
            if batch is not None:
                await asyncio.shield(batch)

    async def _flush(self) -> None:
        while self._batch is not None:
            await asyncio.sleep(_TICK_S)
            announces = bool(self._announced)
            outgoing = self._collected()
            batch, self._batch = self._batch, None
            self._in_flight = batch
            try:
                await self._send(outgoing)
            except (RedisError, OSError) as error:
                self._is_unsaid = self._is_unsaid or announces
                batch.set_exception(ConnectionError(f"Redis: {error}"))
            except Exception as error:  # whatever it is, those who wait for the batch must not wait for ever
                self._is_unsaid = self._is_unsaid or announces
                logger.exception("a batch could not be sent")
                batch.set_exception(ConnectionError(f"Redis: {error}"))
            else:
                batch.set_result(None)
            self._in_flight = None

    async def _send(self, outgoing: Sequence[tuple[str, bytes]]) -> None:
        """All PUBLISHes in one round trip; a second time where the connection turns out to have died meanwhile."""
        packed = self._out.pack_commands([("PUBLISH", name, body) for name, body in outgoing])
        async with asyncio.timeout(_REPLY_WITHIN_S):
            for is_last in (False, True):
                try:
                    await self._out.send_packed_command(packed)
                    for _one in outgoing:
                        await self._out.read_response()
                except (RedisError, OSError):
                    await self._out.disconnect(nowait=True)
                    if is_last:
                        raise
                else:
                    return

    # In

    async def subscribe(self, groups: Sequence[str]) -> None:
        await self.start()
        unconfirmed = []
        for group in groups:
            name = self._name(f"g:{group}")
            confirmation = self._confirmations.get(name)
            if confirmation is None:
                confirmation = self._confirmations[name] = asyncio.get_running_loop().create_future()
                self._changes.append((name, True))
                self._changed.set()
                self.announce(group, True)
            if not confirmation.done():
                unconfirmed.append(confirmation)
        if unconfirmed:
            # While Redis is away the sockets live on; they are resynced when it is back.
            await asyncio.wait(unconfirmed, timeout=_SUBSCRIBE_TIMEOUT_S)

    def unsubscribe(self, group: str) -> None:
        name = self._name(f"g:{group}")
        confirmation = self._confirmations.pop(name, None)
        if confirmation is not None:
            if not confirmation.done():
                confirmation.set_result(None)
            self._changes.append((name, False))
            self._changed.set()
            self.announce(group, False)

    async def _listen_for_ever(self) -> None:
        pause_s = 0.1
        # Whether sockets may have joined or heard nothing while there was no connection.
        missed = False
        while True:
            pubsub = self._redis.pubsub()
            try:
                self._changes.clear()
                own = [self._name(f"{kind}:{self._process}") for kind in ("p", _PARCELS)]
                await pubsub.subscribe(*own, self._name("interest"), *self._confirmations)
                await self._introduce()
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
        # Past what the client does around its connection: it would also reconnect without a word, and what was missed
        # meanwhile would be missed for good; and it would remember every group there ever was.
        reader = asyncio.create_task(self._read(pubsub.connection))
        writer = asyncio.create_task(self._change_subscriptions(pubsub.connection))
        breath = asyncio.create_task(self._stay_known())
        try:
            done, _pending = await asyncio.wait([reader, writer, breath], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end_tasks(reader, writer, breath)

    # Who has members where

    def _own_groups(self) -> list[str]:
        return [group for group in self._layer.joined if group.startswith(RELAYED)]

    async def _introduce(self) -> None:
        """Says what this process has members in; the others answer with theirs."""
        await self._redis.publish(self._name("interest"), _pack((self._process, "hello", self._own_groups())))

    async def _stay_known(self) -> None:
        while True:
            await asyncio.sleep(_ALIVE_S)
            if self._is_unsaid:
                self._is_unsaid = False
                await self._introduce()
            else:
                await self._redis.publish(self._name("interest"), _pack((self._process, "alive", [])))
            silent_since = time.monotonic() - 4 * _ALIVE_S
            for process in [one for one, heard_at in self._heard_at.items() if heard_at < silent_since]:
                self._forget(process)

    def _forget(self, process: str) -> None:
        self._heard_at.pop(process, None)
        for group in [group for group, processes in self.routes.items() if process in processes]:
            self._unroute(group, process)

    def _unroute(self, group: str, process: str) -> None:
        processes = self.routes.get(group, set())
        processes.discard(process)
        if not processes:
            self.routes.pop(group, None)

    async def _learn(self, process: str, word: str, names: Sequence[str]) -> None:
        if process == self._process:
            return
        known = process in self._heard_at
        self._heard_at[process] = time.monotonic()
        if word in ("hello", "here"):
            self._forget(process)
            self._heard_at[process] = time.monotonic()
        elif word == "gone":
            self._forget(process)
        elif not known:
            await self._introduce()  # it was taken for dead: everybody says again what they have
        for group in names:
            if word == "left":
                self._unroute(group, process)
            else:
                self.routes.setdefault(group, set()).add(process)
        if word == "hello":
            await self._redis.publish(self._name("interest"), _pack((self._process, "here", self._own_groups())))

    async def _change_subscriptions(self, connection: Any) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._changes:
                name, wanted = self._changes.popleft()
                batch = [name]
                while self._changes and self._changes[0][1] == wanted:
                    batch.append(self._changes.popleft()[0])
                if wanted:
                    await connection.send_command("SUBSCRIBE", *batch)
                elif left := [one for one in batch if one not in self._confirmations]:
                    await connection.send_command("UNSUBSCRIBE", *left)  # without names it would leave everything

    async def _read(self, connection: Any) -> None:
        pinged = False
        while True:
            item = await connection.read_response(timeout=15, disconnect_on_error=False, push_request=True)
            if item is None:
                if pinged:
                    raise ConnectionError("Redis does not answer a ping")  # half open: nothing else would tell
                await connection.send_command("PING")
                pinged = True
                continue
            pinged = False
            if item[0] == b"message":
                try:
                    await self._hear(item[1], msgspec.msgpack.decode(item[2]))
                except (RedisError, OSError):
                    raise
                except Exception:  # whatever is wrong with one message, the next ones are for others
                    logger.exception("a message of another process could not be delivered")
            elif item[0] == b"subscribe":
                confirmation = self._confirmations.get(item[1].decode())
                if confirmation is not None and not confirmation.done():
                    confirmation.set_result(None)

    async def _hear(self, name: bytes, body: Any) -> None:
        if name == self._relayed:
            for group, message in body:
                self._layer.deliver(group, message)
        elif name == self._interest:
            await self._learn(*body)
        elif body[0] == self._process:
            return
        elif name.startswith(self._groups):
            self._layer.deliver(name.removeprefix(self._groups).decode(), body[1])
        else:
            self._layer.hand_over(body[1]["channel"], body[1]["message"])


_pack = msgspec.msgpack.Encoder().encode


async def end_tasks(*tasks: asyncio.Task[None]) -> None:
    """Cancels until they have ended: a cancellation that meets a finished wait inside the client is swallowed."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.5)
    await asyncio.gather(*tasks, return_exceptions=True)
