"""Waves of a round: ring by ring, batch by batch, one driver at a time; what differs by trip; who is ranked first."""

import datetime as dt
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from drivers import availability, metrics
from drivers.models import Driver, DriverMetrics, DriverPosition
from stepper.models import ServiceSettings
from stepper.server.dispatcher import dispatch_due
from tests.factories import ALMATY, DriverFactory, OfferFactory, TripFactory
from trips import accepting, dispatch
from trips.models import DispatchRound, DispatchRule, Offer, Trip
from trips.policy import Policies

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def trip() -> Trip:
    return TripFactory(status="published")


def there(km: float, **fields: Any) -> Driver:
    """A driver so far north of the pickup."""
    return DriverFactory(at=(ALMATY[0] + km / 111.195, ALMATY[1]), **fields)


def configure(**changes: Any) -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults=changes)


def waves(trip: Trip) -> list[list[int]]:
    """Who was asked in each wave, in order."""
    found: dict[tuple[int, int], list[int]] = {}
    for offer in trip.offers.order_by("pk"):
        found.setdefault((offer.round_number, offer.wave), []).append(offer.driver_id)
    return list(found.values())


def let_offers_run_out() -> None:
    Offer.objects.filter(status="pending").update(expires_at=timezone.now() - MINUTE)


def state(trip: Trip) -> tuple[str, int, int]:
    trip.refresh_from_db()
    return trip.status, trip.round_number, trip.wave


# Rings


def test_nearest_ring_is_asked_first_then_the_next(trip: Trip) -> None:
    far, near, middle, nearest = there(40), there(4.9), there(14), there(1)

    dispatch.start_round(trip.pk)
    assert waves(trip) == [[nearest.pk, near.pk]]
    let_offers_run_out()
    dispatch_due()
    assert waves(trip)[1:] == [[middle.pk]]
    let_offers_run_out()
    dispatch_due()

    assert waves(trip)[2:] == [[far.pk]]
    assert state(trip) == ("offered", 1, 3)


def test_wave_starts_when_all_have_declined(trip: Trip) -> None:
    drivers = [there(1), there(2), there(20)]
    dispatch.start_round(trip.pk)

    accepting.decline_trip(drivers[0].pk, trip.pk)
    dispatch_due()
    assert waves(trip) == [[drivers[0].pk, drivers[1].pk]]
    accepting.decline_trip(drivers[1].pk, trip.pk)
    dispatch_due()

    assert waves(trip)[1:] == [[drivers[2].pk]]


def test_rings_with_nobody_in_them_cost_no_time(trip: Trip) -> None:
    driver = there(45)

    dispatch.start_round(trip.pk)

    assert waves(trip) == [[driver.pk]]
    assert state(trip) == ("offered", 1, 1)


def test_ring_with_more_than_a_wave_asks_is_asked_in_batches(trip: Trip) -> None:
    configure(round_size=2)
    drivers = [there(km) for km in (1, 2, 3, 20)]

    for _wave in range(3):
        dispatch_due()
        let_offers_run_out()

    assert waves(trip) == [[drivers[0].pk, drivers[1].pk], [drivers[2].pk], [drivers[3].pk]]


def test_without_rings_the_nearest_so_many_are_asked(trip: Trip) -> None:
    configure(wave_rings_km="", round_size=2)
    drivers = [there(km) for km in (1, 20, 40)]

    for _wave in range(2):
        dispatch_due()
        let_offers_run_out()

    assert waves(trip) == [[drivers[0].pk, drivers[1].pk], [drivers[2].pk]]


def test_round_is_over_when_nobody_is_left_and_the_next_asks_again(trip: Trip) -> None:
    driver, refuser = there(1), there(20)
    dispatch_due()
    let_offers_run_out()
    dispatch_due()
    accepting.decline_trip(refuser.pk, trip.pk)
    dispatch_due()
    assert state(trip) == ("unfilled", 1, 0)
    assert trip.next_look_at is not None

    Trip.objects.update(next_look_at=timezone.now() - MINUTE)
    dispatch_due()

    assert waves(trip) == [[driver.pk], [refuser.pk], [driver.pk]]
    assert state(trip) == ("offered", 2, 1)


