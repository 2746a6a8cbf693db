"""Fixes that come after newer ones: into the trail of the trip that is driven, once, and never to the live position."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from drivers.models import DriverPosition, TrailPoint
from drivers.positions.buffer import PositionBuffer
from drivers.positions.types import ReportResult
from realtime.events import Point
from tests.factories import DriverFactory, TripFactory, place
from trips.models import Trip

pytestmark = pytest.mark.django_db

SECOND = dt.timedelta(seconds=1)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
ALL_LATE = ReportResult(accepted=0, dropped=0, kept_aside=0, clamped=0, late=1)
DROPPED = ReportResult(accepted=0, dropped=1, kept_aside=0, clamped=0)


@pytest.fixture
def buffer() -> PositionBuffer:
    return PositionBuffer()


@pytest.fixture
def trip(buffer: PositionBuffer) -> Trip:
    """On the road for 13 hours; the driver's newest fix is of now."""
    trip: Trip = TripFactory(status="in_transit", driver=DriverFactory(), accepted_at=timezone.now() - 13 * HOUR)
    buffer.report(trip.driver.pk, [Point(lat=43.0, lng=76.0)])
    return trip


def ago(seconds: float, lat: float = 43.0, **fields: Any) -> Point:
    return Point(lat=lat, lng=76.0, recorded_at=timezone.now() - seconds * SECOND, **fields)


def trail(trip: Trip) -> list[float]:
    """Latitudes by time, without the fix of now."""
    return list(trip.trail.order_by("recorded_at").values_list("lat", flat=True))[:-1]


def test_late_points_complete_the_trail_in_whatever_order_they_come(buffer: PositionBuffer, trip: Trip) -> None:
    live = DriverPosition.objects.get(driver=trip.driver)

    first = buffer.report(trip.driver.pk, [ago(40, 43.002), ago(60, 43.001)])
    second = buffer.report(trip.driver.pk, [ago(50, 43.0015)])

    assert (first.late, first.dropped, second) == (2, 0, ALL_LATE)
    assert trail(trip) == [43.001, 43.0015, 43.002]
    after = DriverPosition.objects.get(driver=trip.driver)
    assert (after.lat, after.recorded_at) == (live.lat, live.recorded_at)


def test_batch_that_is_sent_again_is_in_the_trail_once(buffer: PositionBuffer, trip: Trip) -> None:
    batch = [ago(60 - 4 * n, 43 + n / 10_000) for n in range(10)]
    for _time in range(2):
        assert buffer.report(trip.driver.pk, batch).late == 10

    assert len(trail(trip)) == 10


def test_batch_that_was_taken_in_order_is_in_the_trail_once_when_it_comes_late(trip: Trip) -> None:
    """The phone sends again what the process before has taken as its newest fixes."""
    now = timezone.now()
    assert trip.driver is not None
    place(trip.driver, 43.0, 76.0, age=10 * MINUTE)
    batch = [Point(lat=43 + n / 10_000, lng=76.0, recorded_at=now - (90 - 4 * n + 0.4) * SECOND) for n in range(20)]
    before = PositionBuffer()
    assert before.report(trip.driver.pk, batch).accepted == 20

    assert before.report(trip.driver.pk, batch).late == 20
    assert PositionBuffer().report(trip.driver.pk, batch).late == 20

    assert len(trail(trip)) == 20


def test_late_points_are_a_second_apart_in_the_trail_however_many_are_sent(buffer: PositionBuffer, trip: Trip) -> None:
    start = timezone.now().replace(microsecond=0) - 60 * SECOND
    batches = [
        [Point(lat=43.0, lng=76.0, recorded_at=start + dt.timedelta(milliseconds=100 * n + offset)) for n in range(30)]
        for offset in (0, 7, 33)
    ]

    assert [buffer.report(trip.driver.pk, batch).late for batch in batches] == [3, 3, 3]

    assert len(trail(trip)) == 3


def test_two_processes_write_a_point_once() -> None:
    """A phone whose network changes sends again what the process before has just taken, perhaps not yet written."""
    trip = TripFactory(status="in_transit", driver=DriverFactory(), accepted_at=timezone.now() - HOUR)
    place(trip.driver, 43.0, 76.0, age=10 * SECOND)
    point = ago(5)
    before, now = PositionBuffer(), PositionBuffer()
    now.load_facts(trip.driver.pk)

    # Neither knows of the other: it is the newest fix for both.
    assert [process.report(trip.driver.pk, [point]).accepted for process in (before, now)] == [1, 1]

    assert TrailPoint.objects.count() == 1


@pytest.mark.parametrize(("hours", "result"), [(11.99, ALL_LATE), (12.01, DROPPED)])
def test_late_points_are_at_most_twelve_hours_old(
    buffer: PositionBuffer, trip: Trip, hours: float, result: ReportResult
) -> None:
    assert buffer.report(trip.driver.pk, [ago(hours * 3600)]) == result


def test_point_from_before_the_driver_got_the_trip_is_not_of_it(buffer: PositionBuffer, trip: Trip) -> None:
    Trip.objects.filter(pk=trip.pk).update(accepted_at=timezone.now() - 60 * SECOND)
    buffer.facts.forget_driver(trip.driver.pk)

    assert buffer.report(trip.driver.pk, [ago(70), ago(50, 43.001)]).late == 1
    assert trail(trip) == [43.001]


@pytest.mark.parametrize("status", ["accepted", "completed", "cancelled"])
def test_trip_that_is_not_being_driven_takes_none(buffer: PositionBuffer, status: str) -> None:
    trip = TripFactory(status=status, driver=DriverFactory(), accepted_at=timezone.now() - HOUR)
    driver = trip.driver
    buffer.report(driver.pk, [Point(lat=43.0, lng=76.0)])

    assert buffer.report(driver.pk, [ago(20)]) == DROPPED
    assert not TrailPoint.objects.exists()


def test_trip_of_another_driver_takes_none(buffer: PositionBuffer, trip: Trip) -> None:
    other = TripFactory(status="accepted", driver=DriverFactory()).driver
    buffer.report(other.pk, [Point(lat=43.0, lng=76.0)])

    assert buffer.report(other.pk, [ago(20)]) == DROPPED
    assert trail(trip) == []


@pytest.mark.parametrize("point", [ago(60, 44.0), ago(60, accuracy_m=2000), Point(lat=0, lng=0, recorded_at=None)])
def test_late_points_that_are_implausible_or_noise_are_dropped(
    buffer: PositionBuffer, trip: Trip, point: Point
) -> None:
    """From 44.0 nobody drives the 111 km to the live position within a minute."""
    result = buffer.report(trip.driver.pk, [point])

    assert (result.late, result.dropped) == (0, 1)
    assert trail(trip) == []


def test_late_point_out_of_reach_of_the_one_before_is_dropped(buffer: PositionBuffer, trip: Trip) -> None:
    """A jump in the middle, although the live position could be reached from it."""
    batch = [ago(7200, 43.001), ago(7190, 43.2), ago(7180, 43.002)]

    assert buffer.report(trip.driver.pk, batch).late == 2
    assert trail(trip) == [43.001, 43.002]
