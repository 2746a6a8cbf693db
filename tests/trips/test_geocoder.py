"""Addresses from a geocoder: a local server that speaks Photon's API, right, slow, wrong, absent, elsewhere, huge."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from rest_framework.test import APIClient

from stepper.geocoder_address import GeocoderAddress, read_geocoder_url
from tests.geocoder import (
    HOUSE,
    Geocoder,
    address_where_nothing_listens,
    canned,
    feature,
    never,
    photon,
    running_geocoder,
    same,
)
from trips.places import geocoder

pytestmark = pytest.mark.django_db

CENTRE = (43.24, 76.95)
FOUND_HOUSE = feature(HOUSE.en, HOUSE.lat, HOUSE.lng)


@pytest.fixture
def server(settings: Any) -> Iterator[Geocoder]:
    with running_geocoder() as running:
        settings.GEOCODER = GeocoderAddress("photon", running.url, {})
        yield running


@pytest.fixture
def client() -> APIClient:
    return APIClient()


def find(client: APIClient, text: str, centre: tuple[float, float] | None = CENTRE) -> Any:
    near = {"lat": centre[0], "lng": centre[1]} if centre else {}
    response = client.post("/api/places", {"q": text, **near}, format="json")
    assert response.status_code == 200, response.content
    return response.json()


def names(answer: Any) -> list[str]:
    return [place["name"] for place in answer["places"]]


# Right


def test_house_is_found_near_the_maps_centre(server: Geocoder, client: APIClient) -> None:
    server.answer = photon(HOUSE)
    answer = find(client, "Dostyk 85")
    assert answer == {
        "places": [
            {
                "name": "Dostyk Avenue 85",
                "address": "Almaty",
                "lat": 43.2330,
                "lng": 76.9570,
                "kind": "address",
            }
        ],
        "named": None,
        "addresses": "asked",
    }
    assert server.asked == [("/api", {"q": "Dostyk 85", "limit": "10", "lang": "en", "lat": "43.240", "lon": "76.950"})]


def test_photon_is_asked_in_the_places_own_language_where_it_may_not_know_the_readers(server: Geocoder) -> None:
    answer = find(APIClient(HTTP_ACCEPT_LANGUAGE="kk"), "Достық 85", None)
    assert (answer["addresses"], names(answer)[0]) == ("asked", "Достық даңғылы 85")
    assert server.asked == [("/api", {"q": "Достық 85", "limit": "10"})]


@pytest.mark.parametrize(
    ("text", "centre", "wanted"),
    [
        ("Dostyk 85", CENTRE, ("Dostyk Avenue 85", "Almaty", 43.2330)),
        ("достық 85", CENTRE, ("Dostyk Avenue 85", "Almaty", 43.2330)),
        ("Dostyk 52", CENTRE, ("Dostyk Avenue 52", "Almaty", 43.2452)),
        ("Dostyk", CENTRE, ("Dostyk Avenue", "Almaty", 43.2390)),
        ("Dostyk 9999", CENTRE, ("Dostyk Avenue", "Almaty", 43.2390)),
        ("Abay Avenue 10", CENTRE, ("Abay Avenue 10", "Almaty", 43.2407)),
        ("Abay Avenue 10", (51.13, 71.43), ("Abay Avenue 10", "Astana", 51.1690)),
        ("Abay Avenue 10 Astana", CENTRE, ("Abay Avenue 10", "Astana", 51.1690)),
    ],
)
def test_streets_and_house_numbers_are_found(
    server: Geocoder, client: APIClient, text: str, centre: tuple[float, float], wanted: tuple[str, str, float]
) -> None:
    answer = find(client, text, centre)
    found = [place for place in answer["places"] if place["kind"] == "address"]
    assert answer["addresses"] == "asked"
    assert (found[0]["name"], found[0]["address"], found[0]["lat"]) == wanted


def test_street_that_nobody_knows_is_not_found(server: Geocoder, client: APIClient) -> None:
    assert find(client, "Nowhere street 1") == {"places": [], "named": None, "addresses": "asked"}


def test_addresses_come_after_own_places(server: Geocoder, client: APIClient) -> None:
    server.answer = photon(same({"name": "Cafe Medeu", "city": "Almaty"}, 43.25, 76.9))
    assert names(find(client, "medeu")) == ["Medeu", "Cafe Medeu"]


def test_what_is_known_is_not_shown_twice(server: Geocoder, client: APIClient) -> None:
    server.answer = canned(feature({"name": "Medeu"}, 43.1621, 77.0801), FOUND_HOUSE, FOUND_HOUSE)
    assert names(find(client, "medeu")) == ["Medeu", "Dostyk Avenue 85"]


def test_addresses_far_away_come_last(server: Geocoder, client: APIClient) -> None:
    far = feature({"street": "Dostyk", "housenumber": "85", "city": "Astana"}, 51.13, 71.43)
    server.answer = canned(far, FOUND_HOUSE)
    assert [place["address"] for place in find(client, "Dostyk 85")["places"]] == ["Almaty", "Astana"]


def test_same_question_is_asked_once(server: Geocoder, client: APIClient) -> None:
    server.answer = photon(HOUSE)
    assert find(client, "Dostyk 85") == find(client, "Dostyk 85")
    assert len(server.asked) == 1


def test_text_of_two_letters_is_not_asked_for(server: Geocoder, client: APIClient) -> None:
    assert find(client, "do")["addresses"] == "not_asked"
    assert find(client, "")["addresses"] == "not_asked"
    assert server.asked == []


def test_point_gets_its_street(server: Geocoder, client: APIClient) -> None:
    server.answer = photon(HOUSE)
    place = client.post("/api/places/at", {"lat": 43.2331, "lng": 76.9571}, format="json").json()
    assert (place["name"], place["address"]) == ("Dostyk Avenue 85", "Almaty, 43.23310, 76.95710")
    assert (place["lat"], place["lng"]) == (43.2331, 76.9571)
    assert server.asked == [("/reverse", {"lat": "43.23310", "lon": "76.95710", "limit": "1", "lang": "en"})]


@pytest.mark.parametrize(
    ("language", "name"), [("en", "Abay Avenue 10"), ("ru", "Абай даңғылы 10"), ("kk", "Абай даңғылы 10")]
)
def test_point_gets_the_nearest_of_several_streets(server: Geocoder, language: str, name: str) -> None:
    sent = {"lat": 43.2408, "lng": 76.9509}
    place = APIClient(HTTP_ACCEPT_LANGUAGE=language).post("/api/places/at", sent, format="json").json()
    assert place["name"] == name


def test_street_far_from_the_point_is_not_its_name(server: Geocoder, client: APIClient) -> None:
    server.answer = photon(HOUSE)
    place = client.post("/api/places/at", {"lat": 43.191, "lng": 77.08}, format="json").json()
    assert place["name"] == "3.2 km north of Medeu"


def test_nominatim_and_pelias_are_understood(server: Geocoder, settings: Any, client: APIClient) -> None:
    address = {"road": "Dostyk Avenue", "house_number": "85", "city": "Almaty"}
    server.answer = canned(feature({"display_name": "85, Dostyk …", "address": address}, 43.233, 76.957))
    settings.GEOCODER = GeocoderAddress("nominatim", server.url, {"email": "me@example.test"})
    assert [(one["name"], one["address"]) for one in find(client, "Dostyk 85")["places"]] == [
        ("Dostyk Avenue 85", "Almaty")
    ]
    path, query = server.asked[-1]
    assert (path, query["q"], query["email"], query["format"]) == ("/search", "Dostyk 85", "me@example.test", "geojson")
    west, south, east, north = map(float, query["viewbox"].split(","))
    assert west < CENTRE[1] < east
    assert south < CENTRE[0] < north

    server.answer = canned(feature({"name": "85 Dostyk Avenue", "locality": "Almaty", "region": "Almaty"}, 43.2, 76.9))
    settings.GEOCODER = GeocoderAddress("pelias", server.url, {"api_key": "k"})
    assert [(one["name"], one["address"]) for one in find(client, "Dostyk 85")["places"]] == [
        ("85 Dostyk Avenue", "Almaty")
    ]
    path, query = server.asked[-1]
    assert (path, query["text"], query["api_key"]) == ("/v1/search", "Dostyk 85", "k")
    assert query["focus.point.lat"] == "43.240"


# Slow, wrong, absent, elsewhere, huge: the own places are there, and the answer says that addresses are not


def fails(client: APIClient) -> bool:
    answer = find(client, "medeu")
    assert names(answer) == ["Medeu"]
    return bool(answer["addresses"] == "unavailable")


def test_slow_geocoder_is_not_waited_for(server: Geocoder, client: APIClient, monkeypatch: Any) -> None:
    monkeypatch.setattr(geocoder, "TIMEOUT_S", 0.3)
    server.answer = never
    began = time.monotonic()
    assert fails(client)
    assert time.monotonic() - began < 1.5


def test_geocoder_that_drips_is_not_waited_for(server: Geocoder, client: APIClient, monkeypatch: Any) -> None:
    """A byte now and then keeps each read alive; the whole call ends all the same."""
    monkeypatch.setattr(geocoder, "TIMEOUT_S", 0.5)

    def drip(send: Callable[[bytes], Any]) -> None:
        while not server.over.wait(0.05):
            send(b" ")

    server.answer = lambda _server, _path, _query: (200, drip, {})
    began = time.monotonic()
    assert fails(client)
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"features": 3}',
        b'{"features": {"a": 1}}',
        b"\xff\xfe",
        b'{"features": [{"type": "Fea',
    ],
)
def test_wrong_answer_is_no_answer(server: Geocoder, client: APIClient, body: bytes) -> None:
    server.answer = lambda _server, _path, _query: (200, body, {})
    assert fails(client)


@pytest.mark.parametrize(
    "broken",
    [
        None,
        3,
        {},
        {"geometry": None, "properties": {}},
        {"geometry": {"coordinates": []}, "properties": {"name": "A"}},
        {"geometry": {"coordinates": ["x", "y"]}, "properties": {"name": "A"}},
        {"geometry": {"coordinates": [500, 500]}, "properties": {"name": "A"}},
        {"geometry": {"coordinates": [76.9, 43.2]}, "properties": None},
        {"geometry": {"coordinates": [76.9, 43.2]}, "properties": {"name": ["A"], "street": 3}},
        {"geometry": {"coordinates": [76.9, 43.2]}, "properties": {"name": "\u202e\u200b"}},
    ],
)
def test_broken_places_are_left_out(server: Geocoder, client: APIClient, broken: Any) -> None:
    body = json.dumps({"features": [broken, FOUND_HOUSE]}).encode()
    server.answer = lambda _server, _path, _query: (200, body, {})
    assert names(find(client, "Dostyk 85")) == ["Dostyk Avenue 85"]


def test_texts_are_cleaned_and_cut(server: Geocoder, client: APIClient) -> None:
    server.answer = canned(feature({"name": "\u202e" + "x" * 500, "city": "y" * 500}, 43.2, 76.9))
    [place] = find(client, "Dostyk 85")["places"]
    assert (place["name"], place["address"]) == ("x" * 120, "y" * 200)


def test_absent_geocoder_leaves_own_places(settings: Any, client: APIClient) -> None:
    with address_where_nothing_listens() as url:
        settings.GEOCODER = GeocoderAddress("photon", url, {})
        assert fails(client)


def test_redirect_is_not_followed(server: Geocoder, client: APIClient) -> None:
    with running_geocoder() as elsewhere:
        server.answer = lambda _server, path, _query: (302, b"", {"Location": f"{elsewhere.url}{path}"})
        assert fails(client)
        assert elsewhere.asked == []


def test_huge_answer_is_not_read(server: Geocoder, client: APIClient) -> None:
    server.answer = canned(*[FOUND_HOUSE] * 5000)
    assert fails(client)


@pytest.mark.parametrize("status", [204, 404, 429, 500])
def test_other_status_is_no_answer(server: Geocoder, client: APIClient, status: int) -> None:
    server.answer = lambda _server, _path, _query: (status, b"", {})
    assert fails(client)


def test_failing_geocoder_is_left_alone_for_a_while(server: Geocoder, client: APIClient) -> None:
    server.answer = lambda _server, _path, _query: (500, b"", {})
    answers = [find(client, f"medeu {'x' * number}")["addresses"] for number in range(1, 6)]
    assert answers == ["unavailable"] * 5
    assert len(server.asked) == 3


def test_refused_texts_do_not_keep_others_from_asking(server: Geocoder, client: APIClient) -> None:
    """Whoever types what the geocoder refuses would else switch it off for everybody."""
    server.answer = lambda _server, _path, _query: (400, b"", {})
    for number in range(5):
        find(client, f"odd text {number}")
    server.answer = photon(HOUSE)
    assert names(find(client, "Dostyk 85")) == ["Dostyk Avenue 85"]


def test_point_of_a_failing_geocoder_is_named_by_the_nearest_place(server: Geocoder, client: APIClient) -> None:
    server.answer = lambda _server, _path, _query: (500, b"", {})
    place = client.post("/api/places/at", {"lat": 43.191, "lng": 77.08}, format="json").json()
    assert place["name"] == "3.2 km north of Medeu"


def test_without_a_geocoder_nobody_is_asked(client: APIClient) -> None:
    assert find(client, "Dostyk 85") == {"places": [], "named": None, "addresses": "off"}


# Its address


def test_address_names_the_kind_and_keeps_the_key() -> None:
    assert read_geocoder_url("") is None
    assert read_geocoder_url("photon+https://photon.example.kz/") == ("photon", "https://photon.example.kz", {})
    assert read_geocoder_url("pelias+http://10.0.0.5:4000/geo?api_key=s3cret") == (
        "pelias",
        "http://10.0.0.5:4000/geo",
        {"api_key": "s3cret"},
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://photon.example.kz",
        "photon+ftp://photon.example.kz",
        "photon+https://",
        "google+https://example.kz?key=s3cret",
        "photon+https://me:s3cret@example.kz",
        "photon+https://example.kz:port?key=s3cret",
        "photon+https://example.kz#s3cret",
        "photon",
    ],
)
def test_address_that_cannot_work_is_an_error_without_its_key(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read_geocoder_url(url)
    assert "s3cret" not in str(refused.value)
