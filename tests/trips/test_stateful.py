"""Whatever passengers, drivers, staff and the clock do, in whatever order: the rules that nothing may break hold.

STEPPER_STATEFUL=200 runs that many histories instead of a few.
"""

import contextlib
import datetime as dt
import itertools
import os
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from drivers import approvals, availability
from drivers.models import Driver, DriverPosition, Vehicle
from realtime import events
from stepper.errors import DomainError
from stepper.models import DispatchMode, ServiceSettings, User
from stepper.server import dispatcher
from tests.drives import step_there
from tests.factories import AIRPORT, ALMATY, DriverFactory, PassengerFactory, StaffFactory
from tests.flushing import without_triggers
from trips import accepting, assignment, bookings, driving, handover, review, steering
from trips.booking_requests import BookingRequest
from trips.models import Booking, Offer, Trip, TripLeg
from trips.states import ABOARD, ASSIGNED, DRIVING, FINISHED, OPEN, OfferStatus, TripStatus, next_step

HISTORIES = int(os.environ.get("STEPPER_STATEFUL", "6"))
STEPS = 25
DRIVERS, PASSENGERS = 3, 3

pick = st.integers(min_value=0, max_value=1_000_000)


class City(RuleBasedStateMachine):
    """Each step is what one person does, or time that passes. A refusal is an answer; anything else is a fault."""

    @initialize(mode=st.sampled_from(DispatchMode.values), size=st.sampled_from([1, 2, 50]))
    def begin(self, mode: str, size: int) -> None:
        # Real commits, so nothing is rolled back between two histories.
        with connection.cursor() as cursor, without_triggers(cursor, True):
            call_command("flush", interactive=False, verbosity=0, inhibit_post_migrate=True)
        self.staff = StaffFactory()
        paced = dict.fromkeys(("bookings_per_min", "changes_per_min", "answers_per_min", "status_per_min"), 10_000)
        ServiceSettings.objects.create(pk=1, dispatch_mode=mode, round_size=size, match_window_s=1, **paced)
        # In three rings.
        self.drivers = [DriverFactory(at=(ALMATY[0] + 0.055 * number, ALMATY[1])) for number in range(DRIVERS)]
        self.passengers = [PassengerFactory(max_overlapping_trips=100) for _number in range(PASSENGERS)]
        # Histories are short: something is going on from the start.
        for number, hours in enumerate((0, 1, 5)):
            self.book(number, hours)

    def driver(self, number: int) -> int:
        return self.drivers[number % len(self.drivers)].pk

    def attempt(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        with contextlib.suppress(DomainError):
            verb(*args, **kwargs)

    def some(self, rows: Any, number: int) -> Any:
        found = list(rows.order_by("pk"))
        return found[number % len(found)] if found else None

    @rule(who=pick, hours=st.sampled_from([0, 0, 1, 3, 5, 30]))
    def book(self, who: int, hours: int) -> None:
        departure_at = timezone.now() + dt.timedelta(hours=hours) if hours else None
        request = BookingRequest(
            events.Place(name="Almaty", address="", lat=ALMATY[0], lng=ALMATY[1]),
            events.Place(name="Airport", address="", lat=AIRPORT[0], lng=AIRPORT[1]),
            departure_at=departure_at,
        )
        self.attempt(bookings.book, self.passengers[who % PASSENGERS], request)

    @rule(which=pick)
    def accept(self, which: int) -> None:
        if offer := self.some(Offer.objects.filter(status=OfferStatus.PENDING), which):
            self.attempt(accepting.accept, offer.driver_id, offer.pk)

    @rule(which=pick)
    def accept_anything(self, which: int) -> None:
        if offer := self.some(Offer.objects.all(), which):
            self.attempt(accepting.accept, offer.driver_id, offer.pk)

    @rule(which=pick)
    def decline(self, which: int) -> None:
        if offer := self.some(Offer.objects.all(), which):
            self.attempt(accepting.decline, offer.driver_id, offer.pk, "not now")

    @rule(which=pick)
    def release(self, which: int) -> None:
        if trip := self.some(Trip.objects.filter(driver__isnull=False), which):
            self.attempt(assignment.release, trip.driver_id, trip.pk, "a flat tyre")

    @rule(which=pick)
    def take_off(self, which: int) -> None:
        if trip := self.some(Trip.objects.all(), which):
            self.attempt(assignment.take_off, trip.pk, self.staff, "asked to")

    @rule(which=pick, who=pick)
    def assign(self, which: int, who: int) -> None:
        if trip := self.some(Trip.objects.filter(status__in=sorted(OPEN)), which):
            self.attempt(assignment.assign, trip.pk, self.driver(who), self.staff, "asked to")

    @rule(which=pick, who=pick)
    def reassign(self, which: int, who: int) -> None:
        if trip := self.some(Trip.objects.filter(status__in=sorted(ASSIGNED)), which):
            self.attempt(assignment.reassign, trip.pk, self.driver(who), self.staff, "nearer")

    @rule(which=pick)
    def cancel(self, which: int) -> None:
        if trip := self.some(Trip.objects.all(), which):
            self.attempt(bookings.cancel, trip.pk, trip.organiser, "changed plans")

    @rule(which=pick)
    def cancel_by_staff(self, which: int) -> None:
        if trip := self.some(Trip.objects.all(), which):
            self.attempt(bookings.cancel, trip.pk, self.staff, "by phone")

    @rule(which=pick, there=st.booleans())
    def drive(self, which: int, there: bool) -> None:
        trip = self.some(Trip.objects.filter(status__in=sorted(ASSIGNED)), which)
        if trip and (step := next_step(trip.status)):
            if there:
                self.attempt(step_there, trip.pk, step)
            else:
                self.attempt(driving.update_status, trip.driver_id, trip.pk, status=step)

    @rule(which=pick)
    def say_arrived_without_a_position(self, which: int) -> None:
        trip = self.some(Trip.objects.filter(status__in=sorted(ASSIGNED)), which)
        if trip:
            of_driver = DriverPosition.objects.filter(driver=trip.driver_id)
            of_driver.update(accuracy_m=5000)
            self.attempt(driving.update_status, trip.driver_id, trip.pk, status="driver_arrived")
            of_driver.update(accuracy_m=None)

    @rule(which=pick)
    def report_a_no_show(self, which: int) -> None:
        if trip := self.some(Trip.objects.filter(status__in=sorted(ASSIGNED)), which):
            self.attempt(driving.update_status, trip.driver_id, trip.pk, status="no_show")

    @rule(which=pick)
    def confirm_an_arrival(self, which: int) -> None:
        if trip := self.some(Trip.objects.filter(status__in=sorted(ASSIGNED)), which):
            self.attempt(driving.confirm_arrival, trip.pk, self.staff, "seen")

    @rule(which=pick)
    def take_back_an_arrival(self, which: int) -> None:
        if trip := self.some(Trip.objects.filter(status__in=sorted(ASSIGNED)), which):
            self.attempt(steering.take_back_arrival, trip.pk, self.staff, "too early")

    @rule(which=pick)
    def complete_by_staff(self, which: int) -> None:
        if trip := self.some(Trip.objects.filter(status__in=sorted(ABOARD)), which):
            self.attempt(steering.complete, trip.pk, self.staff, "phone dead")

    @rule(which=pick, who=pick, part=st.sampled_from([None, 0, 500, 1_000_000]))
    def hand_over(self, which: int, who: int, part: int | None) -> None:
        if trip := self.some(Trip.objects.filter(status__in=sorted(ABOARD)), which):
            self.attempt(handover.hand_over, trip.pk, self.driver(who), self.staff, reason="engine", part=part)

    @rule(which=pick, active=st.booleans())
    def change_account(self, which: int, active: bool) -> None:
        user = User.objects.get(driver=self.driver(which))
        user.is_active = active
        user.save()

    @rule(which=pick, seats=st.sampled_from([1, 4]), expired=st.booleans())
    def change_vehicle_and_licence(self, which: int, seats: int, expired: bool) -> None:
        driver_id = self.driver(which)
        Vehicle.objects.filter(driver=driver_id).update(seats=seats)
        expires_on = timezone.localdate() + dt.timedelta(days=-1 if expired else 100)
        Driver.objects.filter(pk=driver_id).update(licence_expires_on=expires_on)
        review.review_driver(driver_id)

    @rule(which=pick)
    def suspend(self, which: int) -> None:
        self.attempt(approvals.suspend, self.driver(which), self.staff, "a complaint")

    @rule(which=pick)
    def reinstate(self, which: int) -> None:
        self.attempt(approvals.reinstate, self.driver(which), self.staff)

    @rule(which=pick, online=st.booleans())
    def switch(self, which: int, online: bool) -> None:
        self.attempt(availability.set_online, self.driver(which), online)

    @rule(minutes=st.sampled_from([1, 3, 16, 61, 200]))
    def pass_time(self, minutes: int) -> None:
        """Everything that waits for the clock comes nearer; positions stay fresh."""
        earlier = dt.timedelta(minutes=minutes)
        Offer.objects.update(expires_at=F("expires_at") - earlier)
        spans = ("departure_at", "ends_at", "busy_from", "busy_until", "search_until", "next_look_at")
        # The first to leave first: a driver's later trip must not run into the one before on its way.
        for pk in Trip.objects.order_by("departure_at").values_list("pk", flat=True):
            Trip.objects.filter(pk=pk).update(**{column: F(column) - earlier for column in spans})

    @rule()
    def dispatch_what_is_due(self) -> None:
        for _look in range(20):
            if not dispatcher.dispatch_due():
                return
        raise AssertionError("the dispatcher finds something to do for ever")

    # What nothing may break

    @invariant()
    def one_driver_a_trip(self) -> None:
        held = Q(status__in=sorted(ASSIGNED)) | Q(status=TripStatus.COMPLETED)
        assert not Trip.objects.filter(held, driver__isnull=True).exists()
        assert not Trip.objects.filter(status__in=sorted(OPEN), driver__isnull=False).exists()
        # The offers of former legs were not taken back from who accepted them.
        former = TripLeg.objects.filter(trip=OuterRef("trip"), driver=OuterRef("driver"))
        won = Offer.objects.filter(~Exists(former), status=OfferStatus.ACCEPTED, released_at__isnull=True)
        assert not won.values("trip").annotate(winners=Count("pk")).filter(winners__gt=1).exists()
        assert not won.filter(trip__status__in=sorted(ASSIGNED)).exclude(driver=F("trip__driver")).exists()

    @invariant()
    def parts_of_all_drivers_add_up(self) -> None:
        for trip in Trip.objects.exclude(former_legs=0):
            legs = list(trip.legs.order_by("number"))
            assert [leg.number for leg in legs] == list(range(1, trip.leg))
            assert sum(leg.fare for leg in legs) == trip.former_fare <= trip.fare
            assert sum(leg.fee for leg in legs) == trip.former_fee <= trip.platform_fee
            assert trip.own_earnings >= 0
            assert trip.driver_id not in {leg.driver_id for leg in legs}

    @invariant()
    def no_driver_has_trips_that_overlap(self) -> None:
        margin = dt.timedelta(minutes=ServiceSettings.current().overlap_margin_min)
        spans: dict[int, list[Trip]] = {}
        for trip in Trip.objects.filter(status__in=sorted(ASSIGNED)).order_by("departure_at", "pk"):
            spans.setdefault(trip.driver_id or 0, []).append(trip)
        for mine in spans.values():
            for earlier, later in itertools.pairwise(mine):
                assert earlier.ends_at + margin <= later.departure_at, (earlier.pk, later.pk)
            assert sum(trip.status in DRIVING for trip in mine) <= 1

    @invariant()
    def seats_balance(self) -> None:
        for trip in Trip.objects.exclude(status=TripStatus.DRAFT):
            held = Booking.objects.filter(trip=trip).exclude(status="cancelled").values_list("seats", flat=True)
            assert trip.available_seats + sum(held) == trip.seats, trip.status

    @invariant()
    def every_offer_is_settled_once(self) -> None:
        pending = Offer.objects.filter(status=OfferStatus.PENDING)
        assert not pending.exclude(trip__status=TripStatus.OFFERED).exists()
        assert not pending.filter(responded_at__isnull=False).exists()
        assert not Offer.objects.exclude(status=OfferStatus.PENDING).filter(responded_at__isnull=True).exists()
        rounds = Offer.objects.values("trip", "driver", "round_number").annotate(times=Count("pk"))
        assert not rounds.filter(times__gt=1).exists()

    @invariant()
    def who_refused_is_never_asked_again(self) -> None:
        refused = Offer.objects.filter(Q(status=OfferStatus.DECLINED) | Q(released_at__isnull=False))
        for offer in refused:
            assert not Offer.objects.filter(
                trip=offer.trip_id, driver=offer.driver_id, pk__gt=offer.pk, status=OfferStatus.PENDING
            ).exists()

    @invariant()
    def the_search_and_the_driver_agree(self) -> None:
        asked = Q(driver__approval="approved", driver__availability="available", driver__user__is_active=True)
        assert not DriverPosition.objects.filter(asked, dispatchable=False).exists()
        assert not DriverPosition.objects.filter(~asked, dispatchable=True).exists()

    @invariant()
    def nobody_inactive_is_online_or_has_offers(self) -> None:
        assert not Driver.objects.filter(user__is_active=False, availability="available").exists()
        assert not Offer.objects.filter(driver__user__is_active=False, status=OfferStatus.PENDING).exists()

    @invariant()
    def no_no_show_without_a_confirmed_arrival(self) -> None:
        no_show = Q(transitions__role="driver", transitions__to_status="cancelled")
        assert not Trip.objects.filter(no_show, arrival_flagged=True).exists()

    @invariant()
    def every_trip_goes_on_or_has_ended_with_a_reason(self) -> None:
        for trip in Trip.objects.all():
            if trip.status == TripStatus.CANCELLED:
                assert trip.cancel_reason
            elif trip.status in OPEN:
                waits = trip.next_look_at is not None or trip.offers.filter(status=OfferStatus.PENDING).exists()
                assert waits, f"{trip.status}: nobody will ever look at it again"
            else:
                assert trip.status in ASSIGNED | FINISHED

    def teardown(self) -> None:
        """In the end every trip nobody drives is over, with its reason."""
        if not hasattr(self, "drivers"):
            return
        self.pass_time(60 * 40)
        self.dispatch_what_is_due()
        self.every_trip_goes_on_or_has_ended_with_a_reason()
        assert not Trip.objects.filter(status__in=sorted(OPEN)).exists()


@pytest.mark.django_db(transaction=True)
def test_no_history_breaks_a_rule() -> None:
    run_state_machine_as_test(
        City,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=HISTORIES < 100,
            # Making a failure shorter takes minutes against a database: only where one looks for some.
            phases=[Phase.generate, Phase.shrink] if HISTORIES >= 100 else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
