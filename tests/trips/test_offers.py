"""Offers whose driver cannot be asked any more: withdrawn with the change, no decline, made once again."""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from drivers import approvals, availability, metrics, working_time
from drivers.models import AUTO_OFFLINE_MIN, Break, Driver
from realtime import events, groups
from realtime.events import Filters
from stepper.errors import Conflict, DomainError
from stepper.models import ServiceSettings, User
from stepper.server.dispatcher import dispatch_due
from tests.factories import ALMATY, MEDEU, DriverFactory, OfferFactory, StaffFactory, TripFactory, VehicleFactory
from tests.failing import failing
from tests.outbox import frames, types
from trips import accepting, dispatch, offers, review
from trips.models import Offer, Trip

pytestmark = pytest.mark.django_db

# SQLite knows milliseconds only: what is due at this very instant is not due yet.
SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


@pytest.fixture
def driver() -> Driver:
    return DriverFactory(at=ALMATY)


def switch_off(driver: Driver) -> None:
    availability.set_online(driver.pk, False)


def take_a_break(driver: Driver) -> None:
    working_time.take_break(driver.pk, 30)


def begin_a_planned_break(driver: Driver) -> None:
    now = timezone.now() - SECOND
    Break.objects.create(driver=driver, starts_at=now, ends_at=now + HOUR, due_at=now)
    working_time.apply_due()


def reach_the_end_of_their_hours(driver: Driver) -> None:
    other_day = (timezone.now() + 3 * DAY).strftime("%a").lower()
    hours = {other_day: {"from": "08:00", "to": "18:00"}}
    Driver.objects.filter(pk=driver.pk).update(weekly_hours=hours, hours_due_at=timezone.now() - SECOND)
    working_time.apply_due()


def do_nothing_for_too_long(driver: Driver) -> None:
    long_ago = timezone.now() - dt.timedelta(minutes=2 * AUTO_OFFLINE_MIN)
    Driver.objects.filter(pk=driver.pk).update(active_at=long_ago, auto_offline_at=long_ago, idle_look_at=long_ago)
    working_time.apply_due()


def be_taken_offline(driver: Driver) -> None:
    availability.take_offline(driver.pk, StaffFactory())


def be_suspended(driver: Driver) -> None:
    approvals.suspend(driver.pk, StaffFactory())


def be_deactivated(driver: Driver) -> None:
    User.objects.filter(pk=driver.user_id).update(is_active=False)


WAYS = [
    switch_off,
    take_a_break,
    begin_a_planned_break,
    reach_the_end_of_their_hours,
    do_nothing_for_too_long,
    be_taken_offline,
    be_suspended,
    be_deactivated,
]


@pytest.mark.parametrize("way", WAYS)
def test_whoever_is_not_online_any_more_loses_their_offers_with_the_change(
    driver: Driver, way: Callable[[Driver], None]
) -> None:
    mine = [OfferFactory(driver=driver) for _number in range(2)]
    others = OfferFactory(trip=mine[0].trip)

    way(driver)

    assert set(Offer.objects.filter(driver=driver).values_list("status", "reason")) == {
        ("withdrawn", "no_longer_eligible")
    }
    said = frames(groups.driver(driver.pk))
    ended = [(one.offer_id, one.reason) for one in said if isinstance(one, events.OfferExpired)]
    assert ended == [(offer.pk, "no_longer_eligible") for offer in mine]
    # Before what says why: the line on the card is drawn while the card is there.
    assert types(groups.driver(driver.pk))[:3] == ["trip.offer.expired", "trip.offer.expired", "driver.updated"]
    with pytest.raises(DomainError) as refused:
        accepting.accept(driver.pk, mine[0].pk)
    assert refused.value.code == "offer.withdrawn"
    # The trip of the other driver goes on waiting for them, the other one is looked after at once.
    others.refresh_from_db()
    waiting, settled = (Trip.objects.get(pk=offer.trip_id) for offer in mine)
    assert (others.status, waiting.next_look_at) == ("pending", None)
    assert settled.next_look_at is not None
    assert settled.next_look_at <= timezone.now()


def test_withdrawn_offer_counts_neither_as_declined_nor_as_missed(driver: Driver) -> None:
    OfferFactory(driver=driver)
    switch_off(driver)
    availability.set_online(driver.pk, True)
    metrics.count_due(10)
    assert driver.metrics.acceptance is None


def test_nothing_is_half_done_when_the_offers_cannot_be_withdrawn(driver: Driver) -> None:
    offer = OfferFactory(driver=driver)
    with connection.execute_wrapper(failing('UPDATE "trips_offer"')), pytest.raises(OperationalError):
        switch_off(driver)
    driver.refresh_from_db()
    offer.refresh_from_db()
    assert (driver.is_online, offer.status) == (True, "pending")


