"""Saved places: kept, replaced, renamed, forgotten; found first; seen by their owner alone."""

from typing import Any

import pytest

from realtime import events
from stepper.errors import Conflict, DomainError, InvalidInput, NotFound
from stepper.models import User
from tests.backoffice import signed_in
from tests.factories import AIRPORT, ALMATY, MEDEU, PassengerFactory, TripFactory
from tests.rest import as_user
from trips import saved_places
from trips.models import SavedPlace
from trips.places.finding import Searcher, find_places
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

PAGE, API = "/account/places/", "/api/account/places"
HOUSE = events.Place("Dostyk 85", "Almaty", *ALMATY)
OFFICE = events.Place("Abay 10", "", *MEDEU)


def save(user: User, kind: str = "home", label: str = "", place: events.Place = HOUSE) -> SavedPlace:
    return saved_places.save_place(user, kind=kind, label=label, place=place)


@pytest.fixture
def user() -> User:
    return PassengerFactory.create()


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepper.limits.count_call", lambda *_args, **_more: None)


def test_home_and_work_are_one_each_and_others_by_their_names(user: User) -> None:
    save(user, "other", "Gym")
    save(user, "work", place=OFFICE)
    first = save(user)
    assert save(user, place=OFFICE).pk == first.pk
    assert save(user, "other", "Gym", OFFICE).label == "Gym"
    found = [(row.title, row.place_name) for row in SavedPlace.objects.list_of(user.pk)]
    assert found == [("Home", "Abay 10"), ("Work", "Abay 10"), ("Gym", "Abay 10")]


