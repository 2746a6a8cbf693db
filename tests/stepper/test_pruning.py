"""How long rows are kept, and how the older ones are deleted."""

import datetime as dt
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.validators import MinValueValidator
from django.db import OperationalError, ProgrammingError, connection, connections, transaction
from django.test import Client
from django.utils import timezone

from drivers import metrics
from drivers.models import Availability, Break, TrailPoint
from realtime.models import Event, Notification, ServerBeat
from stepper.models import AuditEntry, ServiceSettings
from stepper.models.settings import KeptSettings
from stepper.server import pruning
from stepper.server.pruning import RULES, WITHOUT_RULE, Pruner
from tests import plans
from tests.factories import DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.old_rows import (
    CASES,
    DAY,
    HOUR,
    account_session,
    address_change,
    availability_change,
    beat,
    dated,
    ended_trip,
    event,
    notification,
    offer,
    offer_of_trip_with_driver,
    pending_document,
    point,
    rejected_document,
    security_event,
    session,
    transition,
)
from tests.papers import document
from trips import booking_limits, explain
from trips.access import trail_visible_to
from trips.models import DispatchRound, Trip, TripWatch
from trips.states import OfferStatus, Role, TripStatus

pytestmark = pytest.mark.django_db

each_table = pytest.mark.parametrize("name", CASES)


def keep(**settings: int) -> None:
    """Have staff set this two days ago."""
    ServiceSettings.objects.update_or_create(pk=1, defaults=settings)
    ServiceSettings.objects.update(updated_at=timezone.now() - 2 * DAY)


# The settings of all cases at once, and the least that staff can set.
ALL_CASES: dict[str, int] = {
    "disputes_kept_days": 40,
    "messages_kept_days": 35,
    "trail_kept_days": 10,
    "rounds_kept_days": 10,
    "offers_kept_days": 40,
    "working_time_kept_days": 20,
    "applications_kept_days": 20,
    "watches_kept_days": 20,
    "notifications_kept_days": 20,
    "read_notifications_kept_days": 10,
    "security_log_kept_days": 60,
    "event_log_hours": 12,
    "claim_kept_min": 240,
}
LEAST: dict[str, int] = {
    field.name: next(one.limit_value for one in field.validators if isinstance(one, MinValueValidator))
    for field in KeptSettings._meta.get_fields()
}


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def prune() -> None:
    """Prune as a dispatcher that has just started does, until it waits for rows to get old."""
    clock = Clock()
    pruner = Pruner(clock=clock)
    while (wait_s := pruner.prune_due()) <= pruning.PRUNE_ON_S:
        clock.now += wait_s


def left(rows: list[Any]) -> list[bool]:
    """Whether each of the rows is still there."""
    return [type(row)._base_manager.filter(pk=row.pk).exists() for row in rows]


@pytest.mark.parametrize("make", [rejected_document, pending_document])
def test_documents_of_applicants_who_were_not_approved_go(make: Callable[[dt.timedelta], Any]) -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults=ALL_CASES)
    rows = [make(19 * DAY), make(21 * DAY)]
    prune()
    assert left(rows) == [True, False]


@pytest.mark.parametrize("approval", ["approved", "suspended"])
def test_documents_of_drivers_stay(approval: str) -> None:
    driver = DriverFactory.create(approval=approval, decided_at=timezone.now() - 900 * DAY)
    kept = [document(driver.user, kind) for kind in ("licence", "insurance")]
    type(kept[0]).objects.update(uploaded_at=timezone.now() - 900 * DAY)
    prune()
    assert left(kept) == [True, True]


def test_every_model_has_a_rule_or_a_reason_for_none() -> None:
    every = {model._meta.label for model in apps.get_models(include_auto_created=True)}
    ruled = {rule.model._meta.label for rule in RULES}
    assert ruled.isdisjoint(WITHOUT_RULE)
    assert every == ruled | set(WITHOUT_RULE)


def test_no_constraint_refers_to_rows_that_are_pruned() -> None:
    """They are deleted without a look at what refers to them."""
    referring = {
        related.field
        for rule in RULES
        for related in rule.model._meta.related_objects
        if getattr(related.field, "db_constraint", True)
    }
    assert referring == set()


def test_every_rule_is_tried_here() -> None:
    """A rule that is added must come with its case."""
    assert len(CASES) == len(RULES)
    assert {case.make(-DAY)._meta.label for case in CASES.values()} == {rule.model._meta.label for rule in RULES}


