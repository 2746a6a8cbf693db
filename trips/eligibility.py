"""Who of the drivers around may be asked about a trip, and why the others may not.

Every rule turns a driver down with a reason code that staff can read on the trip's round.
"""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import Count, Exists, FilteredRelation, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from drivers.models import Approval, Availability, Driver
from drivers.search import Fix, Near
from stepper.models import ServiceSettings

from . import ranking
from .models import Trip
from .policy import Policy
from .pricing import LONG_DISTANCE_KM
from .states import DispatchMode, OfferStatus, VehicleClass

# What became of a driver whom no rule turned down.
OFFERED, LATER = "offered", "later"
OUTCOMES = {
    OFFERED: _("offered"),
    LATER: _("asked later, if nobody nearer takes it"),
}
# Code -> what staff read ("3 too far"), the first that applies is the one that counts.
REASONS = {
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
    driver: Driver
    near: Near
    # Times this trip was put before the driver already; those never asked come first.
    asked: int
    # A key of REASONS; None: may be asked.
    reason: str | None
    # What the score is made of, in km.
    parts: dict[str, float]

    @property
    def distance_km(self) -> float:
        return self.near.distance_km

    @property
    def score(self) -> float:
        return sum(self.parts.values())


def of_trip(trip: Trip, round_number: int, settings: ServiceSettings) -> QuerySet[Driver]:
    """Drivers with all that the rules ask of them for this trip and round."""
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    this = Q(put__trip=trip)
    # Not every offer a driver was ever put: only what is open and what was of this trip.
    put = FilteredRelation("offers", condition=Q(offers__trip=trip) | Q(offers__status=OfferStatus.PENDING))
    refused = Q(put__status=OfferStatus.DECLINED) | Q(put__released_at__isnull=False)
    return Driver.objects.select_related("vehicle", "user", "standing").annotate(
        put=put,
        open_offers=Count("put", filter=Q(put__status=OfferStatus.PENDING, put__expires_at__gt=Now())),
        asked=Count("put", filter=this),
        asked_now=Count("put", filter=this & Q(put__round_number=round_number)),
        refused=Count("put", filter=this & refused),
        overlapping=Exists(
            Trip.objects.filter(driver=OuterRef("pk")).overlapping(trip.departure_at, trip.ends_at, margin)
        ),
    )


def assess(
    trip: Trip, round_number: int, near: Sequence[Near], policy: Policy, settings: ServiceSettings
) -> list[Candidate]:
    """Judges drivers found around the pickup for this round, in one query whatever their number."""
    drivers = of_trip(trip, round_number, settings).in_bulk([one.driver_id for one in near])
    now = timezone.now()
    found = []
    for one in near:
        driver = drivers.get(one.driver_id)
        if driver is not None:
            codes = refusals(trip, driver, one.position, one.distance_km, policy, settings)
            parts = ranking.parts(driver, one.distance_km, settings, now)
            asked: int = driver.asked  # type: ignore[attr-defined]
            found.append(Candidate(driver, one, asked, codes[0] if codes else None, parts))
    return found


def refusals(
    trip: Trip, driver: Driver, fix: Fix | None, distance_km: float, policy: Policy, settings: ServiceSettings
) -> list[str]:
    """Every reason that speaks against a driver of `of_trip`, the first being the one that counts; empty: eligible."""
    vehicle = driver.vehicle
    fresh_since = timezone.now() - dt.timedelta(seconds=settings.position_fresh_s)
    exclusive = policy.mode == DispatchMode.BATCHED
    rules = (
        ("account_inactive", not driver.user.is_active),
        ("not_approved", driver.approval != Approval.APPROVED),
        ("offline", driver.availability == Availability.OFFLINE),
        ("busy", driver.availability == Availability.BUSY),
        ("no_position", fix is None),
        ("outside_radius", fix is not None and distance_km > policy.radius_km),
        ("declined_before", driver.refused > 0),  # type: ignore[attr-defined]
        ("already_asked", driver.asked_now > 0),  # type: ignore[attr-defined]
        ("position_dark", fix is not None and fix.recorded_at < fresh_since),
        (
            "position_inaccurate",
            fix is not None and fix.accuracy_m is not None and fix.accuracy_m > settings.position_accuracy_m,
        ),
        ("licence_expired", driver.licence_expired),
        ("no_vehicle", vehicle is None),
        ("too_few_seats", vehicle is not None and vehicle.seats < trip.seats),
        (
            "vehicle_class",
            vehicle is not None and _CLASS_RANK[vehicle.vehicle_class] < _CLASS_RANK[trip.vehicle_class],
        ),
        ("trip_type", trip.trip_type not in driver.trip_types),
        ("long_distance", trip.distance_km >= LONG_DISTANCE_KM and not driver.accepts_long_distance),
        ("too_far", driver.max_distance_km is not None and distance_km > driver.max_distance_km),
        ("earnings_too_low", driver.min_earnings is not None and trip.driver_earnings < driver.min_earnings),
        ("overlapping", driver.overlapping),  # type: ignore[attr-defined]
        # Trips matched together share the drivers out: each has one to think about.
        ("answering", exclusive and driver.open_offers > 0),  # type: ignore[attr-defined]
        ("offers_full", driver.open_offers >= settings.max_open_offers),  # type: ignore[attr-defined]
    )
    return [code for code, applies in rules if applies]


def tally(candidates: Sequence[Candidate]) -> dict[str, int]:
    """Reason code -> how many were turned down for it."""
    counted: dict[str, int] = {}
    for candidate in candidates:
        if candidate.reason:
            counted[candidate.reason] = counted.get(candidate.reason, 0) + 1
    return counted


def in_words(reasons: dict[str, int]) -> str:
    """ "3 too far, 2 position dark"."""
    return ", ".join(f"{number} {REASONS.get(code, code)}" for code, number in sorted(reasons.items()))
