"""Heartbeats, by which clients and proxies know that a connection lives."""

import asyncio
import logging

from realtime import events
from realtime.outbox import publisher
from realtime.sockets.base import HEARTBEAT_S, open_sockets

logger = logging.getLogger("stepper.sockets")


async def send_heartbeats_for_ever() -> None:
    """Send the heartbeats of all sockets, to a thirtieth of them each second: one timer instead of ten thousand."""
    turn = 0
    while True:
        await asyncio.sleep(1)
        turn = (turn + 1) % HEARTBEAT_S
        _send_heartbeats(turn)


def _send_heartbeats(turn: int) -> None:
    """Send a heartbeat to the sockets of one second.

    Apart from the loop, which would keep the last socket alive while it sleeps, also when that has gone.
    """
    frame = events.encode(events.Heartbeat(cursor=publisher.cursor))
    for socket in [one for one in open_sockets if one.turn == turn]:
        try:
            socket.beat(frame)
        except Exception:  # nobody else's connection may go silent for it
            logger.exception("a heartbeat failed")
