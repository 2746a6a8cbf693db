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
from stepper.db.clock import database_now
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
    "had_trip": _("has driven a part of it"),
    "declined_before": _("declined or released it before"),
    "already_asked": _("already asked in this round"),
    "position_dark": _("position dark"),
    "position_inaccurate": _("position inaccurate"),
    "position_doubted": _("position in doubt"),
    "licence_expired": _("licence expired"),
    "documents_expired": _("a document is not valid"),
    "no_vehicle": _("no vehicle"),
    "too_few_seats": _("too few seats"),
    "vehicle_class": _("smaller vehicle class"),
    "trip_type": _("does not take this type of trip"),
    "long_distance": _("does not take long distances"),
    "too_far": _("too far for the driver"),
    "earnings_too_low": _("earnings below the driver's least"),
    "overlapping": _("has an overlapping trip"),
    "vehicle_overlapping": _("another driver of the vehicle has an overlapping trip"),
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
    now = database_now()
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
    trip: Trip, driver: Facts | Driver, seats: int | None, vehicle_class: str | None
) -> tuple[tuple[str, bool], ...]:
    """Return the rules of licence, documents and vehicle as (code, whether it refuses). `seats` None: no vehicle."""
    today, valid_until = timezone.localdate(), driver.documents_valid_until
    return (
        ("licence_expired", driver.licence_expires_on < today),
        ("documents_expired", valid_until is not None and valid_until < today),
        ("no_vehicle", seats is None),
        ("too_few_seats", seats is not None and seats < trip.seats),
        ("vehicle_class", vehicle_class is not None and _CLASS_RANK[vehicle_class] < _CLASS_RANK[trip.vehicle_class]),
    )


def _filter_rules(trip: Trip, filters: Facts | Driver, distance_km: float) -> tuple[tuple[str, bool], ...]:
    """Return the rules of the driver's own filters as (code, whether it refuses the driver)."""
    farthest, least = filters.max_distance_km, filters.min_earnings
    return (
        ("trip_type", trip.trip_type not in filters.trip_types),
        ("long_distance", trip.distance_km >= LONG_DISTANCE_KM and not filters.accepts_long_distance),
        ("too_far", farthest is not None and distance_km > farthest),
        ("earnings_too_low", least is not None and trip.own_earnings < least),
    )


def is_filtered_out(trip: Trip, driver: Driver, distance_km: float) -> bool:
    """Say whether the driver's own filters refuse the trip, with its pickup so far away."""
    return any(applies for _code, applies in _filter_rules(trip, driver, distance_km))


def unfit(trip: Trip, driver: Driver) -> list[str]:
    """Return the codes of the rules of licence, documents and vehicle that refuse the driver; empty: they fit.

    The first counts. The same rules as in the search, for a driver who accepts or is assigned: staff may have changed
    licence, documents or vehicle since the search.
    """
    vehicle = driver.vehicle
    of_vehicle = (vehicle.seats, vehicle.vehicle_class) if vehicle else (None, None)
    return [code for code, applies in _fitness_rules(trip, driver, *of_vehicle) if applies]


def refusals(
    trip: Trip, driver: Facts, *, fix: StoredFix | None, distance_km: float, policy: Policy, settings: ServiceSettings
) -> list[str]:
    """Return the codes of all rules that refuse a driver, the first counts; empty: eligible."""
    fresh_since = database_now() - dt.timedelta(seconds=settings.position_fresh_s)
    rules = (
        ("own_trip", driver.user_id == trip.organiser_id),
        ("account_inactive", not driver.is_active),
        ("not_approved", driver.approval != Approval.APPROVED),
        ("offline", driver.availability == Availability.OFFLINE),
        ("busy", driver.availability == Availability.BUSY),
        ("no_position", fix is None),
        ("outside_radius", fix is not None and distance_km > policy.radius_km),
        ("had_trip", driver.had_trip),
        ("declined_before", driver.refused),
        ("already_asked", driver.asked_now),
        ("position_dark", fix is not None and fix.recorded_at < fresh_since),
        (
            "position_inaccurate",
            fix is not None and fix.accuracy_m is not None and fix.accuracy_m > settings.position_accuracy_m,
        ),
        ("position_doubted", fix is not None and fix.is_doubted),
        *_fitness_rules(trip, driver, driver.seats, driver.vehicle_class),
        *_filter_rules(trip, driver, distance_km),
        ("overlapping", driver.overlapping),
        ("vehicle_overlapping", driver.vehicle_overlapping),
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
