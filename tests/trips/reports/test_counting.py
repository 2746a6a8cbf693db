"""Counted days equal what plain queries over the trips say, however they were counted, on both databases."""

import datetime as dt
from typing import Any

import pytest
import time_machine
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from drivers.earnings import hours, sums
from drivers.earnings.periods import Kind, Period
from drivers.geo import cell
from stepper.models import ServiceSettings
from tests.trips.reports.generated import HOME, MONDAY, NOW, PLACES, SHIFTS, SPECS, UNFILLED, Company, Spec, count, spec
from trips.models import DriverDay, Rating, Trip, TripDay, TripHour, TripReason, TripTransition
from trips.reports import keeping
from trips.reports.reasons import NOBODY_ACCEPTED, NOBODY_ONLINE, NOT_SEARCHED, unfilled_code
from trips.states import CancelReason, Role, TripStatus

pytestmark = pytest.mark.django_db

DAYS = [(MONDAY + dt.timedelta(days=number)).date() for number in range(3)]


# Of a day, a place and a class.
Key = tuple[dt.date, str, str]
FIGURES = (
    *("trips", "completed", "cancelled", "unfilled"),
    *("accepted", "accept_s", "accepted_30s", "accepted_1min", "accepted_10min", "ended", "fare", "fee"),
    *(f"stars_{stars}" for stars in range(1, 6)),
)


def raw() -> dict[Key, dict[str, int]]:
    """What the trips themselves say, one by one."""
    names = {cell(*point): name for name, point in PLACES.items()}
    figures: dict[Key, dict[str, int]] = {}

    def of(at: dt.datetime, trip: Trip) -> dict[str, int]:
        key = (at.astimezone(HOME).date(), names[trip.pickup_cell], trip.vehicle_class)
        return figures.setdefault(key, dict.fromkeys(FIGURES, 0))

    ended_by_system = set(TripTransition.objects.filter(role=Role.SYSTEM).values_list("trip_id", flat=True))
    for trip in Trip.objects.exclude(status=TripStatus.DRAFT):
        departing = of(trip.departure_at, trip)
        is_cancelled = trip.status == TripStatus.CANCELLED
        given_up = trip.pk in ended_by_system or trip.cancel_code == CancelReason.WAITED_TOO_LONG
        is_unfilled = is_cancelled and given_up and trip.driver_id is None
        departing["trips"] += 1
        departing["completed"] += trip.status == TripStatus.COMPLETED
        departing["unfilled"] += is_unfilled
        departing["cancelled"] += is_cancelled and not is_unfilled
        if trip.is_now and trip.accepted_at and trip.former_legs == 0:
            wait = (trip.accepted_at - trip.created_at).total_seconds()
            departing["accepted"] += 1
            departing["accept_s"] += int(wait)
            departing["accepted_30s"] += wait <= 30
            departing["accepted_1min"] += 30 < wait <= 60
            departing["accepted_10min"] += 300 < wait <= 600
        if trip.status == TripStatus.COMPLETED and trip.completed_at:
            ending = of(trip.completed_at, trip)
            ending["ended"] += 1
            ending["fare"] += trip.fare
            ending["fee"] += trip.platform_fee
    for rating in Rating.objects.select_related("trip"):
        of(rating.created_at, rating.trip)[f"stars_{rating.stars}"] += 1
    return of_days(figures)


def counted() -> dict[Key, dict[str, int]]:
    figures: dict[Key, dict[str, int]] = {}
    for row in TripDay.objects.all():
        sums_of_key = figures.setdefault((row.day, row.place, row.vehicle_class), dict.fromkeys(FIGURES, 0))
        for name in FIGURES:
            sums_of_key[name] += getattr(row, name)
    return of_days(figures)


def of_days(figures: dict[Key, dict[str, int]]) -> dict[Key, dict[str, int]]:
    """Return those of the three days, without what is nothing."""
    return {key: found for key, found in figures.items() if key[0] in DAYS and any(found.values())}


