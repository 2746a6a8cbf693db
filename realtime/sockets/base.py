"""The sockets: who may join what, snapshots on connect, forwarding. What commands do is the domain's.

`/ws/` speaks JSON to programs; the dashboards' sockets send HTML fragments and, for what scripts need (positions,
clock, errors), the same JSON frames. Close codes are in docs/protocol.md.
"""

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from autobahn.exception import Disconnected
from channels.consumer import AsyncConsumer, get_handler_name
from channels.exceptions import StopConsumer
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from drivers.positions.buffer import buffer
from realtime import events
from realtime.auth import Identity, accepted_subprotocol
from realtime.layer.hub import HubChannelLayer
from realtime.layer.mailbox import Mailbox
from realtime.outbox import NOTHING_TO_DRAW, PERMISSIONS_REFRESH, publisher
from realtime.sockets import commands, decoding
from realtime.sockets.close_codes import (
    CLOSE_FAULT,
    CLOSE_IDLE,
    CLOSE_NOT_PERMITTED,
    CLOSE_NOT_SIGNED_IN,
    CLOSE_RESTART,
    CLOSE_SLOW,
    CLOSE_TOO_LARGE,
    CLOSE_TOO_MANY_FRAMES,
    CLOSE_TOO_MANY_SOCKETS,
    CLOSE_TRY_AGAIN,
)
from realtime.sockets.counts import Account, counts
from realtime.sockets.errors import error_frame
from realtime.sockets.opening import Opening
from stepper.db.transactions import run_in_thread
from stepper.errors import DomainError, NotSignedIn, TooManyRequests
from stepper.server.admission import run_admitted
from stepper.server.frames import SHORT_FRAME_BYTES, Connection, encode_text_frame

logger = logging.getLogger("stepper.sockets")

HEARTBEAT_S = 30
MAX_FRAME_BYTES = 64 * 1024
# Ids of the last events sent: an event that reaches a socket by two of its groups is sent once.
_REMEMBERED = 256
# Read for every frame, so not through the settings' own lookup.
_RATE, _BURST = settings.SOCKET_RATE, settings.SOCKET_BURST
# What waits for a socket at most where the layer has no mailboxes of ours.
_WAITING = 500
# How often a server that cannot say when it may be written to is asked.
_WRITABLE_POLL_S = 0.05

# After these what is known of a driver (approved, which trips) may have changed.
_CHANGES_DRIVER = frozenset(
    {PERMISSIONS_REFRESH, *(str(one.__struct_config__.tag) for one in events.DURABLE if one.changes_driver)}
)
# Says that a trip has a driver, perhaps another one than before.
_ASSIGNED = "trip.offer.accepted"
_NO_TRIPS: Mapping[str, int] = {}
_REFRESH: dict[str, Any] = {
    "type": "event.logged",
    "group": "",
    "id": "",
    "event": PERMISSIONS_REFRESH,
    "frame": NOTHING_TO_DRAW,
}
_KEPT_OF_SCOPE = ("type", "path", "url_route")
# What a client that does not read has to read its close frame.
_LAST_WORD_S = 2.0

open_sockets: set["SocketConsumer"] = set()
_ending: set[asyncio.Task[None]] = set()
_turns = itertools.count()
# Why a socket is not opened -> with which code it is closed, where that is not 4403.
_REFUSED_WITH = {
    "socket.too_many": CLOSE_TOO_MANY_SOCKETS,
    "socket.too_many_opening": CLOSE_TRY_AGAIN,
    "rate.limited": CLOSE_TOO_MANY_FRAMES,
}


