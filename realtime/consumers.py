"""The sockets: who may join what, snapshots on connect, forwarding. What commands do is the domain's.

`/ws/` speaks JSON to programs; the dashboards' sockets send HTML fragments and, for what scripts need (positions,
clock, errors), the same JSON frames. Close codes are in docs/protocol.md.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
from autobahn.exception import Disconnected
from channels.consumer import AsyncConsumer, get_handler_name
from channels.exceptions import StopConsumer
from channels.layers import get_channel_layer
from django.db import DatabaseError
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from stepper.crowd import in_turn
from stepper.errors import DomainError, NotPermitted, NotSignedIn, TooManyRequests
from stepper.transactions import in_thread

from . import commands, events, groups
from .auth import Identity, accepted_subprotocol, identify
from .layer import HubChannelLayer
from .pages import fragment
from .publish import CONTROL, outlet

logger = logging.getLogger("stepper.sockets")

HEARTBEAT_S = 30
MAX_FRAME_BYTES = 64 * 1024
# Ids of the last events sent: an event that reaches a socket by two of its groups is sent once.
_REMEMBERED = 256

CLOSE_NOT_SIGNED_IN = 4401
CLOSE_NOT_PERMITTED = 4403
CLOSE_TOO_LARGE = 1009
CLOSE_RESTART = 1012
CLOSE_TRY_AGAIN = 1013

open_sockets: set["SocketConsumer"] = set()


class SocketConsumer(AsyncConsumer):
    """What every socket of ours does. Subclasses say what it joins, shows and forwards."""

    identity: Identity
    driver_id: int | None = None

    def __init__(self) -> None:
        self.joined: set[str] = set()
        self._recent: deque[str] = deque(maxlen=_REMEMBERED)
        self._heartbeat: asyncio.Task[None] | None = None
        self._closing = False
        self._opened = asyncio.Event()
        # Both loops may find that the socket's rights have changed; one at a time puts its groups right.
        self._memberships = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Two long-lived loops instead of the stock one: a command that waits for the database delays no event."""
        self.scope = scope
        self.base_send = send
        self.channel_layer = get_channel_layer(self.channel_layer_alias)
        self.channel_name = await self.channel_layer.new_channel()
        try:
            async with asyncio.TaskGroup() as loops:
                forwarding = loops.create_task(self._forward_for_ever())
                try:
                    while True:
                        await self.dispatch(await receive())
                except StopConsumer:
                    forwarding.cancel()
        finally:
            await self._forget()

    async def _forget(self) -> None:
        """However it ended, nothing of the socket stays behind."""
        self._closing = True
        open_sockets.discard(self)
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        for name in list(self.joined):
            await self.channel_layer.group_discard(name, self.channel_name)
        if isinstance(self.channel_layer, HubChannelLayer):
            self.channel_layer.discard_channel(self.channel_name)

    async def _forward_for_ever(self) -> None:
        # What comes while the socket opens waits until it has been greeted and has seen its snapshot.
        await self._opened.wait()
        while True:
            message = await self.channel_layer.receive(self.channel_name)
            try:
                await self.dispatch(message)
            except DatabaseError as error:
                logger.warning("a socket is sent away, the database does not answer: %s", error)
                await self._close(CLOSE_TRY_AGAIN)

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
            self.identity = await in_thread(identify, self.scope)
            await self._prepare()
        except NotSignedIn as error:
            await self._refuse(error, CLOSE_NOT_SIGNED_IN)
        except DomainError as error:
            await self._refuse(error, CLOSE_NOT_PERMITTED)
        except DatabaseError:
            logger.warning("a socket was refused: no database")
            await self._close(CLOSE_TRY_AGAIN)
        else:
            open_sockets.add(self)
            await self._send_frame(await in_thread(self.established))
            await self.show()
            self._heartbeat = asyncio.create_task(self._beat())
            self._opened.set()

    async def _refuse(self, error: DomainError, code: int) -> None:
        await self._send_frame(error_frame(error))
        await self._close(code)

    async def prepare(self) -> None:
        """Joins the groups this socket is for. Raises DomainError where it may not be here."""
        raise NotImplementedError

    async def _prepare(self) -> None:
        async with self._memberships:
            await self.prepare()

    async def show(self) -> None:
        """Sends the state as it stands: on connect, and after anything may have been missed."""
        raise NotImplementedError

    def established(self) -> events.ConnectionEstablished:
        settings = commands.current_settings()
        return events.ConnectionEstablished(
            user_id=self.identity.user.pk,
            driver_id=self.driver_id,
            heartbeat_s=HEARTBEAT_S,
            position_trip_s=settings.position_trip_s,
            position_idle_s=settings.position_idle_s,
            cursor=outlet.cursor,
        )

    async def join(self, *names: str) -> None:
        for name in names:
            if name not in self.joined:
                self.joined.add(name)
                await self.channel_layer.group_add(name, self.channel_name)

    async def leave(self, *names: str) -> None:
        for name in names:
            if name in self.joined:
                self.joined.discard(name)
                await self.channel_layer.group_discard(name, self.channel_name)

    # Living

    async def _beat(self) -> None:
        """A frame at least every HEARTBEAT_S: proxies keep the connection, clients notice a half-open one."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self._send_frame(events.Heartbeat(cursor=outlet.cursor))

    async def _send_frame(self, frame: events.Frame) -> None:
        await self.send_text(events.encode(frame))

    async def send_text(self, text: str) -> None:
        if not self._closing:
            await self.send({"type": "websocket.send", "text": text})

    async def send(self, message: dict[str, Any]) -> None:
        """A client that left meanwhile is no fault; the server's disconnect message follows."""
        try:
            await super().send(message)
        except (Disconnected, OSError):
            self._closing = True

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

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        text = message.get("text")
        if self._closing:
            return
        if text is None:
            await self._send_error("message.invalid", _("Send text frames."))
            return
        if len(text) > MAX_FRAME_BYTES or len(text.encode()) > MAX_FRAME_BYTES:
            await self._send_error("frame.too_large", _("A frame is at most 64 KiB."))
            await self._close(CLOSE_TOO_LARGE)
            return
        command = await self._decode(text)
        if command is None:
            return
        try:
            await self.obey(command)
        except DomainError as error:
            await self._send_frame(error_frame(error, command.ref, self.identity.language))
        except DatabaseError as error:
            logger.warning("%s failed: %s", events.tag(command), error)
            await self._send_error("server.unavailable", _("Please try again in a moment."), command.ref)

    async def _decode(self, text: str) -> events.Command | None:
        """The command in a frame; None: the error has been sent."""
        try:
            return events.decode_command(text)
        except msgspec.ValidationError as error:
            kind, ref = _kind_and_ref(text)
            if kind in commands.NAMES:
                await self._send_error("message.invalid", str(error), ref)
            else:
                await self._send_error("message.unknown_type", _("There is no such message type."), ref)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            await self._send_error("json.malformed", _("This is not JSON."))
        return None

    async def _send_error(self, code: str, message: Any, ref: str | None = None) -> None:
        language = self.identity.language if hasattr(self, "identity") else "en"
        with override(language):
            await self._send_frame(events.Error(code=code, message=str(message), ref=ref))

    async def obey(self, command: events.Command) -> None:
        answer = await in_turn(commands.run, command, self.identity, self.driver_id)
        if answer is not None and command.ref is not None:
            await self._send_frame(answer)

    # From the layer

    async def event_logged(self, message: dict[str, Any]) -> None:
        if message["group"] not in self.joined:
            return  # it waited here while the socket lost its right to it
        if message["event"] == CONTROL:
            await self.recheck()
        elif message["id"] not in self._recent:
            self._recent.append(message["id"])
            await self.forward(message)

    async def forward(self, message: dict[str, Any]) -> None:
        raise NotImplementedError

    async def position_relayed(self, message: dict[str, Any]) -> None:
        if message["group"] in self.joined:
            await self.send_text(message["frame"])

    async def layer_resync(self, _message: dict[str, Any]) -> None:
        """The layer dropped something, or the bus was away."""
        await self.recheck()
        if not self._closing:
            await self.show()

    async def recheck(self) -> None:
        """Somebody's rights changed: is this still who it was, and may they still be here?"""
        identity = await in_thread(self.identity.renewed)
        if identity is None:
            await self._refuse(NotSignedIn("auth.required", _("Please sign in.")), CLOSE_NOT_SIGNED_IN)
            return
        # What is asked below is whether this user, with the rights they have now, may be here.
        self.identity = identity
        try:
            await self._prepare()
        except DomainError as error:
            await self._refuse(error, CLOSE_NOT_PERMITTED)


