"""Counted days equal what plain queries over the trips say, however they were counted, on both databases."""

import datetime as dt
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.db.models import Q, Sum
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
from trips.states import CancelReason, Role, TripStatus, VehicleClass

pytestmark = pytest.mark.django_db

DAYS = [(MONDAY + dt.timedelta(days=number)).date() for number in range(3)]


def raw(day: dt.date, place: str, vehicle_class: str) -> dict[str, int]:
    """What the trips themselves say of a day, by one query for each figure."""
    start = dt.datetime.combine(day, dt.time.min, HOME)
    end = start + dt.timedelta(days=1)
    here = Trip.objects.filter(pickup_cell=cell(*PLACES[place]), vehicle_class=vehicle_class)
    here = here.exclude(status=TripStatus.DRAFT)
    departing = here.filter(departure_at__gte=start, departure_at__lt=end)
    given_up = Q(transitions__role=Role.SYSTEM) | Q(cancel_code=CancelReason.WAITED_TOO_LONG)
    unfilled = departing.filter(given_up, status=TripStatus.CANCELLED, driver=None).distinct().count()
    ended = here.filter(status=TripStatus.COMPLETED, completed_at__gte=start, completed_at__lt=end)
    taken = departing.filter(is_now=True, accepted_at__isnull=False, former_legs=0)
    waits = [((trip.accepted_at or trip.created_at) - trip.created_at).total_seconds() for trip in taken]
    rated = Rating.objects.filter(
        created_at__gte=start, created_at__lt=end, trip__pickup_cell=cell(*PLACES[place])
    ).filter(trip__vehicle_class=vehicle_class)
    return {
        "trips": departing.count(),
        "completed": departing.filter(status=TripStatus.COMPLETED).count(),
        "cancelled": departing.filter(status=TripStatus.CANCELLED).count() - unfilled,
        "unfilled": unfilled,
        "accepted": len(waits),
        "accept_s": int(sum(waits)),
        "accepted_30s": sum(wait <= 30 for wait in waits),
        "accepted_1min": sum(30 < wait <= 60 for wait in waits),
        "accepted_10min": sum(300 < wait <= 600 for wait in waits),
        "ended": ended.count(),
        "fare": ended.aggregate(sum=Sum("fare", default=0))["sum"],
        "fee": ended.aggregate(sum=Sum("platform_fee", default=0))["sum"],
        **{f"stars_{stars}": rated.filter(stars=stars).count() for stars in range(1, 6)},
    }


def counted(day: dt.date, place: str, vehicle_class: str, names: Any) -> dict[str, int]:
    rows = TripDay.objects.filter(day=day, place=place, vehicle_class=vehicle_class)
    return rows.aggregate(**{f"sum_{name}": Sum(name, default=0) for name in names})


def assert_equal_to_the_trips(company: Company) -> None:
    for day in DAYS:
        for place in PLACES:
            for vehicle_class in VehicleClass.values:
                expected = raw(day, place, vehicle_class)
                found = counted(day, place, vehicle_class, expected)
                assert found == {f"sum_{name}": value for name, value in expected.items()}, (day, place)
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
