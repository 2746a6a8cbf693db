"""Rounds of offers: who is asked, when it ends, when it is tried again. Answers are in test_dispatch_answers.

Nothing is kept in memory between two calls, so each call here is also what another process, or this one after a
restart, would do. Deadlines are moved in the database, whose clock decides.
"""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from drivers.models import Driver
from realtime import groups
from stepper.models import ServiceSettings
from stepper.server.dispatcher import dispatch_due
from tests.factories import (
    ALMATY,
    DriverFactory,
    OfferFactory,
    TripFactory,
)
from tests.outbox import frames, types
from trips import accepting, changes, deadlines, dispatch, offers
from trips.models import DispatchRound, Offer, Trip

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


def let_offers_run_out() -> None:
    Offer.objects.filter(status="pending").update(expires_at=timezone.now() - SECOND)


def let_the_look_come_due() -> None:
    Trip.objects.filter(next_look_at__isnull=False).update(next_look_at=timezone.now() - SECOND)


def configure(**changes: Any) -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults=changes)


# A round


def test_round_asks_the_nearest_first(trip: Trip) -> None:
    far, near, middle = (DriverFactory(at=north(km)) for km in (4.9, 0.3, 4))

    result = dispatch.start_round(trip.pk)

    assert asked(trip) == [near.pk, middle.pk, far.pk]
    assert (result.drivers_notified, result.eligible_drivers, result.considered) == (3, 3, 3)
    trip.refresh_from_db()
    assert (trip.status, trip.round_number, trip.next_look_at) == ("offered", 1, None)


def test_round_writes_whole_offers(trip: Trip) -> None:
    DriverFactory(at=north(10))
    before = timezone.now()

    dispatch.start_round(trip.pk)

    offer = Offer.objects.get()
    assert offer.distance_km == pytest.approx(10, abs=0.02)
    # 10 ÷ 40 × 60 × 1.2 = 18
    assert (offer.pickup_min, offer.urgency, offer.difficulty, offer.status) == (18, "urgent", "easy", "pending")
    assert before + 119 * SECOND <= offer.expires_at <= timezone.now() + 121 * SECOND


@pytest.mark.parametrize(
    ("hours", "urgency", "seconds"), [(1, "urgent", 120), (3, "high", 180), (7, "normal", 300), (30, "low", 300)]
)
def test_round_gives_the_time_of_its_urgency(hours: float, urgency: str, seconds: int) -> None:
    trip = TripFactory(status="published", in_=dt.timedelta(hours=hours))
    DriverFactory(at=ALMATY)

    dispatch.start_round(trip.pk)

    offer = Offer.objects.get()
    assert offer.urgency == urgency
    assert abs(offer.expires_at - timezone.now() - seconds * SECOND) < 5 * SECOND


def test_round_sends_each_driver_their_card(trip: Trip) -> None:
    near, far = DriverFactory(at=north(1)), DriverFactory(at=north(2))

    dispatch.start_round(trip.pk)

    (card,) = frames(groups.driver(near.pk))
    (other,) = frames(groups.driver(far.pk))
    trip.refresh_from_db()
    offer = trip.offers.get(driver=near)
    assert (card.offer_id, card.trip_id, card.version) == (offer.pk, trip.pk, trip.version)
    assert (card.fare, card.earnings, card.cash) == (trip.fare, trip.driver_earnings, trip.fare)
    assert (card.distance_km, other.distance_km) == pytest.approx((1, 2), abs=0.01)
    assert abs(card.expires_at - offer.expires_at) < SECOND
    assert types(groups.trip(trip.pk)) == ["trip.status.updated"]


def test_round_leaves_drivers_beyond_the_radius(trip: Trip) -> None:
    configure(discovery_radius_km=10)
    DriverFactory(at=north(10.5))
    inside = DriverFactory(at=north(9.5))

    dispatch.start_round(trip.pk)

    assert asked(trip) == [inside.pk]


