"""Prices of all classes and the wait: who counts as near, for whom, what it costs in queries."""

import datetime as dt
from typing import Any

import pytest

from drivers.models import Availability
from realtime import events
from stepper.db.clock import database_now
from stepper.errors import InvalidInput, TooManyRequests
from stepper.models import ServiceSettings
from tests.factories import ALMATY, DriverFactory, PassengerFactory
from trips import quotes
from trips.booking_requests import BookingRequest
from trips.models import Offer, Trip
from trips.states import VehicleClass

pytestmark = pytest.mark.django_db

MEDEU = (43.1574, 77.0586)
ADDRESS = "203.0.113.7"


def wanted(**changes: Any) -> BookingRequest:
    places = {"pickup": events.Place("Almaty", "", *ALMATY), "dropoff": events.Place("Medeu", "", *MEDEU)}
    return BookingRequest(**{**places, **changes})


def quote(**changes: Any) -> quotes.Quotes:
    return quotes.quote_classes(PassengerFactory(), wanted(**changes), address=ADDRESS)


def waits(**changes: Any) -> dict[str, int | None]:
    return {one.vehicle_class.value: one.wait_min for one in quote(**changes).classes}


def test_prices_of_all_classes_come_together() -> None:
    found = quote(vehicle_class="van")

    assert [one.vehicle_class for one in found.classes] == list(VehicleClass)
    fares = {one.vehicle_class.value: one.price.fare for one in found.classes}
    assert fares["sedan"] < fares["suv"] < fares["van"] < fares["bus"]
    assert found.chosen.price.fare == fares["van"]
    assert not Trip.objects.exists()


def test_bigger_class_at_the_same_price_says_so() -> None:
    ServiceSettings.objects.create(pk=1, multiplier_suv=1.0)

    assert [one.same_price for one in quote().classes] == [False, True, False, False]


def test_more_people_than_seats_keep_no_price_away() -> None:
    found = quote(seats=9)

    assert found.chosen.price.fare > 0
    assert [one.has_room for one in found.classes] == [False, False, False, True]
    assert found.problems == ["Choose 1 to 4 seats for this vehicle."]


def test_same_place_has_no_price() -> None:
    with pytest.raises(InvalidInput) as refused:
        quote(dropoff=events.Place("Almaty", "", *ALMATY))

    assert list(refused.value.fields) == ["dropoff"]


def test_wait_is_of_the_nearest_driver_who_could_be_asked() -> None:
    DriverFactory(at=(43.2222, 76.8512), availability=Availability.OFFLINE)
    DriverFactory(at=(43.2700, 76.8512))
    near = waits()["sedan"]
    DriverFactory(at=(43.2221, 76.8513), vehicle__vehicle_class="suv", vehicle__seats=6)

    assert near == 10
    assert waits()["sedan"] == 5
    assert waits()["suv"] == 5
    assert waits()["van"] is None


@pytest.mark.parametrize("lat", [43.2221, 43.2240, 43.2380])
def test_wait_does_not_say_where_in_five_minutes_the_driver_is(lat: float) -> None:
    DriverFactory(at=(lat, ALMATY[1]))

    assert waits()["sedan"] == 5


def test_wait_leaves_out_whoever_the_rules_refuse() -> None:
    """Too few seats, a dark position: dispatch would not ask them either."""
    DriverFactory(at=ALMATY)
    settings = ServiceSettings.current()
    old = DriverFactory(at=(43.2400, 76.8600), vehicle__vehicle_class="van", vehicle__seats=8)
    old.position.recorded_at = database_now() - dt.timedelta(seconds=settings.position_fresh_s + 1)
    old.position.save()

    assert waits(seats=1)["sedan"] == 5
    assert waits(seats=5, vehicle_class="suv")["suv"] is None


def test_wait_leaves_out_whoever_earns_too_little_by_their_filter() -> None:
    """An imagined trip has all that the rules read, also what only a filter asks for."""
    DriverFactory(at=ALMATY, min_earnings=100_000)
    assert waits()["sedan"] is None

    DriverFactory(at=ALMATY, min_earnings=1)
    assert waits()["sedan"] == 5


def test_later_has_no_wait_and_says_when_drivers_are_asked() -> None:
    DriverFactory(at=ALMATY)
    tomorrow, in_a_week = database_now() + dt.timedelta(days=1), database_now() + dt.timedelta(days=7)

    assert set(waits(departure_at=tomorrow).values()) == {None}
    assert quote(departure_at=tomorrow).asked_from is None
    assert quote(departure_at=in_a_week).asked_from == in_a_week - dt.timedelta(hours=72)
    assert not Offer.objects.exists()


def test_too_far_ahead_keeps_no_price_away() -> None:
    found = quote(departure_at=database_now() + dt.timedelta(days=31))

    assert found.chosen.price.fare > 0
    assert "at most 30 days ahead" in found.problems[0]


def test_strangers_are_counted_by_address_and_others_by_account() -> None:
    ServiceSettings.objects.create(pk=1, guest_quotes_per_min=1, light_per_min=1000)
    quotes.quote_classes(None, wanted(), address=ADDRESS)

    with pytest.raises(TooManyRequests):
        quotes.quote_classes(None, wanted(), address=ADDRESS)
    quotes.quote_classes(None, wanted(), address="203.0.113.8")
    quotes.quote_classes(PassengerFactory(), wanted(), address=ADDRESS)


@pytest.mark.parametrize(("drivers", "queries"), [(1, 10), (3, 10), (60, 9)])
def test_quote_of_all_classes_costs_the_same_for_any_number_of_drivers(
    query_count: Any, drivers: int, queries: int
) -> None:
    """Settings twice, rules, clock, one to three circles of the search, three for what the rules read of drivers."""
    for number in range(drivers):
        DriverFactory(at=(ALMATY[0] + number / 10_000, ALMATY[1]))
    user, request = PassengerFactory(), wanted()
    quotes.quote_classes(user, request, address=ADDRESS)

    with query_count(queries, queries):
        quotes.quote_classes(user, request, address=ADDRESS)
