"""Getting a price and booking; who may see a trip."""

import datetime as dt
import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from realtime import events, groups
from stepper.errors import Conflict, InvalidInput, NotFound
from stepper.models import ServiceSettings, User
from tests.factories import ALMATY, ASTANA, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.failing import failing
from tests.outbox import frames, rechecked, types
from trips import access, bookings, deadlines, quotes
from trips.booking_requests import BookingRequest, check_request
from trips.models import Booking, Trip

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
HOTEL = events.Place("Hotel", "Dostyk 52", 43.2220, 76.8512)
AIRPORT = events.Place("Airport", "", 43.3521, 77.0405)


def wanted(**changes: Any) -> BookingRequest:
    return BookingRequest(**{"pickup": HOTEL, "dropoff": AIRPORT, **changes})


def place(lat: float, lng: float, name: str = "Somewhere") -> events.Place:
    return events.Place(name, "", lat, lng)


def in_(**of: float) -> dt.datetime:
    return timezone.now() + dt.timedelta(**of)


@pytest.fixture
def passenger() -> User:
    return PassengerFactory()


# What a request may say


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"pickup": place(90.01, 76)}, "pickup"),
        ({"pickup": place(-90.01, 76)}, "pickup"),
        ({"pickup": place(43, 180.01)}, "pickup"),
        ({"pickup": place(43, -180.01)}, "pickup"),
        ({"pickup": place(float("nan"), 76)}, "pickup"),
        ({"pickup": place(43, float("inf"))}, "pickup"),
        ({"pickup": place(43, 76, "  ")}, "pickup"),
        ({"dropoff": place(91, 76)}, "dropoff"),
        ({"dropoff": place(43, float("nan"))}, "dropoff"),
        ({"dropoff": place(43, 76, "")}, "dropoff"),
        ({"dropoff": HOTEL}, "dropoff"),
        ({"dropoff": place(43.2221, 76.8512)}, "dropoff"),
        ({"vehicle_class": "rickshaw"}, "vehicle_class"),
        ({"seats": 0}, "seats"),
        ({"seats": -1}, "seats"),
        ({"seats": 5}, "seats"),
        ({"seats": 7, "vehicle_class": "suv"}, "seats"),
        ({"seats": 9, "vehicle_class": "van"}, "seats"),
        ({"seats": 51, "vehicle_class": "bus"}, "seats"),
        ({"bags": -1}, "bags"),
        ({"bags": 51}, "bags"),
        ({"departure_at": NOW - dt.timedelta(minutes=5, seconds=1)}, "departure_at"),
    ],
)
def test_check_names_the_wrong_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_request(wanted(**changes), ServiceSettings(), NOW)

    assert (refused.value.code, refused.value.status) == ("input.invalid", 400)
    assert list(refused.value.fields) == [field]
    assert all(refused.value.fields[field])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pickup": place(90, 180), "dropoff": place(60, 180)},
        {"pickup": place(-60, -180), "dropoff": place(-90, -180)},
        # The same place, and the other side of the world, but for a little.
        {"pickup": place(43, 76), "dropoff": place(43, 76.001)},
        {"pickup": place(43, 76), "dropoff": place(43, 125)},
        {"seats": 4},
        {"seats": 6, "vehicle_class": "suv"},
        {"seats": 8, "vehicle_class": "van"},
        {"seats": 50, "vehicle_class": "bus"},
        {"bags": 50},
        {"departure_at": NOW - dt.timedelta(minutes=5)},
        {"departure_at": NOW + dt.timedelta(days=30)},
    ],
)
def test_check_lets_the_limits_pass(changes: dict[str, Any]) -> None:
    check_request(wanted(**changes), ServiceSettings(), NOW)


def test_check_refuses_what_is_too_far_ahead_with_its_own_code() -> None:
    """By the pickup's clock, and as far as staff set."""
    late = wanted(departure_at=NOW + dt.timedelta(days=30, seconds=1))
    with pytest.raises(InvalidInput) as refused:
        check_request(late, ServiceSettings(), NOW)

    assert (refused.value.code, refused.value.status) == ("booking.too_far_ahead", 400)
    assert "at most 30 days ahead: until 31 Mar" in str(refused.value.fields["departure_at"][0])
    assert "17:00" in str(refused.value.fields["departure_at"][0])
    check_request(late, ServiceSettings(book_ahead_days=31), NOW)


def test_check_names_every_wrong_field_at_once() -> None:
    request = wanted(pickup=place(91, 0), dropoff=place(0, 181), seats=0, bags=-1, departure_at=NOW - dt.timedelta(1))

    with pytest.raises(InvalidInput) as refused:
        check_request(request, ServiceSettings(), NOW)

    assert set(refused.value.fields) == {"pickup", "dropoff", "seats", "bags", "departure_at"}


