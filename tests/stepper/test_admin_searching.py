"""Search in the lists of the administration: case, alphabets, plates, phone numbers and numbers of rows."""

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import F
from django.test import RequestFactory

from drivers.models import Driver
from stepper.admin import searching
from stepper.models import User
from tests.factories import DriverFactory, PassengerFactory, TripFactory, UserFactory, VehicleFactory
from trips.models import Trip

pytestmark = pytest.mark.django_db

PEOPLE = ["=id", *searching.person()]
DRIVERS = ["=id", *searching.person("user"), "vehicle__plate"]


def found(model, columns, term):
    rows, _twice = searching.search(model.objects.order_by("pk"), columns, term)
    return list(rows)


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("Алёна Иванова", "алена"),
        ("Алена Иванова", "АЛЁНА ИВАН"),
        ("Әсел Құрманғазы", "әсел ҚҰРМАНҒАЗЫ"),
        ("ӨМІРБЕК ҢҮҺ", "өмірбек ңүһ"),
        ("Aidana Sarsen", "SARSEN aidana"),
        ("Иванов 100%", "иванов 100%"),
        ("Олег Ким", '"ОЛЕГ КИМ"'),
    ],
)
def test_names_are_found_without_case_in_every_alphabet(name, term):
    wanted = UserFactory.create(name=name, email="a@example.kz")
    UserFactory.create(name="Somebody Else", email="b@example.kz")
    assert found(User, PEOPLE, term) == [wanted]


def test_a_name_is_compared_with_a_column_without_case():
    user = UserFactory.create(name="ЁЛКА", email="ёлка@example.kz")
    assert list(User.objects.filter(email__istartswith=F("name"))) == [user]


@pytest.mark.parametrize(
    "term",
    [
        *("8 701 123 45 67", "+7 (701) 123-45-67", "87011234567", "7011234567", "+77011234567", "7 701 123 45 67"),
        *("701 123", "(701) 123-45", "8701123", "8 (701) 12", "123-45-67", "1234567", "+7 701 123"),
        *("Айдана 8 701 123 45 67", "8-701-123-45-67 айдана"),
    ],
)
def test_phone_numbers_are_found_in_any_spelling(term):
    wanted = UserFactory.create(name="Айдана", phone="+77011234567")
    UserFactory.create(name="Айдана", phone="+77057654321")
    assert found(User, PEOPLE, term) == [wanted]


def test_a_number_of_another_country_is_found_without_its_plus():
    wanted = UserFactory.create(phone="+996555123456")
    assert found(User, PEOPLE, "996 555 123 456") == found(User, PEOPLE, "+996 (555) 123-456") == [wanted]


def test_a_complete_phone_number_is_compared_in_full_with_phones_alone():
    """So that PostgreSQL answers it by the index of the column, whatever the other columns are."""
    rows, _twice = searching.search(User.objects.all(), PEOPLE, "8 701 123 45 67")
    assert "LIKE" not in str(rows.query).upper()


@pytest.mark.parametrize(
    "term",
    [
        *("101 ABK 02", "101abk02", "101-ABK-02", "101АВК02", "101 авк 02", "101-авк 02", "abk", "авк"),
    ],
)
def test_plates_are_found_in_either_alphabet_with_and_without_spaces(term):
    wanted = DriverFactory.create(vehicle=VehicleFactory.create(plate="101ABK02"))
    DriverFactory.create(vehicle=VehicleFactory.create(plate="777XYZ05"))
    assert found(Driver, DRIVERS, term) == [wanted]


@pytest.mark.parametrize("sign", ["", "#", "№"])
def test_rows_are_found_by_their_number(sign):
    trip, _other = TripFactory.create(), TripFactory.create()
    assert found(Trip, ["=id"], f"{sign}{trip.pk}") == [trip]


@pytest.mark.parametrize("term", ["9" * 19, "²", "\x00", "Айдана\x00", "nobody of this name"])
def test_what_no_row_can_have_finds_nothing(term):
    PassengerFactory.create(name="Айдана")
    assert found(User, PEOPLE, term) == []


@pytest.mark.parametrize("term", ["", "   "])
def test_a_search_for_nothing_is_the_whole_list(term):
    user = UserFactory.create()
    assert found(User, PEOPLE, term) == [user]


def test_every_list_that_finds_people_by_name_finds_them_by_phone_and_email_too():
    lacking = {}
    for model, page in admin.site._registry.items():
        columns = {column.lstrip("^=") for column in page.get_search_fields(RequestFactory().get("/"))}
        for column in columns:
            path = column.rpartition("name")[0]
            is_person = (column == "name" and model is User) or column.endswith(("user__name", "by__name"))
            if is_person and not {f"{path}phone", f"{path}email"} <= columns:
                lacking[model.__name__] = column
    assert not lacking


@pytest.mark.skipif(connection.vendor != "postgresql", reason="of PostgreSQL")
def test_the_database_folds_the_letters_of_every_alphabet():
    with connection.cursor() as cursor:
        cursor.execute("SELECT upper('әёқһі')")
        assert cursor.fetchone() == ("ӘЁҚҺІ",)
