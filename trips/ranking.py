"""The order in which drivers are asked: by distance, rating, acceptance, waiting time and trips given back.

Scores are in kilometres. Lowest score first. A weight, which staff set, adds or subtracts kilometres.
"""

import datetime as dt
from typing import TYPE_CHECKING

from stepper.models import ServiceSettings

if TYPE_CHECKING:
    from trips.driver_facts import Facts

MOST_STARS = 5
# More hours of waiting than this, and more trips given back than this, make no further difference.
WAITING_H, CANCELLATIONS = 4.0, 5


def parts(driver: "Facts", distance_km: float, *, settings: ServiceSettings, now: dt.datetime) -> dict[str, float]:
    """Return the parts whose sum is a driver's score, in km; a part that weighs nothing is left out.

    A driver without ratings, offers or trips yet is not worse for it; one who had no trip yet has waited longest.
    """
    last_trip_at = driver.last_trip_at
    hours = WAITING_H if last_trip_at is None else min((now - last_trip_at).total_seconds() / 3600, WAITING_H)
    stars = driver.rating_sum / driver.rating_count if driver.rating_count else MOST_STARS
    weighed = {
        "rating": settings.weight_rating_km * (MOST_STARS - stars),
        "acceptance": settings.weight_acceptance_km * (1 - driver.acceptance) if driver.acceptance is not None else 0.0,
        "waiting": -settings.weight_waiting_km * max(hours, 0.0),
        "cancellations": settings.weight_cancellations_km * min(driver.cancellations or 0, CANCELLATIONS),
    }
    return {"distance": round(distance_km, 3)} | {name: round(km, 3) for name, km in weighed.items() if round(km, 3)}