def test_ten_others_at_most(user: User) -> None:
    for number in range(saved_places.MOST_OTHERS):
        save(user, "other", f"Place {number}")
    with pytest.raises(Conflict) as raised:
        save(user, "other", "One more")
    assert raised.value.code == "place.too_many"
    assert SavedPlace.objects.count() == saved_places.MOST_OTHERS
    # The same again is no new one, and home has a place of its own.
    save(user, "other", "Place 3", OFFICE)
    save(user)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"kind": "castle"}, "kind"),
        ({"kind": "other", "label": " \u200b"}, "name"),
        ({"kind": "other", "label": "x" * 41}, "name"),
        ({"place": events.Place("", "", *ALMATY)}, "place"),
        ({"place": events.Place("Far", "", 91, 0)}, "place"),
    ],
)
def test_what_is_wrong_is_named(user: User, fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        save(user, **fields)
    assert list(raised.value.fields) == [wrong]
    assert not SavedPlace.objects.exists()


def test_renaming(user: User) -> None:
    gym, home = save(user, "other", "Gym"), save(user)
    save(user, "other", "Shop")
    assert saved_places.rename_place(user, gym.pk, "Pool").label == "Pool"
    for row, label, kind, code in (
        (gym, "Shop", InvalidInput, "place.name_taken"),
        (gym, "", InvalidInput, "input.invalid"),
        (home, "Castle", Conflict, "place.name_fixed"),
    ):
        with pytest.raises(kind) as raised:
            saved_places.rename_place(user, row.pk, label)
        assert isinstance(raised.value, DomainError)
        assert raised.value.code == code


def test_nobody_else_sees_or_changes_them(user: User) -> None:
    row = save(user, "other", "Gym")
    stranger = PassengerFactory.create()
    with pytest.raises(NotFound):
        saved_places.rename_place(stranger, row.pk, "Mine")
    saved_places.delete_place(stranger, row.pk)
    assert SavedPlace.objects.get().label == "Gym"
    assert "Dostyk" not in signed_in(stranger).get(PAGE).content.decode()
    assert as_user(stranger).get(API).json() == {"places": []}
    assert "saved" not in {place.kind for place in find_places(Searcher(stranger, ""), "").places}


def test_they_are_offered_first_then_the_last_trips(user: User) -> None:
    TripFactory.create(
        organiser=user, status=TripStatus.COMPLETED, pickup=AIRPORT, dropoff=ALMATY, dropoff_name="Dostyk 85"
    )
    save(user, "other", "Gym", OFFICE)
    save(user)
    found = find_places(Searcher(user, ""), "").places
    assert [(one.kind, one.label, one.name) for one in found[:3]] == [
        ("saved", "Home", "Dostyk 85"),
        ("saved", "Gym", "Abay 10"),
        # The dropoff of that trip is home.
        ("recent", "", "Almaty"),
    ]
    [typed] = [one for one in find_places(Searcher(user, ""), "gY").places if one.kind == "saved"]
    assert typed.name == "Abay 10"


@pytest.mark.parametrize(
    ("label", "typed"),
    [
        ("Әуезов үйі", "ауезов уйи"),
        ("Дом", "dom"),
        ("Dacha", "дача"),
        ("Жанар", "zh"),
        ("Zhanar", "z"),
        ("家", "家"),
    ],
)
def test_they_are_found_in_any_spelling(user: User, label: str, typed: str) -> None:
    save(user, "other", "Gym")
    save(user, "other", label, OFFICE)
    assert [one.label for one in find_places(Searcher(user, ""), typed).places if one.kind == "saved"] == [label]


@pytest.mark.parametrize("typed", ["机场", "—"])
def test_text_without_known_letters_finds_none_of_them(user: User, typed: str) -> None:
    save(user, "other", "Gym")
    assert [one for one in find_places(Searcher(user, ""), typed).places if one.kind == "saved"] == []


# The page


def test_page_keeps_renames_and_forgets(user: User) -> None:
    client = signed_in(user)
    sent = {"kind": "other", "label": "Gym", "place_name": "Abay 10", "place_lat": "43.2", "place_lng": "76.9"}
    assert client.post(PAGE, sent)["Location"] == PAGE
    row = SavedPlace.objects.get()
    assert (row.label, row.lat) == ("Gym", 43.2)
    client.post(f"{PAGE}{row.pk}/rename/", {"label": "Pool"})
    assert "Pool" in client.get(PAGE).content.decode()
    client.post(f"{PAGE}{row.pk}/delete/")
    client.post(f"{PAGE}{row.pk}/delete/")
    assert not SavedPlace.objects.exists()


def test_page_takes_a_known_name_without_a_point_and_no_other(user: User) -> None:
    client = signed_in(user)
    assert client.post(PAGE, {"kind": "home", "place_name": "Almaty airport"}).status_code == 302
    assert SavedPlace.objects.get().place_name == "Almaty airport"
    refused = client.post(PAGE, {"kind": "work", "place_name": "Nowhere at all"})
    assert refused.status_code == 422
    assert "Choose a place from the list" in refused.content.decode()


# REST


def test_programs_do_the_same(user: User) -> None:
    client = as_user(user)
    place = {"name": "Dostyk 85", "address": "Almaty", "lat": 43.2, "lng": 76.9}
    made = client.post(API, {"kind": "home", "place": place}, format="json")
    assert (made.status_code, made.json()) == (
        201,
        {"id": made.json()["id"], "kind": "home", "name": "", "place": place},
    )
    other = client.post(API, {"kind": "other", "name": "Gym", "place": place}, format="json").json()
    renamed = client.put(f"{API}/{other['id']}", {"name": "Pool"}, format="json")
    assert renamed.json()["name"] == "Pool"
    assert [one["name"] for one in client.get(API).json()["places"]] == ["", "Pool"]
    assert client.delete(f"{API}/{other['id']}").status_code == 204
    assert client.delete(f"{API}/{other['id']}").status_code == 204
    gone = client.put(f"{API}/{other['id']}", {"name": "X"}, format="json")
    assert (gone.status_code, gone.json()["code"]) == (404, "place.not_found")
    wrong = client.post(API, {"kind": "castle", "place": {"name": "x"}}, format="json")
    assert set(wrong.json()["fields"]) == {"kind", "place.lat", "place.lng"}
