"""The figures that this process counts, and counting them: facts of the domain after their commit, once.

What the database and the process are asked for when somebody looks is in collecting.py. The names are a promise to
alert rules and dashboards (deploy/), whose test finds a name that does not exist.
"""

import bisect
import time
from collections.abc import Iterator

from django.db import transaction
from prometheus_client import CollectorRegistry, Counter, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from stepper.errors import DomainError

# A sample with the time of creation beside every counter, which nothing asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]
# Not the library's own, to which whatever is imported can add names that are not ours.
registry = CollectorRegistry()


def _counter(name: str, documentation: str, *labels: str) -> Counter:
    return Counter(name, documentation, labels, registry=registry)


OFFERS_MADE = _counter("stepper_offers_made", "Offers made to drivers.")
OFFERS = _counter("stepper_offers", "Offers that ended, by how: accepted, declined, expired, withdrawn.", "outcome")
TRIPS = _counter("stepper_trips", "Trips that came into a status.", "status")
ACCEPTS = _counter("stepper_accepts", "Drivers' answers that accept: accepted, or the code of the refusal.", "outcome")
SEARCHES = _counter("stepper_searches", "Searches for drivers: offered, nobody.", "outcome")
REFUSALS = _counter("stepper_refusals", "Refusals that clients were answered with, by code.", "code")
TASKS = _counter("stepper_tasks", "Mails, pushes, SMS: sent, again, failed, expired.", "queue", "outcome")
RESPONSES = _counter("stepper_responses", "HTTP responses by class of their status.", "status")
FAULTS = _counter("stepper_faults", "Lines of the log of level ERROR and above.")


def count_after_commit(counter: Counter, amount: int = 1, **labels: str) -> None:
    """Add to a counter once the current transaction commits: not if it is rolled back, once if it is repeated."""
    child = counter.labels(**labels) if labels else counter
    transaction.on_commit(lambda: child.inc(amount))


def count_refusal(error: DomainError) -> None:
    """Count a refusal that a client is answered with; repeating it changes nothing."""
    if not error.is_counted:
        error.is_counted = True
        REFUSALS.labels(error.code).inc()


class Traffic(Collector):
    """Plain numbers, added to on the event loop alone: a counter of the library takes a lock each time."""

    __slots__ = ("frames_received", "frames_sent", "overflows")

    def __init__(self) -> None:
        self.frames_received = 0
        self.frames_sent = 0
        self.overflows = 0

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily("stepper_frames_received", "Frames of clients.", value=self.frames_received)
        yield CounterMetricFamily("stepper_frames_sent", "Frames sent to clients.", value=self.frames_sent)
        overflows = "Mailboxes that overflowed, so that their socket was sent the state anew."
        yield CounterMetricFamily("stepper_mailbox_overflows", overflows, value=self.overflows)


class Deliveries(Collector):
    """Seconds from the commit of an event to its being sent to a socket, as a histogram; on the event loop alone.

    Between machines it contains the difference of their clocks. A swept row counts from when it was written.
    """

    BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

    def __init__(self) -> None:
        self._counts = [0] * (len(self.BOUNDS) + 1)
        self._sum_s = 0.0

    def note(self, committed_at: float) -> None:
        """Count an event that is sent now; `committed_at`: seconds since 1970."""
        seconds = max(0.0, time.time() - committed_at)
        self._counts[bisect.bisect_left(self.BOUNDS, seconds)] += 1
        self._sum_s += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        buckets, total = [], 0
        for bound, count in zip([*map(str, self.BOUNDS), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        documentation = "Seconds from the commit of an event to its being sent to a socket."
        yield HistogramMetricFamily(
            "stepper_event_delivery_seconds", documentation, buckets=buckets, sum_value=self._sum_s
        )


traffic = Traffic()
deliveries = Deliveries()
registry.register(traffic)
registry.register(deliveries)