@pytest.mark.parametrize("availability", ["offline", "busy"])
def test_round_leaves_drivers_who_are_not_available(trip: Trip, availability: str) -> None:
    DriverFactory(at=ALMATY, availability=availability)

    assert dispatch.start_round(trip.pk).considered == 0


@pytest.mark.parametrize(
    "change",
    [
        {"availability": "offline"},
        {"availability": "busy"},
        {"availability": "offline", "approval": "suspended"},
    ],
)
def test_round_believes_the_driver_not_the_position(trip: Trip, change: dict[str, str]) -> None:
    """Somebody suspended or gone between the search and the lock is not asked any more."""
    driver = DriverFactory(at=ALMATY)
    Driver.objects.update(**change)
    assert driver.position.dispatchable

    assert dispatch.start_round(trip.pk).drivers_notified == 0
    assert not Offer.objects.exists()


def test_round_asks_at_most_five_offers_at_once() -> None:
    driver = DriverFactory(at=ALMATY)
    trips = [TripFactory(status="published", in_=dt.timedelta(hours=8 * n)) for n in range(6)]

    for trip in trips:
        dispatch.start_round(trip.pk)

    assert [trip.offers.count() for trip in trips] == [1, 1, 1, 1, 1, 0]
    assert DispatchRound.objects.get(trip=trips[5]).reasons == {"offers_full": 1}
    assert len(offers.open_cards(driver.pk)) == 5


def test_round_does_not_count_offers_past_their_deadline() -> None:
    driver = DriverFactory(at=ALMATY)
    OfferFactory.create_batch(5, driver=driver, expires_at=timezone.now() - SECOND)

    assert dispatch.start_round(TripFactory(status="published").pk).drivers_notified == 1


def test_round_counts_reasons(trip: Trip) -> None:
    DriverFactory(at=ALMATY, vehicle=None)
    DriverFactory(at=ALMATY, min_earnings=1_000_000)
    DriverFactory(at=ALMATY, min_earnings=1_000_000)

    result = dispatch.start_round(trip.pk)

    assert result.reasons == {"no_vehicle": 1, "earnings_too_low": 2}
    row = DispatchRound.objects.get()
    assert (row.number, row.considered, row.offered, row.more, row.reasons) == (1, 3, 0, False, result.reasons)


@pytest.mark.parametrize("status", ["draft", "accepted", "in_transit", "completed", "cancelled"])
def test_round_leaves_a_trip_that_is_not_open(status: str) -> None:
    DriverFactory(at=ALMATY)
    trip = TripFactory(status=status)

    assert dispatch.start_round(trip.pk).considered == 0
    assert not trip.offers.exists()


def test_round_of_no_trip_does_nothing() -> None:
    assert dispatch.start_round(12345).considered == 0


# Nobody to ask


def test_nobody_eligible_leaves_the_trip_unfilled_with_the_next_look(trip: Trip) -> None:
    before = timezone.now()

    dispatch.start_round(trip.pk)

    trip.refresh_from_db()
    assert trip.status == "unfilled"
    assert trip.next_look_at is not None
    assert MINUTE <= trip.next_look_at - before < 2 * MINUTE
    assert types(groups.trip(trip.pk)) == ["trip.status.updated"]


def test_nobody_again_says_when_it_is_tried_next() -> None:
    trip = TripFactory(status="unfilled", version=4)
    before = timezone.now()

    dispatch.start_round(trip.pk)

    trip.refresh_from_db()
    assert (trip.status, trip.version) == ("unfilled", 5)
    assert MINUTE <= trip.next_look_at - before < 2 * MINUTE
    (frame,) = frames(groups.trip(trip.pk))
    assert (frame.previous, frame.new, frame.version) == ("unfilled", "unfilled", 5)


def pause_after(look: Any) -> int:
    """Minutes from a look to the next."""
    before = timezone.now()
    look()
    trip = Trip.objects.get()
    assert trip.next_look_at is not None
    return round((trip.next_look_at - before) / MINUTE)


