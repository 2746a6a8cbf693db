"""Exporting one's own data: everything that is held, nothing that opens something, and to nobody else."""

import json
import re
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from drivers.models import Driver
from realtime.models import Notification, PushSubscription
from stepper.accounts.confirmation import CONFIRMED_AT
from stepper.accounts.person import Person
from stepper.models import AccountSession, SecurityEvent, User
from stepper.personal import export
from tests.backoffice import signed_in
from tests.factories import ALMATY, PASSWORD, DriverFactory, PassengerFactory, StaffFactory, TripFactory, place
from tests.rest import as_user
from trips import messages, safety, shares
from trips.models import Rating, SavedPlace, Trip, TripChange, TripTransition
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

PAGE, API = "/account/export/", "/api/account/export"


def confirmed(user: User) -> Client:
    client = Client()
    assert client.post("/accounts/login/", {"login": user.email, "password": PASSWORD}).status_code == 302
    return client


def exported(user: User) -> dict[str, Any]:
    response = confirmed(user).post(PAGE)
    assert response.status_code == 200
    data: dict[str, Any] = json.loads(response.content)
    return data


@pytest.mark.embedded_only
def test_every_table_that_names_people_is_in_it_or_says_why_not() -> None:
    columns = {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.concrete_fields
        if field.is_relation and field.related_model in (User, Driver)
    }
    covered = {f"{section.model._meta.label}.{column}" for section in export.SECTIONS for column in section.about}
    assert columns - covered - set(export.WITHOUT) == set()
    assert (covered | set(export.WITHOUT)) - columns == set()


@pytest.mark.embedded_only
def test_nothing_that_opens_something_is_in_it() -> None:
    """By the names of columns: also of one that is added later."""
    secret = re.compile(r"digest|token|password|secret|hash|^key$|_key$|p256dh|^auth$|session_id|session_data")
    written = {f"{one.name}.{column}" for one in export.SECTIONS for column in one.columns()}
    assert {name for name in written if secret.search(name.partition(".")[2])} == set()


def test_file_has_what_is_held() -> None:
    driver = DriverFactory.create(user__name="Aigul Serik", user__phone="+77011234567")
    user = driver.user
    booked = TripFactory.create(organiser=user, status=TripStatus.EN_ROUTE, note="Gate 2")
    driven = TripFactory.create(
        driver=driver,
        status=TripStatus.COMPLETED,
        organiser__name="Somebody Else",
        note="Their note",
        pickup_address="Abay 1",
    )
    Rating.objects.create(trip=driven, role="organiser", by=driven.organiser, about=user, stars=5)
    SavedPlace.objects.create(user=user, kind="home", place_name="Dostyk 85", lat=43, lng=76)
    Notification.objects.create(user=user, title="A title")
    made = shares.create_share(booked.pk, user)

    response = confirmed(user).post(PAGE)
    assert response["Content-Disposition"] == 'attachment; filename="steppergo-my-data.json"'
    assert "no-store" in response["Cache-Control"]
    data = json.loads(response.content)

    assert data["format"] == 1
    assert data["left_out"] == []
    [account] = data["account"]
    assert (account["name"], account["phone"], account["email"]) == ("Aigul Serik", "+77011234567", user.email)
    assert [trip["note"] for trip in data["trips_booked"]] == ["Gate 2"]
    assert [(trip["id"], trip["driver_earnings"]) for trip in data["trips_driven"]] == [
        (driven.pk, driven.driver_earnings)
    ]
    assert [place["place_name"] for place in data["saved_places"]] == ["Dostyk 85"]
    assert [row["title"] for row in data["notifications"]] == ["A title"]
    assert [row["stars"] for row in data["ratings_received"]] == [5]
    assert len(data["share_links"]) == len(data["sessions"]) == len(data["bookings"]) == len(data["vehicle"]) == 1
    text = response.content.decode()
    for foreign in ("Somebody Else", "Their note", "Abay 1", made.token, made.share.token_digest, user.password):
        assert foreign not in text


def test_driver_does_not_get_why_the_passenger_cancelled() -> None:
    """They read it nowhere else either: trips.serializers."""
    trip = TripFactory.create(
        status=TripStatus.CANCELLED,
        driver=DriverFactory.create(),
        cancel_code="driver_asked",
        cancel_reason="He wanted more",
    )
    assert trip.driver
    [driven] = exported(trip.driver.user)["trips_driven"]
    assert driven["id"] == trip.pk
    assert {"cancel_code", "cancel_reason"}.isdisjoint(driven)
    [booked] = exported(trip.organiser)["trips_booked"]
    assert (booked["cancel_code"], booked["cancel_reason"]) == ("driver_asked", "He wanted more")


def test_who_wrote_a_message_does_not_learn_that_it_was_reported() -> None:
    trip = TripFactory.create(status=TripStatus.ACCEPTED, driver=DriverFactory.create())
    assert trip.driver
    sent = messages.send(trip.pk, trip.driver.user, text="Pay more")
    messages.report(trip.pk, sent.pk, trip.organiser)
    messages.hide(sent.pk, StaffFactory.create(is_superuser=True))
    [written] = exported(trip.driver.user)["messages_written"]
    assert written["text"] == "Pay more"
    assert {"reported_at", "hidden_by_id"}.isdisjoint(written)