def test_rings_end_at_the_radius(trip: Trip) -> None:
    configure(discovery_radius_km=12, wave_rings_km="5, 15, 30")
    there(13)
    driver = there(11)

    dispatch.start_round(trip.pk)

    assert waves(trip) == [[driver.pk]]
    assert Policies.current().of(trip).rings == (5, 12)


@pytest.mark.parametrize("text", ["5, five", "15, 5", "0, 5", "5, 5", "-1", "2000"])
def test_rings_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings(pk=1, wave_rings_km=text).full_clean()


# Who comes online during a wave


def come_online(driver: Driver) -> None:
    availability.set_online(driver.pk, False)
    availability.set_online(driver.pk, True)


def test_driver_within_reach_joins_the_wave_and_no_other_does(trip: Trip) -> None:
    first = there(1)
    dispatch.start_round(trip.pk)
    near, far = there(4), there(10)

    come_online(near)
    come_online(far)
    dispatch_due()

    assert waves(trip) == [[first.pk, near.pk]]
    let_offers_run_out()
    dispatch_due()
    assert waves(trip)[1:] == [[far.pk]]


def test_full_wave_is_joined_by_nobody(trip: Trip) -> None:
    configure(round_size=1)
    first, second = there(3), there(1)
    DriverPosition.objects.filter(driver=second).update(dispatchable=False)
    dispatch.start_round(trip.pk)

    come_online(second)
    dispatch_due()

    assert waves(trip) == [[first.pk]]


# One at a time


def test_targeted_asks_one_driver_after_the_other(trip: Trip) -> None:
    configure(dispatch_mode="targeted")
    near, far = there(1), there(30)

    dispatch.start_round(trip.pk)
    assert waves(trip) == [[near.pk]]
    accepting.decline_trip(near.pk, trip.pk)
    dispatch_due()

    assert waves(trip) == [[near.pk], [far.pk]]
    assert state(trip) == ("offered", 1, 2)


def test_targeted_gives_half_a_minute(trip: Trip) -> None:
    configure(dispatch_mode="targeted")
    there(1)
    before = timezone.now()

    dispatch.start_round(trip.pk)

    offer = trip.offers.get()
    assert before + dt.timedelta(seconds=29) < offer.expires_at < timezone.now() + dt.timedelta(seconds=31)


# Rules for a type of trip or an urgency


def test_rule_changes_what_it_says_and_leaves_the_rest(trip: Trip) -> None:
    configure(round_size=7, wave_rings_km="3, 9")
    DispatchRule.objects.create(trip_type="private", mode="targeted", answer_s=45)
    policy = Policies.current().of(trip)
    assert (policy.mode, policy.size, policy.answer) == ("targeted", 1, dt.timedelta(seconds=45))

    DispatchRule.objects.update(mode="", trip_type="shared")
    policy = Policies.current().of(trip)
    assert (policy.mode, policy.size, policy.rings) == ("broadcast", 7, (3, 9, 50))


def test_the_more_special_rule_counts() -> None:
    trip = TripFactory(status="published", in_=30 * MINUTE)
    sizes = {("private", ""): 2, ("", "urgent"): 3, ("private", "urgent"): 4}
    for (trip_type, urgency), size in sizes.items():
        DispatchRule.objects.create(trip_type=trip_type, urgency=urgency, round_size=size)

    found = []
    while DispatchRule.objects.exists():
        found.append(Policies.current().of(trip).size)
        DispatchRule.objects.filter(round_size=found[-1]).delete()

    assert found == [4, 3, 2]


def test_rule_for_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        DispatchRule(round_size=3).full_clean()


# Ranking


