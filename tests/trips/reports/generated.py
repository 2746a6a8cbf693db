"""Trips as a company has them, generated, and what they came to by plain queries: to compare the counted days with."""

import datetime as dt
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import time_machine
from hypothesis import strategies as st

from drivers.geo import cell
from drivers.models import Availability, AvailabilityChange, Cause, Driver
from tests.factories import ALMATY, ASTANA, DriverFactory, TripFactory
from trips.models import DispatchRound, Rating, ReportState, Trip, TripLeg, TripTransition
from trips.reports import keeping
from trips.states import CancelReason, Role, TripStatus, VehicleClass

HOME = ZoneInfo("Asia/Almaty")
# The first of three days, a Monday at home.
MONDAY = dt.datetime(2026, 11, 23, tzinfo=HOME)
NOW = MONDAY + dt.timedelta(days=2, hours=21)
STEPPE = (46.0, 70.0)
PLACES = {"geonames-1526384": ALMATY, "geonames-1526273": ASTANA, "": STEPPE}
# How a trip ended: status, by whom, from which status, the code that was chosen.
ENDS = {
    "completed": (TripStatus.COMPLETED, Role.DRIVER, TripStatus.ARRIVED, ""),
    "given_up": (TripStatus.CANCELLED, Role.SYSTEM, TripStatus.UNFILLED, ""),
    "waited": (TripStatus.CANCELLED, Role.ORGANISER, TripStatus.OFFERED, CancelReason.WAITED_TOO_LONG),
    "changed_mind": (TripStatus.CANCELLED, Role.ORGANISER, TripStatus.ACCEPTED, CancelReason.PLANS_CHANGED),
    "no_show": (TripStatus.CANCELLED, Role.DRIVER, TripStatus.DRIVER_ARRIVED, ""),
    "open": (TripStatus.OFFERED, None, None, ""),
}
UNFILLED = ("given_up", "waited")


class Spec(NamedTuple):
    departs_min: int
    end: str
    place: str
    vehicle_class: str
    fare: int
    waited_s: int
    lasted_min: int
    driver: int
    is_now: bool
    stars: int
    leg_of: int | None
    turned_down: dict[str, int]


SPECS = st.builds(
    Spec,
    departs_min=st.integers(0, 3 * 24 * 60 - 1),
    end=st.sampled_from(sorted(ENDS)),
    place=st.sampled_from(sorted(PLACES)),
    vehicle_class=st.sampled_from(VehicleClass.values),
    fare=st.integers(500, 50_000),
    waited_s=st.integers(0, 1200),
    lasted_min=st.integers(1, 600),
    driver=st.integers(0, 1),
    is_now=st.booleans(),
    stars=st.integers(0, 5),
    leg_of=st.sampled_from([None, None, None, 0, 1]),
    turned_down=st.dictionaries(st.sampled_from(["busy", "too_far", "offline"]), st.integers(1, 9), max_size=2),
)


def spec(**changes: Any) -> Spec:
    values: dict[str, Any] = {
        "departs_min": 60,
        "end": "completed",
        "place": "geonames-1526384",
        "vehicle_class": "sedan",
        "fare": 1000,
        "waited_s": 20,
        "lasted_min": 30,
        "driver": 0,
        "is_now": True,
        "stars": 0,
        "leg_of": None,
        "turned_down": {"busy": 1},
    }
    return Spec(**values | changes)


def count(at: dt.datetime = NOW) -> None:
    """Count what is due, as on a day on which the last weeks have been counted again already: mostly empty days."""
    ReportState.objects.bulk_create([ReportState(pk=1, recounted_on=at.date())], ignore_conflicts=True)
    count_all_due(at)


def count_all_due(at: dt.datetime = NOW) -> None:
    with time_machine.travel(at, tick=False):
        while keeping.count_due() < keeping.COUNT_S:
            pass


# (driver, minute, availability after it); 0 the first driver.
SHIFTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 3 * 24 * 60 - 1), st.sampled_from(Availability.values)), max_size=8
)