def assert_equal_to_the_trips(company: Company) -> None:
    assert counted() == raw()
    for day in DAYS:
        for driver in company.drivers:
            row = DriverDay.objects.filter(day=day, driver=driver).first() or DriverDay(day=day, driver=driver)
            period = Period(Kind.DAY, day, HOME)
            earned = sum(sums.by_span(driver.pk, period), start=sums.Sums())
            assert (row.trips, row.fare, row.fee, row.owed) == (
                earned.trips,
                earned.fare,
                earned.fee,
                earned.fee_owed,
            )
            worked = hours.worked(driver, period, now=NOW, settings=ServiceSettings())
            assert worked is not None
            assert (row.online_s, row.on_trips_s) == (worked.online.total_seconds(), worked.on_trips.total_seconds())
    # Each trip is counted in one hour, each that found nobody for one reason, each cancelled one for one.
    of_days = Trip.objects.exclude(status=TripStatus.DRAFT).filter(departure_at__gte=MONDAY)
    assert sum(TripHour.objects.values_list("trips", flat=True)) == of_days.count()
    unfilled = sum(TripDay.objects.values_list("unfilled", flat=True))
    assert sum(TripHour.objects.values_list("unfilled", flat=True)) == unfilled
    by_kind = dict.fromkeys(TripReason.Kind.values, 0)
    for kind, trips in TripReason.objects.values_list("kind", "trips"):
        by_kind[kind] += trips
    assert by_kind == {"unfilled": unfilled, "cancelled": of_days.filter(status=TripStatus.CANCELLED).count()}


# Without shrinking: an example takes a second.
@settings(
    max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(specs=st.lists(SPECS, min_size=1, max_size=12), shifts=SHIFTS, late=st.lists(SPECS, max_size=3))
def test_days_equal_the_trips_and_late_changes_are_counted_again(
    specs: list[Spec], shifts: list[tuple[int, int, str]], late: list[Spec]
) -> None:
    """Counted when some trips were there, again when others came and changed, and all of it by the command."""
    with transaction.atomic():
        company = Company()
        company.add_shifts(shifts)
        trips = [company.add(spec) for spec in specs]
        count()
        assert_equal_to_the_trips(company)

        for spec in late:
            company.add(spec)
        still_open = [trip for trip, spec in zip(trips, specs, strict=True) if spec.end == "open"]
        for trip in still_open:
            Trip.objects.filter(pk=trip.pk).update(status=TripStatus.CANCELLED, cancelled_at=NOW)
            TripTransition.objects.create(
                trip=trip, from_status=TripStatus.OFFERED, to_status=TripStatus.CANCELLED, role=Role.SYSTEM
            )
        # What has no step of its own, such as an open trip, is found by the night's counting.
        keeping.ReportState.objects.update(recounted_on=None)
        count(NOW + dt.timedelta(minutes=10))
        stored = list(TripDay.objects.order_by("day", "place", "vehicle_class").values_list("day", "trips", "fare"))
        with time_machine.travel(NOW, tick=False):
            keeping.rebuild()
            assert_equal_to_the_trips(company)
        again = list(TripDay.objects.order_by("day", "place", "vehicle_class").values_list("day", "trips", "fare"))
        assert again == stored
        transaction.set_rollback(True)


@pytest.mark.embedded_only
@pytest.mark.parametrize(
    ("waves", "code"),
    [
        ([], NOT_SEARCHED),
        ([(1, 0, 0, {})], NOBODY_ONLINE),
        ([(1, 4, 2, {"busy": 2})], NOBODY_ACCEPTED),
        # Who declined in the first round is turned down for it in the last one.
        ([(1, 2, 2, {}), (2, 2, 0, {"declined_before": 2})], "declined_before"),
        ([(1, 5, 0, {"too_far": 2, "busy": 1}), (1, 3, 0, {"busy": 2})], "busy"),
        # As many of each: what counts first for a driver.
        ([(1, 4, 0, {"too_far": 2, "offline": 2})], "offline"),
    ],
)
def test_reason_is_what_turned_most_drivers_down_in_the_last_round(waves: Any, code: str) -> None:
    assert unfilled_code(waves) == code


@pytest.mark.embedded_only
def test_reasons_are_those_of_who_cancelled() -> None:
    company = Company()
    for end in ("given_up", "waited", "changed_mind", "no_show"):
        company.add(spec(end=end))
    count()
    rows = TripReason.objects.filter(kind="cancelled").order_by("side", "code").values_list("side", "code", "trips")
    assert list(rows) == [
        ("driver", "no_show", 1),
        ("organiser", "plans_changed", 1),
        ("organiser", "waited_too_long", 1),
        ("system", "no_driver", 1),
    ]
    assert list(TripReason.objects.filter(kind="unfilled").values_list("code", "trips")) == [("busy", len(UNFILLED))]
