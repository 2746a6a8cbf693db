"""A driver's working time: offline without activity, breaks, weekly hours; each effect once, whoever looks."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from django.db import close_old_connections
from django.utils import timezone

from drivers import approvals, availability, working_time
from drivers.models import Break, Cause, Driver, DriverPosition
from realtime import events, groups
from realtime.models import Notification
from stepper.errors import DomainError
from stepper.models import ServiceSettings
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory, place
from tests.outbox import frames
from trips import driving

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def driver() -> Driver:
    """Online by their own switch, so with all its stamps."""
    made: Driver = DriverFactory(at=ALMATY, is_online=False)
    availability.set_online(made.pk, True)
    made.availability_changes.all().delete()
    return fresh(made)


def fresh(driver: Driver) -> Driver:
    return Driver.objects.select_related("user", "position").get(pk=driver.pk)


def state(driver: Driver) -> tuple[bool, str]:
    driver.refresh_from_db()
    return driver.is_online, driver.availability


def causes(driver: Driver) -> list[str]:
    return list(driver.availability_changes.order_by("pk").values_list("cause", flat=True))


def updates(driver: Driver) -> list[events.DriverUpdated]:
    return [frame for frame in frames(groups.driver(driver.pk)) if isinstance(frame, events.DriverUpdated)]


def titles(driver: Driver) -> list[str]:
    return list(Notification.objects.filter(user=driver.user).order_by("pk").values_list("title", flat=True))


def pass_time(driver: Driver, by: dt.timedelta) -> None:
    """Everything about the driver's working time was `by` longer ago."""
    driver.refresh_from_db()
    names = ("active_at", "idle_look_at", "auto_offline_at", "hours_due_at", "on_break_until")
    moments = {name: getattr(driver, name) for name in names}
    Driver.objects.filter(pk=driver.pk).update(
        **{name: moment - by for name, moment in moments.items() if moment is not None}
    )
    for row in driver.breaks.all():
        moved = {
            name: moment - by
            for name in ("starts_at", "ends_at", "started_at", "ended_at", "due_at")
            if (moment := getattr(row, name)) is not None
        }
        Break.objects.filter(pk=row.pk).update(**moved)


def until(driver: Driver, name: str) -> dt.timedelta:
    """From now to one of the driver's stamps, as the row has it."""
    at = getattr(fresh(driver), name)
    assert isinstance(at, dt.datetime)
    return at - timezone.now()


