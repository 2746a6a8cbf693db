"""Days, weeks and months of a driver's calendar: where they begin and end, and which texts name one."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from django.utils.translation import override

from drivers.earnings import periods
from drivers.earnings.periods import Kind, Period
from stepper.errors import InvalidInput

ALMATY, BERLIN, CAIRO = ZoneInfo("Asia/Almaty"), ZoneInfo("Europe/Berlin"), ZoneInfo("Africa/Cairo")
HOUR = dt.timedelta(hours=1)
NOW = dt.datetime(2026, 11, 27, 12, 0, tzinfo=ALMATY)


@pytest.mark.parametrize(
    ("zone", "date", "hours"),
    [
        (ALMATY, dt.date(2026, 11, 27), 24),
        # Kazakhstan put its clocks back at midnight.
        (ALMATY, dt.date(2024, 2, 29), 25),
        (BERLIN, dt.date(2026, 3, 29), 23),
        (BERLIN, dt.date(2026, 10, 25), 25),
        # The clocks skip midnight itself.
        (CAIRO, dt.date(2026, 4, 24), 23),
    ],
)
def test_day_has_the_hours_of_the_clocks(zone: ZoneInfo, date: dt.date, hours: int) -> None:
    day = Period.containing(Kind.DAY, date, zone)
    assert day.ends_at - day.starts_at == hours * HOUR
    assert len(day.spans) == hours
    assert day.starts_at.astimezone(zone).date() == date
    assert (day.starts_at - dt.timedelta(microseconds=1)).astimezone(zone).date() == date - dt.timedelta(days=1)


def test_repeated_hour_is_two_hours_of_the_day() -> None:
    labels = [span.label for span in Period(Kind.DAY, dt.date(2026, 10, 25), BERLIN).spans]
    assert labels[:5] == ["0", "1", "2", "2", "3"]


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("zone", [ALMATY, BERLIN, CAIRO])
def test_spans_fill_the_period_and_periods_follow_without_a_gap(kind: Kind, zone: ZoneInfo) -> None:
    period = Period.containing(kind, dt.date(2026, 4, 24), zone)
    edges = [span.ends_at for span in period.spans]
    assert [span.starts_at for span in period.spans] == [period.starts_at, *edges[:-1]]
    assert edges[-1] == period.ends_at == period.next.starts_at
    assert period.previous
    assert period.previous.ends_at == period.starts_at


def test_week_begins_on_monday_and_month_on_its_first() -> None:
    friday = dt.date(2026, 11, 27)
    assert Period.containing(Kind.WEEK, friday, ALMATY).first == dt.date(2026, 11, 23)
    assert Period.containing(Kind.MONTH, friday, ALMATY).first == dt.date(2026, 11, 1)
    december = Period(Kind.MONTH, dt.date(2026, 12, 1), ALMATY)
    assert (december.end, len(december.spans)) == (dt.date(2027, 1, 1), 31)


def test_current_day_is_the_drivers_own() -> None:
    """At 20:00 in Berlin it is already tomorrow in Almaty."""
    evening = dt.datetime(2026, 11, 27, 20, 0, tzinfo=BERLIN)
    assert periods.current(Kind.DAY, ALMATY, evening).first == dt.date(2026, 11, 28)
    assert periods.current(Kind.DAY, BERLIN, evening).first == dt.date(2026, 11, 27)


@pytest.mark.parametrize(
    ("kind", "text"), [(Kind.DAY, "2026-11-27"), (Kind.WEEK, "2026-11-23"), (Kind.MONTH, "2026-11")]
)
def test_key_is_read_again(kind: Kind, text: str) -> None:
    period = periods.parse(kind, text, ALMATY, NOW)
    assert period.key == text
    assert period == periods.parse(kind, "", ALMATY, NOW)
    assert period.is_current(NOW)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *(
            (text, "There is no such month")
            for text in ("2026-00", "2026-13", "99999-01", "0000-01", "1969-12", "2026")
        ),
        *((text, "There is no such month") for text in ("2026-1", "2026-11-27", "٢٠٢٦-١١", "2026-11\n", "' OR 1=1")),
        ("2026-12", "December 2026 has not begun yet"),
        ("2099-12", "December 2099 has not begun yet"),
    ],
)
def test_wrong_month_is_refused_with_a_reason(text: str, says: str) -> None:
    with override("en"), pytest.raises(InvalidInput) as refused:
        periods.parse(Kind.MONTH, text, ALMATY, NOW)
    assert says in refused.value.reasons[0]
    assert list(refused.value.fields) == ["month"]


@pytest.mark.parametrize("text", ["2026-02-29", "2026-11-31", "2026-11-28", "27.11.2026", "2026-11"])
def test_wrong_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        periods.parse(Kind.DAY, text, ALMATY, NOW)


def test_first_usable_year_has_nothing_before_it() -> None:
    assert Period(Kind.MONTH, dt.date(1970, 5, 1), ALMATY).previous is None


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        (Kind.DAY, "2030-01-01", "1 января 2030 г."),
        (Kind.WEEK, "2026-12-28", "28 декабря – 3 января 2027"),
        (Kind.MONTH, "2026-12", "декабрь 2026 г."),
    ],
)
def test_russian_periods_are_declined_and_their_refusal_has_one_full_stop(kind: Kind, text: str, name: str) -> None:
    with override("ru"), pytest.raises(InvalidInput) as refused:
        periods.parse(kind, text, ALMATY, NOW)
    assert refused.value.message == f"{name}: этот период ещё не начался."
