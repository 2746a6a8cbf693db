"""The actions of the operations room on a trip: nothing is done to another driver's trip than the page showed."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from stepper.errors import Conflict, DomainError
from stepper.models import User
from stepper.ops import actions, trips
from stepper.ops.trip_panel import TripPanel
from tests.backoffice import staff_with
from tests.factories import ALMATY, DriverFactory, TripFactory
from trips import access, assignment, bookings, driving, steering
from trips.access import NOBODY
from trips.models import Trip

pytestmark = pytest.mark.django_db

# The actions on a trip that has a driver, and a status in which each makes sense.
WITH_DRIVER = {
    "take-off": "accepted",
    "confirm-arrival": "en_route",
    "waive-code": "accepted",
    "take-back-arrival": "driver_arrived",
    "complete": "in_transit",
    "cancel": "accepted",
}
WITHOUT_DRIVER = ("offer-again", "cancel")
VERBS: dict[str, Callable[..., Any]] = {
    "offer-again": lambda *args, **shown: assignment.offer_again(*args[:2], **shown),
    "take-off": assignment.take_off,
    "confirm-arrival": driving.confirm_arrival,
    "waive-code": driving.waive_boarding_code,
    "take-back-arrival": steering.take_back_arrival,
    "complete": steering.complete,
    "cancel": bookings.cancel,
}


@pytest.fixture
def staff() -> User:
    return staff_with("view_trip", "change_trip", "view_driver")


@pytest.fixture
def desk(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


def trip_of(status: str, **fields: Any) -> Trip:
    trip: Trip = TripFactory.create(status=status, boarding_code="4711", **fields)
    return trip


def move_to_another(trip: Trip) -> None:
    """Give the trip another driver, behind the back of whoever looks at it."""
    Trip.objects.filter(pk=trip.pk).update(driver=DriverFactory.create(at=ALMATY))


def row_of(trip: Trip) -> dict[str, Any]:
    return dict(Trip.objects.values().get(pk=trip.pk))


def moved_behind(page: Any, monkeypatch: pytest.MonkeyPatch, move: Callable[[], None]) -> None:
    """Let `move` run once the page has read its trip, before the verb reads it."""

    def read_and_move(request: Any, trip_id: int) -> TripPanel:
        panel: TripPanel = page(request, trip_id)
        move()
        return panel

    monkeypatch.setattr(trips, "_panel", read_and_move)


def test_every_action_is_tested() -> None:
    # A call for help is handled whoever drives the trip by now.
    assert {action.name for action in actions.TRIP_ACTIONS} - {"help-handled"} == {*WITH_DRIVER, *WITHOUT_DRIVER}


@pytest.mark.parametrize(("name", "status"), WITH_DRIVER.items())
def test_a_trip_that_moved_after_the_page_read_it_is_left_alone(
    desk: Client, monkeypatch: pytest.MonkeyPatch, name: str, status: str
) -> None:
    trip = trip_of(status)
    form = {"reason": "by phone", "shown": trip.driver_id}
    after: list[dict[str, Any]] = []

    def move() -> None:
        if not after:
            move_to_another(trip)
            after.append(row_of(trip))

    moved_behind(trips._panel, monkeypatch, move)
    answer = desk.post(f"/ops/trips/{trip.pk}/do/{name}/", form)
    assert answer.status_code == 409
    assert "The driver of this trip is another one meanwhile" in answer.content.decode()
    assert row_of(trip) == after[0]


@pytest.mark.parametrize("name", WITHOUT_DRIVER)
def test_a_trip_that_got_a_driver_after_the_page_showed_none_is_left_alone(desk: Client, name: str) -> None:
    trip = trip_of("unfilled", driver=None)
    page = desk.get(f"/ops/trips/{trip.pk}/do/{name}/")
    shown = page.context["form"]["shown"].value()
    assignment.assign(trip.pk, DriverFactory.create(at=ALMATY).pk, staff_with("change_trip", "view_trip"), "near")
    before = row_of(trip)
    answer = desk.post(f"/ops/trips/{trip.pk}/do/{name}/", {"reason": "by phone", "shown": shown})
    assert answer.status_code == 409
    assert row_of(trip) == before


def test_a_form_that_kept_nobody_stands_for_the_driver_of_its_request(
    desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip = trip_of("accepted")
    moved_behind(trips._panel, monkeypatch, lambda: move_to_another(trip))
    answer = desk.post(f"/ops/trips/{trip.pk}/do/cancel/", {"reason": "by phone"})
    assert answer.status_code == 409
    assert row_of(trip)["status"] == "accepted"


@pytest.mark.parametrize(("name", "status"), WITH_DRIVER.items())
def test_a_verb_does_what_was_wanted_for_the_driver_who_was_shown(staff: User, name: str, status: str) -> None:
    trip = trip_of(status)
    before = row_of(trip)
    VERBS[name](trip.pk, staff, "by phone", shown_driver_id=trip.driver_id)
    assert row_of(trip) != before


@pytest.mark.parametrize("name", WITH_DRIVER)
def test_a_verb_refuses_where_nobody_was_shown(staff: User, name: str) -> None:
    trip = trip_of(WITH_DRIVER[name])
    before = row_of(trip)
    with pytest.raises(Conflict) as error:
        VERBS[name](trip.pk, staff, "by phone", shown_driver_id=NOBODY)
    assert error.value.code == "assignment.changed_meanwhile"
    assert row_of(trip) == before


@pytest.mark.parametrize("name", WITHOUT_DRIVER)
def test_a_verb_does_what_was_wanted_where_nobody_was_shown(staff: User, name: str) -> None:
    trip = trip_of("unfilled", driver=None)
    VERBS[name](trip.pk, staff, "by phone", shown_driver_id=NOBODY)
    with pytest.raises(Conflict) as error:
        VERBS[name](trip.pk, staff, "by phone", shown_driver_id=DriverFactory.create().pk)
    assert error.value.code == "assignment.changed_meanwhile"


# With SQLite nobody writes between the verb's first read and its locks: its transaction is the one that writes.
@pytest.mark.scaled_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", [name for name in WITH_DRIVER if name != "waive-code"])
def test_a_trip_that_moves_before_the_verb_has_its_locks_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The verb reads the trip to know whom to lock; another thread moves it before the lock is taken."""
    staff, trip = staff_with("view_trip", "change_trip", "view_driver"), trip_of(WITH_DRIVER[name])
    shown, moved = trip.driver_id, threading.Event()
    real = access.trip_for
    moved_row: list[dict[str, Any]] = []

    def move() -> None:
        try:
            move_to_another(trip)
            moved_row.append(row_of(trip))
        finally:
            connection.close()
            moved.set()

    def read_and_wait(user: User, trip_id: int) -> Trip:
        found = real(user, trip_id)
        if not moved.is_set():
            other = threading.Thread(target=move)
            other.start()
            other.join(timeout=20)
        return found

    for module in (access, assignment, bookings, driving):
        monkeypatch.setattr(module, "trip_for", read_and_wait)
    codes = []
    try:
        VERBS[name](trip.pk, staff, "by phone", shown_driver_id=shown)
    except DomainError as error:
        codes.append(error.code)
    assert codes == ["assignment.changed_meanwhile"]
    assert [row_of(trip)] == moved_row