class SocketConsumer(AsyncConsumer):
    """What every socket of ours does. Subclasses say what it joins, shows and forwards.

    What the layer brings is written to the client at once, by a call, where nothing waits before it and the client
    reads; otherwise it waits in the mailbox and a task works that off, so one slow client delays nobody else.
    """

    identity: Identity
    driver_id: int | None = None

    def __init__(self) -> None:
        self.joined: set[str] = set()
        self._recent: deque[str] | None = None
        self._mailbox: Mailbox | None = None
        # Works off what waits in the mailbox; None while nothing does.
        self._working: asyncio.Task[None] | None = None
        self._closing = False
        self._is_open = False
        self._opening: Opening | None = None
        # What the user's sockets in this process share, once this is one of them.
        self._account: Account | None = None
        # The frame of a permissions refresh that waits in the mailbox and will see what further ones would.
        self._refresh_waits: str | None = None
        # Groups of trips that are this socket's for nothing but driving them -> the driver.
        self._driven: Mapping[str, int] = _NO_TRIPS
        # Both directions may find that the socket's rights have changed; one at a time puts its groups right.
        self._changing: asyncio.Lock | None = None
        self._tokens = float(_BURST)
        # Which second of the heartbeat's period is this socket's.
        self.turn = next(_turns) % HEARTBEAT_S
        self._heard_at = time.monotonic()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Reads commands one after another; a command that waits for the database delays no event."""
        self.scope = scope
        self._opening = Opening(scope)
        self.base_send = send
        # Our servers' own connections take frames by a call; another server's only by its `send`.
        self._line: Connection | None = scope.get("stepper.line")
        self.channel_layer = get_channel_layer(self.channel_layer_alias)
        self.channel_name = await self.channel_layer.new_channel()
        receiving = None
        if isinstance(self.channel_layer, HubChannelLayer):
            self._mailbox = self.channel_layer.attach(self.channel_name, self._take)
        else:
            self._mailbox = Mailbox(_WAITING)
            self._mailbox.taker = self._take
            receiving = asyncio.create_task(self._receive_for_ever(self._mailbox))
        try:
            while True:
                await self._handle(await receive())
        except StopConsumer:
            pass
        finally:
            if receiving is not None:
                receiving.cancel()
            await self._forget()

    async def _handle(self, message: dict[str, Any]) -> None:
        """A fault closes the socket with a code of ours: what servers make of an exception differs."""
        try:
            if message["type"] != "websocket.receive":
                await self.dispatch(message)
            elif not self.receive_now(message.get("text")):
                await self.websocket_receive(message)
        except StopConsumer:
            raise
        except Exception:
            logger.exception("a message of a client could not be handled")
            await self._close(CLOSE_FAULT)

    async def _receive_for_ever(self, mailbox: Mailbox) -> None:
        """From a layer that does not deliver by itself."""
        while True:
            mailbox.put(await self.channel_layer.receive(self.channel_name))

    async def _forget(self) -> None:
        """However it ended, nothing of the socket stays behind."""
        self._closing = True
        if self._line is not None:
            self._line.listener = None
        open_sockets.discard(self)
        if self._opening is not None:
            self._opening.end()
        self._uncount()
        self.drive_as(None)
        if self._working is not None:
            self._working.cancel()
        if isinstance(self.channel_layer, HubChannelLayer):
            self.channel_layer.discard_channel(self.channel_name, self.joined)
        else:
            for name in self.joined:
                await self.channel_layer.group_discard(name, self.channel_name)

    # From the layer, on the loop that delivers

    def _take(self, message: dict[str, Any]) -> bool:
        """Whether the message was dealt with at once; otherwise it waits its turn."""
        forward_now = self.forward_now
        if message["type"] == "position.relayed":
            if message["driver_id"] == self.driver_id:
                return True  # drivers know where they are
            if self._driven and self._driven.get(message["group"], message["driver_id"]) != message["driver_id"]:
                return True  # somebody else drives the trip by now, the refresh that says so is on its way
            forward_now = self.position_now
        else:
            if self.driver_id is not None and _may_change_driver(message):
                # Not when its turn comes: of a driver who does not read it might never.
                buffer.forget(self.driver_id)
            if message.get("event") == PERMISSIONS_REFRESH:
                # One that has the page drawn as well ("") does for any other.
                if self._refresh_waits in ("", message["frame"]):
                    return True
                self._refresh_waits = message["frame"]
        # Open and without a task to work it off, the mailbox is empty.
        if self._working is None and self._is_open:
            if self._closing or forward_now(message):
                return True
            self._working = asyncio.create_task(self._work_off())
        return False

    async def _work_off(self) -> None:
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

    def forward_now(self, message: dict[str, Any]) -> bool:
        """Writes what needs neither database nor rendering; False where it does, or where the client does not read."""
        return False

    def position_now(self, message: dict[str, Any]) -> bool:
        """`forward_now` of a position."""
        if message["group"] not in self.joined:
            return True
        if self._line is not None:
            return self._line.write(encode_text_frame(message["frame"]))
        return self._send_now(message["frame"].decode())

    def _send_now(self, text: str) -> bool:
        """Whether the frame was written (or the client is gone); False where that would have to wait."""
        if self._line is not None:
            return self._line.write(encode_text_frame(text.encode()))
        sending = self.base_send({"type": "websocket.send", "text": text})
        try:
            # A server's send waits for nothing but the client's buffer, before it has done anything.
            sending.send(None)
        except StopIteration:
            return True
        except (Disconnected, OSError):
            self._closing = True
            return True
        sending.close()
        return False

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Without the stock database check for each message: most messages have no database work."""
        handler = getattr(self, get_handler_name(message), None)
        if handler is None:
            raise ValueError(f"No handler for message type {message['type']}")
        await handler(message)

    # Opening

    async def websocket_connect(self, _message: dict[str, Any]) -> None:
        """Accepts first: only an open socket can be closed with a code that a browser sees."""
        await self.send({"type": "websocket.accept", "subprotocol": accepted_subprotocol(self.scope)})
        try:
            self._require_room_for_opening()
            self.identity = await run_in_thread(commands.identify_and_count, self.scope)
            self._end_opening()
            await self._count()
            await self._prepare()
            open_sockets.add(self)
            await self._send_frame(await run_in_thread(self.established))
            await self.show()
        except NotSignedIn as error:
            await self._refuse(error, CLOSE_NOT_SIGNED_IN)
        except DomainError as error:
            await self._refuse(error, _REFUSED_WITH.get(error.code, CLOSE_NOT_PERMITTED))
        except DatabaseError as error:
            logger.warning("a socket was refused, the database does not answer: %s", error)
            await self._close(CLOSE_TRY_AGAIN)
        else:
            self._open()

    def _require_room_for_opening(self) -> None:
        if self._opening is not None and self._opening.is_one_too_many:
            raise TooManyRequests(
                "socket.too_many_opening", _("Too many connections from your network are being opened."), 5
            )

    def _end_opening(self) -> None:
        if self._opening is not None:
            self._opening.end()
            self._opening = None

    async def _count(self) -> None:
        """Raises TooManyRequests (socket.too_many) beyond SOCKETS_PER_USER in all processes together."""
        self._account, number = await counts.add(self.identity.user.pk)
        if number > settings.SOCKETS_PER_USER:
            self._uncount()
            raise TooManyRequests("socket.too_many", _("Too many connections of one account."), 60)

    def _uncount(self) -> None:
        if self._account is not None:
            self._account = None
            counts.remove(self.identity.user.pk)

    def _open(self) -> None:
        """Greeted and shown the state: from now on what comes is forwarded, first what came meanwhile."""
        self._heard_at = time.monotonic()
        # Headers and the rest of it would be held for as long as the socket lives.
        self.scope = {key: self.scope[key] for key in _KEPT_OF_SCOPE if key in self.scope}
        if self._line is not None:
            self._line.listener = self.receive_now
        self._go_on()

    def _go_on(self) -> None:
        """Forwards again, first what waited."""
        self._is_open = True
        if self._mailbox and self._working is None:
            self._working = asyncio.create_task(self._work_off())

    async def _refuse(self, error: DomainError, code: int) -> None:
        await self._send_frame(error_frame(error))
        await self._close(code)

    async def prepare(self) -> None:
        """Joins the groups this socket is for. Raises DomainError where it may not be here."""
        raise NotImplementedError

    async def _prepare(self) -> None:
        async with self._changing_groups:
            await self.prepare()
        if self.driver_id is not None:
            # What changed before the groups were joined has not been heard.
            buffer.forget(self.driver_id)

    @property
    def _changing_groups(self) -> asyncio.Lock:
        if self._changing is None:
            self._changing = asyncio.Lock()
        return self._changing

    def drive_as(self, driver_id: int | None) -> None:
        """Whose positions this socket sends."""
        if driver_id != self.driver_id:
            if self.driver_id is not None:
                buffer.let_go(self.driver_id)
            self.driver_id = driver_id
            if driver_id is not None:
                buffer.hold(driver_id)

    async def show(self) -> None:
        """Sends the state as it stands: on connect, and after anything may have been missed."""
        raise NotImplementedError

    def established(self) -> events.ConnectionEstablished:
        settings = commands.current_settings()
        if self.driver_id is not None:
            buffer.prime(self.driver_id, settings)
        return events.ConnectionEstablished(
            user_id=self.identity.user.pk,
            driver_id=self.driver_id,
            heartbeat_s=HEARTBEAT_S,
            position_trip_s=settings.position_trip_s,
            position_idle_s=settings.position_idle_s,
            cursor=publisher.cursor,
        )

    async def join(self, *names: str) -> None:
        new = [name for name in names if name not in self.joined]
        self.joined.update(new)
        if isinstance(self.channel_layer, HubChannelLayer):
            await self.channel_layer.join(new, self.channel_name)
            return
        for name in new:
            await self.channel_layer.group_add(name, self.channel_name)

    async def leave(self, *names: str) -> None:
        for name in names:
            if name in self.joined:
                self.joined.discard(name)
                await self.channel_layer.group_discard(name, self.channel_name)

    # Living

    def beat(self, frame: str) -> None:
        """A frame at least every HEARTBEAT_S: proxies keep the connection, clients notice a half-open one."""
        if time.monotonic() - self._heard_at > settings.SOCKET_IDLE_S:
            # Apart: who does not read holds up the goodbye, and must not hold up the others' heartbeats.
            _in_background(self._close(CLOSE_IDLE))
            return
        if self._is_open and self.identity.expires_at <= timezone.now() and self._mailbox is not None:
            # Nobody publishes that a session has run out of time.
            self._mailbox.put(_REFRESH)
        elif self._is_open and self._working is None:
            self._send_now(frame)  # where something waits already, a heartbeat would say nothing new

    async def _send_frame(self, frame: events.Frame) -> None:
        await self.send_text(events.encode(frame))

    async def send_text(self, text: str) -> None:
        if not self._closing:
            await self.send({"type": "websocket.send", "text": text})

    async def send(self, message: dict[str, Any]) -> None:
        """Waits for the client to read, for SOCKET_SLOW_S at most.

        A client that left meanwhile is no fault; the server's disconnect message follows.
        """
        if self._send_soon(message):
            return
        if self._mailbox is not None:
            self._mailbox.stall(True)
        try:
            async with asyncio.timeout(settings.SOCKET_SLOW_S):
                while self._line is not None and not self._line.is_writable:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(_WRITABLE_POLL_S)
                await self.base_send(message)
        except TimeoutError:
            await self._abandon()
        except (Disconnected, OSError):
            self._closing = True
        finally:
            if self._mailbox is not None:
                self._mailbox.stall(False)

    def _send_soon(self, message: dict[str, Any]) -> bool:
        if message["type"] != "websocket.send":
            return False
        return self._send_now(message["text"])

    async def _abandon(self) -> None:
        """The client has stopped reading: it sees the close frame if it reads again soon, then the line is cut."""
        self._closing = True
        hang_up = self._line.hang_up if self._line is not None else _uvicorn_hang_up(self.base_send)
        _in_background(_close_and_cut(self.base_send, hang_up))

    async def _close(self, code: int) -> None:
        if not self._closing:
            self._closing = True
            await self.send({"type": "websocket.close", "code": code})

    async def restart(self) -> None:
        """The server stops: a code that makes clients come back."""
        await self._close(CLOSE_RESTART)

    async def websocket_disconnect(self, _message: dict[str, Any]) -> None:
        raise StopConsumer

    # Commands

    def receive_now(self, text: str | None) -> bool:
        """Takes a driver's position where that needs neither the database nor an answer; False: the long way."""
        if (
            text is None
            or self.driver_id is None
            or len(text) > SHORT_FRAME_BYTES
            or self._closing
            or not self._is_open
        ):
            return False
        now = time.monotonic()
        tokens = min(_BURST, self._tokens + (now - self._heard_at) * _RATE)
        if tokens < 1:
            return False
        try:
            command = events.decode_command(text)
        except decoding.UNREADABLE:
            return False
        if type(command) is not events.LocationUpdate or command.ref is not None:
            return False
        # One socket alone is held back by its own count.
        account = self._account
        if account is not None and account.sockets > 1 and not account.take_position(now):
            return False
        if buffer.report_now(self.driver_id, command.points) is None:
            return False
        self._tokens, self._heard_at = tokens - 1, now
        return True

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        text = message.get("text")
        if self._closing:
            return
        now = time.monotonic()
        self._tokens = min(_BURST, self._tokens + (now - self._heard_at) * _RATE) - 1
        self._heard_at = now
        if self._tokens < 0:
            await self._slow_down(text)
            return
        if text is None:
            await self._send_error("message.invalid", _("Send text frames."))
            return
        if len(text) > MAX_FRAME_BYTES or len(text.encode(errors="replace")) > MAX_FRAME_BYTES:
            await self._send_error("frame.too_large", _("A frame is at most 64 KiB."))
            await self._close(CLOSE_TOO_LARGE)
            return
        try:
            command = decoding.read_command(text)
        except decoding.RefusedFrame as refused:
            await self._send_frame(error_frame(refused.error, refused.ref, self._language))
            return
        try:
            self._spend(command)
            await self.obey(command)
        except DomainError as error:
            await self._send_frame(error_frame(error, command.ref, self.identity.language))
        except (OperationalError, InterfaceError) as error:
            logger.warning("%s failed: %s", events.tag(command), error)
            await self._send_error("server.unavailable", _("Please try again in a moment."), command.ref)
        except DatabaseError:  # what the database refuses once it refuses again
            logger.exception("%s failed", events.tag(command))
            await self._send_error("server.error", _("Something went wrong on our side."), command.ref)

    async def _slow_down(self, text: str | None) -> None:
        """The frame is not obeyed. Who goes on after a burst of refusals is sent away."""
        if self._tokens <= -_BURST:
            await self._close(CLOSE_TOO_MANY_FRAMES)
            return
        ref = decoding.ref_of(text) if text and len(text) <= MAX_FRAME_BYTES else None
        await self._send_frame(
            error_frame(TooManyRequests("rate.limited", _("Too many frames. Slow down."), 1), ref, self._language)
        )

    @property
    def _language(self) -> str:
        return self.identity.language if hasattr(self, "identity") else "en"

    def _spend(self, command: events.Command) -> None:
        """Count the command for the user's sockets in this process, which costs nothing and so comes first.

        Raises:
            TooManyRequests: rate.limited, with which none of these sockets is closed.
        """
        if self._account is None or isinstance(command, events.Ping):
            return
        now = time.monotonic()
        if isinstance(command, events.LocationUpdate):
            wait_s = None if self._account.sockets == 1 or self._account.take_position(now) else 1
        else:
            wait_s = self._account.wait_s(events.tag(command), now)
        if wait_s is not None:
            raise TooManyRequests("rate.limited", _("Too many requests. Try again in a moment."), wait_s)

    async def _send_error(self, code: str, message: Any, ref: str | None = None) -> None:
        with override(self._language):
            await self._send_frame(events.Error(code=code, message=str(message), ref=ref))

    async def obey(self, command: events.Command) -> None:
        answer = await run_admitted(commands.run, command, self.identity, self.driver_id)
        if answer is not None and command.ref is not None:
            await self._send_frame(answer)

    # From the layer, when it had to wait

    def is_new(self, message: dict[str, Any]) -> bool:
        """Whether an event has not been sent yet, and the socket may still hear it; what says yes remembers it."""
        if message["group"] not in self.joined:
            return False  # it waited here while the socket lost its right to it
        if self._recent is not None and message["id"] in self._recent:
            return False
        self.remember_sent(message["id"])
        return True

    def remember_sent(self, event_id: str) -> None:
        if self._recent is None:
            self._recent = deque(maxlen=_REMEMBERED)
        self._recent.append(event_id)

    def forget_sent(self) -> None:
        """The event that `is_new` remembered last was not sent after all."""
        if self._recent:
            self._recent.pop()

    async def event_logged(self, message: dict[str, Any]) -> None:
        if message["event"] == PERMISSIONS_REFRESH:
            self._refresh_waits = None
            await self.recheck()
            if message["frame"] != NOTHING_TO_DRAW and not self._closing:
                await self.redraw()
            return
        if self._is_in_question(message):
            await self.recheck()
        if not self._closing and self.is_new(message):
            await self.forward(message)

    def _is_in_question(self, message: dict[str, Any]) -> bool:
        """Whether the event says that somebody drives a trip which this socket hears of as its driver.

        The driver who had it before is told by a permissions refresh; but that may come from another process, later.
        """
        return bool(self._driven) and message["event"] == _ASSIGNED and message["group"] in self._driven

    async def forward(self, message: dict[str, Any]) -> None:
        raise NotImplementedError

    async def position_relayed(self, message: dict[str, Any]) -> None:
        if message["group"] in self.joined:
            await self.send_text(message["frame"].decode())

    async def layer_resync(self, _message: dict[str, Any]) -> None:
        """The layer dropped something, or the bus was away."""
        self._refresh_waits = None
        await self.recheck()
        if not self._closing:
            await self.show()

    async def redraw(self) -> None:
        """Show what an older release's permissions refresh was sent for: anything of the page may have changed."""

    async def recheck(self) -> None:
        """Somebody's rights changed: is this still who it was, and may they still be here?"""
        identity = await run_in_thread(self.identity.renewed)
        if identity is None:
            await self._refuse(NotSignedIn("auth.required", _("Please sign in.")), CLOSE_NOT_SIGNED_IN)
            return
        # What is asked below is whether this user, with the rights they have now, may be here.
        self.identity = identity
        try:
            await self._prepare()
        except DomainError as error:
            await self._refuse(error, CLOSE_NOT_PERMITTED)


def _may_change_driver(message: dict[str, Any]) -> bool:
    kind = message["type"]
    return kind == "layer.resync" or (kind == "event.logged" and message["event"] in _CHANGES_DRIVER)


def _uvicorn_hang_up(send: Any) -> Any:
    """Cuts the connection under uvicorn, which has no word for it: closing waits for a client that does not read."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    return transport.abort if transport is not None else None


def _in_background(ending: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(ending)
    _ending.add(task)
    task.add_done_callback(_ending.discard)


async def _close_and_cut(send: Any, hang_up: Callable[[], Any] | None) -> None:
    try:
        async with asyncio.timeout(_LAST_WORD_S):
            await send({"type": "websocket.close", "code": CLOSE_SLOW})
            await asyncio.sleep(_LAST_WORD_S)
    except (TimeoutError, Disconnected, OSError):
        pass
    if hang_up is not None:
        hang_up()
