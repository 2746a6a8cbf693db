"""Receipts: who gets one, of what, and what it says on the page and on paper."""

import io
from typing import Any

import pytest
from django.test import Client
from django.utils.html import strip_tags
from pypdf import PdfReader

from stepper import limits
from stepper.errors import Conflict, NotFound, TooManyRequests
from stepper.models import ServiceSettings, User
from tests.factories import PassengerFactory, StaffFactory, TripFactory
from trips import receipts
from trips.models import Trip
from trips.states import TripStatus

pytestmark = pytest.mark.django_db


@pytest.fixture
def passenger() -> User:
    user: User = PassengerFactory(name="Dana Akhmetova")
    return user


@pytest.fixture
def trip(passenger: User) -> Trip:
    made: Trip = TripFactory(organiser=passenger, status="completed", pickup_name="Medeu", fare=9180)
    return made


def test_page_says_who_drove_where_and_for_how_much(client: Client, passenger: User, trip: Trip) -> None:
    ServiceSettings.objects.create(pk=1, company_name="Altyn Taxi LLP", company_number="123456789012")
    client.force_login(passenger)

    page = client.get(f"/trips/{trip.pk}/receipt/").content.decode()

    assert trip.driver
    assert trip.vehicle
    for said in (
        f"Receipt No. {trip.pk}",
        "Altyn Taxi LLP",
        "Tax number: 123456789012",
        "Medeu",
        "Dana Akhmetova",
        trip.driver.user.short_name,
        trip.vehicle.plate_text.replace(" ", "\N{NO-BREAK SPACE}"),
        "₸9\u202f180",
        f"/trips/{trip.pk}/receipt.pdf",
    ):
        assert said in page, said


def _plain(text: str) -> str:
    """The text with every space a plain one."""
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", ["Receipt No. {}", "Tax number: 123456789012", "From", "To", "Total", "₸9 180"]),
        ("ru", ["Квитанция № {}", "БИН/ИИН: 123456789012", "Откуда", "Куда", "Всего", "9 180 ₸"]),
        ("kk", ["№ {} түбіртек", "БСН/ЖСН: 123456789012", "Қайдан", "Қайда", "Барлығы", "9 180 ₸"]),
    ],
)
def test_page_and_paper_say_the_same_in_the_readers_language(
    language: str, said: list[str], client: Client, passenger: User
) -> None:
    ServiceSettings.objects.create(
        pk=1, company_name="«Алтын Такси» ЖШС", company_number="123456789012", company_address="Алматы, Әл-Фараби 17"
    )
    trip = TripFactory(organiser=passenger, status="completed", pickup_name="Құрманғазы көшесі", fare=9180)
    User.objects.filter(pk=passenger.pk).update(language=language)
    client.force_login(passenger)

    page = client.get(f"/trips/{trip.pk}/receipt/").content.decode()
    response = client.get(f"/trips/{trip.pk}/receipt.pdf")

    assert response["Content-Type"] == "application/pdf"
    assert response["Content-Disposition"] == f'attachment; filename="steppergo-{trip.pk}.pdf"'
    assert "no-store" in response["Cache-Control"]
    paper = " ".join(one.extract_text() for one in PdfReader(io.BytesIO(response.content)).pages)
    title, *rest = said
    everywhere = [title.format(trip.pk), *rest, "«Алтын Такси» ЖШС", "Алматы, Әл-Фараби 17", "Құрманғазы көшесі"]
    shown = [_plain(strip_tags(page)), _plain(paper)]
    assert [[part for part in everywhere if part not in text] for text in shown] == [[], []]


@pytest.mark.parametrize("name", ["receipt/", "receipt.pdf"])
def test_strangers_drivers_and_guests_get_none(name: str, client: Client, trip: Trip) -> None:
    assert client.get(f"/trips/{trip.pk}/{name}").status_code == 302
    assert trip.driver
    for user in (PassengerFactory(), trip.driver.user):
        client.force_login(user)
        assert client.get(f"/trips/{trip.pk}/{name}").status_code == 404


def test_staff_who_see_all_trips_get_any(trip: Trip) -> None:
    assert receipts.read_receipt(StaffFactory(is_superuser=True), trip.pk).trip == trip
    with pytest.raises(NotFound):
        receipts.read_receipt(StaffFactory(is_superuser=False), trip.pk)


@pytest.mark.parametrize("status", [status for status in TripStatus.values if status != "completed"])
def test_trip_that_is_not_completed_has_none(status: str, client: Client, passenger: User) -> None:
    trip = TripFactory(organiser=passenger, status=status)
    with pytest.raises(Conflict) as refused:
        receipts.read_receipt(passenger, trip.pk)
    assert refused.value.code == "receipt.not_completed"
    client.force_login(passenger)
    assert client.get(f"/trips/{trip.pk}/receipt/").status_code == 409
    assert f"/trips/{trip.pk}/receipt/" not in client.get(f"/trips/{trip.pk}/").content.decode()


def test_trip_page_leads_to_the_receipt(client: Client, passenger: User, trip: Trip) -> None:
    client.force_login(passenger)
    assert f"/trips/{trip.pk}/receipt/" in client.get(f"/trips/{trip.pk}/").content.decode()
    assert trip.driver
    client.force_login(trip.driver.user)
    assert f"/trips/{trip.pk}/receipt/" not in client.get(f"/trips/{trip.pk}/").content.decode()


def test_files_are_limited(passenger: User, trip: Trip) -> None:
    for _number in range(9):
        limits.spend("receipt", passenger.pk, most=10)
    receipts.write_pdf(passenger, trip.pk)
    with pytest.raises(TooManyRequests):
        receipts.write_pdf(passenger, trip.pk)


def test_receipt_costs_the_same_for_any_trip(passenger: User, trip: Trip, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(3):
        assert receipts.read_receipt(passenger, trip.pk).rows
