"""The only way out: events become rows of the log in the transaction that causes them, then frames on the bus.

`publish` writes the rows. After commit a process that carries sockets hands them to the channel layer at once and
marks them published; a process that has none (shell, command, test) leaves them to the servers' sweep. So nothing
is lost when a process dies between commit and publish, and a change made anywhere reaches every open page.
"""

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from channels.layers import get_channel_layer
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from redis.exceptions import RedisError

from realtime import events
from realtime.layer.hub import HubChannelLayer
from realtime.models import Event
from stepper.db.transactions import run_in_thread, service_pool, write_at_end

logger = logging.getLogger("stepper.publish")

SWEEP_S = 0.25
# While the bus is away there is no hurry to try it again.
AWAY_SWEEP_S = 1.0
SWEPT_AT_ONCE = 500
# Of so many rows at most is it known that the sockets here have them, though the bus does not; the others wait for it.
_MAX_DELIVERED = 20_000
# How long the writing server has to publish by itself before any server takes its events over.
SWEEP_GRACE = dt.timedelta(seconds=2)
PERMISSIONS_REFRESH = "control.recheck"
# The sweep holds its rows this long at most for the bus to take them.
BUS_TIMEOUT_S = 10
# New work waits this long at most for events to reach the sockets.
DELIVERY_WAIT_S = 0.25


def publish(event: events.DurableFrame, *groups: str) -> None:
    """Logs `event` for `groups` in the current transaction; it reaches them when that commits."""
    publish_many((event, group) for group in groups)


def publish_many(pairs: Iterable[tuple[events.DurableFrame, str]]) -> None:
    """Logs many (event, group) pairs; all of a unit of work (`in_transaction`) go into one insert, at its end."""
    encoded: dict[str, str] = {}
    rows = []
    sweep_at = timezone.now() + (SWEEP_GRACE if publisher.is_open else dt.timedelta())
    for event, group in pairs:
        frame = encoded.get(event.id) or encoded.setdefault(event.id, events.encode(event))
        rows.append(Event(event_id=event.id, group=group, type=events.tag(event), frame=frame, sweep_at=sweep_at))
    write_at_end(_insert_rows, rows)


def refresh_permissions(*groups: str) -> None:
    """Tells the sockets in `groups` to check again who they are and what they may watch, once this commits."""
    sweep_at = timezone.now() + (SWEEP_GRACE if publisher.is_open else dt.timedelta())
    rows = [Event(event_id="", group=group, type=PERMISSIONS_REFRESH, frame="", sweep_at=sweep_at) for group in groups]
    write_at_end(_insert_rows, rows)


def _insert_rows(rows: list[Event]) -> None:
    if rows:
        Event.objects.bulk_create(rows)
        transaction.on_commit(lambda: publisher.send(rows))


def _layer_message(row: Event) -> dict[str, Any]:
    return {"type": "event.logged", "group": row.group, "id": row.event_id, "event": row.type, "frame": row.frame}


def watermark() -> int:
    """The place below which every event has committed and been published, so where resuming may start.

    PostgreSQL: transactions below the snapshot's xmin have ended (ids of rows become visible out of order).
    SQLite: one writer at a time, so ids do become visible in order.
    """
    return _read_watermark()[0]


def _read_watermark() -> tuple[int, bool]:
    """The horizon, and whether events wait for the sweep, in one query: every server asks four times a second."""
    unpublished = "SELECT min({}) FROM realtime_event WHERE published_at IS NULL"
    if connection.vendor == "postgresql":
        ended = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        place = f"least({ended}, ({unpublished.format('transaction')}))"
    else:
        place = (
            f"coalesce(({unpublished.format('id')}), "  # noqa: S608 - constants only
            "(SELECT seq + 1 FROM sqlite_sequence WHERE name = 'realtime_event'), 1)"
        )
    due = "EXISTS (SELECT 1 FROM realtime_event WHERE published_at IS NULL AND sweep_at <= %s)"
    with connection.cursor() as cursor:
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        cursor.execute(f"SELECT {place}, {due}", [now])
        found = cursor.fetchone()
    return int(found[0]), bool(found[1])