@pytest.mark.parametrize("number", [1, 3])
def test_withdrawing_costs_the_same_for_1_and_3(
    driver: Driver, number: int, query_count: Callable[[int, int], Any]
) -> None:
    OfferFactory.create_batch(number, driver=driver)
    with query_count(7, 7):
        offers.withdraw_from_drivers([driver.pk])


def test_switch_off_on_a_trip_gives_up_the_offers_of_later_ones() -> None:
    driver = TripFactory(status="in_transit").driver
    later = OfferFactory(driver=driver, trip__in_=DAY)

    switch_off(driver)

    later.refresh_from_db()
    assert later.status == "withdrawn"


def test_setting_off_keeps_offers_of_trips_that_do_not_overlap(driver: Driver) -> None:
    later = OfferFactory(driver=driver, trip__in_=DAY)

    availability.mark_busy(driver.pk)

    later.refresh_from_db()
    assert later.status == "pending"


# What a driver can answer


def test_open_offers_are_in_the_order_of_earnings_by_kilometre(driver: Driver) -> None:
    def offer(earnings: int, pickup_km: float, trip_km: float, **fields: Any) -> int:
        money = {"trip__driver_earnings": earnings, "trip__platform_fee": 0, "trip__fare": earnings}
        return OfferFactory(driver=driver, distance_km=pickup_km, trip__distance_km=trip_km, **money, **fields).pk

    middle, best, last = offer(1000, 1, 9), offer(1500, 5, 5), offer(5000, 49, 51)
    as_good_and_sooner = offer(1000, 9, 1, expires_at=timezone.now() + dt.timedelta(seconds=60))
    offer(9000, 1, 1, expires_at=timezone.now() - dt.timedelta(seconds=1))
    offer(9000, 1, 1, status="declined")
    OfferFactory()

    shown = [card.offer_id for card in offers.open_cards(driver.pk)]

    assert shown == [best, as_good_and_sooner, middle, last]


# Filters, vehicle


@pytest.mark.parametrize(
    ("filters", "far"),
    [
        (Filters(max_distance_km=1), {"distance_km": 2.6}),
        (Filters(min_earnings=5000), {"trip__driver_earnings": 4999, "trip__platform_fee": 1, "trip__fare": 5000}),
        (Filters(trip_types=["shared"]), {"trip__trip_type": "private"}),
        (Filters(accepts_long_distance=False), {"trip__distance_km": 200}),
    ],
)
def test_saving_filters_removes_the_offers_that_they_refuse(
    driver: Driver, filters: Filters, far: dict[str, Any]
) -> None:
    refused = OfferFactory(driver=driver, **far)
    fits = OfferFactory(
        driver=driver,
        distance_km=0.9,
        trip__trip_type="shared",
        trip__distance_km=199,
        trip__driver_earnings=5000,
        trip__platform_fee=0,
        trip__fare=5000,
    )

    availability.set_filters(driver.pk, filters)

    refused.refresh_from_db()
    fits.refresh_from_db()
    assert (refused.status, refused.reason, fits.status) == ("withdrawn", "no_longer_eligible", "pending")
    assert types(groups.driver(driver.pk)) == ["trip.offer.expired", "driver.updated"]


@pytest.mark.parametrize(
    ("before", "after", "woken"),
    [
        ({"max_distance_km": 1}, {"max_distance_km": 2}, True),
        ({"max_distance_km": 1}, {"max_distance_km": None}, True),
        ({"max_distance_km": 2}, {"max_distance_km": 1}, False),
        ({}, {"max_distance_km": 1}, False),
        ({"min_earnings": 2}, {"min_earnings": 1}, True),
        ({"min_earnings": 2}, {"min_earnings": None}, True),
        ({"min_earnings": 1}, {"min_earnings": 2}, False),
        ({"trip_types": ["private"]}, {"trip_types": ["shared"]}, True),
        ({}, {"trip_types": ["shared"]}, False),
        ({"accepts_long_distance": False}, {"accepts_long_distance": True}, True),
        ({}, {"accepts_long_distance": False}, False),
    ],
)
def test_wider_filters_have_the_trips_around_looked_at(
    driver: Driver, before: dict[str, Any], after: dict[str, Any], woken: bool
) -> None:
    Driver.objects.filter(pk=driver.pk).update(**before)
    trip_type = after.get("trip_types", ["private"])[0]
    waiting = TripFactory(status="unfilled", trip_type=trip_type, next_look_at=timezone.now() + HOUR)

    availability.set_filters(driver.pk, Filters(**after))

    waiting.refresh_from_db()
    assert (waiting.next_look_at <= timezone.now()) == woken