def look_when_due() -> None:
    let_the_look_come_due()
    assert deadlines.start_due_rounds() == 1


def test_trip_that_nobody_can_take_is_looked_at_less_and_less_often(trip: Trip) -> None:
    DriverFactory(at=ALMATY, vehicle=None)

    pauses = [pause_after(lambda: dispatch.start_round(trip.pk)), *(pause_after(look_when_due) for _look in range(5))]

    assert pauses == [1, 2, 4, 8, 15, 15]
    # The rounds are numbered, and the trip's is the last of them.
    trip.refresh_from_db()
    assert list(trip.rounds.values_list("number", flat=True)) == [1, 2, 3, 4, 5, 6]
    assert trip.round_number == 6


def test_pause_between_looks_is_never_longer_than_the_setting(trip: Trip) -> None:
    configure(retry_min=3)
    assert [pause_after(look_when_due) for _look in range(4)] == [1, 2, 3, 3]


def test_change_of_what_is_asked_begins_with_the_shortest_pause_again(trip: Trip) -> None:
    for _look in range(3):
        look_when_due()

    changes.change(trip.pk, trip.organiser, {"bags": 1})

    trip.refresh_from_db()
    assert trip.next_look_at is not None
    assert trip.next_look_at <= timezone.now() + MINUTE
    assert pause_after(look_when_due) == 2  # the change was a look


def test_trip_that_drivers_were_asked_about_waits_the_whole_pause(trip: Trip) -> None:
    DriverFactory(at=ALMATY)
    dispatch.start_round(trip.pk)
    accepting.decline(trip.offers.get().driver_id, trip.offers.get().pk)

    assert [pause_after(look_when_due) for _look in range(3)] == [15, 15, 15]


def test_unfilled_trip_is_offered_when_its_look_is_due() -> None:
    trip = TripFactory(status="unfilled")
    driver = DriverFactory(at=ALMATY)
    let_the_look_come_due()

    assert deadlines.start_due_rounds() == 1

    trip.refresh_from_db()
    assert (trip.status, trip.next_look_at) == ("offered", None)
    assert asked(trip) == [driver.pk]


def test_look_that_is_not_due_is_left() -> None:
    trip = TripFactory(status="unfilled", next_look_at=timezone.now() + MINUTE)
    DriverFactory(at=ALMATY)

    assert deadlines.start_due_rounds() == 0
    assert not trip.offers.exists()


def test_claimed_look_comes_back_if_its_dispatcher_dies() -> None:
    trip = TripFactory(status="unfilled")

    due = Trip.objects.filter(next_look_at__lte=timezone.now())
    assert deadlines._claim_trips(due, 10) == [trip]
    assert deadlines._claim_trips(due, 10) == []

    trip.refresh_from_db()
    assert trip.next_look_at <= timezone.now() + 31 * SECOND


def test_published_trip_whose_booking_process_died_is_offered() -> None:
    """Booking commits before the first round; the dispatcher takes over what it could not start."""
    trip = TripFactory(status="published")
    DriverFactory(at=ALMATY)

    dispatch_due()

    trip.refresh_from_db()
    assert trip.status == "offered"


# A round that runs out


def test_offers_past_their_deadline_expire(trip: Trip) -> None:
    driver = DriverFactory(at=ALMATY)
    dispatch.start_round(trip.pk)
    let_offers_run_out()

    assert deadlines.expire_due_offers() == 1
    assert deadlines.start_due_rounds() == 1

    offer = trip.offers.get()
    assert (offer.status, offer.reason) == ("expired", "timeout")
    assert offer.responded_at is not None
    trip.refresh_from_db()
    assert trip.status == "unfilled"
    frame = frames(groups.driver(driver.pk))[-1]
    assert (frame.trip_id, frame.offer_id, frame.reason) == (trip.pk, offer.pk, "timeout")


def test_offers_within_their_deadline_stay(trip: Trip) -> None:
    DriverFactory(at=ALMATY)
    dispatch.start_round(trip.pk)

    assert deadlines.expire_due_offers() == 0
    assert trip.offers.get().status == "pending"


