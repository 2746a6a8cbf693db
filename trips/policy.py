"""How a trip is offered: the mode, how far each wave reaches, how many it asks and how long they have.

The settings say it; dispatch rules change it for a type of trip or an urgency.
"""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple, Self

from stepper.db.clock import database_now
from stepper.models import DispatchMode, ServiceSettings
from stepper.rings import parse_rings
from trips.states import Urgency

from . import pricing
from .models import DispatchRule, Trip


class Policy(NamedTuple):
    mode: DispatchMode
    urgency: Urgency
    # Radii in km, ascending; the last is as far as drivers are searched.
    rings: tuple[float, ...]
    # Drivers asked at once.
    size: int
    answer: dt.timedelta

    @property
    def radius_km(self) -> float:
        return self.rings[-1]

    def ring(self, distance_km: float) -> int:
        """Return which ring a driver is in, counted from 0."""
        return next((place for place, radius in enumerate(self.rings) if distance_km <= radius), len(self.rings) - 1)


def radius_of(trip: Trip, settings: ServiceSettings) -> float:
    """Return how far from the pickup drivers are searched, in km."""
    return max(trip.radius_km or 0.0, settings.discovery_radius_km)


class Policies(NamedTuple):
    """What staff have set, read once for all trips that are handled together."""

    settings: ServiceSettings
    rules: Sequence[DispatchRule]

    @classmethod
    def current(cls) -> Self:
        return cls(ServiceSettings.current(), list(DispatchRule.objects.all()))

    def of(self, trip: Trip) -> Policy:
        """Return how the trip is dispatched, by the settings and the rules for its type and urgency."""
        urgency = Urgency(pricing.urgency(trip.departure_at, database_now()))
        settings = self.settings
        apply = [one for one in self.rules if one.trip_type in ("", trip.trip_type) and one.urgency in ("", urgency)]
        # First rules for the type, then for the urgency, then for both: later rules override earlier ones.
        apply.sort(key=lambda one: (bool(one.urgency), bool(one.trip_type)))
        mode, size = settings.dispatch_mode, settings.round_size
        text, answer_s = settings.wave_rings_km, None
        for rule in apply:
            mode, size = rule.mode or mode, rule.round_size or size
            text, answer_s = rule.wave_rings_km or text, rule.answer_s or answer_s
        radius_km = radius_of(trip, settings)
        inner = tuple(radius for radius in parse_rings(text) if radius < radius_km)
        if mode == DispatchMode.BROADCAST:
            ttl = dt.timedelta(seconds=answer_s) if answer_s else settings.offer_ttl(urgency)
            return Policy(DispatchMode(mode), urgency, (*inner, radius_km), size, ttl)
        answer = dt.timedelta(seconds=answer_s or settings.targeted_s)
        return Policy(DispatchMode(mode), urgency, (radius_km,), 1, answer)
