"""Whom staff can give a trip to, in words: what it needs, how a driver stands, what speaks against them."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from drivers.models import Availability
from drivers.search import StoredFix
from stepper.db.clock import database_now
from stepper.errors import Text
from stepper.models import ServiceSettings
from stepper.templatetags.units import duration, km, when_in_words, when_within
from trips.candidates import Candidate
from trips.dispatch import first_search_at
from trips.eligibility import REASONS
from trips.models import Trip

# A younger position is said in seconds.
_FRESH_S = 60


def needs_in_words(trip: Trip) -> str:
    """Say what a driver must bring: when, how many seats, which class."""
    parts = [
        _("departure %(when)s") % {"when": when_within(trip.departure_at, trip.timezone)},
        _("seats: %(seats)d") % {"seats": trip.seats},
        str(trip.get_vehicle_class_display()),
    ]
    return " · ".join([*parts, trip.note] if trip.note else parts)


def candidate_in_words(one: Candidate, trip: Trip) -> dict[str, Any]:
    """Return a candidate in words, as the page shows it."""
    driver, judged, vehicle = one.driver, one.judged, one.driver.vehicle
    zone = trip.timezone
    return {
        "driver": driver,
        "vehicle": f"{vehicle.plate_text} · {vehicle.get_vehicle_class_display()}" if vehicle else _("no vehicle"),
        "seats": _("seats: %(seats)d") % {"seats": vehicle.seats} if vehicle else "",
        "away": "–" if judged.km is None else f"{km(judged.km)}, {duration(one.minutes or 0)}",
        "availability": _availability_in_words(one, zone),
        "position": _position_in_words(judged.fix, zone),
        "next": _("next trip %(when)s, %(title)s")
        % {"when": when_within(one.next_trip.departure_at, one.next_trip.timezone), "title": one.next_trip.title}
        if one.next_trip
        else _("no trip ahead"),
        "refused": _in_words(judged.refused),
        "warnings": _in_words(judged.warnings),
    }


def _availability_in_words(one: Candidate, zone: str) -> str:
    """Say whether they are online or on a trip, and since when."""
    words = one.driver.get_availability_display()
    if one.since is not None:
        return _("%(availability)s since %(when)s") % {"availability": words, "when": when_within(one.since, zone)}
    return words if one.driver.availability != Availability.OFFLINE or one.judged.fix else _("Never online")


def _position_in_words(fix: StoredFix | None, zone: str) -> str:
    """Say how old a position is, under a minute in seconds."""
    if fix is None:
        return _("no position")
    seconds = max(0, int((database_now() - fix.recorded_at).total_seconds()))
    if seconds < _FRESH_S:
        return _("position %(seconds)d s old") % {"seconds": seconds}
    return _("position of %(when)s") % {"when": when_within(fix.recorded_at, zone)}


def _in_words(codes: Sequence[str]) -> list[str]:
    return [str(REASONS[code]) for code in codes]


def take_off_effect(trips: list[Trip]) -> Text:
    """Say what taking the trips off will do, and when others are asked."""
    now, settings = database_now(), ServiceSettings.current()
    later = [trip for trip in trips if first_search_at(trip.departure_at, settings, now) > now]
    if not later:
        return _(
            "The driver loses the trip and is told; others are asked at once, never this driver. It counts against "
            "nobody."
        )
    if len(trips) > 1:
        return _(
            "The driver loses the trip and is told; others are asked at once, or for a trip that leaves much later "
            "when drivers are asked about it. Never this driver. It counts against nobody."
        )
    asked_at = first_search_at(trips[0].departure_at, settings, now)
    return _(
        "The driver loses the trip and is told; others are asked from %(when)s, never this driver. It counts against "
        "nobody."
    ) % {"when": when_in_words(asked_at, trips[0].timezone)}
