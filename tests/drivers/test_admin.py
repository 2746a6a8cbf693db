"""Drivers, vehicles and positions in the admin: lists, pages, decisions about drivers."""

import datetime as dt

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from drivers import approvals, availability
from drivers.models import (
    Approval,
    Availability,
    AvailabilityChange,
    Break,
    Cause,
    Driver,
    DriverPosition,
    TrailPoint,
    Vehicle,
)
from realtime.models import Notification
from stepper.errors import Conflict
from tests.backoffice import action_url, list_url, member_of_staff, page_url, queries_of, run_on_list, said, signed_in
from tests.factories import ALMATY, DriverFactory, OfferFactory, StaffFactory, TripFactory, VehicleFactory, place
from trips.models import Offer
from trips.states import OfferStatus, TripStatus

pytestmark = pytest.mark.django_db

# action, from, to, what its form asks
DECISIONS = [
    ("approve", Approval.PENDING, Approval.APPROVED, {}),
    ("approve", Approval.REJECTED, Approval.APPROVED, {}),
    ("reject", Approval.PENDING, Approval.REJECTED, {"reason": "no licence"}),
    ("suspend", Approval.APPROVED, Approval.SUSPENDED, {"reason": "complaints"}),
    ("reinstate", Approval.SUSPENDED, Approval.APPROVED, {}),
]


@pytest.fixture
def staff():
    return StaffFactory.create()


@pytest.fixture
def client(staff):
    return signed_in(staff)


@pytest.fixture
def viewer():
    return member_of_staff("drivers.view_driver")


def approval(driver):
    return Driver.objects.values_list("approval", flat=True).get(pk=driver.pk)


# Lists and pages


def make(model, number):
    for _number in range(number):
        if model is TrailPoint:
            TrailPoint.objects.create(trip=TripFactory.create(), lat=43.2, lng=76.8, recorded_at=timezone.now())
        elif model is Vehicle:
            VehicleFactory.create()
            DriverFactory.create()
        elif model is AvailabilityChange:
            availability.set_online(DriverFactory.create(at=ALMATY).pk, False)
        elif model is Break:
            now = timezone.now()
            DriverFactory.create().breaks.create(starts_at=now, ends_at=now + dt.timedelta(minutes=30))
        else:
            DriverFactory.create(at=ALMATY)
    return model.objects.order_by("pk").first()


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("model", "listing", "opening"),
    [
        (Driver, 7, 12),
        (Vehicle, 8, 6),
        (DriverPosition, 8, 8),
        (TrailPoint, 8, 7),
        (AvailabilityChange, 8, 9),
        (Break, 8, 8),
    ],
)
def test_lists_and_pages_cost_the_same_for_one_row_and_three(client, query_count, model, listing, opening, rows):
    first = make(model, rows)
    queries_of(client, list_url(model), query_count(listing, listing))
    queries_of(client, page_url(first), query_count(opening, opening))


def test_the_list_shows_what_is_wrong_with_a_driver(client):
    DriverFactory.create(licence_expires_on=timezone.localdate() - dt.timedelta(days=1))
    dark = DriverFactory.create(at=ALMATY)
    place(dark, *ALMATY, age=dt.timedelta(minutes=12))
    page = client.get(list_url(Driver)).content.decode()
    assert "Expired" in page
    assert "12 min" in page
    DriverPosition.objects.update(jumped=True)
    assert "In doubt, believed 12 min ago" in client.get(list_url(Driver)).content.decode()
    assert "None yet" in page


@pytest.mark.parametrize("term", ["8 701 123 45 67", "+7 (701) 123-45-67", "7011234567", "1234", "KZ 777", "Daniyar"])
def test_search_finds_a_driver_by_phone_plate_and_name(client, term):
    wanted = DriverFactory.create(
        user__name="Daniyar Seitkali", user__phone="+77011234567", vehicle=VehicleFactory.create(plate="KZ 777 ABC")
    )
    DriverFactory.create(user__name="Somebody Else", user__phone="+77059999999")
    response = client.get(list_url(Driver), {"q": term})
    assert [row.pk for row in response.context["cl"].result_list] == [wanted.pk]


