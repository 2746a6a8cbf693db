"""What staff do about who drives a trip: rows of their own, reasons, words, and nothing that counts for a driver."""

import datetime as dt
import threading
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from drivers import metrics
from drivers.models import Availability, Driver, DriverMetrics
from realtime import groups
from realtime.models import Notification
from stepper.errors import Conflict, DomainError, InvalidInput
from stepper.models import ServiceSettings, User
from tests.factories import ALMATY, DriverFactory, OfferFactory, StaffFactory, TripFactory, VehicleFactory
from tests.outbox import frames, rechecked
from trips import accepting, assignment, changes, deadlines, explain, unfilled, waking
from trips.candidates import judge_driver
from trips.driver_facts import facts
from trips.models import Offer, StaffAssignment, Trip
from trips.panel import Panel
from trips.states import BEFORE_BOARDING

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)
FAR = 120 * HOUR


@pytest.fixture
def staff() -> User:
    return StaffFactory()


@pytest.fixture
def driver() -> Driver:
    return DriverFactory(at=ALMATY)


def counted(driver: Driver) -> tuple[float | None, int | None]:
    """The driver's acceptance and cancellations as the dispatcher counts them."""
    metrics.schedule_count(driver.pk)
    metrics.count_due(10)
    row = DriverMetrics.objects.get(driver=driver)
    return row.acceptance, row.cancellations


def panel_of(trip: Trip) -> Panel:
    return Panel(Trip.objects.for_page().get(pk=trip.pk), trip.organiser)


# Rows of their own


def test_assigning_and_taking_off_is_one_row(staff: User, driver: Driver) -> None:
    trip, other = TripFactory(status="unfilled", vehicle_class="van"), StaffFactory()
    assignment.assign(trip.pk, driver.pk, staff, " the  van is broken ")

    row = StaffAssignment.objects.get()
    assert (row.trip, row.driver, row.assigned_by, row.ended_at) == (trip, driver, staff, None)
    assert (row.reason, row.warnings) == ("the  van is broken", ["vehicle_class"])

    assignment.take_off(trip.pk, other, "does not answer")
    row.refresh_from_db()
    assert (row.ended_by, row.ended_as, row.end_reason, StaffAssignment.objects.count()) == (
        other,
        "staff",
        "does not answer",
        1,
    )
    assert not Offer.objects.exists()


def test_taking_off_who_accepted_is_a_row_without_an_assignment(staff: User) -> None:
    offer = OfferFactory()
    accepting.accept(offer.driver.pk, offer.pk)
    assignment.take_off(offer.trip.pk, staff, "wrong vehicle")

    row = StaffAssignment.objects.get()
    assert (row.driver, row.assigned_by, row.ended_by, row.end_reason) == (offer.driver, None, staff, "wrong vehicle")
    offer.refresh_from_db()
    assert (offer.status, offer.taken_off, offer.released_at == row.ended_at) == ("accepted", True, True)


def release(offer: Offer, _staff: User) -> None:
    accepting.accept(offer.driver.pk, offer.pk)
    assignment.release(offer.driver.pk, offer.trip.pk)


def take_off(offer: Offer, staff: User) -> None:
    accepting.accept(offer.driver.pk, offer.pk)
    assignment.take_off(offer.trip.pk, staff)


def move_away(offer: Offer, staff: User) -> None:
    accepting.accept(offer.driver.pk, offer.pk)
    assignment.reassign(offer.trip.pk, DriverFactory(at=ALMATY).pk, staff)


def assign(offer: Offer, staff: User) -> None:
    assignment.assign(offer.trip.pk, offer.driver.pk, staff)


def assign_and_take_off(offer: Offer, staff: User) -> None:
    assign(offer, staff)
    assignment.take_off(offer.trip.pk, staff)


def assign_and_release(offer: Offer, staff: User) -> None:
    assign(offer, staff)
    assignment.release(offer.driver.pk, offer.trip.pk)


@pytest.mark.parametrize(
    ("what", "acceptance", "cancellations"),
    [
        (release, 1.0, 1),
        # What the driver answered stays theirs.
        (take_off, 1.0, 0),
        (move_away, 1.0, 0),
        (assign, None, 0),
        (assign_and_take_off, None, 0),
        (assign_and_release, None, 0),
    ],
)
def test_figures_of_a_driver_are_of_their_own_answers_alone(
    staff: User, what: Any, acceptance: float | None, cancellations: int
) -> None:
    offer = OfferFactory()
    what(offer, staff)

    assert counted(offer.driver) == (acceptance, cancellations)
    if what is not assign:
        known = facts(offer.trip, 9, driver_ids=[offer.driver.pk], settings=ServiceSettings.current())
        assert known[offer.driver.pk].refused


