"""The drivers of the operations room: the list, the panel of one driver, what staff do on it, and who may."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags

from drivers import approvals, availability, deactivation
from drivers.document_review import reject_document
from drivers.models import Driver, DriverDocument
from realtime import groups
from stepper.errors import NotPermitted
from stepper.models import SecurityEvent, User
from tests.backoffice import staff_with
from tests.factories import ALMATY, DriverFactory, OfferFactory, StaffFactory, TripFactory
from tests.outbox import rechecked
from tests.papers import accept_all, applicant
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
    # The last is the security log, of what was decided.
    assert len([one for one in asked if one["sql"].startswith("SELECT")]) == 18


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


# Applications


def told(html: str) -> list[str]:
    """What a history says, an entry each, without its time."""
    entries = html.split('data-testid="ops-entry"')[1:]
    parts = [entry.split('<div class="ops-entry__body">')[1].split("<time")[0] for entry in entries]
    return [" ".join(strip_tags(part).split()) for part in parts]


def test_an_application_is_decided_where_the_queue_leads(client: Client) -> None:
    driver = applicant()
    path = f"/ops/drivers/{driver.pk}/"
    client.force_login(staff_with(*SUPPORT, "view_driverdocument"))
    html = read(client, path)
    assert 'data-testid="ops-applied"' in html
    documents = DriverDocument.objects.filter(owner=driver.user)
    assert all(f'href="/admin/drivers/driverdocument/{row.pk}/change/"' in html for row in documents)
    assert f'href="/admin/drivers/driver/{driver.pk}/change/"' in html
    refused = client.post(f"{path}do/approve/", headers=HTMX)
    assert refused.status_code == 409
    accept_all(driver.user)
    answer = client.post(f"{path}do/approve/", headers=HTMX)
    assert "The driver is approved." in answer.content.decode()
    driver.refresh_from_db()
    assert driver.approval == "approved"


def test_an_application_is_rejected_with_a_reason(desk: Client) -> None:
    driver = applicant()
    answer = desk.post(f"/ops/drivers/{driver.pk}/do/reject/", {"reason": "Wrong vehicle"}, headers=HTMX)
    assert "The application is rejected." in answer.content.decode()
    driver.refresh_from_db()
    assert driver.approval == "rejected"


def test_an_application_is_shown_without_what_the_viewer_may_not_see_or_do(client: Client) -> None:
    driver = applicant()
    client.force_login(staff_with("view_driver"))
    html = read(client, f"/ops/drivers/{driver.pk}/")
    assert "ops-document" not in html
    assert "seen by staff alone who check them" in html
    assert "staff with the right to change drivers decide it" in html
    assert "act-approve" not in html
    for name in ("approve", "reject"):
        assert client.post(f"/ops/drivers/{driver.pk}/do/{name}/", {"reason": "no"}).status_code == 403


def test_documents_that_were_never_accepted_have_no_date(desk: Client, client: Client) -> None:
    driver = applicant()
    document = DriverDocument.objects.filter(owner=driver.user).first()
    reject_document(document.pk, StaffFactory(), "blurred")
    driver.refresh_from_db()
    assert driver.documents_missing
    html = read(desk, f"/ops/drivers/{driver.pk}/")
    assert "not all needed ones are accepted" in html
    assert "1970" not in html
    client.force_login(StaffFactory())
    assert "1970" not in client.get(f"/admin/drivers/driver/{driver.pk}/change/").content.decode()


# Decisions in the history


def test_history_tells_what_was_decided_of_an_applicant(client: Client) -> None:
    driver = applicant()
    decider = StaffFactory(name="Dana Sadykova")
    documents = DriverDocument.objects.filter(owner=driver.user).order_by("pk")
    reject_document(documents[0].pk, decider, "blurred")
    approvals.reject(driver.pk, decider, "documents missing")
    client.force_login(staff_with(*SUPPORT, "view_driverdocument"))
    assert told(read(client, f"/ops/drivers/{driver.pk}/")) == [
        f"Applied to drive · {driver.user.name}",
        f"{documents[0].get_kind_display()}: rejected · Dana Sadykova blurred",
        "Rejected · Dana Sadykova documents missing",
    ]
    client.force_login(staff_with(*SUPPORT))
    assert "blurred" not in read(client, f"/ops/drivers/{driver.pk}/")


def test_history_tells_suspension_and_reinstatement(desk: Client) -> None:
    driver = DriverFactory(at=ALMATY, availability="busy")
    TripFactory(status="in_transit", driver=driver)
    decider = StaffFactory(name="Dana Sadykova")
    approvals.suspend(driver.pk, decider, "complaints")
    approvals.reinstate(driver.pk, decider)
    assert told(read(desk, f"/ops/drivers/{driver.pk}/")) == [
        "Suspended · Dana Sadykova complaints",
        "Reinstated · Dana Sadykova",
    ]


def test_history_tells_that_the_account_was_closed_and_why_by_permission(client: Client) -> None:
    driver = DriverFactory(availability="offline", is_online=False)
    closer = StaffFactory(name="Dana Sadykova")
    deactivation.deactivate(driver.pk, closer, "left us")
    client.force_login(staff_with(*SUPPORT))
    assert told(read(client, f"/ops/drivers/{driver.pk}/")) == ["Account closed · Dana Sadykova"]
    client.force_login(staff_with(*SUPPORT, "view_securityevent"))
    assert told(read(client, f"/ops/drivers/{driver.pk}/")) == ["Account closed · Dana Sadykova left us"]
    driver.user.is_active = True
    driver.user.save(update_fields=["is_active"])
    assert told(read(client, f"/ops/drivers/{driver.pk}/"))[-1].startswith("Account opened again")