@pytest.mark.parametrize(("licence", "days"), [("expired", -1), ("soon", 10), ("valid", 400)])
def test_licence_filter(client, licence, days):
    for until in (-1, 10, 400):
        DriverFactory.create(licence_expires_on=timezone.localdate() + dt.timedelta(days=until))
    response = client.get(list_url(Driver), {"licence": licence})
    found = [(row.licence_expires_on - timezone.localdate()).days for row in response.context["cl"].result_list]
    assert days in found
    assert len(found) == (2 if licence == "valid" else 1)


def test_a_trip_can_be_assigned_only_to_approved_drivers_with_a_vehicle(client):
    approved = DriverFactory.create()
    DriverFactory.create(approval=Approval.SUSPENDED)
    DriverFactory.create(vehicle=None)
    asked = {"app_label": "trips", "model_name": "trip", "field_name": "driver", "term": ""}
    response = client.get(reverse("admin:autocomplete"), asked)
    assert [row["id"] for row in response.json()["results"]] == [str(approved.pk)]


@pytest.mark.parametrize("model", [DriverPosition, TrailPoint, AvailabilityChange, Break])
def test_histories_cannot_be_written(client, model):
    row = make(model, 1)
    assert client.post(page_url(row), {"lat": "0"}).status_code == 403
    assert client.get(f"{list_url(model)}add/").status_code == 403
    assert client.post(page_url(row).replace("/change/", "/delete/"), {"post": "yes"}).status_code == 403
    assert model.objects.filter(pk=row.pk).exists()


# Editing


FORM = {
    "licence_number": "KZ123456",
    "licence_expires_on": "2031-05-01",
    "vehicle": "",
    "availability_changes-TOTAL_FORMS": "0",
    "availability_changes-INITIAL_FORMS": "0",
}


def test_approval_and_availability_cannot_be_posted(client):
    driver = DriverFactory.create(approval=Approval.PENDING, vehicle=None)
    forged = {"approval": "approved", "availability": "available", "is_online": "on", "rating_sum": "500", "user": "1"}
    assert client.post(page_url(driver), {**FORM, **forged}).status_code == 302
    saved = Driver.objects.get()
    assert saved.licence_number == "KZ123456"
    assert (saved.approval, saved.availability, saved.is_online) == (Approval.PENDING, Availability.OFFLINE, False)
    assert (saved.rating_sum, saved.user_id) == (0, driver.user_id)


def test_saving_writes_only_what_was_edited(client):
    driver = DriverFactory.create(vehicle=None)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        client.post(page_url(driver), FORM)
    (update,) = [query["sql"] for query in queries if 'UPDATE "drivers_driver"' in query["sql"]]
    assert "licence_number" in update
    assert "availability" not in update.split("WHERE")[0]


def test_a_new_driver_is_pending(client):
    user = StaffFactory.create()
    assert client.post(f"{list_url(Driver)}add/", {**FORM, "user": user.pk}).status_code == 302
    assert Driver.objects.get().approval == Approval.PENDING


