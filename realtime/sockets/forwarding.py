"""What a socket gets from the channel layer: its groups, and forwarding their messages to the client.

A message of the layer is written to the client immediately, by a call, if no earlier message waits and the client
reads. Otherwise it waits in the mailbox, which a task empties, so one slow client delays nobody else.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from channels.consumer import AsyncConsumer, get_handler_name
from channels.layers import get_channel_layer
from django.db import DatabaseError
from django.utils.translation import gettext_lazy as _

from drivers.positions.buffer import buffer
from realtime import events
from realtime.async_tasks import end_tasks
from realtime.auth import Identity
from realtime.layer.hub import HubChannelLayer
from realtime.layer.mailbox import Mailbox
from realtime.outbox import NOTHING_TO_DRAW, PERMISSIONS_REFRESH
from realtime.sockets.close_codes import (
    CLOSE_FAULT,
    CLOSE_NOT_PERMITTED,
    CLOSE_NOT_SIGNED_IN,
    CLOSE_SUSPENDED,
    CLOSE_TRY_AGAIN,
)
from realtime.sockets.writer import SocketWriter
from stepper.db.transactions import run_in_thread
from stepper.errors import DomainError, NotPermitted, NotSignedIn
from stepper.monitoring import log_ids
from stepper.monitoring.figures import deliveries, traffic
from stepper.server.frames import Connection, encode_text_frame

logger = logging.getLogger("stepper.sockets")

# Ids of the last events sent: an event that reaches a socket by two of its groups is sent once.
_REMEMBERED = 256
# At most this many messages wait for a socket if the layer is not ours and so has no mailboxes.
_WAITING = 500

# After these events the facts about a driver (approved, which trips) may have changed.
_CHANGES_DRIVER = frozenset(
    {PERMISSIONS_REFRESH, *(str(one.__struct_config__.tag) for one in events.DURABLE if one.changes_driver)}
)
# Says that a trip has a driver, perhaps another one than before.
ASSIGNED_EVENT = "trip.offer.accepted"
NO_TRIPS: Mapping[str, int] = {}


class ForwardingConsumer(AsyncConsumer):
    """A member of groups whose messages go to one client. Subclasses say what it joins, shows and forwards."""

    identity: Identity
    driver_id: int | None = None
    suspended = False  # that driver
    # Set by `_attach`.
    _writer: SocketWriter
    # Connections of our own servers accept frames by a call. None: another server, which has only its `send`.
    _connection: Connection | None

    def __init__(self) -> None:
        self.joined: set[str] = set()
        self._recent: deque[str] | None = None
        self._mailbox: Mailbox | None = None
        # Puts what a layer that does not deliver by itself has into the mailbox.
        self._receiving: asyncio.Task[None] | None = None
        # Forwards the messages that wait in the mailbox; None while none wait.
        self._working: asyncio.Task[None] | None = None
        self._is_open = False
        # The frame of a permissions refresh that waits in the mailbox. Further ones are not needed: it will read the
        # same permissions.
        self._refresh_waits: str | None = None
        # Groups of trips that the socket may see only because its user drives them -> the driver.
        self._driven: Mapping[str, int] = NO_TRIPS
        # Both directions may find that the socket's rights have changed: the lock lets one at a time correct the
        # groups.
        self._changing: asyncio.Lock | None = None

    async def _attach(self, send: Any, connection: Connection | None) -> None:
        """Create the socket's channel in the layer and its writer. `send` and `connection` are the server's."""
        self.channel_layer = get_channel_layer(self.channel_layer_alias)
        self.channel_name = await self.channel_layer.new_channel()
        if isinstance(self.channel_layer, HubChannelLayer):
            mailbox = self.channel_layer.attach(self.channel_name, self._take)
        else:
            mailbox = Mailbox(_WAITING)
            mailbox.taker = self._take
            self._receiving = asyncio.create_task(self._receive_for_ever(mailbox))
        self._mailbox = mailbox
        self._connection = connection
        self._writer = SocketWriter(send, connection, mailbox)

    async def _detach(self) -> None:
        """Leave the layer: however the socket ended, nothing of it stays behind there."""
        self._writer.is_closing = True
        self.drive_as(None)
        if self._working is not None:
            self._working.cancel()
        if isinstance(self.channel_layer, HubChannelLayer):
            self.channel_layer.discard_channel(self.channel_name, self.joined)
        else:
            for name in self.joined:
                await self.channel_layer.group_discard(name, self.channel_name)
            await end_tasks(*filter(None, [self._receiving]))

    async def _receive_for_ever(self, mailbox: Mailbox) -> None:
        while True:
            mailbox.put(await self.channel_layer.receive(self.channel_name))

    # On the loop that delivers

    def _take(self, message: dict[str, Any]) -> bool:
        """Handle a message immediately; False: it has to wait in the mailbox."""
        forward_now = self.forward_now
        if message["type"] == "position.relayed":
            if message["driver_id"] == self.driver_id:
                return True  # drivers know where they are
            if self._driven and self._driven.get(message["group"], message["driver_id"]) != message["driver_id"]:
                return True  # somebody else drives the trip by now, the refresh that says so is on its way
            forward_now = self.position_now
        else:
            if self.driver_id is not None and _may_change_driver(message):
                # Now, not when it leaves the mailbox: if the client does not read, that may never happen.
                buffer.facts.forget_driver(self.driver_id)
            if message.get("event") == PERMISSIONS_REFRESH:
                # A waiting refresh with an empty frame also redraws the page, so it replaces any other.
                if self._refresh_waits in ("", message["frame"]):
                    return True
                self._refresh_waits = message["frame"]
        # If the socket is open and no task runs, the mailbox is empty.
        if self._working is None and self._is_open:
            if self._writer.is_closing or forward_now(message):
                return True
            self._working = asyncio.create_task(self._work_off())
        return False

    async def _work_off(self) -> None:
        """Forward the messages that wait in the mailbox; a failure closes the socket."""
        self._begin_log_ids()
        try:
            while self._mailbox is not None and (message := self._mailbox.pop()) is not None:
                if not self._closing:
                    await self.dispatch(message)
        except DatabaseError as error:
            logger.warning("a socket is sent away, the database does not answer: %s", error)
            await self._close(CLOSE_TRY_AGAIN)
        except Exception:  # whatever it is, the client must not go on believing that it sees everything
            logger.exception("a message could not be forwarded")
            await self._close(CLOSE_FAULT)
        finally:
            self._working = None

    def _begin_log_ids(self) -> None:
        """Have lines of the log name this socket, not the one whose event started the present task."""
        user = getattr(getattr(self, "identity", None), "user", None)
        socket_id = self.channel_name.partition("!")[2]
        log_ids.begin(socket_id=socket_id, account_id=user and user.pk, driver_id=self.driver_id)

    def _go_on(self) -> None:
        """Resume forwarding, beginning with the messages that wait."""
        self._is_open = True
        if self._mailbox and self._working is None:
            self._working = asyncio.create_task(self._work_off())

    def forward_now(self, message: dict[str, Any]) -> bool:
        """Write a message that needs neither database nor rendering; False: it was not written, and has to wait."""
        return False

    def position_now(self, message: dict[str, Any]) -> bool:
        """Write a position; False: the client does not read."""
        if message["group"] not in self.joined:
            return True
        # Without the writer, which saves a call: this runs for every position and every socket that watches it.
        if self._connection is not None:
            is_written = self._connection.write(encode_text_frame(message["frame"]))
            traffic.frames_sent += is_written
            return is_written
        return self._writer.write_now(message["frame"].decode())

    def _send_now(self, text: str) -> bool:
        """Write a frame: same as `SocketWriter.write_now`, with one call fewer where possible."""
        if self._connection is not None:
            is_written = self._connection.write(encode_text_frame(text.encode()))
            traffic.frames_sent += is_written
            return is_written
        return self._writer.write_now(text)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Call the handler of a message, without Channels' check of the database: most messages do not need it."""
        handler = getattr(self, get_handler_name(message), None)
        if handler is None:
            raise ValueError(f"No handler for message type {message['type']}")
        await handler(message)

    # Groups

    async def prepare(self) -> None:
        """Join the groups this socket is for. Raises DomainError if the user may not open it."""
        raise NotImplementedError

    async def _prepare(self) -> None:
        async with self._changing_groups:
            await self.prepare()
        if self.driver_id is not None:
            # Events published before the groups were joined did not arrive here, so read the driver's facts again.
            buffer.facts.forget_driver(self.driver_id)

    @property
    def _changing_groups(self) -> asyncio.Lock:
        if self._changing is None:
            self._changing = asyncio.Lock()
        return self._changing

    def drive_as(self, driver_id: int | None, *, suspended: bool = False) -> None:
        """Set whose positions this socket sends; None: nobody's."""
        self.suspended = suspended
        if driver_id != self.driver_id:
            if self.driver_id is not None:
                buffer.facts.detach_socket(self.driver_id)
            self.driver_id = driver_id
            if driver_id is not None:
                buffer.facts.attach_socket(driver_id)

    async def join(self, *names: str) -> None:
        """Join groups; return when their messages arrive here."""
        new = [name for name in names if name not in self.joined]
        self.joined.update(new)
        if isinstance(self.channel_layer, HubChannelLayer):
            await self.channel_layer.join(new, self.channel_name)
            return
        for name in new:
            await self.channel_layer.group_add(name, self.channel_name)

    async def leave(self, *names: str) -> None:
        """Leave those of the groups that this socket is in."""
        for name in names:
            if name in self.joined:
                self.joined.discard(name)
                await self.channel_layer.group_discard(name, self.channel_name)

    # Messages of the layer, when they had to wait

    def is_new(self, message: dict[str, Any]) -> bool:
        """Say whether an event was not sent yet and the socket may still see it; if so, remember it as sent."""
        if message["group"] not in self.joined:
            return False  # the socket lost its right to the event while it waited
        if self._recent is not None and message["id"] in self._recent:
            return False
        self.remember_sent(message["id"])
        return True

    def remember_sent(self, event_id: str) -> None:
        """Remember that an event was sent, so that it is not sent again when it arrives by another group."""
        if self._recent is None:
            self._recent = deque(maxlen=_REMEMBERED)
        self._recent.append(event_id)

    def forget_sent(self) -> None:
        """Forget the event that `is_new` remembered last: it was not sent after all."""
        if self._recent:
            self._recent.pop()

    async def event_logged(self, message: dict[str, Any]) -> None:
        """Forward an event that had to wait; if it is a permissions refresh, refresh them instead."""
        if message["event"] == PERMISSIONS_REFRESH:
            self._refresh_waits = None
            await self.refresh_permissions()
            if message["frame"] != NOTHING_TO_DRAW and not self._closing:
                await self.redraw()
            return
        if self._may_have_lost_trip(message):
            await self.refresh_permissions()
        if not self._closing and self.is_new(message):
            await self.forward(message)

    def _may_have_lost_trip(self, message: dict[str, Any]) -> bool:
        """Say whether the event assigns a trip that this socket sees only as its driver, perhaps to another driver.

        The former driver also gets a permissions refresh, but that may arrive later, from another process.
        """
        return bool(self._driven) and message["event"] == ASSIGNED_EVENT and message["group"] in self._driven

    async def forward(self, message: dict[str, Any]) -> None:
        """Write an event to the client."""
        raise NotImplementedError

    @staticmethod
    def _note_delivery(message: dict[str, Any]) -> None:
        """Count how long after its commit an event was sent, which a server of an earlier release does not tell."""
        if committed_at := message.get("committed_at"):
            deliveries.note(committed_at)

    async def position_relayed(self, message: dict[str, Any]) -> None:
        if message["group"] in self.joined:
            await self.send_text(message["frame"].decode())

    async def layer_resync(self, _message: dict[str, Any]) -> None:
        """Send the current state: the layer dropped messages, or the bus was away."""
        self._refresh_waits = None
        await self.refresh_permissions()
        if not self._closing:
            await self.show()

    async def redraw(self) -> None:
        """Redraw the page, as an older release's permissions refresh asks: anything on it may have changed."""

    async def refresh_permissions(self) -> None:
        """Read the user and their session again and join the groups they may see now; close if they may see none."""
        identity = await run_in_thread(self.identity.renewed)
        if identity is None:
            await self._refuse(NotSignedIn("auth.required", _("Please sign in.")), CLOSE_NOT_SIGNED_IN)
            return
        # `prepare` checks the rights of this identity, so set the new one first.
        self.identity = identity
        was_suspended = self.suspended
        try:
            await self._prepare()
        except DomainError as error:
            await self._refuse(error, CLOSE_NOT_PERMITTED)
            return
        if self.suspended and not was_suspended:
            # What a client shows of offers and work goes with the connection; the next one has the trip to finish.
            await self._refuse(NotPermitted("driver.not_approved", _("Your account is suspended.")), CLOSE_SUSPENDED)

    # To the client

    async def show(self) -> None:
        """Send the current state: on connect, and after messages may have been missed."""
        raise NotImplementedError

    @property
    def _closing(self) -> bool:
        return self._writer.is_closing

    async def send(self, message: dict[str, Any]) -> None:
        await self._writer.send(message)

    async def send_text(self, text: str) -> None:
        await self._writer.write(text)

    async def _send_frame(self, frame: events.Frame) -> None:
        await self._writer.write(events.encode(frame))

    async def _close(self, code: int) -> None:
        await self._writer.close(code)

    async def _refuse(self, error: DomainError, code: int) -> None:
        """Say in the client's language why it is sent away, and close."""
        raise NotImplementedError


def _may_change_driver(message: dict[str, Any]) -> bool:
    kind = message["type"]
    return kind == "layer.resync" or (kind == "event.logged" and message["event"] in _CHANGES_DRIVER)
