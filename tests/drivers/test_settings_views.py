"""The driver's settings: what is kept, what the page offers, and deleting the account."""

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.test import Client

from drivers import approvals, joining, preferences
from drivers.models import (
    Approval,
    Availability,
    Driver,
    DriverApplication,
    DriverDocument,
    DriverPosition,
    Vehicle,
)
from drivers.navigation import NavigationApp, navigation_url
from realtime import groups
from realtime.models import Notification
from stepper.accounts.confirmation import CONFIRMED_AT
from stepper.accounts.erasing import erased_address
from stepper.errors import Conflict, InvalidInput, NotPermitted
from stepper.models import SecurityEvent, ServiceSettings, User
from stepper.personal import erasure
from tests.backoffice import signed_in
from tests.factories import ALMATY, PASSWORD, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.outbox import frames
from tests.papers import applicant, document, draft, upload
from trips.models import Trip
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

SETTINGS, DELETE = "/driver/settings/", "/account/erase/"


def confirmed(user: User) -> Client:
    """Signed in with the password just now."""
    client = Client()
    assert client.post("/accounts/login/", {"login": user.email, "password": PASSWORD}).status_code == 302
    return client


# What is chosen


def test_choices_are_kept_and_the_pages_hear_of_them() -> None:
    driver = DriverFactory.create()
    client = signed_in(driver.user)
    response = client.post(SETTINGS, {"theme": "dark", "navigation_app": "2gis"})
    assert (response.status_code, response["Location"]) == (302, SETTINGS)
    driver = Driver.objects.select_related("user").get()
    assert (driver.user.theme, driver.navigation_app) == ("dark", "2gis")
    assert [frame.changed for frame in frames(groups.driver(driver.pk))] == [["navigation"]]


@pytest.mark.parametrize(
    ("theme", "marks"), [("system", ()), ("dark", ('data-theme="dark"',)), ("light", ('data-theme="light"',))]
)
def test_every_page_has_the_colours_that_were_chosen(theme: str, marks: tuple[str, ...]) -> None:
    user = PassengerFactory.create(theme=theme)
    html = signed_in(user).get("/trips/").content.decode()
    assert all(mark in html for mark in marks)
    assert ("data-theme" in html) is bool(marks)
    assert ("prefers-color-scheme" in html) is not bool(marks)


@pytest.mark.parametrize("wrong", [{"theme": "pink"}, {"navigation_app": "compass"}])
def test_what_is_not_offered_is_refused(wrong: dict[str, str]) -> None:
    driver = DriverFactory.create()
    chosen = {"theme": "light", "navigation_app": "waze", **wrong}
    with pytest.raises(InvalidInput):
        preferences.set_preferences(driver.pk, **chosen)
    assert signed_in(driver.user).post(SETTINGS, chosen).status_code == 422
    driver.refresh_from_db()
    assert (driver.navigation_app, driver.user.theme) == ("google", "system")


@pytest.mark.parametrize("app", NavigationApp.values)
def test_trip_is_navigated_to_with_the_chosen_app(app: str) -> None:
    driver = DriverFactory.create(at=ALMATY, navigation_app=app)
    trip = TripFactory.create(driver=driver, status=TripStatus.EN_ROUTE)
    html = signed_in(driver.user).get("/driver/").content.decode().replace("&amp;", "&")
    assert navigation_url(app, trip.pickup_lat, trip.pickup_lng) in html


def test_app_that_this_release_does_not_know_is_google() -> None:
    assert navigation_url("horse", 43.5, 76.25) == "https://www.google.com/maps/dir/?api=1&destination=43.5,76.25"
    assert navigation_url("2gis", 43.5, 76.25) == "https://2gis.kz/directions/points/%7C76.25%2C43.5"


# The page


def test_page_shows_what_there_is_and_leads_to_the_rest() -> None:
    driver = DriverFactory.create(max_distance_km=12)
    photo = document(driver.user, "photo", status="accepted", expires_on=None)
    document(driver.user, "insurance")
    html = signed_in(driver.user).get(SETTINGS).content.decode()
    for part in (
        f'src="/drivers/documents/{photo.pk}/picture/"',
        driver.vehicle.plate_text,
        'action="/accounts/sessions/end-all/"',
        'href="/accounts/password/change/"',
        'href="/account/"',
        'action="/driver/filters/"',
        'action="/driver/hours/"',
        "Being checked",
        f'href="{DELETE}"',
    ):
        assert part in html, part


