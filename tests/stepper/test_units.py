"""How times read on the pages."""

import datetime as dt
import re
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import formats
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import override

from stepper.dates import short_date, weekday_and_date
from stepper.templatetags.units import clock, km_exactly, time_spent, when, when_within
from tests.catalogues import PACKAGES, ROOT

ALMATY = "Asia/Almaty"
NOVEMBER = dt.date(2026, 11, 28)
DATE_FORMATS = ["DATE_FORMAT", "DATETIME_FORMAT", "MONTH_DAY_FORMAT", "YEAR_MONTH_FORMAT"]


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


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("2026-05-20 18:30", "18:30"),
        ("2026-05-21 00:05", "00:05, 21 May"),
        ("2026-05-19 23:59", "23:59, 19 May"),
        ("2027-01-02 06:40", "06:40, 2 Jan 2027"),
    ],
)
def test_a_time_elsewhere_than_today_carries_its_date(at, words):
    with time_machine.travel(dt.datetime(2026, 5, 19, 21, 0, tzinfo=dt.UTC), tick=False):
        assert clock(dt.datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(ALMATY)), ALMATY) == words


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


@pytest.mark.parametrize(
    ("language", "short", "with_year", "with_weekday"),
    [
        ("en", "28 Nov", "28 Nov 2026", "Sat 28 Nov"),
        ("ru", "28 нояб.", "28 нояб. 2026 г.", "Сб, 28 нояб."),
        ("kk", "28 қар.", "2026 ж. 28 қар.", "Сб, 28 қар."),
    ],
)
def test_short_dates_have_the_abbreviations_of_their_language(
    language: str, short: str, with_year: str, with_weekday: str
) -> None:
    with override(language):
        assert (short_date(NOVEMBER), short_date(NOVEMBER, year=True)) == (short, with_year)
        assert weekday_and_date(NOVEMBER) == with_weekday


@pytest.mark.parametrize(
    ("language", "month", "day"),
    [("ru", "ноябрь 2026 г.", "28 ноября"), ("kk", "2026 ж. қараша", "28 қараша")],
)
def test_month_stands_by_itself_in_the_nominative_and_with_its_day_in_the_genitive(language, month, day) -> None:
    with override(language):
        assert formats.date_format(NOVEMBER, "YEAR_MONTH_FORMAT") == month
        assert formats.date_format(NOVEMBER, "MONTH_DAY_FORMAT") == day


@pytest.mark.parametrize("language", ["ru", "kk"])
def test_no_format_writes_a_month_with_a_capital(language: str) -> None:
    with override(language):
        for number in range(1, 13):
            date = dt.datetime(2026, number, 3)  # noqa: DTZ001 - only its month is written
            for name in DATE_FORMATS:
                written = formats.date_format(date, name)
                assert written == written.lower(), name


def test_kazakh_days_have_their_usual_letters() -> None:
    with override("kk"):
        assert [str(day) for day in WEEKDAYS_ABBR.values()] == ["Дс", "Сс", "Ср", "Бс", "Жм", "Сб", "Жс"]


def test_no_date_is_written_past_the_catalogues() -> None:
    """`F` and `M` are for a month alone: in a date most languages decline it."""
    written = re.compile(r"""["'][^"'\n]*\bj\W*[FM]\b[^"'\n]*["']""")
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    files += (ROOT / "templates").rglob("*.*")
    found = sorted(path.relative_to(ROOT).as_posix() for path in files if written.search(path.read_text()))
    assert found == ["stepper/dates.py", "stepper/formats/en/formats.py"]
