"""What becomes of an offer: taken by exactly one, declined, withdrawn; given back, assigned and taken off by staff."""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from drivers import approvals
from drivers.models import Driver, Vehicle
from realtime import events, groups
from stepper.errors import Conflict, DomainError
from stepper.models import User
from tests.factories import (
    ALMATY,
    DriverFactory,
    OfferFactory,
    StaffFactory,
    TripFactory,
    VehicleFactory,
)
from tests.outbox import frames, rechecked, types
from trips import accepting, bookings, deadlines, offers
from trips.models import Offer, Trip

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
PAST = dt.timedelta(seconds=-1)


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


# Accepting


def test_accept_gives_the_driver_the_trip(offer: Offer) -> None:
    trip = accepting.accept(offer.driver.pk, offer.pk)

    trip.refresh_from_db()
    assert (trip.status, trip.driver, trip.vehicle) == ("accepted", offer.driver, offer.driver.vehicle)
    assert trip.accepted_at is not None
    assert trip.next_look_at is None
    offer.refresh_from_db()
    assert offer.status == "accepted"
    assert offer.responded_at is not None
    history = trip.transitions.get()
    assert (history.role, history.by) == ("driver", offer.driver.user)


def test_accept_tells_everybody_on_the_trip(offer: Offer) -> None:
    trip = accepting.accept(offer.driver.pk, offer.pk)

    _status, accepted = frames(groups.trip(trip.pk))
    assert isinstance(accepted, events.OfferAccepted)
    assert (accepted.offer_id, accepted.version) == (offer.pk, trip.version)
    assert (accepted.driver.id, accepted.driver.name) == (offer.driver.pk, offer.driver.user.short_name)
    assert accepted.vehicle.plate == offer.driver.vehicle.plate_text
    assert accepted in frames(groups.driver(offer.driver.pk))
    assert types(groups.user(trip.organiser_id)) == ["notification.passenger"]
    assert rechecked(groups.user(offer.driver.user_id))


def test_accept_does_not_make_the_driver_busy(offer: Offer) -> None:
    accepting.accept(offer.driver.pk, offer.pk)

    offer.driver.refresh_from_db()
    assert offer.driver.availability == "available"


def test_accept_withdraws_the_offers_of_the_others(offer: Offer) -> None:
    losing = OfferFactory.create_batch(2, trip=offer.trip)

    accepting.accept(offer.driver.pk, offer.pk)

    for lost in losing:
        lost.refresh_from_db()
        assert (lost.status, lost.reason) == ("withdrawn", "accepted_by_another")
        (frame,) = frames(groups.driver(lost.driver.pk))
        assert (frame.trip_id, frame.offer_id, frame.reason) == (offer.trip.pk, lost.pk, "accepted_by_another")


def test_accept_leaves_settled_offers_as_they_are(offer: Offer) -> None:
    declined = OfferFactory(trip=offer.trip, status="declined")

    accepting.accept(offer.driver.pk, offer.pk)

    declined.refresh_from_db()
    assert declined.status == "declined"
    assert types(groups.driver(declined.driver.pk)) == []


def test_accept_again_by_the_winner_gives_the_same_answer(offer: Offer) -> None:
    first = accepting.accept(offer.driver.pk, offer.pk)
    told = len(frames(groups.trip(first.pk)))

    again = accepting.accept(offer.driver.pk, offer.pk)

    assert (again.pk, again.driver_id, again.version) == (first.pk, first.driver_id, first.version)
    assert len(frames(groups.trip(first.pk))) == told
    assert first.transitions.count() == 1


def test_accept_by_the_trip_takes_the_latest_offer() -> None:
    old = OfferFactory(status="expired")
    OfferFactory(trip=old.trip, driver=old.driver, round_number=2)

    assert accepting.accept_trip(old.driver.pk, old.trip.pk).driver == old.driver


def test_accept_of_somebody_elses_offer_is_not_found(offer: Offer) -> None:
    assert code_of(accepting.accept, DriverFactory(at=ALMATY).pk, offer.pk) == "offer.not_found"


def test_accept_of_a_trip_that_was_not_offered_is_not_found(offer: Offer) -> None:
    assert code_of(accepting.accept_trip, DriverFactory(at=ALMATY).pk, offer.trip.pk) == "offer.not_found"


