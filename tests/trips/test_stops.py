"""Stops between: booking them, what they cost, who reads of them, marking one as reached."""

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client

from drivers.models import Driver
from drivers.positions.tracking import last_known
from realtime import events, groups
from stepper.errors import Conflict, DomainError, InvalidInput
from stepper.models import ServiceSettings
from tests.factories import AIRPORT, ALMATY, MEDEU, DriverFactory, OfferFactory, PassengerFactory, TripFactory, place
from tests.outbox import frames
from tests.rest import as_user
from trips import bookings, cards, driving, eta, pricing, receipts, shares
from trips.booking_requests import BookingRequest, check_request
from trips.models import Trip
from trips.panel import Panel
from trips.shared_page import SharedTrip

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
SETTINGS = ServiceSettings()
KOK_TOBE = (43.2304, 76.9569)
LAKE = (43.0556, 76.9900)


def at(name: str, point: tuple[float, float]) -> events.Place:
    return events.Place(name, "", *point)


START, END = at("Almaty", ALMATY), at("Almaty airport", AIRPORT)
FIRST, SECOND = at("Kok-Tobe", KOK_TOBE), at("Medeu", MEDEU)


def wanted(*stops: events.Place, **changes: Any) -> BookingRequest:
    return BookingRequest(**{"pickup": START, "dropoff": END, "stops": stops, **changes})


def stopping(**fields: Any) -> Trip:
    """A trip by way of Kok-Tobe and Medeu, on the road unless told."""
    stops = [{"name": one.name, "address": "", "lat": one.lat, "lng": one.lng} for one in (FIRST, SECOND)]
    return TripFactory.create(**{"status": "in_transit", "stops": stops, **fields})


def driver_of(trip: Trip) -> Driver:
    assert trip.driver is not None
    return trip.driver


def reach(trip: Trip, number: int | None, **fields: Any) -> Trip:
    return driving.update_status(trip.driver_id or 0, trip.pk, status="stop_reached", stop=number, **fields)


# Booking


