"""Daphne's WebSocket protocol as a `Connection`, with close codes that reach the client.

Autobahn's `sendClose` refuses the codes that servers have a use for (1009 too large, 1012 restart), and a frame over
the size limit drops the connection without a close frame, after which clients reconnect for ever. And Daphne writes
without limit to a client that does not read, so its transport is watched here.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import cached_property, partial
from typing import Any

from daphne.endpoints import build_endpoint_description_strings
from daphne.server import Server
from django.core.management.base import CommandError
from django.utils.module_loading import import_string
from twisted.internet import defer
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from stepper.server import lifespan, private_names
from stepper.server.daphne_http import LimitedHTTPFactory
from stepper.server.daphne_private import WebSocketState, install_protocols, set_application
from stepper.server.frames import Listener, Unheard, read_short_frames
from stepper.server.request_limits import READ_AHEAD_BYTES
from stepper.server.single_process import AlreadyRunning, claim_data_directory


@implementer(IPushProducer)
class CodedWebSocketProtocol(WebSocketState):
    """A connection that handles short frames by a call, and knows whether its client reads."""

    listener: Listener | None = None

    def onFrameBegin(self) -> None:  # noqa: N802 - Autobahn's name
        if self.is_continuation:
            is_too_many = self._unheard.is_one_part_too_many(is_last=self.is_frame_final)
        else:
            is_too_many = self.is_frame_unheard and self._unheard.is_one_too_many()
        if is_too_many:
            self.cut()
        else:
            super().onFrameBegin()

    @cached_property
    def _unheard(self) -> Unheard:
        return Unheard()

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        super().connectionMade()
        self.refuse_with_codes()
        # Until now the HTTP channel was told when the client did not read; from now on this protocol is.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        if self.listener is not None and self.is_between_messages:
            self.last_ping = time.time()  # it lives
            done = read_short_frames(data, self.listener, lambda body: self.onMessage(body, False))
            if done == len(data):
                return
            data = data[done:]
        super().dataReceived(data)

    def hang_up(self) -> None:
        self.transport.abortConnection()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.is_writable = False

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.is_writable = True

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.is_writable = True  # the client is gone, so writes have no effect

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 - Daphne's name
        self.close_with_code(code or 1000)


class ReadAhead(asyncio.Queue[dict[str, Any]]):
    """The messages of a socket that its consumer has not taken; while they are too many, nothing more is read."""

    def __init__(self, protocol: CodedWebSocketProtocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._size = 0
        self._is_paused = False

    def _put(self, item: dict[str, Any]) -> None:
        super()._put(item)
        self._size += _size(item)
        if self._size > READ_AHEAD_BYTES and not self._is_paused:
            self._is_paused = True
            self._protocol.transport.pauseProducing()

    def _get(self) -> dict[str, Any]:
        item: dict[str, Any] = super()._get()
        self._size -= _size(item)
        if self._is_paused and self._size <= READ_AHEAD_BYTES:
            self._is_paused = False
            self._protocol.transport.resumeProducing()
        return item


def _size(message: dict[str, Any]) -> int:
    # The overhead of each message counts as 256.
    return 256 + len(message.get("text") or message.get("bytes") or "")


class SocketServer(Server):
    """Daphne with a limit on the messages that wait for the application, and close codes when the server stops."""

    # Called when the server is told to stop, before its connections are ended.
    before_end: Callable[[], Awaitable[None]] | None = None

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if not private_names.USES_PRIVATE_NAMES:
            return super().create_application(protocol, scope)
        if scope["type"] == "websocket":
            scope["stepper.line"] = protocol
            queue = ReadAhead(protocol)
            self._run(protocol, scope, queue.get)
            return queue
        self._run(protocol, scope, protocol.body.receive)
        return protocol.body

    def _run(self, protocol: Any, scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        """Do what Daphne's `create_application` does, with a limit on the messages that wait for the application."""
        scope["asgi"] = {"version": "3.0"}
        answering = self.application(scope, receive, partial(self.handle_reply, protocol))
        set_application(self, protocol, asyncio.ensure_future(answering))

    def kill_all_applications(self) -> Any:
        """Call `before_end` first, because Daphne itself ends connections without a close code."""
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._end()))

    async def _end(self) -> None:
        if self.before_end is not None:
            await self.before_end()
        for details in self.connections.values():
            # The request is incomplete or already answered, but Daphne expects an application.
            details.setdefault("application_instance", asyncio.ensure_future(asyncio.sleep(0)))
        await super().kill_all_applications().asFuture(asyncio.get_running_loop())


def install() -> None:
    """Make Daphne servers of this process use our protocols, if private names may be used."""
    if private_names.USES_PRIVATE_NAMES:
        install_protocols(CodedWebSocketProtocol, LimitedHTTPFactory)


def serve(host: str, port: int, announce: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; lock the data directory if only one server may run.

    `announce` is called once it listens and its background work has started.

    Raises:
        CommandError: another server runs on the same data, or it could not start.
    """
    try:
        lock = claim_data_directory()
    except AlreadyRunning as error:
        raise CommandError(str(error)) from error
    install()
    # Kept so that the loop does not lose it.
    starting: list[asyncio.Task[None]] = []

    async def start() -> None:
        await lifespan.start()
        announce()

    def start_in_background() -> None:
        starting.append(asyncio.get_event_loop().create_task(start()))
        starting[0].add_done_callback(
            lambda task: running.stop() if not task.cancelled() and task.exception() else None
        )

    running = SocketServer(
        application=import_string("stepper.asgi.application"),
        endpoints=build_endpoint_description_strings(host=host, port=port),
        # Handshakes wait for a database thread: many clients that reconnect together must not be refused.
        websocket_handshake_timeout=30,
        ready_callable=start_in_background,
        server_name="stepper",
    )
    running.before_end = lifespan.stop
    running.run()
    if lock is not None:
        lock.close()
    if starting and starting[0].done():
        starting[0].result()
    if not running.listening_addresses:
        raise CommandError(f"Could not listen on {host}:{port}; is another server running there?")
