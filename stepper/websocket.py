"""Daphne's WebSocket protocol with close codes that reach the client.

Autobahn's `sendClose` refuses the codes that servers have a use for (1009 too large, 1012 restart), and a frame over
the size limit drops the connection without a close frame, after which clients reconnect for ever.
"""

from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol


class CodedWebSocketProtocol(WebSocketProtocol):
    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        super().connectionMade()
        # Say 1009 instead of hanging up when a frame exceeds the server's limit.
        self.failByDrop = False

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 - Daphne's name
        self.sendCloseFrame(code=code or 1000)


def install() -> None:
    """Makes Daphne servers of this process use it; there is no argument for it."""
    WebSocketFactory.protocol = CodedWebSocketProtocol
