"""Who of the drivers around may be asked about a trip, and why the others may not.

Every rule turns a driver down with a reason code that staff can read on the trip's round.
"""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import Count, Exists, FilteredRelation, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from drivers.models import Approval, Availability, Driver
from drivers.search import Near
from stepper.models import ServiceSettings

from .models import Trip
from .pricing import LONG_DISTANCE_KM
from .states import OfferStatus, VehicleClass

# Code -> what staff read ("3 too far").
REASONS = {
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
    "declined_before": _("declined or released it before"),
    "overlapping": _("has an overlapping trip"),
    "offers_full": _("has as many open offers as allowed"),
}

_CLASS_RANK = {name: rank for rank, name in enumerate(VehicleClass.values)}


class Candidate(NamedTuple):
    driver: Driver
    distance_km: float
    # Times this trip was put before the driver already; those never asked come first.
    asked: int
    # A key of REASONS; None: may be asked.
    reason: str | None


def assess(trip: Trip, round_number: int, near: Sequence[Near], settings: ServiceSettings) -> list[Candidate]:
    """Judges the drivers found around the pickup for this round, in one query whatever their number."""
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    of_trip = Q(put__trip=trip)
    drivers = {
        driver.pk: driver
        # Asked again, now that the drivers are held: since the search somebody may have been suspended or gone offline.
        for driver in Driver.objects.filter(
            pk__in=[one.driver_id for one in near],
            approval=Approval.APPROVED,
            availability=Availability.AVAILABLE,
            user__is_active=True,
        )
        .select_related("vehicle")
        .annotate(
            # Not every offer a driver was ever put: only what is open and what was of this trip.
            put=FilteredRelation("offers", condition=Q(offers__trip=trip) | Q(offers__status=OfferStatus.PENDING)),
            open_offers=Count("put", filter=Q(put__status=OfferStatus.PENDING, put__expires_at__gt=Now())),
            asked=Count("put", filter=of_trip),
            asked_now=Count("put", filter=of_trip & Q(put__round_number=round_number)),
            refused=Count(
                "put", filter=of_trip & (Q(put__status=OfferStatus.DECLINED) | Q(put__released_at__isnull=False))
            ),
            overlapping=Exists(
                Trip.objects.filter(driver=OuterRef("pk")).overlapping(trip.departure_at, trip.ends_at, margin)
            ),
        )
    }
    fresh_since = timezone.now() - dt.timedelta(seconds=settings.position_fresh_s)
    found = []
    for one in near:
        driver = drivers.get(one.driver_id)
        if driver is not None:
            reason = _refusal(trip, driver, one, settings, fresh_since)
            found.append(Candidate(driver, one.distance_km, driver.asked, reason))
    return found


def _refusal(trip: Trip, driver: Driver, near: Near, settings: ServiceSettings, fresh_since: dt.datetime) -> str | None:
    vehicle = driver.vehicle
    accuracy_m = near.position.accuracy_m
    rules = (
        ("already_asked", driver.asked_now > 0),  # type: ignore[attr-defined]
        ("declined_before", driver.refused > 0),  # type: ignore[attr-defined]
        ("position_dark", near.position.recorded_at < fresh_since),
        ("position_inaccurate", accuracy_m is not None and accuracy_m > settings.position_accuracy_m),
        ("licence_expired", driver.licence_expired),
        ("no_vehicle", vehicle is None),
        ("too_few_seats", vehicle is not None and vehicle.seats < trip.seats),
        (
            "vehicle_class",
            vehicle is not None and _CLASS_RANK[vehicle.vehicle_class] < _CLASS_RANK[trip.vehicle_class],
        ),
        ("trip_type", trip.trip_type not in driver.trip_types),
        ("long_distance", trip.distance_km >= LONG_DISTANCE_KM and not driver.accepts_long_distance),
        ("too_far", driver.max_distance_km is not None and near.distance_km > driver.max_distance_km),
        ("earnings_too_low", driver.min_earnings is not None and trip.driver_earnings < driver.min_earnings),
        ("overlapping", driver.overlapping),  # type: ignore[attr-defined]
        ("offers_full", driver.open_offers >= settings.max_open_offers),  # type: ignore[attr-defined]
    )
    return next((code for code, applies in rules if applies), None)


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
