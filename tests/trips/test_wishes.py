"""Wishes: staff's list, choosing from it, what a trip keeps, who reads them."""

from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from realtime import events, groups
from stepper.accounts.confirmation import note_confirmed
from stepper.errors import InvalidInput
from stepper.models import User
from stepper.personal.erasure import erase_account
from tests.factories import ALMATY, MEDEU, DriverFactory, PassengerFactory
from tests.outbox import frames
from tests.rest import as_user
from trips import bookings
from trips.booking_requests import BookingRequest
from trips.models import Trip, Wish

pytestmark = pytest.mark.django_db

FORM = {
    "pickup_name": "Almaty",
    "dropoff_name": "Medeu",
    "departure": "now",
    "vehicle_class": "sedan",
    "seats": "1",
    "bags": "0",
}


@pytest.fixture(autouse=True)
def listed() -> None:
    """Three wishes, whatever a migration or another test left: one of them is offered no more."""
    Wish.objects.all().delete()
    Wish.objects.create(code="pet", name_en="Pet", name_ru="С животным", name_kk="Үй жануарымен", position=2)
    Wish.objects.create(code="quiet", name_en="Quiet ride", position=1)
    Wish.objects.create(code="sauna", name_en="Sauna", is_active=False)


@pytest.fixture
def passenger() -> User:
    return PassengerFactory.create()


def wanted(*wishes: str) -> BookingRequest:
    return BookingRequest(events.Place("Almaty", "", *ALMATY), events.Place("Medeu", "", *MEDEU), wishes=wishes)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_wish_that_is_sent_again_and_again_costs_no_further_queries(client: Client) -> None:
    numbers = []
    for times in (1, 100):
        with CaptureQueriesContext(connection) as queries:
            assert client.post("/trips/quote/", {**FORM, "wishes": ["quiet"] * times}).status_code == 200
        numbers.append(len([one for one in queries if "trips_wish" in one["sql"]]))
    assert numbers == [1, 1]


def test_trip_keeps_its_wishes_as_they_were_called(passenger: User) -> None:
    driver = DriverFactory(at=ALMATY)
    trip = bookings.book(passenger, wanted("pet", "quiet", "pet"))
    Wish.objects.filter(code="pet").update(name_en="Animal", is_active=False)
    Wish.objects.filter(code="quiet").delete()

    kept = Trip.objects.get(pk=trip.pk).wish_list
    # In staff's order, each once.
    assert [(wish.code, wish.names["en"]) for wish in kept] == [("quiet", "Quiet ride"), ("pet", "Pet")]
    [offer] = [frame for frame in frames(groups.driver(driver.pk)) if isinstance(frame, events.OfferCreated)]
    assert [wish.code for wish in offer.wishes] == ["quiet", "pet"]


@pytest.mark.parametrize("code", ["sauna", "unheard_of"])
def test_wish_that_is_not_offered_is_refused_at_its_field(passenger: User, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        bookings.book(passenger, wanted("pet", code))
    assert list(refused.value.fields) == ["wishes"]

    page = signed_in(passenger).post("/book/", {**FORM, "wishes": ["pet", code]})
    assert page.status_code == 422
    assert list(page.context["form"].errors) == ["wishes"]
    assert not Trip.objects.exists()


def test_page_offers_what_is_active_in_the_readers_language(passenger: User) -> None:
    client = signed_in(passenger)
    with translation.override("ru"):
        page = client.get("/book/", headers={"accept-language": "ru"}).content.decode()

    assert page.count('data-testid="wish-option"') == 2
    assert "Sauna" not in page


def test_page_books_with_wishes_and_shows_them(passenger: User) -> None:
    client = signed_in(passenger)
    client.post("/book/", {**FORM, "wishes": ["pet", "quiet"]})
    trip = Trip.objects.get()

    assert [wish.code for wish in trip.wish_list] == ["quiet", "pet"]
    assert "Quiet ride, Pet" in client.get(f"/trips/{trip.pk}/").content.decode()


def test_without_wishes_to_offer_the_form_has_none_of_it(passenger: User) -> None:
    Wish.objects.all().delete()

    assert 'data-testid="wishes"' not in signed_in(passenger).get("/book/").content.decode()


def test_strangers_draft_and_a_form_with_errors_keep_the_wishes() -> None:
    client = Client()
    client.post("/book/", {**FORM, "wishes": ["pet", "quiet"]})
    assert client.get("/book/").context["form"]["wishes"].value() == ["pet", "quiet"]

    wrong = client.post("/book/", {**FORM, "seats": "9", "wishes": ["pet", "quiet"]})
    assert wrong.content.decode().count("checked") >= 2
    assert wrong.context["form"]["wishes"].value() == ["pet", "quiet"]


def test_trip_once_more_has_the_wishes_that_are_still_offered(passenger: User) -> None:
    trip = bookings.book(passenger, wanted("pet", "quiet"))
    Wish.objects.filter(code="quiet").update(is_active=False)
    form = signed_in(passenger).get(f"/book/?again={trip.pk}").context["form"]

    assert form["wishes"].value() == ["pet"]
    assert not form.errors


def test_rest_lists_books_and_answers_wishes(passenger: User) -> None:
    client = as_user(passenger)
    listed = client.get("/api/wishes", headers={"accept-language": "ru"}).json()
    assert [wish["code"] for wish in listed] == ["quiet", "pet"]
    body: dict[str, Any] = {
        "pickup": {"name": "Almaty", "lat": ALMATY[0], "lng": ALMATY[1]},
        "dropoff": {"name": "Medeu", "lat": MEDEU[0], "lng": MEDEU[1]},
    }
    refused = client.post("/api/trips", {**body, "wishes": ["sauna"]}, format="json")
    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["wishes"])
    booked = client.post("/api/trips", {**body, "wishes": ["pet"]}, format="json").json()

    assert booked["wishes"] == [{"code": "pet", "name": "Pet"}]


def test_erased_account_leaves_no_wishes(passenger: User) -> None:
    trip = bookings.book(passenger, wanted("pet"))
    bookings.cancel(trip.pk, passenger)
    session = SessionStore()
    note_confirmed(session)
    erase_account(passenger, session)

    assert Trip.objects.get(pk=trip.pk).wishes == []
