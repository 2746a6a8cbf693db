"""Search in lists whose tables may have millions of rows: people first, then the newest rows that point at them."""

from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import ForeignKey, Model, UniqueConstraint
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from stepper.admin import searching
from tests.backoffice import list_url, signed_in
from tests.factories import DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory, VehicleFactory
from tests.plans import full_scans, plan, statements
from trips.models import Offer, Rating, Trip

pytestmark = pytest.mark.django_db

ADMINS = sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label)
TERMS = ["41", "Aidana", "8 701 123 45 67", "101-ABK-02", "41 Aidana", "Aidana Berik 701123", "²", "nobody"]
by_label = pytest.mark.parametrize(("model", "listing"), ADMINS, ids=[model._meta.label for model, _listing in ADMINS])


def columns_of(model: type[Model]) -> list[str]:
    return [str(one) for one in admin.site._registry[model].get_search_fields(RequestFactory().get("/"))]


def find(model: Any, term: str) -> searching.Found:
    return searching.search(model.objects.order_by("pk"), columns_of(model), term)


@pytest.fixture
def trips() -> dict[str, Trip]:
    """Trips of one passenger with each of two drivers, and of another one with nobody."""
    aidana = PassengerFactory.create(name="Aidana Sarsen", phone="+77011234567")
    berik = DriverFactory.create(user__name="Berik Omarov", vehicle=VehicleFactory.create(plate="101ABK02"))
    serik = DriverFactory.create(user__name="Serik Aidanov", vehicle=VehicleFactory.create(plate="777XYZ05"))
    return {
        "berik": TripFactory.create(status="completed", organiser=aidana, driver=berik, vehicle=berik.vehicle),
        "serik": TripFactory.create(status="completed", organiser=aidana, driver=serik, vehicle=serik.vehicle),
        "other": TripFactory.create(
            status="unfilled", organiser=PassengerFactory.create(name="Олжас Ким"), pickup_name="Барахолка"
        ),
    }


@pytest.mark.parametrize(
    ("term", "wanted"),
    [
        ("Aidana", {"berik", "serik"}),
        ("aidana sarsen", {"berik", "serik"}),
        ("8 701 123 45 67", {"berik", "serik"}),
        ("101-авк", {"berik"}),
        ("aidana omarov", {"berik"}),
        ("omarov 777XYZ05", set()),
        ("Aidanov", {"serik"}),
        ("олжас", {"other"}),
        ("БАРАХОЛКА", {"other"}),
        ("барахолка ким", {"other"}),
        ("барахолка aidana", set()),
    ],
)
def test_trips_are_found_by_people_plates_and_places(trips: dict[str, Trip], term: str, wanted: set[str]) -> None:
    found = find(Trip, term)
    assert {name for name, trip in trips.items() if trip in found.rows} == wanted
    assert not found.is_cut


