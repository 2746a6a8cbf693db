"""The outbox: writes durable events in the transaction that causes them and publishes them after commit.

`publish` writes the rows. After commit a server publishes its own rows on the channel layer at once and marks them
published; a process without sockets (shell, command, test) leaves them to the servers' sweep. So no event is lost when
a process dies between commit and publish, and a change made in any process reaches every open page. Also here: the
watermark and cursors, from which a client resumes. Positions do not use the outbox (drivers.positions): a lost one is
replaced by the next.
"""

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from channels.layers import get_channel_layer
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from redis.exceptions import RedisError

from realtime import events
from realtime.async_tasks import end_tasks
from realtime.layer.hub import HubChannelLayer
from realtime.models import Event
from stepper.db import clock
from stepper.db.clock import database_now
from stepper.db.transactions import run_in_thread, service_pool, write_at_end

logger = logging.getLogger("stepper.publish")

SWEEP_S = 0.25
# The sweep's interval while the bus cannot be reached.
AWAY_SWEEP_S = 1.0
# Rows that one sweep publishes at most.
SWEPT_AT_ONCE = 500
# While the bus cannot be reached, this process remembers at most this many rows that it has delivered to its own
# sockets; further rows wait for the bus.
_MAX_DELIVERED = 20_000
# How long the writing server has to publish its events before the sweep of any server does.
SWEEP_GRACE = dt.timedelta(seconds=2)
# The type of rows that request a permissions refresh; no client sees them. Releases before `driver.updated` sent it
# with an empty frame, also to have pages draw everything again: their rows stay in the outbox for a day, and their
# servers may run beside this one.
PERMISSIONS_REFRESH = "control.recheck"
NOTHING_TO_DRAW = '{"draw": false}'
# The sweep keeps its rows locked at most this long while it publishes them.
BUS_TIMEOUT_S = 10
# `OutboxPublisher.wait_until_delivered` waits at most this long.
DELIVERY_WAIT_S = 0.25
# No setting keeps events for less.
LEAST_KEPT = dt.timedelta(hours=1)
# As `Restore.current_generation`.
_GENERATION = "SELECT generation FROM stepper_restore ORDER BY id DESC LIMIT 1"


# Called with what is published, in the transaction that causes it: an event may have pushes (realtime.push.offers).
listeners: list[Callable[[Sequence[tuple[events.DurableFrame, str]]], None]] = []


def publish(event: events.DurableFrame, *groups: str) -> None:
    """Write `event` to the outbox for `groups`, in the current transaction; it is published when that commits."""
    publish_many((event, group) for group in groups)


def publish_many(pairs: Iterable[tuple[events.DurableFrame, str]]) -> None:
    """Write (event, group) pairs to the outbox: one insert at the end of the unit of work (`in_transaction`)."""
    pairs = list(pairs)
    encoded: dict[str, str] = {}
    rows = []
    sweep_at = database_now() + (SWEEP_GRACE if publisher.is_open else dt.timedelta())
    for event, group in pairs:
        frame = encoded.get(event.id) or encoded.setdefault(event.id, events.encode(event))
        rows.append(Event(event_id=event.id, group=group, type=events.tag(event), frame=frame, sweep_at=sweep_at))
    write_at_end(_insert_rows, rows)
    for listener in listeners:
        listener(pairs)


def refresh_permissions(*groups: str) -> None:
    """Request a permissions refresh from the sockets in `groups`, once the current transaction commits."""
    sweep_at = database_now() + (SWEEP_GRACE if publisher.is_open else dt.timedelta())
    rows = [
        Event(event_id="", group=group, type=PERMISSIONS_REFRESH, frame=NOTHING_TO_DRAW, sweep_at=sweep_at)
        for group in groups
    ]
    write_at_end(_insert_rows, rows)


_committed: ContextVar[list[Event] | None] = ContextVar("committed", default=None)


@contextmanager
def committed_events() -> Iterator[list[Event]]:
    """Collect the rows that this thread commits inside the `with` block, so that a response can be drawn from them.

    The list yielded grows with each commit.
    """
    rows: list[Event] = []
    token = _committed.set(rows)
    try:
        yield rows
    finally:
        _committed.reset(token)


def is_latest(row: Event) -> bool:
    """Say whether nothing was published for the row's group after it. One index entry is read."""
    of_group = Event.objects.filter(group=row.group).order_by("-transaction", "-id")
    return of_group.values_list("pk", flat=True).first() == row.pk


def _insert_rows(rows: list[Event]) -> None:
    if rows:
        Event.objects.bulk_create(rows)
        transaction.on_commit(lambda: _after_commit(rows))


def _after_commit(rows: list[Event]) -> None:
    now = time.time()
    for row in rows:
        row.committed_at = now
    collected = _committed.get()
    if collected is not None:
        collected += rows
    publisher.send(rows)


def _layer_message(row: Event) -> dict[str, Any]:
    return {
        "type": "event.logged",
        "group": row.group,
        "id": row.event_id,
        "event": row.type,
        "frame": row.frame,
        # Not in the messages of an earlier release.
        "committed_at": row.committed_at or row.created_at.timestamp(),
    }