class ProgramConsumer(SocketConsumer):
    """`/ws/`: JSON for programs, by the contract of realtime.events."""

    def __init__(self) -> None:
        super().__init__()
        self._offers_wanted = True
        # Trips asked for by trip.subscribe, beyond the user's own unfinished ones.
        self._watched: set[int] = set()
        self._left: set[int] = set()

    async def prepare(self) -> None:
        member = await in_thread(commands.membership, self.identity.user, frozenset(self._watched))
        self.driver_id = member.driver_id
        self._watched &= member.trip_ids
        wanted = {groups.user(self.identity.user.pk)}
        wanted |= {groups.trip(pk) for pk in member.trip_ids - self._left}
        if member.driver_id is not None and self._offers_wanted:
            wanted.add(groups.driver(member.driver_id))
        if self.identity.user.is_staff:
            wanted.add(groups.STAFF)
        await self.leave(*(self.joined - wanted))
        await self.join(*sorted(wanted - self.joined))

    async def show(self) -> None:
        offers_of = self.driver_id if self._offers_wanted else None
        for frame in await in_thread(commands.snapshot, self.identity.user, offers_of, self._trip_ids()):
            if isinstance(frame, events.OfferCreated):
                self._recent.append(frame.id)
            await self._send_frame(frame)

    def _trip_ids(self) -> list[int]:
        return sorted(int(name.removeprefix("trip.")) for name in self.joined if name.startswith("trip."))

    async def recheck(self) -> None:
        before = set(self._trip_ids())
        await super().recheck()
        joined = sorted(set(self._trip_ids()) - before)
        if joined and not self._closing:
            for frame in await in_thread(commands.trip_snapshots, self.identity.user, joined):
                await self._send_frame(frame)

    async def forward(self, message: dict[str, Any]) -> None:
        await self.send_text(events.with_cursor(message["frame"], outlet.cursor))

    async def layer_resync(self, message: dict[str, Any]) -> None:
        await self._send_error("resync.required", _("Something may have been missed; here is the state as it stands."))
        await super().layer_resync(message)

    async def obey(self, command: events.Command) -> None:
        match command:
            case events.Ping():
                await self._send_frame(events.Heartbeat(cursor=outlet.cursor, ref=command.ref))
            case events.Resume():
                await self._resume(command)
            case events.TripSubscribe():
                await self._subscribe(command)
            case events.TripUnsubscribe():
                self._watched -= set(command.trip_ids)
                self._left |= set(command.trip_ids)
                await self.leave(*(groups.trip(pk) for pk in command.trip_ids))
                await self._acknowledge(command)
            case events.DriverSubscribe():
                self._offers_wanted = True
                await super().obey(command)
                await self._prepare()
                await self.show()
            case events.DriverUnsubscribe():
                self._offers_wanted = False
                await self._prepare()
                await self._acknowledge(command)
            case _:
                await super().obey(command)

    async def _acknowledge(self, command: events.Command) -> None:
        if command.ref is not None:
            await self._send_frame(events.Ack(ref=command.ref))

    async def _subscribe(self, command: events.TripSubscribe) -> None:
        trip_ids = set(command.trip_ids)
        await in_thread(commands.require_trips, self.identity.user, trip_ids)
        self._watched |= trip_ids
        self._left -= trip_ids
        await self.join(*(groups.trip(pk) for pk in sorted(trip_ids)))
        await self._acknowledge(command)
        for frame in await in_thread(commands.trip_snapshots, self.identity.user, sorted(trip_ids)):
            await self._send_frame(frame)

    async def _resume(self, command: events.Resume) -> None:
        rows = await in_thread(commands.missed_events, command.cursor, sorted(self.joined))
        if rows is None:
            await self._send_error(
                "resync.required", _("That is too long ago; here is the state as it stands."), command.ref
            )
            await self.show()
            return
        for row in rows:
            await self.send_text(events.with_cursor(row.frame, outlet.cursor))
        await self._acknowledge(command)


