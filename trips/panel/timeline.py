"""How far a trip has come: the progress bar, and the timeline with the times that were and those that are expected."""

import datetime as dt
from functools import cached_property

from django.utils.translation import gettext as _
from msgspec import Struct

from stepper.templatetags.units import clock
from trips.models import TripTransition
from trips.states import ASSIGNED, OPEN, Role, TripStatus

from .location import DriverLocation
from .viewing import Viewing, first_name

# Drivers who gave the trip back, in the timeline.
GIVEN_BACK_SHOWN = 3
# The six marks of the progress bar and the timeline.
BOOKED, ACCEPTED, ON_THE_WAY, AT_PICKUP, DRIVING, ARRIVED = range(6)
_REACHED = {
    TripStatus.ACCEPTED: ACCEPTED,
    TripStatus.EN_ROUTE: ON_THE_WAY,
    TripStatus.DRIVER_ARRIVED: AT_PICKUP,
    TripStatus.PASSENGERS_BOARDED: DRIVING,
    TripStatus.IN_TRANSIT: DRIVING,
    TripStatus.ARRIVED: ARRIVED,
    TripStatus.COMPLETED: ARRIVED + 1,
}
# Which transition gives a mark its time.
_ENTERED_BY = {
    ACCEPTED: (TripStatus.ACCEPTED,),
    ON_THE_WAY: (TripStatus.EN_ROUTE,),
    AT_PICKUP: (TripStatus.DRIVER_ARRIVED,),
    DRIVING: (TripStatus.PASSENGERS_BOARDED, TripStatus.IN_TRANSIT),
    ARRIVED: (TripStatus.ARRIVED,),
}
# Which mark the live ETA moves, and to what it counts.
_EXPECTED_AT = {AT_PICKUP: "pickup", ARRIVED: "dropoff"}


class Mark(Struct, frozen=True):
    """A line of the timeline. `state`: done, now, ahead, cancelled, given-back.

    `expected`: "pickup" or "dropoff", moved by the live ETA.
    """

    label: str
    state: str
    at: str = ""
    expected: str = ""


class GivenBack(Struct, frozen=True):
    """A driver who had the trip and has it no more; `name` as a person would say it."""

    name: str
    accepted_at: dt.datetime
    at: dt.datetime
    by_staff: bool


def _state(mark: int, here: int) -> str:
    return "done" if mark < here else "now" if mark == here else "ahead"


