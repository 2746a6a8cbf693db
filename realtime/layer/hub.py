"""The channel layer: immediate delivery in this process, batches over Redis pub/sub to the others.

Implements the full Channels interface. A message to a group reaches the sockets of this process by a call, uncopied
(senders do not change it afterwards): directly if the socket takes it immediately, otherwise by its bounded mailbox. Of
messages with a `key` (positions) the newest replaces the waiting one. When a mailbox overflows, or the bus was away,
the socket gets `layer.resync`, so that no loss stays unnoticed.

Between processes there are two ways. Events go out as one PUBLISH a group, in one round trip a tick, to whoever is
subscribed: a process subscribes only to the groups its sockets joined, and joining returns once Redis has confirmed.
A lost position is replaced by the next one, so positions go only to processes that announced members (`relay`): all of
a tick in one PUBLISH for each such process, and none at all if nobody in another process watches.
"""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from channels.layers import BaseChannelLayer

from realtime.layer.bus import Bus
from realtime.layer.mailbox import RESYNC, Backlog, Mailbox, Message, Taker


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
        """Connect to the bus. Optional: methods that need the bus connect it themselves."""
        if self._bus is not None:
            await self._bus.start()

    # Channels

    async def new_channel(self, prefix: str = "specific") -> str:
        name = f"{prefix}.{self._process}!{secrets.token_hex(8)}"
        self._mailboxes[name] = Mailbox(self.capacity, self._backlog)
        return name

    def attach(self, channel: str, taker: Taker) -> Mailbox:
        """Register the function that takes a channel's messages, on the loop that delivers them; return the mailbox.

        It must not take a message immediately while others wait in the mailbox.
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
        """Deliver to a channel of this process; not to one that is gone. A name without a process gets a mailbox."""
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
        """Forget a channel whose socket is gone; `groups` are those it had joined."""
        for group in groups:
            self._leave(group, channel)
        mailbox = self._mailboxes.pop(channel, None)
        if mailbox is not None:
            mailbox.taker = None
            mailbox.clear()

    # Groups

    async def group_add(self, group: str, channel: str) -> None:
        """Join a group; return when messages sent from now on, by any process, reach the channel."""
        await self.join((group,), channel)

    async def join(self, groups: Sequence[str], channel: str) -> None:
        """Join several groups, with one wait for Redis."""
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
        """Send to the group's members in other processes only: the members here have the message already."""
        if self._bus is not None:
            await self._bus.start()
            self._bus.publish(f"g:{group}", message)

    def relay(self, group: str, message: Message) -> None:
        """Send to a group, without waiting, a message that the next one of its `key` replaces if it is lost.

        Call it on the loop. It reaches other processes only for groups whose name begins with one of RELAYED
        (membership.py): the bus announces the members of those.
        """
        self.deliver(group, message)
        if self._bus is not None:
            self._bus.relay(group, message)

    def is_watched(self, group: str) -> bool:
        """Say whether a relayed message would reach anybody, here or elsewhere."""
        return group in self._groups or (self._bus is not None and group in self._bus.routes)

    def deliver(self, group: str, message: Message) -> None:
        """Hand a message to the members in this process."""
        members = self._groups.get(group)
        if members:
            for mailbox in tuple(members.values()):
                # Same as `put`, without the call: this runs for every position and every socket that watches it.
                if mailbox.taker is None or not mailbox.taker(message):
                    mailbox.keep(message)

    def resync(self) -> None:
        """Tell every channel of this process that messages may have been missed."""
        for mailbox in tuple(self._mailboxes.values()):
            mailbox.put(RESYNC)

    @property
    def waiting(self) -> int:
        """Number of events that wait in mailboxes of this process, not counting sockets whose client does not read."""
        return self._backlog.count

    @property
    def is_bus_connected(self) -> bool | None:
        """Whether this process hears the others; None: there is no bus."""
        return None if self._bus is None else self._bus.is_connected

    @property
    def joined(self) -> list[str]:
        return list(self._groups)

    async def drain(self) -> None:
        """Wait until Redis has the messages sent so far. Raises OSError while Redis is away."""
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
