"""Trips whose driver is expected: reminders, setting off in time, stalls; each said once, whoever looks."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import close_old_connections
from django.utils import timezone

from drivers.models import Driver, DriverPosition
from realtime import groups
from realtime.models import Notification
from stepper.models import ServiceSettings, User
from tests.backoffice import action_url, list_url, page_url, signed_in
from tests.drives import step_there
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory, place
from tests.outbox import types
from tests.rest import as_user
from trips import driving, fragments, watch
from trips.models import Trip, TripWatch
from trips.states import Role, Stall, TripStatus

pytestmark = pytest.mark.django_db

SECOND, MINUTE, HOUR = dt.timedelta(seconds=1), dt.timedelta(minutes=1), dt.timedelta(hours=1)
# One degree of latitude is about 111 km.
KM = 1 / 111.2

_STAMPS: dict[Any, tuple[str, ...]] = {
    Trip: ("departure_at", "ends_at", "accepted_at", "watch_at"),
    TripWatch: (
        "due_at",
        "first_reminder_at",
        "last_reminder_at",
        "nudged_at",
        "late_at",
        "set_off_at",
        "stalled_at",
        "stall_told_at",
        "anchor_at",
        "least_at",
    ),
}


def driver_of(trip: Trip) -> Driver:
    assert trip.driver is not None
    return trip.driver


def look() -> int:
    """What the dispatcher does. SQLite's clock knows milliseconds only: a mark of this very instant is not due yet."""
    Trip.objects.filter(watch_at__isnull=False).update(watch_at=timezone.now() - SECOND)
    return watch.watch_due()


def accepted(in_: dt.timedelta = dt.timedelta(), north_km: float = 0.0, ago: dt.timedelta = dt.timedelta()) -> Trip:
    """A trip that `DriverFactory`'s driver, so far north of the pickup, got `ago`, as `Trip.move` leaves it."""
    driver = DriverFactory(at=(ALMATY[0] + north_km * KM, ALMATY[1]))
    now = timezone.now()
    made: Trip = TripFactory(
        status=TripStatus.ACCEPTED, driver=driver, in_=in_, accepted_at=now - ago, watch_at=now, pickup=ALMATY
    )
    return made


def on_the_way(north_km: float = 5.0) -> Trip:
    trip = accepted(north_km=north_km)
    driving.update_status(trip.driver.pk, trip.pk, status="en_route")
    look()
    return trip


def pass_time(trip: Trip, by: dt.timedelta) -> None:
    """Everything about the trip and its watch was `by` longer ago; the driver's phone goes on reporting."""
    for model, names in _STAMPS.items():
        row = model.objects.filter(pk=trip.pk).first()
        moved = {name: at - by for name in names if (at := getattr(row, name, None)) is not None}
        if row is not None:
            model.objects.filter(pk=row.pk).update(**moved)


def go_on(trip: Trip, minutes: float, north_km: float) -> None:
    """After so many minutes the driver is so far north of the pickup, and the dispatcher looks."""
    pass_time(trip, minutes * MINUTE)
    place(driver_of(trip), ALMATY[0] + north_km * KM, ALMATY[1])
    TripWatch.objects.filter(pk=trip.pk, due_at__isnull=False).update(due_at=timezone.now() - SECOND)
    look()


def flagged() -> Trip:
    """A trip for now whose driver was told to set off and did not."""
    trip = accepted()
    for minutes in (0, 6, 11):
        go_on(trip, minutes, 3)
    assert of(trip).late_at is not None
    return trip


def titles(user: User) -> list[str]:
    return list(Notification.objects.filter(user=user).order_by("pk").values_list("title", flat=True))


def of(trip: Trip) -> TripWatch:
    return TripWatch.objects.get(pk=trip.pk)


# Reminders


def test_passenger_and_driver_are_reminded_of_each_time_once() -> None:
    trip = accepted(in_=25 * HOUR, ago=HOUR)
    look()
    assert titles(trip.organiser) == titles(trip.driver.user) == []

    for hours, told in ((1.01, 1), (0.1, 1), (22.5, 1), (0.5, 2), (0.2, 2)):
        pass_time(trip, hours * HOUR)
        look()
        look()
        assert len(titles(trip.organiser)) == told
    said = Notification.objects.filter(user=trip.driver.user).earliest("pk")
    assert said.title.startswith("Your trip: ")
    assert "Leave at" in said.message
    assert Notification.objects.filter(user=trip.organiser, message__contains=trip.vehicle.plate_text).count() == 2


def test_a_reminder_of_what_was_agreed_later_is_not_sent() -> None:
    trip = accepted(in_=3 * HOUR)
    look()
    assert titles(trip.organiser) == []
    pass_time(trip, 2 * HOUR + MINUTE)
    look()
    assert len(titles(trip.organiser)) == 1


