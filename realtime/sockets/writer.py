"""Writing to one client: immediately if it reads, else after a wait; a client that does not read is disconnected."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from autobahn.exception import Disconnected
from django.conf import settings

from realtime.layer.mailbox import Mailbox
from realtime.sockets.close_codes import CLOSE_SLOW
from stepper.monitoring.figures import traffic
from stepper.server.frames import Connection, encode_text_frame

# Interval of asking a connection whether it is writable, as it has no event for it.
_WRITABLE_POLL_S = 0.05
# Time that a client which does not read has to read its close frame.
_LAST_WORD_S = 2.0

_ending: set[asyncio.Task[None]] = set()


class SocketWriter:
    """The client's side of a socket: its connection, and whether the socket is being closed."""

    __slots__ = ("_mailbox", "_send", "connection", "is_closing")

    def __init__(self, send: Any, connection: Connection | None, mailbox: Mailbox) -> None:
        """`send` is the server's; `connection` None: a server that accepts frames only by its `send`."""
        self._send = send
        self.connection = connection
        self._mailbox = mailbox
        self.is_closing = False

    def write_now(self, text: str) -> bool:
        """Write a frame without waiting; True: written, or the client is gone; False: it would have to wait."""
        if self.connection is not None:
            is_written = self.connection.write(encode_text_frame(text.encode()))
            traffic.frames_sent += is_written
            return is_written
        sending = self._send({"type": "websocket.send", "text": text})
        try:
            # A server's `send` waits only for the client's buffer, before it does anything, so one step is enough.
            sending.send(None)
        except StopIteration:
            traffic.frames_sent += 1
            return True
        except (Disconnected, OSError):
            self.is_closing = True
            return True
        sending.close()
        return False

    async def write(self, text: str) -> None:
        """Write a frame, unless the socket is being closed."""
        if not self.is_closing:
            await self.send({"type": "websocket.send", "text": text})

    async def send(self, message: dict[str, Any]) -> None:
        """Send an ASGI message; wait at most SOCKET_SLOW_S for the client to read.

        If the client has left, nothing is raised; the server's disconnect message follows.
        """
        if message["type"] == "websocket.send" and self.write_now(message["text"]):
            return
        self._mailbox.stall(True)
        try:
            async with asyncio.timeout(settings.SOCKET_SLOW_S):
                while self.connection is not None and not self.connection.is_writable:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(_WRITABLE_POLL_S)
                await self._send(message)
                traffic.frames_sent += message["type"] == "websocket.send"
        except TimeoutError:
            self._abandon()
        except (Disconnected, OSError):
            self.is_closing = True
        finally:
            self._mailbox.stall(False)

    async def close(self, code: int) -> None:
        """Close the socket with a code; do nothing if it is being closed already."""
        if not self.is_closing:
            self.is_closing = True
            await self.send({"type": "websocket.close", "code": code})

    def close_in_background(self, code: int) -> None:
        """Close the socket without waiting for a client that does not read."""
        _run_in_background(self.close(code))

    def _abandon(self) -> None:
        """Close the socket of a client that does not read, and cut the connection after _LAST_WORD_S."""
        self.is_closing = True
        hang_up = self.connection.hang_up if self.connection is not None else _uvicorn_hang_up(self._send)
        _run_in_background(_close_and_cut(self._send, hang_up))


def _uvicorn_hang_up(send: Any) -> Any:
    """Return what cuts a connection of plain uvicorn, else None. Closing would wait for the client to read."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    return transport.abort if transport is not None else None


def _run_in_background(ending: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(ending)
    _ending.add(task)
    task.add_done_callback(_ending.discard)


async def _close_and_cut(send: Any, hang_up: Callable[[], Any] | None) -> None:
    try:
        async with asyncio.timeout(_LAST_WORD_S):
            await send({"type": "websocket.close", "code": CLOSE_SLOW})
            await asyncio.sleep(_LAST_WORD_S)
    except (TimeoutError, Disconnected, OSError):
        pass
    if hang_up is not None:
        hang_up()
