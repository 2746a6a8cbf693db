"""Time online and on trips in a period, from the changes of availability."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from drivers.earnings.hours import Hours, worked
from drivers.earnings.periods import Kind, Period
from drivers.models import Availability, AvailabilityChange, Cause, Driver
from stepper.models import ServiceSettings
from tests.factories import ALMATY, DriverFactory

pytestmark = pytest.mark.django_db

HOME = ZoneInfo("Asia/Almaty")
DAY = Period(Kind.DAY, dt.date(2026, 11, 26), HOME)
NEXT_NOON = dt.datetime(2026, 11, 27, 12, 0, tzinfo=HOME)
HOUR = dt.timedelta(hours=1)
OFFLINE, AVAILABLE, BUSY = Availability.OFFLINE, Availability.AVAILABLE, Availability.BUSY


@pytest.fixture
def driver() -> Driver:
    driver: Driver = DriverFactory()
    return driver


def history(driver: Driver, first: Availability, *changes: tuple[float, Availability]) -> None:
    """Write changes: (hours from the day's midnight, to what)."""
    for hours, availability in changes:
        AvailabilityChange.objects.create(
            driver=driver,
            previous=first,
            availability=availability,
            is_online=availability != OFFLINE,
            cause=Cause.DRIVER,
            created_at=DAY.starts_at + hours * HOUR,
        )
        first = availability


def hours_of(driver: Driver, now: dt.datetime = NEXT_NOON) -> Hours | None:
    return worked(driver, DAY, now=now, settings=ServiceSettings())


def test_worked_adds_up_online_and_on_trips(driver: Driver) -> None:
    history(driver, OFFLINE, (8, AVAILABLE), (9, BUSY), (9.5, AVAILABLE), (12, OFFLINE), (20, AVAILABLE), (21, OFFLINE))
    assert hours_of(driver) == Hours(online=5 * HOUR, on_trips=HOUR / 2)


def test_worked_splits_a_trip_at_midnight(driver: Driver) -> None:
    """On a trip at both ends of the day: only the day's own part counts."""
    history(driver, BUSY, (-3, BUSY), (1, OFFLINE), (22, BUSY), (26, OFFLINE))
    assert hours_of(driver) == Hours(online=3 * HOUR, on_trips=3 * HOUR)


def test_worked_counts_a_day_without_changes_by_what_was_before(driver: Driver) -> None:
    history(driver, OFFLINE, (-2, AVAILABLE), (25, OFFLINE))
    assert hours_of(driver) == Hours(online=24 * HOUR, on_trips=dt.timedelta())
    AvailabilityChange.objects.all().delete()
    assert hours_of(driver) == Hours(online=dt.timedelta(), on_trips=dt.timedelta())


def test_worked_counts_until_now() -> None:
    online: Driver = DriverFactory(at=ALMATY)
    history(online, OFFLINE, (8, AVAILABLE))
    assert hours_of(online, DAY.starts_at + 10 * HOUR) == Hours(online=2 * HOUR, on_trips=dt.timedelta())


def test_worked_takes_a_step_back_in_time_for_none(driver: Driver) -> None:
    history(driver, OFFLINE, (8, AVAILABLE), (7.9, OFFLINE), (9, AVAILABLE), (10, OFFLINE))
    assert hours_of(driver) == Hours(online=HOUR, on_trips=dt.timedelta())


def test_worked_says_nothing_where_the_history_is_not_kept(driver: Driver) -> None:
    settings = ServiceSettings(working_time_kept_days=1, rounds_kept_days=1)
    assert worked(driver, DAY, now=NEXT_NOON, settings=settings) is None
    assert worked(driver, DAY, now=NEXT_NOON - 13 * HOUR, settings=settings) is not None


def test_worked_leaves_out_other_drivers(driver: Driver) -> None:
    history(DriverFactory(), OFFLINE, (8, AVAILABLE), (9, OFFLINE))
    assert hours_of(driver) == Hours(online=dt.timedelta(), on_trips=dt.timedelta())