def test_call_for_help_has_the_callers_position_alone() -> None:
    """A call without a position gets the driver's for staff: the passenger sees it neither so early nor so exactly."""
    trip = TripFactory.create(status=TripStatus.ACCEPTED, driver=DriverFactory.create())
    assert trip.driver
    place(trip.driver, *ALMATY)
    safety.raise_alert(trip.pk, trip.organiser)
    [call] = exported(trip.organiser)["calls_for_help"]
    assert (call["lat"], call["lng"]) == (None, None)
    safety.raise_alert(trip.pk, trip.organiser, lat=43.2, lng=76.9)
    [call] = exported(trip.organiser)["calls_for_help"]
    assert (call["lat"], call["lng"]) == (43.2, 76.9)


def test_push_subscription_is_named_by_its_host_alone() -> None:
    user = PassengerFactory.create()
    session = AccountSession.objects.get(user=user) if signed_in(user) else None
    assert session is not None
    PushSubscription.objects.create(
        endpoint="https://push.example.test/secret-path", user=user, session=session.session, p256dh="pp", auth="aa"
    )
    data = exported(user)
    assert [row["endpoint"] for row in data["push_subscriptions"]] in (["push.example.test"], [None])
    assert "secret-path" not in json.dumps(data)


def test_nothing_of_others_is_in_it() -> None:
    """Of an empty account there are the account, this session and its sign-in, whatever others have."""
    TripFactory.create(status=TripStatus.COMPLETED, organiser__name="Somebody Else")
    data = exported(PassengerFactory.create())
    assert {name for name, rows in data.items() if rows and isinstance(rows, list)} <= {
        "account",
        "sessions",
        "security_log",
    }


def test_driver_does_not_read_what_passengers_told_staff_alone() -> None:
    driver = DriverFactory.create()
    trip = TripFactory.create(driver=driver, status=TripStatus.CANCELLED)
    Trip.objects.filter(pk=trip.pk).update(cancel_code="driver_asked", cancel_reason="He wanted cash")
    rated = TripFactory.create(driver=driver, status=TripStatus.COMPLETED)
    Rating.objects.create(
        trip=rated, role="organiser", by=rated.organiser, about=driver.user, stars=1, comment="He smokes", tags=",rude,"
    )
    text = json.dumps(exported(driver.user))
    for secret in ("driver_asked", "He wanted cash", "He smokes", "rude"):
        assert secret not in text


def test_staff_take_nothing_of_others_along() -> None:
    """Also not as somebody who is staff no longer."""
    user = StaffFactory.create()
    trip = TripFactory.create(note="Their note")
    TripChange.objects.create(trip=trip, role="staff", by=user, words={"traveller_phone": ["", "+77015550000"]})
    TripTransition.objects.create(
        trip=trip, from_status="published", to_status="cancelled", role="staff", by=user, note="Asked by Their Name"
    )
    Notification.objects.create(
        user=user, title="Call for help", message="Their Name · +77015550000", action_url="/admin/trips/safetyalert/1/"
    )
    User.objects.filter(pk=user.pk).update(is_staff=False, is_superuser=False)
    data = exported(User.objects.get(pk=user.pk))
    assert (data["trip_changes"], data["trip_steps"], data["notifications"]) == ([], [], [])


def test_rows_are_bounded_and_the_file_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MOST_ROWS", 2)
    user = PassengerFactory.create()
    for number in range(3):
        Notification.objects.create(user=user, title=f"N{number}")
    data = json.loads(export.write(Person(user_id=user.pk, driver_id=None, language="en")))
    assert [row["title"] for row in data["notifications"]] == ["N2", "N1"]
    assert data["left_out"] == ["notifications"]


def test_it_needs_the_password_again() -> None:
    user = PassengerFactory.create()
    client = signed_in(user)
    session = client.session
    session[CONFIRMED_AT] = 1
    session.save()
    for response in (client.get(PAGE), client.post(PAGE)):
        assert response["Location"].startswith("/accounts/confirm/")
    api = client.post(API, content_type="application/json")
    assert (api.status_code, api.json()["code"]) == (403, "auth.confirmation_required")
    assert not SecurityEvent.objects.filter(event="data.exported").exists()


def test_it_is_logged_and_limited() -> None:
    user = PassengerFactory.create()
    client = confirmed(user)
    answers = [client.post(PAGE).status_code for _time in range(export.EXPORTS_PER_HOUR + 1)]
    assert answers == [200] * export.EXPORTS_PER_HOUR + [429]
    [event] = SecurityEvent.objects.filter(event="data.exported")
    assert (event.subject_id, event.actor_id) == (user.pk, user.pk)


def test_programs_get_the_same() -> None:
    user = PassengerFactory.create(name="Aigul Serik")
    response = as_user(user).post(API, format="json")
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert response.json()["account"][0]["name"] == "Aigul Serik"


def test_programs_erase_the_account_and_end_with_it() -> None:
    user = PassengerFactory.create()
    client = as_user(user)
    assert client.post("/api/account/erase", format="json").status_code == 204
    user.refresh_from_db()
    assert not user.is_active
    assert client.get("/api/me").status_code == 401
    trip = TripFactory.create(status=TripStatus.OFFERED)
    refused = as_user(trip.organiser).post("/api/account/erase", format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "account.trip_unfinished")
    assert Trip.objects.get(pk=trip.pk).organiser.is_active