@each_table
def test_old_rows_go_and_young_ones_stay(name: str) -> None:
    make, kept, settings = CASES[name]
    keep(**settings)
    rows = [make(kept + 2 * DAY), make(kept + HOUR), make(kept - HOUR), make(-HOUR)]

    prune()

    assert left(rows) == [False, False, True, True]


@pytest.mark.parametrize(("age", "stays"), [(23 * HOUR, True), (25 * HOUR, False)])
def test_security_log_is_kept_for_a_day_after_the_settings_were_changed(age: dt.timedelta, stays: bool) -> None:
    keep(security_log_kept_days=30)
    ServiceSettings.objects.update(updated_at=timezone.now() - age)
    rows = [security_event(31 * DAY)]

    prune()

    assert left(rows) == [stays]


@each_table
def test_setting_decides_how_long_rows_are_kept(name: str) -> None:
    """Twice as long leaves what would go. Where there is no setting there is nothing to decide."""
    make, kept, settings = CASES[name]
    if not settings:
        return
    keep(**{field: 2 * value for field, value in settings.items()})
    rows = [make(kept + HOUR)]

    prune()

    assert left(rows) == [True]


@each_table
def test_batch_takes_the_oldest_and_no_more_than_its_limit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, kept, settings = CASES[name]
    monkeypatch.setattr(pruning, "BATCH", 2)
    keep(**settings)
    rows = [make(kept + age) for age in (3 * DAY, 2 * DAY, DAY)]
    clock = Clock()
    pruner = Pruner(clock=clock)

    clock.now += pruner.prune_due()
    after_one_batch = left(rows)
    pruner.prune_due()

    assert after_one_batch == [False, False, True]
    assert left(rows) == [False, False, False]
    assert clock.now < pruning.PRUNE_S


@pytest.mark.parametrize(
    "name", ["breaks", "watches", "sessions", "changes of address", "codes by mail", "dispatchers"]
)
def test_old_rows_behind_young_ones_go_where_keys_are_not_in_order_of_age(name: str) -> None:
    make, kept, settings = CASES[name]
    keep(**settings)
    rows = [make(kept - HOUR), make(kept + HOUR)]

    prune()

    assert left(rows) == [True, False]


def test_walk_goes_past_rows_that_are_kept_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offers of trips that had a driver lie before those of trips that had none."""
    monkeypatch.setattr(pruning, "BATCH", 2)
    longer = [offer_of_trip_with_driver(200 * DAY) for _number in range(3)]
    rows = [offer(100 * DAY) for _number in range(3)]

    prune()

    assert left(longer) == [True] * 3
    assert left(rows) == [False] * 3


def test_walk_waits_at_the_first_young_row_and_goes_on_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    keep(trail_kept_days=10)
    rows = [point(11 * DAY), point(9 * DAY), point(DAY)]
    clock = Clock()
    pruner = Pruner(clock=clock)
    clock.now += pruner.prune_due()

    dated(rows[1], recorded_at=timezone.now() - 11 * DAY)
    pruner.prune_due()

    assert left(rows) == [False, False, True]


def test_walk_begins_anew_after_a_day_for_rows_that_were_needed_at_first() -> None:
    trip = TripFactory()
    rows = [transition(1200 * DAY, trip), transition(1200 * DAY)]
    clock = Clock()
    pruner = Pruner(clock=clock)
    pruner.prune_due()
    Trip.objects.filter(pk=trip.pk).update(status=TripStatus.CANCELLED, cancelled_at=timezone.now() - 1100 * DAY)

    clock.now += pruning.PRUNE_S
    pruner.prune_due()
    the_same_day = left(rows)
    clock.now += pruning.WALK_S
    pruner.prune_due()

    assert the_same_day == [True, False]
    assert left(rows) == [False, False]


def test_pause_after_full_batches_is_as_long_as_they_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite others write meanwhile."""
    clock = Clock()

    def slow(walk: pruning.Walk, _now: dt.datetime, _settings: ServiceSettings) -> bool:
        clock.now += 2.0
        return walk.rule.model in (TrailPoint, Event)

    monkeypatch.setattr(pruning, "prune_batch", slow)
    rules = [rule for rule in RULES if rule.model in (TrailPoint, Event, Session)]

    assert Pruner(rules, clock).prune_due() == 3 * 2.0


