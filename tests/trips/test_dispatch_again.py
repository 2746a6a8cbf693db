"""Trips nobody has taken yet: joined by a driver who comes online, offered again on demand, given up in the end."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from drivers import availability
from drivers.models import Driver
from realtime import groups
from stepper.errors import Conflict, NotFound, NotPermitted
from stepper.models import ServiceSettings
from stepper.server.dispatcher import dispatch_due
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
from trips import accepting, assignment, deadlines, dispatch, waking
from trips.models import Offer, Trip

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
    dispatch.start_round(trip.pk)
    version = Trip.objects.values_list("version", flat=True).get()
    late = DriverFactory(at=north(2), is_online=False)

    availability.set_online(late.pk, True)
    deadlines.start_due_rounds()

    trip.refresh_from_db()
    assert asked(trip)[1:] == [late.pk]
    assert set(trip.offers.values_list("round_number", flat=True)) == {1}
    assert (trip.status, trip.next_look_at, trip.version) == ("offered", None, version + 1)


def test_driver_coming_online_finds_a_waiting_trip() -> None:
    trip = TripFactory(status="unfilled", next_look_at=timezone.now() + 15 * MINUTE)
    driver = DriverFactory(at=north(3), is_online=False)

    availability.set_online(driver.pk, True)
    dispatch_due()

    assert asked(trip) == [driver.pk]


@pytest.mark.parametrize("mode", ["broadcast", "batched"])
@pytest.mark.parametrize("somebody_there", [False, True])
def test_driver_coming_online_while_the_trip_is_looked_at_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch, mode: str, somebody_there: bool
) -> None:
    """Between the survey, which did not see them, and its outcome, which used to set the next look in a quarter."""
    ServiceSettings.objects.create(pk=1, dispatch_mode=mode, match_window_s=1)
    trip = TripFactory(status="published", next_look_at=timezone.now() - MINUTE)
    first = DriverFactory(at=north(1), is_online=somebody_there)
    late = DriverFactory(at=north(2), is_online=False)
    survey = dispatch.shortlist_drivers

    def overtaken(*args: Any) -> dispatch.Shortlist:
        found = survey(*args)
        availability.set_online(late.pk, True)
        return found

    for module in (dispatch, deadlines):
        monkeypatch.setattr(module, "shortlist_drivers", overtaken)
    dispatch_due()
    for module in (dispatch, deadlines):
        monkeypatch.setattr(module, "shortlist_drivers", survey)

    trip.refresh_from_db()
    assert asked(trip) == [first.pk] * somebody_there
    assert trip.next_look_at is not None
    assert trip.next_look_at < timezone.now() + MINUTE
    Trip.objects.update(next_look_at=timezone.now() - MINUTE)
    dispatch_due()
    joins = mode == "broadcast" or not somebody_there
    assert asked(trip) == [first.pk] * somebody_there + [late.pk] * joins


def test_wave_that_ends_while_the_trip_is_looked_at_is_followed_by_the_next(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
) -> None:
    ServiceSettings.objects.create(pk=1, round_size=1)
    first, second = DriverFactory(at=north(1)), DriverFactory(at=north(2))
    dispatch.start_round(trip.pk)
    survey = dispatch.shortlist_drivers

    def overtaken(*args: Any) -> dispatch.Shortlist:
        found = survey(*args)
        accepting.decline(first.pk, Offer.objects.get().pk)
        return found

    monkeypatch.setattr(dispatch, "shortlist_drivers", overtaken)
    Trip.objects.update(next_look_at=timezone.now() - MINUTE)
    deadlines.start_due_rounds()
    monkeypatch.setattr(dispatch, "shortlist_drivers", survey)
    deadlines.start_due_rounds()

    assert asked(trip) == [first.pk, second.pk]


def test_postponed_trip_that_is_woken_too_early_waits_for_its_time() -> None:
    """Whatever its state: it was put before drivers once, and leaves in a month now."""
    trip = TripFactory(status="unfilled", in_=30 * 24 * 60 * MINUTE)
    DriverFactory(at=ALMATY)

    waking.wake_trips_around(Driver.objects.values_list("pk", flat=True))
    dispatch_due()

    trip.refresh_from_db()
    assert asked(trip) == []
    assert trip.next_look_at == trip.departure_at - dt.timedelta(hours=72)


def test_wake_leaves_trips_elsewhere_and_taken_ones() -> None:
    later = timezone.now() + 15 * MINUTE
    far = TripFactory(status="unfilled", pickup=ASTANA, dropoff=ALMATY, next_look_at=later)
    taken = TripFactory(status="accepted")

    waking.wake_trips_around([DriverFactory(at=ALMATY).pk])

    far.refresh_from_db()
    taken.refresh_from_db()
    assert (far.next_look_at, taken.next_look_at) == (later, None)


def test_look_during_a_round_that_finds_nobody_new_changes_nothing(trip: Trip) -> None:
    DriverFactory(at=ALMATY)
    dispatch.start_round(trip.pk)
    waking.wake_trips_around(Driver.objects.values_list("pk", flat=True))
    before = len(frames(groups.trip(trip.pk)))

    deadlines.start_due_rounds()

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

    result = assignment.offer_again(trip.pk, trip.organiser if by == "organiser" else StaffFactory())

    assert (result.drivers_notified, result.eligible_drivers, result.considered) == (1, 1, 2)
    trip.refresh_from_db()
    assert trip.status == "offered"
    assert trip.transitions.get().role == role


@pytest.mark.parametrize("status", ["published", "offered"])
def test_offer_again_before_the_round_is_over_asks_who_is_new(status: str) -> None:
    trip = TripFactory(status=status)
    driver = DriverFactory(at=ALMATY)

    assert assignment.offer_again(trip.pk, trip.organiser).drivers_notified == 1
    assert assignment.offer_again(trip.pk, trip.organiser).drivers_notified == 0
    assert asked(trip) == [driver.pk]


@pytest.mark.parametrize("status", ["draft", "accepted", "completed", "cancelled"])
def test_offer_again_needs_an_open_trip(status: str) -> None:
    trip = TripFactory(status=status)

    with pytest.raises(Conflict) as refused:
        assignment.offer_again(trip.pk, trip.organiser)

    assert refused.value.code == "trip.transition_refused"


def test_offer_again_is_not_for_strangers() -> None:
    with pytest.raises(NotFound):
        assignment.offer_again(TripFactory(status="unfilled").pk, PassengerFactory())


def test_offer_again_is_not_for_a_fellow_passenger() -> None:
    trip = TripFactory(status="unfilled")
    fellow = PassengerFactory()
    trip.bookings.create(passenger=fellow, status="confirmed", amount=1)

    with pytest.raises(NotPermitted):
        assignment.offer_again(trip.pk, fellow)


# Giving up


def test_trip_nobody_took_is_cancelled_by_the_system() -> None:
    offer = OfferFactory(trip__search_until=timezone.now() - SECOND)

    assert deadlines.cancel_due_searches() == 1

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

    assert deadlines.cancel_due_searches() == 0


def test_trip_is_not_given_up_before_its_time() -> None:
    TripFactory(status="unfilled")

    assert deadlines.cancel_due_searches() == 0


def test_trip_that_is_given_up_is_not_offered_once_more() -> None:
    TripFactory(status="unfilled", search_until=timezone.now() - SECOND)
    driver = DriverFactory(at=MEDEU)

    dispatch_due()

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

    dispatch_due()

    bad.refresh_from_db()
    good.refresh_from_db()
    assert bad.status == ("offered" if due == "expiring" else "unfilled")
    assert good.status == {"expiring": "offered", "looked at": "offered", "given up": "cancelled"}[due]