def code_of(verb: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(DomainError) as refused:
        verb(*args)
    return refused.value.code


# Without activity


def test_an_idle_driver_is_warned_then_taken_offline_once_each(driver: Driver) -> None:
    pass_time(driver, 109 * MINUTE)
    working_time.apply_due()
    assert titles(driver) == []

    pass_time(driver, 2 * MINUTE)
    working_time.apply_due()
    working_time.apply_due()
    assert titles(driver) == ["Are you still there?"]
    assert state(driver) == (True, "available")

    pass_time(driver, 10 * MINUTE)
    working_time.apply_due()
    working_time.apply_due()
    assert titles(driver) == ["Are you still there?", "You are offline now"]
    assert state(driver) == (False, "offline")
    assert causes(driver) == [Cause.AUTO_OFFLINE]
    assert not fresh(driver).position.dispatchable


def test_the_time_without_activity_is_the_drivers_choice(driver: Driver) -> None:
    working_time.set_working_time(driver.pk, working_time.WorkingTime(auto_offline_min=60))
    pass_time(driver, 51 * MINUTE)
    working_time.apply_due()
    assert titles(driver) == ["Are you still there?"]


def test_a_late_dispatcher_warns_first(driver: Driver) -> None:
    pass_time(driver, 600 * MINUTE)
    working_time.apply_due()
    assert state(driver) == (True, "available")
    assert until(driver, "auto_offline_at") > 9 * MINUTE


def test_doing_something_takes_the_warning_back(driver: Driver) -> None:
    pass_time(driver, 111 * MINUTE)
    working_time.apply_due()
    assert fresh(driver).auto_offline_at is not None

    working_time.record_activity(driver.pk)

    assert fresh(driver).auto_offline_at is None
    assert until(driver, "active_at") > -MINUTE
    assert [one.auto_offline_at is None for one in updates(driver)[-2:]] == [False, True]
    pass_time(driver, 60 * MINUTE)
    working_time.apply_due()
    assert state(driver) == (True, "available")
    assert len(titles(driver)) == 1


def test_activity_is_written_once_a_minute(driver: Driver, query_count: Callable[[int, int], Any]) -> None:
    with query_count(1, 1):
        working_time.record_activity(driver.pk)
    pass_time(driver, 2 * MINUTE)
    with query_count(2, 2):
        working_time.record_activity(driver.pk)


@pytest.mark.parametrize(("lat", "stays"), [(ALMATY[0] + 0.003, False), (ALMATY[0] + 0.009, True)])
def test_driving_a_real_distance_is_activity_and_wandering_is_not(driver: Driver, lat: float, stays: bool) -> None:
    pass_time(driver, 11 * MINUTE)
    place(driver, *ALMATY)
    working_time.apply_due()
    place(driver, lat, ALMATY[1])
    pass_time(driver, 99 * MINUTE)
    working_time.apply_due()
    assert titles(driver) == ([] if stays else ["Are you still there?"])


def test_nobody_goes_offline_in_the_middle_of_a_trip(driver: Driver) -> None:
    pass_time(driver, 111 * MINUTE)
    working_time.apply_due()
    trip = TripFactory(status="accepted", driver=driver)
    driving.update_status(driver.pk, trip.pk, status="en_route")
    pass_time(driver, 300 * MINUTE)

    working_time.apply_due()

    assert state(driver) == (True, "busy")
    # The clock begins anew when the trip is over.
    for status in ("driver_arrived", "passengers_boarded", "in_transit", "arrived", "completed"):
        driving.update_status(driver.pk, trip.pk, status=status)
    working_time.apply_due()
    assert state(driver) == (True, "available")
    assert causes(driver) == [Cause.TRIP_STARTED, Cause.TRIP_ENDED]


@pytest.mark.parametrize("drivers", [1, 3])
def test_looking_at_idle_drivers_costs_the_same_for_1_and_3(
    query_count: Callable[[int, int], Any], drivers: int
) -> None:
    for _number in range(drivers):
        one = DriverFactory(at=ALMATY, is_online=False)
        availability.set_online(one.pk, True)
        pass_time(one, 11 * MINUTE)
    with query_count(6, 6):
        assert working_time.check_idle_drivers() == drivers


def test_nothing_to_do_costs_three_queries(driver: Driver, query_count: Callable[[int, int], Any]) -> None:
    with query_count(3, 3):
        assert working_time.apply_due() == 0


# Breaks


def test_a_break_takes_offline_and_puts_back_once(driver: Driver) -> None:
    working_time.take_break(driver.pk, 30)
    assert state(driver) == (False, "offline")
    assert until(driver, "on_break_until") > 29 * MINUTE

    pass_time(driver, 31 * MINUTE)
    working_time.apply_due()
    assert state(driver) == (True, "available")
    assert fresh(driver).on_break_until is None

    # Offline by hand afterwards: the break is over, for good.
    availability.set_online(driver.pk, False)
    pass_time(driver, 60 * MINUTE)
    working_time.apply_due()
    assert state(driver) == (False, "offline")
    assert causes(driver) == ["break_started", "break_ended", "driver"]


def test_a_planned_break_starts_and_ends_by_itself(driver: Driver) -> None:
    now = timezone.now()
    row = working_time.plan_break(driver.pk, now + 60 * MINUTE, now + 90 * MINUTE)
    working_time.apply_due()
    assert state(driver) == (True, "available")

    pass_time(driver, 61 * MINUTE)
    working_time.apply_due()
    working_time.apply_due()
    assert state(driver) == (False, "offline")

    pass_time(driver, 30 * MINUTE)
    working_time.apply_due()
    working_time.apply_due()
    row.refresh_from_db()
    assert state(driver) == (True, "available")
    assert (row.started_at is not None, row.ended_at is not None, row.due_at) == (True, True, None)
    assert causes(driver) == ["break_started", "break_ended"]


def test_a_break_that_nobody_noticed_has_no_effect(driver: Driver) -> None:
    now = timezone.now()
    row = working_time.plan_break(driver.pk, now + 60 * MINUTE, now + 90 * MINUTE)
    pass_time(driver, 100 * MINUTE)
    working_time.apply_due_breaks()
    row.refresh_from_db()
    assert (row.started_at, row.due_at) == (None, None)
    assert causes(driver) == []


def test_who_was_offline_stays_offline_after_a_break(driver: Driver) -> None:
    now = timezone.now()
    working_time.plan_break(driver.pk, now + MINUTE, now + 31 * MINUTE)
    availability.set_online(driver.pk, False)
    for _part in range(2):
        pass_time(driver, 16 * MINUTE)
        working_time.apply_due()
    assert state(driver) == (False, "offline")
    assert causes(driver) == ["driver"]


def test_going_online_ends_the_break(driver: Driver) -> None:
    working_time.take_break(driver.pk, 30)
    availability.set_online(driver.pk, True)
    assert driver.breaks.get().ended_at is not None
    availability.set_online(driver.pk, False)
    pass_time(driver, 31 * MINUTE)
    working_time.apply_due()
    assert state(driver) == (False, "offline")


def test_going_offline_during_a_break_outlives_it(driver: Driver) -> None:
    working_time.take_break(driver.pk, 30)
    availability.set_online(driver.pk, False)
    pass_time(driver, 31 * MINUTE)
    working_time.apply_due()
    assert state(driver) == (False, "offline")
    assert driver.on_break_until is None


def test_a_break_never_ends_in_the_middle_of_a_trip(driver: Driver) -> None:
    trip = TripFactory(status="accepted", driver=driver)
    driving.update_status(driver.pk, trip.pk, status="en_route")
    working_time.take_break(driver.pk, 30)
    assert state(driver) == (False, "busy")

    for _look in range(3):
        pass_time(driver, 31 * MINUTE)
        working_time.apply_due()
        assert state(driver) == (True, "busy")
    driving.update_status(driver.pk, trip.pk, status="released")
    assert state(driver) == (True, "available")
    assert causes(driver) == ["trip_started", "break_started", "break_ended", "trip_ended"]


def test_a_trip_that_ends_during_the_break_leaves_the_driver_offline(driver: Driver) -> None:
    trip = TripFactory(status="accepted", driver=driver)
    driving.update_status(driver.pk, trip.pk, status="en_route")
    working_time.take_break(driver.pk, 30)
    driving.update_status(driver.pk, trip.pk, status="released")
    assert state(driver) == (False, "offline")
    pass_time(driver, 31 * MINUTE)
    working_time.apply_due()
    assert state(driver) == (True, "available")


def test_a_suspended_driver_is_not_put_online_by_a_break(driver: Driver) -> None:
    staff = StaffFactory()
    working_time.take_break(driver.pk, 30)
    approvals.suspend(driver.pk, staff)
    approvals.reinstate(driver.pk, staff)
    pass_time(driver, 31 * MINUTE)
    working_time.apply_due()
    assert state(driver) == (False, "offline")


def test_a_break_ends_by_hand_with_its_effect_and_once(driver: Driver) -> None:
    row = working_time.take_break(driver.pk, 30)
    working_time.end_break(driver.pk, row.pk)
    availability.set_online(driver.pk, False)
    assert working_time.end_break(driver.pk, row.pk).ended_at is not None
    assert state(driver) == (False, "offline")
    assert causes(driver) == ["break_started", "break_ended", "driver"]


def test_a_planned_break_is_dropped_without_effect(driver: Driver) -> None:
    now = timezone.now()
    row = working_time.plan_break(driver.pk, now + 60 * MINUTE, now + 90 * MINUTE)
    working_time.end_break(driver.pk, row.pk)
    pass_time(driver, 61 * MINUTE)
    working_time.apply_due_breaks()
    assert state(driver) == (True, "available")
    assert causes(driver) == []


def test_breaks_next_to_each_other_follow_one_another(driver: Driver) -> None:
    first = working_time.take_break(driver.pk, 30)
    working_time.plan_break(driver.pk, first.ends_at, first.ends_at + 30 * MINUTE)
    pass_time(driver, 31 * MINUTE)
    working_time.apply_due()
    assert state(driver) == (False, "offline")
    pass_time(driver, 30 * MINUTE)
    working_time.apply_due()
    assert state(driver) == (True, "available")


def test_breaks_are_refused_where_they_make_no_sense(driver: Driver) -> None:
    ServiceSettings.objects.create(pk=1, changes_per_min=100)
    now = timezone.now()
    for minutes in (0, 4, 721, True):
        assert code_of(working_time.take_break, driver.pk, minutes) == "input.invalid"
    assert code_of(working_time.plan_break, driver.pk, now - MINUTE, now + 30 * MINUTE) == "input.invalid"
    assert code_of(working_time.plan_break, driver.pk, now + 31 * 24 * 60 * MINUTE, now) == "input.invalid"
    assert code_of(working_time.plan_break, driver.pk, now + 30 * MINUTE, now + 31 * MINUTE) == "input.invalid"
    working_time.take_break(driver.pk, 30)
    assert code_of(working_time.plan_break, driver.pk, now + 20 * MINUTE, now + 60 * MINUTE) == "driver.break_overlap"
    availability.set_online(driver.pk, True)
    availability.set_online(driver.pk, False)
    assert code_of(working_time.take_break, driver.pk, 30) == "driver.offline"
    somebody = DriverFactory(at=ALMATY)
    assert code_of(working_time.end_break, somebody.pk, driver.breaks.get().pk) == "break.not_found"
    for number in range(20):
        working_time.plan_break(driver.pk, now + (100 + 10 * number) * MINUTE, now + (105 + 10 * number) * MINUTE)
    assert code_of(working_time.plan_break, driver.pk, now + 60 * MINUTE, now + 70 * MINUTE) == "driver.too_many_breaks"


# Weekly hours


def hours_at(driver: Driver, start: dt.timedelta, end: dt.timedelta) -> None:
    """Hours of every day that begin and end this long from now, on the driver's clock."""
    now = timezone.localtime()
    span = {"from": f"{now + start:%H:%M}", "to": f"{now + end:%H:%M}"}
    working_time.set_working_time(
        driver.pk,
        msgspec.convert({"hours": dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), span)}, HOURS),
    )