def test_accept_of_no_offer_is_not_found() -> None:
    assert code_of(accepting.accept, DriverFactory().pk, 12345) == "offer.not_found"


def test_accept_by_nobody_is_not_found(offer: Offer) -> None:
    assert code_of(accepting.accept, 12345, offer.pk) == "driver.not_found"


def test_accept_after_another_is_taken(offer: Offer) -> None:
    late = OfferFactory(trip=offer.trip)
    accepting.accept(offer.driver.pk, offer.pk)

    assert code_of(accepting.accept, late.driver.pk, late.pk) == "offer.taken"


def test_accept_after_the_passenger_cancelled_is_withdrawn(offer: Offer) -> None:
    bookings.cancel(offer.trip.pk, offer.trip.organiser)

    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "offer.withdrawn"


def test_accept_after_declining_is_declined(offer: Offer) -> None:
    OfferFactory(trip=offer.trip)
    accepting.decline(offer.driver.pk, offer.pk)

    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "offer.declined"


def test_accept_after_the_sweep_is_expired() -> None:
    offer = OfferFactory(expires_at=timezone.now() + PAST)
    deadlines.expire_due_offers()

    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "offer.expired"


def test_accept_past_the_deadline_is_expired_before_the_sweep() -> None:
    offer = OfferFactory(expires_at=timezone.now() + PAST)

    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "offer.expired"
    offer.refresh_from_db()
    assert offer.status == "pending"


@pytest.mark.parametrize("approval", ["pending", "rejected", "suspended"])
def test_accept_needs_approval(offer: Offer, approval: str) -> None:
    Driver.objects.filter(pk=offer.driver.pk).update(approval=approval, availability="offline")

    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "driver.not_approved"


def test_accept_needs_an_active_account(offer: Offer) -> None:
    """Deactivated in the database alone: else the offer would be withdrawn as well."""
    User._base_manager.filter(pk=offer.driver.user.pk).update(is_active=False)

    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "driver.not_approved"


def test_accept_needs_a_vehicle(offer: Offer) -> None:
    Driver.objects.filter(pk=offer.driver.pk).update(vehicle=None)

    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "driver.no_vehicle"


def swapped(offer: Offer, **vehicle: Any) -> None:
    Driver.objects.filter(pk=offer.driver.pk).update(vehicle=VehicleFactory(**vehicle))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda offer: swapped(offer, seats=2), "driver.too_few_seats"),
        (lambda offer: Vehicle.objects.filter(pk=offer.driver.vehicle.pk).update(seats=2), "driver.too_few_seats"),
        (lambda offer: swapped(offer, vehicle_class="sedan", seats=6), "driver.vehicle_class"),
        (lambda offer: Driver.objects.update(licence_expires_on=timezone.localdate() - DAY), "driver.licence_expired"),
        (lambda offer: Driver.objects.update(vehicle=None), "driver.no_vehicle"),
    ],
    ids=["another vehicle", "fewer seats", "smaller class", "licence", "no vehicle"],
)
def test_accept_takes_licence_and_vehicle_as_they_are_now(change: Callable[[Offer], Any], code: str) -> None:
    """Offered when they fitted, changed by staff meanwhile; the offer goes, so that nobody waits for it."""
    trip = TripFactory(seats=4, vehicle_class="suv")
    offer = OfferFactory(trip=trip, driver=DriverFactory(at=ALMATY, vehicle=VehicleFactory(vehicle_class="suv")))
    change(offer)

    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == code

    trip.refresh_from_db()
    offer.refresh_from_db()
    assert (trip.driver, trip.vehicle) == (None, None)
    assert (offer.status, offer.reason) == ("withdrawn", "no_longer_eligible")
    (frame,) = frames(groups.driver(offer.driver.pk))
    assert frame.reason == "no_longer_eligible"
    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "offer.withdrawn"


def test_accept_with_a_licence_that_ends_today() -> None:
    offer = OfferFactory(driver=DriverFactory(at=ALMATY, licence_expires_on=timezone.localdate()))

    assert accepting.accept(offer.driver.pk, offer.pk).status == "accepted"


