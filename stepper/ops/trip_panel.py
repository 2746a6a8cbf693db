"""What the operations room shows of one trip: its head, its actions, its history; what staff may see of it."""

import datetime as dt
from functools import cached_property
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from drivers.models import DriverPosition, TrailPoint
from stepper.db.clock import database_now
from stepper.errors import NotFound, Text
from stepper.models import ServiceSettings, User
from stepper.ops import actions
from stepper.ops.history import HistoryPage
from stepper.ops.trip_history import read_history
from stepper.templatetags.units import km, when_in_words
from trips import access, arrival, legs
from trips.attention import CALL_FOR_HELP, FAR_STEP
from trips.attention_words import attention
from trips.legs import Part
from trips.models import Trip
from trips.policy import radius_of
from trips.states import ASSIGNED, OPEN

# Points of a trail that a page is sent; a longer one is thinned evenly.
TRAIL_SHOWN = 1500


class Leg(NamedTuple):
    """A part of the trip that one driver drove or drives."""

    name: str
    part: Part


def trips_for_panel() -> QuerySet[Trip]:
    rows = Trip.objects.select_related("organiser", "driver__user", "driver__position", "vehicle", "watch")
    return rows.annotate(has_far_step=FAR_STEP, has_call_for_help=CALL_FOR_HELP)


class TripPanel:
    """A trip as a member of staff sees it. What it reads does not depend on how long its history is."""

    def __init__(self, trip: Trip, viewer: User) -> None:
        self.trip, self.viewer = trip, viewer

    @classmethod
    def of(cls, trip_id: int, viewer: User) -> "TripPanel":
        """Read a trip. Raises NotFound, NotPermitted: they may not see trips."""
        viewer.require_staff("trips.view_trip")
        trip = trips_for_panel().filter(pk=trip_id).first()
        if trip is None:
            raise NotFound("trip.not_found", _("There is no such trip."))
        access.log_look(viewer, trip)
        return cls(trip, viewer)

    @cached_property
    def settings(self) -> ServiceSettings:
        return ServiceSettings.current()

    @cached_property
    def now(self) -> dt.datetime:
        return database_now()

    @cached_property
    def attention(self) -> Text | None:
        label = attention(self.trip)
        return label.text if label is not None else None

    @property
    def search_line(self) -> str:
        """Say how the search stands: its round, how far it looks, when drivers are asked next."""
        trip = self.trip
        if trip.status not in OPEN:
            return ""
        parts = [_("round %(number)d") % {"number": trip.round_number}] if trip.round_number else []
        parts.append(_("within %(km)s") % {"km": km(trip.reach_km or radius_of(trip, self.settings))})
        if trip.next_look_at is not None:
            parts.append(
                _("drivers are asked next: %(when)s") % {"when": when_in_words(trip.next_look_at, trip.timezone)}
            )
        return " · ".join(parts)

    @cached_property
    def may_see_drivers(self) -> bool:
        return self.viewer.has_perm(actions.SEE_DRIVERS)

    @cached_property
    def actions(self) -> list[actions.Action]:
        return actions.available(actions.TRIP_ACTIONS, self.trip, self.viewer)

    @cached_property
    def picking_title(self) -> Text | None:
        found = actions.picking(self.trip) if actions.may_pick(self.viewer) else None
        return found.label if found is not None else None

    @property
    def is_moved(self) -> bool:
        """Whether choosing a driver takes the trip from another one."""
        return self.trip.status in ASSIGNED

    @cached_property
    def may_edit(self) -> bool:
        return actions.may_edit(self.trip, self.viewer)

    @cached_property
    def position(self) -> DriverPosition | None:
        """Where the driver was last; None: nobody drives it now, or nothing is known."""
        return arrival.position_of(self.trip) if self.trip.status in ASSIGNED else None

    @cached_property
    def legs(self) -> list[Leg]:
        """The parts of its drivers, where it was handed over."""
        former = legs.legs_of([self.trip]).get(self.trip.pk, [])
        found = [Leg(leg.driver.user.name, legs.part_of(leg.driver_id, self.trip, former)) for leg in former]
        if found and self.trip.driver is not None:
            found.append(Leg(self.trip.driver.user.name, legs.part_of(self.trip.driver.pk, self.trip, former)))
        return found

    @cached_property
    def history(self) -> HistoryPage:
        return read_history(self.trip, self.viewer)


def read_trail(trip: Trip, viewer: User) -> list[tuple[float, float, int, int]]:
    """Return where the vehicles went: lat, lng, second since 1970 and driver's id of each point. One query."""
    points: QuerySet[TrailPoint] = access.trail_visible_to(viewer, trip)
    rows = list(points.order_by("recorded_at", "pk").values_list("lat", "lng", "recorded_at", "driver_id"))
    step = max(1, -(-len(rows) // TRAIL_SHOWN))
    kept = rows[::step]
    if rows and kept[-1] != rows[-1]:
        kept.append(rows[-1])
    return [(round(lat, 6), round(lng, 6), int(at.timestamp()), driver) for lat, lng, at, driver in kept]
