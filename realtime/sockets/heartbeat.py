"""Heartbeats, which show clients and proxies that a connection is alive."""

import asyncio
import logging

from django.db import DatabaseError

from realtime import events
from realtime.outbox import publisher
from realtime.sockets.base import HEARTBEAT_S, open_sockets
from stepper.accounts import sessions
from stepper.db.transactions import run_in_thread

logger = logging.getLogger("stepper.sockets")


async def send_heartbeats_for_ever() -> None:
    """Send heartbeats to all sockets, each second to a thirtieth of them: one timer instead of one per socket."""
    turn = 0
    while True:
        await asyncio.sleep(1)
        turn = (turn + 1) % HEARTBEAT_S
        _send_heartbeats(turn)
        await _mark_sessions_seen(turn)


def _send_heartbeats(turn: int) -> None:
    """Send a heartbeat to the sockets of one second.

    A function of its own, so that no variable keeps the last socket in memory while the loop sleeps.
    """
    frame = events.encode(events.Heartbeat(cursor=publisher.cursor))
    for socket in [one for one in open_sockets if one.turn == turn]:
        try:
            socket.beat(frame)
        except Exception:  # the other sockets must still get their heartbeats
            logger.exception("a heartbeat failed")


async def _mark_sessions_seen(turn: int) -> None:
    """Write that the sessions of these sockets are in use, where that is due: in one statement, each of them rarely."""
    keys = [key for key in _session_keys(turn) if sessions.is_seen_due(key)]
    if not keys:
        return
    try:
        await run_in_thread(sessions.mark_all_seen, keys)
    except DatabaseError as error:
        logger.warning("when sessions were last seen is not written: %s", error)


def _session_keys(turn: int) -> set[str]:
    return {one.identity.session_key for one in open_sockets if one.turn == turn}