@pytest.mark.parametrize("hours", [-2.5, 0, 2.5])
def test_accept_of_an_overlapping_trip_is_refused(hours: float) -> None:
    """Almaty to its airport takes 38 min; two hours are kept free on both sides."""
    offer = OfferFactory(trip__in_=10 * HOUR)
    TripFactory(status="accepted", driver=offer.driver, in_=(10 + hours) * HOUR)

    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "driver.overlap"
    offer.refresh_from_db()
    assert offer.status == "pending"


@pytest.mark.parametrize("hours", [-2.7, 2.7])
def test_accept_of_the_next_trip_is_possible(hours: float) -> None:
    offer = OfferFactory(trip__in_=10 * HOUR)
    TripFactory(status="accepted", driver=offer.driver, in_=(10 + hours) * HOUR)

    assert accepting.accept(offer.driver.pk, offer.pk).driver == offer.driver


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_accept_does_not_mind_finished_trips(offer: Offer, status: str) -> None:
    TripFactory(status=status, driver=offer.driver)

    assert accepting.accept(offer.driver.pk, offer.pk).driver == offer.driver


def test_accept_refused_for_several_reasons_names_the_first_that_applies() -> None:
    """Taken, withdrawn, expired, overlap: each is taken away in turn, the next one shows."""
    offer = OfferFactory(expires_at=timezone.now() + PAST)
    other = TripFactory(status="accepted", driver=offer.driver)
    winner = DriverFactory()
    trips = Trip.objects.filter(pk=offer.trip.pk)
    seen = []

    trips.update(status="cancelled", driver=winner, vehicle=winner.vehicle)
    seen.append(code_of(accepting.accept, offer.driver.pk, offer.pk))
    trips.update(driver=None, vehicle=None)
    seen.append(code_of(accepting.accept, offer.driver.pk, offer.pk))
    trips.update(status="offered")
    seen.append(code_of(accepting.accept, offer.driver.pk, offer.pk))
    Offer.objects.filter(pk=offer.pk).update(expires_at=timezone.now() + MINUTE)
    seen.append(code_of(accepting.accept, offer.driver.pk, offer.pk))

    assert seen == ["offer.taken", "offer.withdrawn", "offer.expired", "driver.overlap"]
    Trip.objects.filter(pk=other.pk).update(status="completed")
    assert accepting.accept(offer.driver.pk, offer.pk).status == "accepted"


def test_accept_takes_the_drivers_overlapping_offers_back(offer: Offer) -> None:
    overlapping = OfferFactory(driver=offer.driver, trip__in_=HOUR)
    shared = OfferFactory(trip=overlapping.trip)
    later = OfferFactory(driver=offer.driver, trip__in_=9 * HOUR)

    accepting.accept(offer.driver.pk, offer.pk)

    for row in (overlapping, shared, later):
        row.refresh_from_db()
    assert (overlapping.status, overlapping.reason) == ("withdrawn", "driver_busy")
    assert (shared.status, later.status) == ("pending", "pending")
    frame = frames(groups.driver(offer.driver.pk))[-1]
    assert (frame.offer_id, frame.reason) == (overlapping.pk, "cancelled")


