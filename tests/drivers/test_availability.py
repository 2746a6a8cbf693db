"""Whether a driver can be asked: their switch and filters, the decisions of staff, being busy."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from drivers import approvals, availability
from drivers.models import Driver
from realtime import events, groups
from realtime.events import Filters
from realtime.models import Notification
from stepper.errors import DomainError, InvalidInput, NotFound
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, OfferFactory, StaffFactory, TripFactory
from tests.failing import failing
from tests.outbox import frames
from trips.states import TripStatus

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> User:
    return StaffFactory()


@pytest.fixture
def offline() -> Driver:
    return DriverFactory(at=ALMATY, is_online=False)


@pytest.fixture
def online() -> Driver:
    return DriverFactory(at=ALMATY)


def state(driver: Driver) -> tuple[bool, str, bool]:
    driver = Driver.objects.select_related("position").get(pk=driver.pk)
    return driver.is_online, driver.availability, driver.position.dispatchable


def code_of(verb: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(DomainError) as refused:
        verb(*args)
    return refused.value.code


def test_going_online_makes_the_driver_available(offline: Driver) -> None:
    assert availability.set_online(offline.pk, True).availability == "available"
    assert state(offline) == (True, "available", True)
    (frame,) = frames(groups.driver(offline.pk))
    assert isinstance(frame, events.DriverUpdated)
    assert (frame.changed, frame.availability, frame.is_online) == (["availability"], "available", True)


@pytest.mark.django_db(transaction=True)
def test_switch_stands_when_the_database_goes_away_before_the_trips_around_are_looked_at(offline: Driver) -> None:
    TripFactory(status=TripStatus.UNFILLED, pickup=ALMATY)
    with connection.execute_wrapper(failing('UPDATE "trips_trip"')):
        availability.set_online(offline.pk, True)
    assert state(offline) == (True, "available", True)


def test_going_offline_takes_the_driver_out_of_the_search(online: Driver) -> None:
    availability.set_online(online.pk, False)

    assert state(online) == (False, "offline", False)


@pytest.mark.parametrize("to", [True, False])
def test_switching_twice_changes_nothing(online: Driver, to: bool) -> None:
    availability.set_online(online.pk, to)
    once = state(online)

    availability.set_online(online.pk, to)

    assert state(online) == once


def test_switch_on_a_trip_takes_effect_when_it_ends(django_capture_on_commit_callbacks: Any) -> None:
    driver = TripFactory(status="in_transit").driver

    availability.set_online(driver.pk, False)
    assert state(driver) == (False, "busy", False)

    Driver.objects.get().trips.update(status="completed")
    with django_capture_on_commit_callbacks(execute=True):
        availability.mark_free(driver.pk)
    assert state(driver) == (False, "offline", False)


def test_going_online_without_a_position_is_possible() -> None:
    driver = DriverFactory()

    assert availability.set_online(driver.pk, True).availability == "available"


@pytest.mark.parametrize("approval", ["pending", "rejected", "suspended"])
def test_going_online_needs_approval(approval: str) -> None:
    driver = DriverFactory(approval=approval)

    assert code_of(availability.set_online, driver.pk, True) == "driver.not_approved"
    driver.refresh_from_db()
    assert not driver.is_online


def test_going_offline_needs_nothing() -> None:
    driver = DriverFactory(approval="pending", vehicle=None)

    assert availability.set_online(driver.pk, False).availability == "offline"


def test_going_online_needs_a_vehicle_and_a_licence() -> None:
    yesterday = timezone.localdate() - dt.timedelta(days=1)

    assert code_of(availability.set_online, DriverFactory(vehicle=None).pk, True) == "driver.no_vehicle"
    expired = DriverFactory(licence_expires_on=yesterday)
    assert code_of(availability.set_online, expired.pk, True) == "driver.licence_expired"


def test_going_online_as_nobody_is_not_found() -> None:
    with pytest.raises(NotFound):
        availability.set_online(12345, True)


def test_free_leaves_who_still_drives(online: Driver) -> None:
    TripFactory(status="in_transit", driver=online)

    availability.mark_free(online.pk)

    assert state(online) == (True, "busy", False)


def test_free_leaves_who_was_not_busy(offline: Driver) -> None:
    availability.mark_free(offline.pk)

    assert state(offline) == (False, "offline", False)


def test_make_busy_takes_the_driver_out_of_the_search(online: Driver) -> None:
    availability.mark_busy(online.pk)

    assert state(online) == (True, "busy", False)


# Filters


def test_filters_are_stored_and_the_rest_stays(online: Driver) -> None:
    availability.set_filters(online.pk, Filters(max_distance_km=12.5, min_earnings=3000))

    changed = availability.set_filters(online.pk, Filters(trip_types=["private"], accepts_long_distance=False))

    online.refresh_from_db()
    for driver in (changed, online):
        assert (driver.max_distance_km, driver.min_earnings) == (12.5, 3000)
        assert (driver.trip_types, driver.accepts_long_distance) == (["private"], False)


def test_filters_are_removed_by_none(online: Driver) -> None:
    availability.set_filters(online.pk, Filters(max_distance_km=12.5, min_earnings=3000))

    driver = availability.set_filters(online.pk, Filters(max_distance_km=None, min_earnings=None))

    assert (driver.max_distance_km, driver.min_earnings) == (None, None)


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        (Filters(max_distance_km=0), "max_distance_km"),
        (Filters(max_distance_km=-1), "max_distance_km"),
        (Filters(max_distance_km=1001), "max_distance_km"),
        (Filters(max_distance_km=float("nan")), "max_distance_km"),
        (Filters(min_earnings=-1), "min_earnings"),
        (Filters(min_earnings=100_000_001), "min_earnings"),
        (Filters(trip_types=[]), "trip_types"),
    ],
)
def test_filters_out_of_range_are_refused(online: Driver, filters: Filters, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        availability.set_filters(online.pk, filters)

    assert list(refused.value.fields) == [field]
    online.refresh_from_db()
    assert (online.max_distance_km, online.min_earnings) == (None, None)
    assert online.trip_types == ["private", "shared"]


# Decisions of staff


def test_approve_lets_the_driver_go_online(staff: User) -> None:
    driver = DriverFactory(approval="pending")

    assert approvals.approve(driver.pk, staff).approval == "approved"

    assert availability.set_online(driver.pk, True).availability == "available"
    told = Notification.objects.get()
    assert (told.user, told.category) == (driver.user, "system")


def test_suspend_takes_the_driver_offline_and_their_offers_back(online: Driver, staff: User) -> None:
    offer = OfferFactory(driver=online)

    approvals.suspend(online.pk, staff, "complaints")

    online.refresh_from_db()
    assert online.approval == "suspended"
    assert state(online) == (False, "offline", False)
    offer.refresh_from_db()
    assert offer.status == "withdrawn"
    expired, updated = frames(groups.driver(online.pk))
    assert isinstance(updated, events.DriverUpdated)
    assert (updated.changed, updated.availability, updated.approval) == (
        ["availability", "approval"],
        "offline",
        "suspended",
    )
    assert isinstance(expired, events.OfferExpired)
    assert Notification.objects.get(user=online.user).message == "complaints"


def test_suspend_leaves_a_trip_under_way(staff: User) -> None:
    trip = TripFactory(status="in_transit")

    approvals.suspend(trip.driver.pk, staff)

    trip.refresh_from_db()
    assert (trip.status, trip.driver.availability) == ("in_transit", "busy")


def test_suspended_driver_is_offline_after_the_trip(staff: User) -> None:
    trip = TripFactory(status="in_transit")
    approvals.suspend(trip.driver.pk, staff)
    type(trip).objects.update(status="completed")

    availability.mark_free(trip.driver.pk)

    assert state(trip.driver) == (False, "offline", False)


def test_reject_refuses_an_application(staff: User) -> None:
    driver = DriverFactory(approval="pending")

    assert approvals.reject(driver.pk, staff, "no licence").approval == "rejected"


def test_reinstate_does_not_put_the_driver_online(online: Driver, staff: User) -> None:
    approvals.suspend(online.pk, staff)

    assert approvals.reinstate(online.pk, staff).approval == "approved"
    assert state(online) == (False, "offline", False)


def test_decision_twice_tells_once(online: Driver, staff: User) -> None:
    approvals.suspend(online.pk, staff)

    assert code_of(approvals.suspend, online.pk, staff) == "driver.approval_refused"
    assert Notification.objects.count() == 1


# History


def history(driver: Driver) -> list[tuple[str, str, bool, str]]:
    rows = driver.availability_changes.order_by("pk")
    return [(row.previous, row.availability, row.is_online, row.cause) for row in rows]


def test_every_change_leaves_one_row_with_its_cause(offline: Driver, staff: User) -> None:
    availability.set_online(offline.pk, True)
    availability.set_online(offline.pk, True)
    availability.mark_busy(offline.pk)
    availability.mark_busy(offline.pk)
    availability.set_online(offline.pk, False)
    availability.mark_free(offline.pk)
    availability.mark_free(offline.pk)
    availability.set_online(offline.pk, True)
    approvals.suspend(offline.pk, staff, "complaints")

    assert history(offline) == [
        ("offline", "available", True, "driver"),
        ("available", "busy", True, "trip_started"),
        ("busy", "busy", False, "driver"),
        ("busy", "offline", False, "trip_ended"),
        ("offline", "available", True, "driver"),
        ("available", "offline", False, "suspended"),
    ]
    last = offline.availability_changes.latest("pk")
    assert (last.by, last.note) == (staff, "complaints")


def test_history_is_written_with_the_change_or_not_at_all(online: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(driver_id: int) -> None:
        raise RuntimeError("the process dies here")

    monkeypatch.setattr(availability, "sync_dispatchable", fail)
    with pytest.raises(RuntimeError), transaction.atomic():
        availability.set_online(online.pk, False)

    assert history(online) == []
    assert state(online) == (True, "available", True)


def test_only_staff_take_drivers_offline(online: Driver) -> None:
    assert code_of(availability.take_offline, online.pk, online.user) == "auth.forbidden"
    assert state(online) == (True, "available", True)
