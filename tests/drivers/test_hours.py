"""Weekly hours as instants: zones, nights, clock changes."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import hours

ALMATY, BERLIN = ZoneInfo("Asia/Almaty"), ZoneInfo("Europe/Berlin")
WEEKDAYS = {day: {"from": "08:00", "to": "18:00"} for day in hours.DAYS[:5]}
NIGHTS = {day: {"from": "22:00", "to": "06:00"} for day in hours.DAYS}
ALWAYS = {day: {"from": "00:00", "to": "00:00"} for day in hours.DAYS}


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


# 2026-05-04 is a Monday; Almaty is at UTC+5.
@pytest.mark.parametrize(
    ("now", "inside", "then"),
    [
        ("2026-05-04T02:59", False, "2026-05-04T03:00"),
        ("2026-05-04T03:00", True, "2026-05-04T13:00"),
        ("2026-05-04T12:59", True, "2026-05-04T13:00"),
        ("2026-05-04T13:00", False, "2026-05-05T03:00"),
        ("2026-05-08T13:00", False, "2026-05-11T03:00"),
    ],
)
def test_hours_begin_and_end_on_the_wall_clock_of_the_zone(now: str, inside: bool, then: str) -> None:
    assert hours.are_now(WEEKDAYS, ALMATY, utc(now)) is inside
    assert hours.next_change(WEEKDAYS, ALMATY, utc(now)) == utc(then)


def test_a_night_ends_the_next_day() -> None:
    now = utc("2026-05-03T20:00")  # Monday, 01:00 there
    assert hours.are_now({"sun": {"from": "22:00", "to": "06:00"}}, ALMATY, now)
    assert hours.next_change(NIGHTS, ALMATY, now) == utc("2026-05-04T01:00")


def test_hours_without_an_end_never_change() -> None:
    now = utc("2026-05-04T12:00")
    assert hours.are_now(ALWAYS, ALMATY, now)
    assert hours.next_change(ALWAYS, ALMATY, now) is None
    assert hours.next_change({}, ALMATY, now) is None


def test_hours_that_touch_are_one_period() -> None:
    touching = {"mon": {"from": "20:00", "to": "00:00"}, "tue": {"from": "00:00", "to": "04:00"}}
    assert hours.next_change(touching, ALMATY, utc("2026-05-04T16:00")) == utc("2026-05-04T23:00")


def test_hours_follow_a_clock_change() -> None:
    # Summer time begins on 2026-03-29: 08:00 is 07:00 UTC the day before, 06:00 that day.
    daily = {day: {"from": "08:00", "to": "09:00"} for day in hours.DAYS}
    assert hours.next_change(daily, BERLIN, utc("2026-03-28T05:00")) == utc("2026-03-28T07:00")
    assert hours.next_change(daily, BERLIN, utc("2026-03-28T08:00")) == utc("2026-03-29T06:00")
    # Kazakhstan went to one zone on 2024-03-01: 08:00 was 02:00 UTC, then 03:00.
    assert hours.next_change(daily, ALMATY, utc("2024-02-29T00:00")) == utc("2024-02-29T02:00")
    assert hours.next_change(daily, ALMATY, utc("2024-02-29T12:00")) == utc("2024-03-01T03:00")


def test_a_skipped_time_is_an_hour_later_and_a_repeated_one_the_first() -> None:
    skipped = {"sun": {"from": "02:30", "to": "05:00"}}
    assert hours.next_change(skipped, BERLIN, utc("2026-03-28T12:00")) == utc("2026-03-29T01:30")
    nothing_left = {"sun": {"from": "02:30", "to": "03:15"}}
    assert not hours.are_now(nothing_left, BERLIN, utc("2026-03-29T01:20"))
    repeated = {"sun": {"from": "02:30", "to": "05:00"}}
    assert hours.next_change(repeated, BERLIN, utc("2026-10-24T12:00")) == utc("2026-10-25T00:30")


_time = st.times().map(lambda time: f"{time:%H:%M}")
_hours = st.dictionaries(st.sampled_from(hours.DAYS), st.fixed_dictionaries({"from": _time, "to": _time}), max_size=7)


@given(
    _hours,
    st.sampled_from([ALMATY, BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")]),
    st.integers(1_672_531_200, 1_830_297_600).map(lambda stamp: dt.datetime.fromtimestamp(stamp, dt.UTC)),
)
def test_what_changes_next_changes_then_and_not_before(
    weekly: dict[str, dict[str, str]], zone: ZoneInfo, now: dt.datetime
) -> None:
    then = hours.next_change(weekly, zone, now)
    inside = hours.are_now(weekly, zone, now)
    if then is None:
        return
    assert now < then
    assert hours.are_now(weekly, zone, then) is not inside
    assert hours.are_now(weekly, zone, then - dt.timedelta(microseconds=1)) is inside
