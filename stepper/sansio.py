"""uvicorn's WebSocket protocol as a `Line`; set up by `manage.py serve --server uvicorn`."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .lines import Listener, taken


class LeanSansIOProtocol(WebSocketsSansIOProtocol):
    listener: Listener | None = None

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["stepper.line"] = self  # type: ignore[typeddict-unknown-key]

    def data_received(self, data: bytes) -> None:
        if self.listener is not None and not self.conn.reader.buffer and not self.frames and not self.close_sent:
            done = taken(data, self.listener, self._queue)
            if done == len(data):
                return
            data = data[done:]
        super().data_received(data)

    def _queue(self, body: bytes) -> None:
        self.curr_msg_data_type = "text"
        self.frames = [body]
        self.send_receive_event_to_app()

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