def test_accept_whose_overlapping_offers_cannot_be_settled_is_won_and_settles_them_when_repeated(
    offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlapping = OfferFactory(driver=offer.driver, trip__in_=HOUR)
    settle = offers.withdraw_from_trip

    def gone(*_args: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(offers, "withdraw_from_trip", gone)
    assert accepting.accept(offer.driver.pk, offer.pk).status == "accepted"

    monkeypatch.setattr(offers, "withdraw_from_trip", settle)
    accepting.accept(offer.driver.pk, offer.pk)

    overlapping.refresh_from_db()
    assert overlapping.status == "withdrawn"


def test_accept_repeated_when_the_trip_is_over_takes_nothing_back(offer: Offer) -> None:
    """The answer to the first one was lost; meanwhile it was cancelled, and the driver is asked about another."""
    accepting.accept(offer.driver.pk, offer.pk)
    bookings.cancel(offer.trip.pk, offer.trip.organiser)
    current = OfferFactory(driver=offer.driver, trip__in_=HOUR)

    assert accepting.accept(offer.driver.pk, offer.pk).status == "cancelled"

    current.refresh_from_db()
    assert current.status == "pending"


def test_accept_ends_the_round_of_an_overlapping_trip_without_other_offers(offer: Offer) -> None:
    overlapping = OfferFactory(driver=offer.driver, trip__in_=HOUR)

    accepting.accept(offer.driver.pk, offer.pk)
    deadlines.start_due_rounds()

    overlapping.trip.refresh_from_db()
    assert overlapping.trip.status == "unfilled"


@pytest.mark.django_db(transaction=True)
def test_accept_by_many_at_once_has_one_winner(offer: Offer) -> None:
    rivals = [offer, *OfferFactory.create_batch(7, trip=offer.trip)]
    together = threading.Barrier(len(rivals))
    outcomes: list[str] = []

    def accept(mine: Offer) -> None:
        try:
            together.wait(10)
            accepting.accept(mine.driver_id, mine.pk)
            outcomes.append("won")
        except Conflict as refused:
            outcomes.append(refused.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=accept, args=(mine,)) for mine in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(outcomes) == ["offer.taken"] * 7 + ["won"]
    winner = Offer.objects.get(status="accepted")
    assert Trip.objects.get().driver_id == winner.driver_id
    assert Offer.objects.filter(status="withdrawn").count() == 7


@pytest.mark.django_db(transaction=True)
def test_accept_of_two_overlapping_trips_at_once_gives_one() -> None:
    driver = DriverFactory(at=ALMATY)
    mine = [OfferFactory(driver=driver), OfferFactory(driver=driver, trip__in_=HOUR)]
    together = threading.Barrier(2)
    outcomes: list[str] = []

    def accept(offer: Offer) -> None:
        try:
            together.wait(10)
            accepting.accept(driver.pk, offer.pk)
            outcomes.append("won")
        except Conflict as refused:
            outcomes.append(refused.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=accept, args=(offer,)) for offer in mine]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    # The loser meets the overlap, or finds the offer taken back because of it.
    assert "won" in outcomes
    assert len(outcomes) == 2
    assert set(outcomes) & {"driver.overlap", "offer.withdrawn"}
    assert Trip.objects.filter(driver=driver).count() == 1


# Declining


def test_decline_settles_the_offer(offer: Offer) -> None:
    OfferFactory(trip=offer.trip)

    declined = accepting.decline(offer.driver.pk, offer.pk, "too far")

    assert (declined.status, declined.reason) == ("declined", "too far")
    assert declined.responded_at is not None
    (expired,) = frames(groups.driver(offer.driver.pk))
    assert isinstance(expired, events.OfferExpired)
    assert (expired.offer_id, expired.reason) == (offer.pk, "declined")


def test_decline_twice_changes_nothing(offer: Offer) -> None:
    first = accepting.decline(offer.driver.pk, offer.pk, "too far")

    again = accepting.decline(offer.driver.pk, offer.pk, "other words")

    assert (again.reason, again.responded_at) == ("too far", first.responded_at)


def test_decline_by_the_trip_takes_the_latest_offer(offer: Offer) -> None:
    assert accepting.decline_trip(offer.driver.pk, offer.trip.pk).pk == offer.pk


def test_decline_of_somebody_elses_offer_is_not_found(offer: Offer) -> None:
    assert code_of(accepting.decline, DriverFactory().pk, offer.pk) == "offer.not_found"


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        ("withdrawn", "accepted_by_another", "offer.taken"),
        ("withdrawn", "cancelled", "offer.withdrawn"),
        ("withdrawn", "driver_busy", "offer.withdrawn"),
        ("expired", "timeout", "offer.expired"),
    ],
)
def test_decline_of_what_had_ended_says_how(status: str, reason: str, code: str) -> None:
    offer = OfferFactory(status=status, reason=reason)

    assert code_of(accepting.decline, offer.driver.pk, offer.pk) == code
    offer.refresh_from_db()
    assert offer.status == status


# What a driver can answer


def test_suspending_takes_back_what_is_put_before_a_driver(offer: Offer, staff: User) -> None:
    approvals.suspend(offer.driver.pk, staff, "complaints")
    deadlines.start_due_rounds()

    offer.refresh_from_db()
    assert offer.status == "withdrawn"
    offer.trip.refresh_from_db()
    assert offer.trip.status == "unfilled"
    assert code_of(accepting.accept, offer.driver.pk, offer.pk) == "offer.withdrawn"
