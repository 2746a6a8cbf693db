"""REST for the driver's own earnings."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from drivers.earnings import listing
from drivers.models import Driver
from tests.factories import ALMATY, DriverFactory, PassengerFactory, TripFactory
from tests.rest import as_user
from trips.models import Trip
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2026, 2, 11, 12, 0, tzinfo=ZoneInfo("Asia/Almaty"))


def completed(driver: Driver, at: dt.datetime = NOON) -> Trip:
    money = {"fare": 2000, "platform_fee": 300, "driver_earnings": 1700}
    trip: Trip = TripFactory(status=TripStatus.COMPLETED, driver=driver, completed_at=at, **money)
    return trip


def test_earnings_are_the_sums_of_the_period(driver: Driver) -> None:
    completed(driver)
    completed(DriverFactory(at=ALMATY))
    found: dict[str, Any] = as_user(driver.user).get("/api/drivers/earnings?month=2026-02").json()
    days = found.pop("spans")
    # The history of that month is not kept any more, or not yet written.
    assert {found.pop(name) for name in ("online_min", "on_trips_min", "per_hour")} == {None}
    assert found == {
        "period": "month",
        "month": "2026-02",
        "timezone": "Asia/Almaty",
        "starts_at": "2026-01-31T19:00:00Z",
        "ends_at": "2026-02-28T19:00:00Z",
        "trips": 1,
        "fare": 2000,
        "platform_fee": 300,
        "driver_earnings": 1700,
        "cash_collected": 2000,
        "fees_owed": 300,
    }
    assert len(days) == 28
    sums = {"trips": 1, "fare": 2000, "platform_fee": 300, "driver_earnings": 1700}
    assert days[10] == {"starts_at": "2026-02-10T19:00:00Z", **sums}


def test_earnings_are_those_of_today_unless_asked(driver: Driver) -> None:
    found = as_user(driver.user).get("/api/drivers/earnings").json()
    assert (found["period"], found["trips"], found["online_min"] is None) == ("day", 0, False)


def test_trips_of_a_period_come_in_pages(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)
    first, second, third = (completed(driver, NOON + dt.timedelta(hours=number)) for number in range(3))
    client = as_user(driver.user)
    page = client.get("/api/drivers/earnings/trips?day=2026-02-11").json()
    assert [trip["id"] for trip in page["trips"]] == [third.pk, second.pk]
    rest = client.get(f"/api/drivers/earnings/trips?day=2026-02-11&before={page['before']}").json()
    assert rest["before"] is None
    assert rest["trips"] == [
        {
            "id": first.pk,
            "completed_at": "2026-02-11T07:00:00Z",
            "pickup": "Almaty",
            "dropoff": "Almaty airport",
            "distance_km": first.distance_km,
            "fare": 2000,
            "platform_fee": 300,
            "driver_earnings": 1700,
            "cash": 2000,
        }
    ]
    assert client.get("/api/drivers/earnings/trips?day=2026-02-11&before=x").status_code == 404


def test_statement_is_a_file(driver: Driver) -> None:
    completed(driver)
    response = as_user(driver.user).get("/api/drivers/earnings/statement.csv?month=2026-02")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "1700" in response.content.decode()


@pytest.mark.parametrize("path", ["", "/trips", "/statement.csv", "/statement.pdf"])
@pytest.mark.parametrize("month", ["0", "2026-00", "2026-13", "99999-01", "2099-01"])
def test_wrong_month_is_refused_at_its_field(driver: Driver, path: str, month: str) -> None:
    response = as_user(driver.user).get(f"/api/drivers/earnings{path}?month={month}")
    assert (response.status_code, response.json()["code"]) == (400, "input.invalid")
    assert list(response.json()["fields"]) == ["month"]


@pytest.mark.parametrize("path", ["", "/trips", "/statement.csv"])
def test_earnings_are_for_drivers(path: str) -> None:
    response = as_user(PassengerFactory()).get(f"/api/drivers/earnings{path}")
    assert (response.status_code, response.json()["code"]) == (403, "driver.not_a_driver")