def test_document_sent_from_the_settings_leads_back_there() -> None:
    client = signed_in(DriverFactory.create().user)
    address = "/drivers/documents/photo/"
    assert client.post(address, {"file": upload(), "sent_from": "settings"})["Location"] == SETTINGS
    refused = client.post(address, {"file": upload(b"no"), "sent_from": "settings"})
    assert (refused.status_code, refused.templates[0].name) == (422, "drivers/settings.html")
    stranger = signed_in(PassengerFactory.create())
    assert stranger.post(address, {"file": upload(), "sent_from": "settings"})["Location"] == "/drivers/apply/"


@pytest.mark.parametrize("address", [SETTINGS, DELETE])
def test_strangers_sign_in_first(client: Client, address: str) -> None:
    assert client.get(address)["Location"].startswith("/accounts/login/")


def test_earlier_address_leads_to_the_page_of_erasing() -> None:
    client = signed_in(PassengerFactory.create())
    assert client.get("/driver/settings/delete/")["Location"] == DELETE


def test_settings_are_for_drivers() -> None:
    assert signed_in(PassengerFactory.create()).get(SETTINGS).status_code == 403


# Deleting the account


def test_deleted_account_names_nobody_and_what_a_dispute_needs_stays() -> None:
    driver = applicant()
    Driver.objects.filter(pk=driver.pk).update(approval=Approval.APPROVED)
    driver.refresh_from_db()
    user, vehicle = driver.user, driver.vehicle
    DriverPosition.objects.create(
        driver=driver, lat=43, lng=76, cell=1, recorded_at=user.date_joined, received_at=user.date_joined
    )
    Notification.objects.create(user=user, title="A trip")
    Authenticator.objects.create(user=user, type="totp", data={})
    trip = TripFactory.create(driver=driver, vehicle=vehicle, status=TripStatus.COMPLETED)
    booked = TripFactory.create(
        organiser=user, status=TripStatus.CANCELLED, traveller_name="Aigerim", traveller_phone="+77010000001", note="x"
    )
    Authenticator.objects.all().delete()
    client = confirmed(user)
    elsewhere = signed_in(user)
    assert client.get(DELETE).status_code == 200
    response = client.post(DELETE)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert "storage" in response["Clear-Site-Data"]

    user.refresh_from_db()
    assert (user.name, user.email, user.phone, user.is_active) == (
        "–",
        erased_address(user.pk),
        None,
        False,
    )
    assert not user.has_usable_password()
    driver.refresh_from_db()
    assert (driver.licence_number, driver.vehicle, driver.availability) == ("", None, Availability.OFFLINE)
    for model in (DriverDocument, DriverApplication, DriverPosition, Authenticator):
        assert not model.objects.exists(), model
    assert not Notification.objects.filter(user=user).exists()
    assert elsewhere.get("/driver/").status_code == 302
    assert not Session.objects.filter(account_session__user=user).exists()
    trip.refresh_from_db()
    assert (trip.driver, trip.vehicle, trip.fare > 0) == (driver, vehicle, True)
    booked.refresh_from_db()
    assert (booked.traveller_name, booked.traveller_phone, booked.note) == ("", "", "")
    assert SecurityEvent.objects.filter(event="account.deleted", subject=user).count() == 1


def test_logs_do_not_keep_what_named_a_deleted_account() -> None:
    staff = StaffFactory.create()
    driver = DriverFactory.create(user__email="aigul@x.kz", user__name="Aigul Serik", user__phone="+77011234567")
    user = driver.user
    user.email, user.phone = "aigul@y.kz", "+77017654321"
    user.save()
    for row in (user, driver):
        content_type = ContentType.objects.get_for_model(row)
        values = {"user": staff, "content_type": content_type, "object_repr": "Aigul Serik", "action_flag": CHANGE}
        LogEntry.objects.create(object_id=str(row.pk), **values)
    assert confirmed(user).post(DELETE).status_code == 302
    events = SecurityEvent.objects.filter(subject=user.pk)
    assert set(events.values_list("event", flat=True)) >= {"email.changed", "phone.changed", "account.deleted"}
    shown = LogEntry.objects.values_list("object_repr", flat=True)
    logged = " ".join([*events.values_list("details", flat=True), *shown])
    assert not [text for text in ("aigul", "7701", "Serik", "deleted-") if text in logged]