@pytest.mark.parametrize(("dropoff", "words"), [(76.0005, "are the same place"), (127, "at most 4000 km")])
def test_check_refuses_what_is_no_way_to_drive(dropoff: float, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_request(wanted(pickup=place(43, 76), dropoff=place(43, dropoff)), ServiceSettings(), NOW)

    assert words in str(refused.value.fields["dropoff"][0])


def test_quote_works_out_the_price(passenger: User) -> None:
    """One degree of the equator: 111.195 km × 1.2 × ₸50 + ₸500 = ₸7171.7; see test_pricing."""
    quote = quotes.quote_booking(passenger, wanted(pickup=place(0, 0), dropoff=place(0, 1), seats=3)).chosen.price

    assert (quote.fare, quote.platform_fee, quote.driver_earnings, quote.seat_price) == (7172, 1076, 6096, 2391)


def test_quote_uses_what_staff_have_set(passenger: User) -> None:
    ServiceSettings.objects.create(pk=1, base_fare=0, fare_per_km=100)

    quote = quotes.quote_booking(passenger, wanted(pickup=place(0, 0), dropoff=place(0, 1))).chosen.price

    assert quote.fare == 13343


def test_quote_refuses_a_wrong_request(passenger: User) -> None:
    with pytest.raises(InvalidInput):
        quotes.quote_booking(passenger, wanted(seats=0))


# Booking


def test_book_writes_the_trip_its_booking_and_price(passenger: User) -> None:
    trip = bookings.book(passenger, wanted(pickup=place(0, 0), dropoff=place(0, 1), seats=3, bags=2, note="Bell 4"))

    trip.refresh_from_db()
    assert (trip.organiser, trip.trip_type, trip.driver) == (passenger, "private", None)
    assert (trip.seats, trip.available_seats, trip.bags, trip.note) == (3, 0, 2, "Bell 4")
    assert (trip.fare, trip.platform_fee, trip.driver_earnings, trip.seat_price) == (7172, 1076, 6096, 2391)
    booking = trip.bookings.get()
    assert (booking.passenger, booking.status, booking.seats, booking.amount) == (passenger, "confirmed", 3, 7172)


def test_book_now_departs_at_the_instant_of_confirming(passenger: User) -> None:
    before = timezone.now()

    trip = bookings.book(passenger, wanted())

    assert trip.is_now
    assert before <= trip.departure_at <= timezone.now()
    assert trip.ends_at == trip.departure_at + dt.timedelta(minutes=trip.duration_min)
    assert trip.search_until == trip.departure_at + dt.timedelta(minutes=60)


def test_book_of_some_minutes_ago_is_now(passenger: User) -> None:
    before = timezone.now()

    trip = bookings.book(passenger, wanted(departure_at=in_(minutes=-4)))

    assert trip.is_now
    assert trip.departure_at >= before


def test_book_ahead_looks_for_a_driver_until_departure(passenger: User) -> None:
    departure_at = in_(hours=30)

    trip = bookings.book(passenger, wanted(departure_at=departure_at))

    assert not trip.is_now
    assert trip.departure_at == trip.search_until == departure_at


@pytest.mark.parametrize(
    ("pickup", "zone"),
    [
        (place(*ALMATY), "Asia/Almaty"),
        (place(41.2995, 69.2401), "Asia/Tashkent"),
        (place(42.8746, 74.5698), "Asia/Bishkek"),
        (place(40.7128, -74.0060), "America/New_York"),
    ],
)
def test_book_takes_the_zone_of_the_pickup(passenger: User, pickup: events.Place, zone: str) -> None:
    request = wanted(pickup=pickup, dropoff=place(pickup.lat + 1, pickup.lng))
    assert bookings.book(passenger, request).timezone == zone


def test_book_offers_the_trip_to_drivers_around(passenger: User) -> None:
    driver = DriverFactory(at=ALMATY)

    trip = bookings.book(passenger, wanted())

    assert trip.status == "offered"
    assert trip.offers.get().driver == driver
    (card,) = frames(groups.driver(driver.pk))
    assert (card.trip_id, card.earnings, card.pickup) == (trip.pk, trip.driver_earnings, HOTEL)


def test_book_with_nobody_around_is_unfilled_and_says_when_it_looks_again(passenger: User) -> None:
    before = timezone.now()

    trip = bookings.book(passenger, wanted())

    assert trip.status == "unfilled"
    assert trip.next_look_at is not None
    assert dt.timedelta(minutes=1) <= trip.next_look_at - before < dt.timedelta(minutes=2)


def test_book_tells_staff_the_passenger_and_their_pages(passenger: User) -> None:
    trip = bookings.book(passenger, wanted(seats=2))

    requested = frames(groups.STAFF)[1]
    assert types(groups.STAFF)[:2] == ["trip.status.updated", "trip.requested"]
    assert (requested.trip_id, requested.title, requested.seats) == (trip.pk, "Hotel → Airport", 2)
    (confirmed,) = frames(groups.user(passenger.pk))
    assert (confirmed.trip_id, confirmed.seats, confirmed.seats_left) == (trip.pk, 2, 0)
    assert confirmed in frames(groups.trip(trip.pk))
    assert rechecked(groups.user(passenger.pk))


def test_book_refused_writes_nothing(passenger: User) -> None:
    with pytest.raises(InvalidInput):
        bookings.book(passenger, wanted(seats=0))

    assert not Trip.objects.exists()


def test_book_with_the_same_key_is_one_trip(passenger: User) -> None:
    first = bookings.book(passenger, wanted(), "key")

    again = bookings.book(passenger, wanted(), "key")

    assert again.pk == first.pk
    assert Trip.objects.count() == Booking.objects.count() == 1
    assert types(groups.STAFF).count("trip.requested") == 1


@pytest.mark.parametrize(
    "changes", [{"seats": 2}, {"note": "by the gate"}, {"departure_at": timezone.now() + dt.timedelta(days=1)}]
)
def test_book_with_the_key_of_another_booking_is_refused(passenger: User, changes: dict[str, Any]) -> None:
    bookings.book(passenger, wanted(), "key")

    with pytest.raises(Conflict) as refused:
        bookings.book(passenger, wanted(**changes), "key")

    assert refused.value.code == "booking.key_reused"
    assert Trip.objects.count() == 1


def test_book_with_the_key_of_a_booking_older_than_digests_is_that_trip(passenger: User) -> None:
    made = bookings.book(passenger, wanted(), "key")
    Trip.objects.update(request_digest="")

    assert bookings.book(passenger, wanted(), "key").pk == made.pk


def test_book_with_the_same_key_is_each_passengers_own(passenger: User) -> None:
    first = bookings.book(passenger, wanted(), "key")

    assert bookings.book(PassengerFactory(), wanted(), "key").pk != first.pk


def test_book_without_a_key_books_again() -> None:
    passenger = PassengerFactory(max_overlapping_trips=2)
    assert bookings.book(passenger, wanted()).pk != bookings.book(passenger, wanted()).pk


@pytest.mark.django_db(transaction=True)
def test_book_with_the_same_key_at_the_same_moment_is_one_trip(passenger: User) -> None:
    # Counted, the second would be one too many; it is the first one, though.
    ServiceSettings.objects.create(pk=1, max_open_trips=1)
    made: list[int] = []
    together = threading.Barrier(4)

    def book() -> None:
        try:
            together.wait(10)
            made.append(bookings.book(passenger, wanted(), "key").pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=book) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert made == [Trip.objects.get().pk] * 4


# Who sees a trip


def test_trip_is_for_its_people_and_staff() -> None:
    trip = TripFactory(status="accepted")
    seated = Booking.objects.create(trip=trip, passenger=PassengerFactory(), status="confirmed", amount=1).passenger

    for user in (trip.organiser, seated, trip.driver.user, StaffFactory()):
        assert access.trip_for(user, trip.pk) == trip


def test_trip_is_not_for_others() -> None:
    trip = TripFactory(status="accepted")
    left = Booking.objects.create(trip=trip, passenger=PassengerFactory(), status="cancelled", amount=1).passenger

    for user in (PassengerFactory(), DriverFactory().user, left):
        with pytest.raises(NotFound) as refused:
            access.trip_for(user, trip.pk)
        assert refused.value.code == "trip.not_found"


def test_trip_that_does_not_exist_is_not_found(passenger: User) -> None:
    with pytest.raises(NotFound):
        access.trip_for(passenger, 12345)


def test_distance_between_cities_is_long(passenger: User) -> None:
    trip = bookings.book(passenger, wanted(pickup=place(*ALMATY), dropoff=place(*ASTANA)))

    # 972.8 km × 1.2, more than 600 km.
    assert trip.distance_km == pytest.approx(1167, abs=1)
    assert trip.zone == "C"


@pytest.mark.django_db(transaction=True)
def test_booking_stands_when_the_database_goes_away_before_its_round(passenger: User) -> None:
    DriverFactory.create(at=ALMATY)
    with connection.execute_wrapper(failing('INSERT INTO "trips_dispatchround"')):
        trip = bookings.book(passenger, wanted())
    assert Trip.objects.get(pk=trip.pk).status == "published"
    # SQLite knows milliseconds only: what is due at this very instant is not due yet.
    Trip.objects.filter(pk=trip.pk).update(next_look_at=timezone.now() - dt.timedelta(seconds=1))
    deadlines.start_due_rounds()
    assert Trip.objects.get(pk=trip.pk).status == "offered"