class Timeline:
    """The trip's history as six marks, and when those ahead are expected."""

    def __init__(self, viewing: Viewing, location: DriverLocation) -> None:
        self.viewing = viewing
        self.location = location
        self.trip = viewing.trip

    @cached_property
    def transitions(self) -> list[TripTransition]:
        return list(self.trip.transitions.all())

    @property
    def reached(self) -> int:
        """Return the mark the trip stands at; of a cancelled one, where it was cancelled."""
        if self.trip.status == TripStatus.CANCELLED:
            before = next((row.from_status for row in self.transitions if row.to_status == "cancelled"), "")
            return _REACHED.get(TripStatus(before), BOOKED) if before else BOOKED
        return _REACHED.get(TripStatus(self.trip.status), BOOKED)

    @property
    def steps(self) -> list[str]:
        """Return the states of the six segments of the progress bar."""
        here = ACCEPTED if self.trip.status in OPEN else self.reached
        return [_state(mark, here) for mark in range(6)]

    @property
    def cancelled_by(self) -> str:
        """Say who cancelled the trip; "" where nobody did."""
        last = next((row for row in reversed(self.transitions) if row.to_status == TripStatus.CANCELLED), None)
        if last is None:
            return ""
        if last.role == Role.ORGANISER:
            return _("by you") if self.viewing.is_organiser else _("by the passenger")
        if last.role == Role.SYSTEM:
            return _("no driver was found in time")
        return _("by the driver") if last.role == Role.DRIVER else _("by our staff")

    @cached_property
    def given_back(self) -> list[GivenBack]:
        """Return whom the trip was taken off again, the earliest first. One query where there is anybody."""
        rows = [row for row in self.transitions if row.from_status in ASSIGNED and row.to_status == TripStatus.OFFERED]
        if not rows:
            return []
        released = self.trip.offers.filter(released_at__isnull=False).select_related("driver__user")
        drivers = [offer.driver for offer in released.order_by("released_at", "pk")]
        accepted = [row.created_at for row in self.transitions if row.to_status == TripStatus.ACCEPTED]
        return [
            GivenBack(
                name=first_name(driver.user),
                accepted_at=max((at for at in accepted if at <= row.created_at), default=row.created_at),
                at=row.created_at,
                by_staff=row.role == Role.STAFF,
            )
            # From the end: of a trip that is older than the mark on its offers the first ones may be missing.
            for driver, row in reversed(list(zip(reversed(drivers), reversed(rows), strict=False)))
        ]

    def entered_at(self, *states: str) -> dt.datetime | None:
        """Return when the trip last came to a state; of several states, when it first came to any of them."""
        rows = [row.created_at for row in self.transitions if row.to_status in states]
        if not rows:
            return None
        return rows[0] if len(states) > 1 else rows[-1]

    @property
    def marks(self) -> list[Mark]:
        """Return the lines of the timeline; a cancelled trip's end where it was cancelled."""
        cancelled = self.trip.status == TripStatus.CANCELLED
        looking = self.trip.status in OPEN
        marks = []
        for mark, label in self._labels.items():
            if cancelled and mark > self.reached:
                break
            if mark == ACCEPTED:
                marks += self._given_back_marks
            state = "done" if cancelled else _state(mark, ACCEPTED if looking else self.reached)
            at, expected = self._time_of(mark)
            marks.append(Mark(label=label, state=state, at=at, expected=expected))
        if cancelled:
            marks.append(Mark(label=_("Cancelled"), state="cancelled", at=self._clock(self.trip.cancelled_at)))
        return marks

    @property
    def _given_back_marks(self) -> list[Mark]:
        """Return two lines for each of the last drivers who had the trip before."""
        marks = []
        for one in self.given_back[-GIVEN_BACK_SHOWN:]:
            name = {"name": one.name}
            ended = _("Our staff took the trip off %(name)s") if one.by_staff else _("%(name)s gave the trip back")
            marks.append(Mark(label=_("%(name)s accepted") % name, state="done", at=self._clock(one.accepted_at)))
            marks.append(Mark(label=ended % name, state="given-back", at=self._clock(one.at)))
        return marks

    @property
    def _labels(self) -> dict[int, str]:
        values = {"name": self.viewing.driver_name, "dropoff": self.trip.dropoff_name}
        looking = self.trip.status in OPEN or self.reached == BOOKED
        return {
            BOOKED: _("Booked"),
            ACCEPTED: _("Looking for a driver") if looking else _("%(name)s accepted") % values,
            ON_THE_WAY: _("On the way to you") if self.viewing.is_passenger else _("On the way to the pickup"),
            AT_PICKUP: _("At the pickup"),
            DRIVING: _("Driving to %(dropoff)s") % values,
            ARRIVED: _("Arrived"),
        }

    def _time_of(self, mark: int) -> tuple[str, str]:
        """Return the time beside a mark and what it is expected by ("" where it is past or nobody can say)."""
        if mark <= self.reached:
            at = self.trip.created_at if mark == BOOKED else self.entered_at(*_ENTERED_BY[mark])
            return self._clock(at), ""
        kind = _EXPECTED_AT.get(mark, "")
        expected_at = self._expected.get(kind)
        return (f"≈ {self._clock(expected_at)}", kind) if expected_at else ("", "")

    @cached_property
    def _expected(self) -> dict[str, dt.datetime]:
        """When pickup and dropoff are expected; empty where nobody can say."""
        trip, now, arrives_at = self.trip, self.viewing.now, self.location.arrives_at
        if trip.status not in ASSIGNED or trip.status == TripStatus.ARRIVED:
            return {}
        if trip.status == TripStatus.ACCEPTED and trip.is_now:
            return {}  # not before the driver has set off
        drive = trip.ends_at - trip.departure_at
        if self.location.target == "dropoff":
            return {"dropoff": arrives_at} if arrives_at else {}
        if self.location.target == "pickup":
            # A driver who is early waits for the departure.
            leaves_at = max(arrives_at, trip.departure_at) if arrives_at else None
            return {"pickup": arrives_at, "dropoff": leaves_at + drive} if arrives_at and leaves_at else {}
        if trip.status == TripStatus.DRIVER_ARRIVED:
            on_time_at = max(now, trip.departure_at) + drive
            return {"dropoff": max(on_time_at, trip.expected_after_delay_at or on_time_at)}
        return {"pickup": trip.pickup_expected_at, "dropoff": trip.pickup_expected_at + drive}

    def _clock(self, instant: dt.datetime | None) -> str:
        return clock(instant, self.trip.timezone) if instant else ""