def test_drivers_are_never_deleted(client):
    driver = DriverFactory.create()
    assert client.post(page_url(driver).replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert Driver.objects.exists()


# Decisions


@pytest.mark.parametrize(("action", "before", "after", "data"), DECISIONS)
def test_a_decision_from_the_page(client, staff, action, before, after, data):
    driver = DriverFactory.create(approval=before)
    asking = client.get(action_url(driver, action))
    assert asking.status_code == 200
    assert "csrfmiddlewaretoken" in asking.content.decode()
    assert approval(driver) == before

    response = client.post(action_url(driver, action), data)
    assert (response.status_code, response["Location"]) == (302, page_url(driver))
    assert approval(driver) == after
    assert said(response)[0].startswith("success: 1 ")
    assert Notification.objects.get(user=driver.user).message == data.get("reason", "")
    assert LogEntry.objects.get().user == staff


@pytest.mark.parametrize(("action", "before", "after", "data"), DECISIONS)
def test_a_decision_from_the_list(client, action, before, after, data):
    drivers = [DriverFactory.create(approval=before) for _number in range(2)]
    response = run_on_list(client, action, drivers, **({"confirmed": "yes", **data} if data else {}))
    assert response.status_code == 302
    assert {approval(driver) for driver in drivers} == {after}
    assert said(response)[0].startswith("success: 2 ")


def test_a_decision_that_needs_no_confirmation_takes_one(client):
    driver = DriverFactory(approval=Approval.PENDING)
    run_on_list(client, "approve", [driver], confirmed="yes")
    driver.refresh_from_db()
    assert driver.approval == Approval.APPROVED


@pytest.mark.parametrize("action", ["reject", "suspend"])
def test_what_takes_something_away_is_confirmed_in_the_list(client, action):
    before = Approval.PENDING if action == "reject" else Approval.APPROVED
    driver = DriverFactory.create(approval=before)
    response = run_on_list(client, action, [driver])
    assert response.status_code == 200
    assert f'name="_selected_action" value="{driver.pk}"' in response.content.decode()
    assert approval(driver) == before


@pytest.mark.parametrize(("action", "before", "after", "data"), DECISIONS)
def test_a_decision_a_second_time_is_refused_in_words(client, action, before, after, data):
    driver = DriverFactory.create(approval=before)
    client.post(action_url(driver, action), data)
    response = client.post(action_url(driver, action), data)
    (message,) = said(response)[-1:]
    assert message.startswith("error: 1 refused: ")
    assert str(after.label) in message
    assert Notification.objects.count() == 1


def test_approving_many_lifts_no_suspension(client):
    pending = DriverFactory.create(approval=Approval.PENDING)
    suspended = DriverFactory.create(approval=Approval.SUSPENDED, user__name="Suspended Person")
    response = run_on_list(client, "approve", [pending, suspended])
    assert approval(pending) == Approval.APPROVED
    assert approval(suspended) == Approval.SUSPENDED
    (message,) = said(response)
    assert message.startswith("warning: 1 approved, 1 refused: Suspended Person")


def test_suspending_withdraws_open_offers(client):
    offer = OfferFactory.create()
    client.post(action_url(offer.driver, "suspend"), {"reason": ""})
    assert Offer.objects.get().status == OfferStatus.WITHDRAWN
    assert Driver.objects.get().availability == Availability.OFFLINE


def test_suspending_leaves_a_trip_under_way(client):
    driver = DriverFactory.create(at=ALMATY)
    trip = TripFactory.create(status=TripStatus.EN_ROUTE, driver=driver)
    client.post(action_url(driver, "suspend"), {"reason": ""})
    trip.refresh_from_db()
    assert trip.status == TripStatus.EN_ROUTE
    assert approval(driver) == Approval.SUSPENDED


@pytest.mark.parametrize(("action", "before", "_after", "data"), DECISIONS)
def test_viewing_is_not_deciding(viewer, action, before, _after, data):
    driver = DriverFactory.create(approval=before)
    assert action_url(driver, action) not in viewer.get(page_url(driver)).content.decode()
    assert f'value="{action}"' not in viewer.get(list_url(Driver)).content.decode()
    assert viewer.get(action_url(driver, action)).status_code == 403
    assert viewer.post(action_url(driver, action), data).status_code == 403
    run_on_list(viewer, action, [driver], confirmed="yes", **data)
    assert approval(driver) == before


def test_the_page_offers_what_makes_sense_now(client):
    driver = DriverFactory.create(approval=Approval.PENDING)
    page = client.get(page_url(driver)).content.decode()
    assert action_url(driver, "approve") in page
    assert action_url(driver, "reject") in page
    assert action_url(driver, "suspend") not in page
    assert action_url(driver, "reinstate") not in page


def test_a_decision_made_meanwhile_by_a_colleague_is_not_undone(staff):
    """The page was opened while the driver was pending; what counts is the row when it is held."""
    driver = DriverFactory.create(approval=Approval.PENDING)
    approvals.approve(driver.pk, staff)
    approvals.suspend(driver.pk, staff)
    with pytest.raises(Conflict) as refused:
        approvals.approve(driver.pk, staff)
    assert refused.value.code == "driver.approval_refused"
    assert approval(driver) == Approval.SUSPENDED


# Working time


def test_taking_a_driver_offline_is_told_and_kept(client, staff):
    driver = DriverFactory.create(at=ALMATY)
    assert action_url(driver, "take_offline") in client.get(page_url(driver)).content.decode()
    client.post(action_url(driver, "take_offline"), {"reason": "phone lost"})
    assert Driver.objects.get().availability == Availability.OFFLINE
    change = driver.availability_changes.get()
    assert (change.cause, change.by, change.note) == (Cause.STAFF, staff, "phone lost")
    assert Notification.objects.get().user == driver.user
    response = client.post(action_url(driver, "take_offline"), {"reason": ""})
    assert said(response)[-1].startswith("error: 1 refused: ")


def test_the_page_of_a_driver_tells_their_availability_and_why(client):
    driver = DriverFactory.create(at=ALMATY)
    availability.set_online(driver.pk, False)
    page = client.get(page_url(driver)).content.decode()
    assert "The driver's switch" in page.replace("&#x27;", "'")


def test_a_decision_needs_the_token_against_forgery(staff):
    driver = DriverFactory.create(approval=Approval.PENDING)
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff)
    assert client.post(action_url(driver, "approve")).status_code == 403
    assert approval(driver) == Approval.PENDING