class PageConsumer(SocketConsumer):
    """A dashboard page: fragments rendered once per audience and event, a full snapshot after any reconnect."""

    audience: ClassVar[str]

    def subject(self) -> tuple[int, ...]:
        """What the page is about; with audience and language the key under which fragments are shared."""
        raise NotImplementedError

    async def show(self) -> None:
        await self._send_html(await fragment(self.audience, self.subject(), self.identity.language, None))

    async def forward(self, message: dict[str, Any]) -> None:
        await self._send_html(
            await fragment(self.audience, self.subject(), self.identity.language, (message["id"], message["frame"]))
        )

    async def _send_html(self, html: str) -> None:
        if html:
            await self.send_text(html)

    async def recheck(self) -> None:
        await super().recheck()
        if not self._closing:
            await self.show()

    async def obey(self, command: events.Command) -> None:
        if isinstance(command, events.Ping):
            await self._send_frame(events.Heartbeat(cursor=outlet.cursor, ref=command.ref))
        elif isinstance(command, (events.LocationUpdate, events.AvailabilityUpdate)):
            await super().obey(command)
        else:
            await self._send_error("message.unknown_type", _("A page does not send this."), command.ref)

    async def _set(self, wanted: Iterable[str]) -> None:
        wanted = set(wanted)
        await self.leave(*(self.joined - wanted))
        await self.join(*sorted(wanted - self.joined))


