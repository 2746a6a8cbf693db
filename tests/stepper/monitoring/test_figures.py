"""Figures of the domain: counted after the commit, once, whatever the transaction went through."""

import logging

import pytest
from django.db import transaction
from pytest_django import DjangoCaptureOnCommitCallbacks
from time_machine import TimeMachineFixture

from drivers.models import Driver
from realtime.layer.mailbox import Backlog, Mailbox
from stepper.db.transactions import Stale, in_transaction
from stepper.errors import Conflict, DomainError
from stepper.monitoring import figures
from stepper.monitoring.figures import Deliveries, count_after_commit, registry, traffic
from tests.factories import ALMATY, DriverFactory, OfferFactory, TripFactory
from trips import accepting
from trips.states import TripStatus


def value(name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


@pytest.mark.django_db(transaction=True)
def test_figure_of_a_repeated_transaction_is_counted_once() -> None:
    before = value("stepper_searches_total", outcome="nobody")
    tries = []

    @in_transaction
    def search() -> None:
        count_after_commit(figures.SEARCHES, outcome="nobody")
        tries.append(1)
        if len(tries) == 1:
            raise Stale
        assert value("stepper_searches_total", outcome="nobody") == before

    search()

    assert len(tries) == 2
    assert value("stepper_searches_total", outcome="nobody") == before + 1


@pytest.mark.django_db(transaction=True)
def test_figure_of_a_transaction_that_is_rolled_back_is_not_counted() -> None:
    before = value("stepper_searches_total", outcome="nobody")

    def fail() -> None:
        with transaction.atomic():
            count_after_commit(figures.SEARCHES, outcome="nobody")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert value("stepper_searches_total", outcome="nobody") == before


@pytest.fixture
def asked(db: None) -> tuple[Driver, Driver, int, int]:
    """Two drivers who are asked about one trip, and their offers."""
    trip = TripFactory(status=TripStatus.OFFERED)
    first, second = DriverFactory(at=ALMATY), DriverFactory(at=ALMATY)
    return first, second, OfferFactory(trip=trip, driver=first).pk, OfferFactory(trip=trip, driver=second).pk


def test_accept_and_conflict_are_counted(
    asked: tuple[Driver, Driver, int, int], django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    first, second, mine, theirs = asked
    names = {
        "accepted": ("stepper_accepts_total", {"outcome": "accepted"}),
        "taken": ("stepper_accepts_total", {"outcome": "offer.taken"}),
        "offers": ("stepper_offers_total", {"outcome": "accepted"}),
        "withdrawn": ("stepper_offers_total", {"outcome": "withdrawn"}),
        "trips": ("stepper_trips_total", {"status": "accepted"}),
    }
    before = {name: value(sample, **labels) for name, (sample, labels) in names.items()}
    with django_capture_on_commit_callbacks(execute=True):
        accepting.accept(first.pk, mine)
        # Again, as a client whose answer was lost.
        accepting.accept(first.pk, mine)
        with pytest.raises(Conflict):
            accepting.accept(second.pk, theirs)
    more = {name: value(sample, **labels) - before[name] for name, (sample, labels) in names.items()}
    assert more == {"accepted": 1, "taken": 1, "offers": 1, "withdrawn": 1, "trips": 1}


@pytest.mark.embedded_only
def test_refusal_that_is_answered_in_several_steps_is_counted_once() -> None:
    error = DomainError("test.refused", "no")
    before = value("stepper_refusals_total", code="test.refused")
    figures.count_refusal(error)
    figures.count_refusal(error)
    assert value("stepper_refusals_total", code="test.refused") == before + 1


@pytest.mark.embedded_only
def test_delivery_is_in_every_bucket_that_is_long_enough(time_machine: TimeMachineFixture) -> None:
    time_machine.move_to(1_800_000_000, tick=False)
    deliveries = Deliveries()
    for seconds in (0.0, 0.03, 0.25, 99.0, -5.0):
        deliveries.note(1_800_000_000 - seconds)
    [family] = deliveries.collect()
    samples = {(sample.name, sample.labels.get("le")): sample.value for sample in family.samples}
    name = "stepper_event_delivery_seconds"
    assert samples[f"{name}_bucket", "0.005"] == 2  # a clock that is ahead counts as none
    assert samples[f"{name}_bucket", "0.05"] == 3
    assert samples[f"{name}_bucket", "0.25"] == 4
    assert samples[f"{name}_bucket", "+Inf"] == samples[f"{name}_count", None] == 5
    assert samples[f"{name}_sum", None] == pytest.approx(99.28)


@pytest.mark.embedded_only
def test_overflow_of_a_mailbox_is_counted() -> None:
    before = traffic.overflows
    mailbox = Mailbox(2, Backlog())
    for number in range(3):
        mailbox.put({"type": "event.logged", "id": number})
    assert traffic.overflows == before + 1


@pytest.mark.embedded_only
def test_lines_that_say_that_something_is_wrong_are_counted() -> None:
    before = value("stepper_faults_total")
    logging.getLogger("stepper.x").warning("the database is away")
    assert value("stepper_faults_total") == before
    logging.getLogger("stepper.x").error("a fault")
    assert value("stepper_faults_total") == before + 1
