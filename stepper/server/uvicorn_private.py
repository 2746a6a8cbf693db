"""What our protocols rely on of uvicorn and websockets and these do not promise; see `stepper.server.private_names`."""

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Close
from websockets.protocol import Protocol
from websockets.streams import StreamReader

from stepper.server.private_names import PrivateNames

PRIVATE_NAMES: PrivateNames = {
    WebSocketsSansIOProtocol: (
        # Overridden.
        *("handle_connect", "handle_ping", "handle_pong", "handle_cont", "handle_parser_exception"),
        *("send_receive_event_to_app", "data_received"),
        # Read or set.
        *("close_sent", "close_timer", "conn", "curr_msg_data_type", "disconnected", "frames", "loop", "queue"),
        *("scope", "transport", "writable"),
    ),
    Protocol: ("close_sent", "data_to_send", "reader", "send_close"),
    StreamReader: ("buffer",),
    HttpToolsProtocol: (
        # Overridden.
        *("connection_lost", "connection_made", "data_received", "handle_websocket_upgrade"),
        *("on_body", "on_header", "on_headers_complete", "on_message_begin", "on_message_complete"),
        *("on_response_complete", "on_url", "pause_writing", "resume_writing", "send_400_response"),
        # Read or set.
        *("_get_upgrade", "cycle", "flow", "headers", "loop", "pipeline", "transport", "url"),
    ),
    RequestResponseCycle: ("more_body", "response_complete"),
    FlowControl: ("resume_reading",),
}


class WebSocketState(WebSocketsSansIOProtocol):
    """The state of uvicorn's WebSocket protocol, by names of ours."""

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing of a message or a frame has come that is not handled, and no close frame was sent."""
        return not self.conn.reader.buffer and not self.frames and not self.close_sent

    @property
    def has_sent_close(self) -> bool:
        return self.close_sent

    @property
    def is_writable(self) -> bool:
        return self.writable.is_set()

    def write(self, wire: bytes) -> bool:
        """Write a frame as it goes over the wire; False where the client does not keep up. To nobody: True."""
        if not self.writable.is_set():
            return False
        if not self.disconnected and not self.close_sent and not self.transport.is_closing():
            self.transport.write(wire)
        return True

    @property
    def text_received(self) -> bytes | None:
        """The text message that has come; None: it is a binary one."""
        return b"".join(self.frames) if self.curr_msg_data_type == "text" else None

    def receive_text(self, body: bytes) -> None:
        """Hand a text message to the application, as if it had come in one frame."""
        self.curr_msg_data_type = "text"
        self.frames = [body]
        self.send_receive_event_to_app()

    def discard_message(self) -> None:
        self.frames = []

    def refuse_message(self, code: int) -> None:
        """End the connection with a close code, as the library does for what it cannot parse."""
        self.frames = []
        self.conn.send_close(code)
        self.handle_parser_exception()

    @property
    def close_frame(self) -> Close | None:
        """The close frame that the library has made; None: it refused before there were frames."""
        return self.conn.close_sent

    def write_close_frame(self, close: Close) -> None:
        """Write the close frame, and tell the application that the client has gone."""
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True

    def close_later(self, seconds: float) -> None:
        """Close the transport after so long, and not already when the application has ended."""
        self.close_timer = self.loop.call_later(seconds, self.transport.close)


class HttpState(HttpToolsProtocol):
    """The state of uvicorn's HTTP protocol, by names of ours."""

    @property
    def is_handshake(self) -> bool:
        """Whether the head that is being read asks for a WebSocket."""
        return self._get_upgrade() == b"websocket"

    @property
    def requests_waiting(self) -> int:
        """How many requests were sent ahead."""
        return len(self.pipeline)

    @property
    def is_body_incomplete(self) -> bool:
        """Whether something of the body of the request that is answered is still on its way."""
        return self.cycle is not None and self.cycle.more_body

    @property
    def is_answered(self) -> bool:
        return self.cycle.response_complete

    def read_on(self) -> None:
        """Read again, where reading was paused because the application was busy."""
        self.flow.resume_reading()
