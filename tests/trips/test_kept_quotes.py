"""A quote is kept at its price: for what was asked, for who asked, for so long."""

import datetime as dt
from typing import Any

import pytest
from django.core import signing
from django.test import Client

from realtime import events
from stepper.db.clock import database_now
from stepper.errors import Conflict
from stepper.models import ServiceSettings, User
from tests.factories import ALMATY, MEDEU, PassengerFactory
from tests.rest import as_user
from trips import bookings, kept_quotes, quotes
from trips.booking_requests import BookingRequest
from trips.models import Trip
from trips.states import VehicleClass

pytestmark = pytest.mark.django_db

START = events.Place("Almaty", "", *ALMATY)
END = events.Place("Medeu", "", *MEDEU)
STOP = events.Place("Kok-Tobe", "", 43.2304, 76.9569)
FORM = {
    "pickup_name": "Almaty",
    "dropoff_name": "Medeu",
    "departure": "now",
    "vehicle_class": "sedan",
    "seats": "1",
    "bags": "0",
}


def wanted(**changes: Any) -> BookingRequest:
    return BookingRequest(**{"pickup": START, "dropoff": END, **changes})


def raise_fares() -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults={"base_fare": 5000})


@pytest.fixture
def passenger() -> User:
    return PassengerFactory.create()


def test_price_holds_also_where_fares_have_changed(passenger: User) -> None:
    found = quotes.quote_booking(passenger, wanted())
    price, kept = found.chosen.price, found.kept
    raise_fares()
    trip = bookings.book(passenger, wanted(note="by the gate"), quote_token=kept.token)

    assert (trip.fare, trip.seat_price) == (price.fare, price.fare)
    assert trip.platform_fee + trip.driver_earnings == price.fare


def test_without_a_token_the_present_price_counts(passenger: User) -> None:
    quotes.quote_booking(passenger, wanted())
    raise_fares()

    assert bookings.book(passenger, wanted()).fare > 5000


