"""The drivers of the operations room: the list, the panel of one driver, what staff do on it, and who may."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from drivers import approvals, availability, deactivation
from drivers.models import Driver
from realtime import groups
from stepper.errors import NotPermitted
from stepper.models import SecurityEvent, User
from tests.backoffice import staff_with
from tests.factories import ALMATY, DriverFactory, OfferFactory, StaffFactory, TripFactory
from tests.outbox import rechecked
from trips import assignment

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
SUPPORT = ("view_driver", "change_driver", "view_trip")


@pytest.fixture
def staff() -> User:
    return staff_with(*SUPPORT)


@pytest.fixture
def desk(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


@pytest.fixture
def driver() -> Driver:
    return DriverFactory(at=ALMATY, user__name="Aida Nurlan")


def read(desk: Client, path: str) -> str:
    response = desk.get(path)
    assert response.status_code == 200, (path, response.status_code)
    return response.content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {"online", "offline", "suspended"}),
        ("show=available", {"online"}),
        ("show=offline", {"offline"}),
        ("show=suspended", {"suspended"}),
        ("q=aida", {"online"}),
        ("q=nobody", set()),
        ("show=nonsense&after=nonsense", {"online", "offline", "suspended"}),
    ],
)
def test_list_filters_and_searches(desk: Client, query: str, found: set[str]) -> None:
    drivers = {
        "online": DriverFactory(at=ALMATY, user__name="Aida Nurlan"),
        "offline": DriverFactory(availability="offline", is_online=False),
        "suspended": DriverFactory(availability="offline", is_online=False, approval="suspended"),
    }
    html = read(desk, f"/ops/drivers/?{query}")
    assert {name for name, one in drivers.items() if f'href="/ops/drivers/{one.pk}/"' in html} == found


@pytest.mark.parametrize("count", [1, 3])
def test_panel_costs_the_same_for_any_number_of_rows(desk: Client, driver: Driver, staff: User, count: int) -> None:
    for _number in range(count):
        OfferFactory(driver=driver, trip__status="offered")
        trip = TripFactory(status="unfilled")
        assignment.assign(trip.pk, driver.pk, StaffFactory(), "nearest")
        assignment.take_off(trip.pk, StaffFactory(), "ill")
    with CaptureQueriesContext(connection) as asked:
        html = read(desk, f"/ops/drivers/{driver.pk}/")
    assert html.count("A trip was assigned") == count
    assert len([one for one in asked if one["sql"].startswith("SELECT")]) == 17


def test_panel_says_how_the_driver_stands(desk: Client, driver: Driver) -> None:
    trip = TripFactory(status="accepted", driver=driver)
    html = read(desk, f"/ops/drivers/{driver.pk}/")
    assert f'href="/ops/trips/{trip.pk}/"' in html
    assert f"tel:{driver.user.phone.as_e164}" in html
    assert str(driver.vehicle.plate_text) in html


def test_trips_are_shown_to_those_alone_who_may_see_them(client: Client, driver: Driver) -> None:
    trip = TripFactory(status="accepted", driver=driver)
    OfferFactory(driver=driver, trip=trip, status="accepted")
    client.force_login(staff_with("view_driver"))
    html = read(client, f"/ops/drivers/{driver.pk}/")
    assert trip.title not in html
    assert "data-action" not in html


def test_suspending_takes_the_driver_offline_and_closes_what_they_may_not_see(desk: Client, driver: Driver) -> None:
    path = f"/ops/drivers/{driver.pk}/do/suspend/"
    assert "lose their open offers" in read(desk, path)
    answer = desk.post(path, {"reason": "complaints"}, headers=HTMX)
    assert "The driver is suspended." in answer.content.decode()
    driver.refresh_from_db()
    assert (driver.approval, driver.availability) == ("suspended", "offline")
    assert rechecked(groups.driver(driver.pk))
    assert "complaints" in read(desk, f"/ops/drivers/{driver.pk}/")
    assert desk.post(path, {"reason": "again"}, headers=HTMX).status_code == 409
    assert desk.post(f"/ops/drivers/{driver.pk}/do/reinstate/").status_code == 302


def test_taking_offline(desk: Client, driver: Driver) -> None:
    assert desk.post(f"/ops/drivers/{driver.pk}/do/take-offline/", {"reason": ""}).status_code == 302
    driver.refresh_from_db()
    assert driver.availability == "offline"


def test_closing_the_account_needs_the_right_to_change_accounts(client: Client, driver: Driver) -> None:
    path = f"/ops/drivers/{driver.pk}/do/deactivate/"
    client.force_login(staff_with(*SUPPORT))
    assert "act-deactivate" not in read(client, f"/ops/drivers/{driver.pk}/")
    assert client.post(path, {"reason": "left us"}).status_code == 403
    client.force_login(staff_with(*SUPPORT, "change_user"))
    assert "act-deactivate" in read(client, f"/ops/drivers/{driver.pk}/")
    assert client.post(path, {"reason": "left us"}).status_code == 302
    driver.refresh_from_db()
    assert (driver.user.is_active, driver.availability) == (False, "offline")
    assert rechecked(groups.user(driver.user_id))
    assert SecurityEvent.objects.filter(subject=driver.user, details="account closed (left us)").exists()


def test_nobody_closes_a_colleagues_account_or_their_own() -> None:
    colleague = DriverFactory(user__is_staff=True)
    staff = staff_with(*SUPPORT, "change_user")
    with pytest.raises(NotPermitted):
        deactivation.deactivate(colleague.pk, staff)
    own = DriverFactory(user=staff)
    with pytest.raises(NotPermitted):
        deactivation.deactivate(own.pk, staff)


@pytest.mark.parametrize("path", ["do/suspend/", "do/take-offline/"])
def test_who_may_only_look_is_refused_by_the_verb(client: Client, driver: Driver, path: str) -> None:
    client.force_login(staff_with("view_driver"))
    assert client.post(f"/ops/drivers/{driver.pk}/{path}", {"reason": "no"}).status_code == 403
    for verb in (approvals.suspend, availability.take_offline):
        with pytest.raises(NotPermitted):
            verb(driver.pk, staff_with("view_driver"))


@pytest.mark.parametrize("path", ["", "history/", "do/suspend/"])
def test_there_is_no_such_driver(desk: Client, path: str) -> None:
    assert desk.get(f"/ops/drivers/4000/{path}").status_code == 404
