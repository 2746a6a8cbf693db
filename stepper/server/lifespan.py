"""What a server process does besides answering: publish, write positions, dispatch, send mails.

It is started and stopped with the server. All but the mails lives on the server's event loop: a thread with a loop of
its own could not wake the sockets.
"""

import asyncio
import gc
import logging
import sys
from typing import Any

from channels.layers import get_channel_layer
from django.conf import settings
from django.core.exceptions import RequestAborted

from drivers.positions.buffer import buffer
from realtime.outbox import publisher
from realtime.sockets.base import open_sockets
from realtime.sockets.counts import counts
from realtime.sockets.heartbeat import send_heartbeats_for_ever
from stepper.mail.sending import mails
from stepper.server.dispatcher import Dispatcher

logger = logging.getLogger("stepper.server.lifespan")

SWITCH_INTERVAL_S = 0.0002
# Everything that is loaded stays; what a frame needs is freed by itself. Looking for cycles after every 700 allocations
# would take a tenth of the time of relaying positions.
GARBAGE_THRESHOLDS = (20_000, 20, 20)

_dispatcher: Dispatcher | None = None
_heartbeats: asyncio.Task[None] | None = None


async def start() -> None:
    """Start everything. Call on the server's loop before it accepts connections."""
    global _dispatcher, _heartbeats
    asyncio.get_running_loop().set_exception_handler(_report_loop_error)
    # The loop shares the interpreter with the threads that answer requests: it must not wait 5 ms for each of them.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    await publisher.open()
    buffer.open()
    mails.open()
    layer_start = getattr(get_channel_layer(), "start", None)
    if layer_start is not None:
        await layer_start()
    await counts.open()
    _heartbeats = asyncio.create_task(send_heartbeats_for_ever())
    if settings.DISPATCHER == "inside":
        _dispatcher = Dispatcher()
        _dispatcher.start()


def _report_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that nobody handled, but not that a client hung up, which Django leaves to the loop."""
    if not isinstance(context.get("exception"), RequestAborted):
        loop.default_exception_handler(context)


async def stop() -> None:
    """Close the sockets with a code that brings their clients back, and write what is in memory."""
    global _dispatcher, _heartbeats
    if _heartbeats is not None:
        _heartbeats.cancel()
        await asyncio.gather(_heartbeats, return_exceptions=True)
        _heartbeats = None
    await asyncio.gather(*(socket.restart() for socket in list(open_sockets)), return_exceptions=True)
    if _dispatcher is not None:
        await _dispatcher.stop()
        _dispatcher = None
    await counts.close()
    await buffer.close()
    await publisher.close()
    # Last of what writes: a mail that is queued by now is sent, though not for ever.
    await asyncio.to_thread(mails.close)
    close = getattr(get_channel_layer(), "close", None)
    if close is not None:
        await close()