def test_releasing_what_staff_gave_twice_changes_nothing(staff: User, driver: Driver) -> None:
    trip = TripFactory(status="unfilled")
    assignment.assign(trip.pk, driver.pk, staff)
    assignment.release(driver.pk, trip.pk, "flat tyre")

    assert assignment.release(driver.pk, trip.pk).status == "offered"
    row = StaffAssignment.objects.get()
    assert (row.ended_as, row.ended_by, row.end_reason) == ("driver", driver.user, "flat tyre")


def test_why_not_says_what_staff_did(staff: User, driver: Driver) -> None:
    trip = TripFactory(status="unfilled", vehicle_class="van")
    assignment.assign(trip.pk, driver.pk, staff, "no van")
    assignment.take_off(trip.pk, staff, "found a van")

    answer = explain.explain_driver(Trip.objects.get(pk=trip.pk), driver)
    assert [explain.given_in_words(row) for row in answer.assignments] == ["no van; against it: smaller vehicle class"]
    assert answer.now == ["declined_before", "vehicle_class"]


# Who may be given a trip


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        ({"at": None}, ["offline", "no_position"]),
        ({"at": (51.17, 71.45)}, ["outside_radius"]),
        ({"max_distance_km": 0.001, "at": (ALMATY[0] + 0.01, ALMATY[1])}, ["too_far"]),
        ({"min_earnings": 10_000_000}, ["earnings_too_low"]),
        ({"availability": Availability.BUSY}, ["busy"]),
    ],
)
def test_a_rule_that_warns_asks_for_a_reason_which_is_kept(staff: User, fields: Any, codes: list[str]) -> None:
    trip, driver = TripFactory(status="unfilled"), DriverFactory(**({"at": ALMATY} | fields))

    for blank in ("", "  "):
        with pytest.raises(InvalidInput) as refused:
            assignment.assign(trip.pk, driver.pk, staff, blank)
        assert (refused.value.code, list(refused.value.fields)) == ("assignment.reason_needed", ["reason"])
    assert not StaffAssignment.objects.exists()

    assignment.assign(trip.pk, driver.pk, staff, "called him")
    row = StaffAssignment.objects.get()
    assert (row.reason, row.warnings) == ("called him", codes)


def test_papers_and_seats_refuse_whatever_the_reason(staff: User) -> None:
    trip = TripFactory(status="unfilled", seats=3)
    yesterday = timezone.localdate() - dt.timedelta(days=1)
    for fields, code in (
        ({"licence_expires_on": yesterday}, "driver.licence_expired"),
        ({"documents_valid_until": yesterday}, "driver.documents_expired"),
        ({"vehicle": VehicleFactory(seats=2)}, "driver.too_few_seats"),
        ({"vehicle": None}, "driver.no_vehicle"),
    ):
        with pytest.raises(Conflict) as refused:
            assignment.assign(trip.pk, DriverFactory(at=ALMATY, **fields).pk, staff, "all the same")
        assert refused.value.code == code


def test_a_refusal_speaks_to_staff(staff: User, driver: Driver) -> None:
    at = TripFactory(status="accepted", driver=driver, in_=24 * HOUR)
    trip = TripFactory(status="unfilled", in_=24 * HOUR)
    for who, words in (
        (driver, "Overlaps with their trip at"),
        (DriverFactory(approval="suspended"), "This driver is not approved: Suspended."),
        (DriverFactory(user__is_active=False), "This driver's account is not active."),
    ):
        with pytest.raises(Exception, match=words):
            assignment.assign(trip.pk, who.pk, staff)
    with pytest.raises(Conflict, match="The note and where exactly the passenger is picked up"):
        changes.change(at.pk, staff, {"seats": 2})


# From one driver to another