class Company:
    """Two drivers and the trips of three days."""

    def __init__(self) -> None:
        self.drivers: list[Driver] = [DriverFactory(), DriverFactory()]
        self._template: Trip = TripFactory(status=TripStatus.DRAFT)

    def add(self, spec: Spec) -> Trip:
        """Add a trip as it is in the end, with its last step, round, leg and rating."""
        status, role, from_status, code = ENDS[spec.end]
        departure_at = MONDAY + dt.timedelta(minutes=spec.departs_min)
        is_driven = spec.end in ("completed", "changed_mind", "no_show")
        driver = self.drivers[spec.driver] if is_driven else None
        fee = spec.fare * 15 // 100
        point = PLACES[spec.place]
        created_at = departure_at - dt.timedelta(minutes=5)
        ended_at = departure_at + dt.timedelta(minutes=spec.lasted_min)
        trip = Trip.objects.get(pk=self._template.pk)
        trip.pk, trip._state.adding = None, True
        values: dict[str, Any] = {
            "status": status,
            "departure_at": departure_at,
            "ends_at": ended_at,
            "pickup_cell": cell(*point),
            "vehicle_class": spec.vehicle_class,
            "fare": spec.fare,
            "platform_fee": fee,
            "driver_earnings": spec.fare - fee,
            "driver": driver,
            "vehicle": driver.vehicle if driver else None,
            "accepted_at": created_at + dt.timedelta(seconds=spec.waited_s) if driver else None,
            "completed_at": ended_at if status == TripStatus.COMPLETED else None,
            "cancelled_at": ended_at if status == TripStatus.CANCELLED else None,
            "cancel_code": code,
            "is_now": spec.is_now,
        }
        for name, value in values.items():
            setattr(trip, name, value)
        trip.save(force_insert=True)
        Trip.objects.filter(pk=trip.pk).update(created_at=created_at)
        if role is not None and from_status is not None:
            step = TripTransition.objects.create(trip=trip, from_status=from_status, to_status=status, role=role)
            TripTransition.objects.filter(pk=step.pk).update(created_at=ended_at)
        if spec.end in UNFILLED:
            DispatchRound.objects.create(
                trip=trip, number=1, considered=sum(spec.turned_down.values()), reasons=spec.turned_down
            )
        if spec.end == "completed":
            self._add_leg(trip, spec)
            if spec.stars:
                self._rate(trip, spec.stars, ended_at)
        return trip

    def _add_leg(self, trip: Trip, spec: Spec) -> None:
        if spec.leg_of is None or spec.leg_of == spec.driver:
            return
        first = self.drivers[spec.leg_of]
        assert first.vehicle is not None
        fare, fee = trip.fare // 3, trip.platform_fee // 3
        Trip.objects.filter(pk=trip.pk).update(former_legs=1, former_fare=fare, former_fee=fee, former_km=1)
        TripLeg.objects.create(
            trip=trip,
            number=1,
            driver=first,
            vehicle=first.vehicle,
            from_name="From",
            from_lat=trip.pickup_lat,
            from_lng=trip.pickup_lng,
            to_name="To",
            to_lat=trip.pickup_lat,
            to_lng=trip.pickup_lng,
            started_at=trip.departure_at,
            ended_at=trip.departure_at,
            km=1,
            fare=fare,
            fee=fee,
            departure_at=trip.departure_at,
            ends_at=trip.ends_at,
            is_now=trip.is_now,
        )

    def _rate(self, trip: Trip, stars: int, at: dt.datetime) -> None:
        assert trip.driver is not None
        row = Rating.objects.create(
            trip=trip, role=Role.ORGANISER, by=trip.organiser, about=trip.driver.user, stars=stars
        )
        Rating.objects.filter(pk=row.pk).update(created_at=at)

    def add_shifts(self, shifts: list[tuple[int, int, str]]) -> None:
        """Write the drivers' changes of availability, and leave the drivers as the last of them says."""
        state = dict.fromkeys((0, 1), Availability.OFFLINE.value)
        for number, minute, availability in sorted(shifts, key=lambda one: one[1]):
            at = MONDAY + dt.timedelta(minutes=minute)
            if at > NOW:
                continue
            row = AvailabilityChange.objects.create(
                driver=self.drivers[number],
                previous=state[number],
                availability=availability,
                is_online=True,
                cause=Cause.DRIVER,
            )
            AvailabilityChange.objects.filter(pk=row.pk).update(created_at=at)
            state[number] = availability
        for number, availability in state.items():
            Driver.objects.filter(pk=self.drivers[number].pk).update(availability=availability)
            self.drivers[number].refresh_from_db()
