"""What the database refuses whatever the code does: every constraint, written past the domain verbs."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from drivers.models import Availability, Driver, DriverPosition, Vehicle
from stepper.errors import Conflict
from stepper.models import ServiceSettings, User
from tests.factories import (
    ALMATY,
    DriverFactory,
    OfferFactory,
    PassengerFactory,
    TripFactory,
    VehicleFactory,
)
from trips import accepting
from trips.models import Booking, Offer, Rating, Trip
from trips.states import Role

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


def refuses(constraint: str, write: Callable[[], Any], or_else: str = "") -> None:
    """SQLite names a unique constraint by its columns, so what it says of those is looked up.

    `or_else`: another constraint that forbids the same and may be met first.
    """
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        write()
    said = str(refused.value)
    unique = {
        "trip_one_driving_per_driver": "trips_trip.driver_id",
        "trip_booked_once": "trips_trip.organiser_id, trips_trip.request_key",
        "booking_one_open_per_passenger": "trips_booking.trip_id, trips_booking.passenger_id",
        "offer_asked_once_a_round": "trips_offer.trip_id, trips_offer.driver_id, trips_offer.round_number",
        "offer_asked_again_once_a_round": "trips_offer.trip_id, trips_offer.driver_id, trips_offer.round_number",
        "offer_one_winner_per_trip": "trips_offer.trip_id",
        "rating_of_last_leg_once": "trips_rating.trip_id, trips_rating.by_id",
        "user_email_unique_ci": "user_email_unique_ci",
    }
    columns = unique.get(constraint)
    named = constraint in said or (or_else and or_else in said)
    assert named or (columns and said.endswith(f"UNIQUE constraint failed: {columns}")), said


@pytest.fixture
def trip() -> Trip:
    return TripFactory(seats=3)


@pytest.mark.parametrize("status", ["en_route", "driver_arrived", "passengers_boarded", "in_transit", "arrived"])
def test_driver_drives_one_trip_at_a_time(status: str) -> None:
    driver = TripFactory(status="in_transit").driver
    other = TripFactory(status="accepted", driver=driver, in_=HOUR)

    refuses("trip_one_driving_per_driver", lambda: Trip.objects.filter(pk=other.pk).update(status=status))


def test_driver_may_hold_accepted_trips_while_driving_one() -> None:
    driver = TripFactory(status="in_transit").driver

    TripFactory(status="accepted", driver=driver, in_=HOUR)
    TripFactory(status="accepted", driver=driver, in_=2 * HOUR)

    assert driver.trips.count() == 3


# Overlap (trips.overlap): whatever the code does


def span(since: dt.datetime, until: dt.datetime) -> dict[str, Any]:
    return {"departure_at": since, "ends_at": until, "busy_from": since, "busy_until": until}


@pytest.mark.parametrize("status", ["accepted", "en_route", "in_transit"])
@pytest.mark.parametrize(
    ("starts", "lasts", "refused"),
    [(-2, 1, False), (-1, 1, False), (-1, 1.1, True), (0.4, 0.2, True), (-1, 3, True), (0.9, 1, True), (1, 1, False)],
)
def test_driver_holds_no_two_trips_at_once(status: str, starts: float, lasts: float, refused: bool) -> None:
    driver = DriverFactory()
    now = timezone.now()
    mine = TripFactory(status="accepted", driver=driver)
    Trip.objects.filter(pk=mine.pk).update(**span(now, now + HOUR))
    other = TripFactory(status="offered")
    taken = {"driver": driver, "vehicle": driver.vehicle, "status": status}
    taken |= span(now + starts * HOUR, now + (starts + lasts) * HOUR)

    def take() -> None:
        Trip.objects.filter(pk=other.pk).update(**taken)

    if refused:
        refuses("trip_no_overlap", take)
    else:
        take()


def test_trip_made_with_a_driver_who_has_one_is_refused() -> None:
    mine = TripFactory(status="accepted")

    refuses("trip_no_overlap", lambda: TripFactory(status="accepted", driver=mine.driver))


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_trips_that_are_over_are_in_nobodys_way(status: str) -> None:
    mine = TripFactory(status="accepted")

    TripFactory(status=status, driver=mine.driver)


def test_span_that_moves_into_another_is_refused() -> None:
    mine = TripFactory(status="accepted")
    other = TripFactory(status="accepted", driver=mine.driver, in_=5 * HOUR)

    refuses("trip_no_overlap", lambda: Trip.objects.filter(pk=other.pk).update(departure_at=mine.departure_at))


def test_what_a_trip_was_given_with_is_kept_when_staff_change_the_margin() -> None:
    offer = OfferFactory(trip__in_=5 * HOUR)
    accepting.accept(offer.driver.pk, offer.pk)
    trip = offer.trip
    trip.refresh_from_db()
    assert (trip.departure_at - trip.busy_from, trip.busy_until - trip.ends_at) == (HOUR, HOUR)
    ServiceSettings.objects.create(pk=1, overlap_margin_min=0)
    near = OfferFactory(driver=offer.driver, trip__in_=5 * HOUR - dt.timedelta(minutes=50))

    with pytest.raises(Conflict) as refused:
        accepting.accept(offer.driver.pk, near.pk)

    assert refused.value.code == "driver.overlap"
    near.refresh_from_db()
    assert near.status == "pending"


@pytest.mark.parametrize("status", ["accepted", "en_route", "arrived"])
@pytest.mark.parametrize("missing", ["driver", "vehicle"])
def test_assigned_trip_has_driver_and_vehicle(status: str, missing: str) -> None:
    trip = TripFactory(status=status)

    refuses("trip_assigned_has_driver", lambda: Trip.objects.filter(pk=trip.pk).update(**{missing: None}))


@pytest.mark.parametrize("status", ["draft", "published", "offered", "unfilled"])
def test_open_trip_has_no_driver(status: str) -> None:
    trip = TripFactory(status=status)
    driver = DriverFactory()

    refuses("trip_open_has_no_driver", lambda: Trip.objects.filter(pk=trip.pk).update(driver=driver))


def test_trip_has_a_seat(trip: Trip) -> None:
    refuses("trip_seats_positive", lambda: Trip.objects.filter(pk=trip.pk).update(seats=0))


def test_seats_left_are_never_negative(trip: Trip) -> None:
    fewer = F("available_seats") - 1
    write = Trip.objects.filter(pk=trip.pk).update

    refuses("trip_seats_left_in_range", lambda: write(available_seats=fewer), "available_seats")


def test_seats_left_are_at_most_the_seats(trip: Trip) -> None:
    refuses("trip_seats_left_in_range", lambda: Trip.objects.filter(pk=trip.pk).update(available_seats=4))


@pytest.mark.parametrize("part", ["fare", "platform_fee", "driver_earnings"])
def test_money_adds_up(trip: Trip, part: str) -> None:
    refuses("trip_money_adds_up", lambda: Trip.objects.filter(pk=trip.pk).update(**{part: F(part) + 1}))


@pytest.mark.parametrize("part", ["fare", "platform_fee", "driver_earnings", "seat_price"])
def test_money_is_never_negative(trip: Trip, part: str) -> None:
    refuses(part, lambda: Trip.objects.filter(pk=trip.pk).update(**{part: -1}), "trip_money_adds_up")


def test_trip_ends_after_it_departs(trip: Trip) -> None:
    early = F("departure_at") - dt.timedelta(minutes=1)

    refuses("trip_ends_after_departure", lambda: Trip.objects.filter(pk=trip.pk).update(ends_at=early))


def test_request_key_books_once() -> None:
    trip = TripFactory(request_key="k1")

    refuses("trip_booked_once", lambda: TripFactory(organiser=trip.organiser, request_key="k1"))


def test_request_key_is_each_passengers_own() -> None:
    TripFactory(request_key="k1")
    TripFactory(request_key="k1")
    TripFactory(organiser=Trip.objects.latest("pk").organiser, request_key=None)
    TripFactory(organiser=Trip.objects.latest("pk").organiser, request_key=None)

    assert Trip.objects.count() == 4


def test_trip_has_one_winner(trip: Trip) -> None:
    OfferFactory(trip=trip, status="accepted")

    refuses("offer_one_winner_per_trip", lambda: OfferFactory(trip=trip, status="accepted"))


def test_trip_may_be_won_again_after_a_release(trip: Trip) -> None:
    OfferFactory(trip=trip, status="accepted", released_at=timezone.now())

    OfferFactory(trip=trip, status="accepted")

    assert trip.offers.count() == 2


@pytest.mark.parametrize("again", [False, True])
def test_driver_is_asked_once_a_round_and_once_again(trip: Trip, again: bool) -> None:
    offer = OfferFactory(trip=trip, asked_again=not again)
    OfferFactory(trip=trip, driver=offer.driver, asked_again=again)

    constraint = "offer_asked_again_once_a_round" if again else "offer_asked_once_a_round"
    refuses(constraint, lambda: OfferFactory(trip=trip, driver=offer.driver, asked_again=again))


@pytest.mark.parametrize("status", ["accepted", "declined", "expired", "withdrawn"])
def test_settled_offer_has_a_time(status: str) -> None:
    offer = OfferFactory()

    refuses("offer_settled_has_time", lambda: Offer.objects.filter(pk=offer.pk).update(status=status))


def test_open_offer_has_no_answer() -> None:
    offer = OfferFactory()

    refuses("offer_settled_has_time", lambda: Offer.objects.filter(pk=offer.pk).update(responded_at=timezone.now()))


def test_passenger_books_a_trip_once(trip: Trip) -> None:
    again = Booking(trip=trip, passenger=trip.organiser, seats=1, amount=1)

    refuses("booking_one_open_per_passenger", again.save)


def test_passenger_may_book_again_after_cancelling(trip: Trip) -> None:
    Booking.objects.update(status="cancelled")

    Booking.objects.create(trip=trip, passenger=trip.organiser, seats=1, amount=1)

    assert trip.bookings.count() == 2


def test_booking_has_a_seat(trip: Trip) -> None:
    refuses("booking_seats_positive", lambda: Booking.objects.update(seats=0))


@pytest.mark.parametrize("stars", [0, 6])
def test_rating_is_one_to_five_stars(stars: int) -> None:
    trip = TripFactory(status="completed")
    rating = Rating(trip=trip, role=Role.ORGANISER, by=trip.organiser, about=trip.driver.user, stars=stars)

    refuses("rating_1_to_5", rating.save)


def test_rating_is_given_once() -> None:
    trip = TripFactory(status="completed")
    sides = {"trip": trip, "role": Role.ORGANISER, "by": trip.organiser, "about": trip.driver.user}
    Rating.objects.create(**sides, stars=5)

    refuses("rating_of_last_leg_once", lambda: Rating.objects.create(**sides, stars=1))


@pytest.mark.parametrize("approval", ["pending", "rejected", "suspended"])
def test_available_driver_is_approved(approval: str) -> None:
    driver = DriverFactory(at=ALMATY)
    assert driver.availability == Availability.AVAILABLE

    refuses("driver_available_only_approved", lambda: Driver.objects.filter(pk=driver.pk).update(approval=approval))


@pytest.mark.parametrize("seats", [0, 61])
def test_vehicle_has_1_to_60_seats(seats: int) -> None:
    vehicle = VehicleFactory()

    refuses("vehicle_seats_1_to_60", lambda: Vehicle.objects.filter(pk=vehicle.pk).update(seats=seats))


@pytest.mark.parametrize("wrong", [{"lat": 90.1}, {"lat": -90.1}, {"lng": 180.1}, {"lng": -180.1}])
def test_position_is_on_the_globe(wrong: dict[str, float]) -> None:
    DriverFactory(at=ALMATY)

    refuses("position_in_range", lambda: DriverPosition.objects.update(**wrong))


def test_address_belongs_to_one_user_whatever_its_case() -> None:
    PassengerFactory(email="aliya@example.test")
    other = PassengerFactory()

    refuses("user_email_unique_ci", lambda: User.objects.filter(pk=other.pk).update(email="Aliya@Example.test"))


def test_user_can_be_reached() -> None:
    user = PassengerFactory()

    refuses("user_email_or_phone", lambda: User.objects.filter(pk=user.pk).update(email=None, phone=None))


def test_users_without_address_do_not_collide() -> None:
    PassengerFactory(email="")
    PassengerFactory(email="")

    assert User.objects.filter(email__isnull=True).count() == 2


def test_settings_are_one_row() -> None:
    refuses("settings_one_row", lambda: ServiceSettings.objects.create(pk=2))


@pytest.mark.parametrize(
    ("constraint", "wrong"),
    [
        ("settings_fee_0_to_50", {"platform_fee_percent": 51}),
        ("settings_fee_0_to_50", {"platform_fee_percent": -1}),
        ("settings_radius_5_to_200", {"discovery_radius_km": 4}),
        ("settings_radius_5_to_200", {"discovery_radius_km": 201}),
    ],
)
def test_settings_stay_in_their_limits(constraint: str, wrong: dict[str, float]) -> None:
    refuses(constraint, lambda: ServiceSettings.objects.create(pk=1, **wrong))