@pytest.mark.parametrize("status", sorted(BEFORE_BOARDING))
def test_reassign_moves_the_trip_and_tells_each_once(
    staff: User, driver: Driver, status: str, django_capture_on_commit_callbacks: Any
) -> None:
    trip = TripFactory(status=status, arrival_flagged=True, delay_minutes=10)
    waiting, first = DriverFactory(at=ALMATY), trip.driver
    assert first is not None
    before = Notification.objects.count()

    with django_capture_on_commit_callbacks(execute=True):
        assignment.reassign(trip.pk, driver.pk, staff, "nearer")
        assignment.reassign(trip.pk, driver.pk, staff, "nearer")

    moved = Trip.objects.get(pk=trip.pk)
    assert (moved.status, moved.driver, moved.vehicle) == ("accepted", driver, driver.vehicle)
    assert (moved.arrival_flagged, moved.delay_minutes) == (False, 0)
    assert [(row.from_status, row.to_status, row.role, row.note) for row in trip.transitions.all()] == [
        (status, "accepted", "staff", "nearer")
    ]
    told = Notification.objects.order_by("pk")[before:]
    assert {one.user for one in told} == {trip.organiser, first.user, driver.user}
    assert len(told) == 3
    assert not Offer.objects.filter(driver=waiting).exists()
    first.refresh_from_db()
    assert first.availability == "available"
    assert rechecked(groups.user(first.user_id))
    assert rechecked(groups.user(driver.user_id))
    ended, given = StaffAssignment.objects.order_by("pk")
    assert (ended.driver, ended.ended_by, ended.end_reason) == (first, staff, "nearer")
    assert (given.driver, given.assigned_by, given.reason, given.ended_at) == (driver, staff, "nearer", None)


def test_reassign_says_who_had_the_trip(staff: User, driver: Driver) -> None:
    trip = TripFactory(status="en_route", driver__user__name="Aigerim Kassymova")
    assignment.reassign(trip.pk, driver.pk, staff)

    timeline = panel_of(trip).timeline
    assert [(one.name, one.by_staff) for one in timeline.given_back] == [("Aigerim", True)]
    chosen = f"Our staff chose {driver.user.short_name.split()[0]}"
    assert [mark.label for mark in timeline.marks][1:4] == [
        "Aigerim accepted",
        "Our staff took the trip off Aigerim",
        chosen,
    ]


@pytest.mark.parametrize("status", ["offered", "passengers_boarded", "in_transit", "arrived", "completed", "cancelled"])
def test_reassign_needs_a_driver_and_nobody_on_board(staff: User, driver: Driver, status: str) -> None:
    trip = TripFactory(status=status)

    with pytest.raises(Conflict) as refused:
        assignment.reassign(trip.pk, driver.pk, staff, "nearer")
    assert refused.value.code == "trip.transition_refused"
    assert not StaffAssignment.objects.exists()


def test_reassign_checks_the_new_driver_as_assigning_does(staff: User) -> None:
    trip = TripFactory(status="accepted", in_=24 * HOUR)
    busy = TripFactory(status="accepted", in_=24 * HOUR).driver
    mate = DriverFactory(vehicle=trip.driver.vehicle)

    with pytest.raises(InvalidInput):
        assignment.reassign(trip.pk, DriverFactory().pk, staff)
    with pytest.raises(Conflict):
        assignment.reassign(trip.pk, busy.pk, staff, "nearer")
    # The trip itself does not keep the vehicle from it.
    assert judge_driver(trip, mate).refused == []
    assert assignment.reassign(trip.pk, mate.pk, staff, "nearer").driver == mate


@pytest.mark.django_db(transaction=True)
def test_two_who_exchange_the_drivers_of_two_trips_at_once_do_not_wait_for_each_other() -> None:
    staff = StaffFactory.create()
    trips = [TripFactory.create(status="accepted", in_=hours * HOUR) for hours in (24, 72)]
    drivers = [trip.driver for trip in trips]
    at_once = threading.Barrier(2)
    failures: list[Exception] = []

    def exchange(index: int) -> None:
        try:
            at_once.wait(timeout=20)
            assignment.reassign(trips[index].pk, drivers[1 - index].pk, staff, "nearer")
        except (DomainError, DatabaseError) as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=exchange, args=[index]) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures
    assert [Trip.objects.get(pk=trip.pk).driver for trip in trips] == drivers[::-1]


@pytest.mark.django_db(transaction=True)
def test_two_staff_who_move_one_trip_at_once_move_it_once() -> None:
    trip = TripFactory.create(status="accepted", in_=24 * HOUR)
    first, others = trip.driver, [DriverFactory.create(at=ALMATY), DriverFactory.create(at=ALMATY)]
    people = [StaffFactory.create(), StaffFactory.create()]
    at_once = threading.Barrier(2)
    refusals: list[str] = []

    def move(index: int) -> None:
        try:
            at_once.wait(timeout=20)
            assignment.reassign(trip.pk, others[index].pk, people[index], "nearer", shown_driver_id=first.pk)
        except DomainError as error:
            refusals.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=move, args=[index]) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert refusals == ["assignment.changed_meanwhile"]
    trip.refresh_from_db()
    assert trip.driver in others
    assert trip.transitions.filter(from_status="accepted", to_status="accepted").count() == 1
    assert trip.staff_assignments.filter(assigned_by__isnull=False).count() == 1


