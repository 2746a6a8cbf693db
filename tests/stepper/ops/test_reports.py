"""The pages of the reports: who sees what, for which days, with which figures, and what the files have."""

import csv
import datetime as dt
import io
import re
from collections.abc import Iterator
from typing import Any

import openpyxl
import pytest
import time_machine
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext

from stepper.models import SecurityEvent
from stepper.ops.reports import figures, ranges
from stepper.web import spreadsheets
from tests.backoffice import staff_with
from tests.factories import UserFactory
from tests.trips.reports.generated import NOW, Company, count, spec
from trips.models import DriverDay, Trip, TripReason

pytestmark = pytest.mark.django_db

WEEK = "from=2026-11-23&to=2026-11-25"
ALL = ("view_report", "view_revenue", "view_driver")


@pytest.fixture(autouse=True)
def _then() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def company() -> Company:
    made = Company()
    made.add(spec(fare=1000, stars=5))
    made.add(spec(fare=3000, vehicle_class="van", place="geonames-1526273", leg_of=1, departs_min=1500))
    made.add(spec(end="given_up", departs_min=125))
    made.add(spec(end="no_show"))
    made.add_shifts([(0, 60, "available"), (0, 120, "busy"), (0, 180, "offline")])
    count()
    return made


def signed_in(*permissions: str) -> Client:
    client = Client()
    client.force_login(staff_with(*permissions))
    return client


def cells(response: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))


def table(name: str, query: str = WEEK) -> list[list[str]]:
    response = signed_in(*ALL).get(f"/ops/reports/{name}.csv?{query}")
    assert response.status_code == 200, response.content
    return cells(response)


# Who sees what


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/ops/reports/", ("view_report",)),
        ("/ops/reports/trips/", ("view_report",)),
        ("/ops/reports/trips.csv", ("view_report",)),
        ("/ops/reports/revenue/", ("view_report", "view_revenue")),
        ("/ops/reports/revenue.xlsx", ("view_report", "view_revenue")),
        ("/ops/reports/drivers/", ("view_report", "view_driver")),
        ("/ops/reports/drivers/", ("view_report", "view_revenue")),
        ("/ops/reports/statements/", ("view_report", "view_revenue")),
        ("/ops/reports/statements/statement.csv?driver=1", ("view_report", "view_revenue")),
    ],
)
def test_report_needs_its_permissions(path: str, needed: tuple[str, ...]) -> None:
    assert signed_in(*needed).get(path).status_code in (200, 404)
    for missing in needed:
        client = signed_in(*(name for name in needed if name != missing))
        assert client.get(path).status_code == 403, missing
    assert SecurityEvent.objects.filter(event="permission.refused", details=path.partition("?")[0]).exists()
    passenger = Client()
    passenger.force_login(UserFactory())
    assert passenger.get(path).status_code == 403
    assert Client().get(path)["Location"].startswith("/accounts/login/")


def test_drivers_money_is_for_who_may_see_money(company: Company) -> None:
    without = signed_in("view_report", "view_driver").get(f"/ops/reports/drivers/?{WEEK}").content.decode()
    assert company.drivers[0].user.name in without
    assert "Owes the service" not in without
    assert "₸" not in without
    assert "Owes the service" in signed_in(*ALL).get(f"/ops/reports/drivers/?{WEEK}").content.decode()


def test_pages_are_read_only(company: Company) -> None:
    assert signed_in(*ALL).post("/ops/reports/").status_code == 405


# Which days


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-02-30",
        "from=yesterday",
        "from=2026-11-25&to=2026-11-24",
        "from=2025-01-01&to=2026-11-24",
        "from=2026-11-28&to=2026-11-29",
        "from=0001-01-01&to=0001-01-02",
        "class=rocket",
    ],
)
@pytest.mark.parametrize("path", ["/ops/reports/", "/ops/reports/trips.csv"])
@pytest.mark.embedded_only
def test_scope_that_there_is_not_is_refused_with_its_code(path: str, query: str) -> None:
    response = signed_in("view_report").get(f"{path}?{query}")
    assert response.status_code == 400
    assert 'data-code="input.invalid"' in response.content.decode()


def test_longest_range_is_shown() -> None:
    assert signed_in("view_report").get("/ops/reports/?from=2025-10-22&to=2026-11-25").status_code == 200
    assert signed_in("view_report").get("/ops/reports/?from=2025-10-21&to=2026-11-25").status_code == 400


@pytest.mark.embedded_only
def test_report_without_trips_says_so_and_that_nothing_is_counted() -> None:
    page = signed_in("view_report").get("/ops/reports/").content.decode()
    assert "Nothing to report" in page
    assert "Nothing is counted yet" in page


@pytest.mark.embedded_only
@pytest.mark.parametrize("path", ["/ops/reports/nothing/", "/ops/reports/trips.pdf", "/ops/reports/nothing.csv"])
def test_report_that_there_is_not_is_not_found(path: str) -> None:
    assert signed_in(*ALL).get(path).status_code == 404


