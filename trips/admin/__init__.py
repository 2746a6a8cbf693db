"""The administration of trips, offers, rounds and their histories; Django finds it here."""

from . import conversations, drivers_of_trip, histories, places, saved_places, trips, wishes

__all__ = ["conversations", "drivers_of_trip", "histories", "places", "saved_places", "trips", "wishes"]
