"""What our protocols rely on of Daphne, Autobahn and Twisted and these do not promise; see `private_names`."""

from typing import Any

from autobahn.websocket.protocol import FrameHeader
from daphne import server
from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet.abstract import FileDescriptor
from twisted.web.http import HTTPChannel

from stepper.server.private_names import PrivateNames

PRIVATE_NAMES: PrivateNames = {
    WebSocketProtocol: (
        # Overridden.
        *("connectionMade", "dataReceived", "onFrameBegin", "serverClose"),
        # Read, set or called.
        *("STATE_OPEN", "current_frame", "data", "dropConnection", "failByDrop", "inside_message", "last_ping"),
        *("onMessage", "sendCloseFrame", "state", "transport"),
    ),
    FrameHeader: ("opcode",),
    WebSocketFactory: ("protocol",),
    Server: (
        # Overridden.
        *("create_application", "kill_all_applications"),
        # Read, set or called.
        *("application", "connections", "handle_reply", "listening_addresses"),
    ),
    HTTPFactory: ("buildProtocol", "timeOut"),
    HTTPChannel: (
        # Overridden.
        *("MAX_LENGTH", "_respondToBadRequestAndDisconnect", "allHeadersReceived", "connectionLost", "connectionMade"),
        *("dataReceived", "headerReceived", "lineLengthExceeded", "lineReceived", "loseConnection", "maxHeaders"),
        *("pauseProducing", "rawDataReceived", "requestDone", "requestFactory", "resumeProducing", "totalHeadersSize"),
        # Read, set or called.
        *("_command", "_dataBuffer", "_handlingRequest", "_networkProducer", "_path", "_receivedHeaderCount"),
        *(
            "_receivedHeaderSize",
            "_send100Continue",
            "_version",
            "_waitingForTransport",
            "callLater",
            "checkPersistence",
            "length",
        ),
        *("persistent", "requests", "transport"),
    ),
    FileDescriptor: ("_tempDataLen", "dataBuffer", "offset"),
    WebRequest: (
        # Overridden.
        *("finish", "gotLength", "handleContentChunk", "handle_reply", "process", "requestReceived"),
        # Read, set or called.
        *("application_queue", "basic_error", "channel", "client", "client_addr", "client_scheme", "clientproto"),
        *("content", "finished", "host", "isSecure", "method", "path", "query_string", "requestHeaders"),
        *("request_start", "server", "server_addr", "uri"),
    ),
}


class WebSocketState(WebSocketProtocol):
    """The state of Daphne's WebSocket protocol, which is Autobahn's, by names of ours."""

    # Whether the client reads what is written.
    is_writable = True

    @property
    def is_between_messages(self) -> bool:
        """Whether the connection is open and nothing of a message or a frame has come that is not handled."""
        return (
            self.state == self.STATE_OPEN and not self.data and self.current_frame is None and not self.inside_message
        )

    @property
    def is_continuation(self) -> bool:
        """Whether the frame that begins continues a message."""
        return bool(self.current_frame.opcode == 0)

    @property
    def is_frame_final(self) -> bool:
        """Whether the frame that begins is the last of its message."""
        return bool(self.current_frame.fin)

    @property
    def is_frame_unheard(self) -> bool:
        """Whether the frame that begins, which continues no message, reaches no consumer: ping, pong, after a close."""
        return self.current_frame.opcode > 7 or self.state != self.STATE_OPEN

    def write(self, wire: bytes) -> bool:
        """Write a frame as it goes over the wire; False where the client does not keep up. To nobody: True."""
        if not self.is_writable:
            return False
        if self.state == self.STATE_OPEN:
            self.transport.write(wire)
        return True

    def refuse_with_codes(self) -> None:
        """Have Autobahn say 1009 instead of hanging up when a frame exceeds the server's limit."""
        self.failByDrop = False

    def close_with_code(self, code: int) -> None:
        """Send a close frame with any code: Autobahn's `sendClose` refuses those that servers have a use for."""
        self.sendCloseFrame(code=code)

    def cut(self) -> None:
        self.dropConnection(abort=True)


class ChannelState(HTTPChannel):
    """The state of Twisted's HTTP protocol, by names of ours."""

    _dataBuffer: list[bytes]

    @property
    def head_bytes(self) -> int:
        """The length of the lines of the head that have come, the request's own among them."""
        return self._receivedHeaderSize

    @property
    def header_count(self) -> int:
        return self._receivedHeaderCount

    @property
    def request_line(self) -> tuple[bytes, bytes, bytes]:
        """Method, address and version of the request whose body is being read."""
        return self._command, self._path, self._version

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._handlingRequest

    @property
    def is_client_behind(self) -> bool:
        """Whether the client has not read what was written."""
        return self._waitingForTransport

    @property
    def unsent_bytes(self) -> int:
        """How much the client has not read; a whole response is written at once."""
        return len(self.transport.dataBuffer) - self.transport.offset + self.transport._tempDataLen

    def take_requests_ahead(self) -> bytes:
        """Take what has come of further requests while one is being answered."""
        ahead, self._dataBuffer = b"".join(self._dataBuffer), []
        return ahead

    def send_continue(self) -> None:
        """Tell a client that waits for it that it may send the body."""
        self._send100Continue()

    def stop_reading(self) -> None:
        self._networkProducer.pauseProducing()

    def read_on(self) -> None:
        self._networkProducer.resumeProducing()

    def read_for_ever(self) -> None:
        """Read on whatever is written or not."""
        self._networkProducer.resumeProducing()
        self._networkProducer.unregisterProducer()

    def refuse_request(self) -> None:
        """Answer a head that Twisted cannot read."""
        raise NotImplementedError

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse_request()


def install_protocols(websocket: type[WebSocketProtocol], http: type[HTTPFactory]) -> None:
    """Make all Daphne servers of this process use the protocols; there is no argument for them."""
    WebSocketFactory.protocol = websocket
    server.HTTPFactory = http


def set_application(running: Server, protocol: Any, application: Any) -> None:
    """Tell Daphne which task answers a request or a socket."""
    running.connections[protocol]["application_instance"] = application