def saved(client, row, **changes):
    """The row's page, posted as it is but for the changes."""
    form = client.get(page_url(row)).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    inlines = {"availability_changes-TOTAL_FORMS": 0, "availability_changes-INITIAL_FORMS": 0}
    posted = {name: value for name, value in {**values, **inlines, **changes}.items() if value is not None}
    response = client.post(page_url(row), posted)
    assert response.status_code == 302, response.context["errors"]


def test_a_new_vehicle_or_licence_has_open_offers_judged_again(client, django_capture_on_commit_callbacks):
    offers = [OfferFactory.create(trip__seats=4) for _number in range(3)]
    swapped, smaller, expired = (offer.driver for offer in offers)
    yesterday = timezone.localdate() - dt.timedelta(days=1)

    with django_capture_on_commit_callbacks(execute=True):
        saved(client, swapped, vehicle=VehicleFactory.create(seats=2).pk)
        saved(client, smaller.vehicle, seats=2)
        saved(client, expired, licence_expires_on=yesterday)

    for offer in offers:
        offer.refresh_from_db()
        assert (offer.status, offer.reason) == ("withdrawn", "no_longer_eligible")


def test_other_edits_leave_open_offers(client, django_capture_on_commit_callbacks):
    offer = OfferFactory.create(trip__seats=4)
    with django_capture_on_commit_callbacks(execute=True):
        saved(client, offer.driver.vehicle, colour="Green")
        saved(client, offer.driver, licence_number="NEW1")
    offer.refresh_from_db()
    assert offer.status == "pending"


def test_an_unknown_driver_is_not_found(client):
    driver = DriverFactory.create()
    url = action_url(driver, "approve").replace(str(driver.pk), "999999")
    assert client.get(url).status_code == 404
    assert client.post(url.replace("999999", "nobody")).status_code == 404


# Expired papers, and what a report counts


EXPIRED = {"approval": Approval.PENDING, "licence_expires_on": dt.date(2020, 12, 31), "is_online": False}


@pytest.mark.parametrize("from_list", [True, False])
def test_approving_with_an_expired_licence_warns_and_asks_for_a_confirmation(client, from_list):
    driver = DriverFactory.create(**EXPIRED)

    def approve(**data):
        if from_list:
            return run_on_list(client, "approve", [driver], **data)
        return client.post(action_url(driver, "approve"), data)

    asked = approve()
    assert asked.status_code == 200
    assert "The licence expired on 31 Dec 2020" in asked.content.decode()
    assert approval(driver) == Approval.PENDING
    assert "This field is required" in approve(confirmed="yes").content.decode()

    done = approve(confirmed="yes", although="on")

    assert said(done) == ["success: 1 approved"]
    assert approval(driver) == Approval.APPROVED


def test_typed_dates_are_taken_as_people_write_them_and_a_past_one_is_warned_of(client):
    driver = DriverFactory.create()
    form = {"user": driver.user_id, "vehicle": driver.vehicle_id, "licence_number": "7"}
    form |= {"changes-TOTAL_FORMS": "0", "changes-INITIAL_FORMS": "0"}
    page = client.get(page_url(driver))
    for inline in page.context["inline_admin_formsets"]:
        form |= {f"{inline.formset.prefix}-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL")}

    saved = client.post(page_url(driver), form | {"licence_expires_on": "31.12.2027"})
    assert saved.status_code == 302, saved.context["errors"]
    driver.refresh_from_db()
    assert driver.licence_expires_on == dt.date(2027, 12, 31)

    warned = client.post(page_url(driver), form | {"licence_expires_on": "31/12/2020"})
    assert any("expired on 31 Dec 2020" in words for words in said(warned))
