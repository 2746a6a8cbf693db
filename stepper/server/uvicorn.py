"""uvicorn's WebSocket protocol as a `Connection`; set up by `manage.py serve --server uvicorn`."""

import contextlib
import socket
from collections.abc import Callable
from functools import cached_property
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import CommandError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from stepper.server import private_names
from stepper.server.frames import Listener, Unheard, read_short_frames
from stepper.server.request_limits import REFUSAL_HEADERS
from stepper.server.single_process import AlreadyRunning, claim_data_directory
from stepper.server.uvicorn_http import LimitedHttpToolsProtocol
from stepper.server.uvicorn_private import WebSocketState

# Larger than the application's limit, so that the application can refuse with a clear error.
MAX_SERVER_FRAME_BYTES = 1 << 20

# The library parses all bytes it is given, so give it few: a check can then stop it between two calls.
_PARSED_AT_ONCE = 4096
# Time in which a refused client may go on sending, so that it gets the close frame.
_READ_ON_S = 5.0


class LeanSansIOProtocol(WebSocketState):
    """A connection that handles short frames by a call, and cuts a client that floods it with other frames."""

    listener: Listener | None = None
    # The library has refused a frame: what the client still sends is read for a moment and discarded.
    _is_refused = False

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["stepper.line"] = self  # type: ignore[typeddict-unknown-key]

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self.listener is not None and self.is_between_messages:
            done = read_short_frames(data, self.listener, self.receive_text)
            if done == len(data):
                return
            data = data[done:]
        for start in range(0, len(data), _PARSED_AT_ONCE):
            if self.transport.is_closing() or self._is_refused:
                return
            super().data_received(data[start : start + _PARSED_AT_ONCE])

    def handle_ping(self) -> None:
        if not self._is_cut_off():
            super().handle_ping()

    def handle_pong(self, event: Any) -> None:
        if not self._is_cut_off():
            super().handle_pong(event)

    def handle_cont(self, event: Any) -> None:
        if self._unheard.is_one_part_too_many(is_last=event.fin):
            self.transport.abort()
        if not self.transport.is_closing():
            super().handle_cont(event)

    @cached_property
    def _unheard(self) -> Unheard:
        return Unheard()

    def _is_cut_off(self) -> bool:
        """Count a frame that reaches no consumer; True: the connection is cut, or was before."""
        if self._unheard.is_one_too_many():
            self.transport.abort()
        return self.transport.is_closing()

    def send_receive_event_to_app(self) -> None:
        """Pass a message to the application, unless it is a text that is not UTF-8.

        That is the client's error, for which uvicorn would log a traceback.
        """
        if self.has_sent_close and self._is_cut_off():
            self.discard_message()
            return
        if not self.has_sent_close and (text := self.text_received) is not None and not _is_utf8(text):
            self.refuse_message(1007)
            return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Send the close frame, and close when the client has closed, or after _READ_ON_S.

        uvicorn closes immediately. If bytes of the client are unread then, the connection is reset and the client never
        gets the close frame.
        """
        close = self.close_frame
        if close is None:  # the handshake itself is wrong, which uvicorn does not expect
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + REFUSAL_HEADERS + b"\r\n")
            self.transport.close()
            return
        self.write_close_frame(close)
        self._is_refused = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.close_later(_READ_ON_S)

    def hang_up(self) -> None:
        self.transport.abort()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def protocols() -> tuple[type[HttpToolsProtocol], type[WebSocketsSansIOProtocol]]:
    """Return the protocols for HTTP and WebSockets: ours, or uvicorn's if private names must not be used."""
    if private_names.USES_PRIVATE_NAMES:
        return LimitedHttpToolsProtocol, LeanSansIOProtocol
    return HttpToolsProtocol, WebSocketsSansIOProtocol


class AnnouncingServer(uvicorn.Server):
    """uvicorn, which says when it listens."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


def serve(host: str, port: int, announce: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; the application's lifespan does what `stepper.server.daphne.serve` does itself.

    `announce` is called once it listens and its background work has started.

    Raises:
        CommandError: another server runs on the same data, or it could not start.
    """
    try:
        # The lifespan takes the lock for good, but could only have uvicorn log that another server has it.
        if (lock := claim_data_directory()) is not None:
            lock.close()
    except AlreadyRunning as error:
        raise CommandError(str(error)) from error
    http, ws = protocols()
    config = uvicorn.Config(
        "stepper.asgi:application",
        host=host,
        port=port,
        http=http,
        ws=ws,
        # The application reads the proxies' headers: stepper.server.proxies.
        proxy_headers=False,
        timeout_keep_alive=settings.REQUEST_HEAD_S,
        # Compressing takes longer than sending, and needs memory for each socket.
        ws_per_message_deflate=False,
        ws_max_size=MAX_SERVER_FRAME_BYTES,
        lifespan="on",
        access_log=False,
        log_config=None,
        backlog=4096,
        timeout_graceful_shutdown=10,
    )
    server = AnnouncingServer(config, announce)
    # uvicorn raises KeyboardInterrupt again after a regular end, and leaves by sys.exit where it could not start.
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        server.run()
    if not server.started:
        raise CommandError(f"Could not start on {host}:{port}; the log says why.")
