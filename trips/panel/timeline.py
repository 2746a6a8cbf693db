"""How far a trip has come: the progress bar, and the timeline with the times that were and those that are expected."""

import datetime as dt
from functools import cached_property

from django.utils.translation import gettext as _
from msgspec import Struct

from stepper.templatetags.units import clock
from trips.change_words import change_in_words
from trips.driving import stop_in_words
from trips.models import TripChange, TripTransition
from trips.states import ASSIGNED, BEFORE_BOARDING, FINISHED, OPEN, Role, TripStatus

from .location import DriverLocation
from .viewing import Viewing, first_name

# Drivers who gave the trip back, in the timeline.
GIVEN_BACK_SHOWN = 3
# Changes of what was booked, in the timeline.
CHANGES_SHOWN = 3
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
    """A line of the timeline. `state`: done, now, ahead, cancelled, changed, given-back.

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
    # Staff gave it to them.
    was_assigned: bool = False


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
        """Return whom the trip was taken off again, the earliest first. Two queries where there is anybody."""
        lost = {TripStatus.OFFERED, TripStatus.ACCEPTED}
        rows = [row for row in self.transitions if row.from_status in BEFORE_BOARDING and row.to_status in lost]
        if not rows:
            return []
        # Drivers who had accepted and gave it back; from and to whom staff gave it.
        released = self.trip.offers.filter(released_at__isnull=False, taken_off=False).select_related("driver__user")
        ended = self.trip.staff_assignments.filter(ended_at__isnull=False).select_related("driver__user")
        # Who handed the trip over has a leg of it, and a line of their own.
        ended = ended.exclude(ended_at__in=[leg.ended_at for leg in self.viewing.former_legs])
        ends = [(one.released_at, one.pk, one.driver) for one in released]
        ends += [(one.ended_at, one.pk, one.driver) for one in ended]
        drivers = [driver for _at, _pk, driver in sorted(ends, key=lambda end: end[:2])]
        return [
            GivenBack(
                name=first_name(driver.user),
                accepted_at=given.created_at if (given := self._given_before(row)) else row.created_at,
                at=row.created_at,
                by_staff=row.role == Role.STAFF,
                was_assigned=given is not None and given.role == Role.STAFF,
            )
            # From the end: of a trip that is older than the mark on its offers the first ones may be missing.
            for driver, row in reversed(list(zip(reversed(drivers), reversed(rows), strict=False)))
        ]

    def _given_before(self, row: TripTransition) -> TripTransition | None:
        """Return the step by which the driver who lost the trip with this one got it."""
        steps = self.transitions[: self.transitions.index(row)]
        return next((one for one in reversed(steps) if one.to_status == TripStatus.ACCEPTED), None)

    def entered_at(self, *states: str) -> dt.datetime | None:
        """Return when the trip last came to a state; of several, when it first came to any of them with its driver."""
        rows: list[dt.datetime] = []
        for row in self.transitions:
            if row.to_status in states:
                rows.append(row.created_at)
            elif row.to_status == TripStatus.ACCEPTED and len(states) > 1:
                rows = []
        if not rows:
            return None
        return rows[0] if len(states) > 1 else rows[-1]

    @property
    def marks(self) -> list[Mark]:
        """Return the lines of the timeline; a cancelled trip's end where it was cancelled."""
        cancelled = self.trip.status == TripStatus.CANCELLED
        looking = self.trip.status in OPEN
        marks = []
        changes = self.changes[-CHANGES_SHOWN:]
        for mark, label in self._labels.items():
            if cancelled and mark > self.reached:
                break
            # Each change before the step that followed it, the latest ones before what is ahead.
            while changes and not self._is_before(mark, changes[0].created_at):
                marks.append(self._change_mark(changes.pop(0)))
            if mark == ACCEPTED:
                marks += self._given_back_marks + self._leg_marks
            state = "done" if cancelled else _state(mark, ACCEPTED if looking else self.reached)
            at, expected = self._time_of(mark)
            marks.append(Mark(label=label, state=state, at=at, expected=expected))
            if mark == DRIVING:
                marks += self._stop_marks
        marks += [self._change_mark(row) for row in changes]
        if cancelled:
            marks.append(Mark(label=_("Cancelled"), state="cancelled", at=self._clock(self.trip.cancelled_at)))
        return marks

    @cached_property
    def changes(self) -> list[TripChange]:
        """Return what was changed of the trip, the earliest first. One query where anything was."""
        return list(self.trip.changes.all()) if self.trip.changed_version else []

    def _is_before(self, mark: int, at: dt.datetime) -> bool:
        """Say whether the trip came to a mark before an instant; not if it has not come there yet."""
        if mark > self.reached:
            return False
        reached_at = self._reached_at(mark)
        return reached_at is None or reached_at <= at

    def _change_mark(self, row: TripChange) -> Mark:
        what = {"what": change_in_words(row, self.trip.timezone)}
        if row.role == Role.STAFF:
            label = _("Changed by our staff: %(what)s") % what
        elif self.viewing.is_organiser:
            label = _("Changed by you: %(what)s") % what
        else:
            label = _("Changed by the passenger: %(what)s") % what
        return Mark(label=label, state="changed", at=self._clock(row.created_at))

    @property
    def _given_back_marks(self) -> list[Mark]:
        """Return two lines for each of the last drivers who had the trip before."""
        marks = []
        for one in self.given_back[-GIVEN_BACK_SHOWN:]:
            name = {"name": one.name}
            ended = _("Our staff took the trip off %(name)s") if one.by_staff else _("%(name)s gave the trip back")
            given = _("Our staff chose %(name)s") if one.was_assigned else _("%(name)s accepted")
            marks.append(Mark(label=given % name, state="done", at=self._clock(one.accepted_at)))
            marks.append(Mark(label=ended % name, state="given-back", at=self._clock(one.at)))
        return marks

    @property
    def _leg_marks(self) -> list[Mark]:
        """Return a line for each driver who handed the trip over."""
        return [
            Mark(
                label=_("%(name)s drove to %(place)s") % {"name": first_name(leg.driver.user), "place": leg.to_name},
                state="done",
                at=self._clock(leg.ended_at),
            )
            for leg in self.viewing.former_legs
        ]

    @property
    def _stop_marks(self) -> list[Mark]:
        """Return a line for each stop; of a trip that is over those that the driver did not mark are left out."""
        is_over = self.trip.status in FINISHED or self.reached >= ARRIVED
        marks = []
        for number, stop in enumerate(self.trip.stop_list, 1):
            if stop.reached_at or not is_over:
                state = "done" if stop.reached_at else "ahead"
                label = stop_in_words(number, stop)
                marks.append(Mark(label=label, state=state, at=self._clock(stop.reached_at)))
        return marks

    @property
    def _labels(self) -> dict[int, str]:
        values = {"name": self.viewing.driver_name, "dropoff": self.trip.dropoff_name}
        looking = self.trip.status in OPEN or self.reached == BOOKED
        last = next((row for row in reversed(self.transitions) if row.to_status == TripStatus.ACCEPTED), None)
        by_staff = last is not None and last.role == Role.STAFF
        given = _("Our staff chose %(name)s") if by_staff else _("%(name)s accepted")
        return {
            BOOKED: _("Booked"),
            ACCEPTED: _("Looking for a driver") if looking else given % values,
            ON_THE_WAY: self._on_the_way,
            AT_PICKUP: _("At the pickup"),
            DRIVING: _("Driving to %(dropoff)s") % values,
            ARRIVED: _("Arrived"),
        }

    @property
    def _on_the_way(self) -> str:
        if self.viewing.traveller:
            return _("On the way to %(traveller)s") % {"traveller": self.viewing.traveller}
        return _("On the way to you") if self.viewing.is_passenger else _("On the way to the pickup")

    def _time_of(self, mark: int) -> tuple[str, str]:
        """Return the time beside a mark and what it is expected by ("" where it is past or nobody can say)."""
        if mark <= self.reached:
            return self._clock(self._reached_at(mark)), ""
        kind = _EXPECTED_AT.get(mark, "")
        expected_at = self._expected.get(kind)
        return (f"≈ {self._clock(expected_at)}", kind) if expected_at else ("", "")

    def _reached_at(self, mark: int) -> dt.datetime | None:
        return self.trip.created_at if mark == BOOKED else self.entered_at(*_ENTERED_BY[mark])

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