def test_round_goes_on_while_an_offer_is_open(trip: Trip) -> None:
    late, open_still = DriverFactory(at=north(1)), DriverFactory(at=north(2))
    dispatch.start_round(trip.pk)
    Offer.objects.filter(driver=late).update(expires_at=timezone.now() - SECOND)

    deadlines.expire_due_offers()

    trip.refresh_from_db()
    assert trip.status == "offered"
    assert list(trip.offers.filter(status="pending").values_list("driver", flat=True)) == [open_still.pk]


def test_driver_who_ran_out_of_time_is_asked_again(trip: Trip) -> None:
    driver = DriverFactory(at=ALMATY)
    dispatch.start_round(trip.pk)
    let_offers_run_out()
    dispatch_due()
    let_the_look_come_due()

    dispatch_due()

    assert asked(trip) == [driver.pk, driver.pk]
    assert sorted(trip.offers.values_list("round_number", "status")) == [(1, "expired"), (2, "pending")]


def test_driver_who_declined_is_never_asked_again(trip: Trip) -> None:
    driver = DriverFactory(at=ALMATY)
    dispatch.start_round(trip.pk)
    accepting.decline_trip(driver.pk, trip.pk)
    let_the_look_come_due()

    result = dispatch.start_round(trip.pk)

    assert (result.drivers_notified, result.reasons) == (0, {"declined_before": 1})


def test_more_drivers_than_a_round_holds_are_asked_at_once_after_it(trip: Trip) -> None:
    configure(round_size=2)
    drivers = [DriverFactory(at=north(km)) for km in (1, 2, 3)]
    dispatch.start_round(trip.pk)
    assert asked(trip) == [drivers[0].pk, drivers[1].pk]
    let_offers_run_out()

    dispatch_due()

    trip.refresh_from_db()
    assert (trip.status, trip.round_number, trip.wave, trip.next_look_at) == ("offered", 1, 2, None)
    assert asked(trip)[2:] == [drivers[2].pk]


def test_nobody_is_asked_over_and_over_without_a_pause(trip: Trip) -> None:
    """Everybody was asked once: the next round waits, although they do not all fit into a wave."""
    configure(round_size=2)
    for km in (1, 2, 3):
        DriverFactory(at=north(km))
    for _wave in range(3):
        dispatch_due()
        let_offers_run_out()
    dispatch_due()

    trip.refresh_from_db()
    assert (trip.status, trip.offers.count()) == ("unfilled", 3)
    assert trip.next_look_at is not None
    assert trip.next_look_at > timezone.now() + 14 * MINUTE


def test_last_decline_ends_the_round(trip: Trip) -> None:
    first, second = DriverFactory(at=north(1)), DriverFactory(at=north(2))
    dispatch.start_round(trip.pk)

    accepting.decline_trip(first.pk, trip.pk)
    trip.refresh_from_db()
    assert trip.status == "offered"

    accepting.decline_trip(second.pk, trip.pk)
    dispatch_due()
    trip.refresh_from_db()
    assert trip.status == "unfilled"


def test_everything_due_after_a_stop_is_done_at_the_first_look() -> None:
    """The server was away over deadline, look and departure of different trips."""
    driver = DriverFactory(at=ALMATY)
    expired = OfferFactory(driver=driver, expires_at=timezone.now() - 60 * MINUTE).trip
    due = TripFactory(status="unfilled", in_=dt.timedelta(hours=5), next_look_at=timezone.now() - 30 * MINUTE)
    over = TripFactory(status="unfilled", search_until=timezone.now() - SECOND)

    dispatch_due()

    statuses = dict(Trip.objects.values_list("pk", "status"))
    assert statuses == {expired.pk: "unfilled", due.pk: "offered", over.pk: "cancelled"}
    assert types(groups.driver(driver.pk)) == ["trip.offer.expired", "trip.offer.created"]
