"""A trip that loses its driver or is given one: released, assigned and taken off by staff."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from drivers.models import Driver
from realtime import groups
from realtime.models import Notification
from stepper.errors import DomainError, NotFound, NotPermitted
from stepper.models import User
from stepper.server.dispatcher import dispatch_due
from tests.factories import (
    ALMATY,
    DriverFactory,
    OfferFactory,
    PassengerFactory,
    StaffFactory,
    TripFactory,
    VehicleFactory,
)
from tests.outbox import rechecked, types
from trips import accepting, assignment, deadlines, review
from trips.models import Offer, Trip

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def offer() -> Offer:
    return OfferFactory()


@pytest.fixture
def staff() -> User:
    return StaffFactory()


def code_of(verb: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(DomainError) as refused:
        verb(*args)
    return refused.value.code


# Giving back


@pytest.mark.parametrize("status", ["accepted", "en_route"])
def test_release_offers_the_trip_again_at_once(status: str, django_capture_on_commit_callbacks: Any) -> None:
    trip = TripFactory(status=status, in_=3 * HOUR, delay_minutes=20, delay_reason="traffic")
    OfferFactory(trip=trip, driver=trip.driver, status="accepted")
    former, other = trip.driver, DriverFactory(at=ALMATY)

    with django_capture_on_commit_callbacks(execute=True):
        assignment.release(former.pk, trip.pk, "flat tyre")

    trip.refresh_from_db()
    assert (trip.status, trip.driver, trip.vehicle, trip.accepted_at) == ("offered", None, None, None)
    assert (trip.delay_minutes, trip.delay_reason) == (0, "")
    assert list(trip.offers.filter(status="pending").values_list("driver", flat=True)) == [other.pk]
    former.refresh_from_db()
    assert former.availability == "available"
    assert trip.transitions.first().note == "flat tyre"
    assert Notification.objects.get().user == trip.organiser
    assert rechecked(groups.user(former.user_id))


def test_release_is_never_offered_to_them_again(django_capture_on_commit_callbacks: Any) -> None:
    trip = TripFactory(status="accepted")
    OfferFactory(trip=trip, driver=trip.driver, status="accepted")

    with django_capture_on_commit_callbacks(execute=True):
        assignment.release(trip.driver.pk, trip.pk)

    assert trip.rounds.get().reasons == {"declined_before": 1}
    trip.refresh_from_db()
    assert trip.status == "unfilled"


def test_release_whose_process_dies_is_taken_up_by_the_dispatcher() -> None:
    """Without the callback after commit the trip is still looked at."""
    trip = TripFactory(status="accepted")
    other = DriverFactory(at=ALMATY)
    assignment.release(trip.driver.pk, trip.pk)

    deadlines.start_due_rounds()

    assert trip.offers.get(status="pending").driver == other


def test_release_gives_the_search_time_again() -> None:
    trip = TripFactory(status="accepted", search_until=timezone.now() + MINUTE)

    assignment.release(trip.driver.pk, trip.pk)

    trip.refresh_from_db()
    assert trip.search_until > timezone.now() + 59 * MINUTE


@pytest.mark.parametrize("late", [-1, 30])
def test_take_off_about_departure_gives_the_next_driver_time(late: int) -> None:
    """That is when staff do it: the driver has not set off. The trip must not be given up at the next look."""
    trip = TripFactory(status="accepted", in_=3 * HOUR)
    left_at = timezone.now() - late * MINUTE
    Trip.objects.update(departure_at=left_at, search_until=left_at, created_at=left_at - HOUR)
    other = DriverFactory(at=ALMATY)

    assignment.take_off(trip.pk, StaffFactory(), "does not set off")
    dispatch_due()

    trip.refresh_from_db()
    assert (trip.status, trip.offers.get(status="pending").driver) == ("offered", other)
    assert trip.search_until > timezone.now() + 59 * MINUTE


def test_release_twice_changes_nothing() -> None:
    trip = TripFactory(status="accepted")
    assignment.release(trip.driver.pk, trip.pk)

    assert assignment.release(trip.driver.pk, trip.pk).status == "offered"
    assert trip.transitions.count() == 1


def test_release_is_possible_until_a_quarter_of_an_hour_before() -> None:
    in_time = TripFactory(status="accepted", in_=16 * MINUTE)
    late = TripFactory(status="accepted", in_=14 * MINUTE)

    assert assignment.release(in_time.driver.pk, in_time.pk).status == "offered"
    assert code_of(assignment.release, late.driver.pk, late.pk) == "trip.release_too_late"


@pytest.mark.parametrize("status", ["driver_arrived", "passengers_boarded", "in_transit", "arrived", "completed"])
def test_release_is_refused_once_at_the_pickup(status: str) -> None:
    trip = TripFactory(status=status, in_=3 * HOUR)
    held = OfferFactory(trip=trip, driver=trip.driver, status="accepted")

    assert code_of(assignment.release, trip.driver.pk, trip.pk) == "trip.transition_refused"
    held.refresh_from_db()
    assert held.released_at is None


def test_release_of_somebody_elses_trip_is_not_found() -> None:
    trip = TripFactory(status="accepted", in_=3 * HOUR)

    assert code_of(assignment.release, DriverFactory().pk, trip.pk) == "trip.not_found"
    assert code_of(assignment.release, trip.driver.pk, 12345) == "trip.not_found"


def test_accept_after_releasing_is_withdrawn(offer: Offer) -> None:
    accepting.accept(offer.driver.pk, offer.pk)
    assignment.release(offer.driver.pk, offer.trip.pk)

    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "offer.withdrawn"


# Staff


@pytest.mark.parametrize("status", ["published", "offered", "unfilled"])
def test_assign_gives_the_trip_to_a_driver(staff: User, status: str) -> None:
    trip, driver = TripFactory(status=status), DriverFactory()
    other = OfferFactory(trip=trip)

    assigned = assignment.assign(trip.pk, driver.pk, staff, "asked to")

    assert (assigned.status, assigned.driver, assigned.vehicle) == ("accepted", driver, driver.vehicle)
    assert assigned.transitions.get().role == "staff"
    other.refresh_from_db()
    assert other.status == "withdrawn"
    assert "notification.driver" in types(groups.user(driver.user_id))


def test_assign_to_who_was_asked_ends_their_offer_without_an_answer_of_theirs(offer: Offer, staff: User) -> None:
    assignment.assign(offer.trip.pk, offer.driver.pk, staff)

    offer.refresh_from_db()
    assert (offer.status, offer.reason) == ("withdrawn", "assigned")
    # Their tap comes a moment later: they have what they want.
    assert accepting.accept(offer.driver.pk, offer.pk).driver_id == offer.driver.pk


def test_assign_takes_back_what_overlaps(offer: Offer, staff: User) -> None:
    overlapping = OfferFactory(driver=offer.driver)
    later = OfferFactory(driver=offer.driver, trip=TripFactory(status="offered", in_=48 * HOUR))

    assignment.assign(offer.trip.pk, offer.driver.pk, staff, "asked to")

    overlapping.refresh_from_db()
    later.refresh_from_db()
    assert (overlapping.status, overlapping.reason) == ("withdrawn", "driver_busy")
    assert later.status == "pending"


def test_assign_twice_changes_nothing(offer: Offer, staff: User) -> None:
    first = assignment.assign(offer.trip.pk, offer.driver.pk, staff, "asked to")

    assert assignment.assign(offer.trip.pk, offer.driver.pk, staff, "asked to").version == first.version


def test_assign_refuses_who_cannot_drive_it(staff: User) -> None:
    trip = TripFactory(status="unfilled", seats=3)
    busy = TripFactory(status="accepted").driver

    def code(driver: Driver) -> str:
        return code_of(assignment.assign, trip.pk, driver.pk, staff)

    assert code(DriverFactory(approval="suspended")) == "driver.not_approved"
    assert code(DriverFactory(vehicle=None)) == "driver.no_vehicle"
    assert code(DriverFactory(vehicle=VehicleFactory(seats=2))) == "driver.too_few_seats"
    assert code(DriverFactory(licence_expires_on=timezone.localdate() - 24 * HOUR)) == "driver.licence_expired"
    assert code(busy) == "driver.overlap"
    assert code(DriverFactory(user=trip.organiser)) == "driver.own_trip"


def test_assign_may_give_a_smaller_class(staff: User) -> None:
    trip = TripFactory(status="unfilled", vehicle_class="van")

    assert assignment.assign(trip.pk, DriverFactory().pk, staff, "asked to").status == "accepted"


# What staff change about a driver


def test_review_withdraws_offers_that_the_driver_does_not_fit_any_more() -> None:
    driver = DriverFactory(at=ALMATY)
    small, large = OfferFactory(driver=driver, trip__seats=2), OfferFactory(driver=driver, trip__seats=4)
    Driver.objects.filter(pk=driver.pk).update(vehicle=VehicleFactory(seats=2))

    review.review_driver(driver.pk)

    small.refresh_from_db()
    large.refresh_from_db()
    assert (small.status, large.status, large.reason) == ("pending", "withdrawn", "no_longer_eligible")


@pytest.mark.parametrize("status", ["accepted", "en_route", "driver_arrived"])
def test_review_gives_a_trip_that_has_not_begun_the_new_vehicle(status: str) -> None:
    trip = TripFactory(status=status)
    vehicle = VehicleFactory(plate="777 NEW 02")
    Driver.objects.filter(pk=trip.driver.pk).update(vehicle=vehicle)

    review.review_driver(trip.driver.pk)
    review.review_driver(trip.driver.pk)

    trip.refresh_from_db()
    assert (trip.vehicle, trip.version) == (vehicle, 2)
    told = Notification.objects.get()
    assert (told.user, "777 NEW 02" in told.message) == (trip.organiser, True)
    assert types(groups.trip(trip.pk)) == ["trip.status.updated"]


def test_review_leaves_a_trip_with_passengers_on_board(staff: User) -> None:
    trip = TripFactory(status="in_transit")
    vehicle = trip.vehicle
    Driver.objects.filter(pk=trip.driver.pk).update(vehicle=VehicleFactory(seats=1))

    review.review_driver(trip.driver.pk)

    trip.refresh_from_db()
    assert (trip.vehicle, trip.version) == (vehicle, 1)
    assert not Notification.objects.exists()


def test_review_tells_staff_of_a_trip_that_its_driver_does_not_fit(staff: User) -> None:
    trip = TripFactory(status="accepted", seats=4)
    Driver.objects.filter(pk=trip.driver.pk).update(licence_expires_on=timezone.localdate() - 24 * HOUR)

    review.review_driver(trip.driver.pk)

    told = Notification.objects.get()
    assert (told.user, told.title) == (staff, f"Trip {trip.pk}: its driver does not fit any more")
    assert "licence expired" in told.message
    trip.refresh_from_db()
    assert trip.status == "accepted"


@pytest.mark.parametrize("status", ["draft", "accepted", "in_transit", "completed", "cancelled"])
def test_assign_needs_an_open_trip(staff: User, status: str) -> None:
    trip = TripFactory(status=status)

    assert code_of(assignment.assign, trip.pk, DriverFactory().pk, staff) == "trip.transition_refused"


def test_assign_of_the_trip_they_drive_is_not_an_overlap(staff: User) -> None:
    trip = TripFactory(status="en_route")

    assert code_of(assignment.assign, trip.pk, trip.driver.pk, staff) == "trip.transition_refused"


def test_take_off_offers_the_trip_again_but_not_to_them(staff: User, django_capture_on_commit_callbacks: Any) -> None:
    trip = TripFactory(status="en_route")
    OfferFactory(trip=trip, driver=trip.driver, status="accepted")
    former, other = trip.driver, DriverFactory(at=ALMATY)

    with django_capture_on_commit_callbacks(execute=True):
        assignment.take_off(trip.pk, staff, "complaint")

    assert trip.offers.get(status="pending").driver == other
    former.refresh_from_db()
    assert former.availability == "available"
    assert "complaint" in Notification.objects.get(user=former.user).message


def test_take_off_after_assigning_is_not_offered_to_them(staff: User, django_capture_on_commit_callbacks: Any) -> None:
    trip, driver = TripFactory(status="unfilled"), DriverFactory(at=ALMATY)
    assignment.assign(trip.pk, driver.pk, staff, "asked to")

    with django_capture_on_commit_callbacks(execute=True):
        assignment.take_off(trip.pk, staff)

    assert not trip.offers.filter(status="pending").exists()


def test_take_off_and_assign_may_be_repeated(staff: User, django_capture_on_commit_callbacks: Any) -> None:
    trip, driver = TripFactory(status="unfilled"), DriverFactory(at=ALMATY)
    for _time in range(3):
        with django_capture_on_commit_callbacks(execute=True):
            assignment.assign(trip.pk, driver.pk, staff, "asked to")
            assignment.take_off(trip.pk, staff)

    trip.refresh_from_db()
    assert trip.status == "unfilled"


@pytest.mark.parametrize("status", ["offered", "driver_arrived", "in_transit", "completed"])
def test_take_off_needs_a_driver_on_the_way_at_most(staff: User, status: str) -> None:
    assert code_of(assignment.take_off, TripFactory(status=status).pk, staff) == "trip.transition_refused"


def test_assign_and_take_off_are_for_staff_alone() -> None:
    trip, driver = TripFactory(status="unfilled"), DriverFactory()
    for user in (trip.organiser, driver.user, PassengerFactory()):
        with pytest.raises(NotPermitted):
            assignment.assign(trip.pk, driver.pk, user, "asked to")
        with pytest.raises(NotPermitted):
            assignment.take_off(trip.pk, user)


def test_assign_of_what_does_not_exist_is_not_found(staff: User) -> None:
    with pytest.raises(NotFound):
        assignment.assign(12345, DriverFactory().pk, staff, "asked to")
    with pytest.raises(NotFound):
        assignment.assign(TripFactory().pk, 12345, staff, "asked to")