@pytest.mark.parametrize(
    "changes",
    [
        {"pickup": events.Place("Almaty", "", 43.25, 76.9)},
        {"dropoff": events.Place("Medeu", "", 43.17, 77.1)},
        {"stops": (STOP,)},
        {"seats": 2},
        {"departure_at": database_now},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_token_of_another_request_keeps_nothing(passenger: User, changes: dict[str, Any]) -> None:
    kept = quotes.quote_booking(passenger, wanted()).kept
    raise_fares()
    if "departure_at" in changes:
        changes = {"departure_at": database_now() + dt.timedelta(hours=3)}

    with pytest.raises(kept_quotes.QuoteChanged) as refused:
        bookings.book(passenger, wanted(**changes), quote_token=kept.token)
    assert refused.value.code == "quote.changed"
    assert not Trip.objects.exists()
    # The refusal brings what the passenger can agree to.
    details = refused.value.details
    booked = bookings.book(passenger, wanted(**changes), quote_token=str(details["quote"]))
    assert booked.fare == details["fare"]


def test_quote_keeps_the_price_of_each_class(passenger: User) -> None:
    found = quotes.quote_booking(passenger, wanted())
    fares = {one.vehicle_class: one.price.fare for one in found.classes}
    raise_fares()
    booked = bookings.book(passenger, wanted(vehicle_class="suv"), quote_token=found.kept.token)
    assert booked.fare == fares[VehicleClass.SUV]


def test_other_request_at_the_same_price_asks_nobody(passenger: User) -> None:
    kept = quotes.quote_booking(passenger, wanted()).kept

    assert bookings.book(passenger, wanted(seats=2), quote_token=kept.token).seats == 2


def expired(passenger: User) -> str:
    settings = ServiceSettings(quote_kept_min=10)
    past = database_now() - dt.timedelta(minutes=10, seconds=1)
    return kept_quotes.keep_fares(wanted(), {"sedan": 1}, user_id=passenger.pk, settings=settings, now=past).token


def of_somebody_else(passenger: User) -> str:
    other = PassengerFactory.create()
    settings = ServiceSettings()
    return kept_quotes.keep_fares(wanted(), {"sedan": 1}, user_id=other.pk, settings=settings, now=database_now()).token


def signed_for_something_else(passenger: User) -> str:
    return signing.dumps({"asked": "", "fares": {"sedan": 1}, "until": 2**40, "user_id": None}, salt="another")


def of_another_shape(passenger: User) -> str:
    return signing.dumps(["sedan", 1], salt="trips.kept_quotes")


@pytest.mark.parametrize(
    "token", [expired, of_somebody_else, signed_for_something_else, of_another_shape, lambda _p: "x"]
)
def test_token_that_does_not_hold_gives_no_other_price(passenger: User, token: Any) -> None:
    with pytest.raises(Conflict) as refused:
        bookings.book(passenger, wanted(), quote_token=token(passenger))

    assert refused.value.code == "quote.changed"
    assert not Trip.objects.exists()


def test_strangers_quote_holds_for_whoever_they_sign_in_as(passenger: User) -> None:
    found = quotes.quote_classes(None, wanted(), address="203.0.113.7")
    raise_fares()

    booked = bookings.book(passenger, wanted(vehicle_class="van"), quote_token=found.kept.token)
    assert booked.fare == {one.vehicle_class.value: one.price.fare for one in found.classes}["van"]


def test_how_long_is_a_setting(passenger: User) -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults={"quote_kept_min": 3})
    kept = quotes.quote_booking(passenger, wanted()).kept

    left = kept.until - database_now()
    assert dt.timedelta(minutes=2, seconds=50) < left <= dt.timedelta(minutes=3)


# The page


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def token_of(page: Any) -> str:
    return str(page.context["quotes"].kept.token)


def test_page_says_until_when_and_books_at_what_it_said(passenger: User) -> None:
    client = signed_in(passenger)
    shown = client.post("/trips/quote/", FORM)
    assert 'data-testid="quote-kept"' in shown.content.decode()
    raise_fares()
    client.post("/book/", {**FORM, "quote": token_of(shown)})

    assert Trip.objects.get().fare == shown.context["quotes"].chosen.price.fare


def test_page_asks_again_at_another_price_and_loses_nothing(passenger: User) -> None:
    client = signed_in(passenger)
    token = token_of(client.post("/trips/quote/", FORM))
    raise_fares()
    asked = client.post("/book/", {**FORM, "seats": "2", "note": "by the gate", "request_key": "k", "quote": token})

    assert asked.status_code == 422
    assert not Trip.objects.exists()
    assert "The price is now" in asked.content.decode()
    assert asked.context["form"]["note"].value() == "by the gate"
    fresh = token_of(asked)
    client.post("/book/", {**FORM, "seats": "2", "request_key": "k", "quote": fresh})
    assert Trip.objects.get().fare == asked.context["quotes"].chosen.price.fare > 5000


def test_page_that_comes_back_for_another_reason_keeps_its_price(passenger: User) -> None:
    client = signed_in(passenger)
    token = token_of(client.post("/trips/quote/", FORM))
    raise_fares()
    back = client.post("/book/", {**FORM, "traveller_name": "Aida", "traveller_phone": "?", "quote": token})

    assert back.status_code == 422
    assert token_of(back) == token
    assert back.context["quotes"].chosen.price.fare < 5000


def test_stranger_who_signs_up_meanwhile_gets_the_price_that_was_shown(passenger: User) -> None:
    client = Client()
    shown = client.post("/trips/quote/", FORM)
    client.post("/book/", {**FORM, "quote": token_of(shown)})
    raise_fares()
    client.force_login(passenger)
    page = client.get("/book/")

    assert page.context["quotes"].chosen.price.fare == shown.context["quotes"].chosen.price.fare
    client.post("/book/", {**FORM, "quote": token_of(page)})
    assert Trip.objects.get().fare == shown.context["quotes"].chosen.price.fare


# REST


def test_rest_answers_the_token_and_books_with_it(passenger: User) -> None:
    client = as_user(passenger)
    body = {
        "pickup": {"name": "Almaty", "lat": ALMATY[0], "lng": ALMATY[1]},
        "dropoff": {"name": "Medeu", "lat": MEDEU[0], "lng": MEDEU[1]},
    }
    quoted = client.post("/api/trips/quote", body, format="json").json()
    assert quoted["kept_until"].endswith("Z")
    raise_fares()
    refused = client.post("/api/trips", {**body, "seats": 2, "quote": quoted["quote"]}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "quote.changed")
    assert refused.json()["fare"] > 5000
    assert refused.json()["kept_until"].endswith("Z")
    booked = client.post("/api/trips", {**body, "quote": quoted["quote"]}, format="json")

    assert (booked.status_code, booked.json()["fare"]) == (201, quoted["fare"])


def test_repeated_booking_is_the_first_one_also_after_its_price_has_ended(passenger: User) -> None:
    kept = quotes.quote_booking(passenger, wanted()).kept
    first = bookings.book(passenger, wanted(), "key", quote_token=kept.token)
    raise_fares()

    assert bookings.book(passenger, wanted(), "key", quote_token=expired(passenger)) == first
