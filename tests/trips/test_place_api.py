"""REST for places: for everybody, within limits; what it reads and answers."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from tests.factories import PassengerFactory, TripFactory
from tests.rest import as_user

pytestmark = pytest.mark.django_db


def from_network(address: str) -> APIClient:
    return APIClient(REMOTE_ADDR=address)


def test_stranger_finds_places_by_a_query_or_a_body() -> None:
    asked: dict[str, str | float] = {"q": "алматы аэропорт", "lat": 43.2, "lng": 76.9}
    by_query = APIClient().get("/api/places", asked)
    by_body = APIClient().post("/api/places", asked, format="json")
    assert (by_query.status_code, by_body.status_code) == (200, 200)
    assert by_query.json() == by_body.json()
    assert by_query.json()["places"][0] == {
        "name": "Almaty airport",
        "address": "Mailin 2, Almaty",
        "lat": 43.3521,
        "lng": 77.0405,
        "kind": "airport",
    }
    assert by_query.json()["addresses"] == "off"


def test_answer_names_the_place_that_is_meant_without_doubt() -> None:
    client = APIClient()
    assert client.get("/api/places", {"q": "medeu"}).json()["named"]["name"] == "Medeu"
    assert client.get("/api/places", {"q": "abay"}).json()["named"] is None


def test_stranger_names_a_point() -> None:
    answer = APIClient().get("/api/places/at", {"lat": "43.191", "lng": "77.08"})
    assert answer.json() == {
        "name": "3.2 km north of Medeu",
        "address": "43.19100, 77.08000",
        "lat": 43.191,
        "lng": 77.08,
        "kind": "point",
    }
    assert answer.json() == APIClient().post("/api/places/at", {"lat": 43.191, "lng": 77.08}, format="json").json()


def test_empty_text_shows_the_places_of_the_last_trips_first() -> None:
    user = PassengerFactory.create()
    TripFactory.create(organiser=user, pickup_name="Home", dropoff_name="Work")
    TripFactory.create(organiser=PassengerFactory.create(), pickup_name="Theirs")
    mine = as_user(user).get("/api/places").json()["places"]
    assert [(place["name"], place["kind"]) for place in mine[:3]] == [
        ("Work", "recent"),
        ("Home", "recent"),
        ("Almaty", "city"),
    ]
    assert len(mine) == 7
    assert [place["name"] for place in APIClient().get("/api/places").json()["places"]][:2] == [
        "Almaty",
        "Almaty airport",
    ]


@pytest.mark.parametrize("trips", [1, 3])
def test_suggestions_cost_the_same_for_1_and_3_trips(django_assert_num_queries: Any, trips: int) -> None:
    user = PassengerFactory.create()
    for _trip in range(trips):
        TripFactory.create(organiser=user)
    client = as_user(user)
    client.get("/api/places")
    with django_assert_num_queries(6):
        client.get("/api/places")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"q": "x" * 121}, "q"),
        ({"q": 3}, "q"),
        ({"q": "a", "lat": 91, "lng": 0}, "lat"),
        ({"q": "a", "lat": 0, "lng": "east"}, "lng"),
    ],
)
def test_search_says_which_field_is_wrong(asked: dict[str, Any], field: str) -> None:
    answer = APIClient().post("/api/places", asked, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, "input.invalid")
    assert list(answer.json()["fields"]) == [field]


@pytest.mark.parametrize("query", ["lat=x&lng=1", "lat=nan&lng=1", "lat=1", "lat=91&lng=1", ""])
def test_point_of_a_query_is_read_strictly(query: str) -> None:
    answer = APIClient().get(f"/api/places/at?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "input.invalid")


# Limits


def test_strangers_are_limited_by_their_network(settings: Any) -> None:
    settings.PLACE_SEARCHES_PER_ADDRESS = 2
    client = from_network("203.0.113.5")
    assert client.get("/api/places", {"q": "medeu"}).status_code == 200
    assert client.get("/api/places/at", {"lat": 43, "lng": 77}).status_code == 200
    refused = client.post("/api/places", {"q": "medeu"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate.limited")
    assert int(refused["Retry-After"]) > 0
    assert from_network("203.0.113.6").get("/api/places").status_code == 200


def test_network_of_ipv6_is_one_64(settings: Any) -> None:
    settings.PLACE_SEARCHES_PER_ADDRESS = 1
    assert from_network("2001:db8::1").get("/api/places").status_code == 200
    assert from_network("2001:db8::2").get("/api/places").status_code == 429


def test_accounts_are_limited_each_and_not_by_their_network(settings: Any) -> None:
    settings.PLACE_SEARCHES_PER_ADDRESS = 1
    settings.PLACE_SEARCHES_PER_USER = 2
    first, second = (as_user(PassengerFactory.create()) for _ in range(2))
    assert [first.get("/api/places").status_code for _ in range(3)] == [200, 200, 429]
    assert second.get("/api/places").status_code == 200


# The page


def test_booking_page_asks_these_addresses_and_lists_no_places() -> None:
    client = Client()
    client.force_login(PassengerFactory.create())
    page = client.get(reverse("booking:book")).content.decode()
    assert 'data-search-url="/api/places"' in page
    assert 'data-at-url="/api/places/at"' in page
    assert "known-places" not in page
    assert 'data-testid="pickup-input"' in page
    assert 'data-testid="dropoff-input"' in page
