"""The passengers' pages: every action for the right person, a stranger, the wrong verb, twice; query counts."""

import datetime as dt
import re
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from drivers.models import Driver
from realtime.models import Notification
from stepper.models import ServiceSettings, User
from stepper.templatetags import units
from tests.factories import (
    AIRPORT,
    ALMATY,
    DriverFactory,
    OfferFactory,
    PassengerFactory,
    StaffFactory,
    TripFactory,
    place,
)
from trips import fragments
from trips.models import Booking, Offer, Rating, Trip
from trips.panel import Panel
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

HTMX = {"hx-request": "true"}
FORM = {
    "pickup_name": "Almaty airport",
    "dropoff_name": "Medeu",
    "departure": "now",
    "vehicle_class": "sedan",
    "seats": "2",
    "bags": "1",
    "note": "",
    "request_key": "key-1",
}


def as_user(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def passenger():
    return PassengerFactory(name="Aigerim Kassymova")


@pytest.fixture
def client(passenger):
    return as_user(passenger)


@pytest.fixture
def stranger():
    return as_user(PassengerFactory())


def text(response):
    return response.content.decode()


# Who gets in


@pytest.mark.parametrize("path", ["", "{pk}/", "{pk}/cancel/"])
def test_page_asks_the_signed_out_to_sign_in(path, passenger):
    trip = TripFactory(organiser=passenger)
    response = Client().get(f"/trips/{path.format(pk=trip.pk)}")
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize(
    ("verb", "path"),
    [("get", ""), ("get", "cancel/"), ("post", "cancel/"), ("post", "rate/"), ("post", "offer-again/")],
)
def test_somebody_elses_trip_is_not_found(verb, path, stranger):
    trip = TripFactory()
    response = getattr(stranger, verb)(f"/trips/{trip.pk}/{path}")
    assert response.status_code == 404
    trip.refresh_from_db()
    assert trip.status == TripStatus.OFFERED


@pytest.mark.parametrize("path", ["rate/", "offer-again/"])
def test_changes_need_a_post(path, client, passenger):
    trip = TripFactory(organiser=passenger)
    assert client.get(f"/trips/{trip.pk}/{path}").status_code == 405


def test_driver_and_staff_may_look_at_the_trip(passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.EN_ROUTE)
    for user in (trip.driver.user, StaffFactory()):
        response = as_user(user).get(f"/trips/{trip.pk}/")
        assert response.status_code == 200
        assert "on the way to you" not in text(response)


def test_page_has_no_inline_script_or_style(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.EN_ROUTE)
    for path in ("/trips/", "/book/", f"/trips/{trip.pk}/"):
        page = text(client.get(path))
        assert "style=" not in page
        assert "<script>" not in page
        assert " onclick" not in page


# Booking


def test_quote_shows_the_price_before_booking(client):
    response = client.post("/trips/quote/", FORM)
    assert 'data-testid="quote-total"' in text(response)
    assert "₸1\u202f781" in text(response)
    assert not Trip.objects.exists()


def test_quote_keeps_places_out_of_the_address(client):
    """Proxies write addresses into their logs."""
    page = text(client.get("/book/"))
    assert 'hx-post="/trips/quote/"' in page
    assert 'hx-get="/trips/quote/"' not in page


def test_quote_answers_pages_of_the_release_before(client):
    """They send a GET, to any server while old and new ones run."""
    asked, sent = client.get("/trips/quote/", FORM), client.post("/trips/quote/", FORM)
    assert asked.context["quotes"].classes == sent.context["quotes"].classes
    assert 'data-testid="quote-total"' in text(asked)


def test_quote_waits_for_both_ends(client):
    assert "Choose pickup and dropoff" in text(client.post("/trips/quote/", {**FORM, "dropoff_name": ""}))


def test_quote_says_why_there_is_none(client):
    response = client.post("/trips/quote/", {**FORM, "seats": "9"})
    assert "1 to 4 seats" in text(response)


def test_book_makes_a_trip_and_leads_to_it(client, passenger):
    response = client.post("/book/", FORM)
    trip = Trip.objects.get()
    assert response.url == f"/trips/{trip.pk}/"
    assert (trip.organiser, trip.seats, trip.bags, trip.fare) == (passenger, 2, 1, 1781)
    assert trip.dropoff_address == "Gornaya 465, Almaty"


def test_book_ignores_a_claimed_price(client):
    client.post("/book/", {**FORM, "fare": "1", "total": "1"})
    assert Trip.objects.get().fare == 1781


def test_book_twice_with_one_key_is_one_trip(client):
    first = client.post("/book/", FORM)
    second = client.post("/book/", FORM)
    assert first.url == second.url
    assert Trip.objects.count() == 1


def test_book_of_something_else_from_the_same_page_is_asked_about_and_then_booked(client, passenger):
    """Back from the trip to the form, another dropoff: a second trip if it is meant, never the first one's page."""
    User.objects.filter(pk=passenger.pk).update(max_overlapping_trips=2)
    client.post("/book/", FORM)
    refused = client.post("/book/", {**FORM, "dropoff_name": "Kok-Tobe"})
    assert refused.status_code == 422
    assert "You have booked with this page before" in text(refused)
    key = refused.context["form"]["request_key"].value()
    again = client.post("/book/", {**FORM, "dropoff_name": "Kok-Tobe", "request_key": key})
    assert again.status_code == 302
    assert sorted(Trip.objects.values_list("dropoff_name", flat=True)) == ["Kok-Tobe", "Medeu"]


def test_book_more_than_may_wait_says_so(client):
    ServiceSettings.objects.create(pk=1, max_open_trips=1)
    client.post("/book/", FORM)
    refused = client.post("/book/", {**FORM, "request_key": "key-2"})
    assert refused.status_code == 422
    assert "You have 1 trip that waits for a driver" in text(refused)


def test_book_puts_what_the_domain_refuses_at_its_field(client):
    response = client.post("/book/", {**FORM, "dropoff_name": "Almaty airport"})
    assert response.status_code == 422
    assert response.context["form"].errors["dropoff_name"] == ["Pickup and dropoff are the same place."]
    assert not Trip.objects.exists()


def test_book_at_a_time_in_the_pickups_zone(client):
    day = timezone.localdate() + dt.timedelta(days=3)
    client.post(
        "/book/",
        {**FORM, "pickup_name": "Tashkent", "departure": "later", "departure_date": day, "departure_time": "18:30"},
    )
    trip = Trip.objects.get()
    assert trip.timezone == "Asia/Tashkent"
    assert f"{trip.departure_at.astimezone(ZoneInfo(trip.timezone)):%Y-%m-%d %H:%M}" == f"{day} 18:30"


def test_book_in_the_past_says_so_at_the_time(client):
    day = timezone.localdate() - dt.timedelta(days=1)
    response = client.post("/book/", {**FORM, "departure": "later", "departure_date": day, "departure_time": "10:00"})
    assert response.context["form"].errors["departure_time"] == ["This time has passed."]


def test_book_offers_the_trip_to_who_is_near(client):
    driver = DriverFactory(at=AIRPORT)
    client.post("/book/", FORM)
    assert Offer.objects.get().driver == driver
    assert "Asking 1 driver nearby" in text(client.get(f"/trips/{Trip.objects.get().pk}/"))


# The trip page


def test_page_says_the_day_of_a_try_that_is_days_ahead(client, passenger):
    trip = TripFactory(organiser=passenger, status="unfilled", in_=dt.timedelta(hours=70))
    at = timezone.now() + dt.timedelta(days=2)
    Trip.objects.update(next_look_at=at)
    assert f"next try {units.when_within(at, trip.timezone)}" in text(client.get(f"/trips/{trip.pk}/"))


@pytest.mark.parametrize("status", TripStatus.values)
def test_page_says_every_status(status, client, passenger):
    trip = TripFactory(organiser=passenger, status=status)
    response = client.get(f"/trips/{trip.pk}/")
    assert response.status_code == 200
    assert 'data-testid="trip-status"' in text(response)
    assert 'data-testid="trip-eta"' in text(response)


def test_page_counts_minutes_from_the_drivers_position(passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.EN_ROUTE)
    place(trip.driver, 43.2400, 76.8512)
    panel = Panel(Trip.objects.for_page().get(pk=trip.pk), passenger)
    assert panel.headline.figure == "4 min"
    assert panel.headline.line.startswith("2.0 km · arrives about ")
    assert panel.timeline.steps == ["done", "done", "now", "ahead", "ahead", "ahead"]


def test_page_says_since_when_the_driver_is_dark(passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.EN_ROUTE)
    place(trip.driver, *ALMATY, age=dt.timedelta(minutes=6))
    panel = Panel(Trip.objects.for_page().get(pk=trip.pk), passenger)
    assert panel.location.eta_min is None
    assert panel.location.dark_note.startswith("no position since ")


def test_position_of_a_far_departure_stays_private(passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.ACCEPTED, in_=dt.timedelta(hours=20))
    panel = Panel(Trip.objects.for_page().get(pk=trip.pk), passenger)
    assert panel.location.position is None
    assert panel.headline.sentence.startswith("Daniyar picks you up ")


def test_unfilled_page_says_when_it_is_tried_next(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.UNFILLED)
    page = text(client.get(f"/trips/{trip.pk}/"))
    assert "next try at" in page
    assert "Try again now" in page


def test_driver_who_is_not_rated_yet_is_new(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.ACCEPTED)
    page = text(client.get(f"/trips/{trip.pk}/"))
    assert "new</span>" in page
    assert trip.vehicle.plate_text in page
    assert f"tel:{trip.driver.user.phone.as_e164}" in page


def test_drivers_rating_stands_with_its_count(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.ACCEPTED)
    Driver.objects.filter(pk=trip.driver_id).update(rating_sum=1466, rating_count=312)
    page = text(client.get(f"/trips/{trip.pk}/"))
    stars = re.search(r'<span class="quiet stars">.*?</p>', page, re.DOTALL)
    assert stars
    assert " ".join(strip_tags(stars[0]).split()) == "Rating: 4.7 · 312 ratings"


def test_phones_are_gone_when_the_trip_is_over(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.COMPLETED)
    assert "tel:" not in text(client.get(f"/trips/{trip.pk}/"))


# Cancelling


def test_cancel_says_what_will_happen_first(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.ACCEPTED)
    page = text(client.get(f"/trips/{trip.pk}/cancel/", headers=HTMX))
    assert "is told at once" in page
    assert "<html" not in page


def test_cancel_cancels_once(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.ACCEPTED)
    for _attempt in range(2):
        response = client.post(f"/trips/{trip.pk}/cancel/", {"reason": "ill"})
        assert response.url == f"/trips/{trip.pk}/"
    trip.refresh_from_db()
    assert (trip.status, trip.cancel_reason, trip.version) == (TripStatus.CANCELLED, "ill", 2)


def test_cancel_on_the_open_page_answers_with_the_panel(client, passenger):
    trip = TripFactory(organiser=passenger)
    response = client.post(f"/trips/{trip.pk}/cancel/", headers=HTMX)
    assert response["HX-Trigger"] == "stepper:done"
    assert 'data-status="cancelled"' in text(response)


def test_cancel_too_late_says_whom_to_ask(client, passenger):
    ServiceSettings(pk=1, support_phone="+77015550000").save()
    trip = TripFactory(organiser=passenger, status=TripStatus.DRIVER_ARRIVED)
    assert "ask the driver. You can also ask our staff." in text(client.get(f"/trips/{trip.pk}/cancel/"))
    response = client.post(f"/trips/{trip.pk}/cancel/")
    assert response.status_code == 409
    trip.refresh_from_db()
    assert trip.status == TripStatus.DRIVER_ARRIVED


def test_flagged_arrival_is_said_in_plain_words_and_can_be_cancelled(client, passenger):
    driver = DriverFactory(user__name="Daniyar Seitkali")
    trip = TripFactory(organiser=passenger, driver=driver, status=TripStatus.DRIVER_ARRIVED, arrival_flagged=True)
    page = text(client.get(f"/trips/{trip.pk}/"))
    assert "Daniyar says they are at the pickup" in page
    assert "no position confirms it; you can still cancel" in page
    assert "too late" not in text(client.get(f"/trips/{trip.pk}/cancel/"))
    assert client.post(f"/trips/{trip.pk}/cancel/").status_code == 302
    trip.refresh_from_db()
    assert trip.status == TripStatus.CANCELLED


# Rating


def test_rating_is_sent_changed_and_then_fixed(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.COMPLETED)
    url, page = f"/trips/{trip.pk}/rate/", f"/trips/{trip.pk}/"
    assert client.post(url, {"stars": "5", "comment": "Calm"}).status_code == 302
    html = client.get(page).content.decode()
    assert 'value="5" checked' in html
    assert ">Calm</textarea>" in html.replace("\n", "")
    assert client.post(url, {"stars": "2"}).status_code == 302
    assert "You gave 2 stars" in text(client.get(page))
    ten_minutes_pass()
    assert client.post(url, {"stars": "1"}).status_code == 409
    assert Rating.objects.get().stars == 2
    assert "rating-change" not in client.get(page).content.decode()


def ten_minutes_pass():
    Rating.objects.update(created_at=timezone.now() - dt.timedelta(minutes=10))


def test_rating_that_was_given_on_another_device_is_shown_with_the_reason(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.COMPLETED)
    url = f"/trips/{trip.pk}/rate/"
    client.post(url, {"stars": "5"}, headers=HTMX)
    ten_minutes_pass()
    answer = text(client.post(url, {"stars": "1"}, headers=HTMX))
    assert "You gave 5 stars" in answer
    assert "You have rated this trip already." in answer


@pytest.mark.parametrize("stars", ["", "0", "6", "many"])
def test_rate_needs_one_to_five_stars(stars, client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.COMPLETED)
    response = client.post(f"/trips/{trip.pk}/rate/", {"stars": stars}, headers=HTMX)
    assert response.status_code == 422
    assert "Choose 1 to 5 stars." in text(response)


def test_rate_before_the_end_is_refused(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.IN_TRANSIT)
    assert client.post(f"/trips/{trip.pk}/rate/", {"stars": "5"}).status_code == 409


def test_driver_rates_the_passenger(passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.COMPLETED)
    as_user(trip.driver.user).post(f"/trips/{trip.pk}/rate/", {"stars": "4"})
    assert Rating.objects.get().about == passenger


# Offering again


def test_offer_again_starts_a_round(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.UNFILLED)
    DriverFactory(at=ALMATY)
    client.post(f"/trips/{trip.pk}/offer-again/")
    trip.refresh_from_db()
    assert trip.status == TripStatus.OFFERED


def test_offer_again_says_when_nobody_is_free(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.UNFILLED)
    response = client.post(f"/trips/{trip.pk}/offer-again/", headers=HTMX)
    assert "We keep looking" in text(response)


def test_offer_again_is_refused_once_there_is_a_driver(client, passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.ACCEPTED)
    response = client.post(f"/trips/{trip.pk}/offer-again/", headers=HTMX)
    assert "not looking for a driver" in text(response)


# My trips


def test_list_shows_active_and_past_apart(client, passenger):
    ahead = TripFactory(organiser=passenger)
    past = TripFactory(organiser=passenger, status=TripStatus.COMPLETED)
    TripFactory()
    response = client.get("/trips/")
    assert response.context["active"] == [ahead]
    assert list(response.context["past"]) == [past]


def test_list_says_what_will_appear(client):
    assert "No trips yet" in text(client.get("/trips/"))


def test_list_pages_through_the_past(client, passenger):
    for _number in range(12):
        TripFactory(organiser=passenger, status=TripStatus.CANCELLED)
    assert len(client.get("/trips/").context["past"]) == 10
    assert len(client.get("/trips/?page=2").context["past"]) == 2


def test_list_pages_through_what_is_ahead(client, passenger, monkeypatch):
    monkeypatch.setattr("trips.views.ACTIVE_PER_PAGE", 2)
    ahead = [TripFactory(organiser=passenger, in_=dt.timedelta(hours=hours)) for hours in (1, 2, 3, 4, 5)]
    TripFactory(in_=dt.timedelta(hours=3))
    address, shown = "/trips/?show=completed", []
    for _page in range(3):
        response = client.get(address)
        shown.append(response.context["active"])
        later = re.search(r'href="([^"]*)" data-testid="trips-later"', text(response))
        address = f"/trips/{unescape(later[1])}" if later else ""
    assert shown == [ahead[:2], ahead[2:4], ahead[4:]]
    assert address == ""
    assert 'href="?show=completed" data-testid="trips-soonest"' in text(response)
    # The socket's first page is not for this one.
    assert 'id="trips-active"' not in text(response)


def test_page_ahead_whose_trips_are_over_is_the_first(client, passenger):
    first = TripFactory(organiser=passenger, in_=dt.timedelta(hours=1))
    response = client.get("/trips/", {"after": f"4000000000000000-{first.pk}"})
    assert response.context["active"] == [first]
    assert 'id="trips-active"' in text(response)
    assert "trips-soonest" not in text(response)


def test_list_shows_some_of_the_past(client, passenger):
    completed = TripFactory(organiser=passenger, status=TripStatus.COMPLETED)
    cancelled = TripFactory(organiser=passenger, status=TripStatus.CANCELLED)
    shared = TripFactory(status=TripStatus.COMPLETED)
    Booking.objects.create(trip=shared, passenger=passenger, amount=1, status="completed")
    wanted = {
        "": {completed, cancelled, shared},
        "completed": {completed, shared},
        "cancelled": {cancelled},
        "booked": {completed, cancelled},
        "nonsense": {completed, cancelled, shared},
    }
    shown = {show: set(client.get("/trips/", {"show": show}).context["past"]) for show in wanted}
    assert shown == wanted


def test_list_keeps_what_is_shown_from_page_to_page(client, passenger):
    for _number in range(11):
        TripFactory(organiser=passenger, status=TripStatus.CANCELLED)
    page = text(client.get("/trips/?show=cancelled"))
    assert 'href="?show=cancelled&amp;page=2"' in page
    assert 'id="trips-past-cancelled-1"' in page


def test_list_says_that_there_are_none_of_a_kind(client, passenger):
    TripFactory(organiser=passenger, status=TripStatus.COMPLETED)
    page = text(client.get("/trips/?show=cancelled"))
    assert "No past trips of this kind." in page
    assert "No trips yet" not in page


@pytest.mark.parametrize("rows", [1, 3])
def test_list_costs_the_same_for_any_number_of_trips(rows, client, passenger, django_assert_num_queries):
    for _number in range(rows):
        TripFactory(organiser=passenger, status=TripStatus.ACCEPTED)
        TripFactory(organiser=passenger, status=TripStatus.COMPLETED)
    # session, user, active, past count, past, unread messages, unread, is a driver
    with django_assert_num_queries(8):
        client.get("/trips/")


@pytest.mark.parametrize("asked", [1, 3])
def test_page_costs_the_same_for_any_number_of_offers(asked, client, passenger, django_assert_num_queries):
    trip = TripFactory(organiser=passenger)
    for _number in range(asked):
        OfferFactory(trip=trip)
    # session, user, trip, offers open, history, settings, unread, is a driver
    with django_assert_num_queries(8):
        client.get(f"/trips/{trip.pk}/")


# Fragments for the sockets


def test_fragment_replaces_the_panel(passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.ACCEPTED)
    html = fragments.snapshot(trip.pk, passenger.pk)
    assert 'id="trip-panel"' in html
    assert 'hx-swap-oob="true"' in html
    assert f'data-version="{trip.version}"' in html
    assert 'id="notification-badge"' in html


def test_fragment_of_a_finished_trip_keeps_a_rating_in_progress(passenger):
    trip = TripFactory(organiser=passenger, status=TripStatus.COMPLETED)
    assert "hx-preserve" in fragments.snapshot(trip.pk, passenger.pk)


def test_fragment_shows_nothing_to_a_stranger(passenger):
    trip = TripFactory()
    assert "trip-panel" not in fragments.snapshot(trip.pk, passenger.pk)


# Notifications


def notification(user, **fields):
    return Notification.objects.create(user=user, title="Driver found", **fields)


def test_badge_counts_the_unread(client, passenger):
    notification(passenger)
    notification(passenger, read_at=timezone.now())
    assert client.get("/trips/").context["page"].unread == 1


def test_notification_is_read_and_followed(client, passenger):
    row = notification(passenger, action_url="/trips/")
    response = client.post(f"/notifications/{row.pk}/read/")
    assert response.url == "/trips/"
    row.refresh_from_db()
    assert row.read_at


def test_notification_leads_to_this_site_only(client, passenger):
    row = notification(passenger, action_url="https://elsewhere.test/")
    assert client.post(f"/notifications/{row.pk}/read/").url == "/notifications/"


def test_notification_of_somebody_else_is_not_found(stranger, passenger):
    row = notification(passenger)
    assert stranger.post(f"/notifications/{row.pk}/read/").status_code == 404
    row.refresh_from_db()
    assert row.read_at is None


def test_read_all_reads_own_only(client, passenger):
    notification(passenger)
    other = notification(PassengerFactory())
    response = client.post("/notifications/read-all/", headers=HTMX)
    assert response.context["unread"] == 0
    other.refresh_from_db()
    assert other.read_at is None


@pytest.mark.parametrize("path", ["read-all/", "1/read/"])
def test_reading_needs_a_post(path, client):
    assert client.get(f"/notifications/{path}").status_code == 405


@pytest.mark.parametrize("rows", [1, 3])
def test_notification_list_costs_the_same_for_any_number(rows, client, passenger, django_assert_num_queries):
    for _number in range(rows):
        notification(passenger)
    # session, user, the list, unread
    with django_assert_num_queries(4):
        client.get("/notifications/", headers=HTMX)


def test_refused_booking_says_what_keeps_the_price_away(client):
    page = text(client.post("/book/", {**FORM, "vehicle_class": "rickshaw"}))
    assert "Correct what is marked to see the price." in page
    assert "Choose pickup and dropoff" not in page
    assert "Choose pickup and dropoff" in text(client.get("/book/"))


def test_price_alone_says_what_keeps_it_away(client):
    """Its fragment marks no field."""
    page = text(client.post("/trips/quote/", {**FORM, "seats": ""}))
    assert "This field is required." in page
    assert "Correct what is marked" not in page


@pytest.mark.parametrize(
    ("ordered", "comes", "said"), [("sedan", "suv", True), ("sedan", "sedan", False), ("van", "van", False)]
)
def test_page_says_that_a_higher_class_comes_at_the_same_price(ordered: str, comes: str, said: bool) -> None:
    driver = DriverFactory(vehicle__vehicle_class=comes)
    trip = TripFactory(driver=driver, status="accepted", vehicle_class=ordered)
    client = Client()
    client.force_login(trip.organiser)

    assert ("SUV: a class higher, same price" in client.get(f"/trips/{trip.pk}/").content.decode()) == said
