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
from trips.states import ABOARD, DRIVING

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
        "next": _next_in_words(one.next_trip),
        "refused": _in_words(judged.refused),
        "warnings": _in_words(_not_said_by(judged.refused, judged.warnings)),
    }


def _availability_in_words(one: Candidate, zone: str) -> str:
    """Say whether they are online or on a trip, and since when."""
    words = one.driver.get_availability_display()
    if one.since is not None:
        return _("%(availability)s since %(when)s") % {"availability": words, "when": when_within(one.since, zone)}
    return words if one.driver.availability != Availability.OFFLINE or one.judged.fix else _("Never online")


def _next_in_words(trip: Trip | None) -> str:
    """Say which of their trips ends or begins next: one on the way, one whose departure is past, or one ahead."""
    if trip is None:
        return _("no trip ahead")
    title, when = trip.title, when_within(trip.departure_at, trip.timezone)
    if trip.status in DRIVING:
        return _("now on the trip %(title)s") % {"title": title}
    if trip.departure_at < database_now():
        return _("has not set off yet for the trip of %(when)s, %(title)s") % {"when": when, "title": title}
    return _("next trip %(when)s, %(title)s") % {"when": when, "title": title}


def _not_said_by(refused: Sequence[str], warnings: Sequence[str]) -> list[str]:
    """Leave out that somebody is on a trip where a trip of theirs refuses them already."""
    return [code for code in warnings if code != "busy" or "overlapping" not in refused]


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


def cancel_effect(trips: list[Trip]) -> Text:
    """Say what cancelling the trips will do; first of all where passengers are on board."""
    if any(trip.former_legs for trip in trips):
        words = _(
            "The bookings end with it, the driver is free; all are told. Who drove a part of it before keeps what they "
            "earned; the driver of now has nothing of it."
        )
    else:
        words = _("The bookings end with it, offers are withdrawn, the driver is free; all are told.")
    if not any(trip.status in ABOARD for trip in trips):
        return words
    aboard = _("Passengers are on board: make sure first that they are safe and know how they get on.")
    return f"{aboard} {words}"
