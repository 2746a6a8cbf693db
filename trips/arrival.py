"""Check a driver's steps (at the pickup, on board, at the dropoff) against their position.

The check uses the newest believed fix of drivers.positions.buffer. The `lat` and `lng` that a client sends with a step
have neither accuracy nor time: they are stored in the history and prove nothing.

An arrival far from the pickup is refused. One without a fresh, plausible position is allowed and flagged: there is no
no-show and the organiser may cancel, until a position or staff confirm it. Later steps are never refused, because a
driver must be able to end a trip; what does not fit is noted in the history.
"""

from functools import cached_property
from typing import NamedTuple

from django.utils.translation import gettext_lazy

from drivers.geo import distance_km
from drivers.models import DriverPosition
from drivers.positions import buffer
from realtime.delivery.notifications import notify
from stepper.errors import Text
from stepper.models import ServiceSettings

from .models import PickupArea, Trip
from .states import Doubt, Role, TripStatus

# Steps that are taken at the pickup, within the radius of an arrival.
_AT_PICKUP = frozenset({TripStatus.DRIVER_ARRIVED, TripStatus.PASSENGERS_BOARDED, TripStatus.CANCELLED})
_AT_DROPOFF = frozenset({TripStatus.ARRIVED, TripStatus.COMPLETED})


class Judgement(NamedTuple):
    """`doubt`: a Doubt; empty: the position confirms the step. `away_km` None: there is no position to measure from."""

    doubt: str
    away_km: float | None


class PickupAreas:
    """The areas that staff have marked, read in one query, only if the radius of the settings is too small."""

    @cached_property
    def _rows(self) -> list[PickupArea]:
        return list(PickupArea.objects.order_by())

    def arrival_radius_m(self, trip: Trip) -> int:
        """Return how far from the trip's pickup its driver counts as arrived, in m; 0: the pickup is in no area."""
        here = (trip.pickup_lat, trip.pickup_lng)
        areas = (row for row in self._rows if distance_km(row.lat, row.lng, *here) * 1000 <= row.radius_m)
        return max((row.arrival_radius_m for row in areas), default=0)


def position_of(trip: Trip) -> DriverPosition | None:
    """Return the newest believed position of the driver; no query if `driver__position` was read with the trip."""
    if trip.driver is None:
        return None
    return buffer.buffer.latest(trip.driver.pk, getattr(trip.driver, "position", None))


def judge(trip: Trip, step: str, *, settings: ServiceSettings, areas: PickupAreas | None = None) -> Judgement:
    """Compare the driver's position with the place of the step.

    The fix must be younger than `arrival_fresh_s` and plausible; its accuracy (at most `position_accuracy_m`, otherwise
    it is not plausible) is added to the radius.
    """
    position = position_of(trip)
    if (
        position is None
        or not position.is_fresh(settings.arrival_fresh_s)
        or not position.is_plausible(settings.position_accuracy_m)
    ):
        return Judgement(Doubt.NO_POSITION, None)
    where = (trip.dropoff_lat, trip.dropoff_lng) if step in _AT_DROPOFF else (trip.pickup_lat, trip.pickup_lng)
    away_km = distance_km(position.lat, position.lng, *where)
    least_m = away_km * 1000 - max(position.accuracy_m or 0.0, 0.0)
    within_m = settings.arrival_radius_m if step in _AT_PICKUP else settings.step_far_m
    if least_m > within_m and step not in _AT_DROPOFF:
        within_m = max(within_m, (areas or PickupAreas()).arrival_radius_m(trip))
    return Judgement(Doubt.FAR if least_m > within_m else "", away_km)


def confirm(trip: Trip, role: Role, *, by_id: int | None = None, note: str = "", away_km: float | None = None) -> None:
    """Clear the flag of an arrival and write history; the wait for the passenger begins now. The trip is locked."""
    trip.transitions.create(
        from_status=trip.status, to_status=trip.status, role=role, by_id=by_id, note=note, away_km=away_km
    )
    trip.amend(note, arrival_flagged=False)
    tell_passenger(trip)


def confirm_if_there(
    trip: Trip, role: Role, *, settings: ServiceSettings, by_id: int | None = None, areas: PickupAreas | None = None
) -> bool:
    """Confirm a flagged arrival if a position now shows it; False: no position does. The trip is locked."""
    judged = judge(trip, TripStatus.DRIVER_ARRIVED, settings=settings, areas=areas)
    if judged.doubt:
        return False
    confirm(trip, role, by_id=by_id, away_km=judged.away_km)
    return True


def tell_passenger(trip: Trip) -> None:
    """Notify the organiser of the arrival, in words that say whether it is confirmed."""
    title: Text = gettext_lazy("Your driver is at the pickup")
    message: Text = trip.title
    if trip.awaits_confirmation:
        title = gettext_lazy("Your driver says they are at the pickup")
        message = gettext_lazy("No position of theirs confirms it; you can still cancel.")
    notify(
        trip.organiser,
        title,
        message=message,
        audience="passenger",
        action_url=f"/trips/{trip.pk}/",
        is_critical=True,
    )