def test_pass_with_nothing_to_do_is_one_query_a_rule(query_count: Any) -> None:
    pruner = Pruner()
    queries = len(RULES) + 1
    with query_count(queries, queries):
        pruner.prune_due()


@pytest.mark.parametrize(
    "index", range(len(RULES)), ids=[f"{number}-{rule.model.__name__}" for number, rule in enumerate(RULES)]
)
def test_rows_are_found_by_an_index(index: int) -> None:
    TripFactory(driver=DriverFactory(), status="accepted")
    statements = plans.statements(lambda: pruning.prune_batch(a_walk(RULES[index]), timezone.now(), ServiceSettings()))
    assert [plans.full_scans(plans.plan(*one, is_large=True)) for one in statements] == [[]]


def a_walk(rule: pruning.Rule) -> pruning.Walk:
    return pruning.Walk(rule, pruning._before_all_keys(rule.model), 0.0, 0.0)


# Several at once, interruptions


@pytest.mark.django_db(transaction=True)
def test_two_dispatchers_at_once_delete_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    keep(**ALL_CASES)
    old = [case.make(case.kept + HOUR) for case in CASES.values() for _number in range(3)]
    young = [case.make(case.kept - HOUR) for case in CASES.values()]
    together = threading.Barrier(2)

    def run() -> None:
        together.wait(30)
        try:
            prune()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(run) for _number in range(2)]:
            one.result(60)

    assert any(left(old)) is False
    assert all(left(young))


@pytest.mark.scaled_only
@pytest.mark.django_db(transaction=True)
def test_rows_that_another_dispatcher_is_deleting_are_skipped_without_waiting() -> None:
    keep(**ALL_CASES)
    pairs = [[case.make(case.kept + 2 * HOUR), case.make(case.kept + HOUR)] for case in CASES.values()]
    others = connections.create_connection("default")
    try:
        others.set_autocommit(False)
        with others.cursor() as cursor:
            for locked, _free in pairs:
                model = type(locked)
                table, key = connection.ops.quote_name(model._meta.db_table), model._meta.pk.column
                cursor.execute(f"SELECT 1 FROM {table} WHERE {key} = %s FOR UPDATE", [locked.pk])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'")
        prune()
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
        assert [left(pair) for pair in pairs] == [[True, False]] * len(pairs)
        others.rollback()
    finally:
        others.close()

    prune()

    assert not any(left([locked for locked, _free in pairs]))


def test_pass_that_is_interrupted_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    rows = [point(200 * DAY) for _number in range(5)]
    delete, calls = pruning._delete, []

    def dies_at_the_second(rule: Any, keys: list[Any], cutoff: dt.datetime) -> int:
        calls.append(keys)
        if len(calls) > 1:
            raise OperationalError("the database went away")
        return delete(rule, keys, cutoff)

    monkeypatch.setattr(pruning, "_delete", dies_at_the_second)
    (rule,) = (rule for rule in RULES if rule.model is TrailPoint)
    clock = Clock()
    pruner = Pruner([rule], clock)
    clock.now += pruner.prune_due()
    with pytest.raises(OperationalError):
        pruner.prune_due()
    monkeypatch.undo()
    assert left(rows) == [False, False, True, True, True]

    prune()

    assert not any(left(rows))


def test_rule_that_fails_does_not_hold_up_the_others() -> None:
    def fail(_settings: ServiceSettings) -> dt.timedelta:
        raise ProgrammingError("no such column")

    row = beat(2 * DAY)
    (good,) = (rule for rule in RULES if rule.model is ServerBeat)
    pruner = Pruner([pruning.Rule(Event, "created_at", fail), good], Clock())
    with pytest.raises(ProgrammingError):
        pruner.prune_due()

    pruner.prune_due()

    assert left([row]) == [False]


