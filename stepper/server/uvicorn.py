"""uvicorn's WebSocket protocol as a `Line`; set up by `manage.py serve --server uvicorn`."""

import contextlib
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import CommandError
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from stepper.server.frames import Listener, Unheard, read_short_frames
from stepper.server.uvicorn_http import LimitedHttpToolsProtocol

# Above what the application refuses with a clear error.
MAX_SERVER_FRAME_BYTES = 1 << 20

# The library parses all that it is given before anybody can say that it is enough.
_PARSED_AT_ONCE = 4096
# How long a client that was refused may go on sending, for it to see why.
_READ_ON_S = 2.0


class LeanSansIOProtocol(WebSocketsSansIOProtocol):
    listener: Listener | None = None
    _unheard: Unheard | None = None
    # The library has refused what the client sends: it is read on for a moment, and thrown away.
    _is_refused = False

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["stepper.line"] = self  # type: ignore[typeddict-unknown-key]

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self.listener is not None and not self.conn.reader.buffer and not self.frames and not self.close_sent:
            done = read_short_frames(data, self.listener, self._queue)
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
        if not self._is_cut_off():
            super().handle_cont(event)

    def _is_cut_off(self) -> bool:
        """Count a frame that no consumer hears of; True: the connection is cut, or was before."""
        if self._unheard is None:
            self._unheard = Unheard()
        if self._unheard.is_one_too_many():
            self.transport.abort()
        return self.transport.is_closing()

    def send_receive_event_to_app(self) -> None:
        """A text that is no UTF-8 is the client's fault, not one of ours: uvicorn would log a traceback."""
        if self.close_sent and self._is_cut_off():
            self.frames = []
            return
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf8(b"".join(self.frames)):
            self.frames = []
            self.conn.send_close(1007)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def _queue(self, body: bytes) -> None:
        self.curr_msg_data_type = "text"
        self.frames = [body]
        self.send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Send the close frame, and close only when the client has or a moment later.

        uvicorn closes at once; where something of the client's is unread then, its system throws the frame away and the
        client sees an end without a reason.
        """
        if self.conn.close_sent is None:  # the handshake itself is wrong, which uvicorn does not expect
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.transport.close()
            return
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self._is_refused = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_READ_ON_S, self.transport.close)

    @property
    def is_writable(self) -> bool:
        return self.writable.is_set()

    def write(self, wire: bytes) -> bool:
        if not self.writable.is_set():
            return False
        if not self.disconnected and not self.close_sent and not self.transport.is_closing():
            self.transport.write(wire)
        return True

    def hang_up(self) -> None:
        self.transport.abort()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def serve(host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM; the application's lifespan does what `stepper.server.daphne.serve` does itself.

    Raises:
        CommandError: it could not start.
    """
    config = uvicorn.Config(
        "stepper.asgi:application",
        host=host,
        port=port,
        http=LimitedHttpToolsProtocol,
        ws=LeanSansIOProtocol,
        # What proxies say is read by the application: stepper.server.proxies.
        proxy_headers=False,
        timeout_keep_alive=settings.REQUEST_HEAD_S,
        # Compressing takes longer than sending, and memory for each socket.
        ws_per_message_deflate=False,
        ws_max_size=MAX_SERVER_FRAME_BYTES,
        lifespan="on",
        access_log=False,
        log_config=None,
        backlog=4096,
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):  # raised again when everything has ended in order
        server.run()
    if not server.started:
        raise CommandError(f"Could not start on {host}:{port}; the log says why.")