HOURS = working_time.WorkingTime
HOUR = 60 * MINUTE


def begin_due(driver: Driver) -> None:
    """The hours' next change is due now; what it is depends on whether the hours are now."""
    Driver.objects.filter(pk=driver.pk).update(hours_due_at=timezone.now() - MINUTE)


def test_saving_hours_changes_nothing_now(driver: Driver) -> None:
    hours_at(driver, 2 * HOUR, 4 * HOUR)
    working_time.apply_due()
    assert state(driver) == (True, "available")
    assert until(driver, "hours_due_at") < 2 * HOUR + MINUTE


def test_hours_put_online_once_and_the_switch_decides_in_between(driver: Driver) -> None:
    availability.set_online(driver.pk, False)
    hours_at(driver, -HOUR, HOUR)
    begin_due(driver)
    working_time.apply_due()
    assert state(driver) == (True, "available")
    assert until(driver, "hours_due_at") > dt.timedelta()

    availability.set_online(driver.pk, False)
    working_time.apply_due()
    assert state(driver) == (False, "offline")
    assert causes(driver) == ["driver", "hours", "driver"]
    assert titles(driver) == ["Your hours have begun: you are online"]


def test_hours_that_end_take_offline_once(driver: Driver) -> None:
    hours_at(driver, HOUR, 2 * HOUR)
    begin_due(driver)
    working_time.apply_due()
    assert state(driver) == (False, "offline")
    availability.set_online(driver.pk, True)
    working_time.apply_due()
    assert state(driver) == (True, "available")
    assert causes(driver) == ["hours", "driver"]


