"""Earnings of a day and a week in the home zone, and the cash still to be collected."""

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from drivers import earnings
from drivers.models import Driver
from tests.factories import ALMATY, DriverFactory, TripFactory
from trips.models import Booking, Trip
from trips.states import BookingStatus, TripStatus

pytestmark = pytest.mark.django_db

HOME = ZoneInfo("Asia/Almaty")
# A Wednesday, half past midnight at home: still Tuesday in UTC.
NOW = dt.datetime(2025, 6, 18, 0, 30, tzinfo=HOME)


@pytest.fixture
def driver() -> Driver:
    driver: Driver = DriverFactory(at=ALMATY)
    return driver


def completed(driver: Driver, at: dt.datetime, **fields: Any) -> Trip:
    trip: Trip = TripFactory(status=TripStatus.COMPLETED, driver=driver, completed_at=at, **fields)
    return trip


def test_for_driver_counts_what_was_completed_since_midnight_at_home(driver: Driver) -> None:
    today = completed(driver, NOW - dt.timedelta(minutes=10))
    completed(driver, NOW - dt.timedelta(minutes=40))

    found = earnings.for_driver(driver.pk, NOW)

    assert (found.today, found.today_trips) == (today.driver_earnings, 1)


def test_for_driver_counts_the_week_from_monday_at_home(driver: Driver) -> None:
    monday = dt.datetime(2025, 6, 16, 0, 0, tzinfo=HOME)
    first = completed(driver, monday)
    completed(driver, monday - dt.timedelta(seconds=1))

    assert earnings.for_driver(driver.pk, NOW).week == first.driver_earnings


def test_for_driver_leaves_out_cancelled_trips_and_other_drivers(driver: Driver) -> None:
    completed(DriverFactory(at=ALMATY), NOW)
    TripFactory(status=TripStatus.CANCELLED, driver=driver, completed_at=None)

    assert earnings.for_driver(driver.pk, NOW) == earnings.Earnings(0, 0, 0, 0)


def test_for_driver_collects_confirmed_cash_of_unfinished_trips(driver: Driver) -> None:
    under_way = TripFactory(status=TripStatus.EN_ROUTE, driver=driver)
    later = TripFactory(status=TripStatus.ACCEPTED, driver=driver, in_=dt.timedelta(days=1))
    called_off = TripFactory(status=TripStatus.ACCEPTED, driver=driver, in_=dt.timedelta(days=2))
    Booking.objects.filter(trip=called_off).update(status=BookingStatus.CANCELLED)
    completed(driver, NOW)

    assert earnings.for_driver(driver.pk, NOW).cash_to_collect == under_way.fare + later.fare


@pytest.mark.parametrize("trips", [1, 3])
def test_for_driver_costs_two_queries(driver: Driver, trips: int, query_count: Callable[[int, int], Any]) -> None:
    for _number in range(trips):
        completed(driver, NOW)
    with query_count(2, 2):
        earnings.for_driver(driver.pk, NOW)
