"""What the main path costs in queries, literally, on each database; the same for few and many rows.

The tests run inside a transaction, so a verb's own is counted as a savepoint and its release.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from drivers.models import Driver
from stepper.models import ServiceSettings, User
from stepper.server import dispatcher
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, TripFactory
from trips import accepting, assignment, bookings, deadlines, dispatch, driving, ratings
from trips.booking_requests import BookingRequest
from trips.cards import dropoff, pickup
from trips.models import Trip

pytestmark = pytest.mark.django_db

QueryCount = Callable[[int, int], Any]
HOUR = dt.timedelta(hours=1)


def drivers_around(number: int) -> list[Driver]:
    return [DriverFactory(at=ALMATY) for _driver in range(number)]


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


# Offering


@pytest.mark.parametrize("drivers", [10, 50])
def test_offering_costs_the_same_for_10_and_50_drivers(query_count: QueryCount, drivers: int) -> None:
    ServiceSettings.objects.create(pk=1, round_size=drivers)
    drivers_around(drivers)
    trip = TripFactory(status="published")

    with query_count(20, 20):
        assert dispatch.start_round(trip.pk).drivers_notified == drivers


@pytest.mark.parametrize(("drivers", "embedded"), [(55, 23), (56, 24), (153, 26)])
def test_offering_costs_sqlite_one_insert_more_per_999_parameters(
    query_count: QueryCount, drivers: int, embedded: int
) -> None:
    """An offer takes 18 parameters, so 55 fit into an insert; an event takes 8, so 124 do."""
    ServiceSettings.objects.create(pk=1, round_size=200)
    drivers_around(drivers)
    trip = TripFactory(status="published")

    with query_count(embedded, 23):
        assert dispatch.start_round(trip.pk).drivers_notified == drivers


@pytest.mark.parametrize("drivers", [1, 3])
def test_finding_nobody_costs_the_same_for_1_and_3_drivers(query_count: QueryCount, drivers: int) -> None:
    drivers_around(drivers)
    Driver.objects.update(vehicle=None)
    trip = TripFactory(status="published")

    with query_count(17, 17):
        assert dispatch.start_round(trip.pk).considered == drivers


@pytest.mark.parametrize("offers", [1, 3])
def test_expiring_costs_the_same_for_1_and_3_offers(query_count: QueryCount, offers: int) -> None:
    trip = TripFactory()
    OfferFactory.create_batch(offers, trip=trip)
    trip.offers.update(expires_at=trip.created_at - HOUR)

    with query_count(9, 9):
        assert deadlines.expire_due_offers() == 1


def test_dispatcher_with_nothing_to_do(query_count: QueryCount) -> None:
    with query_count(1, 1):
        assert dispatcher.dispatch_due() == 0


# Answering and driving


@pytest.mark.parametrize("losers", [1, 30])
def test_accept_costs_the_same_whatever_the_losers(query_count: QueryCount, losers: int) -> None:
    offer = OfferFactory()
    OfferFactory.create_batch(losers, trip=offer.trip)

    with query_count(16, 16):
        accepting.accept(offer.driver.pk, offer.pk)


def test_accept_too_late(query_count: QueryCount) -> None:
    offer = OfferFactory()
    late = OfferFactory(trip=offer.trip)
    accepting.accept(offer.driver.pk, offer.pk)

    with query_count(1, 1), pytest.raises(assignment.Conflict):
        accepting.accept(late.driver.pk, late.pk)


def test_decline(query_count: QueryCount) -> None:
    offer = OfferFactory()
    OfferFactory(trip=offer.trip)

    with query_count(9, 9):
        accepting.decline(offer.driver.pk, offer.pk)


@pytest.mark.parametrize(
    ("current", "status", "embedded", "scaled"),
    [
        ("accepted", "en_route", 14, 14),
        ("en_route", "driver_arrived", 10, 10),
        ("driver_arrived", "passengers_boarded", 8, 8),
        ("passengers_boarded", "in_transit", 8, 8),
        ("in_transit", "arrived", 8, 8),
        ("arrived", "completed", 17, 17),
    ],
)
def test_status_step(query_count: QueryCount, current: str, status: str, embedded: int, scaled: int) -> None:
    trip = TripFactory(status=current)

    with query_count(embedded, scaled):
        driving.update_status(trip.driver.pk, trip.pk, status=status)


def test_booking_with_nobody_around(query_count: QueryCount) -> None:
    like, user = TripFactory(), PassengerFactory()
    request = BookingRequest(pickup(like), dropoff(like))

    with query_count(26, 26):
        bookings.book(user, request, "key")


# Pages and lists: 1 and 3 rows


def three_kinds_of_trips(driver: Driver, rows: int) -> None:
    """`rows` open offers, accepted trips and completed ones of a driver."""
    for number in range(rows):
        OfferFactory(driver=driver, trip__in_=(10 + 5 * number) * HOUR)
        TripFactory(status="accepted", driver=driver, in_=(100 + 5 * number) * HOUR)
        done = TripFactory(status="completed", driver=driver)
        ratings.rate(done.pk, done.organiser, stars=5)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("path", "embedded", "scaled"),
    [
        ("/driver/", 17, 17),
        ("/driver/tab/offers/", 17, 17),
        ("/driver/tab/active/", 17, 17),
        ("/driver/tab/history/", 17, 17),
    ],
)
def test_dashboard_page(query_count: QueryCount, rows: int, path: str, embedded: int, scaled: int) -> None:
    driver = DriverFactory(at=ALMATY)
    three_kinds_of_trips(driver, rows)
    client = signed_in(driver.user)

    with query_count(embedded, scaled):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("tab", "embedded", "scaled"), [("offers", 4, 4), ("active", 10, 10), ("history", 9, 9)])
def test_dashboard_tab(query_count: QueryCount, rows: int, tab: str, embedded: int, scaled: int) -> None:
    driver = DriverFactory(at=ALMATY)
    three_kinds_of_trips(driver, rows)
    client = signed_in(driver.user)

    with query_count(embedded, scaled):
        assert client.get(f"/driver/tab/{tab}/", headers={"HX-Request": "true"}).status_code == 200


@pytest.mark.parametrize("rows", [1, 3])
def test_my_trips(query_count: QueryCount, rows: int) -> None:
    passenger = PassengerFactory()
    for status in ("offered", "accepted", "completed"):
        TripFactory.create_batch(rows, organiser=passenger, status=status)
    client = signed_in(passenger)

    with query_count(8, 8):
        assert client.get("/trips/").status_code == 200


@pytest.mark.parametrize(("status", "embedded", "scaled"), [("offered", 8, 8), ("in_transit", 12, 12)])
def test_trip_page(query_count: QueryCount, status: str, embedded: int, scaled: int) -> None:
    trip: Trip = TripFactory(status=status)
    client = signed_in(trip.organiser)

    with query_count(embedded, scaled):
        assert client.get(f"/trips/{trip.pk}/").status_code == 200


@pytest.mark.parametrize("rows", [1, 3])
def test_notifications(query_count: QueryCount, rows: int) -> None:
    passenger = PassengerFactory()
    for number in range(rows):
        passenger.notifications.create(title=f"Title {number}")
    client = signed_in(passenger)

    with query_count(6, 6):
        assert client.get("/notifications/").status_code == 200