# Figures


def test_trips_by_day_with_their_ends(company: Company) -> None:
    head, monday, tuesday, total = table("trips")
    assert head[1:5] == ["Trips", "Completed", "Completed, share, %", "Cancelled"]
    assert monday == ["2026-11-23", "3", "1", "33.3", "1", "1", "0", "20"]
    assert tuesday == ["2026-11-24", "1", "1", "100.0", "0", "0", "0", ""]
    assert total[1:] == ["4", "2", "50.0", "1", "1", "0", "20"]


def test_class_and_place_narrow_it(company: Company) -> None:
    assert table("trips", f"{WEEK}&class=van")[-1][1] == "1"
    assert table("trips", f"{WEEK}&place=geonames-1526384")[-1][1] == "3"
    assert table("trips", f"{WEEK}&place=-") == [table("trips")[0]]
    assert table("revenue", f"{WEEK}&class=van")[-1][1:4] == ["1", "3000", "450"]


def test_unfilled_by_hour_and_place(company: Company) -> None:
    rows = table("unfilled")
    assert rows[1:] == [["Almaty", "02:00", "1", "1", "100.0"], ["Total", "", "4", "1", "25.0"]]
    page = signed_in("view_report").get(f"/ops/reports/unfilled/?{WEEK}").content.decode()
    assert "Almaty, 02:00: 1 of 1 without a driver" in page


def test_reasons_cancellations_acceptance_and_ratings(company: Company) -> None:
    assert table("reasons")[1:] == [["on a trip", "1", "100.0"], ["Total", "1", "100.0"]]
    assert table("cancellations")[1:-1] == [
        ["Driver", "Passenger did not come", "1", "50.0"],
        ["System", "No driver in time", "1", "50.0"],
    ]
    assert table("acceptance")[1] == ["up to 30 s", "2", "100.0"]
    assert table("ratings")[1] == ["5 ★", "1", "100.0"]


def test_staff_who_cancel_write_their_reason_and_choose_none(company: Company) -> None:
    day = TripReason.objects.filter(kind=TripReason.Kind.CANCELLED).first()
    TripReason.objects.filter(pk=day.pk).update(side="staff", code="")
    assert ["Staff", "In their own words"] in [row[:2] for row in table("cancellations")]
    TripReason.objects.filter(pk=day.pk).update(side="organiser")
    assert ["Passenger", "No reason chosen"] in [row[:2] for row in table("cancellations")]


def test_revenue_equals_the_trips(company: Company) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*), SUM(fare), SUM(platform_fee) FROM trips_trip WHERE status = 'completed'")
        expected = cursor.fetchone()
    assert [int(cell) for cell in table("revenue")[-1][1:4]] == list(expected)


def test_drivers_have_hours_utilisation_and_what_they_owe(company: Company) -> None:
    first, second = table("drivers")[1:3]
    # Of the trip that was handed over each has a part, and who has the cash owes the other's as well.
    assert first == [company.drivers[0].user.name, "2", "120", "60", "50.0", "5.0", "3000", "450", "1450"]
    assert second[1:] == ["1", "0", "0", "", "", "1000", "150", "-850"]


def test_drivers_chart_writes_times_with_their_unit_in_the_order_of_the_table(company: Company) -> None:
    # The second has fewer trips and more time on them.
    DriverDay.objects.filter(driver=company.drivers[0]).update(on_trips_s=4 * 60)
    DriverDay.objects.filter(driver=company.drivers[1]).update(on_trips_s=9 * 60)
    report = figures.drivers(ranges.parse_scope(QueryDict(WEEK), NOW.date()), sees_money=False)
    assert [(line.label, line.shown) for line in report.chart.lines] == [
        (company.drivers[0].user.name, "8 min"),
        (company.drivers[1].user.name, "9 min"),
    ]
    page = signed_in(*ALL).get(f"/ops/reports/drivers/?{WEEK}").content.decode()
    assert f'<figcaption class="small quiet">{report.chart.summary}</figcaption>' in page


def test_yesterday_is_offered_by_its_name(company: Company) -> None:
    page = signed_in(*ALL).get("/ops/reports/trips/").content.decode()
    days = page.partition('class="reports__quick"')[2].partition("</nav>")[0]
    assert re.findall(r">([^<>]+)</a>", days) == ["Today", "Yesterday", "7 days", "30 days", "90 days"]


# Statements


