"""The bus between processes: Redis pub/sub with one batch of PUBLISHes a tick and its own reconnecting.

There are two ways. Events go out as one PUBLISH a group to whoever is subscribed: a process subscribes only to the
groups its sockets joined, and joining returns once Redis has confirmed. A lost position is
replaced by the next one, so positions go only to processes that announced members (`relay`): all of a tick in one
PUBLISH for each such process, and none at all if nobody in another process watches.
"""

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from realtime.async_tasks import end_tasks

from .mailbox import Message
from .membership import CLOSED, Membership

logger = logging.getLogger("stepper.layer")

_TICK_S = 0.005
_SUBSCRIBE_TIMEOUT_S = 2.0
# For a batch and its second try together; two batches end before the sweep gives up waiting for them.
_REPLY_WITHIN_S = 4.0
# After this many seconds without a message from Redis, a ping checks the connection.
_SILENCE_S = 15
# The topic of positions. A change of their format changes it, so that servers of two releases side by side do not get
# positions that they cannot read.
_POSITIONS_TOPIC = "r2"
_MEMBERSHIP_TOPIC = "interest"

_pack = msgspec.msgpack.Encoder().encode


class LocalDelivery(Protocol):
    """The part of the channel layer that the bus calls to reach the sockets of this process."""

    @property
    def joined(self) -> Sequence[str]:
        """The groups that sockets of this process are in."""

    def deliver(self, group: str, message: Message) -> None: ...

    def hand_over(self, channel: str, message: Message) -> None: ...

    def resync(self) -> None: ...


