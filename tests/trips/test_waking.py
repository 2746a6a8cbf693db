"""Which trips are searched at once when a driver becomes available: those that no rule refuses them."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from drivers import availability
from drivers.models import Driver, DriverPosition
from tests.factories import ALMATY, DriverFactory, OfferFactory, TripFactory, VehicleFactory
from trips import deadlines, waking
from trips.models import Trip

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
HOUR = 60 * MINUTE


def waiting(**columns: Any) -> Trip:
    return TripFactory(status="unfilled", next_look_at=timezone.now() + HOUR, **columns)


def is_woken(trip: Trip) -> bool:
    trip.refresh_from_db()
    return trip.next_look_at is not None and trip.next_look_at <= timezone.now()


def test_driver_who_can_take_it_has_the_trip_looked_at_at_once() -> None:
    trip, driver = waiting(), DriverFactory(at=ALMATY, is_online=False)

    availability.set_online(driver.pk, True)

    assert is_woken(trip)
    deadlines.start_due_rounds()
    assert trip.offers.get().driver == driver


@pytest.mark.parametrize("times", [1, 4])
def test_driver_who_cannot_take_it_has_it_looked_at_no_sooner_however_often_they_come(times: int) -> None:
    trip, driver = waiting(vehicle_class="bus"), DriverFactory(at=ALMATY, is_online=False)

    for _time in range(times):
        availability.set_online(driver.pk, True)
        availability.set_online(driver.pk, False)
        deadlines.start_due_rounds()

    assert not is_woken(trip)
    assert not trip.rounds.exists()


@pytest.mark.parametrize(
    ("driver", "trip"),
    [
        ({"min_earnings": 10_000_000}, {}),
        ({"trip_types": ["shared"]}, {}),
        ({"licence_expires_on": dt.date(2020, 1, 1)}, {}),
        ({}, {"seats": 9, "available_seats": 9}),
    ],
)
def test_rules_of_driver_and_trip_decide(driver: dict[str, Any], trip: dict[str, Any]) -> None:
    there = DriverFactory(at=ALMATY)
    Driver.objects.filter(pk=there.pk).update(**driver)
    row = waiting(**trip)

    waking.wake_trips_around([there.pk])

    assert not is_woken(row)


def test_driver_whose_position_is_dark_wakes_nothing_until_it_is_fresh() -> None:
    trip, driver = waiting(), DriverFactory(at=ALMATY)
    DriverPosition.objects.update(recorded_at=timezone.now() - HOUR)
    waking.wake_trips_around([driver.pk])
    assert not is_woken(trip)

    DriverPosition.objects.update(recorded_at=timezone.now())
    waking.wake_trips_around([driver.pk])

    assert is_woken(trip)


@pytest.mark.parametrize(
    ("status", "round_number", "woken"),
    [
        # Who declined is not asked again; who let an offer run out is, in the next round.
        ("declined", 1, False),
        ("expired", 1, True),
        ("accepted", 1, False),
    ],
)
def test_what_became_of_the_drivers_offer_of_the_trip_decides(status: str, round_number: int, woken: bool) -> None:
    driver = DriverFactory(at=ALMATY)
    trip = waiting(round_number=1)
    released_at = timezone.now() if status == "accepted" else None
    OfferFactory(trip=trip, driver=driver, status=status, round_number=round_number, released_at=released_at)

    waking.wake_trips_around([driver.pk])

    assert is_woken(trip) is woken


def test_trip_at_a_time_when_the_driver_has_one_is_left_and_others_are_woken() -> None:
    driver = DriverFactory(at=ALMATY)
    TripFactory(status="accepted", driver=driver, in_=10 * HOUR)
    same_time, other_time = waiting(in_=10 * HOUR), waiting(in_=40 * HOUR)

    waking.wake_trips_around([driver.pk])

    assert (is_woken(same_time), is_woken(other_time)) == (False, True)


def test_trip_at_a_time_when_the_vehicle_is_taken_is_left() -> None:
    vehicle = VehicleFactory()
    driver = DriverFactory(at=ALMATY, vehicle=vehicle)
    TripFactory(status="accepted", driver=DriverFactory(vehicle=vehicle, is_online=False), in_=10 * HOUR)
    trip = waiting(in_=10 * HOUR)

    waking.wake_trips_around([driver.pk])

    assert not is_woken(trip)


def test_driver_with_as_many_open_offers_as_allowed_wakes_nothing() -> None:
    driver = DriverFactory(at=ALMATY)
    offers = OfferFactory.create_batch(5, driver=driver)
    trip = waiting()
    waking.wake_trips_around([driver.pk])
    assert not is_woken(trip)

    # One that has run out does not count, settled or not.
    type(offers[0]).objects.filter(pk=offers[0].pk).update(expires_at=timezone.now() - MINUTE)
    waking.wake_trips_around([driver.pk])

    assert is_woken(trip)


@pytest.mark.parametrize("trips", [1, 3])
def test_waking_costs_the_same_for_1_and_3_trips(query_count: Any, trips: int) -> None:
    driver = DriverFactory(at=ALMATY)
    for _trip in range(trips):
        waiting()

    with query_count(12, 12):
        waking.wake_trips_around([driver.pk])

    assert Trip.objects.filter(next_look_at__lte=timezone.now()).count() == trips
