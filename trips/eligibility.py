"""Eligibility: which drivers around the pickup may be asked about a trip, and why the others may not.

Each rule refuses a driver with a reason code, which staff read on the trip's round.
"""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from drivers.models import Approval, Availability, Driver
from drivers.search import Near, StoredFix
from stepper.models import DispatchMode, ServiceSettings
from trips import ranking
from trips.driver_facts import Facts, facts
from trips.models import Trip
from trips.policy import Policy
from trips.pricing import LONG_DISTANCE_KM
from trips.states import VehicleClass

# Verdicts on a driver whom no rule refused.
OFFERED, LATER = "offered", "later"
OUTCOMES = {
    OFFERED: _("offered"),
    LATER: _("asked later, if nobody nearer takes it"),
}
# Code -> the words staff read ("3 too far"). If several apply, the order in `refusals` says which one counts.
REASONS = {
    "own_trip": _("booked it"),
    "account_inactive": _("account inactive"),
    "not_approved": _("not approved"),
    "offline": _("offline"),
    "busy": _("on a trip"),
    "no_position": _("no position"),
    "outside_radius": _("outside the radius"),
    "declined_before": _("declined or released it before"),
    "already_asked": _("already asked in this round"),
    "position_dark": _("position dark"),
    "position_inaccurate": _("position inaccurate"),
    "position_doubted": _("position in doubt"),
    "licence_expired": _("licence expired"),
    "no_vehicle": _("no vehicle"),
    "too_few_seats": _("too few seats"),
    "vehicle_class": _("smaller vehicle class"),
    "trip_type": _("does not take this type of trip"),
    "long_distance": _("does not take long distances"),
    "too_far": _("too far for the driver"),
    "earnings_too_low": _("earnings below the driver's least"),
    "overlapping": _("has an overlapping trip"),
    "answering": _("has another offer to answer"),
    "offers_full": _("has as many open offers as allowed"),
}

_CLASS_RANK = {name: rank for rank, name in enumerate(VehicleClass.values)}


class Candidate(NamedTuple):
    facts: Facts
    near: Near
    # A key of REASONS; None: the driver may be asked.
    reason: str | None
    # The parts of the score, in km; their sum is the score.
    parts: dict[str, float]

    @property
    def driver_id(self) -> int:
        return self.facts.driver_id

    @property
    def distance_km(self) -> float:
        return self.near.distance_km

    @property
    def score(self) -> float:
        return sum(self.parts.values())


def assess(
    trip: Trip,
    round_number: int,
    *,
    near: Sequence[Near],
    policy: Policy,
    settings: ServiceSettings,
    rows: dict[int, Facts] | None = None,
) -> list[Candidate]:
    """Judge drivers found around the pickup for this round; a driver whose row was deleted is left out."""
    if not near:
        return []
    known = facts(trip, round_number, driver_ids=[one.driver_id for one in near], settings=settings, rows=rows)
    now = timezone.now()
    found = []
    for one in near:
        driver = known.get(one.driver_id)
        if driver is not None:
            codes = refusals(
                trip, driver, fix=one.position, distance_km=one.distance_km, policy=policy, settings=settings
            )
            parts = ranking.parts(driver, one.distance_km, settings=settings, now=now)
            found.append(Candidate(driver, one, codes[0] if codes else None, parts))
    return found


def _fitness_rules(
    trip: Trip, licence_expires_on: dt.date, seats: int | None, vehicle_class: str | None
) -> tuple[tuple[str, bool], ...]:
    """Return the rules of licence and vehicle as (code, whether it refuses the driver). `seats` None: no vehicle."""
    return (
        ("licence_expired", licence_expires_on < timezone.localdate()),
        ("no_vehicle", seats is None),
        ("too_few_seats", seats is not None and seats < trip.seats),
        ("vehicle_class", vehicle_class is not None and _CLASS_RANK[vehicle_class] < _CLASS_RANK[trip.vehicle_class]),
    )


def unfit(trip: Trip, driver: Driver) -> list[str]:
    """Return the codes of the licence and vehicle rules that refuse the driver, the first counts; empty: they fit.

    The same rules as in the search, for a driver who accepts or is assigned: staff may have changed licence or vehicle
    since the search.
    """
    vehicle = driver.vehicle
    of_vehicle = (vehicle.seats, vehicle.vehicle_class) if vehicle else (None, None)
    return [code for code, applies in _fitness_rules(trip, driver.licence_expires_on, *of_vehicle) if applies]


def refusals(
    trip: Trip, driver: Facts, *, fix: StoredFix | None, distance_km: float, policy: Policy, settings: ServiceSettings
) -> list[str]:
    """Return the codes of all rules that refuse a driver, the first counts; empty: eligible."""
    fresh_since = timezone.now() - dt.timedelta(seconds=settings.position_fresh_s)
    rules = (
        ("own_trip", driver.user_id == trip.organiser_id),
        ("account_inactive", not driver.is_active),
        ("not_approved", driver.approval != Approval.APPROVED),
        ("offline", driver.availability == Availability.OFFLINE),
        ("busy", driver.availability == Availability.BUSY),
        ("no_position", fix is None),
        ("outside_radius", fix is not None and distance_km > policy.radius_km),
        ("declined_before", driver.refused),
        ("already_asked", driver.asked_now),
        ("position_dark", fix is not None and fix.recorded_at < fresh_since),
        (
            "position_inaccurate",
            fix is not None and fix.accuracy_m is not None and fix.accuracy_m > settings.position_accuracy_m,
        ),
        ("position_doubted", fix is not None and fix.is_doubted),
        *_fitness_rules(trip, driver.licence_expires_on, driver.seats, driver.vehicle_class),
        ("trip_type", trip.trip_type not in driver.trip_types),
        ("long_distance", trip.distance_km >= LONG_DISTANCE_KM and not driver.accepts_long_distance),
        ("too_far", driver.max_distance_km is not None and distance_km > driver.max_distance_km),
        ("earnings_too_low", driver.min_earnings is not None and trip.driver_earnings < driver.min_earnings),
        ("overlapping", driver.overlapping),
        # Trips that are matched together: each driver gets one offer at a time.
        ("answering", policy.mode == DispatchMode.BATCHED and driver.open_offers > 0),
        ("offers_full", driver.open_offers >= settings.max_open_offers),
    )
    return [code for code, applies in rules if applies]


def tally(candidates: Sequence[Candidate]) -> dict[str, int]:
    """Count the drivers refused for each reason code."""
    counted: dict[str, int] = {}
    for candidate in candidates:
        if candidate.reason:
            counted[candidate.reason] = counted.get(candidate.reason, 0) + 1
    return counted


def in_words(reasons: dict[str, int]) -> str:
    """Return counted reasons as staff read them: "3 too far, 2 position dark"."""
    return ", ".join(f"{number} {REASONS.get(code, code)}" for code, number in sorted(reasons.items()))
