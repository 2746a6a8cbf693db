"""Daphne's WebSocket protocol with close codes that reach the client.

Autobahn's `sendClose` refuses the codes that servers have a use for (1009 too large, 1012 restart), and a frame over
the size limit drops the connection without a close frame, after which clients reconnect for ever. And Daphne writes
without limit to a client that does not read: consumers find in their scope whether it does (`stepper.is_writable`) and
how to cut the line (`stepper.hang_up`).
"""

from typing import Any

from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


@implementer(IPushProducer)
class CodedWebSocketProtocol(WebSocketProtocol):
    is_writable = True

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        super().connectionMade()
        # Say 1009 instead of hanging up when a frame exceeds the server's limit.
        self.failByDrop = False
        # The HTTP channel was asked to pause until now, when the client did not read.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.is_writable = False

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.is_writable = True

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.is_writable = True  # nobody is there any more: writing comes to nothing

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 - Daphne's name
        self.sendCloseFrame(code=code or 1000)


class SocketServer(Server):
    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if scope["type"] == "websocket":
            scope["stepper.is_writable"] = lambda: protocol.is_writable
            scope["stepper.hang_up"] = protocol.transport.abortConnection
        return super().create_application(protocol, scope)


def install() -> None:
    """Makes Daphne servers of this process use it; there is no argument for it."""
    WebSocketFactory.protocol = CodedWebSocketProtocol
