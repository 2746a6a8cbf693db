"""A driver's rating, acceptance, trips given back and waiting time as dispatch ranks by them (trips.ranking)."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from stepper.models import ServiceSettings
from trips import driver_facts, ranking

Name = Literal["rating", "acceptance", "cancellations", "waiting"]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a figure changes: the driver is ranked as if they were so many km farther from the pickup, or nearer."""

    # Negative: nearer.
    km: float
    # The weight that staff set is 0: the figure changes nobody's place.
    is_off: bool

    @property
    def distance_km(self) -> float:
        """As pages show it, in tenths of a kilometre."""
        return abs(round(self.km, 1))

    @property
    def is_nearer(self) -> bool:
        return self.km < 0


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the ranking; None: no ratings, no offers answered or no trip yet."""

    rating: float | None
    rating_count: int
    # Of the offers of the last 7 days, and trips given back in them (drivers.metrics).
    acceptance: float | None
    cancellations: int
    last_trip_at: dt.datetime | None
    effects: dict[Name, Effect]

    @property
    def acceptance_percent(self) -> int | None:
        return None if self.acceptance is None else round(100 * self.acceptance)


def read_figures(driver_id: int, settings: ServiceSettings, now: dt.datetime) -> Figures:
    """Read the driver's figures as a search would now, and what each changes; one query."""
    facts = driver_facts.read_facts(driver_id)
    parts = ranking.parts(facts, 0.0, settings=settings, now=now)
    weights: dict[Name, float] = {
        "rating": settings.weight_rating_km,
        "acceptance": settings.weight_acceptance_km,
        "cancellations": settings.weight_cancellations_km,
        "waiting": settings.weight_waiting_km,
    }
    return Figures(
        rating=round(facts.rating_sum / facts.rating_count, 1) if facts.rating_count else None,
        rating_count=facts.rating_count,
        acceptance=facts.acceptance,
        cancellations=facts.cancellations or 0,
        last_trip_at=facts.last_trip_at,
        effects={name: Effect(parts.get(name, 0.0), is_off=not weight) for name, weight in weights.items()},
    )