class DriverPageConsumer(PageConsumer):
    """`/ws/dashboard/driver/`."""

    audience = "driver"

    def subject(self) -> tuple[int, ...]:
        if self.driver_id is None:
            raise ValueError("asked before the driver was known")
        return (self.driver_id,)

    async def prepare(self) -> None:
        self.driver_id = (await in_thread(commands.membership, self.identity.user, frozenset())).driver_id
        if self.driver_id is None:
            raise NotPermitted("driver.not_a_driver", _("This page is for drivers."))
        await self._set({groups.user(self.identity.user.pk), groups.driver(self.driver_id)})


class TripPageConsumer(PageConsumer):
    """`/ws/dashboard/trips/<id>/`."""

    audience = "trip"

    def subject(self) -> tuple[int, ...]:
        return (self.trip_id, self.identity.user.pk)

    @property
    def trip_id(self) -> int:
        return int(self.scope["url_route"]["kwargs"]["trip_id"])

    async def prepare(self) -> None:
        await in_thread(commands.require_trips, self.identity.user, {self.trip_id})
        await self._set({groups.user(self.identity.user.pk), groups.trip(self.trip_id)})

    async def show(self) -> None:
        await super().show()
        await self._show_location()

    async def forward(self, message: dict[str, Any]) -> None:
        await super().forward(message)
        if message["event"] == "trip.offer.accepted":
            # The marker is there at once, not with the driver's next fix.
            await self._show_location()

    async def _show_location(self) -> None:
        location = await in_thread(commands.last_location, self.trip_id)
        if location is not None:
            await self._send_frame(location)


class TripListPageConsumer(PageConsumer):
    """`/ws/dashboard/trips/`: the user's own unfinished trips."""

    audience = "trips"

    def subject(self) -> tuple[int, ...]:
        return (self.identity.user.pk,)

    async def prepare(self) -> None:
        member = await in_thread(commands.membership, self.identity.user, frozenset())
        await self._set({groups.user(self.identity.user.pk)} | {groups.trip(pk) for pk in member.trip_ids})

    async def position_relayed(self, message: dict[str, Any]) -> None:
        """A list has no map."""


def error_frame(error: DomainError, ref: str | None = None, language: str = "en") -> events.Error:
    with override(language):
        return events.Error(
            code=error.code,
            message=str(error.message),
            ref=ref,
            fields={name: [str(one) for one in texts] for name, texts in error.fields.items()} or None,
            retry_after_s=error.retry_after_s if isinstance(error, TooManyRequests) else None,
        )


def _kind_and_ref(text: str) -> tuple[str, str | None]:
    """What little can be read of a frame that is no valid command, so that the error can say which it was."""
    try:
        frame = msgspec.json.decode(text)
    except RecursionError:
        return "", None
    if not isinstance(frame, dict):
        return "", None
    ref = frame.get("ref")
    return str(frame.get("type")), ref[:64] if isinstance(ref, str) else None