def test_after_a_long_silence_there_is_one_reminder_and_after_departure_none() -> None:
    late, over = accepted(in_=30 * MINUTE, ago=48 * HOUR), accepted(in_=-MINUTE, ago=48 * HOUR)
    Trip.objects.update(is_now=False)
    look()
    assert len(titles(late.organiser)) == 1
    assert titles(over.organiser) == []


def test_reminders_can_be_switched_off() -> None:
    ServiceSettings.objects.create(pk=1, reminder_first_min=0, reminder_last_min=0)
    trip = accepted(in_=30 * MINUTE, ago=48 * HOUR)
    look()
    assert titles(trip.organiser) == []


def test_a_trip_for_now_is_not_reminded_of() -> None:
    trip = accepted(ago=MINUTE)
    look()
    assert titles(trip.organiser) == []


# Setting off


def test_a_driver_who_does_not_set_off_is_nudged_then_the_trip_is_flagged() -> None:
    staff, other = StaffFactory(), StaffFactory(is_superuser=False)
    trip = accepted(in_=2 * HOUR, north_km=20, ago=30 * HOUR)  # 24 km by road, 32 min
    ServiceSettings.objects.create(pk=1, reminder_first_min=0, reminder_last_min=0)
    look()
    assert of(trip).nudged_at is None

    go_on(trip, 94, 20)
    go_on(trip, 1, 20)
    assert titles(trip.driver.user) == ["Time to set off"]
    assert titles(staff) == []

    go_on(trip, 10, 20)
    go_on(trip, 1, 20)
    assert titles(staff) == [f"Trip {trip.pk}: the driver has not set off"]
    assert titles(trip.driver.user) == ["Time to set off"]
    assert titles(other) == []
    assert of(trip).late_at is not None


def test_who_is_near_may_wait_and_who_drives_without_saying_is_not_late() -> None:
    near = accepted(in_=20 * MINUTE, north_km=0.2, ago=30 * HOUR)
    look()
    assert of(near).nudged_at is None

    trip = accepted(in_=20 * MINUTE, north_km=20, ago=30 * HOUR)
    look()
    go_on(trip, 11, 20)
    assert of(trip).late_at is not None
    go_on(trip, 1, 0.2)
    assert of(trip).late_at is None


def test_a_trip_for_now_is_set_off_for_within_minutes() -> None:
    trip = accepted()
    look()
    go_on(trip, 4, 3)
    assert titles(trip.driver.user) == []
    go_on(trip, 2, 3)
    assert titles(trip.driver.user) == ["Time to set off"]


def test_setting_off_ends_it() -> None:
    trip = flagged()
    driving.update_status(trip.driver.pk, trip.pk, status="en_route")
    look()
    assert (of(trip).late_at, of(trip).nudged_at) == (None, None)


def test_another_driver_begins_anew_and_a_trip_given_back_is_left_alone() -> None:
    trip = flagged()
    driving.update_status(trip.driver.pk, trip.pk, status="released")
    go_on(trip, 1, 3)
    assert of(trip).due_at is None
    assert look() == 0

    other: Driver = DriverFactory(at=ALMATY)
    Trip.objects.get(pk=trip.pk).move(
        TripStatus.ACCEPTED, Role.DRIVER, driver=other, vehicle=other.vehicle, accepted_at=timezone.now()
    )
    look()
    assert (of(trip).driver_id, of(trip).nudged_at) == (other.pk, None)


# Stalls


def panel(trip: Trip) -> str:
    return fragments.snapshot(trip.pk, trip.organiser_id)


def test_standing_still_is_shown_until_it_moves() -> None:
    staff = StaffFactory()
    trip = on_the_way()
    version = Trip.objects.get(pk=trip.pk).version
    go_on(trip, 3, 4.95)
    assert of(trip).stall == ""

    go_on(trip, 3, 5.05)
    assert of(trip).stall == Stall.STANDING
    assert "has been standing still since" in panel(trip)
    asked = as_user(trip.organiser).get(f"/api/trips/{trip.pk}").json()
    assert asked["stall"]["kind"] == "standing"
    assert types(groups.trip(trip.pk)) == ["trip.status.updated"] * 2
    assert Trip.objects.get(pk=trip.pk).version == version + 1

    go_on(trip, 1, 5)
    assert types(groups.trip(trip.pk)) == ["trip.status.updated"] * 2

    go_on(trip, 1, 4.5)
    assert of(trip).stall == ""
    assert "standing still" not in panel(trip)
    assert as_user(trip.organiser).get(f"/api/trips/{trip.pk}").json()["stall"] is None
    assert types(groups.trip(trip.pk)) == ["trip.status.updated"] * 3

    go_on(trip, 6, 4.5)
    assert of(trip).stall == Stall.STANDING
    assert titles(staff) == [f"Trip {trip.pk}: the driver stands still"]


