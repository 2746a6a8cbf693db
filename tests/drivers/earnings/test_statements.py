"""Statements of a month: what is in the files, in which language, and that no cell is a formula."""

import csv
import datetime as dt
import io
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils.translation import override
from pypdf import PdfReader

from drivers.earnings import listing, statements
from drivers.earnings.statements import Statement
from drivers.models import Driver
from stepper.errors import InvalidInput, NotFound, TooManyRequests
from stepper.web import spreadsheets
from tests.factories import ALMATY, DriverFactory, TripFactory
from trips.models import Trip
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

HOME = ZoneInfo("Asia/Almaty")
# The first minutes of the month at home: still October in UTC.
NOVEMBER = dt.datetime(2026, 11, 1, 0, 5, tzinfo=HOME)
LATER = dt.datetime(2026, 12, 24, 12, 0, tzinfo=HOME)


@pytest.fixture
def driver() -> Driver:
    driver: Driver = DriverFactory(at=ALMATY, user__name="Айгүл Қасымова")
    return driver


def completed(driver: Driver, at: dt.datetime = NOVEMBER, **fields: Any) -> Trip:
    money = {"fare": 1200, "platform_fee": 180, "driver_earnings": 1020}
    trip: Trip = TripFactory(status=TripStatus.COMPLETED, driver=driver, completed_at=at, **money | fields)
    return trip


def november(driver: Driver) -> Statement:
    with time_machine.travel(LATER, tick=False):
        return statements.read_statement(driver, "2026-11")


def rows(statement: Statement, delimiter: str = ",") -> list[list[str]]:
    file = statements.write(statement, "csv")
    assert file.content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(file.content.decode("utf-8-sig")), delimiter=delimiter))


def words(statement: Statement) -> str:
    """All text of the PDF, every space a plain one."""
    reader = PdfReader(io.BytesIO(statements.write(statement, "pdf").content))
    return " ".join(" ".join(page.extract_text() for page in reader.pages).split())


def test_statement_has_the_month_of_the_drivers_zone_in_order(driver: Driver) -> None:
    last = completed(driver, dt.datetime(2026, 11, 30, 23, 59, tzinfo=HOME))
    first = completed(driver)
    completed(driver, dt.datetime(2026, 12, 1, 0, 0, tzinfo=HOME))
    completed(driver, NOVEMBER - dt.timedelta(minutes=6))
    TripFactory(status=TripStatus.CANCELLED, driver=driver)
    completed(DriverFactory(at=ALMATY))
    found = november(driver)
    assert [row.trip_id for row in found.trips] == [first.pk, last.pk]
    assert found.is_final


def test_csv_has_a_line_a_trip_and_the_sums(driver: Driver) -> None:
    trip = completed(driver, pickup_name="Достық 52", dropoff_name="Әуежай", distance_km=16.64)
    head, line, total = rows(november(driver))
    assert head[:3] == ["Trip", "Date", "Completed"]
    assert line == [str(trip.pk), "2026-11-01", "00:05", "Достық 52", "Әуежай", "16.6", "1200", "180", "1020", "1200"]
    assert total == ["Total", "", "", "", "", "", "1200", "180", "1020", "1200"]


def test_csv_is_written_for_spreadsheets_of_the_language(driver: Driver) -> None:
    completed(driver, distance_km=16.64)
    with override("ru"):
        _head, line, _total = rows(november(driver), ";")
    assert line[5] == "16,6"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("Abay 10-12", "Abay 10-12"),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+7 701", "'+7 701"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        (" =1", " '=1"),
        ("＝1", "'＝1"),
        # A spreadsheet that splits at another separator begins a cell in the middle.
        ("Abay,=1+1", "Abay,'=1+1"),
        ("Abay; =1+1", "Abay; '=1+1"),
        ('Abay;"=1+1', "Abay;\"'=1+1"),
    ],
)
def test_cell_is_no_formula(text: str, cell: str) -> None:
    assert spreadsheets.safe_cell(text) == cell


def test_csv_has_no_formula_of_a_passenger(driver: Driver) -> None:
    completed(driver, pickup_name="=cmd|' /C calc'!A0", dropoff_name="@x")
    line = rows(november(driver))[1]
    assert line[3:5] == ["'=cmd|' /C calc'!A0", "'@x"]


@pytest.mark.embedded_only
def test_pdf_has_kazakh_letters_sums_and_trips_and_says_that_the_month_goes_on(driver: Driver) -> None:
    completed(driver, pickup_name="Құрманғазы көшесі", dropoff_name="Әуежай")
    completed(driver, pickup_name="机场 Airport", dropoff_name="Alma")
    with time_machine.travel(NOVEMBER + dt.timedelta(days=1), tick=False):
        found = statements.read_statement(driver, "")
    text = words(found)
    for part in ("Statement of earnings, November 2026", "Айгүл Қасымова", "The month is not over"):
        assert part in text
    assert "01.11. 00:05 Құрманғазы көшесі → Әуежай" in text
    # The font lacks these letters.
    assert "?? Airport → Alma" in text
    for amount in ("₸2 400", "₸360", "₸2 040", "₸1 200", "₸180", "₸1 020"):
        assert amount in text


def test_statement_of_a_month_without_trips_has_its_sums(driver: Driver) -> None:
    _head, total = rows(november(driver))
    assert total[6:] == ["0", "0", "0", "0"]


def test_statement_does_not_change_with_trips_that_end_meanwhile(driver: Driver) -> None:
    """Rows and sums are one reading: a trip completed between the two is in neither."""
    completed(driver)
    found = november(driver)
    completed(driver)
    _head, _line, total = rows(found)
    assert total[6:] == ["1200", "180", "1020", "1200"]
    assert len(november(driver).trips) == 2


@pytest.mark.parametrize("trips", [1, 3])
def test_statement_costs_one_query(driver: Driver, trips: int, query_count: Callable[[int, int], Any]) -> None:
    for _number in range(trips):
        completed(driver)
    period = november(driver).month
    with query_count(1, 1):
        assert len(listing.all_trips(driver.pk, period)) == trips


def test_statement_with_too_many_trips_for_paper_is_a_spreadsheet(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "MOST_ON_PAPER", 1)
    for _number in range(2):
        completed(driver)
    with pytest.raises(InvalidInput, match=r"input\.invalid"):
        statements.write(november(driver), "pdf")
    assert len(rows(november(driver))) == 4


def test_statement_in_another_format_is_not_found(driver: Driver) -> None:
    with pytest.raises(NotFound):
        statements.write(november(driver), "xls")


def test_statements_are_limited_a_minute_for_each_driver(driver: Driver) -> None:
    for _number in range(10):
        november(driver)
    with pytest.raises(TooManyRequests):
        november(driver)
    november(DriverFactory())
