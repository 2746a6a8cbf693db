"""Sums of completed trips in the driver's own day, week and any period, and the cash still to be collected."""

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from drivers.earnings import sums
from drivers.earnings.periods import Kind, Period
from drivers.earnings.sums import Sums
from drivers.models import Driver
from tests.factories import ALMATY, DriverFactory, TripFactory
from trips.models import Booking, Trip
from trips.states import BookingStatus, TripStatus

pytestmark = pytest.mark.django_db

HOME = ZoneInfo("Asia/Almaty")
# A Wednesday, half past midnight at home: still Tuesday in UTC.
NOW = dt.datetime(2025, 6, 18, 0, 30, tzinfo=HOME)


def completed(driver: Driver, at: dt.datetime, **fields: Any) -> Trip:
    trip: Trip = TripFactory(status=TripStatus.COMPLETED, driver=driver, completed_at=at, **fields)
    return trip


def test_for_driver_counts_what_was_completed_since_midnight_at_home(driver: Driver) -> None:
    today = completed(driver, NOW - dt.timedelta(minutes=10))
    completed(driver, NOW - dt.timedelta(minutes=40))

    found = sums.for_driver(driver, NOW)

    assert (found.today, found.today_trips) == (today.driver_earnings, 1)


def test_for_driver_counts_the_week_from_monday_at_home(driver: Driver) -> None:
    monday = dt.datetime(2025, 6, 16, 0, 0, tzinfo=HOME)
    first = completed(driver, monday)
    completed(driver, monday - dt.timedelta(seconds=1))

    assert sums.for_driver(driver, NOW).week == first.driver_earnings


def test_for_driver_leaves_out_cancelled_trips_and_other_drivers(driver: Driver) -> None:
    completed(DriverFactory(at=ALMATY), NOW)
    TripFactory(status=TripStatus.CANCELLED, driver=driver, completed_at=None)

    assert sums.for_driver(driver, NOW) == sums.Earnings(0, 0, 0, 0)


def test_for_driver_collects_confirmed_cash_of_unfinished_trips(driver: Driver) -> None:
    under_way = TripFactory(status=TripStatus.EN_ROUTE, driver=driver)
    later = TripFactory(status=TripStatus.ACCEPTED, driver=driver, in_=dt.timedelta(days=1))
    called_off = TripFactory(status=TripStatus.ACCEPTED, driver=driver, in_=dt.timedelta(days=2))
    Booking.objects.filter(trip=called_off).update(status=BookingStatus.CANCELLED)
    completed(driver, NOW)

    assert sums.for_driver(driver, NOW).cash_to_collect == under_way.fare + later.fare


@pytest.mark.parametrize("trips", [1, 3])
def test_for_driver_costs_two_queries(driver: Driver, trips: int, query_count: Callable[[int, int], Any]) -> None:
    for _number in range(trips):
        completed(driver, NOW)
    with query_count(2, 2):
        sums.for_driver(driver, NOW)


# The driver's own day


def test_for_driver_counts_the_day_of_the_drivers_zone(driver: Driver) -> None:
    """At half past midnight in Almaty it is still yesterday evening in Berlin."""
    driver.timezone = "Europe/Berlin"
    completed(driver, NOW - dt.timedelta(minutes=40))
    assert sums.for_driver(driver, NOW).today_trips == 1
    driver.timezone = "Asia/Almaty"
    assert sums.for_driver(driver, NOW).today_trips == 0


# Any period

DAY = Period(Kind.DAY, dt.date(2025, 6, 17), HOME)
MONTH = DAY.month


def test_by_span_puts_each_trip_into_the_hour_in_which_it_ended(driver: Driver) -> None:
    """A trip across midnight, or across the hour, is one of its end."""
    for at in (DAY.starts_at, DAY.starts_at + dt.timedelta(hours=1), DAY.ends_at - dt.timedelta(microseconds=1)):
        completed(driver, at, departure_at=at - dt.timedelta(hours=2), fare=1000, platform_fee=150, driver_earnings=850)
    completed(driver, DAY.ends_at)
    completed(driver, DAY.starts_at - dt.timedelta(microseconds=1))
    one = Sums(trips=1, fare=1000, fee=150, earned=850, fee_owed=150)
    assert sums.by_span(driver.pk, DAY) == [one, one, *[Sums()] * 21, one]


def test_by_span_sums_up_the_days_of_a_month_exactly(driver: Driver) -> None:
    for number in range(3):
        completed(driver, NOW, fare=1001 + number, platform_fee=150, driver_earnings=851 + number)
    TripFactory(status=TripStatus.CANCELLED, driver=driver, completed_at=None)
    completed(DriverFactory(at=ALMATY), NOW)
    found = sums.by_span(driver.pk, MONTH)
    assert len(found) == 30
    assert sum(found, start=Sums()) == found[17] == Sums(trips=3, fare=3006, fee=450, earned=2556, fee_owed=450)


def test_cash_collected_is_what_passengers_on_board_paid(driver: Driver) -> None:
    """Seats of a shared trip are rounded up each, and somebody called theirs off."""
    trip = completed(driver, NOW, fare=1000)
    Booking.objects.filter(trip=trip).update(amount=334, status=BookingStatus.COMPLETED)
    other = completed(driver, NOW)
    Booking.objects.filter(trip=other).update(status=BookingStatus.CANCELLED)
    assert sums.cash_collected(driver.pk, MONTH) == 334


@pytest.mark.parametrize(
    ("earned", "minutes", "rate"),
    [(1000, 60, 1000), (1000, 90, 667), (5, 120, 3), (1000, 29, None), (0, 0, None), (700, 30, 1400)],
)
def test_per_hour_is_rounded_to_the_tenge_and_says_nothing_of_a_short_time(
    earned: int, minutes: int, rate: int | None
) -> None:
    assert sums.per_hour(earned, dt.timedelta(minutes=minutes)) == rate