def read_watermark() -> int:
    """Return the watermark: every event below it has committed and been published, so clients may resume from it.

    PostgreSQL: a transaction number. Those below the snapshot's xmin have ended; row ids become visible out of order.
    SQLite: a row id. There is one writer at a time, so ids become visible in order.
    """
    return _read_position()[0]


def _read_position() -> tuple[int, bool, str]:
    """Read the watermark, whether events wait for the sweep, and the database's generation.

    In one query: it runs four times a second. The same query measures how far the database's clock is from this
    process's (stepper.db.clock).
    """
    unpublished = "SELECT min({}) FROM realtime_event WHERE published_at IS NULL"
    if connection.vendor == "postgresql":
        ended = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        watermark = f"least({ended}, ({unpublished.format('transaction')}))"
    else:
        watermark = (
            f"coalesce(({unpublished.format('id')}), "  # noqa: S608 - constants only
            "(SELECT seq + 1 FROM sqlite_sequence WHERE name = 'realtime_event'), 1)"
        )
    now = clock.NOW_SQL[connection.vendor]
    due = f"EXISTS (SELECT 1 FROM realtime_event WHERE published_at IS NULL AND sweep_at <= {now})"  # noqa: S608 - constants only
    asked_at = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {watermark}, {due}, ({_GENERATION}), {now}")
        found = cursor.fetchone()
    clock.set_by_answer(found[3], asked_at)
    return int(found[0]), bool(found[1]), found[2] or ""


def events_since(groups: Sequence[str], watermark: int, limit: int) -> list[Event]:
    """Return the events of `groups` from `watermark` on, in the order they took effect; at most `limit`."""
    order = ("transaction", "id") if connection.vendor == "postgresql" else ("id",)
    found = Event.objects.filter(group__in=groups, **{f"{order[0]}__gte": watermark}).exclude(type=PERMISSIONS_REFRESH)
    return list(found.order_by(*order)[:limit])


def reaches_back_to(watermark: int) -> bool:
    """Say whether an event from before the watermark is still there, so that none after it has been pruned."""
    order = "transaction" if connection.vendor == "postgresql" else "id"
    oldest = Event.objects.order_by("id").values_list(order, flat=True).first()
    return oldest is not None and oldest < watermark


