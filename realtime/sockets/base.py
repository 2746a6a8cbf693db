"""The sockets: opening, commands, closing. Domain verbs run the commands; forwarding.py sends the layer's messages.

`/ws/` speaks JSON to programs; the dashboards' sockets send HTML fragments and, for scripts (positions, clock,
errors), the same JSON frames. Close codes are in docs/protocol.md.
"""

import asyncio
import itertools
import logging
import time
from typing import Any

from channels.exceptions import StopConsumer
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from drivers.positions.buffer import buffer
from realtime import events
from realtime.auth import accepted_subprotocol
from realtime.outbox import NOTHING_TO_DRAW, PERMISSIONS_REFRESH, publisher
from realtime.sockets import commands, decoding
from realtime.sockets.close_codes import (
    CLOSE_FAULT,
    CLOSE_IDLE,
    CLOSE_NOT_PERMITTED,
    CLOSE_NOT_SIGNED_IN,
    CLOSE_RESTART,
    CLOSE_TOO_MANY_FRAMES,
    CLOSE_TOO_MANY_SOCKETS,
    CLOSE_TRY_AGAIN,
)
from realtime.sockets.counted import CountedSocket
from realtime.sockets.counts import AccountSockets
from realtime.sockets.errors import error_frame
from realtime.sockets.forwarding import ForwardingConsumer
from stepper.accounts.session_store import is_touch_due, keep_session_of_staff
from stepper.db.clock import database_now
from stepper.db.transactions import run_in_thread
from stepper.errors import DomainError, NotSignedIn, TooManyRequests
from stepper.monitoring import log_ids
from stepper.monitoring.figures import traffic
from stepper.server.admission import REFUSED_PAUSE_S, Client, run_admitted
from stepper.server.frames import SHORT_FRAME_BYTES
from stepper.token_bucket import TokenBucket

logger = logging.getLogger("stepper.sockets")

HEARTBEAT_S = 30

_REFRESH: dict[str, Any] = {
    "type": "event.logged",
    "group": "",
    "id": "",
    "event": PERMISSIONS_REFRESH,
    "frame": NOTHING_TO_DRAW,
}
_KEPT_OF_SCOPE = ("type", "path", "url_route")

open_sockets: set["SocketConsumer"] = set()
_turns = itertools.count()
# Commands that clients send without anybody's doing.
_OF_ITSELF = (events.Ping, events.Resume, events.LocationUpdate, events.OpsView)
# Error code of a refused socket -> its close code; all others are closed with 4403.
_REFUSED_WITH = {
    "socket.too_many": CLOSE_TOO_MANY_SOCKETS,
    "socket.too_many_opening": CLOSE_TRY_AGAIN,
    "rate.limited": CLOSE_TOO_MANY_FRAMES,
}


