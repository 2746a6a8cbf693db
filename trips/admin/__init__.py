"""The administration of trips, offers, rounds and their histories; Django finds it here."""

from . import histories, trips

__all__ = ["histories", "trips"]