def events_since(groups: Sequence[str], place: int, limit: int) -> list[Event]:
    """Events of `groups` from `place` on, in the order they took effect; at most `limit`."""
    order = ("transaction", "id") if connection.vendor == "postgresql" else ("id",)
    found = Event.objects.filter(group__in=groups, **{f"{order[0]}__gte": place}).exclude(type=PERMISSIONS_REFRESH)
    return list(found.order_by(*order)[:limit])


class OutboxPublisher:
    """This process's way to the sockets: a queue on the event loop that carries them, and the sweep.

    `cursor` is opaque to clients: the horizon and when it was read, two sweeps ago, so that what was published by
    another process below it has arrived here.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: asyncio.Queue[list[Event]] = asyncio.Queue()
        self._sent: list[int] = []
        # Rows that the sockets of this process have been handed while the bus was away.
        self._delivered: dict[int, None] = {}
        self._is_bus_away = False
        self._cursors = ["", ""]
        self._tasks: list[asyncio.Task[None]] = []
        self._committed = 0
        self._handed_over = 0

    @property
    def is_open(self) -> bool:
        return self._loop is not None

    @property
    def cursor(self) -> str:
        return self._cursors[0]

    async def open(self) -> None:
        """Call on the server's loop. The cursor is empty, which is no place to resume from, until the first sweep."""
        self._loop = asyncio.get_running_loop()
        self._queue = asyncio.Queue()
        self._committed = self._handed_over = 0
        self._delivered, self._is_bus_away = {}, False
        self._tasks = [asyncio.create_task(self._deliver()), asyncio.create_task(self._sweep_for_ever())]

    async def close(self) -> None:
        """Publishes what is queued, marks it, stops. What another thread commits afterwards is swept elsewhere."""
        if self._loop is None:
            return
        self._loop = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._queue.empty():
            rows = self._queue.get_nowait()
            if await self._publish(rows):
                self._sent += [row.pk for row in rows]
        try:
            await run_in_thread(self._mark, pool=service_pool)
        except DatabaseError:
            logger.warning("closing without the database: published events will be published once more")

    def send(self, rows: list[Event]) -> None:
        """Queues committed rows from any thread; without sockets in this process the sweep takes them."""
        loop = self._loop  # another thread may close the outlet meanwhile
        if loop is not None:
            self._committed += 1
            loop.call_soon_threadsafe(self._queue.put_nowait, rows)

    async def settled(self) -> None:
        """Returns when what was committed is with the sockets, at the latest after SETTLE_S.

        Those who are about to take up new work wait here: with two hundred drivers wanting one trip, the 199 who
        hear that it is gone come before the next of them who asks.
        """
        layer = get_channel_layer()
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + DELIVERY_WAIT_S
        while self._committed > self._handed_over or (isinstance(layer, HubChannelLayer) and layer.waiting):
            if loop.time() >= give_up_at:
                return
            await asyncio.sleep(0.002)

    async def _deliver(self) -> None:
        while True:
            rows = await self._queue.get()
            if await self._publish(rows):
                self._sent += [row.pk for row in rows]
            self._handed_over += 1

    async def _publish(self, rows: list[Event]) -> bool:
        """Whether every process has been sent them. Never raises: what waits behind these rows has to go out, too."""
        layer = get_channel_layer()
        hub = layer if isinstance(layer, HubChannelLayer) else None
        try:
            for row in rows:
                if hub is not None and row.pk in self._delivered:
                    # Every sweep until the bus is back comes by here: the sockets must not be told each time.
                    await hub.send_elsewhere(row.group, _layer_message(row))
                else:
                    await layer.group_send(row.group, _layer_message(row))
                    if hub is not None and len(self._delivered) < _MAX_DELIVERED:
                        self._delivered[row.pk] = None
            if hub is not None:
                await hub.drain()
        except (OSError, RedisError) as error:  # the bus is away; unmarked rows are swept until it is back
            logger.warning("could not publish %d events: %s", len(rows), error)
            self._is_bus_away = True
            return False
        except Exception:
            logger.exception("could not publish %d events", len(rows))
            return False
        for row in rows:
            self._delivered.pop(row.pk, None)
        self._is_bus_away = False
        return True

    def _hand_over(self, rows: list[Event]) -> None:
        """To the sockets of this process, on its loop, while the others cannot be reached."""
        layer = get_channel_layer()
        if isinstance(layer, HubChannelLayer):
            for row in rows:
                if row.pk not in self._delivered:
                    self._delivered[row.pk] = None
                    layer.deliver(row.group, _layer_message(row))

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                cursor = await run_in_thread(self._sweep, pool=service_pool)
            except DatabaseError as error:
                logger.warning("the event sweep waits for the database: %s", error)
                await asyncio.sleep(1)
            except Exception:  # without the sweep nothing that other processes write would ever arrive
                logger.exception("the event sweep failed")
                await asyncio.sleep(1)
            else:
                self._cursors = [self._cursors[1] or cursor, cursor]
            await asyncio.sleep(AWAY_SWEEP_S if self._is_bus_away else SWEEP_S)

    def _sweep(self) -> str:
        """Marks what was sent, publishes what others left behind, reads the horizon. In a database thread."""
        self._mark()
        place, is_any_due = _read_watermark()
        if is_any_due:
            due = Event.objects.filter(published_at__isnull=True, sweep_at__lte=timezone.now()).order_by("id")
            with transaction.atomic():
                rows = list(due.select_for_update(skip_locked=True)[:SWEPT_AT_ONCE])
                loop = self._loop
                if rows and loop is not None:
                    if _wait_for(self._publish(rows), loop):
                        # Before the rows are let go, or the next server to sweep would publish them again.
                        Event.objects.filter(pk__in=[row.pk for row in rows]).update(published_at=timezone.now())
                    else:
                        self._is_bus_away = True  # also where it only takes too long
            if self._is_bus_away and len(self._delivered) < _MAX_DELIVERED:
                # Also what comes after them, and what another server is trying to publish just now.
                others = due.exclude(pk__in=list(self._delivered))[:SWEPT_AT_ONCE]
                if loop is not None and (waiting := list(others)):
                    loop.call_soon_threadsafe(self._hand_over, waiting)
            place = watermark()
        elif not self._is_bus_away:
            self._delivered.clear()  # another server may have been the one to publish them
        return f"{place}.{int(time.time())}"

    def _mark(self) -> None:
        sent, self._sent = self._sent, []
        try:
            for start in range(0, len(sent), 500):
                Event.objects.filter(pk__in=sent[start : start + 500]).update(published_at=timezone.now())
        except DatabaseError:
            self._sent = sent + self._sent
            raise


def _wait_for(publishing: Coroutine[Any, Any, bool], loop: asyncio.AbstractEventLoop) -> bool:
    """Its outcome, from a database thread; False where the bus takes too long to hold the rows for it."""
    outcome = asyncio.run_coroutine_threadsafe(publishing, loop)
    try:
        return outcome.result(BUS_TIMEOUT_S)
    except TimeoutError:
        outcome.cancel()
        logger.warning("the bus did not take the swept events within %d s", BUS_TIMEOUT_S)
        return False


def parse_cursor(cursor: str, oldest: dt.timedelta) -> int | None:
    """The horizon in a cursor; None where it is not one of ours or older than the log reaches back."""
    place, _dot, read_at = cursor.partition(".")
    if not (place.isascii() and place.isdigit() and read_at.isascii() and read_at.isdigit()):
        return None
    return int(place) if int(read_at) > time.time() - oldest.total_seconds() else None


publisher = OutboxPublisher()