def test_hours_that_end_on_a_trip_wait_for_its_end(driver: Driver) -> None:
    trip = TripFactory(status="accepted", driver=driver)
    driving.update_status(driver.pk, trip.pk, status="en_route")
    hours_at(driver, HOUR, 2 * HOUR)
    begin_due(driver)
    working_time.apply_due()
    assert state(driver) == (False, "busy")
    driving.update_status(driver.pk, trip.pk, status="released")
    assert state(driver) == (False, "offline")


def test_a_break_ends_into_what_the_hours_say(driver: Driver) -> None:
    working_time.take_break(driver.pk, 30)
    hours_at(driver, HOUR, 2 * HOUR)
    begin_due(driver)
    working_time.apply_due_hours()
    assert state(driver) == (False, "offline")
    pass_time(driver, 31 * MINUTE)
    working_time.apply_due_breaks()
    assert state(driver) == (False, "offline")
    assert causes(driver) == ["break_started"]


def test_hours_that_cannot_put_online_say_why(driver: Driver) -> None:
    availability.set_online(driver.pk, False)
    Driver.objects.update(licence_expires_on=timezone.localdate() - dt.timedelta(days=1))
    hours_at(driver, -HOUR, HOUR)
    begin_due(driver)
    working_time.apply_due()
    assert state(driver) == (False, "offline")
    assert titles(driver) == ["You were not put online"]


