"""The administration of trips, offers, rounds and their histories; Django finds it here."""

from . import histories, places, trips

__all__ = ["histories", "places", "trips"]
