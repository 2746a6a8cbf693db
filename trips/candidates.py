"""Whom staff can give a trip to: the drivers nearest to its pickup or found by search, and what speaks against each.

The rules are those of the search (trips.eligibility). Some refuse, whoever asks; the others warn, and staff say why
they choose the driver all the same (trips.assignment).
"""

import datetime as dt
import math
from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import F, FloatField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Abs, Least

from drivers.geo import distance_km
from drivers.models import Approval, AvailabilityChange, Driver, DriverPosition
from drivers.search import StoredFix
from trips import eta
from trips.driver_facts import facts
from trips.eligibility import refusals
from trips.models import Trip
from trips.policy import Policies
from trips.states import ASSIGNED

MOST_SHOWN = 20
# What staff cannot overrule: papers and seats that every trip needs, and what the records do not let be.
REFUSING = frozenset(
    {
        "own_trip",
        "account_inactive",
        "not_approved",
        "licence_expired",
        "documents_expired",
        "no_vehicle",
        "too_few_seats",
        "had_trip",
        "overlapping",
        "vehicle_overlapping",
    }
)
# Limits on asking a driver, which say nothing against giving them the trip.
_OF_ASKING = frozenset({"already_asked", "answering", "offers_full"})


class Judged(NamedTuple):
    """A driver as the rules see them for one trip. `km` and `fix` None: no position of theirs is known."""

    driver_id: int
    km: float | None
    fix: StoredFix | None
    # All codes of trips.eligibility that speak against them, in its order.
    codes: list[str]

    @property
    def refused(self) -> list[str]:
        """The codes that nobody can overrule."""
        return [code for code in self.codes if code in REFUSING]

    @property
    def warnings(self) -> list[str]:
        """The codes that staff can overrule with a reason."""
        return [code for code in self.codes if code not in REFUSING | _OF_ASKING]


class Candidate(NamedTuple):
    """A driver whom staff can choose, with what they choose by."""

    driver: Driver
    judged: Judged
    # Minutes of driving to the pickup; None: no position of theirs is known.
    minutes: int | None
    # When their availability changed last; None: never.
    since: dt.datetime | None
    # The first of their trips that is not over.
    next_trip: Trip | None


def judge(trip: Trip, positions: dict[int, DriverPosition | None], policies: Policies) -> dict[int, Judged]:
    """Judge drivers, by id, with their positions, for one trip; in three queries for any number of them."""
    policy, settings = policies.of(trip), policies.settings
    known = facts(trip, trip.asking_round, driver_ids=list(positions), settings=settings)
    found = {}
    for driver_id, row in known.items():
        position = positions[driver_id]
        fix = km = None
        if position is not None:
            fix = StoredFix(
                driver_id,
                position.lat,
                position.lng,
                position.accuracy_m,
                position.recorded_at,
                position.jumped,
            )
            km = distance_km(position.lat, position.lng, trip.pickup_lat, trip.pickup_lng)
        codes = refusals(trip, row, fix=fix, distance_km=km or 0.0, policy=policy, settings=settings)
        found[driver_id] = Judged(driver_id, km, fix, codes)
    return found


def judge_driver(trip: Trip, driver: Driver) -> Judged:
    """Judge one driver for a trip, as they are now."""
    position = DriverPosition.objects.filter(driver=driver).first()
    return judge(trip, {driver.pk: position}, Policies.current())[driver.pk]


def find_candidates(trip: Trip, among: QuerySet[Driver] | None = None) -> list[Candidate]:
    """Return the drivers nearest to the pickup, at most `MOST_SHOWN`; those without a position are last.

    `among`: only these, whatever speaks against them; None: the approved ones with a vehicle. The trip's own driver is
    left out.
    """
    policies = Policies.current()
    if among is None:
        among = Driver.objects.filter(approval=Approval.APPROVED, user__is_active=True, vehicle__isnull=False)
    drivers = list(_nearest(trip, among.exclude(pk=trip.driver_id or 0)))
    positions = {driver.pk: getattr(driver, "position", None) for driver in drivers}
    judged = judge(trip, positions, policies) if drivers else {}
    next_trips = _next_trips(list(judged))
    speeds = eta.speeds_of(policies.settings)

    def candidate(driver: Driver) -> Candidate:
        one = judged[driver.pk]
        minutes = None if one.km is None else eta.minutes(one.km, speeds)
        return Candidate(driver, one, minutes, driver.since, next_trips.get(driver.pk))  # type: ignore[attr-defined]

    return [candidate(driver) for driver in drivers if driver.pk in judged]


def _nearest(trip: Trip, drivers: QuerySet[Driver]) -> QuerySet[Driver]:
    """Return the drivers nearest to the pickup in order, by degrees of latitude squared: good enough to sort by.

    It reads the position of every driver: offline and busy ones are in no index of places.
    """
    north = F("position__lat") - Value(trip.pickup_lat, FloatField())
    apart = Abs(F("position__lng") - Value(trip.pickup_lng, FloatField()), output_field=FloatField())
    east = Least(apart, Value(360.0) - apart, output_field=FloatField()) * math.cos(math.radians(trip.pickup_lat))
    changes = AvailabilityChange.objects.filter(driver=OuterRef("pk")).order_by("-pk")
    away, order = north * north + east * east, (F("away").asc(nulls_last=True), "pk")
    # Whole rows of the few alone: sorting those of all drivers takes several times as long.
    nearest = drivers.annotate(away=away).order_by(*order).values("pk")[:MOST_SHOWN]
    rows = Driver.objects.filter(pk__in=nearest).select_related("user", "vehicle", "position")
    return rows.annotate(away=away, since=Subquery(changes.values("created_at")[:1])).order_by(*order)


def _next_trips(driver_ids: Sequence[int]) -> dict[int, Trip]:
    """Return the first trip of each driver that is not over. One query."""
    ahead = Trip.objects.filter(driver__in=driver_ids, status__in=sorted(ASSIGNED)).order_by("-departure_at", "-pk")
    return {trip.driver_id: trip for trip in ahead if trip.driver_id}
