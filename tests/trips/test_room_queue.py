"""The queue of the operations room, and who sees to what of it."""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from drivers.models import Approval, Driver
from stepper.errors import Conflict, DomainError, NotFound, NotPermitted
from stepper.models import ServiceSettings, User
from tests.backoffice import member_of_staff
from tests.factories import DriverFactory, StaffFactory, TripFactory
from tests.papers import applicant, document
from trips import safety
from trips.attention import Matter
from trips.models import Claim, SafetyAlert, Trip, TripWatch
from trips.room import claims, queue
from trips.room.picture import Reader

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)


def unfilled(**fields: Any) -> Trip:
    trip: Trip = TripFactory.create(status="unfilled", escalated_at=timezone.now(), **fields)
    return trip


def late() -> Trip:
    trip: Trip = TripFactory.create(status="accepted")
    assert trip.driver is not None
    TripWatch.objects.create(trip=trip, driver=trip.driver, late_at=timezone.now())
    return trip


def call() -> SafetyAlert:
    trip = TripFactory.create(status="in_transit")
    return SafetyAlert.objects.create(trip=trip, raised_by=trip.organiser)


def matters() -> list[tuple[Matter, int]]:
    return [(item.matter, item.row_id) for item in queue.read_queue()]


def test_most_urgent_is_first_and_the_oldest_of_its_kind() -> None:
    newer = unfilled()
    older = unfilled()
    Trip.objects.filter(pk=older.pk).update(escalated_at=timezone.now() - MINUTE)
    waiting = applicant()
    called, flagged = call(), late()
    assert matters() == [
        (Matter.HELP, called.pk),
        (Matter.UNFILLED, older.pk),
        (Matter.UNFILLED, newer.pk),
        (Matter.LATE, flagged.pk),
        (Matter.APPLICATION, waiting.pk),
    ]


@pytest.mark.parametrize(("days", "is_in_it"), [(-8, False), (-7, True), (0, True), (7, True), (8, False)])
def test_licence_is_in_it_a_week_before_and_after_its_last_day(days: int, is_in_it: bool) -> None:
    DriverFactory.create(licence_expires_on=timezone.localdate() + days * DAY)
    assert bool(matters()) == is_in_it


def test_documents_of_a_driver_are_to_be_checked() -> None:
    driver = DriverFactory.create()
    document(driver.user, "insurance", status="pending")
    assert matters() == [(Matter.PAPERS, driver.pk)]


@pytest.mark.parametrize("change", [{"approval": Approval.SUSPENDED}, {"user__is_active": False}])
def test_who_does_not_drive_any_more_is_not_in_it(change: dict[str, Any]) -> None:
    DriverFactory.create(licence_expires_on=timezone.localdate(), **change)
    assert matters() == []


def test_least_urgent_are_left_out_where_there_are_more_than_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MOST", 1)
    waiting, unfilled = TripFactory(status="published"), TripFactory(status="unfilled")
    long_ago = timezone.now() - dt.timedelta(hours=1)
    Trip.objects.filter(pk=waiting.pk).update(created_at=long_ago)
    Trip.objects.filter(pk=unfilled.pk).update(escalated_at=timezone.now())
    DriverFactory(licence_expires_on=timezone.localdate())
    applicant()

    assert [item.matter for item in queue.read_queue()] == [Matter.UNFILLED, Matter.APPLICATION]


def test_number_of_queries_does_not_grow(query_count: Callable[[int, int], Any]) -> None:
    for _round in range(3):
        call(), unfilled(), late(), applicant()
    Claim.objects.create(subject="trip", row_id=unfilled().pk, by=StaffFactory.create())
    with query_count(5, 5):
        for item in queue.read_queue():
            assert all([item.words, item.title, item.path, item.zone])
            assert item.person or item.matter in {Matter.UNFILLED, Matter.APPLICATION}
            assert item.held is None or item.held.by.name


# Claiming


def claimed_by(trip: Trip) -> list[int]:
    return list(Claim.objects.filter(subject="trip", row_id=trip.pk).values_list("by", flat=True))


def test_claim_is_kept_and_the_second_one_is_refused() -> None:
    trip, first, second = unfilled(), StaffFactory.create(name="Saule"), StaffFactory.create()
    row = claims.claim("trip", trip.pk, first)
    assert claims.claim("trip", trip.pk, first) == row
    with pytest.raises(Conflict, match=r"claim\.taken") as refused:
        claims.claim("trip", trip.pk, second)
    assert str(refused.value.message) == "Saule sees to this."
    assert claimed_by(trip) == [first.pk]
    assert [item.held.by_id for item in queue.read_queue() if item.held] == [first.pk]


