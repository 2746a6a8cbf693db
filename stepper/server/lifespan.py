"""The background work of a server process: publish events, write positions, dispatch, send mails and pushes.

It starts and stops with the server. Everything except mails and pushes runs on the server's event loop: from a thread
with a loop of its own it could not wake the sockets.
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
from stepper.monitoring.exposition import metrics_port
from stepper.monitoring.processes import processes
from stepper.server.dispatcher import Dispatcher
from stepper.tasks.worker import worker

logger = logging.getLogger("stepper.server.lifespan")

SWITCH_INTERVAL_S = 0.00005
# Loaded modules stay for ever, and the objects of a frame are freed by their reference counts. With the default
# thresholds the garbage collector would take a tenth of the time of relaying positions.
GARBAGE_THRESHOLDS = (20_000, 20, 20)

_dispatcher: Dispatcher | None = None
_heartbeats: asyncio.Task[None] | None = None


async def start() -> None:
    """Start everything. Call on the server's loop before it accepts connections."""
    global _dispatcher, _heartbeats
    asyncio.get_running_loop().set_exception_handler(_report_loop_error)
    # The loop shares the interpreter lock with the threads of requests: with the default it would wait 5 ms for each.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    await publisher.open()
    buffer.open()
    if settings.TASK_WORKER == "inside":
        worker.open()
    layer_start = getattr(get_channel_layer(), "start", None)
    if layer_start is not None:
        await layer_start()
    await counts.open()
    metrics_port.open()
    processes.open()
    _heartbeats = asyncio.create_task(send_heartbeats_for_ever())
    if settings.DISPATCHER == "inside":
        _dispatcher = Dispatcher()
        _dispatcher.start()


def _report_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an unhandled error of a task; ignore RequestAborted (the client hung up), which Django does not handle."""
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
    metrics_port.close()
    await processes.close()
    await buffer.close()
    await publisher.close()
    # After everything that may enqueue: what is ready is still sent, within a time limit.
    await asyncio.to_thread(worker.close)
    close = getattr(get_channel_layer(), "close", None)
    if close is not None:
        await close()
