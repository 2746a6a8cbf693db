"""How a booking ends: cancelled by the rule, or completed and rated."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from drivers.models import Availability
from realtime import events, groups
from realtime.models import Notification
from stepper.errors import Conflict, InvalidInput, NotFound, NotPermitted
from stepper.models import ServiceSettings
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.outbox import frames, types
from trips import bookings, ratings
from trips.models import Rating, Trip

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", ["draft", "published", "offered", "unfilled", "accepted", "en_route"])
def test_cancel_by_the_organiser_well_before(status: str) -> None:
    trip = TripFactory(status=status, in_=dt.timedelta(hours=3))

    cancelled = bookings.cancel(trip.pk, trip.organiser, "plans changed")

    assert (cancelled.status, cancelled.cancel_reason) == ("cancelled", "plans changed")
    row = Trip.objects.get()
    assert row.status == "cancelled"
    assert row.cancelled_at is not None
    assert row.next_look_at is None
    assert row.transitions.get().role == "organiser"


def test_cancel_cancels_the_bookings_and_gives_the_seats_back() -> None:
    trip = TripFactory(status="offered", seats=3)

    bookings.cancel(trip.pk, trip.organiser)

    booking = trip.bookings.get()
    assert booking.status == "cancelled"
    assert booking.cancelled_at is not None
    trip.refresh_from_db()
    assert trip.available_seats == 3
    (frame,) = (one for one in frames(groups.trip(trip.pk)) if isinstance(one, events.BookingCancelled))
    assert (frame.booking_id, frame.seats, frame.seats_left, frame.version) == (booking.pk, 3, 3, trip.version)


def test_cancel_withdraws_the_open_offers() -> None:
    offer = OfferFactory()

    bookings.cancel(offer.trip.pk, offer.trip.organiser)

    offer.refresh_from_db()
    assert (offer.status, offer.reason) == ("withdrawn", "cancelled")
    (frame,) = frames(groups.driver(offer.driver.pk))
    assert (frame.offer_id, frame.reason) == (offer.pk, "cancelled")


def test_cancel_frees_the_driver_and_tells_them(django_capture_on_commit_callbacks: Any) -> None:
    trip = TripFactory(status="en_route", in_=dt.timedelta(hours=3))
    assert trip.driver.availability == Availability.BUSY

    with django_capture_on_commit_callbacks(execute=True):
        bookings.cancel(trip.pk, trip.organiser)

    trip.driver.refresh_from_db()
    assert trip.driver.availability == Availability.AVAILABLE
    assert trip.driver.position.dispatchable
    assert types(groups.driver(trip.driver.pk)) == ["trip.status.updated", "booking.cancelled"]
    assert Notification.objects.get().user == trip.driver.user


def test_cancel_leaves_a_driver_who_went_offline_offline() -> None:
    trip = TripFactory(status="en_route", driver=DriverFactory(at=ALMATY))
    type(trip.driver).objects.update(is_online=False)

    bookings.cancel(trip.pk, StaffFactory())

    trip.driver.refresh_from_db()
    assert trip.driver.availability == Availability.OFFLINE


def test_cancel_twice_changes_nothing_the_second_time() -> None:
    trip = TripFactory(status="offered", seats=2)
    bookings.cancel(trip.pk, trip.organiser, "first")
    version, told = Trip.objects.values_list("version", flat=True).get(), len(frames(groups.trip(trip.pk)))

    again = bookings.cancel(trip.pk, trip.organiser, "second")

    assert (again.status, again.cancel_reason, again.version) == ("cancelled", "first", version)
    assert again.available_seats == 2
    assert len(frames(groups.trip(trip.pk))) == told
    assert trip.transitions.count() == 1


@pytest.mark.parametrize("status", ["accepted", "en_route"])
def test_cancel_is_too_late_within_two_hours(status: str) -> None:
    trip = TripFactory(status=status, in_=dt.timedelta(minutes=119))

    with pytest.raises(Conflict) as refused:
        bookings.cancel(trip.pk, trip.organiser)

    assert refused.value.code == "trip.cancel_too_late"
    trip.refresh_from_db()
    assert trip.status == status


def test_cancel_is_free_until_two_hours_before() -> None:
    trip = TripFactory(status="accepted", in_=dt.timedelta(minutes=120))

    in_time = trip.departure_at - dt.timedelta(minutes=120)
    assert bookings.cancel_refusal(trip, trip.organiser, settings=ServiceSettings(), now=in_time) is None
    late = trip.departure_at - dt.timedelta(minutes=119, seconds=59)
    assert (
        bookings.cancel_refusal(trip, trip.organiser, settings=ServiceSettings(), now=late).code
        == "trip.cancel_too_late"
    )


@pytest.mark.parametrize("status", ["published", "offered", "unfilled"])
def test_cancel_is_free_while_nobody_has_the_trip(status: str) -> None:
    trip = TripFactory(status=status, in_=dt.timedelta(minutes=10))

    assert bookings.cancel(trip.pk, trip.organiser).status == "cancelled"


@pytest.mark.parametrize("status", ["accepted", "en_route"])
def test_cancel_of_a_trip_for_now_is_free_until_the_driver_is_there(status: str) -> None:
    trip = TripFactory(status=status)

    assert bookings.cancel(trip.pk, trip.organiser).status == "cancelled"


@pytest.mark.parametrize("status", ["driver_arrived", "passengers_boarded", "in_transit", "arrived"])
@pytest.mark.parametrize("in_", [dt.timedelta(), dt.timedelta(hours=5)])
def test_cancel_is_too_late_once_the_driver_is_there(status: str, in_: dt.timedelta) -> None:
    trip = TripFactory(status=status, in_=in_)

    with pytest.raises(Conflict) as refused:
        bookings.cancel(trip.pk, trip.organiser)

    assert refused.value.code == "trip.cancel_too_late"


def test_cancel_of_a_completed_trip_says_that_it_is_over() -> None:
    trip = TripFactory(status="completed")

    with pytest.raises(Conflict) as refused:
        bookings.cancel(trip.pk, trip.organiser)

    assert (refused.value.code, str(refused.value.message)) == ("trip.transition_refused", "This trip is over.")


def test_cancel_of_somebody_elses_trip_is_not_found() -> None:
    trip = TripFactory()

    with pytest.raises(NotFound):
        bookings.cancel(trip.pk, PassengerFactory())


def test_cancel_is_not_for_the_driver() -> None:
    trip = TripFactory(status="accepted", in_=dt.timedelta(hours=5))

    with pytest.raises(NotPermitted) as refused:
        bookings.cancel(trip.pk, trip.driver.user)

    assert refused.value.code == "auth.forbidden"


@pytest.mark.parametrize("status", ["driver_arrived", "passengers_boarded", "in_transit"])
def test_cancel_by_staff_where_the_passenger_cannot(status: str) -> None:
    trip = TripFactory(status=status)

    assert bookings.cancel(trip.pk, StaffFactory(), "accident").status == "cancelled"
    told = Notification.objects.get(user=trip.organiser)
    assert "accident" in told.message


@pytest.mark.parametrize("status", ["arrived", "completed"])
def test_cancel_by_staff_is_refused_after_the_ride(status: str) -> None:
    trip = TripFactory(status=status)

    with pytest.raises(Conflict) as refused:
        bookings.cancel(trip.pk, StaffFactory())

    assert refused.value.code == "trip.transition_refused"


def test_cancel_with_long_names_and_reason_fits_the_notification() -> None:
    trip = TripFactory(status="accepted", pickup_name="P" * 120, dropoff_name="D" * 120)

    bookings.cancel(trip.pk, StaffFactory(), "r" * 200)

    assert {len(row.message) for row in Notification.objects.all()} == {300}


# Rating


@pytest.fixture
def done() -> Trip:
    return TripFactory(status="completed")


def test_passenger_rates_the_driver(done: Trip) -> None:
    rating = ratings.rate(done.pk, done.organiser, stars=4, comment="Kind")

    assert (rating.role, rating.by, rating.about) == ("organiser", done.organiser, done.driver.user)
    assert (rating.stars, rating.comment) == (4, "Kind")
    done.driver.refresh_from_db()
    assert done.driver.rating == 4.0


def test_driver_rates_the_passenger(done: Trip) -> None:
    rating = ratings.rate(done.pk, done.driver.user, stars=5)

    assert (rating.role, rating.about) == ("driver", done.organiser)
    done.organiser.refresh_from_db()
    assert done.organiser.rating == 5.0
    done.driver.refresh_from_db()
    assert done.driver.rating is None


def test_rating_is_the_average_to_one_decimal() -> None:
    driver = DriverFactory()
    for stars in (5, 4, 4):
        trip = TripFactory(status="completed", driver=driver)
        ratings.rate(trip.pk, trip.organiser, stars=stars)

    driver.refresh_from_db()
    assert driver.rating == 4.3


@pytest.mark.parametrize("side", ["organiser", "driver"])
def test_rating_is_changed_within_ten_minutes(done: Trip, side: str) -> None:
    user, other = (done.organiser, done.driver) if side == "organiser" else (done.driver.user, done.organiser)
    for stars, comment in ((5, ""), (2, "Late"), (2, "Late"), (3, "")):
        ratings.rate(done.pk, user, stars=stars, comment=comment)
        rating = Rating.objects.get()
        assert (rating.stars, rating.comment) == (stars, comment)
        other.refresh_from_db()
        assert (other.rating_sum, other.rating_count) == (stars, 1)
    # The one that was the same again changed nothing.
    assert types(groups.trip(done.pk)).count("trip.rated") == 3


@pytest.mark.parametrize("side", ["organiser", "driver"])
def test_stars_alone_leave_the_comment_that_was_given(done: Trip, side: str) -> None:
    user = done.organiser if side == "organiser" else done.driver.user
    ratings.rate(done.pk, user, stars=2, comment="Late")

    assert ratings.rate(done.pk, user, stars=2).comment == "Late"
    ratings.rate(done.pk, user, stars=3)

    assert [(rating.stars, rating.comment) for rating in Rating.objects.all()] == [(3, "Late")]
    # Stars that are the same changed nothing.
    assert types(groups.trip(done.pk)).count("trip.rated") == 2


def test_rating_is_fixed_after_ten_minutes(done: Trip) -> None:
    ratings.rate(done.pk, done.organiser, stars=5)
    ratings.rate(done.pk, done.driver.user, stars=5)
    Rating.objects.update(created_at=timezone.now() - dt.timedelta(minutes=10))

    for user in (done.organiser, done.driver.user):
        assert ratings.rate(done.pk, user, stars=5).stars == 5
        with pytest.raises(Conflict) as refused:
            ratings.rate(done.pk, user, stars=1)
        assert refused.value.code == "rating.already_given"
    assert Rating.objects.count() == 2
    done.driver.refresh_from_db()
    assert (done.driver.rating_sum, done.driver.rating_count) == (5, 1)


@pytest.mark.parametrize("status", ["offered", "accepted", "arrived", "cancelled"])
def test_rating_waits_for_completion(status: str) -> None:
    trip = TripFactory(status=status)

    with pytest.raises(Conflict) as refused:
        ratings.rate(trip.pk, trip.organiser, stars=5)

    assert refused.value.code == "rating.too_early"


@pytest.mark.parametrize("stars", [0, 6, -1, True])
def test_rating_is_one_to_five(done: Trip, stars: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        ratings.rate(done.pk, done.organiser, stars=stars)

    assert list(refused.value.fields) == ["stars"]
    assert not Rating.objects.exists()


def test_rating_is_not_for_strangers(done: Trip) -> None:
    with pytest.raises(NotFound):
        ratings.rate(done.pk, PassengerFactory(), stars=5)


def test_rating_is_not_for_staff(done: Trip) -> None:
    with pytest.raises(NotPermitted):
        ratings.rate(done.pk, StaffFactory(), stars=5)