def test_statement_has_the_sums_of_the_trips(company: Company) -> None:
    driver = company.drivers[0]
    client = signed_in(*ALL)
    query = f"driver={driver.pk}&month=2026-11"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT SUM(fare - former_fare), SUM(platform_fee - former_fee) FROM trips_trip "
            "WHERE status = 'completed' AND driver_id = %s",
            [driver.pk],
        )
        fare, fee = cursor.fetchone()
    total = cells(client.get(f"/ops/reports/statements/statement.csv?{query}"))[-1]
    assert [int(cell) for cell in total[6:9]] == [fare, fee, fare - fee]
    page = client.get(f"/ops/reports/statements/?{query}").content.decode()
    assert f'data-testid="statement-total">₸{fare - fee:,}<'.replace(",", "\u202f") in page
    book = openpyxl.load_workbook(
        io.BytesIO(client.get(f"/ops/reports/statements/statement.xlsx?{query}").content)
    ).active
    assert [cell.value for cell in list(book.rows)[-1]][6:9] == [fare, fee, fare - fee]
    assert client.get(f"/ops/reports/statements/statement.pdf?{query}").content.startswith(b"%PDF")


def test_statement_has_dates_also_on_the_day_of_the_trips(company: Company) -> None:
    ended_at = Trip.objects.filter(completed_at__isnull=False).latest("completed_at").completed_at
    assert ended_at is not None
    with time_machine.travel(ended_at + dt.timedelta(minutes=1), tick=False):
        page = signed_in(*ALL).get(f"/ops/reports/statements/?driver={company.drivers[0].pk}&month=2026-11")
    rows = page.content.decode().partition("<tbody>")[2]
    assert re.findall(r'class="reports__text">([^<>]+ \d\d:\d\d)</th>', rows)[0].startswith(f"{ended_at:%-d} Nov ")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("driver=999999999", 404),
        ("driver=x", 404),
        ("driver=" + "9" * 30, 404),
        ("driver={pk}&month=2026-13", 400),
        ("driver={pk}&month=2027-01", 400),
    ],
)
@pytest.mark.embedded_only
def test_statement_of_nobody_and_of_no_month(company: Company, query: str, status: int) -> None:
    query = query.format(pk=company.drivers[0].pk)
    for path in ("/ops/reports/statements/", "/ops/reports/statements/statement.csv"):
        assert signed_in(*ALL).get(f"{path}?{query}").status_code == status


@pytest.mark.embedded_only
def test_driver_is_found_by_a_part_of_the_name(company: Company) -> None:
    name = company.drivers[0].user.name
    page = signed_in(*ALL).get("/ops/reports/statements/", {"q": name[-8:].lower()}).content.decode()
    assert name in page
    assert "No driver found" in signed_in(*ALL).get("/ops/reports/statements/?q=nobody-here").content.decode()


# Files


@pytest.mark.embedded_only
@pytest.mark.parametrize("text", ["=1+1", "+7701", "-1", "@x", "\t=1+1", "\r=1+1", "\n=1+1", "=HYPERLINK(1)"])
def test_cells_of_files_are_no_formulas(text: str) -> None:
    content = spreadsheets.write_table("xlsx", "=x", ["=head", "n"], [[text, 5]])
    sheet = openpyxl.load_workbook(io.BytesIO(content)).active
    values = [[cell.value for cell in row] for row in sheet.rows]
    assert values[0][0] == "'=head"
    assert values[1][0].lstrip().startswith("'")
    assert values[1][1] == 5
    assert {cell.data_type for row in sheet.rows for cell in row} == {"s", "n"}
    written = spreadsheets.write_table("csv", "x", ["head", "n"], [[text, -5]]).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(written, newline="")))[1][0].lstrip().startswith("'")
    assert ",-5" in written


def test_xlsx_has_the_rows_of_the_page(company: Company) -> None:
    response = signed_in("view_report").get(f"/ops/reports/trips.xlsx?{WEEK}")
    assert response["Content-Disposition"] == 'attachment; filename="steppergo-trips-2026-11-23-2026-11-25.xlsx"'
    rows = [[cell.value for cell in row] for row in openpyxl.load_workbook(io.BytesIO(response.content)).active.rows]
    assert rows[1][:3] == ["2026-11-23", 3, 1]


def test_reports_are_limited_a_minute() -> None:
    client = signed_in("view_report")
    answers = [client.get("/ops/reports/ratings/").status_code for _number in range(61)]
    assert answers == [200] * 60 + [429]


# What it costs

# With the session, the user, their permissions, whether a second factor is demanded, the days' places, the index of
# places and how far counting has come; the one that names drivers with the look at them.
COSTS = {
    "trips": 11,
    "acceptance": 11,
    "unfilled": 12,
    "reasons": 11,
    "cancellations": 11,
    "revenue": 11,
    "drivers": 13,
    "ratings": 11,
}


@pytest.mark.parametrize("trips", [1, 3])
def test_report_costs_as_many_queries_for_any_number_of_trips(trips: int) -> None:
    made = Company()
    for number in range(trips):
        made.add(spec(departs_min=1500 * (number % 2), fare=1000 + number, driver=number % 2))
    count()
    client = signed_in(*ALL)
    client.get(f"/ops/reports/?{WEEK}")
    found = {}
    for name in COSTS:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/ops/reports/{name}/?{WEEK}").status_code == 200
        found[name] = len(queries)
    assert found == COSTS