@pytest.mark.parametrize(("make", "field"), [(session, "expire_date"), (address_change, "expires_at")])
def test_row_that_is_renewed_after_it_was_read_stays(
    make: Callable[[dt.timedelta], Any], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, delete = make(DAY), pruning._delete

    def renewed_first(rule: Any, keys: list[Any], cutoff: dt.datetime) -> int:
        if row.pk in keys:
            dated(row, **{field: timezone.now() + DAY})
        return delete(rule, keys, cutoff)

    monkeypatch.setattr(pruning, "_delete", renewed_first)

    prune()

    assert left([row]) == [True]


# What is not deleted, whatever its age


def test_rows_of_a_trip_that_has_not_ended_stay_however_old_they_are() -> None:
    keep(**LEAST)
    trip = TripFactory(status=TripStatus.OFFERED)
    driven = TripFactory(status=TripStatus.IN_TRANSIT)
    then = timezone.now() - 4000 * DAY
    Trip.objects.update(ends_at=then, departure_at=then - HOUR)
    rows = [
        transition(4000 * DAY, trip),
        offer(4000 * DAY, trip, status=OfferStatus.DECLINED),
        TripWatch.objects.create(trip=driven, driver=driven.driver),
    ]

    prune()

    assert left(rows) == [True] * 3


def test_all_steps_of_a_trip_go_at_the_same_time() -> None:
    keep(disputes_kept_days=40, trail_kept_days=10)
    trip = ended_trip(39 * DAY)
    rows = [transition(age, trip) for age in (60 * DAY, 50 * DAY, 39 * DAY)]

    prune()
    before = left(rows)
    dated(trip, cancelled_at=timezone.now() - 41 * DAY)
    dated(rows[2], created_at=timezone.now() - 41 * DAY)
    prune()

    assert before == [True] * 3
    assert left(rows) == [False] * 3


@pytest.mark.parametrize("came_by", ["accepted and given back", "assigned by staff"])
def test_offers_of_a_trip_that_once_had_a_driver_are_kept_for_a_dispute(came_by: str) -> None:
    if came_by == "assigned by staff":
        trip = ended_trip(200 * DAY, TripStatus.CANCELLED, driver=DriverFactory())
    else:
        trip = ended_trip(200 * DAY)
        offer(200 * DAY, trip, status=OfferStatus.ACCEPTED, released_at=timezone.now())
    row = offer(200 * DAY, trip)

    prune()

    assert left([row]) == [True]


def test_planned_and_running_breaks_stay() -> None:
    keep(**LEAST)
    then = timezone.now() - 4000 * DAY
    planned = Break.objects.create(driver=DriverFactory(), starts_at=then, ends_at=then + HOUR)
    running = Break.objects.create(driver=DriverFactory(), starts_at=then, ends_at=then + HOUR, started_at=then)

    prune()

    assert left([planned, running]) == [True, True]


def test_events_that_nobody_has_published_stay() -> None:
    rows = [event(10 * DAY, is_published=False), event(10 * DAY)]

    prune()

    assert left(rows) == [True, False]


def test_read_notifications_may_go_before_unread_ones_counted_from_the_reading() -> None:
    rows = [notification(60 * DAY), notification(60 * DAY, read=20 * DAY), notification(60 * DAY, read=40 * DAY)]
    ServiceSettings.objects.create(pk=1, read_notifications_kept_days=30)

    prune()

    assert left(rows) == [True, True, False]


def test_notifications_are_kept_90_days_read_or_not() -> None:
    rows = [notification(age, read=read) for age in (91 * DAY, 89 * DAY) for read in (None, 80 * DAY)]

    prune()

    assert left(rows) == [False, False, True, True]


def test_expired_session_goes_without_a_word_to_anybodys_sockets() -> None:
    passenger = PassengerFactory()
    store = SessionStore()
    store[SESSION_KEY] = str(passenger.pk)
    store.save()
    row = dated(Session.objects.get(), expire_date=timezone.now() - HOUR)

    prune()

    assert left([row]) == [False]
    assert not Event.objects.exists()


def test_list_of_sessions_forgets_one_that_was_deleted_by_other_means() -> None:
    rows = [account_session(-DAY), account_session(-DAY)]
    Session.objects.filter(pk=rows[0].session_id)._raw_delete("default")

    prune()

    assert left(rows) == [False, True]


# Answers that are computed from old rows, at the least times that staff can set


def test_driver_metrics_do_not_change() -> None:
    keep(**LEAST)
    driver = DriverFactory()
    for status in (OfferStatus.ACCEPTED, OfferStatus.DECLINED, OfferStatus.EXPIRED):
        trip = ended_trip(6.9 * DAY, TripStatus.COMPLETED if status == OfferStatus.ACCEPTED else TripStatus.CANCELLED)
        offer(6.9 * DAY, trip, driver=driver, status=status)

    def counted() -> tuple[float | None, int, dt.datetime | None]:
        metrics.schedule_count(driver.pk)
        metrics.count_due(10)
        driver.metrics.refresh_from_db()
        return driver.metrics.acceptance, driver.metrics.cancellations, driver.metrics.last_trip_at

    before = counted()
    prune()

    assert before[0] == pytest.approx(1 / 3)
    assert counted() == before


def test_late_cancellations_of_a_day_count() -> None:
    keep(**LEAST)
    passenger = PassengerFactory()
    trip = ended_trip(23 * HOUR, organiser=passenger)
    transition(23 * HOUR, trip, from_status=TripStatus.ACCEPTED, role=Role.ORGANISER, by=passenger)

    prune()

    with transaction.atomic():
        assert booking_limits.lock_account(passenger).late_cancels == 1


def test_why_a_driver_did_not_get_a_trip_reads_the_same_while_its_rounds_are_kept() -> None:
    """Rounds are kept longer than offers and availability are set to: these stay as long."""
    keep(**LEAST | {"rounds_kept_days": 100})
    trip = ended_trip(90 * DAY)
    declined, offline = DriverFactory(), DriverFactory()
    offer(90 * DAY, trip, driver=declined, status=OfferStatus.DECLINED)
    availability_change(91 * DAY, driver=offline, previous=Availability.AVAILABLE, availability=Availability.OFFLINE)
    row = DispatchRound.objects.create(trip=trip, number=1, verdicts=[[declined.pk, 1.0, "offered", 1.0]])
    dated(row, created_at=timezone.now() - 90 * DAY)
    availability_change(80 * DAY, driver=offline, previous=Availability.OFFLINE)
    availability_change(HOUR, driver=offline, previous=Availability.AVAILABLE, availability=Availability.BUSY)

    def told() -> list[str]:
        answers = [explain.explain_driver(trip, driver).verdicts for driver in (declined, offline)]
        return [explain.outcome(verdict) for verdicts in answers for verdict in verdicts]

    before = told()
    prune()

    assert before == ["offered: declined", "offline"]
    assert told() == before


def test_passenger_sees_the_same_trail_while_it_is_kept() -> None:
    """The steps that say which part of it is the ride stay as long, though they are set to go sooner."""
    keep(**LEAST | {"trail_kept_days": 200})
    trip = ended_trip(100 * DAY, TripStatus.COMPLETED)
    for age, status in ((3, TripStatus.PASSENGERS_BOARDED), (1, TripStatus.ARRIVED)):
        transition(100 * DAY + age * HOUR, trip, to_status=status)
    for age in (4, 2):
        at = timezone.now() - 100 * DAY - age * HOUR
        TrailPoint.objects.create(trip=trip, driver=trip.driver, lat=43, lng=76, recorded_at=at)
    trip.refresh_from_db()

    before = list(trail_visible_to(trip.organiser, trip))
    prune()

    assert len(before) == 1
    assert list(trail_visible_to(trip.organiser, trip)) == before


@pytest.mark.parametrize("status", [TripStatus.COMPLETED, TripStatus.CANCELLED])
def test_page_of_a_trip_opens_after_its_history_has_gone(client: Client, status: TripStatus) -> None:
    trip = ended_trip(2000 * DAY, status)
    rows = [transition(2000 * DAY, trip, to_status=status), offer(2000 * DAY, trip)]
    prune()
    assert left(rows) == [False, False]

    client.force_login(trip.organiser)
    assert client.get(f"/trips/{trip.pk}/").status_code == 200
    client.force_login(StaffFactory())
    assert client.get(f"/admin/trips/trip/{trip.pk}/change/").status_code == 200


def test_what_went_in_a_day_is_in_the_audit_log() -> None:
    keep(**ALL_CASES)
    for _number in range(3):
        notification(400 * DAY)
    clock = Clock()
    pruner = Pruner([rule for rule in RULES if rule.model is Notification], clock=clock)
    pruner.prune_due()
    assert not AuditEntry.objects.exists()
    clock.now += pruning.WALK_S
    pruner.prune_due()
    (said,) = AuditEntry.objects.all()
    assert (said.action, said.actor, said.model) == ("prune", None, "realtime.notification")
    assert said.fields == {"rows": [3, None]}
