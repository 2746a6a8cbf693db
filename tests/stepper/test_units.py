"""How times read on the pages."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import formats

from stepper.templatetags.units import km_exactly, time_spent, when, when_within

ALMATY = "Asia/Almaty"


@pytest.mark.parametrize(
    ("at", "by_itself", "in_a_sentence"),
    [
        ("2026-05-20 18:30", "Today 18:30", "today 18:30"),
        ("2026-05-21 00:05", "Tomorrow 00:05", "tomorrow 00:05"),
        ("2026-05-19 23:59", "Yesterday 23:59", "yesterday 23:59"),
        ("2026-05-24 06:40", "24 May 06:40", "24 May 06:40"),
        ("2027-01-02 06:40", "2 Jan 2027 06:40", "2 Jan 2027 06:40"),
    ],
)
def test_a_day_is_named_by_the_zone_and_its_place_in_the_sentence(at, by_itself, in_a_sentence):
    # Late in the evening in UTC: already the next day in Almaty.
    with time_machine.travel(dt.datetime(2026, 5, 19, 21, 0, tzinfo=dt.UTC), tick=False):
        instant = dt.datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(ALMATY))

        assert when(instant, ALMATY) == by_itself
        assert when_within(instant, ALMATY) == in_a_sentence


def test_times_have_twenty_four_hours_where_no_page_of_ours_says_how():
    instant = dt.datetime(2026, 5, 20, 18, 30, tzinfo=dt.UTC)

    assert formats.localize(instant) == "20 May 2026, 18:30"
    assert formats.localize(instant.time()) == "18:30"


@pytest.mark.parametrize(("minutes", "text"), [(0, "0 min"), (1, "1 min"), (70, "1 h 10")])
def test_no_time_spent_is_none(minutes, text):
    assert time_spent(minutes) == text


@pytest.mark.parametrize(("distance_km", "text"), [(12.5, "12.5 km"), (12.0, "12 km"), (0.5, "0.5 km")])
def test_distance_that_somebody_entered_is_not_rounded(distance_km, text):
    assert km_exactly(distance_km) == text