def test_a_trip_is_moved_and_taken_off_only_from_whom_staff_saw(staff: User, driver: Driver) -> None:
    trip, former = TripFactory(status="accepted", in_=24 * HOUR), DriverFactory()
    before = Trip.objects.values().get(pk=trip.pk)
    for verb in (
        lambda: assignment.reassign(trip.pk, driver.pk, staff, "nearer", shown_driver_id=former.pk),
        lambda: assignment.take_off(trip.pk, staff, shown_driver_id=former.pk),
    ):
        with pytest.raises(Conflict) as error:
            verb()
        assert error.value.code == "assignment.changed_meanwhile"
    assert Trip.objects.values().get(pk=trip.pk) == before
    # What was done already is no refusal.
    assert assignment.reassign(trip.pk, trip.driver_id, staff, shown_driver_id=former.pk).version == trip.version


# Words follow what happens


def test_taking_off_a_trip_long_ahead_says_when_drivers_are_asked(
    staff: User, django_capture_on_commit_callbacks: Any
) -> None:
    trip = TripFactory(status="accepted", in_=FAR)
    opens_at = trip.departure_at - 72 * HOUR

    with django_capture_on_commit_callbacks() as after:
        assignment.take_off(trip.pk, staff)
    # What was told with the change says it, before anything else runs.
    assert Trip.objects.get(pk=trip.pk).next_look_at == opens_at
    panel = panel_of(trip)
    assert panel.headline.sentence.startswith("Drivers are asked from ")
    assert "finding" not in panel.headline.given_back_note
    told = Notification.objects.get(user=trip.organiser)
    assert told.title == "Our staff took the trip off your driver"
    assert told.message.startswith("Drivers are asked from ")
    for callback in after:
        callback()
    assert Trip.objects.get(pk=trip.pk).next_look_at == opens_at


def test_taking_off_a_trip_that_leaves_soon_says_that_drivers_are_asked(staff: User) -> None:
    trip = TripFactory(status="accepted", in_=3 * HOUR)
    assignment.take_off(trip.pk, staff)

    assert Notification.objects.get(user=trip.organiser).message == "We are finding you another driver."


def changed(trip: Trip, _staff: User) -> None:
    changes._change(trip.pk, trip.organiser, {"seats": 2}, None, "")


def postponed(trip: Trip, _staff: User) -> None:
    unfilled._postpone(trip.pk, trip.organiser, trip.departure_at + HOUR)


def woken(trip: Trip, _staff: User) -> None:
    waking.wake_trips_around([DriverFactory(at=ALMATY).pk])


def released(trip: Trip, staff: User) -> None:
    driver = DriverFactory(at=ALMATY)
    assignment.assign(trip.pk, driver.pk, staff)
    assignment.release(driver.pk, trip.pk)


@pytest.mark.parametrize("what", [changed, postponed, woken, released])
def test_nothing_says_that_drivers_are_asked_of_a_trip_long_ahead(staff: User, what: Any) -> None:
    """Not even between a change and the search that follows it: open pages show what is told with the change."""
    trip = TripFactory(status="published", in_=FAR)
    Trip.objects.update(next_look_at=trip.departure_at - 72 * HOUR)
    what(trip, staff)

    assert panel_of(trip).headline.sentence.startswith("Drivers are asked from ")
    assert deadlines.start_due_rounds() == 0


def test_a_search_wanted_at_once_that_finds_nobody_says_when_drivers_are_asked_again(staff: User) -> None:
    trip = TripFactory(status="published", in_=FAR)
    assignment.offer_again(trip.pk, staff)

    assert Trip.objects.get(pk=trip.pk).next_look_at == trip.departure_at - 72 * HOUR


def test_cancelling_a_trip_that_nobody_was_asked_about_does_not_say_that_they_are_told() -> None:
    assert panel_of(TripFactory(status="published")).actions.cancel_consequence == (
        "You owe nothing. This cannot be undone."
    )


def test_the_frame_of_an_assignment_does_not_have_staffs_reason(staff: User, driver: Driver) -> None:
    trip = TripFactory(status="unfilled", vehicle_class="van")
    assignment.assign(trip.pk, driver.pk, staff, "the other is drunk")

    assert trip.transitions.get().note == "the other is drunk"
    assert "drunk" not in str(frames(groups.trip(trip.pk)))


def test_why_staff_took_it_off_is_told_to_the_driver_alone(staff: User, driver: Driver) -> None:
    trip = TripFactory(status="accepted", driver=driver)
    assignment.take_off(trip.pk, staff, "smelled of drink")

    assert [frame.note for frame in frames(groups.trip(trip.pk)) if hasattr(frame, "note")] == [""]
    assert "smelled of drink" in Notification.objects.get(user=driver.user).message
