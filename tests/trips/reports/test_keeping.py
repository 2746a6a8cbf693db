"""When days are counted: late changes, who counts, what stays of deleted rows."""

import datetime as dt

import pytest
import time_machine
from django.core.management import call_command

from drivers.models import AvailabilityChange
from tests.factories import PassengerFactory, TripFactory, former_leg
from tests.trips.reports.generated import HOME, MONDAY, NOW, Company, count, count_all_due, spec
from trips.changes import record_change
from trips.models import DispatchRound, DriverDay, ReportState, Trip, TripDay, TripReason
from trips.reports import keeping
from trips.reports.days import day_of
from trips.states import Role, TripStatus

pytestmark = pytest.mark.django_db

TODAY = NOW.date()
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def trips_of(day: dt.date) -> tuple[int, int]:
    rows = TripDay.objects.filter(day=day).values_list("trips", "completed")
    return sum(row[0] for row in rows), sum(row[1] for row in rows)


def test_trip_that_ends_days_later_is_counted_where_it_departed_and_where_it_ended() -> None:
    trip = Company().add(spec(end="open"))
    count()
    assert trips_of(MONDAY.date()) == (1, 0)
    with time_machine.travel(NOW + HOUR, tick=False):
        driver = Company().drivers[0]
        Trip.objects.filter(pk=trip.pk).update(status=TripStatus.ARRIVED, driver=driver, vehicle=driver.vehicle)
        trip.refresh_from_db()
        trip.move(TripStatus.COMPLETED, Role.STAFF, completed_at=NOW + HOUR)
    count(NOW + HOUR)
    assert trips_of(MONDAY.date()) == (1, 1)
    assert list(TripDay.objects.filter(ended=1).values_list("day", "fare")) == [(TODAY, 1000)]


def test_postponed_trip_leaves_its_day() -> None:
    trip = Company().add(spec(end="open"))
    count()
    with time_machine.travel(NOW + HOUR, tick=False):
        later = MONDAY + DAY
        record_change(trip, {"departure_at": later}, trip.organiser)
        Trip.objects.filter(pk=trip.pk).update(departure_at=later, ends_at=later)
    count(NOW + HOUR)
    assert trips_of(MONDAY.date()) == (0, 0)
    assert trips_of(later.date()) == (1, 0)


def test_handed_over_trip_is_counted_on_both_days_until_it_ends() -> None:
    """Its departure is the hand-over meanwhile (trips.handover)."""
    company = Company()
    trip = company.add(spec(end="open"))
    count()
    with time_machine.travel(NOW + HOUR, tick=False):
        leg = former_leg(trip, company.drivers[0])
        Trip.objects.filter(pk=trip.pk).update(departure_at=leg.ended_at, ends_at=leg.ended_at)
        trip.refresh_from_db()
        trip.move(TripStatus.UNFILLED, Role.SYSTEM)
    count(NOW + HOUR)
    assert trips_of(MONDAY.date()) == (0, 0)
    assert trips_of(TODAY) == (1, 0)


def test_step_whose_transaction_commits_late_is_found_by_its_id_still() -> None:
    first = Company().add(spec(end="open"))
    with time_machine.travel(NOW, tick=False):
        first.move(TripStatus.UNFILLED, Role.SYSTEM)
    count(NOW)
    count(NOW + dt.timedelta(seconds=30))
    # Too new to be sure that no lower id comes: it is read again.
    assert ReportState.objects.get().transition_id == 0
    count(NOW + HOUR)
    assert ReportState.objects.get().transition_id == first.transitions.get().pk


def test_only_one_process_counts_and_another_takes_over_when_it_dies() -> None:
    Company().add(spec())
    ReportState.objects.create(pk=1, claim="another", claimed_until=NOW + dt.timedelta(days=3650))
    assert keeping.count_due() == keeping.COUNT_S
    assert not TripDay.objects.exists()
    ReportState.objects.update(claimed_until=NOW - dt.timedelta(days=3650))
    count()
    assert TripDay.objects.exists()


def test_what_pruning_deleted_stays_as_it_was_counted() -> None:
    company = Company()
    company.add_shifts([(0, 60, "available"), (0, 120, "offline")])
    company.add(spec(end="given_up"))
    count()
    AvailabilityChange.objects.all().delete()
    DispatchRound.objects.all().delete()
    much_later = NOW + dt.timedelta(days=200)
    with time_machine.travel(much_later, tick=False):
        call_command("rebuild_reports")
    assert DriverDay.objects.get(day=MONDAY.date()).online_s == 3600
    assert TripReason.objects.get(kind="unfilled").code == "busy"
    assert trips_of(MONDAY.date()) == (1, 0)


def test_rebuild_brings_back_what_was_lost() -> None:
    Company().add(spec())
    count()
    TripDay.objects.all().delete()
    with time_machine.travel(NOW, tick=False):
        call_command("rebuild_reports")
    assert trips_of(MONDAY.date()) == (1, 1)


def test_days_are_those_of_the_services_zone_whatever_the_trips_is() -> None:
    before_midnight = dt.datetime(2026, 11, 24, 23, 30, tzinfo=HOME)
    TripFactory(organiser=PassengerFactory(), departure_at=before_midnight, timezone="Europe/Berlin")
    count()
    assert trips_of(dt.date(2026, 11, 24)) == (1, 0)
    assert day_of(before_midnight) == dt.date(2026, 11, 24)


def test_days_missed_while_nothing_ran_are_counted() -> None:
    company = Company()
    count()
    company.add_shifts([(0, 3 * 24 * 60 - 200, "available")])
    later = NOW + 2 * DAY
    count(later)
    assert set(DriverDay.objects.values_list("day", flat=True)) == {TODAY, TODAY + DAY, TODAY + 2 * DAY}


def test_first_pass_of_an_installation_counts_from_its_first_trip() -> None:
    Company().add(spec())
    count_all_due()
    assert trips_of(MONDAY.date()) == (1, 1)
    assert ReportState.objects.get().recounted_on == TODAY
