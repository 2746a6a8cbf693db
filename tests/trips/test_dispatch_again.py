"""Trips nobody has taken yet: joined by a driver who comes online, offered again on demand, given up in the end."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from drivers import availability
from drivers.models import Driver
from realtime import groups
from stepper.dispatcher import work
from stepper.errors import Conflict, NotFound, NotPermitted
from tests.factories import (
    ALMATY,
    ASTANA,
    MEDEU,
    DriverFactory,
    OfferFactory,
    PassengerFactory,
    StaffFactory,
    TripFactory,
)
from tests.outbox import frames, types
from trips import dispatch, rounds
from trips.models import Trip

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def trip() -> Trip:
    return TripFactory(status="published")


def north(km: float) -> tuple[float, float]:
    """A point so far from the pickup."""
    return ALMATY[0] + km / 111.195, ALMATY[1]


def asked(trip: Trip) -> list[int]:
    """The drivers put before a trip, in the order they were asked."""
    return list(trip.offers.order_by("pk").values_list("driver_id", flat=True))


# Another driver comes online


def test_driver_coming_online_is_asked_during_the_round(trip: Trip) -> None:
    DriverFactory(at=north(1))
    rounds.start_round(trip.pk)
    version = Trip.objects.values_list("version", flat=True).get()
    late = DriverFactory(at=north(2), is_online=False)

    availability.set_online(late.pk, True)
    rounds.look_due()

    trip.refresh_from_db()
    assert asked(trip)[1:] == [late.pk]
    assert set(trip.offers.values_list("round_number", flat=True)) == {1}
    assert (trip.status, trip.next_look_at, trip.version) == ("offered", None, version + 1)


def test_driver_coming_online_finds_a_waiting_trip() -> None:
    trip = TripFactory(status="unfilled", next_look_at=timezone.now() + 15 * MINUTE)
    driver = DriverFactory(at=north(3), is_online=False)

    availability.set_online(driver.pk, True)
    work()

    assert asked(trip) == [driver.pk]


def test_wake_leaves_trips_elsewhere_and_taken_ones() -> None:
    later = timezone.now() + 15 * MINUTE
    far = TripFactory(status="unfilled", pickup=ASTANA, dropoff=ALMATY, next_look_at=later)
    taken = TripFactory(status="accepted")

    rounds.wake_around([DriverFactory(at=ALMATY).pk])

    far.refresh_from_db()
    taken.refresh_from_db()
    assert (far.next_look_at, taken.next_look_at) == (later, None)


def test_look_during_a_round_that_finds_nobody_new_changes_nothing(trip: Trip) -> None:
    DriverFactory(at=ALMATY)
    rounds.start_round(trip.pk)
    rounds.wake_around(Driver.objects.values_list("pk", flat=True))
    before = len(frames(groups.trip(trip.pk)))

    rounds.look_due()

    trip.refresh_from_db()
    assert (trip.status, trip.next_look_at, trip.round_number) == ("offered", None, 1)
    assert trip.offers.count() == trip.rounds.count() == 1
    assert len(frames(groups.trip(trip.pk))) == before


# Offering again


@pytest.mark.parametrize(("by", "role"), [("organiser", "organiser"), ("staff", "staff")])
def test_offer_again_looks_at_once(by: str, role: str) -> None:
    trip = TripFactory(status="unfilled", next_look_at=timezone.now() + 15 * MINUTE)
    DriverFactory(at=ALMATY)
    DriverFactory(at=ALMATY, vehicle=None)

    result = dispatch.offer_again(trip.pk, trip.organiser if by == "organiser" else StaffFactory())

    assert (result.drivers_notified, result.eligible_drivers, result.considered) == (1, 1, 2)
    trip.refresh_from_db()
    assert trip.status == "offered"
    assert trip.transitions.get().role == role


@pytest.mark.parametrize("status", ["published", "offered"])
def test_offer_again_before_the_round_is_over_asks_who_is_new(status: str) -> None:
    trip = TripFactory(status=status)
    driver = DriverFactory(at=ALMATY)

    assert dispatch.offer_again(trip.pk, trip.organiser).drivers_notified == 1
    assert dispatch.offer_again(trip.pk, trip.organiser).drivers_notified == 0
    assert asked(trip) == [driver.pk]


@pytest.mark.parametrize("status", ["draft", "accepted", "completed", "cancelled"])
def test_offer_again_needs_an_open_trip(status: str) -> None:
    trip = TripFactory(status=status)

    with pytest.raises(Conflict) as refused:
        dispatch.offer_again(trip.pk, trip.organiser)

    assert refused.value.code == "trip.transition_refused"


def test_offer_again_is_not_for_strangers() -> None:
    with pytest.raises(NotFound):
        dispatch.offer_again(TripFactory(status="unfilled").pk, PassengerFactory())


def test_offer_again_is_not_for_a_fellow_passenger() -> None:
    trip = TripFactory(status="unfilled")
    fellow = PassengerFactory()
    trip.bookings.create(passenger=fellow, status="confirmed", amount=1)

    with pytest.raises(NotPermitted):
        dispatch.offer_again(trip.pk, fellow)


# Giving up


def test_trip_nobody_took_is_cancelled_by_the_system() -> None:
    offer = OfferFactory(trip__search_until=timezone.now() - SECOND)

    assert rounds.give_up_due() == 1

    trip = Trip.objects.get()
    assert (trip.status, trip.next_look_at) == ("cancelled", None)
    assert trip.transitions.get().role == "system"
    assert trip.bookings.get().status == "cancelled"
    offer.refresh_from_db()
    assert offer.status == "withdrawn"
    assert types(groups.user(trip.organiser_id)) == ["booking.cancelled", "notification.passenger"]


@pytest.mark.parametrize("status", ["draft", "accepted", "in_transit", "completed"])
def test_trip_that_is_not_open_is_not_given_up(status: str) -> None:
    TripFactory(status=status, search_until=timezone.now() - SECOND)

    assert rounds.give_up_due() == 0


def test_trip_is_not_given_up_before_its_time() -> None:
    TripFactory(status="unfilled")

    assert rounds.give_up_due() == 0


def test_trip_that_is_given_up_is_not_offered_once_more() -> None:
    TripFactory(status="unfilled", search_until=timezone.now() - SECOND)
    driver = DriverFactory(at=MEDEU)

    work()

    assert types(groups.driver(driver.pk)) == []


@pytest.mark.parametrize("due", ["expiring", "looked at", "given up"])
def test_one_trip_that_cannot_be_handled_holds_up_no_other(due: str, monkeypatch: pytest.MonkeyPatch) -> None:
    past = timezone.now() - MINUTE
    if due == "expiring":
        bad, good = (OfferFactory(expires_at=past).trip for _ in range(2))
    else:
        column = "next_look_at" if due == "looked at" else "search_until"
        bad, good = (TripFactory(status="unfilled") for _ in range(2))
        Trip.objects.update(**{column: past})
    move = Trip.move

    def spoilt(self: Trip, *args: Any, **fields: Any) -> None:
        if self.pk == bad.pk:
            raise ValueError("spoilt row")
        move(self, *args, **fields)

    monkeypatch.setattr(Trip, "move", spoilt)
    DriverFactory(at=ALMATY)

    work()

    bad.refresh_from_db()
    good.refresh_from_db()
    assert bad.status == ("offered" if due == "expiring" else "unfilled")
    assert good.status == {"expiring": "offered", "looked at": "offered", "given up": "cancelled"}[due]
