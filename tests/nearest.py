"""The nearest drivers as a list, for tests and benchmarks; dispatch itself takes them batch by batch."""

from drivers.search import Near, search_outward


def nearest_drivers(lat: float, lng: float, radius_km: float, enough: int) -> list[Near]:
    """Return the `enough` nearest of the dispatchable drivers within `radius_km`, nearest first."""
    found: list[Near] = []
    for batch in search_outward(lat, lng, radius_km, enough):
        found += batch
        if len(found) >= enough:
            break
    return found[:enough]
