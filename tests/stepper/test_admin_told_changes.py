"""The histories of the administration: from what to what, by whom and of whom, and nothing personal as text."""

import datetime as dt
import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.test import Client
from django.utils.html import escape
from django.utils.translation import override

from drivers.models import Approval, Driver
from stepper.admin.told_changes import changed_by_action, details_in_words, details_of, entry_in_words
from stepper.models import DispatchMode, SecurityEvent, ServiceSettings, User
from tests.backoffice import action_url, list_url, page_url, run_on_list, signed_in
from tests.factories import DriverFactory, PassengerFactory, StaffFactory, TripFactory, VehicleFactory
from tests.stepper.test_admin_shown_values import Inputs
from trips.models import DispatchRule, Trip

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return signed_in(StaffFactory.create(name="Dispatcher One"))


def save(client: Client, row: Model, **changed: Any) -> None:
    """Change fields of a row on its page, as a browser does."""
    values = Inputs(client.get(page_url(row)).content.decode()).values
    response = client.post(page_url(row), values | changed)
    assert response.status_code == 302, response.context["errors"]


def history(client: Client, row: Model) -> str:
    return client.get(page_url(row).replace("/change/", "/history/")).content.decode()


def test_settings_say_from_what_to_what_by_whom(client: Client) -> None:
    settings = ServiceSettings.objects.create(pk=1)

    save(client, settings, fare_per_km="65", company_name="Steppe LLP", dispatch_mode="targeted", tips_offered="on")

    page = history(client, settings)
    for words in (
        "50 → 65",
        "– → Steppe LLP",
        "no → yes",
        f"{DispatchMode.BROADCAST.label} → {DispatchMode.TARGETED.label}",
    ):
        assert escape(words) in page, (words, LogEntry.objects.get().change_message)
    assert "Dispatcher One" in page or str(User.objects.get(name="Dispatcher One").get_username()) in page


def test_driver_says_dates_and_vehicles_but_no_text_that_is_somebodys(client: Client) -> None:
    driver = DriverFactory.create(licence_expires_on=dt.date(2027, 12, 31), licence_number="SECRET-1")
    other = VehicleFactory.create(plate="777XYZ05")

    save(client, driver, licence_expires_on="2028-01-31", vehicle=str(other.pk), licence_number="SECRET-2")

    page = history(client, driver)
    assert "31 Dec 2027 → 31 Jan 2028" in page
    assert f"→ {escape(other)}" in page
    assert "licence number" in page.lower()
    kept = LogEntry.objects.get().change_message
    assert "SECRET" not in page + kept
    assert "777" not in kept  # whatever its plate is when it is read


def test_person_keeps_the_names_of_personal_fields_alone(client: Client) -> None:
    user = PassengerFactory.create(name="Айдана", phone="+77011234567", email="a@example.kz")

    save(client, user, name="Асель", phone="+77057654321", email="b@example.kz", language="ru")

    kept = json.loads(LogEntry.objects.latest("pk").change_message)[0]["values"]
    assert {name for name, pair in kept.items() if pair is None} >= {"name", "phone", "email"}
    assert kept["language"][1] == "ru"


def test_action_says_what_it_did_and_what_became_of_whom(client: Client) -> None:
    driver = DriverFactory.create(approval=Approval.PENDING)
    client.post(action_url(driver, "approve"))

    assert "Approve: approval: Pending → Approved" in history(client, driver)
    entry = LogEntry.objects.get()
    with override("ru"):
        assert entry_in_words(entry, Driver) != "Approve: approval: Pending → Approved"


def test_trip_says_its_status_and_keeps_no_words_of_the_reason(client: Client) -> None:
    trip = TripFactory.create()
    run_on_list(client, "cancel", [trip], confirmed="yes", reason="Aidana is ill")

    assert "status: Asking drivers → Cancelled" in history(client, trip)
    assert "Aidana" not in LogEntry.objects.get().change_message


def test_times_and_counters_of_an_action_are_left_out() -> None:
    before, after = (Trip.objects.filter(pk=TripFactory.create().pk).values().get() for _row in range(2))
    values = changed_by_action(Trip, before, after | {"version": 9, "changed_version": 9, "status": "cancelled"})
    assert "status" in values
    assert not {"version", "changed_version", "departure_at", "created_at"} & values.keys()


def test_entry_of_before_is_shown_as_it_was(client: Client) -> None:
    driver = DriverFactory.create()
    for message in ("Approve", json.dumps([{"changed": {"fields": ["Vehicle"]}}]), "[nothing", "[]", ""):
        LogEntry.objects.log_actions(
            StaffFactory.create().pk, Driver.objects.filter(pk=driver.pk), 2, change_message=message, single_object=True
        )
    page = history(client, driver)
    assert "Approve" in page
    assert "Changed Vehicle." in page


def test_security_log_names_settings_as_staff_read_them(client: Client) -> None:
    settings = ServiceSettings.objects.create(pk=1)
    settings.fare_per_km, settings.tips_offered, settings.company_address = 65, True, "Abay 1; office: 2"
    settings.save()

    page = client.get(list_url(SecurityEvent)).content.decode()

    assert "50 → 65" in page
    assert "no → yes" in page
    assert "fare_per_km" not in page
    assert escape("– → Abay 1; office: 2") in page


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ("dispatchrule 7: round_size: – → 3", "dispatch rule 7: drivers asked at once: – → 3"),
        ("dispatchrule 7: deleted", "dispatch rule 7: deleted"),
        # The log cuts long texts off.
        ("dispatchrule 7: round_size: 2 → -", "dispatch rule 7: drivers asked at once: 2 → -"),
        ("dispatchrule 7: round_size: 2 → …", "dispatch rule 7: drivers asked at once: 2 → …"),
        ("something else", "something else"),
        ("", ""),
    ],
)
def test_details_of_rules_are_told(details: str, words: str) -> None:
    assert details_in_words(details, [ServiceSettings, DispatchRule]) == words


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ("approval: pending → approved", "approval: Pending → Approved"),
        ("approval: approved → suspended (complaints)", "approval: Approved → Suspended (complaints)"),
        ("name: as in the application", "name: as in the application"),
        ("documents_valid_until: 1970-01-01 → 2027-06-01", "documents valid until: not valid → 1 Jun 2027"),
        ("documents_valid_until: 1970-01-01 → 2027-06-3", "documents valid until: not valid → 3 Jun 2027"),
        ("documents_valid_until: 1970-01-01 → 2027-06-", "documents valid until: not valid → 2027-06-"),
    ],
)
def test_decisions_about_drivers_are_told(details: str, words: str) -> None:
    assert details_of(Driver, details) == words