def test_vehicle_of_a_deleted_account_goes_where_nobody_needs_it() -> None:
    driver = DriverFactory.create(approval="pending")
    plate = driver.vehicle.plate
    confirmed(driver.user).post(DELETE)
    assert not Vehicle.objects.filter(plate=plate).exists()
    again = draft(plate=plate)
    assert joining.submit(again).vehicle is not None


@pytest.mark.parametrize("who", ["a mate", "a trip"])
def test_vehicle_that_somebody_needs_stays(who: str) -> None:
    trip = TripFactory.create(status=TripStatus.COMPLETED)
    driver = trip.driver
    if who == "a mate":
        Trip.objects.update(vehicle=None)
        DriverFactory.create(vehicle=driver.vehicle)
    assert confirmed(driver.user).post(DELETE).status_code == 302
    assert Vehicle.objects.filter(pk=driver.vehicle_id).exists()


@pytest.mark.parametrize(("before", "after"), [("pending", "rejected"), ("approved", "approved")])
def test_deleted_applicant_waits_for_nobody(before: str, after: str) -> None:
    driver = DriverFactory.create(approval=before)
    confirmed(driver.user).post(DELETE)
    driver.refresh_from_db()
    assert driver.approval == after
    if before == "pending":
        with pytest.raises(Conflict) as raised:
            approvals.approve(driver.pk, StaffFactory.create())
        assert raised.value.code == "driver.account_inactive"


def test_nobody_signs_in_to_a_deleted_account() -> None:
    user = DriverFactory.create().user
    login = user.email
    confirmed(user).post(DELETE)
    assert Client().post("/accounts/login/", {"login": login, "password": PASSWORD}).status_code == 200
    again = PassengerFactory.create(email=login)
    assert confirmed(again).get("/trips/").status_code == 200


@pytest.mark.parametrize("status", [TripStatus.ACCEPTED, TripStatus.IN_TRANSIT])
def test_driver_with_an_unfinished_trip_stays(status: TripStatus) -> None:
    trip = TripFactory.create(status=status)
    response = confirmed(trip.driver.user).post(DELETE)
    assert response.status_code == 409
    assert "You have a trip that has not ended." in response.content.decode()
    trip.driver.user.refresh_from_db()
    assert trip.driver.user.is_active


def test_passenger_with_an_unfinished_trip_stays() -> None:
    trip = TripFactory.create(status=TripStatus.OFFERED)
    assert confirmed(trip.organiser).post(DELETE).status_code == 409
    Trip.objects.update(status=TripStatus.CANCELLED, cancelled_at=trip.departure_at)
    assert confirmed(trip.organiser).post(DELETE).status_code == 302


def test_deleting_needs_the_password_again() -> None:
    user = DriverFactory.create().user
    client = signed_in(user)
    session = client.session
    session[CONFIRMED_AT] = 1
    session.save()
    for response in (client.get(DELETE), client.post(DELETE)):
        assert response["Location"].startswith("/accounts/confirm/")
    user.refresh_from_db()
    assert user.is_active


def test_staff_are_deleted_by_a_colleague() -> None:
    staff = StaffFactory.create()
    client = confirmed(staff)
    with pytest.raises(NotPermitted):
        erasure.erase_account(staff, client.session)
    assert client.post(DELETE).status_code == 409


def test_deleting_is_limited() -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults={"changes_per_min": 1})
    trip = TripFactory.create(status=TripStatus.OFFERED)
    client = confirmed(trip.organiser)
    with pytest.raises(Conflict):
        erasure.erase_account(trip.organiser, client.session)
    assert client.post(DELETE).status_code == 429
