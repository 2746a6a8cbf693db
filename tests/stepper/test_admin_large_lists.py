"""Lists of tables with millions of rows: a capped count, and periods read from the first and the last row."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from stepper.admin import large_lists
from tests.backoffice import signed_in
from tests.factories import StaffFactory, TripFactory
from tests.plans import plan, statements
from trips.models import Trip

pytestmark = pytest.mark.django_db

HOME = ZoneInfo("Asia/Almaty")


def trips_at(*instants: dt.datetime) -> None:
    for instant in instants:
        TripFactory(departure_at=instant, ends_at=instant)


def test_rows_are_counted_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_lists, "COUNTED", 2)
    for _number in range(3):
        TripFactory()
    pages = large_lists.CountedPaginator(Trip.objects.order_by("pk"), 1)
    assert (pages.count, pages.num_pages) == (2, 2)


@pytest.mark.parametrize(
    ("query", "links"),
    [
        ("", ["departure_at__year=2025", "departure_at__year=2026"]),
        ("?departure_at__year=2026", ["departure_at__month=1", "departure_at__month=2", "departure_at__month=3"]),
        ("?departure_at__year=2026&departure_at__month=3", ["departure_at__day=8", "departure_at__day=9"]),
    ],
)
def test_periods_are_those_from_the_first_row_to_the_last(query: str, links: list[str]) -> None:
    trips_at(
        dt.datetime(2025, 12, 31, 23, 30, tzinfo=HOME),
        dt.datetime(2026, 1, 1, 0, 30, tzinfo=HOME),
        dt.datetime(2026, 3, 8, 12, tzinfo=HOME),
        dt.datetime(2026, 3, 9, 12, tzinfo=HOME),
    )
    page = signed_in(StaffFactory()).get(f"/admin/trips/trip/{query}").content.decode()
    for link in links:
        assert link in page
    assert "departure_at__year=2024" not in page
    assert "departure_at__month=4" not in page


def test_list_of_trips_is_in_the_order_of_its_key_and_neither_sorted_nor_grouped() -> None:
    trips_at(dt.datetime(2026, 3, 8, 12, tzinfo=HOME))
    client = signed_in(StaffFactory())
    found = [one for one in statements(lambda: client.get("/admin/trips/trip/")) if 'FROM "trips_trip"' in one[0]]
    assert [sql for sql, _params in found if "COUNT(" in sql and "LIMIT" not in sql] == []
    for sql, params in found:
        lines = plan(sql, params, is_large=True)
        assert [line for line in lines if "Sort" in line or "TEMP B-TREE" in line] == [], sql


@pytest.mark.parametrize("few", [1, 2])
def test_periods_of_what_a_search_found_are_read_off_the_rows_themselves(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_lists, "_FEW", few)
    for year in (2024, 2026):
        at = dt.datetime(year, 3, 8, 12, tzinfo=HOME)
        TripFactory(departure_at=at, ends_at=at, organiser__name="Aidana")
    client = signed_in(StaffFactory())
    found = statements(lambda: client.get("/admin/trips/trip/?q=Aidana"))
    ordered = [sql for sql, _params in found if "IS NOT NULL) ORDER BY" in sql and sql.endswith("LIMIT 1")]
    assert len(ordered) == {1: 2, 2: 0}[few]
    page = client.get("/admin/trips/trip/?q=Aidana").content.decode()
    assert [year for year in range(2023, 2028) if f"departure_at__year={year}" in page] == [2024, 2025, 2026]