def test_a_row_is_found_by_its_number_although_many_people_have_it_in_their_phones(
    trips: dict[str, Trip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "ROWS_SHOWN", 1)
    wanted = trips["berik"]
    newer = PassengerFactory.create(phone=f"+7705{wanted.pk % 10**7:07}")
    TripFactory.create_batch(2, status="unfilled", organiser=newer)
    assert wanted in find(Trip, str(wanted.pk)).rows


def test_of_too_many_people_the_newest_are_shown_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PEOPLE_READ", 1)
    trips = [TripFactory.create(status="unfilled", organiser__name=f"Aidana {name}") for name in ("Ermek", "Sarsen")]
    found = find(Trip, "Aidana")
    assert (list(found.rows), found.is_cut) == (trips[1:], True)
    assert list(find(Trip, "Ermek").rows) == trips[:1]


def test_who_has_all_of_a_name_is_found_although_too_many_have_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PEOPLE_READ", 1)
    wanted = TripFactory.create(status="unfilled", organiser__name="Aidana Sarsen")
    for name in ("Aidana Ermek", "Aliya Sarsen"):
        TripFactory.create(status="unfilled", organiser__name=name)
    found = find(Trip, "Sarsen Aidana")
    assert (list(found.rows), found.is_cut) == ([wanted], True)


@pytest.mark.parametrize("candidates", [1, 5])
def test_of_too_many_rows_the_newest_are_shown_and_it_is_said(
    candidates: int, trips: dict[str, Trip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "ROWS_SHOWN", 1)
    monkeypatch.setattr(searching, "CANDIDATES", candidates)
    found = find(Trip, "Aidana Sarsen")
    assert (list(found.rows), found.is_cut) == ([trips["serik"]], True)


@pytest.mark.parametrize(("candidates", "is_found"), [(2, False), (3, True)])
def test_of_two_common_names_fewer_rows_are_begun_with(
    candidates: int, is_found: bool, trips: dict[str, Trip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "PEOPLE_READ", 1)
    monkeypatch.setattr(searching, "CANDIDATES_OF_COMMON", candidates)
    passenger = PassengerFactory.create(name="Gulnar Second")
    PassengerFactory.create(name="Gulnar First", pk=passenger.pk - 1_000)
    omarovs = [DriverFactory.create(user__name=f"Marat Omarov {number}") for number in range(2)]
    trip = TripFactory.create(status="completed", organiser=passenger, driver=omarovs[0])
    TripFactory.create_batch(2, status="unfilled", organiser=passenger)
    found = find(Trip, "Gulnar Marat")
    assert (list(found.rows), found.is_cut) == ([trip] if is_found else [], True)


@pytest.mark.parametrize("number", [7, 352, 41_000])
def test_numbers_beside_each_other_are_a_phone_or_words_one_by_one(number: int, trips: dict[str, Trip]) -> None:
    Trip.objects.filter(pk=number).delete()
    trip = TripFactory.create(pk=number, status="completed", organiser=trips["berik"].organiser)
    for term in (f"+77011234567 {number}", f"{number} +77011234567", "+7 701 123 45 67"):
        assert trip in find(Trip, term).rows, term
    assert not find(Trip, f"+77011234567 {number + 1000}").rows


def test_of_very_many_words_the_first_are_looked_for(trips: dict[str, Trip]) -> None:
    with CaptureQueriesContext(connection) as asked:
        assert trips["berik"] in find(Trip, "aidana " * searching.MOST_PARTS + "nobody " * 500).rows
    assert len(asked) < 100


def test_texts_of_rows_are_looked_for_in_the_newest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "NEWEST", 2)
    trips = [TripFactory.create(status="unfilled", pickup_name="Барахолка") for _number in range(3)]
    assert list(find(Trip, "барахолка").rows) == trips[1:]
    # With a name beside it the rows of this person are read as well.
    assert list(find(Trip, f"барахолка {trips[0].organiser.phone}").rows) == trips[:1]


def test_newest_rows_are_those_of_the_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "NEWEST", 1)
    cancelled = TripFactory.create(status="cancelled", pickup_name="Барахолка")
    TripFactory.create(status="unfilled", pickup_name="Барахолка")
    found = searching.search(Trip.objects.filter(status="cancelled"), columns_of(Trip), "барахолка")
    assert list(found.rows) == [cancelled]


def test_ratings_are_found_by_who_rated_who_was_rated_and_the_comment(trips: dict[str, Trip]) -> None:
    trip = trips["berik"]
    rating = Rating.objects.create(
        trip=trip, role="organiser", by=trip.organiser, about=trip.driver.user, stars=5, comment="So friendly"
    )
    for term in ("sarsen", "omarov", "FRIENDLY", "sarsen omarov", "omarov friendly", str(trip.pk)):
        assert list(find(Rating, term).rows) == [rating], term
    assert not find(Rating, "serik").rows


@by_label
def test_each_list_finds_what_a_condition_over_all_its_columns_finds(
    model: type[Model], listing: Any, trips: dict[str, Trip]
) -> None:
    """While nothing is cut: joined as a whole, the columns give the same rows."""
    OfferFactory.create(trip=trips["berik"], driver=trips["berik"].driver)
    columns = columns_of(model)
    if not columns:
        return
    rows: Any = model._base_manager.order_by("pk")
    for term in [*TERMS, str(trips["berik"].pk)]:
        condition = searching.condition_of(model, columns, term)
        wanted = {row.pk for row in rows.filter(condition)}
        found = searching.search(rows, columns, term)
        assert ({row.pk for row in found.rows}, found.is_cut) == (wanted, False), term


@by_label
def test_foreign_keys_that_a_list_searches_by_have_an_index(model: type[Model], listing: Any) -> None:
    indexed = {index.fields[0].lstrip("-") for index in model._meta.indexes if index.fields and not index.condition}
    unique = [one for one in model._meta.constraints if isinstance(one, UniqueConstraint) and not one.condition]
    indexed |= {one.fields[0] for one in unique if one.fields}
    keys = {column.lstrip("^=").split("__")[0] for column in columns_of(model) if column[0] != "@"}
    fields: list[Any] = [model._meta.get_field(key) for key in keys]
    without = [
        field.name
        for field in fields
        if isinstance(field, ForeignKey) and not getattr(field, "db_index", True) and field.name not in indexed
    ]
    assert without == []


@pytest.mark.parametrize(("count", "queries"), [(1, 7), (3, 7)])
def test_a_search_for_trips_costs_as_many_queries_however_many_are_found(count: int, queries: int) -> None:
    TripFactory.create_batch(count, status="unfilled", organiser__name="Aidana")
    with CaptureQueriesContext(connection) as asked:
        assert len(find(Trip, "Aidana").rows) == count
    # Accounts, drivers, vehicles, their trips; from where on trips are the newest, these, what is shown.
    assert len(asked) == queries


@pytest.mark.scaled_only
@pytest.mark.parametrize("model", [Trip, Offer, Rating])
@pytest.mark.parametrize("term", ["omarov", "berik omarov", "Олжас Omarov", "41"])
def test_a_search_reads_no_large_table_as_a_whole(
    model: type[Model], term: str, trips: dict[str, Trip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "NEWEST", 1)
    trip = trips["berik"]
    OfferFactory.create(trip=trip, driver=trip.driver)
    Rating.objects.create(trip=trip, role="organiser", by=trip.organiser, about=trip.driver.user, stars=5)
    found = statements(lambda: list(find(model, term).rows))
    large = [one for one in found if f'FROM "{model._meta.db_table}"' in one[0]]
    assert large
    for sql, params in large:
        lines = plan(sql, params, is_large=True, bitmaps=True)
        assert [line for line in full_scans(lines) if f"on {model._meta.db_table}" in line] == [], sql


def test_a_list_says_that_a_search_found_more(monkeypatch: pytest.MonkeyPatch, trips: dict[str, Trip]) -> None:
    client = signed_in(StaffFactory.create())
    assert str(searching.CUT) not in client.get(f"{list_url(Trip)}?q=Aidana").content.decode()
    monkeypatch.setattr(searching, "ROWS_SHOWN", 1)
    assert str(searching.CUT) in client.get(f"{list_url(Trip)}?q=Aidana").content.decode()
    assert str(searching.CUT) not in client.get(list_url(Trip)).content.decode()