def test_vehicle_that_another_driver_has_promised_takes_the_offers_of_that_time(driver: Driver) -> None:
    vehicle = VehicleFactory()
    TripFactory(status="accepted", driver=DriverFactory(vehicle=vehicle), in_=DAY)
    clashing, other = OfferFactory(driver=driver, trip__in_=DAY + HOUR), OfferFactory(driver=driver, trip__in_=2 * DAY)
    Driver.objects.filter(pk=driver.pk).update(vehicle=vehicle)

    review.review_driver(driver.pk)

    clashing.refresh_from_db()
    other.refresh_from_db()
    assert (clashing.status, other.status) == ("withdrawn", "pending")


# Asked once more


@pytest.fixture
def trip() -> Trip:
    """A trip whose round stays open: somebody else who was asked has not answered."""
    ServiceSettings.objects.create(pk=1, round_size=2)
    return TripFactory(status="published")


def asked(trip: Trip, driver: Driver) -> list[tuple[int, str, bool]]:
    rows = trip.offers.filter(driver=driver).order_by("pk")
    return list(rows.values_list("round_number", "status", "asked_again"))


def test_back_online_the_driver_is_asked_once_more_in_the_same_round(trip: Trip, driver: Driver) -> None:
    other = DriverFactory(at=ALMATY)
    dispatch.start_round(trip.pk)
    for _time in range(3):
        availability.set_online(driver.pk, False)
        dispatch_due()
        availability.set_online(driver.pk, True)
        dispatch_due()

    assert asked(trip, driver) == [(1, "withdrawn", False), (1, "withdrawn", True)]
    assert asked(trip, other) == [(1, "pending", False)]
    assert [frame.offer_id for frame in frames(groups.driver(driver.pk)) if isinstance(frame, events.OfferCreated)] == [
        offer.pk for offer in trip.offers.filter(driver=driver).order_by("pk")
    ]


@pytest.mark.parametrize("end", ["decline", "expire"])
def test_whoever_let_the_second_offer_go_is_not_asked_a_third_time(trip: Trip, driver: Driver, end: str) -> None:
    DriverFactory(at=ALMATY)
    dispatch.start_round(trip.pk)
    availability.set_filters(driver.pk, Filters(min_earnings=100_000))
    availability.set_filters(driver.pk, Filters(min_earnings=None))
    dispatch_due()
    second = trip.offers.get(driver=driver, status="pending")

    if end == "decline":
        accepting.decline(driver.pk, second.pk)
    else:
        Offer.objects.filter(pk=second.pk).update(expires_at=timezone.now() - HOUR)
    dispatch_due()
    availability.set_online(driver.pk, False)
    availability.set_online(driver.pk, True)
    dispatch_due()

    assert [row[2] for row in asked(trip, driver)] == [False, True]


def test_declined_trip_is_not_offered_again_by_going_offline_and_back(trip: Trip, driver: Driver) -> None:
    DriverFactory(at=MEDEU)
    dispatch.start_round(trip.pk)
    accepting.decline_trip(driver.pk, trip.pk)
    availability.set_online(driver.pk, False)
    availability.set_online(driver.pk, True)
    dispatch_due()

    assert asked(trip, driver) == [(1, "declined", False)]


# At the same moment


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", [switch_off, take_a_break, be_taken_offline])
def test_accept_and_going_offline_at_once_leave_a_trip_with_its_driver_or_no_offer(
    driver: Driver, way: Callable[[Driver], None]
) -> None:
    offer, later = OfferFactory(driver=driver), OfferFactory(driver=driver, trip__in_=DAY)
    together = threading.Barrier(2)
    refusals: list[str] = []

    def accept() -> None:
        try:
            together.wait(10)
            accepting.accept(driver.pk, offer.pk)
        except Conflict as refused:
            refusals.append(refused.code)
        finally:
            connection.close()

    accepting_thread = threading.Thread(target=accept)
    accepting_thread.start()
    together.wait(10)
    way(driver)
    accepting_thread.join(60)

    for row in (offer, later):
        row.refresh_from_db()
    trip = Trip.objects.get(pk=offer.trip_id)
    if refusals:
        assert (refusals, offer.status, trip.driver_id) == (["offer.withdrawn"], "withdrawn", None)
    else:
        assert (offer.status, trip.driver_id, trip.status) == ("accepted", driver.pk, "accepted")
    assert later.status == "withdrawn"
    assert Driver.objects.get(pk=driver.pk).availability == "offline"
