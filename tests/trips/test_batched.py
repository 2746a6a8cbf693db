"""Trips and drivers matched together: the window, who gets whom, what happens to those who get nobody."""

import datetime as dt

import pytest
from django.utils import timezone

from drivers.models import Driver
from stepper.models import ServiceSettings
from stepper.server.dispatcher import dispatch_due
from tests.factories import ALMATY, DriverFactory, TripFactory
from trips import accepting, assignment, dispatch, waking
from trips.models import DispatchRound, DispatchRule, Offer, Trip

pytestmark = pytest.mark.django_db

SECOND = dt.timedelta(seconds=1)


@pytest.fixture(autouse=True)
def batched() -> None:
    ServiceSettings.objects.create(pk=1, dispatch_mode="batched", match_window_s=10)


def north(km: float) -> tuple[float, float]:
    return ALMATY[0] + km / 111.195, ALMATY[1]


def booked(km: float = 0) -> Trip:
    trip = TripFactory(status="published", pickup=north(km))
    dispatch.start_round(trip.pk)
    return trip


def driver(km: float) -> Driver:
    return DriverFactory(at=north(km))


def let_time_pass(seconds: float) -> None:
    for trip in Trip.objects.all():
        if trip.next_look_at is not None:
            Trip.objects.filter(pk=trip.pk).update(next_look_at=trip.next_look_at - seconds * SECOND)
    for offer in Offer.objects.filter(status="pending"):
        Offer.objects.filter(pk=offer.pk).update(expires_at=offer.expires_at - seconds * SECOND)


def asked() -> dict[int, int]:
    """Driver by trip, of the offers that are open."""
    return dict(Offer.objects.filter(status="pending").values_list("trip", "driver"))


def test_trips_are_collected_until_the_window_closes() -> None:
    driver(0.5)
    trip = booked()

    dispatch_due()
    assert asked() == {}
    let_time_pass(9)
    dispatch_due()
    assert asked() == {}
    let_time_pass(2)
    dispatch_due()

    trip.refresh_from_db()
    assert (trip.status, trip.round_number, trip.wave, trip.next_look_at) == ("offered", 1, 1, None)
    assert list(asked()) == [trip.pk]


def test_all_drive_the_least_together_not_the_first_alone() -> None:
    """The first trip's nearest driver is the second's only one nearby."""
    first, second = booked(0), booked(3)
    between, other_side = driver(1), driver(-1.5)

    let_time_pass(11)
    dispatch_due()

    assert asked() == {first.pk: other_side.pk, second.pk: between.pk}
    assert DispatchRound.objects.filter(mode="batched", offered=1).count() == 2


def test_window_that_closes_for_one_closes_for_all() -> None:
    first = booked(0)
    let_time_pass(8)
    second = booked(3)
    between, other_side = driver(1), driver(-1.5)

    let_time_pass(3)
    dispatch_due()

    assert asked() == {first.pk: other_side.pk, second.pk: between.pk}


def test_who_gets_nobody_waits_for_the_next_window() -> None:
    trips = [booked(0), booked(1)]
    only = driver(0)

    let_time_pass(11)
    dispatch_due()
    assert asked() == {trips[0].pk: only.pk}
    trips[1].refresh_from_db()
    assert trips[1].status == "published"
    assert trips[1].next_look_at is not None
    assert 9 * SECOND < trips[1].next_look_at - timezone.now() < 11 * SECOND

    newcomer = driver(2)
    let_time_pass(11)
    dispatch_due()
    assert asked() == {trips[0].pk: only.pk, trips[1].pk: newcomer.pk}


def test_driver_with_an_offer_to_answer_is_left_alone() -> None:
    first, only = booked(0), driver(0.1)
    let_time_pass(11)
    dispatch_due()
    second = booked(0)

    let_time_pass(11)
    dispatch_due()

    assert asked() == {first.pk: only.pk}
    second.refresh_from_db()
    assert second.status == "unfilled"
    assert DispatchRound.objects.get(trip=second).reasons == {"answering": 1}


def test_offer_that_is_declined_or_runs_out_is_matched_anew() -> None:
    trip = booked()
    first, second, third = driver(0.1), driver(0.5), driver(0.9)
    let_time_pass(11)
    dispatch_due()

    accepting.decline_trip(first.pk, trip.pk)
    dispatch_due()
    assert asked() == {trip.pk: second.pk}
    let_time_pass(31)
    dispatch_due()

    assert asked() == {trip.pk: third.pk}
    assert list(trip.offers.order_by("pk").values_list("wave", flat=True)) == [1, 2, 3]


def test_nobody_around_leaves_the_trip_unfilled() -> None:
    trip = booked()
    let_time_pass(11)

    dispatch_due()

    trip.refresh_from_db()
    assert trip.status == "unfilled"


def test_asked_for_again_by_staff_is_not_kept_waiting() -> None:
    trip = booked()
    one = driver(0.5)

    assert assignment.offer_again(trip.pk, trip.organiser).drivers_notified == 1

    assert asked() == {trip.pk: one.pk}


def test_driver_who_comes_online_does_not_close_the_window() -> None:
    trip = booked()
    trip.refresh_from_db()
    before = trip.next_look_at

    waking.wake_trips_around([driver(1).pk])

    trip.refresh_from_db()
    assert trip.next_look_at == before


def test_driver_who_comes_online_opens_a_window_for_a_trip_that_waits_for_the_next_round() -> None:
    trip = booked()
    let_time_pass(11)
    dispatch_due()

    one = driver(1)
    waking.wake_trips_around([one.pk])
    dispatch_due()
    assert asked() == {}
    let_time_pass(11)
    dispatch_due()

    assert asked() == {trip.pk: one.pk}


def test_driver_who_comes_online_while_one_is_asked_does_not_disturb() -> None:
    trip, first = booked(), driver(1)
    let_time_pass(11)
    dispatch_due()

    waking.wake_trips_around([driver(0.1).pk])
    let_time_pass(11)
    dispatch_due()

    assert asked() == {trip.pk: first.pk}
    trip.refresh_from_db()
    assert (trip.status, trip.next_look_at) == ("offered", None)


def test_trips_of_another_mode_do_not_wait() -> None:
    DispatchRule.objects.create(trip_type="shared", mode="broadcast")
    driver(0.5)
    shared = TripFactory(status="published", trip_type="shared")
    private = booked()

    dispatch.start_round(shared.pk)

    assert list(asked()) == [shared.pk]
    let_time_pass(11)
    dispatch_due()
    private.refresh_from_db()
    # Its only driver answers the other trip.
    assert private.status == "unfilled"