@pytest.mark.parametrize(
    ("stops", "dropoff", "field", "words"),
    [
        ([FIRST, FIRST], END, "stops.1", "same place as the one before"),
        ([at("Here", ALMATY)], END, "stops.0", "same place as the one before"),
        ([FIRST], at("Hill", KOK_TOBE), "dropoff", "same place as the one before"),
        ([FIRST, SECOND, FIRST, SECOND], END, "stops", "At most 3 stops"),
        ([FIRST, at("Nowhere", (95, 0))], END, "stops.1", "Latitude"),
        ([at(" ", MEDEU)], END, "stops.0", "Choose a place"),
        ([at("Far", (10, 20))], END, "dropoff", "Nobody drives that far"),
    ],
)
def test_wrong_stop_is_refused_at_its_field(
    stops: list[events.Place], dropoff: events.Place, field: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_request(wanted(*stops, dropoff=dropoff), SETTINGS, NOW)

    assert list(refused.value.fields) == [field]
    assert words in str(refused.value.fields[field][0])


def test_way_there_and_back_with_a_stop_is_no_same_place() -> None:
    check_request(wanted(FIRST, dropoff=START), SETTINGS, NOW)


def test_distance_and_duration_are_the_sums_of_the_parts() -> None:
    parts = [pricing.quote(*ends, 1, "sedan", SETTINGS) for ends in ((ALMATY, LAKE), (LAKE, AIRPORT))]
    quote = pricing.quote(ALMATY, AIRPORT, 1, "sedan", SETTINGS, stops=[LAKE])

    assert quote.duration_min == sum(part.duration_min for part in parts)
    assert quote.distance_km == pytest.approx(sum(part.distance_km for part in parts), abs=0.11)
    assert quote.fare == pytest.approx(500 + 50 * quote.distance_km, abs=3)
    # One long drive would be faster than two short ones: each begins in its own town.
    assert quote.duration_min > eta.minutes(quote.distance_km / SETTINGS.road_factor, eta.speeds_of(SETTINGS))


def test_booked_stops_stand_with_the_trip_and_on_the_drivers_card() -> None:
    driver = DriverFactory(at=ALMATY)
    trip = bookings.book(PassengerFactory(), wanted(at("  Kok\u200b-Tobe ", KOK_TOBE), SECOND))

    trip.refresh_from_db()
    assert [(stop.name, stop.reached_at) for stop in trip.stop_list] == [("Kok-Tobe", None), ("Medeu", None)]
    assert trip.fare == pricing.quote(ALMATY, AIRPORT, 1, "sedan", SETTINGS, stops=[KOK_TOBE, MEDEU]).fare
    [offer] = [frame for frame in frames(groups.driver(driver.pk)) if isinstance(frame, events.OfferCreated)]
    assert [stop.name for stop in offer.stops] == ["Kok-Tobe", "Medeu"]
    assert offer.trip_km == trip.distance_km


def test_key_of_a_booking_without_stops_is_not_that_of_one_with_them() -> None:
    passenger = PassengerFactory()
    bookings.book(passenger, wanted(), "key")

    with pytest.raises(Conflict) as refused:
        bookings.book(passenger, wanted(FIRST), "key")
    assert refused.value.code == "booking.key_reused"


# The form


FORM = {
    "pickup_name": "Almaty airport",
    "dropoff_name": "Almaty",
    "departure": "now",
    "vehicle_class": "sedan",
    "seats": "1",
    "bags": "0",
}


def signed_in() -> Client:
    client = Client()
    client.force_login(PassengerFactory())
    return client


def test_form_books_its_stops_and_leaves_empty_ones_out() -> None:
    client = signed_in()
    stops = {"stop1_name": "Kok-Tobe", "stop2_name": "", "stop3_name": "Gate", "stop3_lat": "43.2", "stop3_lng": "77"}
    client.post("/book/", {**FORM, **stops})

    assert [stop.name for stop in Trip.objects.get().stop_list] == ["Kok-Tobe", "Gate"]


def test_error_of_a_stop_stands_at_its_field_also_behind_an_empty_one() -> None:
    page = signed_in().post("/book/", {**FORM, "stop1_name": "", "stop2_name": "Medeu", "stop3_name": "Medeu"})

    assert list(page.context["form"].errors) == ["stop3_name"]
    assert [stop["is_open"] for stop in page.context["form"].stop_fields()] == [False, True, True]
    assert not Trip.objects.exists()


def test_stop_that_is_no_known_place_keeps_the_price_away() -> None:
    page = signed_in().post("/trips/quote/", {**FORM, "stop1_name": "Qqqq"})

    assert page.context["form"].errors.keys() == {"stop1_name"}
    assert "quotes" not in page.context


def test_bags_that_are_no_number_are_said_at_their_field() -> None:
    page = signed_in().post("/book/", {**FORM, "bags": "many"})

    assert page.status_code == 422
    assert list(page.context["form"].errors) == ["bags"]


@pytest.mark.parametrize(
    ("query", "names", "errors"),
    [
        ("via=Medeu", ["Medeu", "", ""], {}),
        ("via=43.2304,76.9569&via=Medeu&via_name=Cable+car", ["Cable car", "Medeu", ""], {}),
        ("via=Medeu&via=Medeu", ["Medeu", "Medeu", ""], {"stop2_name"}),
        ("via=Qqqq", ["Qqqq", "", ""], {"stop1_name"}),
        ("via=Medeu&via=Kok-Tobe&via=Medeu&via=Kok-Tobe", ["Medeu", "Kok-Tobe", "Medeu"], {"stop3_name"}),
    ],
)
def test_link_fills_the_stops(query: str, names: list[str], errors: set[str]) -> None:
    form = signed_in().get(f"/book/?from=Almaty&to=Almaty+airport&{query}").context["form"]

    assert [form[f"stop{number}_name"].value() for number in (1, 2, 3)] == names
    assert form.errors.keys() == set(errors)


@pytest.mark.parametrize(("way", "names"), [("again", ["Kok-Tobe", "Medeu"]), ("return", ["Medeu", "Kok-Tobe"])])
def test_trip_once_more_has_its_stops_and_the_way_back_reverses_them(way: str, names: list[str]) -> None:
    trip = stopping(status="completed")
    client = Client()
    client.force_login(trip.organiser)
    form = client.get(f"/book/?{way}={trip.pk}").context["form"]

    assert [form[f"stop{number}_name"].value() for number in (1, 2)] == names
    assert not form.errors


def test_strangers_draft_keeps_the_stops() -> None:
    client = Client()
    client.post("/book/", {**FORM, "stop1_name": "Medeu"})

    assert client.get("/book/").context["form"]["stop1_name"].value() == "Medeu"


# REST


def test_rest_books_and_answers_stops() -> None:
    client = as_user(PassengerFactory())
    body: dict[str, Any] = {
        "pickup": {"name": "Almaty", "lat": ALMATY[0], "lng": ALMATY[1]},
        "dropoff": {"name": "Airport", "lat": AIRPORT[0], "lng": AIRPORT[1]},
        "stops": [{"name": "Medeu", "address": "", "lat": MEDEU[0], "lng": MEDEU[1]}],
    }
    quoted = client.post("/api/trips/quote", body, format="json").json()
    booked = client.post("/api/trips", body, format="json").json()

    assert booked["stops"] == [{**body["stops"][0], "reached_at": None}]
    assert booked["fare"] == quoted["fare"]
    refused = client.post("/api/trips", {**body, "stops": [{"name": "Medeu", "lat": 43}]}, format="json")
    assert list(refused.json()["fields"]) == ["stops.0.lng"]
    refused = client.post("/api/trips", {**body, "stops": body["stops"] * 4}, format="json")
    assert list(refused.json()["fields"]) == ["stops"]


# On the road


def test_driver_marks_the_stops_in_their_order_once() -> None:
    trip = stopping()
    place(driver_of(trip), *KOK_TOBE)
    version = trip.version

    for _repeated in range(2):
        reach(trip, 1, lat=43.23, lng=76.95)
    trip.refresh_from_db()

    assert (trip.status, trip.stops_reached, trip.version) == ("in_transit", 1, version + 1)
    [row] = trip.transitions.all()
    assert (row.from_status, row.to_status) == ("in_transit", "in_transit")
    assert (row.role, row.note) == ("driver", "Stop 1: Kok-Tobe")
    assert (row.lat, row.lng) == (43.23, 76.95)
    assert row.away_km == pytest.approx(0, abs=0.01)
    [frame] = [one for one in frames(groups.trip(trip.pk)) if isinstance(one, events.TripStatusUpdated)]
    assert (frame.previous, frame.new, frame.stops_reached) == ("in_transit", "in_transit", 1)
    reach(trip, 2)
    trip.refresh_from_db()
    assert trip.stops_ahead == []


@pytest.mark.parametrize(
    ("status", "number", "code"),
    [
        ("in_transit", 2, "trip.stop_refused"),
        ("in_transit", 3, "input.invalid"),
        ("in_transit", 0, "input.invalid"),
        ("in_transit", None, "input.invalid"),
        ("passengers_boarded", 1, "trip.stop_refused"),
        ("accepted", 1, "trip.stop_refused"),
        ("arrived", 1, "trip.stop_refused"),
        ("completed", 1, "trip.stop_refused"),
    ],
)
def test_wrong_stop_is_not_marked(status: str, number: int | None, code: str) -> None:
    trip = stopping(status=status)

    with pytest.raises(DomainError) as refused:
        reach(trip, number)
    assert refused.value.code == code
    trip.refresh_from_db()
    assert trip.stops_reached == 0


def test_nobody_else_marks_a_stop() -> None:
    trip = stopping()

    with pytest.raises(DomainError) as refused:
        driving.update_status(DriverFactory.create().pk, trip.pk, status="stop_reached", stop=1)
    assert refused.value.code == "trip.not_found"


def test_stop_that_was_sent_late_is_applied_once() -> None:
    trip = stopping()
    reach(trip, 1, key="tapped")
    driving.update_status(trip.driver_id or 0, trip.pk, status="arrived")

    assert reach(trip, 1, key="tapped").status == "arrived"


def test_expected_times_go_by_way_of_the_stops_that_are_ahead() -> None:
    trip = stopping()
    place(driver_of(trip), *ALMATY)
    speeds = eta.speeds_of(SETTINGS)

    def to_go() -> int | None:
        location = last_known(Trip.objects.get(pk=trip.pk), ServiceSettings.current())
        assert location is not None
        return location.eta.dropoff_min

    assert to_go() == eta.minutes_along([ALMATY, KOK_TOBE, MEDEU, AIRPORT], speeds)
    reach(trip, 1)
    assert to_go() == eta.minutes_along([ALMATY, MEDEU, AIRPORT], speeds)
    panel = Panel(Trip.objects.get(pk=trip.pk), trip.organiser)
    assert panel.location.away_km == pytest.approx(sum(eta.parts_km([ALMATY, MEDEU, AIRPORT])))


def test_before_the_pickup_the_expected_dropoff_counts_the_stops() -> None:
    trip = stopping(status="en_route")
    place(driver_of(trip), *ALMATY)
    location = last_known(trip, ServiceSettings.current())

    assert location is not None
    assert location.eta.dropoff_min == eta.minutes_along([ALMATY, KOK_TOBE, MEDEU, AIRPORT], eta.speeds_of(SETTINGS))


def test_timeline_says_which_stops_are_reached() -> None:
    trip = stopping()

    def lines() -> dict[str, str]:
        panel = Panel(Trip.objects.get(pk=trip.pk), trip.organiser)
        return {mark.label: mark.state for mark in panel.timeline.marks if mark.label.startswith("Stop")}

    assert lines() == {"Stop 1: Kok-Tobe": "ahead", "Stop 2: Medeu": "ahead"}
    reach(trip, 1)
    assert lines() == {"Stop 1: Kok-Tobe": "done", "Stop 2: Medeu": "ahead"}
    driving.update_status(trip.driver_id or 0, trip.pk, status="arrived")
    # What the driver did not mark, nobody claims.
    assert lines() == {"Stop 1: Kok-Tobe": "done"}


def test_passenger_and_whoever_watches_a_link_read_where_it_goes_next() -> None:
    trip = stopping()
    assert Panel(trip, trip.organiser).headline.sentence == "You are on the way to Kok-Tobe, then to Almaty airport"
    assert SharedTrip(trip).sentence == "On the way to Kok-Tobe, then to Almaty airport"
    reach(trip, 1)
    reach(trip, 2)
    trip = Trip.objects.for_page().get()
    assert Panel(trip, trip.organiser).headline.sentence == "You are on the way to Almaty airport"
    assert SharedTrip(trip).sentence == "On the way to Almaty airport"


def test_reached_stop_is_told_to_those_who_watch_by_a_link() -> None:
    trip = stopping()
    shares.create_share(trip.pk, trip.organiser)
    reach(trip, 1)

    assert any(isinstance(frame, events.SharedTripUpdated) for frame in frames(groups.shared_trip(trip.pk)))


def test_receipt_names_the_stops() -> None:
    trip = stopping(status="completed")

    assert ("By way of", "Kok-Tobe; Medeu") in receipts.read_receipt(trip.organiser, trip.pk).rows


def test_drivers_card_leads_to_the_next_stop_and_has_its_button() -> None:
    trip = stopping()
    client = Client()
    client.force_login(driver_of(trip).user)
    page = client.get("/driver/tab/active/").content.decode()
    assert 'data-testid="stop-reached"' in page
    [address] = re.findall(r'href="([^"]+)"\s+target="_blank" rel="noopener noreferrer" data-testid="trip-nav', page)
    assert f"{KOK_TOBE[0]}" in address

    client.post(f"/driver/trips/{trip.pk}/status/", {"status": "stop_reached", "stop": "1"})
    client.post(f"/driver/trips/{trip.pk}/status/", {"status": "stop_reached", "stop": "2"})
    page = client.get("/driver/tab/active/").content.decode()
    assert 'data-testid="stop-reached"' not in page
    assert page.count("reached ") >= 2


def test_snapshot_has_stops_and_when_they_were_reached() -> None:
    trip = stopping()
    reach(trip, 1)
    snapshot = cards.snapshot(Trip.objects.for_page().get(), None)

    assert [stop.reached_at is not None for stop in snapshot.stops] == [True, False]


def test_offer_card_names_the_stops() -> None:
    offer = OfferFactory.create(trip=stopping(status="offered"))
    client = Client()
    client.force_login(offer.driver.user)

    page = client.get("/driver/").content.decode()
    assert page.count('data-testid="offer-stop"') == 2
    assert "2 stops between" in page
