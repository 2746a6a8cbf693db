"""What is asked for when somebody looks: of this process at that moment, of the database at most every few seconds."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from channels.layers import get_channel_layer
from django.db import DatabaseError, InterfaceError, connection, connections
from django.db.models import Count, Min
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from psycopg_pool import PoolClosed

from realtime.layer.hub import HubChannelLayer
from realtime.models import Event, ServerBeat
from realtime.sockets.base import open_sockets
from stepper.monitoring import figures
from stepper.tasks.worker import QUEUES
from trips.deadlines import lateness_s
from trips.states import OfferStatus, TripStatus

# The database is asked at most so often, however many look.
KEPT_S = 5.0
# Beyond it a backlog is not counted on.
MOST_COUNTED = 10_000
# Of a socket that tells no page: `/ws/`.
PROGRAM = "program"
KINDS = (PROGRAM, "driver", "earnings", "trip", "trips", "apply", "shared")


class Backlogs(NamedTuple):
    """What the database says. Times in seconds; `beat_age_s` None: no dispatcher has ever reported."""

    outbox: int
    outbox_age_s: float
    lateness_s: float
    beat_age_s: float | None
    # Queue -> how many tasks wait, and for how long the oldest has been due.
    tasks: dict[str, tuple[int, float]]


def _read_backlogs() -> Backlogs:
    now = timezone.now()
    # Its own index holds these rows alone.
    unpublished = Event.objects.filter(published_at__isnull=True).order_by("id")
    oldest = unpublished.values_list("created_at", flat=True).first()
    beat_at = ServerBeat.objects.order_by("-beat_at").values_list("beat_at", flat=True).first()
    ready = DBTaskResult.objects.ready().order_by().values("queue_name")
    waiting = {
        row["queue_name"]: (row["number"], max(0.0, (now - row["oldest"]).total_seconds()))
        for row in ready.annotate(number=Count("pk"), oldest=Min("enqueued_at"))
    }
    return Backlogs(
        outbox=unpublished[:MOST_COUNTED].count(),
        outbox_age_s=0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()),
        lateness_s=lateness_s(),
        beat_age_s=None if beat_at is None else max(0.0, (now - beat_at).total_seconds()),
        tasks={queue.name: waiting.get(queue.name, (0, 0.0)) for queue in QUEUES},
    )


class SharedBacklogs:
    """What the database said at most KEPT_S ago; one thread at a time asks it, the others get what was found last."""

    def __init__(self, read: Callable[[], Backlogs] = _read_backlogs) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._found: Backlogs | None = None
        self._kept_until = 0.0

    def get(self) -> Backlogs | None:
        """Return what the database says; None: it does not answer."""
        if time.monotonic() >= self._kept_until and self._lock.acquire(blocking=self._found is None):
            try:
                if time.monotonic() >= self._kept_until:
                    self._found = self._ask()
                    self._kept_until = time.monotonic() + KEPT_S
            finally:
                self._lock.release()
        return self._found

    def forget(self) -> None:
        """Ask the database the next time."""
        self._kept_until = 0.0

    def _ask(self) -> Backlogs | None:
        try:
            return self._read()
        except (DatabaseError, InterfaceError):
            return None
        finally:
            # Whoever asks at METRICS_PORT is answered by a thread of its own, whose connection nobody else would close.
            if not connection.in_atomic_block:  # as it never is but in tests
                connection.close()


backlogs = SharedBacklogs()


def sockets_by_kind() -> Counter[str]:
    """Count the open sockets of this process by what they show."""
    found = Counter(dict.fromkeys(KINDS, 0))
    # A copy: the loop adds sockets while another thread counts.
    found.update(getattr(socket, "page", PROGRAM) for socket in list(open_sockets))
    return found


def pool_stats() -> dict[str, int]:
    """Return what the pool of database connections counts (psycopg_pool); without a pool nothing."""
    database: Any = connections["default"]
    try:
        pool = database.pool if database.vendor == "postgresql" else None
        return {} if pool is None else dict(pool.get_stats())
    except PoolClosed:
        return {}


class ProcessState(Collector):
    """The state of this process."""

    def collect(self) -> Iterator[Metric]:
        sockets = GaugeMetricFamily("stepper_sockets", "Open sockets by what they show.", labels=["kind"])
        for kind, number in sockets_by_kind().items():
            sockets.add_metric([kind], number)
        yield sockets
        layer = get_channel_layer()
        hub = layer if isinstance(layer, HubChannelLayer) else None
        waiting = "Events that wait in mailboxes of this process for sockets whose client reads."
        yield GaugeMetricFamily("stepper_mailbox_waiting", waiting, value=hub.waiting if hub else 0)
        bus = GaugeMetricFamily("stepper_bus_connected", "1: this process hears the others. Absent: there is no bus.")
        if hub is not None and hub.is_bus_connected is not None:
            bus.add_metric([], int(hub.is_bus_connected))
        yield bus
        yield from self._pool(pool_stats())

    @staticmethod
    def _pool(stats: dict[str, int]) -> Iterator[Metric]:
        waits = "Times that a thread waited for a database connection."
        yield CounterMetricFamily("stepper_database_pool_waits", waits, value=stats.get("requests_queued", 0))
        seconds = "Seconds that threads waited for database connections."
        waited_s = stats.get("requests_wait_ms", 0) / 1000
        yield CounterMetricFamily("stepper_database_pool_wait_seconds", seconds, value=waited_s)
        open_now = GaugeMetricFamily("stepper_database_pool_connections", "Connections by state.", labels=["state"])
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        open_now.add_metric(["idle"], idle)
        open_now.add_metric(["busy"], size - idle)
        yield open_now
        waiting = "Threads that wait for a database connection now."
        yield GaugeMetricFamily("stepper_database_pool_waiting", waiting, value=stats.get("requests_waiting", 0))


class DatabaseState(Collector):
    """What the database says: the same whichever process is asked."""

    def collect(self) -> Iterator[Metric]:
        found = backlogs.get()
        yield GaugeMetricFamily("stepper_database_up", "1: the database answers.", value=int(found is not None))
        outbox = GaugeMetricFamily("stepper_outbox_backlog", f"Events not published yet, up to {MOST_COUNTED}.")
        age = GaugeMetricFamily("stepper_outbox_age_seconds", "Age of the oldest event that is not published yet.")
        late = GaugeMetricFamily("stepper_dispatcher_lateness_seconds", "How long the dispatcher's oldest work is due.")
        beat = GaugeMetricFamily("stepper_dispatcher_beat_age_seconds", "Seconds since a dispatcher last reported.")
        tasks = GaugeMetricFamily("stepper_tasks_waiting", "Mails, pushes and SMS that wait.", labels=["queue"])
        task_age = GaugeMetricFamily("stepper_tasks_age_seconds", "Age of the oldest that waits.", labels=["queue"])
        if found is not None:
            outbox.add_metric([], found.outbox)
            age.add_metric([], found.outbox_age_s)
            late.add_metric([], found.lateness_s)
            if found.beat_age_s is not None:
                beat.add_metric([], found.beat_age_s)
            for queue, (number, age_s) in found.tasks.items():
                tasks.add_metric([queue], number)
                task_age.add_metric([queue], age_s)
        yield from (outbox, age, late, beat, tasks, task_age)


def _begin_at_zero(counter: Any, *label_values: Iterable[str]) -> None:
    """Have samples of what has not happened yet: the first one of an outcome counts as an increase."""
    rows: list[tuple[str, ...]] = [()]
    for values in label_values:
        rows = [(*row, value) for row in rows for value in values]
    for row in rows:
        counter.labels(*row)


_begin_at_zero(figures.OFFERS, [status.value for status in OfferStatus if status != OfferStatus.PENDING])
_begin_at_zero(figures.TRIPS, [status.value for status in TripStatus])
_begin_at_zero(figures.ACCEPTS, ["accepted", "offer.taken"])
_begin_at_zero(figures.SEARCHES, ["offered", "nobody"])
_begin_at_zero(figures.TASKS, [queue.name for queue in QUEUES], ["sent", "again", "failed", "expired"])
_begin_at_zero(figures.RESPONSES, ["2xx", "3xx", "4xx", "5xx"])

figures.registry.register(ProcessState())
# Memory, processor time, open files and the time of the start, by names of ours.
ProcessCollector(namespace="stepper", registry=figures.registry)


def process_figures() -> Iterable[Metric]:
    """Return what this process counts and its state; the database is not asked."""
    return figures.registry.collect()


class Everything(Collector):
    """The figures of this process, and what the database says."""

    def collect(self) -> Iterator[Metric]:
        yield from process_figures()
        yield from DatabaseState().collect()