def test_drivers_are_ranked_by_distance_and_weights_and_the_offer_says_how(trip: Trip) -> None:
    configure(dispatch_mode="targeted", weight_rating_km=1, weight_cancellations_km=0, weight_waiting_km=0)
    poor, good = there(1, rating_sum=6, rating_count=2), there(2, rating_sum=10, rating_count=2)

    dispatch.start_round(trip.pk)

    assert waves(trip) == [[good.pk]]
    offer = trip.offers.get()
    assert offer.score_parts == {"distance": pytest.approx(2, abs=0.01)}
    assert offer.score == pytest.approx(2, abs=0.01)
    verdicts = {row[0]: row[2:] for row in DispatchRound.objects.get().verdicts}
    assert verdicts[poor.pk] == ["later", pytest.approx(3, abs=0.01)]
    assert verdicts[good.pk] == ["offered", pytest.approx(2, abs=0.01)]


@pytest.mark.parametrize(
    ("metrics_of", "part", "km"),
    [
        ({"acceptance": 0.25}, "acceptance", 0.75),
        ({"cancellations": 2}, "cancellations", 2),
        ({"cancellations": 9}, "cancellations", 5),
        ({"last_trip_at": 2 * HOUR}, "waiting", -2),
        ({"last_trip_at": 30 * HOUR}, "waiting", -4),
    ],
    ids=["acceptance", "cancellations", "many cancellations", "waiting", "waiting long"],
)
def test_weight_moves_a_driver_so_many_kilometres(trip: Trip, metrics_of: dict[str, Any], part: str, km: float) -> None:
    weights = {"weight_acceptance_km": 1, "weight_cancellations_km": 1, "weight_waiting_km": 1}
    configure(**weights)
    ago = metrics_of.pop("last_trip_at", dt.timedelta())
    DriverMetrics.objects.create(driver=there(1), last_trip_at=timezone.now() - ago, **metrics_of)

    dispatch.start_round(trip.pk)

    parts = trip.offers.get().score_parts
    assert parts.pop("distance") == pytest.approx(1, abs=0.01)
    assert parts.pop(part) == pytest.approx(km, abs=0.01)
    assert parts == {}


def test_driver_metrics_are_counted_from_a_week_of_offers_and_the_last_trip() -> None:
    driver = there(1)
    for status in ("accepted", "expired", "declined", "withdrawn"):
        OfferFactory(driver=driver, status=status)
    OfferFactory(driver=driver, status="accepted", released_at=timezone.now())
    old = OfferFactory(driver=driver, status="declined")
    Offer.objects.filter(pk=old.pk).update(created_at=timezone.now() - dt.timedelta(days=8))
    ended = timezone.now() - HOUR
    TripFactory(status="completed", driver=driver, completed_at=ended)
    come_online(driver)

    assert metrics.count_due(10) == 1
    assert metrics.count_due(10) == 0

    row = DriverMetrics.objects.get(driver=driver)
    assert (row.acceptance, row.cancellations, row.last_trip_at) == (0.5, 1, ended)
    assert row.due_at is not None


def test_driver_metrics_of_an_offline_driver_are_not_counted_again() -> None:
    driver = there(1)
    come_online(driver)
    availability.set_online(driver.pk, False)

    metrics.count_due(10)

    assert DriverMetrics.objects.get(driver=driver).due_at is None


# Booked for later


def test_trip_booked_for_later_is_offered_when_its_time_comes() -> None:
    configure(offer_ahead_h=48)
    there(1)
    trip = TripFactory(status="published", in_=dt.timedelta(hours=72), next_look_at=timezone.now() - MINUTE)

    dispatch_due()
    trip.refresh_from_db()
    assert (trip.status, trip.next_look_at) == ("published", trip.departure_at - dt.timedelta(hours=48))
    assert not trip.offers.exists()

    Trip.objects.update(departure_at=timezone.now() + dt.timedelta(hours=47), next_look_at=timezone.now() - MINUTE)
    dispatch_due()
    assert state(trip) == ("offered", 1, 1)


@pytest.mark.parametrize("ahead", [0, 100])
def test_trip_within_its_time_is_offered_at_once(ahead: int) -> None:
    configure(offer_ahead_h=ahead)
    there(1)
    trip = TripFactory(status="published", in_=dt.timedelta(hours=72))

    assert dispatch.start_round(trip.pk).drivers_notified == 1
