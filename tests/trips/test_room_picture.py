"""The picture of the operations room: which drivers and trips are on the map, and what the counters count."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from drivers.models import Availability, Driver, DriverPosition
from stepper.models import ServiceSettings
from tests.factories import AIRPORT, ALMATY, MEDEU, DriverFactory, TripFactory, place
from trips.models import Trip
from trips.room import in_view, queue
from trips.room.picture import E5, DriverState, Reader, TripState, gone_after_s, named

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
SECOND = dt.timedelta(seconds=1)


def e5(at: tuple[float, float]) -> tuple[int, int]:
    return round(at[0] * E5), round(at[1] * E5)


def aged(seconds: int, **fields: Any) -> Driver:
    driver: Driver = DriverFactory.create(at=ALMATY, **fields)
    place(driver, *ALMATY, age=seconds * SECOND)
    return driver


def test_drivers_are_on_the_map_by_what_they_do() -> None:
    free = DriverFactory.create(at=ALMATY)
    busy = TripFactory.create(status="en_route", driver=DriverFactory.create(at=MEDEU)).driver
    on_break = DriverFactory.create(on_break_until=timezone.now() + MINUTE)
    place(on_break, *AIRPORT)
    place(DriverFactory.create(), *ALMATY)  # offline
    DriverFactory.create(availability=Availability.AVAILABLE, is_online=True)  # nobody knows where
    found = Reader().read()
    assert sorted(found.drivers) == sorted(
        [
            (free.pk, *e5(ALMATY), DriverState.FREE),
            (busy.pk, *e5(MEDEU), DriverState.ON_TRIP),
            (on_break.pk, *e5(AIRPORT), DriverState.ON_BREAK),
        ]
    )
    counts = named(found.counts)
    assert (counts["online"], counts["on_trip"], counts["on_break"]) == (3, 1, 1)


@pytest.mark.parametrize(
    ("age", "state"), [(55, DriverState.FREE), (65, DriverState.STALE), (235, DriverState.STALE), (245, None)]
)
def test_old_position_is_grey_and_then_gone(age: int, state: DriverState | None) -> None:
    ServiceSettings(pk=1, position_fresh_s=60, position_replay_s=240).save()
    aged(age)
    assert [point[3] for point in Reader().read().drivers] == ([] if state is None else [state])


def test_position_is_grey_for_a_while_where_the_settings_leave_no_time() -> None:
    assert gone_after_s(ServiceSettings(position_fresh_s=300, position_replay_s=300)) == 600
    assert gone_after_s(ServiceSettings(position_fresh_s=300, position_replay_s=301)) == 301


def test_reader_sees_a_driver_move_and_go_offline() -> None:
    driver, reader = DriverFactory.create(at=ALMATY), Reader()
    assert [point[1:3] for point in reader.read().drivers] == [e5(ALMATY)]
    place(driver, *MEDEU)
    assert [point[1:3] for point in reader.read().drivers] == [e5(MEDEU)]
    Driver.objects.filter(pk=driver.pk).update(availability=Availability.OFFLINE, is_online=False)
    assert reader.read().drivers == []


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("published", TripState.LOOKING),
        ("offered", TripState.LOOKING),
        ("unfilled", TripState.UNFILLED),
        ("accepted", TripState.TAKEN),
        ("en_route", TripState.COMING),
        ("driver_arrived", TripState.COMING),
        ("passengers_boarded", TripState.ABOARD),
        ("in_transit", TripState.ABOARD),
        ("arrived", TripState.ABOARD),
        ("draft", None),
        ("completed", None),
        ("cancelled", None),
    ],
)
def test_trips_are_on_the_map_where_they_are_next(status: str, state: TripState | None) -> None:
    trip = TripFactory.create(status=status, pickup=ALMATY, dropoff=AIRPORT)
    where = e5(AIRPORT if state == TripState.ABOARD else ALMATY)
    assert Reader().read().trips == ([] if state is None else [(trip.pk, *where, state)])


def test_trip_of_next_week_is_counted_but_not_on_the_map() -> None:
    TripFactory.create(status="accepted", in_=dt.timedelta(days=7))
    found = Reader().read()
    assert (found.trips, named(found.counts)["taken"]) == ([], 1)


def test_counters_of_what_waits() -> None:
    for escalated in (timezone.now(), None):
        trip = TripFactory.create(status="unfilled", escalated_at=escalated)
        Trip.objects.filter(pk=trip.pk).update(created_at=timezone.now() - 6 * MINUTE)
    TripFactory.create(status="offered")
    counts = named(Reader().read().counts)
    assert (counts["looking"], counts["unfilled"], counts["waiting"]) == (1, 2, 2)


def test_counter_of_what_waits_goes_on_where_the_queue_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MOST", 2)
    for escalated in (timezone.now(), None, None):
        trip = TripFactory.create(status="unfilled", escalated_at=escalated)
        Trip.objects.filter(pk=trip.pk).update(created_at=timezone.now() - 6 * MINUTE)
    assert named(Reader().read().counts)["waiting"] == 3


def test_queue_is_another_one_when_something_is_in_it() -> None:
    reader = Reader()
    before = reader.read().queue
    assert reader.read().queue == before
    TripFactory.create(status="unfilled", escalated_at=timezone.now())
    after = reader.read().queue
    assert after != before
    assert reader.read().queue == after


def test_number_of_queries_does_not_grow(query_count: Callable[[int, int], Any]) -> None:
    for _number in range(3):
        DriverFactory.create(at=ALMATY)
        TripFactory.create(status="unfilled", escalated_at=timezone.now())
        TripFactory.create(status="en_route")
    reader = Reader()
    # What waits is counted apart from the queue, which ends at so many rows.
    with query_count(9, 9):
        reader.read()
    # Applications and documents are not read every second.
    with query_count(8, 8):
        reader.read()


def test_map_in_words_lists_what_is_in_view(query_count: Callable[[int, int], Any]) -> None:
    near = [DriverFactory.create(at=ALMATY) for _number in range(3)]
    DriverFactory.create(at=(51.1, 71.4))
    coming, aboard = TripFactory.create(status="unfilled"), TripFactory.create(status="in_transit", pickup=(51.1, 71.4))
    busy = [coming.driver, aboard.driver]
    DriverPosition.objects.filter(driver__in=[one for one in busy if one]).delete()
    with query_count(3, 3):
        shown = in_view.read(43.0, 76.5, 43.5, 77.2)
        assert [driver.position.lat for driver in shown.drivers] == [ALMATY[0]] * 3
    assert {driver.pk for driver in shown.drivers} == {driver.pk for driver in near}
    # One goes to the airport, which is in view.
    assert {trip.pk for trip in shown.trips} == {coming.pk, aboard.pk}
    assert in_view.read(43.0, 76.5, 43.3, 76.9).trips == [coming]
