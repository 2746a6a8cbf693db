"""uvicorn's HTTP protocol with limits on the head of a request, its time, and clients that do not read their answer.

uvicorn itself has none of these: httptools keeps a header of any length, and a connection that sends nothing stays.
Limits of bodies are in `stepper.server.bodies`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from stepper.server.request_limits import (
    LINGER_BYTES,
    LINGER_S,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_LINE_BYTES,
    MAX_PIPELINED,
    REFUSAL_HEADERS,
)
from stepper.server.uvicorn_private import HttpState

_OF_A_BODY = (b"content-length", b"transfer-encoding")


class HeadRefused(Exception):
    """Stop the parser: the head is one too many, too large, or for a WebSocket with a body."""


class LimitedHttpToolsProtocol(HttpState):
    """A connection with limits on the size and time of heads, and on the time a client takes to read its answers."""

    transport: "LingeringTransport"  # type: ignore[assignment]

    def connection_made(self, transport: Any) -> None:
        super().connection_made(LingeringTransport(transport, self))  # type: ignore[arg-type]
        self._overdue: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        # Bytes fed to the parser since it last gave out a head or a part of a body.
        self._pending_bytes = 0
        self._head_bytes = 0
        self._is_in_head = False
        self._is_head_too_large = False
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timers()
        super().connection_lost(exc)
        self.transport.lost()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_lingering:
            self.transport.discard(data)
            return
        self._pending_bytes += len(data)
        super().data_received(data)
        # A header or a chunk's extension without an end; complete ones are counted in `on_header`.
        if self._pending_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._is_head_too_large = True
            self.send_400_response("")

    def handle_websocket_upgrade(self) -> None:
        self._pending_bytes = 0
        if not self.url.isascii():
            self.send_400_response("Not ASCII.")
            return
        self._cancel_timers()
        # WebSockets use the transport directly, without LingeringTransport.
        self.transport = self.transport.raw  # type: ignore[assignment]
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        self._is_in_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url), len(self.url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            return  # a trailer, which nobody reads; counted as what is pending
        super().on_header(name, value)
        size = len(name) + len(value) + 4
        self._count(size, size)

    def on_headers_complete(self) -> None:
        self._pending_bytes = 0
        self._is_in_head = False
        self._cancel_overdue()
        # uvicorn would wait for the body of a handshake for ever.
        if self.is_handshake and any(name in _OF_A_BODY for name, _value in self.headers):
            raise HeadRefused
        # Each message that the application receives makes uvicorn read on, so they would pile up without end.
        if self.requests_waiting >= MAX_PIPELINED:
            raise HeadRefused
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._pending_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._pending_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The next one may have been waiting already.
        if self.is_answered and not self.transport.is_closing():
            self._expect_head()

    def send_400_response(self, msg: str) -> None:
        self._cancel_timers()
        self.transport.is_unread = True
        status = 431 if self._is_head_too_large else 400
        self.transport.write(STATUS_LINE[status] + REFUSAL_HEADERS + b"\r\n")
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(settings.REQUEST_HEAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _count(self, size: int, line: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES or line > MAX_LINE_BYTES or len(self.headers) > MAX_HEADERS:
            self._is_head_too_large = True
            raise HeadRefused

    def _expect_head(self) -> None:
        """Close the connection unless the next head is complete within REQUEST_HEAD_S."""
        self._cancel_overdue()
        self._overdue = self.loop.call_later(settings.REQUEST_HEAD_S, self._end_silent)

    def _end_silent(self) -> None:
        self.transport.close()
        if self.transport.raw.get_write_buffer_size():
            self.transport.abort()  # nor does it read the last answer

    def _cancel_overdue(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _cancel_timers(self) -> None:
        self._cancel_overdue()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class LingeringTransport:
    """A transport whose `close` lets the last answer arrive: it closes one half, and discards input for LINGER_S.

    A client that does not read its answer is disconnected.
    """

    def __init__(self, raw: asyncio.Transport, protocol: LimitedHttpToolsProtocol) -> None:
        self.raw = raw
        self.is_lingering = False
        # Whether a part of a request has not been read yet.
        self.is_unread = False
        self.write: Callable[[bytes], None] = raw.write
        self.pause_reading = raw.pause_reading
        self.resume_reading = raw.resume_reading
        self.get_extra_info = raw.get_extra_info
        self._protocol = protocol
        self._discarded = 0
        self._timer: asyncio.TimerHandle | None = None

    def is_closing(self) -> bool:
        return self.is_lingering or self.raw.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        # Discard what the application still writes, for example the answer to an earlier request.
        self.write = self._drop
        if not self.is_unread and not self._protocol.is_body_incomplete:
            self.raw.close()
            self._abort_after(settings.REQUEST_HEAD_S)
            return
        self.is_lingering = True
        try:
            self.raw.write_eof()
        except OSError:  # the client has gone
            self.raw.abort()
            return
        self._protocol.read_on()
        self._abort_after(LINGER_S)

    def _drop(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        # The application learns it a moment later; until then its writes must not raise.
        self.write = self._drop
        self.raw.abort()

    def discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self.raw.abort()

    def lost(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _abort_after(self, seconds: float) -> None:
        self._timer = self._protocol.loop.call_later(seconds, self.raw.abort)