def test_hours_that_lack_a_vehicle_say_how_staff_are_reached(driver: Driver) -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults={"support_phone": "+77272000000"})
    availability.set_online(driver.pk, False)
    Driver.objects.update(vehicle=None)
    hours_at(driver, -HOUR, HOUR)
    begin_due(driver)
    working_time.apply_due()
    said = Notification.objects.get(user=driver.user).message
    assert said.startswith("You have no vehicle yet. Ask our staff.")
    assert "+7 7272 00 00 00" in said


def test_hours_of_a_suspended_driver_are_silent(driver: Driver) -> None:
    hours_at(driver, -HOUR, HOUR)
    approvals.suspend(driver.pk, StaffFactory())
    begin_due(driver)
    working_time.apply_due()
    assert state(driver) == (False, "offline")
    assert titles(driver) == ["Your account is suspended"]


def test_a_zone_that_does_not_exist_is_refused(driver: Driver) -> None:
    assert (
        code_of(working_time.set_working_time, driver.pk, working_time.WorkingTime(timezone="Asia/Nowhere"))
        == "input.invalid"
    )
    working_time.set_working_time(driver.pk, working_time.WorkingTime(timezone="Asia/Bishkek"))
    assert fresh(driver).timezone == "Asia/Bishkek"


# What goes wrong


def test_one_driver_who_cannot_be_handled_holds_nobody_up(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    other = DriverFactory(at=ALMATY, is_online=False)
    availability.set_online(other.pk, True)
    for one in (driver, other):
        pass_time(one, 111 * MINUTE)
    Driver.objects.filter(pk=driver.pk).update(timezone="Asia/Nowhere")
    working_time.apply_due()
    assert titles(other) == ["Are you still there?"]
    assert state(driver) == (True, "available")
    assert f"failed for row {driver.pk}" in caplog.text


def test_an_effect_that_fails_half_way_is_done_whole_by_the_next_look(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("the process dies here")

    working_time.take_break(driver.pk, 30)
    pass_time(driver, 31 * MINUTE)
    with monkeypatch.context() as dying:
        dying.setattr(working_time, "notify", fail)
        working_time.apply_due()
    assert state(driver) == (False, "offline")
    assert causes(driver) == ["break_started"]

    working_time.apply_due()
    assert state(driver) == (True, "available")
    assert causes(driver) == ["break_started", "break_ended"]


@pytest.mark.parametrize("wrong", [{"jumped": True}, {"accuracy_m": 900}])
def test_a_position_that_says_nothing_is_no_activity(driver: Driver, wrong: dict[str, Any]) -> None:
    pass_time(driver, 11 * MINUTE)
    place(driver, *ALMATY)
    working_time.apply_due()
    place(driver, ALMATY[0] + 0.1, ALMATY[1])
    DriverPosition.objects.update(**wrong)
    pass_time(driver, 99 * MINUTE)
    working_time.apply_due()
    assert titles(driver) == ["Are you still there?"]


# Several dispatchers


def at_once(verb: Callable[[], Any], times: int = 4) -> None:
    def unit(_number: int) -> None:
        try:
            verb()
        finally:
            close_old_connections()

    with ThreadPoolExecutor(times) as pool:
        list(pool.map(unit, range(times)))


@pytest.mark.django_db(transaction=True)
def test_many_dispatchers_have_each_effect_once() -> None:
    drivers = [DriverFactory(at=ALMATY, is_online=False) for _number in range(6)]
    for one in drivers:
        availability.set_online(one.pk, True)
    for one in drivers[:3]:
        working_time.take_break(one.pk, 30)
        pass_time(one, 31 * MINUTE)
    for one in drivers[3:]:
        pass_time(one, 111 * MINUTE)
    at_once(working_time.apply_due)
    for one in drivers[:3]:
        assert causes(one) == ["driver", "break_started", "break_ended"]
        assert titles(one) == ["Your break is over: you are online"]
    for one in drivers[3:]:
        assert titles(one) == ["Are you still there?"]
        pass_time(one, 10 * MINUTE)
    at_once(working_time.apply_due)
    for one in drivers[3:]:
        assert causes(one) == ["driver", "auto_offline"]
