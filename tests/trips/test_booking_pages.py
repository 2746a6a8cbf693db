"""The booking form for everybody: strangers, links that fill it, its old address, what it says of mistakes."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from stepper.models import ServiceSettings, User
from tests.factories import ALMATY, PASSWORD, DriverFactory, PassengerFactory, TripFactory
from trips import drafts
from trips.change_forms import ChangeForm
from trips.models import Trip

pytestmark = pytest.mark.django_db

FORM = {
    "pickup_name": "Almaty airport",
    "dropoff_name": "Medeu",
    "departure": "now",
    "vehicle_class": "sedan",
    "seats": "2",
    "bags": "1",
    "note": "by the gate",
    "traveller_name": "",
    "traveller_phone": "",
    "request_key": "key-1",
}
NEW = {"name": "Aigerim", "phone": "8 701 234 56 78", "password1": "a long walk home"}


def text(response: Any) -> str:
    return str(response.content.decode())


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


# Strangers


def test_stranger_sees_form_and_price(client: Client) -> None:
    assert 'data-testid="book-submit"' in text(client.get("/book/"))
    quote = text(client.post("/trips/quote/", FORM))
    assert 'data-testid="quote-total"' in quote
    assert 'data-testid="quote-wait"' in quote


@pytest.mark.parametrize("is_by_phone", [True, False])
def test_stranger_who_books_signs_up_and_books_what_was_entered(
    client: Client, is_by_phone: bool, settings: Any
) -> None:
    if not is_by_phone:
        settings.SMS_PROVIDER = None
    asked = client.post("/book/", FORM)
    way = "/accounts/sign-in/phone/" if is_by_phone else "/accounts/signup/"
    assert asked["Location"] == f"{way}?next=%2Fbook%2F"
    assert "Your trip is not booked yet" in text(client.get(asked["Location"]))
    assert not Trip.objects.exists()

    back = client.post("/accounts/signup/", {**NEW, "next": "/book/"})
    assert back["Location"] == "/book/"
    page = client.get("/book/")
    form = page.context["form"]
    assert {name: form[name].value() for name in FORM} == FORM
    assert 'data-testid="restored"' in text(page)
    assert 'data-testid="quote-total"' in text(page)

    booked = client.post("/book/", FORM)
    trip = Trip.objects.get()
    assert booked["Location"] == f"/trips/{trip.pk}/"
    assert (trip.organiser.name, trip.note, trip.seats) == ("Aigerim", "by the gate", 2)
    # Twice is once, and the next form is empty.
    assert client.post("/book/", FORM)["Location"] == booked["Location"]
    assert 'data-testid="restored"' not in text(client.get("/book/"))


def test_stranger_who_books_may_sign_in_instead(client: Client) -> None:
    passenger = PassengerFactory()
    client.post("/book/", FORM)
    assert "Your trip is not booked yet" in text(client.get("/accounts/login/?next=/book/"))
    client.post("/accounts/login/", {"login": passenger.email, "password": PASSWORD, "next": "/book/"})

    assert client.get("/book/").context["form"]["note"].value() == "by the gate"


def test_stranger_reads_what_is_wrong_before_signing_in(client: Client) -> None:
    refused = client.post("/book/", {**FORM, "dropoff_name": "Almaty airport"})

    assert refused.status_code == 422
    assert text(refused).count("Pickup and dropoff are the same place.") == 1
    assert not Session.objects.exists()


def test_what_a_stranger_entered_ends_after_two_hours(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.post("/book/", FORM)
    ends_at = Session.objects.get().expire_date
    assert dt.timedelta(minutes=119) < ends_at - timezone.now() < dt.timedelta(minutes=121)

    later = timezone.now().timestamp() + drafts.KEPT_S + 1
    monkeypatch.setattr(drafts.time, "time", lambda: later)
    assert client.get("/book/").context["form"]["note"].value() in ("", None)


def test_session_of_whoever_signed_up_after_booking_lasts_as_long_as_others(client: Client) -> None:
    client.post("/book/", FORM)
    client.post("/accounts/signup/", {**NEW, "next": "/book/"})

    assert Session.objects.get().expire_date - timezone.now() > dt.timedelta(days=29)


def test_kept_form_is_small(client: Client) -> None:
    client.post("/book/", {**FORM, "seats": "0" * 1000 + "1", "junk": "x" * 5000})
    kept = client.session["booking_draft"]["fields"]

    assert "junk" not in kept
    assert max(len(value) for value in kept.values()) <= 400


def test_strangers_quotes_are_limited_by_address(client: Client) -> None:
    ServiceSettings.objects.create(pk=1, guest_quotes_per_min=2)
    answers = [client.post("/trips/quote/", FORM).status_code for _number in range(3)]
    elsewhere = Client(REMOTE_ADDR="203.0.113.9").post("/trips/quote/", FORM)

    assert [*answers, elsewhere.status_code] == [200, 200, 429, 200]


NAMED = {"pickup_name": "Almaty airport", "departure": "now", "vehicle_class": "sedan", "seats": "1", "bags": "0"}


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get("/book/", {"from": "Almaty airport"}),
        lambda client: client.get("/book/", {"via": "Almaty airport"}),
        lambda client: client.post("/book/", NAMED),
        lambda client: client.post("/trips/quote/", NAMED),
        lambda client: client.get("/trips/quote/", NAMED),
    ],
    ids=["link", "stop-of-link", "form", "quote", "quote-of-an-old-page"],
)
def test_names_that_strangers_have_looked_up_are_limited_as_searches(
    client: Client, settings: Any, ask: Callable[[Client], Any]
) -> None:
    settings.PLACE_SEARCHES_PER_ADDRESS = 1
    assert ask(client).status_code != 429
    refused = ask(client)

    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert "Too many requests. Try again in a moment." in text(refused)
    assert "43.3521" not in text(refused)
    assert client.post("/api/places", {"q": "medeu"}, content_type="application/json").status_code == 429
    assert ask(Client(REMOTE_ADDR="203.0.113.9")).status_code != 429


def test_names_of_a_kept_draft_are_limited_as_searches(client: Client, settings: Any) -> None:
    settings.PLACE_SEARCHES_PER_ADDRESS = 4
    assert client.post("/book/", {**NAMED, "dropoff_name": "Medeu"}).status_code == 302
    assert [client.get("/book/").status_code for _visit in range(2)] == [200, 429]


def test_refused_link_leaves_its_words_in_the_form(client: Client, settings: Any) -> None:
    settings.PLACE_SEARCHES_PER_ADDRESS = 1
    form = client.get("/book/", {"from": "Almaty airport", "to": "Medeu", "seats": "3"}).context["form"]

    assert (form["pickup_name"].value(), form["pickup_lat"].value()) == ("Almaty airport", "43.3521")
    assert (form["dropoff_name"].value(), form["dropoff_lat"].value()) == ("Medeu", "")
    assert form["seats"].value() == "3"
    assert form.errors == {"dropoff_name": ["Too many requests. Try again in a moment."]}


def test_link_is_counted_once_for_each_name_and_its_prices_are_not(client: Client, settings: Any) -> None:
    settings.PLACE_SEARCHES_PER_ADDRESS = 2
    day = timezone.localdate() + dt.timedelta(days=2)
    filled = link(client, **{"from": "Almaty airport", "to": "Medeu", "at": f"{day}T10:00+05:00"})
    sent = {name: filled[name].value() for name in filled.fields if filled[name].value()}

    assert [client.post("/trips/quote/", sent).status_code for _number in range(3)] == [200] * 3
    assert client.post("/book/", sent).status_code == 302


def test_names_that_an_account_has_looked_up_are_counted_as_its_searches(settings: Any) -> None:
    settings.PLACE_SEARCHES_PER_ADDRESS = 0
    settings.PLACE_SEARCHES_PER_USER = 1
    client = signed_in(PassengerFactory())

    assert [client.post("/trips/quote/", NAMED).status_code for _number in range(2)] == [200, 429]


def test_time_with_an_offset_passes_no_limit_of_searches(client: Client, settings: Any) -> None:
    settings.PLACE_SEARCHES_PER_ADDRESS = 1
    at = f"{timezone.localdate() + dt.timedelta(days=2)}T10:00+05:00"
    answers = [client.get("/book/", {"from": name, "at": at}) for name in ("Almaty airport", "Medeu")]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[0].context["form"]["departure_time"].value() == "10:00"
    assert not answers[1].context["form"]["pickup_lat"].value()


def test_names_in_the_form_that_changes_a_trip_are_searches_too(settings: Any) -> None:
    settings.PLACE_SEARCHES_PER_USER = 1
    trip = TripFactory.create(in_=dt.timedelta(hours=3))
    client = signed_in(trip.organiser)
    sent = {**ChangeForm.of(trip).data, "dropoff_name": "Medeu", "dropoff_lat": "", "dropoff_lng": ""}
    for path in ("change/quote/", "change/"):
        settings.PLACE_SEARCHES_PER_USER = 1
        cache.clear()
        answers = [client.post(f"/trips/{trip.pk}/{path}", {**sent, "version": "9"}) for _number in range(2)]
        assert [answer.status_code for answer in answers][1] == 429, path


def test_strangers_bookings_are_limited_by_address(client: Client) -> None:
    ServiceSettings.objects.create(pk=1, guest_bookings_per_min=1)
    answers = [client.post("/book/", FORM).status_code for _number in range(2)]

    assert answers == [302, 429]


def test_who_signs_up_from_elsewhere_is_told_what_to_do(client: Client) -> None:
    there = client.post("/accounts/signup/", NEW)["Location"]

    assert 'data-testid="welcome"' in text(client.get(there))
    assert 'data-testid="welcome"' not in text(Client().get(there))


# The address it had


def test_old_address_leads_to_the_new_one_with_its_query(client: Client) -> None:
    moved = client.get("/trips/new/?from=Almaty")

    assert (moved.status_code, moved["Location"]) == (301, "/book/?from=Almaty")


def test_what_a_page_of_the_release_before_sends_is_booked() -> None:
    client = signed_in(PassengerFactory())
    moved = client.post("/trips/new/", FORM)

    assert (moved.status_code, moved["Location"]) == (308, "/book/")


# Links


def link(client: Client, **values: str) -> Any:
    response = client.get("/book/", values)
    assert response.status_code == 200
    return response.context["form"]


def test_link_fills_places_and_time_and_shows_the_price(client: Client) -> None:
    at = timezone.now().astimezone(ZoneInfo("Asia/Almaty")) + dt.timedelta(days=2)
    response = client.get("/book/", {"from": "Almaty airport", "to": "43.1622,77.08", "at": f"{at:%Y-%m-%dT%H:%M}"})
    form = response.context["form"]

    assert form.errors == {}
    assert form["pickup_lat"].value() == "43.3521"
    assert (form["dropoff_lat"].value(), form["dropoff_lng"].value()) == ("43.1622", "77.08")
    assert form["departure"].value() == "later"
    assert (form["departure_date"].value(), form["departure_time"].value()) == (f"{at:%Y-%m-%d}", f"{at:%H:%M}")
    assert 'data-testid="quote-total"' in text(response)


@pytest.mark.parametrize("offset", ["+03:00", " 03:00"])
def test_links_time_with_an_offset_is_said_by_the_pickups_clock(client: Client, offset: str) -> None:
    day = (timezone.now() + dt.timedelta(days=2)).date()
    form = link(client, **{"from": "Tashkent", "at": f"{day}T12:00{offset}"})

    assert form["departure_time"].value() == "14:00"


def test_link_says_nothing_of_what_it_leaves_out(client: Client) -> None:
    form = link(client, to="Medeu")

    assert form.errors == {}
    assert form["pickup_name"].value() in ("", None)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"from": "Nowhere at all"}, "pickup_name"),
        ({"to": "91,200"}, "dropoff_name"),
        ({"from": "Almaty", "to": "95,77"}, "dropoff_name"),
        ({"from": "Medeu", "to": "Medeu"}, "dropoff_name"),
        ({"at": "soon"}, "departure_time"),
        ({"at": "2026-02-31T10:00"}, "departure_time"),
        ({"from": "Almaty", "to": "Medeu", "at": "2020-01-01T10:00"}, "departure_time"),
        ({"from": "Almaty", "to": "Medeu", "at": "9999-12-31T23:59-12:00"}, "departure_time"),
        ({"from": "Almaty", "to": "Medeu", "at": "0001-01-01T00:00"}, "departure_date"),
        ({"seats": "many"}, "seats"),
        ({"from": "Almaty", "to": "Medeu", "seats": "9" * 30}, "seats"),
        ({"class": "rickshaw"}, "vehicle_class"),
        ({"from": "x" * 2000}, "pickup_name"),
        ({"from": "nan,nan"}, "pickup_name"),
    ],
)
def test_wrong_link_is_said_at_its_field(client: Client, values: dict[str, str], field: str) -> None:
    form = link(client, **values)

    assert field in form.errors
    assert "__all__" not in form.errors


def test_link_wins_over_what_was_entered_before(client: Client) -> None:
    client.post("/book/", FORM)

    assert link(client, to="Kok-Tobe")["dropoff_name"].value() == "Kok-Tobe"


# Once more, and the way back


def test_rebook_fills_in_the_same_trip_and_the_way_back_the_other_way() -> None:
    passenger = PassengerFactory()
    trip = TripFactory(organiser=passenger, status="completed", seats=3, vehicle_class="suv")
    client = signed_in(passenger)
    page = text(client.get(f"/trips/{trip.pk}/"))
    again, back = (link(client, **{way: str(trip.pk)}) for way in ("again", "return"))

    assert f"/book/?again={trip.pk}" in page
    assert f"/book/?return={trip.pk}" in page
    assert (again["pickup_name"].value(), again["seats"].value()) == (trip.pickup_name, "3")
    assert back["pickup_name"].value() == trip.dropoff_name
    assert float(back["pickup_lat"].value()) == trip.dropoff_lat
    assert again.errors == back.errors == {}


@pytest.mark.parametrize("number", ["own", "0", "x", "9" * 40])
def test_rebook_shows_nobody_elses_trip(number: str) -> None:
    theirs = TripFactory(status="completed")
    for client in (Client(), signed_in(PassengerFactory())):
        form = link(client, again=str(theirs.pk) if number == "own" else number)
        assert form["pickup_name"].value() in ("", None)


def test_trip_that_runs_has_no_rebook() -> None:
    trip = TripFactory(status="en_route")

    assert "again=" not in text(signed_in(trip.organiser).get(f"/trips/{trip.pk}/"))


# Times


def test_later_begins_in_an_hour_by_the_pickups_clock(client: Client) -> None:
    page = text(client.post("/trips/quote/", {**FORM, "pickup_name": "Osh", "dropoff_name": "Karakol"}))
    soonest = timezone.now().astimezone(ZoneInfo("Asia/Bishkek")) + dt.timedelta(hours=1)
    found = re.search(r'data-day="([\d-]+)" data-time="(\d\d:\d0)" data-first="([\d-]+)" data-last="([\d-]+)"', page)

    assert found is not None
    suggested = dt.datetime.fromisoformat(f"{found[1]}T{found[2]}+06:00")
    assert dt.timedelta() <= suggested - soonest < dt.timedelta(minutes=10)
    first, last = dt.date.fromisoformat(found[3]), dt.date.fromisoformat(found[4])
    assert (last - first).days == 30


def test_form_offers_a_time_before_anything_is_chosen(client: Client) -> None:
    form = client.get("/book/").context["form"]

    assert re.fullmatch(r"\d\d:\d0", form["departure_time"].value())
    assert form.fields["departure_date"].widget.attrs["max"] > form.fields["departure_date"].widget.attrs["min"]


@pytest.mark.parametrize(("free_cancel_min", "limit"), [(120, "2 h before"), (90, "1 h 30 before"), (0, "")])
def test_form_says_until_when_a_trip_for_later_can_be_cancelled(
    client: Client, free_cancel_min: int, limit: str
) -> None:
    ServiceSettings.objects.create(pk=1, free_cancel_min=free_cancel_min)

    said = re.findall(r"Once a driver accepts, it can be cancelled until (.*?) departure\.", text(client.get("/book/")))
    assert said == ([limit] if limit else [])


def test_quote_for_later_says_when_drivers_are_asked(client: Client) -> None:
    day = timezone.localdate() + dt.timedelta(days=10)
    later = {**FORM, "departure": "later", "departure_date": f"{day}", "departure_time": "10:00"}
    soon = {**later, "departure_date": f"{timezone.localdate() + dt.timedelta(days=1)}"}

    asked = day - dt.timedelta(days=3)
    assert f"Drivers are asked from {asked:%a} {asked.day} {asked:%b}, 10:00." in text(
        client.post("/trips/quote/", later)
    )
    assert "Drivers are asked as soon as you book." in text(client.post("/trips/quote/", soon))


def test_book_more_than_thirty_days_ahead_is_refused_at_the_time() -> None:
    day = timezone.localdate() + dt.timedelta(days=32)
    later = {**FORM, "departure": "later", "departure_date": f"{day}", "departure_time": "10:00"}
    refused = signed_in(PassengerFactory()).post("/book/", later)

    assert refused.status_code == 422
    assert "at most 30 days ahead" in str(refused.context["form"].errors["departure_time"])
    assert 'data-testid="quote-total"' in text(refused)


# What the price says


def test_quote_says_the_wait_or_that_nobody_is_near(client: Client) -> None:
    form = {**FORM, "pickup_name": "Almaty"}
    assert "Nobody is free nearby now" in text(client.post("/trips/quote/", form))
    DriverFactory(at=ALMATY)
    assert "Driver in about 5 min" in text(client.post("/trips/quote/", form))


def test_refused_booking_with_too_many_seats_says_which_classes_have_room() -> None:
    answer = signed_in(PassengerFactory()).post("/book/", {**FORM, "seats": "6"})
    assert answer.status_code == 422
    assert [one.has_room for one in answer.context["quotes"].classes] == [False, True, True, True]
    assert text(answer).count("Choose 1 to 4 seats for this vehicle.") == 1


def test_quote_with_too_many_seats_keeps_the_price(client: Client) -> None:
    page = text(client.post("/trips/quote/", {**FORM, "seats": "9"}))

    assert 'data-testid="quote-total"' in page
    assert page.count("Choose 1 to 4 seats for this vehicle.") == 1
    assert "Choose pickup and dropoff" not in page


def test_quote_has_the_price_of_every_class_and_no_platform_fee(client: Client) -> None:
    ServiceSettings.objects.create(pk=1, multiplier_suv=1.0)
    page = text(client.post("/trips/quote/", FORM))

    assert len(re.findall(r'id="class-price-\w+" hx-swap-oob="true"', page)) == 4
    assert page.count("same price") == 1
    assert "latform" not in page
    booking = text(client.get("/book/"))
    assert booking.count('data-testid="class-option"') == 4


# Words


def test_my_trips_say_booked_as_the_trips_page_does() -> None:
    trip = TripFactory(status="published")
    page = text(signed_in(trip.organiser).get("/trips/"))

    assert "Booked" in page
    assert "Published" not in page
