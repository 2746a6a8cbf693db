"""Counts of a day: by whom, until when, in the transaction of what they count."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from stepper import day_counts
from stepper.models import DayCount

pytestmark = pytest.mark.django_db


def test_counts_by_whom() -> None:
    assert [day_counts.count("a", who).number for who in ("x", "x", "y", "")] == [1, 2, 1, 1]
    assert day_counts.count("b", "x").number == 1


def test_day_begins_with_the_first_and_ends_after_24_hours() -> None:
    assert day_counts.count("a", "x").closes_in_s == 24 * 3600
    DayCount.objects.update(number=7, closes_at=day_counts.database_now() + dt.timedelta(seconds=30))
    counted = day_counts.count("a", "x")
    assert counted.number == 8
    assert counted.closes_in_s <= 30
    DayCount.objects.update(closes_at=day_counts.database_now() - dt.timedelta(seconds=1))
    assert day_counts.count("a", "x") == (1, 24 * 3600)


def test_taken_back_once_counted() -> None:
    day_counts.count("a", "x")
    day_counts.take_back("a", "x")
    day_counts.take_back("a", "x")
    assert day_counts.count("a", "x").number == 1


def test_who_cannot_be_read() -> None:
    day_counts.count("sms:number", "+77471234567")
    assert "747" not in DayCount.objects.get().name.partition("sms:number:")[0]
    assert "+77471234567" not in DayCount.objects.get().name


@pytest.mark.django_db(transaction=True)
def test_those_who_count_at_once_are_all_counted() -> None:
    def count(_number: int) -> int:
        try:
            with transaction.atomic():
                return day_counts.count("a", "x").number
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(count, range(20))) == list(range(1, 21))