class Bus:
    """The connection of one process to the others. Everything on one event loop."""

    def __init__(self, layer: LocalDelivery, url: str, prefix: str, process: str) -> None:
        self._layer = layer
        self._url = url
        # Pub/sub ignores Redis database numbers, so the topic contains the number: two services that share one Redis
        # server must not receive each other's messages.
        self._prefix = f"{prefix}:{urlsplit(url).path.strip('/') or 0}"
        self._process = process
        self._positions_topic = self._topic(f"{_POSITIONS_TOPIC}:{process}").encode()
        self._membership_topic = self._topic(_MEMBERSHIP_TOPIC).encode()
        self._group_topics = self._topic("g:").encode()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: asyncio.Task[None] | None = None
        self._outgoing: list[tuple[str, bytes]] = []
        # The batch being collected and the one being sent; each future is done when Redis has its batch.
        self._batch: asyncio.Future[None] | None = None
        self._in_flight: asyncio.Future[None] | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._confirmations: dict[str, asyncio.Future[None]] = {}
        self._changes: deque[tuple[str, bool]] = deque()
        self._changed = asyncio.Event()
        self._redis: Any = None
        # Publishing has a connection of its own: the client's pool and its work around each command cost more than the
        # command.
        self._out: Any = None
        # `close` has begun: nothing is sent any more.
        self._is_closing = False
        # Whether this process receives what others publish.
        self.is_connected = False
        self._membership = Membership(process, self._announce, lambda: self._layer.joined)
        # Group -> the other processes that have members in it.
        self.routes = self._membership.routes
        # Process -> the (group, message) pairs of positions for it in this tick.
        self._positions: dict[str, list[tuple[str, Message]]] = {}

    async def start(self) -> None:
        """Connect on the running loop; do nothing if connected already."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop = loop
        self._outgoing, self._batch, self._in_flight, self._flusher = [], None, None, None
        self._is_closing = False
        self._confirmations, self._changed, self._positions = {}, asyncio.Event(), {}
        self._membership.reset()
        # Named, so that CLIENT LIST tells an operator which process a connection belongs to.
        self._redis = Redis.from_url(
            self._url, socket_timeout=5, socket_connect_timeout=5, client_name=f"{self._prefix}:{self._process}"
        )
        self._out = self._redis.connection_pool.make_connection()
        # One deadline for a batch instead of one for every read and write.
        self._out.socket_timeout = None
        self._listener = asyncio.create_task(self._listen_for_ever())

    async def close(self) -> None:
        """Announce the end to the other processes, fail the batches not sent yet, disconnect."""
        self._is_closing = True
        await end_tasks(*(task for task in (self._listener, self._flusher) if task is not None))
        if self._redis is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._announce(CLOSED, [])
        for batch in (self._in_flight, self._batch):
            if batch is not None and not batch.done():
                batch.set_exception(ConnectionError("the bus was closed"))
        if self._redis is not None:
            await self._out.disconnect(nowait=True)
            await self._redis.aclose()
        self._listener, self._flusher, self._loop, self._redis, self._out = None, None, None, None, None

    def _topic(self, name: str) -> str:
        return f"{self._prefix}:{name}"

    # Out

    def publish(self, topic: str, message: Message) -> None:
        """Send a message with the next tick; `drain` waits for it and raises if it failed."""
        self._outgoing.append((self._topic(topic), _pack((self._process, message))))
        self._schedule_flush()

    def relay(self, group: str, message: Message) -> None:
        """Send a position to the processes that watch the group, with the next tick. Lost while Redis is away."""
        processes = self.routes.get(group)
        if processes:
            for process in processes:
                self._positions.setdefault(process, []).append((group, message))
            self._schedule_flush()

    async def _announce(self, word: str, groups: Sequence[str]) -> None:
        """Publish an announcement to the other processes immediately, without waiting for the tick."""
        await self._redis.publish(self._topic(_MEMBERSHIP_TOPIC), _pack((self._process, word, groups)))

    def _note_membership(self, group: str, present: bool) -> None:
        if self._membership.note(group, present):
            self._schedule_flush()

    def _schedule_flush(self) -> None:
        if self._batch is None:
            self._batch = asyncio.get_running_loop().create_future()
            # Reads the exception, so that asyncio does not log it where nobody waits for the batch (positions).
            self._batch.add_done_callback(lambda batch: batch.exception())
        if self._is_closing:
            # A socket that ends meanwhile leaves its groups; a new task would outlive the connection.
            if not self._batch.done():
                self._batch.set_exception(ConnectionError("the bus was closed"))
        elif self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())

    def _collect(self) -> tuple[list[tuple[str, bytes]], bool]:
        """Return the messages of this tick, as (topic, body), and whether announcements are among them."""
        outgoing, self._outgoing = self._outgoing, []
        positions, self._positions = self._positions, {}
        announcements = self._membership.take_pending()
        for word, groups in announcements:
            outgoing.append((self._topic(_MEMBERSHIP_TOPIC), _pack((self._process, word, groups))))
        outgoing += [
            (self._topic(f"{_POSITIONS_TOPIC}:{process}"), _pack(messages)) for process, messages in positions.items()
        ]
        return outgoing, bool(announcements)

    async def drain(self) -> None:
        """Wait until Redis has the messages published so far. Raises ConnectionError while it is away."""
        for batch in (self._in_flight, self._batch):
            if batch is not None:
                await asyncio.shield(batch)

    async def _flush(self) -> None:
        while self._batch is not None:
            await asyncio.sleep(_TICK_S)
            outgoing, has_announcements = self._collect()
            batch, self._batch = self._batch, None
            self._in_flight = batch
            try:
                await self._send(outgoing)
            except Exception as error:  # whatever it is, those who wait for the batch must not wait for ever
                if has_announcements:
                    self._membership.mark_incomplete()
                if not isinstance(error, RedisError | OSError):
                    logger.exception("a batch could not be sent")
                batch.set_exception(ConnectionError(f"Redis: {error}"))
            else:
                batch.set_result(None)
            self._in_flight = None

    async def _send(self, outgoing: Sequence[tuple[str, bytes]]) -> None:
        """Send all PUBLISHes in one round trip; a second time where the connection turns out to have died meanwhile."""
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
        """Subscribe to groups; return when their messages arrive here, at the latest after _SUBSCRIBE_TIMEOUT_S."""
        await self.start()
        unconfirmed = []
        for group in groups:
            name = self._topic(f"g:{group}")
            confirmation = self._confirmations.get(name)
            if confirmation is None:
                confirmation = self._confirmations[name] = asyncio.get_running_loop().create_future()
                self._changes.append((name, True))
                self._changed.set()
                self._note_membership(group, True)
            if not confirmation.done():
                unconfirmed.append(confirmation)
        if unconfirmed:
            # While Redis is away the sockets stay open; they are resynced when it is back.
            await asyncio.wait(unconfirmed, timeout=_SUBSCRIBE_TIMEOUT_S)

    def unsubscribe(self, group: str) -> None:
        """Stop listening to a group that no socket here is in any more."""
        name = self._topic(f"g:{group}")
        confirmation = self._confirmations.pop(name, None)
        if confirmation is not None:
            if not confirmation.done():
                confirmation.set_result(None)
            self._changes.append((name, False))
            self._changed.set()
            self._note_membership(group, False)

    async def _listen_for_ever(self) -> None:
        pause_s = 0.1
        # Whether sockets may have missed messages while there was no connection.
        is_resync_due = False
        while True:
            pubsub = self._redis.pubsub()
            try:
                self._changes.clear()
                own = [self._topic(f"{kind}:{self._process}") for kind in ("p", _POSITIONS_TOPIC)]
                await pubsub.subscribe(*own, self._topic(_MEMBERSHIP_TOPIC), *self._confirmations)
                await self._membership.introduce()
                if is_resync_due:
                    self._layer.resync()
                pause_s = 0.1
                self.is_connected = True
                await self._serve(pubsub.connection)
            except (RedisError, OSError) as error:
                logger.warning("the bus is away, trying again in %.1f s: %s", pause_s, error)
            except Exception:  # without this loop the process would never receive anything again
                logger.exception("the bus failed, trying again in %.1f s", pause_s)
            finally:
                self.is_connected = False
                # Closing a connection that hangs fails as well.
                with contextlib.suppress(RedisError, OSError):
                    await pubsub.aclose()
            is_resync_due = True
            await asyncio.sleep(pause_s * (0.5 + secrets.randbelow(1000) / 1000))
            pause_s = min(pause_s * 2, 5)

    async def _serve(self, connection: Any) -> None:
        """Read, change subscriptions and announce life until one of the three fails.

        Uses the connection directly: the client would reconnect silently, so that messages missed meanwhile would stay
        unnoticed, and it would remember every group there ever was.
        """
        reader = asyncio.create_task(self._read(connection))
        writer = asyncio.create_task(self._change_subscriptions(connection))
        life = asyncio.create_task(self._membership.announce_life())
        try:
            done, _pending = await asyncio.wait([reader, writer, life], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end_tasks(reader, writer, life)

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
        is_ping_sent = False
        while True:
            item = await connection.read_response(timeout=_SILENCE_S, disconnect_on_error=False, push_request=True)
            if item is None:
                if is_ping_sent:
                    raise ConnectionError("Redis does not answer a ping")  # half open: nothing else would tell
                await connection.send_command("PING")
                is_ping_sent = True
                continue
            is_ping_sent = False
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

    async def _hear(self, topic: bytes, body: Any) -> None:
        if topic == self._positions_topic:
            for group, message in body:
                self._layer.deliver(group, message)
        elif topic == self._membership_topic:
            await self._membership.hear(*body)
        elif body[0] == self._process:
            return
        elif topic.startswith(self._group_topics):
            self._layer.deliver(topic.removeprefix(self._group_topics).decode(), body[1])
        else:
            self._layer.hand_over(body[1]["channel"], body[1]["message"])
