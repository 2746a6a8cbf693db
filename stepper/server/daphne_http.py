"""Daphne's HTTP with limits on the head of a request and its time, and with bodies passed on as they arrive.

Daphne itself stores a body of any size on disk, and Twisted parses forms in it, before the application hears of the
request; a header `Daphne-Root-Path` of the client sets the root path. Here the application gets the request once its
head is there, and reading pauses while it is busy, as with uvicorn. What concerns bodies is in `stepper.server.bodies`.
"""

import asyncio
import time
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.utils import HEADER_NAME_RE, INVALID_HEADER_VALUE_BYTES
from django.conf import settings

from stepper.server.daphne_private import ChannelState
from stepper.server.request_limits import (
    LENGTH_DIGITS,
    LINGER_BYTES,
    LINGER_S,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_LINE_BYTES,
    NOSNIFF,
    READ_AHEAD_BYTES,
    REFUSAL_HEADERS,
)


class LimitedChannel(ChannelState):
    """A connection. `timeOut` of Twisted's starts anew with every byte, so it is not used."""

    maxHeaders = MAX_HEADERS
    totalHeadersSize = MAX_HEAD_BYTES
    MAX_LENGTH = MAX_LINE_BYTES

    def __init__(self) -> None:
        super().__init__()
        self._overdue: Any = None
        self._unread: Any = None
        self._end: Any = None
        self._is_lingering = False
        self._discarded = 0
        # Requests sent ahead.
        self._held = b""
        # Something of a request is still on its way.
        self.is_unread = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self._expect_head()

    def connectionLost(self, reason: Any) -> None:
        for name in ("_overdue", "_unread", "_end"):
            self._cancel(name)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if not self._is_lingering:
            super().dataReceived(data)
            return
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self.transport.abortConnection()

    def rawDataReceived(self, data: bytes) -> None:
        if not self._is_lingering:
            super().rawDataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if self._is_lingering:
            return
        if self.head_bytes + len(line) > self.totalHeadersSize:
            self._refuse_head()
            return
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse_head()

    def headerReceived(self, line: bytes) -> bool:
        if self._is_lingering:
            return False
        if self.header_count >= self.maxHeaders:
            self._refuse_head()
            return False
        name, _colon, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > LENGTH_DIGITS:
            self.refuse_request()
            return False
        # Twisted passes over "identity", also after "chunked": a proxy may end that body elsewhere (RFC 9112, 6.3).
        if name.lower() == b"transfer-encoding" and value.strip().lower() != b"chunked":
            self.refuse_request()
            return False
        return bool(super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        """Begin the body without Twisted's "100 Continue": whether the client shall send it, the application says."""
        self._cancel("_overdue")
        request = self.requests[-1]
        self.persistent = self.checkPersistence(request, self.request_line[2])
        request.gotLength(self.length)

    def requestDone(self, request: Any) -> None:
        if self.persistent and self.is_client_behind:
            # The next answer is for a client that has read this one: both would have to be kept.
            self._held = self.take_requests_ahead()
            self.stop_reading()
        elif self.persistent:
            self._expect_head()
        super().requestDone(request)

    def loseConnection(self) -> None:
        """Close so that the last answer arrives: half, and what the client still sends is thrown away for a moment."""
        if self._is_lingering:
            return
        if not self.is_unread:
            super().loseConnection()
            if self.unsent_bytes and self._unread is None:
                self._watch_reader(self.unsent_bytes)
            return
        self._is_lingering = True
        self.read_for_ever()
        self.transport.loseWriteConnection()
        self._end = self.callLater(LINGER_S, self.transport.abortConnection)

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self._watch_reader(self.unsent_bytes)

    def resumeProducing(self) -> None:
        self._cancel("_unread")
        super().resumeProducing()
        if not self.is_busy and self._overdue is None:
            self._expect_head()
        held, self._held = self._held, b""
        if held:
            self.dataReceived(held)

    def refuse_request(self) -> None:
        self._refuse(b"400 Bad Request")

    def _refuse_head(self) -> None:
        self._refuse(b"431 Request Header Fields Too Large")

    def _refuse(self, status: bytes) -> None:
        self._cancel("_overdue")
        self.transport.write(b"HTTP/1.1 " + status + b"\r\n" + REFUSAL_HEADERS + b"\r\n")
        self.is_unread = True
        self.loseConnection()

    def _expect_head(self) -> None:
        """Close the connection unless the next head is complete in time, however it trickles in."""
        self._cancel("_overdue")
        self._overdue = self.callLater(settings.REQUEST_HEAD_S, self._end_silent)

    def _end_silent(self) -> None:
        self._overdue = None
        self.loseConnection()

    def _watch_reader(self, unsent: int) -> None:
        """Cut the client off unless some of `unsent` bytes is read in time."""
        self._cancel("_unread")
        self._unread = self.callLater(settings.REQUEST_HEAD_S, self._check_reader, unsent)

    def _check_reader(self, unsent: int) -> None:
        self._unread = None
        if self.unsent_bytes < unsent:
            self._watch_reader(self.unsent_bytes)
        else:
            self.transport.abortConnection()

    def _cancel(self, name: str) -> None:
        call = getattr(self, name)
        if call is not None and call.active():
            call.cancel()
        setattr(self, name, None)


class Body:
    """What has arrived of a request's body and the application has not asked for; its `receive`."""

    def __init__(self, channel: Any, wants_continue: bool) -> None:
        self._channel = channel
        self._wants_continue = wants_continue
        self._data = bytearray()
        self._is_paused = False
        self._is_changed = asyncio.Event()
        self._is_disconnected = False
        self.is_complete = False

    def feed(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > READ_AHEAD_BYTES:
            self._is_paused = True
            self._channel.stop_reading()
        self._is_changed.set()

    def complete(self) -> None:
        self.is_complete = True
        self._is_changed.set()

    def put_nowait(self, message: dict[str, Any]) -> None:
        """Take the disconnect, the only message that Daphne still sends."""
        self._is_disconnected = True
        self._is_changed.set()

    async def receive(self) -> dict[str, Any]:
        if self._wants_continue and not self._is_disconnected:
            self._wants_continue = False
            self._channel.send_continue()
        if self._is_paused and not self._is_disconnected:
            self._is_paused = False
            self._channel.read_on()
        if not self._is_disconnected:
            await self._is_changed.wait()
            self._is_changed.clear()
        if self._is_disconnected:
            return {"type": "http.disconnect"}
        body, self._data = bytes(self._data), bytearray()
        return {"type": "http.request", "body": body, "more_body": not self.is_complete}


class StreamedRequest(WebRequest):
    body: Body
    _has_begun = False

    def gotLength(self, length: int | None) -> None:
        """Hand the request to the application once the head is there. None: the body comes in chunks."""
        self.content = BytesIO()  # of no use but to Twisted
        expects = self.requestHeaders.getRawHeaders(b"Expect", [b""])[0].lower()
        channel = self.channel
        command, path, version = channel.request_line
        self.body = Body(channel, expects == b"100-continue" and length != 0 and version == b"HTTP/1.1")
        if length != 0:
            self._begin(command, path, version)

    def handleContentChunk(self, data: bytes) -> None:
        self.body.feed(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self.body.complete()
        if not self._has_begun:
            self._begin(command, path, version)

    def _begin(self, command: bytes, uri: bytes, version: bytes) -> None:
        self._has_begun = True
        self.method, self.uri, self.clientproto = command, uri, version
        self.path, _mark, self.query_string = uri.partition(b"?")
        self.request_start = time.time()
        fault = self._fault()
        if fault:
            self.path = b"/"
            self.basic_error(400, b"Bad Request", fault)
        elif self._is_websocket():
            self.channel._cancel("_unread")
            self.process()
        else:
            self._run()

    def _is_websocket(self) -> bool:
        return self.requestHeaders.getRawHeaders(b"Upgrade", [b""])[0].lower() == b"websocket"

    def _fault(self) -> str | None:
        for name, values in self.requestHeaders.getAllRawHeaders():
            if not HEADER_NAME_RE.fullmatch(name):
                return "Invalid header name"
            if any(INVALID_HEADER_VALUE_BYTES.intersection(value) for value in values):
                return "Invalid header value"
        if not self.uri.isascii():
            return "Invalid characters in path"
        if self._is_websocket():
            if not self.body.is_complete:
                return "A handshake has no body"
            protocols = self.requestHeaders.getRawHeaders(b"Sec-WebSocket-Protocol", [])
            if not all(value.isascii() for value in protocols):
                return "Invalid header value"
        return None

    def _run(self) -> None:
        """Do what `WebRequest.process` does for HTTP, without its root path from a header and its stored body."""
        if hasattr(self.client, "host") and hasattr(self.client, "port"):
            self.client_addr = [str(self.client.host), self.client.port]
            self.server_addr = [str(self.host.host), self.host.port]
        self.client_scheme = "https" if self.isSecure() else "http"
        headers = [(name.lower(), value) for name, values in self.requestHeaders.getAllRawHeaders() for value in values]
        self.application_queue = self.body
        self.server.create_application(
            self,
            {
                "type": "http",
                "http_version": self.clientproto.split(b"/")[-1].decode("ascii"),
                "method": self.method.decode("ascii"),
                "path": unquote(self.path.decode("ascii")),
                "raw_path": self.path,
                "root_path": "",
                "scheme": self.client_scheme,
                "query_string": self.query_string,
                "headers": headers,
                "client": self.client_addr,
                "server": self.server_addr,
            },
        )

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and not self.finished and self.channel is not None:
            # The application sets it; an error of Daphne's own has it from here.
            self.setHeader(*NOSNIFF)
            for name, value in message.get("headers", ()):
                if name.lower() == NOSNIFF[0]:
                    self.responseHeaders.removeHeader(name)
                if name.lower() == b"connection" and value.lower() == b"close":
                    self.channel.persistent = False
        super().handle_reply(message)

    def finish(self) -> None:
        if not self.body.is_complete:
            self.channel.persistent = False
            self.channel.is_unread = True
        super().finish()


class LimitedHTTPFactory(HTTPFactory):
    protocol = LimitedChannel

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.timeOut = None

    def buildProtocol(self, addr: Any) -> Any:
        channel = super().buildProtocol(addr)
        channel.requestFactory = StreamedRequest
        return channel
