"""Trips and what belongs to them: assignments, bookings, changes, claims, legs, offers, rounds, history, ratings,
messages, and the counts of each day that reports are read from."""

from .applied import AppliedCommand
from .assignments import StaffAssignment
from .bookings import Booking, Rating
from .changes import TripChange
from .claims import Claim
from .legs import TripLeg
from .messages import TEXT_LENGTH, TripMessage
from .offers import DispatchRound, DispatchRule, Offer, OfferQuerySet
from .pickup_areas import PickupArea
from .places import Place, PlaceKind, PlaceSource
from .rollups import DriverDay, ReportState, TripDay, TripHour, TripReason
from .safety import PositionOf, SafetyAlert
from .saved_places import SavedPlace, SavedPlaceKind
from .shares import TripShare
from .trip import NO_CODE, NO_DELAY, NO_WAVE, TransitionRefused, Trip, TripQuerySet, TripTransition
from .watch import TripWatch
from .wishes import Wish

__all__ = [
    "NO_CODE",
    "NO_DELAY",
    "NO_WAVE",
    "TEXT_LENGTH",
    "AppliedCommand",
    "Booking",
    "Claim",
    "DispatchRound",
    "DispatchRule",
    "DriverDay",
    "Offer",
    "OfferQuerySet",
    "PickupArea",
    "Place",
    "PlaceKind",
    "PlaceSource",
    "PositionOf",
    "Rating",
    "ReportState",
    "SafetyAlert",
    "SavedPlace",
    "SavedPlaceKind",
    "StaffAssignment",
    "TransitionRefused",
    "Trip",
    "TripChange",
    "TripDay",
    "TripHour",
    "TripLeg",
    "TripMessage",
    "TripQuerySet",
    "TripReason",
    "TripShare",
    "TripTransition",
    "TripWatch",
    "Wish",
]
