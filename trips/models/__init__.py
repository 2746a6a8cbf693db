"""Trips and what belongs to them: bookings, offers, rounds, history, ratings, watches."""

from .applied import AppliedCommand
from .bookings import Booking, Rating
from .offers import DispatchRound, DispatchRule, Offer, OfferQuerySet
from .pickup_areas import PickupArea
from .places import Place, PlaceKind, PlaceSource
from .shares import TripShare
from .trip import NO_WAVE, TransitionRefused, Trip, TripQuerySet, TripTransition
from .watch import TripWatch

__all__ = [
    "NO_WAVE",
    "AppliedCommand",
    "Booking",
    "DispatchRound",
    "DispatchRule",
    "Offer",
    "OfferQuerySet",
    "PickupArea",
    "Place",
    "PlaceKind",
    "PlaceSource",
    "Rating",
    "TransitionRefused",
    "Trip",
    "TripQuerySet",
    "TripShare",
    "TripTransition",
    "TripWatch",
]
