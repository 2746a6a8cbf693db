"""An open page of the administration takes back nothing that others changed meanwhile."""

import datetime as dt
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from drivers.models import Driver
from stepper.models import SecurityEvent, ServiceSettings, User
from tests.backoffice import page_url, signed_in
from tests.factories import DriverFactory, PassengerFactory, StaffFactory

pytestmark = pytest.mark.django_db


class Inputs(HTMLParser):
    """What a browser would send of a page: its inputs and what is chosen in its selects."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        name = known.get("name") or ""
        if tag == "input" and name and (known.get("type") != "checkbox" or "checked" in known):
            self.values.setdefault(name, known.get("value") or "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in known and self._select:
            self.values[self._select] = known.get("value") or ""


@pytest.fixture
def client() -> Client:
    return signed_in(StaffFactory.create())


def opened(client: Client, address: str) -> dict[str, Any]:
    values = Inputs(client.get(address).content.decode()).values
    return {name: value for name, value in values.items() if name != "csrfmiddlewaretoken"}


def test_new_date_of_a_licence_is_not_taken_back(client: Client) -> None:
    driver = DriverFactory.create()
    address = page_url(driver)
    form = opened(client, address)
    newer = timezone.localdate() + dt.timedelta(days=3000)
    Driver.objects.update(licence_expires_on=newer)
    assert client.post(address, {**form, "licence_number": "NEW1"}).status_code == 302
    driver.refresh_from_db()
    assert (driver.licence_number, driver.licence_expires_on) == ("NEW1", newer)


def test_settings_that_a_colleague_changed_stay(client: Client) -> None:
    row, _created = ServiceSettings.objects.get_or_create(pk=1)
    address = page_url(row)
    form = opened(client, address)
    ServiceSettings.objects.update(base_fare=777, staff_second_factor=False, boarding_apart=not row.boarding_apart)
    assert client.post(address, {**form, "fare_per_km": "75"}).status_code == 302
    stored = ServiceSettings.current()
    assert (stored.base_fare, stored.fare_per_km, stored.boarding_apart) == (777, 75, not row.boarding_apart)
    logged = SecurityEvent.objects.filter(event="settings.changed").latest("pk").details
    assert "fare_per_km" in logged
    assert "base_fare" not in logged


def test_address_that_its_owner_changed_stays(client: Client) -> None:
    user = PassengerFactory.create(email="old@example.kz")
    address = page_url(user)
    form = opened(client, address)
    User.objects.filter(pk=user.pk).update(email="new@example.kz", is_active=False)
    assert client.post(address, {**form, "name": "Renamed"}).status_code == 302
    user.refresh_from_db()
    assert (user.name, user.email, user.is_active) == ("Renamed", "new@example.kz", False)


def test_what_was_changed_on_the_page_is_written(client: Client) -> None:
    user = PassengerFactory.create(email="old@example.kz", language="en")
    form = opened(client, page_url(user))
    form.pop("is_active")
    assert client.post(page_url(user), {**form, "email": "staff@example.kz", "phone": ""}).status_code == 302
    user.refresh_from_db()
    assert (user.email, user.phone, user.is_active) == ("staff@example.kz", None, False)


def test_hash_of_a_password_is_in_no_page(client: Client) -> None:
    user = PassengerFactory.create()
    assert user.password not in client.get(page_url(user)).content.decode()


def test_text_that_was_refused_can_be_sent_again(client: Client) -> None:
    user = PassengerFactory.create(email="old@example.kz")
    form = opened(client, page_url(user))
    refused = client.post(page_url(user), {**form, "name": "Renamed", "email": "nonsense"})
    again = Inputs(refused.content.decode()).values
    assert (again["email"], again["initial-email"], again["initial-name"]) == ("nonsense", form["email"], form["name"])