class SocketConsumer(ForwardingConsumer):
    """A socket with its client: opening, commands, heartbeats, closing. Subclasses say which commands it runs."""

    # Counts the socket; set by `__call__`.
    _counted: CountedSocket

    def __init__(self) -> None:
        super().__init__()
        # The state that the user's sockets in this process share; None until this socket is signed in.
        self._account: AccountSockets | None = None
        # Limits the client's frames. `filled_at` is also the time of the client's last frame.
        self._bucket = TokenBucket(settings.SOCKET_BURST, settings.SOCKET_RATE, time.monotonic())
        # The second of the heartbeat's period in which this socket gets its heartbeat.
        self.turn = next(_turns) % HEARTBEAT_S

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle the client's messages one after another; events are forwarded meanwhile."""
        self.scope = scope
        self._counted = CountedSocket(scope)
        await self._attach(send, scope.get("stepper.line"))
        self._begin_log_ids()
        try:
            while True:
                await self._handle(await receive())
        except StopConsumer:
            pass
        finally:
            await self._end()

    async def _handle(self, message: dict[str, Any]) -> None:
        """Handle a message; an unexpected error closes the socket with a code of ours: the servers' codes differ."""
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

    async def _end(self) -> None:
        """Remove the socket from everything that refers to it, however it ended."""
        if self._connection is not None:
            self._connection.listener = None
        open_sockets.discard(self)
        self._account = None
        self._counted.end()
        await self._detach()

    # Opening

    async def websocket_connect(self, _message: dict[str, Any]) -> None:
        """Open the socket, accepting first: only an open socket can be closed with a code that a browser sees."""
        await self.send({"type": "websocket.accept", "subprotocol": accepted_subprotocol(self.scope)})
        try:
            self._counted.require_room()
            await self.identify()
            await self._prepare()
            open_sockets.add(self)
            await self._send_frame(await run_in_thread(self.established))
            await self.show()
        except NotSignedIn as error:
            await self._refuse(error, CLOSE_NOT_SIGNED_IN)
        except DomainError as error:
            if isinstance(error, TooManyRequests):
                await asyncio.sleep(REFUSED_PAUSE_S)
            await self._refuse(error, _REFUSED_WITH.get(error.code, CLOSE_NOT_PERMITTED))
        except DatabaseError as error:
            logger.warning("a socket was refused, the database does not answer: %s", error)
            await self._close(CLOSE_TRY_AGAIN)
        else:
            self._open()

    async def identify(self) -> None:
        """Find out who opens the socket and count it for them. Raises DomainError."""
        self.identity = await run_in_thread(commands.identify_and_count, self.scope)
        self._account = await self._counted.sign_in(self.identity.user.pk)

    def _open(self) -> None:
        """Start forwarding, beginning with messages that came while the greeting and the state were sent."""
        self._bucket.filled_at = time.monotonic()
        # Free the headers and the rest of the scope, which would stay in memory as long as the socket.
        self.scope = {key: self.scope[key] for key in _KEPT_OF_SCOPE if key in self.scope}
        if self._connection is not None:
            self._connection.listener = self.receive_now
        self._go_on()

    @property
    def user_id(self) -> int | None:
        """Whose socket it is, as it tells its client; None: of nobody with an account."""
        return self.identity.user.pk

    def established(self) -> events.ConnectionEstablished:
        """Return the greeting, and load the facts that the driver's positions need. Reads the database."""
        settings = commands.current_settings()
        if self.driver_id is not None:
            buffer.load_facts(self.driver_id, settings)
        return events.ConnectionEstablished(
            user_id=self.user_id,
            driver_id=self.driver_id,
            server_time=database_now(),
            heartbeat_s=HEARTBEAT_S,
            position_trip_s=settings.position_trip_s,
            position_idle_s=settings.position_idle_s,
            cursor=publisher.cursor,
        )

    # Heartbeats

    def beat(self, frame: str) -> None:
        """Send a heartbeat, one at least every HEARTBEAT_S; close a socket that was silent for SOCKET_IDLE_S.

        Because of heartbeats proxies keep the connection open, and clients notice a broken one.
        """
        if time.monotonic() - self._bucket.filled_at > settings.SOCKET_IDLE_S:
            # In the background: a client that does not read delays the close, which must not delay other heartbeats.
            self._writer.close_in_background(CLOSE_IDLE)
            return
        if self._is_open and self.identity.expires_at <= timezone.now() and self._mailbox is not None:
            # No event is published when a session expires, so refresh the permissions here.
            self._mailbox.put(_REFRESH)
        elif self._is_open and self._working is None:
            self._send_now(frame)  # if messages wait, they serve as a heartbeat

    async def restart(self) -> None:
        """Close the socket because the server stops, with a code that makes clients reconnect."""
        await self._close(CLOSE_RESTART)

    async def websocket_disconnect(self, _message: dict[str, Any]) -> None:
        raise StopConsumer

    # Commands

    def receive_now(self, text: str | None) -> bool:
        """Handle a driver's position that needs neither database nor answer; False: `websocket_receive` must do it."""
        if (
            text is None
            or self.driver_id is None
            or len(text) > SHORT_FRAME_BYTES
            or self._writer.is_closing
            or not self._is_open
        ):
            return False
        now = time.monotonic()
        bucket = self._bucket
        tokens = bucket.count(now)
        if tokens < 1:
            return False
        try:
            command = events.decode_command(text)
        except decoding.UNREADABLE:
            return False
        if type(command) is not events.LocationUpdate or command.ref is not None:
            return False
        # A single socket of an account is limited by its own bucket.
        account = self._account
        if account is not None and account.sockets > 1 and not account.take_position(now):
            return False
        if buffer.report_now(self.driver_id, command.points) is None:
            return False
        # Spend the token only now: `websocket_receive` counts the frames that it handles.
        bucket.tokens, bucket.filled_at = tokens - 1, now
        traffic.frames_received += 1
        return True

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        """Run the command in a frame, or answer with an error."""
        traffic.frames_received += 1
        if self._closing:
            return
        try:
            command = decoding.receive_command(message.get("text"), self._bucket)
        except decoding.TooManyFrames:
            await self._close(CLOSE_TOO_MANY_FRAMES)
            return
        except decoding.RefusedFrame as refused:
            await self._send_frame(error_frame(refused.error, refused.ref, self._language))
            if refused.close_code is not None:
                await self._close(refused.close_code)
            return
        self._begin_log_ids()
        # What the command is about, as far as it says.
        log_ids.note(trip_id=getattr(command, "trip_id", None), offer_id=getattr(command, "offer_id", None))
        try:
            if self._account is not None:
                self._account.require_allowed(command)
                await self._keep_session(command)
            await self.obey(command)
        except DomainError as error:
            await self._send_frame(error_frame(error, command.ref, self.identity.language))
        except (OperationalError, InterfaceError) as error:
            logger.warning("%s failed: %s", events.tag(command), error)
            await self._send_error("server.unavailable", _("Please try again in a moment."), command.ref)
        except DatabaseError:  # a repeated try would fail as well
            logger.exception("%s failed", events.tag(command))
            await self._send_error("server.error", _("Something went wrong on our side."), command.ref)

    async def _keep_session(self, command: events.Command) -> None:
        """Keep staff's session alive by what somebody has a socket do, not by what it does of itself."""
        if self.user_id is None or isinstance(command, _OF_ITSELF) or not self.identity.user.is_staff:
            return
        if is_touch_due(self.identity.session_key):
            await run_in_thread(keep_session_of_staff, self.identity.session_key)

    @property
    def _language(self) -> str:
        return self.identity.language if hasattr(self, "identity") else "en"

    async def _refuse(self, error: DomainError, code: int) -> None:
        await self._send_frame(error_frame(error, None, self._language))
        await self._close(code)

    async def _send_error(self, code: str, message: Any, ref: str | None = None) -> None:
        with override(self._language):
            await self._send_frame(events.Error(code=code, message=str(message), ref=ref))

    async def obey(self, command: events.Command) -> None:
        """Run a command as the signed-in user; answer if it has a `ref`. Raises DomainError."""
        answer = await run_admitted(
            commands.run,
            command,
            self.identity,
            self.driver_id,
            client=Client(f"account {self.identity.user.pk}", "sockets"),
        )
        if answer is not None and command.ref is not None:
            await self._send_frame(answer)
