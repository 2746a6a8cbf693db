"""How the drivers of a virtual city behave, and what holds them back for the sake of persons."""

import datetime as dt
from dataclasses import dataclass
from random import Random
from typing import Protocol

from realtime import events

# Of the time to answer an offer, at most this share passes before a virtual driver answers.
LONGEST_HESITATION = 0.8


@dataclass(frozen=True)
class Behaviour:
    """How drivers of a city behave; seconds are the city's unless they say real."""

    answer_s: tuple[float, float] = (1.0, 8.0)
    # Nobody races for a passenger at the other end of town: the nearer have this much time more, up to a limit.
    answer_s_per_km: float = 8.0
    answer_far_s: float = 40.0
    # Share of offers that are declined.
    declines: float = 0.1
    at_pickup_s: tuple[float, float] = (20.0, 60.0)
    at_dropoff_s: tuple[float, float] = (10.0, 30.0)
    moving_real_s: float = 3.0
    # Within the age at which a position counts as dark, whatever the pace.
    standing_real_s: float = 30.0
    # Idle drivers move about within this distance of `home`; None: they stand where they are.
    wander_km: float | None = None
    wander_kmh: float = 25.0

    def hesitation_s(self, rng: Random, km: float, *, time_to_answer: dt.timedelta) -> float:
        """Draw the seconds until a driver so far from the pickup answers, well within the time to answer."""
        far_s = min(self.answer_far_s, self.answer_s_per_km * km)
        return min(rng.uniform(*self.answer_s) + far_s, LONGEST_HESITATION * time_to_answer.total_seconds())


class Restraint(Protocol):
    """What holds a virtual driver back for the sake of persons."""

    async def wait(self, card: events.OfferCreated) -> None:
        """Return when the offer may be accepted."""

    async def may_decline(self, card: events.OfferCreated) -> bool: ...