class OutboxPublisher:
    """Publishes the outbox's rows from this process: its own from a queue on the event loop, others' in the sweep.

    `cursor` is opaque to clients: the watermark and when it was read. It is the one of the sweep before the last, so
    that the events below it that other processes published have arrived here.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: asyncio.Queue[list[Event]] = asyncio.Queue()
        self._sent: list[int] = []
        # Rows delivered to the sockets of this process though not yet to the bus, in order of delivery.
        self._delivered: dict[int, None] = {}
        self._is_bus_away = False
        self._cursors = ["", ""]
        self._tasks: list[asyncio.Task[None]] = []
        # How many batches of rows were committed, and how many of them the queue's task has published or given up on.
        self._committed = 0
        self._handed_over = 0

    @property
    def is_open(self) -> bool:
        """Whether this process publishes what it commits."""
        return self._loop is not None

    @property
    def cursor(self) -> str:
        """Where clients that are connected now may resume; "": nowhere yet."""
        return self._cursors[0]

    async def open(self) -> None:
        """Start publishing, on the running loop. Until the first sweep the cursor is empty: none to resume from."""
        self._loop = asyncio.get_running_loop()
        self._queue = asyncio.Queue()
        self._committed = self._handed_over = 0
        self._delivered, self._is_bus_away = {}, False
        self._tasks = [asyncio.create_task(self._publish_queue()), asyncio.create_task(self._sweep_repeatedly())]

    async def close(self) -> None:
        """Publish what is queued, mark it, and stop. What is committed afterwards is left to other servers' sweeps."""
        if self._loop is None:
            return
        self._loop = None
        await end_tasks(*self._tasks)
        while not self._queue.empty():
            rows = self._queue.get_nowait()
            if await self._publish(rows):
                self._sent += [row.pk for row in rows]
        try:
            await run_in_thread(self._mark_published, pool=service_pool)
        except DatabaseError:
            logger.warning("closing without the database: published events will be published once more")

    def send(self, rows: list[Event]) -> None:
        """Queue committed rows for publishing, from any thread; while closed, leave them to other servers."""
        loop = self._loop  # another thread may close the publisher meanwhile
        if loop is not None:
            self._committed += 1
            loop.call_soon_threadsafe(self._queue.put_nowait, rows)

    async def wait_until_delivered(self) -> None:
        """Wait until the sockets of this process have been sent what was committed, at most DELIVERY_WAIT_S.

        An admitted request waits here before its work: when two hundred drivers want one trip, the 199 are sent that
        it is taken before the next request for it is worked on.
        """
        layer = get_channel_layer()
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + DELIVERY_WAIT_S
        while self._committed > self._handed_over or (isinstance(layer, HubChannelLayer) and layer.waiting):
            if loop.time() >= give_up_at:
                return
            await asyncio.sleep(0.002)

    async def _publish_queue(self) -> None:
        """Publish what this process commits, batch by batch, until cancelled."""
        while True:
            rows = await self._queue.get()
            if await self._publish(rows):
                self._sent += [row.pk for row in rows]
            self._handed_over += 1

    async def _publish(self, rows: list[Event]) -> bool:
        """Send rows to every process; return whether the bus took them all.

        Never raises, so that the rows queued behind these are published too.
        """
        layer = get_channel_layer()
        hub = layer if isinstance(layer, HubChannelLayer) else None
        try:
            for row in rows:
                if hub is not None and row.pk in self._delivered:
                    # Each sweep until the bus is back tries these rows again; the sockets here have them already.
                    await hub.send_elsewhere(row.group, _layer_message(row))
                else:
                    await layer.group_send(row.group, _layer_message(row))
                    if hub is not None and len(self._delivered) < _MAX_DELIVERED:
                        self._delivered[row.pk] = None
            if hub is not None:
                await hub.drain()
        except (OSError, RedisError) as error:  # the bus cannot be reached: the sweep tries the unmarked rows again
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

    def _deliver_here(self, rows: list[Event]) -> None:
        """Deliver rows to the sockets of this process alone, while the bus cannot be reached. On its loop."""
        layer = get_channel_layer()
        if isinstance(layer, HubChannelLayer):
            for row in rows:
                if row.pk not in self._delivered:
                    self._delivered[row.pk] = None
                    layer.deliver(row.group, _layer_message(row))

    async def _sweep_repeatedly(self) -> None:
        """Sweep four times a second, until cancelled; a failure is logged and the next sweep tries again."""
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
        """Mark what was published, publish what other processes left, return a new cursor. In a database thread."""
        self._mark_published()
        watermark, is_any_due, generation = _read_position()
        if is_any_due:
            due = Event.objects.filter(published_at__isnull=True, sweep_at__lte=Now()).order_by("id")
            with transaction.atomic():
                rows = list(due.select_for_update(skip_locked=True)[:SWEPT_AT_ONCE])
                loop = self._loop
                if rows and loop is not None:
                    if _wait_for_publishing(self._publish(rows), loop):
                        # While they are locked, or the next server to sweep would publish them again.
                        Event.objects.filter(pk__in=[row.pk for row in rows]).update(published_at=timezone.now())
                    else:
                        self._is_bus_away = True  # also if it did not answer in time
            if self._is_bus_away and len(self._delivered) < _MAX_DELIVERED:
                # Also the rows beyond SWEPT_AT_ONCE, and those that another server has locked.
                others = due.exclude(pk__in=list(self._delivered))[:SWEPT_AT_ONCE]
                if loop is not None and (waiting := list(others)):
                    loop.call_soon_threadsafe(self._deliver_here, waiting)
            watermark = read_watermark()
        elif not self._is_bus_away:
            self._delivered.clear()  # another server may have been the one to publish them
        return make_cursor(watermark, generation)

    def _mark_published(self) -> None:
        """Mark the rows that this process has published. In a database thread."""
        sent, self._sent = self._sent, []
        try:
            for start in range(0, len(sent), 500):
                Event.objects.filter(pk__in=sent[start : start + 500]).update(published_at=timezone.now())
        except DatabaseError:
            self._sent = sent + self._sent
            raise


def _wait_for_publishing(publishing: Coroutine[Any, Any, bool], loop: asyncio.AbstractEventLoop) -> bool:
    """Run `publishing` on the loop and return its result, from a database thread; False: not done in BUS_TIMEOUT_S."""
    outcome = asyncio.run_coroutine_threadsafe(publishing, loop)
    try:
        return outcome.result(BUS_TIMEOUT_S)
    except TimeoutError:
        outcome.cancel()
        logger.warning("the bus did not take the swept events within %d s", BUS_TIMEOUT_S)
        return False


def make_cursor(watermark: int, generation: str) -> str:
    """Return the watermark as clients get it, with the time and, once the database was restored, its generation.

    Without a generation a cursor looks as before there were any, so servers of two releases understand each other's.
    """
    return f"{watermark}.{int(time.time())}" + (f".{generation}" if generation else "")


def parse_cursor(cursor: str, oldest: dt.timedelta, generation: str) -> int | None:
    """Return the watermark in a client's cursor; None: no cursor, read longer than `oldest` ago, or before a restore.

    Watermarks of two generations cannot be compared: the restored database may be behind or, as transaction numbers
    begin anew in a new cluster of PostgreSQL, ahead. A cursor that were believed would skip events.
    """
    watermark, _dot, rest = cursor.partition(".")
    read_at, _dot, of_generation = rest.partition(".")
    if not (watermark.isascii() and watermark.isdigit() and read_at.isascii() and read_at.isdigit()):
        return None
    if of_generation != generation:
        return None
    return int(watermark) if int(read_at) > time.time() - oldest.total_seconds() else None


publisher = OutboxPublisher()
