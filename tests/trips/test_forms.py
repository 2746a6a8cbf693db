"""The booking form: places by coordinates or by name, the pickup's zone, errors where they belong; known places."""

import pytest

from stepper.errors import InvalidInput
from trips import places
from trips.forms import BookingForm, RatingForm

# A name without coordinates is looked up in the table of places.
pytestmark = pytest.mark.django_db

FORM = {
    "pickup_name": "Here",
    "pickup_lat": "43.25",
    "pickup_lng": "76.9",
    "dropoff_name": "Medeu",
    "departure": "now",
    "vehicle_class": "suv",
    "seats": "3",
}


def form(**changes):
    return BookingForm({**FORM, **changes})


def test_request_carries_both_places():
    bound = form()
    assert bound.is_valid(), bound.errors
    request = bound.request()
    assert (request.pickup.name, request.pickup.address) == ("Here", "43.25000, 76.90000")
    assert (request.dropoff.lat, request.dropoff.lng) == (43.1622, 77.08)
    assert (request.departure_at, request.seats, request.vehicle_class, request.bags) == (None, 3, "suv", 0)


def test_point_without_a_name_gets_one():
    bound = form(pickup_name="")
    assert bound.is_valid()
    assert bound.request().pickup.name == "Point on the map"


@pytest.mark.parametrize("lat", ["nan", "inf", "north", "1e999"])
def test_coordinates_that_are_no_numbers_are_said_at_the_place(lat):
    bound = form(pickup_lat=lat)
    assert not bound.is_valid()
    assert set(bound.errors) == {"pickup_name"}


@pytest.mark.parametrize(("field", "name"), [("pickup_lat", "pickup_name"), ("dropoff_name", "dropoff_name")])
def test_missing_place_is_said_at_its_name(field, name):
    bound = form(**{field: ""})
    assert not bound.is_valid()
    assert list(bound.errors) == [name]


def test_coordinates_out_of_range_are_left_to_the_domain():
    bound = form(pickup_lat="91", departure="later", departure_date="2030-01-01", departure_time="10:00")
    assert bound.is_valid(), bound.errors
    assert bound.request().departure_at is None


def test_later_needs_date_and_time():
    bound = form(departure="later", departure_time="25:00")
    assert not bound.is_valid()
    assert set(bound.errors) == {"departure_date", "departure_time"}


def test_chosen_time_is_the_pickups():
    bound = form(
        departure="later", departure_date="2030-07-01", departure_time="10:00", pickup_name="Tashkent", pickup_lat=""
    )
    assert bound.is_valid(), bound.errors
    departure_at = bound.request().departure_at
    assert departure_at is not None
    assert departure_at.isoformat() == "2030-07-01T10:00:00+05:00"
    assert str(departure_at.tzinfo) == "Asia/Tashkent"


@pytest.mark.parametrize("seats", ["", "many", "1.5"])
def test_seats_are_a_whole_number(seats):
    bound = form(seats=seats)
    assert not bound.is_valid()
    assert list(bound.errors) == ["seats"]


def test_price_needs_no_time():
    assert form(departure="later").is_priceable()


def test_refusal_of_the_domain_stands_at_the_forms_own_fields():
    bound = form()
    assert bound.is_valid()
    bound.refuse(InvalidInput("input.invalid", "No.", {"dropoff": ["Same place."], "departure_at": ["Past."]}))
    assert bound.errors == {"dropoff_name": ["Same place."], "departure_time": ["Past."]}


def test_refusal_without_a_field_stands_above():
    bound = form()
    assert bound.is_valid()
    bound.refuse(InvalidInput("input.invalid", "No."))
    assert bound.non_field_errors() == ["No."]


def test_rating_wants_stars():
    assert not RatingForm({"comment": "Nice"}, role="organiser", with_tip=False).is_valid()


def test_search_puts_beginnings_first():
    assert [place.name for place in places.search("alma")][:2] == ["Almaty", "Almaty airport"]
    assert places.search("nowhere at all") == []


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("almaty", "Almaty"),
        (" MEDEU ", "Medeu"),
        ("kaindy", "Kaindy lake"),
        ("airport", None),
        ("abay", None),
        ("", None),
    ],
)
def test_named_wants_one_place(typed, name):
    found = places.named(typed)
    assert (found.name if found else None) == name