def test_claim_is_taken_over_from_whom_one_was_shown() -> None:
    trip, first, second, third = unfilled(), *(StaffFactory.create() for _one in range(3))
    claims.claim("trip", trip.pk, first)
    claims.claim("trip", trip.pk, second, instead_of=first.pk)
    with pytest.raises(Conflict, match=r"claim\.taken"):
        claims.claim("trip", trip.pk, third, instead_of=first.pk)
    assert claimed_by(trip) == [second.pk]


def test_release_ends_ones_own_claim_alone() -> None:
    trip, first, second = unfilled(), StaffFactory.create(), StaffFactory.create()
    claims.claim("trip", trip.pk, first)
    claims.release("trip", trip.pk, second)
    assert claimed_by(trip) == [first.pk]
    claims.release("trip", trip.pk, first)
    claims.release("trip", trip.pk, first)
    assert claimed_by(trip) == []


@pytest.mark.parametrize(("minutes", "is_over"), [(29, False), (30, True)])
def test_claim_ends_after_the_minutes_of_the_settings(minutes: int, is_over: bool) -> None:
    ServiceSettings(pk=1, claim_kept_min=30).save()
    trip, first, second = unfilled(), StaffFactory.create(), StaffFactory.create()
    claims.claim("trip", trip.pk, first)
    Claim.objects.update(claimed_at=timezone.now() - minutes * MINUTE)
    assert [item.held is None for item in queue.read_queue()] == [is_over]
    if is_over:
        assert claims.claim("trip", trip.pk, second).by == second
    else:
        with pytest.raises(Conflict):
            claims.claim("trip", trip.pk, second)


def test_claim_ends_when_the_matter_is_solved() -> None:
    trip, alert, staff = unfilled(), call(), StaffFactory.create()
    claims.claim("trip", trip.pk, staff)
    claims.claim("help", alert.pk, staff)
    safety.mark_handled(alert.pk, staff)
    Reader().read()
    assert list(Claim.objects.values_list("subject", flat=True)) == ["trip"]
    Trip.objects.update(status="cancelled")
    Reader().read()
    assert not Claim.objects.exists()


def test_what_is_solved_or_unknown_cannot_be_claimed() -> None:
    trip, staff = TripFactory.create(status="completed"), StaffFactory.create()
    with pytest.raises(Conflict, match=r"claim\.solved"):
        claims.claim("trip", trip.pk, staff)
    with pytest.raises(NotFound):
        claims.claim("weather", 1, staff)
    assert not Claim.objects.exists()


@pytest.mark.parametrize(
    ("subject", "permission"),
    [("trip", "trips.change_trip"), ("help", "trips.change_trip"), ("driver", "drivers.change_driver")],
)
def test_each_kind_needs_the_permission_to_work_on_it(subject: str, permission: str) -> None:
    makers: dict[str, Callable[[], Any]] = {"trip": unfilled, "help": call, "driver": applicant}
    row = makers[subject]()
    others = {"trips.change_trip", "drivers.change_driver", "trips.view_trip"} - {permission}
    lacking, having = _member(*others), _member(permission)
    for verb in (claims.claim, claims.release):
        with pytest.raises(NotPermitted):
            verb(subject, row.pk, lacking)
    assert claims.claim(subject, row.pk, having).by == having


def _member(*permissions: str) -> User:
    before = set(User.objects.values_list("pk", flat=True))
    member_of_staff(*permissions)
    return User.objects.exclude(pk__in=before).get()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_claim_at_once_one_has_it() -> None:
    trip, people = unfilled(), [StaffFactory.create() for _one in range(4)]
    barrier = threading.Barrier(len(people))
    outcomes: list[int | str] = []

    def press(user: User) -> None:
        try:
            barrier.wait()
            claims.claim("trip", trip.pk, user)
            outcomes.append(user.pk)
        except DomainError as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=(user,)) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [one for one in outcomes if isinstance(one, int)]
    assert winners == claimed_by(trip)
    assert outcomes.count("claim.taken") == len(people) - 1


def test_driver_who_is_approved_leaves_the_queue() -> None:
    driver = applicant()
    Driver.objects.filter(pk=driver.pk).update(approval=Approval.APPROVED)
    assert (Matter.APPLICATION, driver.pk) not in matters()