def test_moving_away_is_shown_until_the_driver_turns() -> None:
    trip = on_the_way()
    go_on(trip, 2, 4)
    for km in (4.5, 4.9, 5.2):
        go_on(trip, 2, km)
    assert of(trip).stall == Stall.AWAY
    go_on(trip, 1, 8)
    assert of(trip).stall == Stall.AWAY
    assert "driving away from the pickup" in panel(trip)
    # Still farther than at first, but coming back.
    go_on(trip, 1, 7.5)
    assert of(trip).stall == ""
    go_on(trip, 2, 6.5)
    assert of(trip).stall == ""


def test_a_way_around_a_block_is_no_stall() -> None:
    trip = on_the_way()
    for km in (4.0, 4.4, 4.7, 4.4, 3.9, 4.3, 3.5):
        go_on(trip, 2, km)
        assert of(trip).stall == ""


def test_a_silent_phone_is_shown_until_it_speaks() -> None:
    trip = on_the_way()
    pass_time(trip, 6 * MINUTE)
    place(driver_of(trip), *ALMATY, age=6 * MINUTE)
    look()
    assert of(trip).stall == Stall.DARK
    go_on(trip, 0, 4)
    assert of(trip).stall == ""


def test_waiting_around_the_corner_is_no_stall() -> None:
    trip = on_the_way(north_km=0.2)
    for _look in range(3):
        go_on(trip, 4, 0.2)
    assert of(trip).stall == ""


def test_what_happened_before_setting_off_is_no_stall() -> None:
    trip = accepted(north_km=5)
    place(driver_of(trip), ALMATY[0] + 5 * KM, ALMATY[1], age=20 * MINUTE)
    driving.update_status(trip.driver.pk, trip.pk, status="en_route")
    look()
    assert of(trip).stall == ""


def test_at_the_pickup_the_watch_ends() -> None:
    trip = on_the_way()
    go_on(trip, 6, 5)
    assert of(trip).stall == Stall.STANDING
    step_there(trip.pk, "driver_arrived")
    go_on(trip, 1, 0)
    assert (of(trip).stall, of(trip).due_at) == ("", None)
    assert look() == 0


def test_a_flagged_arrival_is_watched_until_a_position_confirms_it() -> None:
    trip = on_the_way()
    DriverPosition.objects.all().delete()
    driving.update_status(trip.driver.pk, trip.pk, status="driver_arrived")
    look()
    assert Trip.objects.get().arrival_flagged
    assert of(trip).due_at is not None
    go_on(trip, 1, 5)
    assert Trip.objects.get().arrival_flagged

    go_on(trip, 1, 0.1)

    assert not Trip.objects.get().arrival_flagged
    row = trip.transitions.get(from_status="driver_arrived")
    assert (row.role, row.to_status, row.by) == (Role.SYSTEM, "driver_arrived", None)
    assert (of(trip).due_at, look()) == (None, 0)


def test_a_flagged_arrival_is_looked_at_at_once_whenever_its_watch_was_due() -> None:
    trip = accepted(in_=HOUR)
    look()
    assert TripWatch.objects.filter(pk=trip.pk, due_at__gt=timezone.now() + MINUTE).exists()
    DriverPosition.objects.all().delete()
    driving.update_status(trip.driver.pk, trip.pk, status="driver_arrived")
    place(driver_of(trip), *ALMATY)

    assert look() == 1

    trip.refresh_from_db()
    assert not trip.arrival_flagged


def test_a_position_that_says_nothing_changes_nothing() -> None:
    trip = on_the_way()
    go_on(trip, 6, 5)
    assert of(trip).stall == Stall.STANDING
    pass_time(trip, MINUTE)
    place(driver_of(trip), ALMATY[0] + 9 * KM, ALMATY[1])
    DriverPosition.objects.update(jumped=True)
    look()
    assert of(trip).stall == Stall.STANDING
    DriverPosition.objects.update(jumped=False)
    go_on(trip, 1, 4)
    assert of(trip).stall == ""


def test_one_trip_that_cannot_be_handled_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    bad, good = (accepted(in_=30 * MINUTE, ago=48 * HOUR) for _number in range(2))
    Trip.objects.filter(pk=bad.pk).update(timezone="Asia/Nowhere")
    look()
    assert len(titles(good.organiser)) == 1
    assert f"failed for row {bad.pk}" in caplog.text


# For staff


