"""How long a drive takes, without a routing server."""

ROAD_FACTOR = 1.2
# Standing in traffic says nothing about the road ahead.
SLOW_KMH = 5.0
ASSUMED_KMH = 40.0


def minutes(km: float, speed_kmh: float | None = None) -> int:
    """Estimate the minutes of a drive: round(km ÷ speed × 60 × 1.2).

    At 40 km/h where the reported speed is under 5 km/h or unknown (None).
    """
    speed = speed_kmh if speed_kmh is not None and speed_kmh >= SLOW_KMH else ASSUMED_KMH
    return round(km / speed * 60 * ROAD_FACTOR)