def test_staff_find_trips_that_need_attention() -> None:
    late = flagged()
    standing, fine = on_the_way(), on_the_way()
    go_on(standing, 6, 5)
    client = signed_in(StaffFactory())

    def found(attention: str) -> set[int]:
        rows = client.get(list_url(Trip), {"attention": attention}).context["cl"].result_list
        return {row.pk for row in rows}

    assert found("any") == {late.pk, standing.pk}
    assert found("late") == {late.pk}
    assert found("standing") == {standing.pk}
    assert found("dark") == set()
    assert "Standing still since" in client.get(page_url(standing)).content.decode()
    assert "Has not set off" in client.get(list_url(Trip)).content.decode()
    assert "Standing still since" not in client.get(page_url(fine)).content.decode()


def test_staff_find_arrivals_and_steps_that_no_position_bears_out() -> None:
    unconfirmed, far, past = (TripFactory(status="en_route") for _number in range(3))
    fine = TripFactory(status="en_route")
    step_there(fine.pk, "driver_arrived")
    DriverPosition.objects.filter(driver=unconfirmed.driver).delete()
    driving.update_status(unconfirmed.driver.pk, unconfirmed.pk, status="driver_arrived")
    for trip in (far, past):
        step_there(trip.pk, "driver_arrived")
        place(driver_of(trip), ALMATY[0] + 9 * KM, ALMATY[1])
        driving.update_status(trip.driver.pk, trip.pk, status="passengers_boarded")
    for status in ("in_transit", "arrived", "completed"):
        step_there(past.pk, status)
    client = signed_in(StaffFactory())

    def found(attention: str) -> set[int]:
        rows = client.get(list_url(Trip), {"attention": attention}).context["cl"].result_list
        return {row.pk for row in rows}

    assert found("unconfirmed") == {unconfirmed.pk}
    assert found("far") == {far.pk, past.pk}
    assert found("any") == {unconfirmed.pk, far.pk}
    assert "Arrival not confirmed" in client.get(page_url(unconfirmed)).content.decode()
    assert "Far away (9" in client.get(page_url(far)).content.decode()


def test_staff_confirm_an_arrival_on_the_trips_page_with_a_reason() -> None:
    trip = on_the_way()
    client = signed_in(StaffFactory())
    assert client.post(action_url(trip, "confirm_arrival"), {"reason": ""}).status_code == 200
    assert client.post(action_url(trip, "confirm_arrival"), {"reason": "she sees the car"}).status_code == 302
    trip.refresh_from_db()
    assert (trip.status, trip.arrival_flagged) == (TripStatus.DRIVER_ARRIVED, False)
    assert trip.transitions.get(to_status="driver_arrived").note == "she sees the car"


def test_staff_have_a_flagged_trip_offered_again_with_one_action() -> None:
    trip = flagged()
    client = signed_in(StaffFactory())
    assert client.post(action_url(trip, "take_off"), {"reason": "did not set off"}).status_code == 302
    trip.refresh_from_db()
    assert (trip.status, trip.driver) == ("offered", None)
    assert list(client.get(list_url(Trip), {"attention": "any"}).context["cl"].result_list) == []


# Costs, and several dispatchers


def test_nothing_to_watch_costs_two_queries(query_count: Callable[[int, int], Any]) -> None:
    TripFactory(status=TripStatus.ACCEPTED)
    with query_count(2, 2):
        assert watch.watch_due() == 0


@pytest.mark.parametrize("trips", [1, 3])
def test_watching_costs_the_same_for_1_and_3_trips(query_count: Callable[[int, int], Any], trips: int) -> None:
    made = [on_the_way() for _number in range(trips)]
    TripWatch.objects.filter(pk__in=[trip.pk for trip in made]).update(due_at=timezone.now() - SECOND)
    with query_count(8, 8):
        assert watch.watch_due() == trips


@pytest.mark.django_db(transaction=True)
def test_many_dispatchers_say_everything_once() -> None:
    staff = StaffFactory()
    reminded = [accepted(in_=30 * MINUTE, ago=48 * HOUR) for _number in range(3)]
    stalled = [on_the_way() for _number in range(3)]
    for trip in stalled:
        pass_time(trip, 6 * MINUTE)
        place(driver_of(trip), ALMATY[0] + 5 * KM, ALMATY[1])

    def dispatcher(_number: int) -> None:
        try:
            watch.watch_due()
        finally:
            close_old_connections()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(dispatcher, range(4)))
    look()
    for trip in reminded:
        assert len(titles(trip.organiser)) == 1
    for trip in stalled:
        assert types(groups.trip(trip.pk)) == ["trip.status.updated"] * 2
    assert len(titles(staff)) == 3
