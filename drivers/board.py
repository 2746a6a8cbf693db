"""The data of one driver's dashboard, read from the database region by region.

`Board` reads a region at its first use, so a page, a socket's snapshot and the response to one button each cost the
queries of the regions that they draw. The number of queries does not depend on the number of rows.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from django.db.models import Prefetch
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from realtime import events
from stepper.db.clock import database_now
from stepper.errors import Text
from stepper.models import ServiceSettings, User, initials
from trips import boarding, driving, eta, messages, offers
from trips.models import Booking, Trip
from trips.states import (
    ABOARD,
    ASSIGNED,
    DRIVING,
    STEPS,
    BookingStatus,
    TripStatus,
    next_step,
)

from . import hours
from .earnings import sums
from .geo import distance_km
from .history import HistoryPage, PastTrip, read_history
from .models import Approval, Availability, AvailabilityChange, Break, Cause, Driver
from .navigation import navigation_url
from .papers import Papers

# How long a completed trip stays on the Active tab with the request to rate its passenger.
ASK_RATING_FOR = dt.timedelta(hours=2)

# The trip's states, and the buttons for the next step, as the driver reads them.
STATUS_LABELS: dict[TripStatus, Text] = {
    TripStatus.ACCEPTED: gettext_lazy("Accepted"),
    TripStatus.EN_ROUTE: gettext_lazy("On the way to the pickup"),
    TripStatus.DRIVER_ARRIVED: gettext_lazy("At the pickup"),
    TripStatus.PASSENGERS_BOARDED: gettext_lazy("Passengers on board"),
    TripStatus.IN_TRANSIT: gettext_lazy("On the road"),
    TripStatus.ARRIVED: gettext_lazy("At the destination"),
}
STEP_LABELS: dict[TripStatus, Text] = {
    TripStatus.EN_ROUTE: gettext_lazy("Set off"),
    TripStatus.DRIVER_ARRIVED: gettext_lazy("I have arrived"),
    TripStatus.PASSENGERS_BOARDED: gettext_lazy("Passengers on board"),
    TripStatus.IN_TRANSIT: gettext_lazy("Start driving"),
    TripStatus.ARRIVED: gettext_lazy("Arrived at destination"),
    TripStatus.COMPLETED: gettext_lazy("Complete trip"),
}
# Why their availability changed, as the driver reads it.
CAUSE_LABELS: dict[Cause, Text] = {
    Cause.DRIVER: gettext_lazy("by you"),
    Cause.STAFF: gettext_lazy("by our staff"),
    Cause.HOURS: gettext_lazy("your weekly hours"),
    Cause.BREAK_STARTED: gettext_lazy("your break began"),
    Cause.BREAK_ENDED: gettext_lazy("your break ended"),
    Cause.AUTO_OFFLINE: gettext_lazy("nothing happened for a while"),
    Cause.SUSPENDED: gettext_lazy("account suspended"),
    Cause.DEACTIVATED: gettext_lazy("account deactivated"),
    Cause.DOCUMENTS: gettext_lazy("a document is not accepted"),
    Cause.TRIP_STARTED: gettext_lazy("a trip began"),
    Cause.TRIP_ENDED: gettext_lazy("a trip ended"),
}
CHANGES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the history of the driver's availability, as it is shown."""

    row: AvailabilityChange

    @property
    def label(self) -> Text:
        if self.row.availability == Availability.BUSY and self.row.previous == Availability.BUSY:
            return _("Online after this trip") if self.row.is_online else _("Offline after this trip")
        return Availability(self.row.availability).label

    @property
    def why(self) -> Text:
        return CAUSE_LABELS[Cause(self.row.cause)]


@dataclass(frozen=True, slots=True)
class Person:
    """A person the driver meets. `phone`: E.164, empty: none. `booked_by`: empty: they booked themselves."""

    short_name: str
    initials: str
    phone: str
    rating: float | None = None
    booked_by: str = ""

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(user.short_name, user.initials, user.phone.as_e164 if user.phone else "", user.rating)

    @classmethod
    def traveller_of(cls, trip: Trip) -> Self:
        booked_by = trip.organiser.short_name
        return cls(trip.traveller_short_name, initials(trip.traveller_name), trip.traveller_phone, booked_by=booked_by)


@dataclass(frozen=True, slots=True)
class ActiveTrip:
    """A trip the driver has accepted and not finished."""

    trip: Trip
    bookings: list[Booking]
    # The driver's own choice (drivers.navigation).
    navigation_app: str
    # At the pickup the step is boarding and driving off in one.
    joins_boarding: bool = False
    # How many messages of the passenger the driver has not read.
    unread: int = 0
    # The passenger has a code that the driver enters before they are on board.
    asks_code: bool = False

    @property
    def people(self) -> list[Person]:
        """The people to meet: who has seats, the organiser where nobody has; on a trip for another its traveller."""
        users = [booking.passenger for booking in self.bookings] or [self.trip.organiser]
        if not self.trip.traveller_phone:
            return [Person.of(user) for user in users]
        others = [user for user in users if user.pk != self.trip.organiser_id]
        return [Person.traveller_of(self.trip), *(Person.of(user) for user in others)]

    @property
    def cash(self) -> int:
        return sum(booking.amount for booking in self.bookings if booking.payment_method == "cash")

    @property
    def is_driving(self) -> bool:
        return self.trip.status in DRIVING

    @property
    def status_label(self) -> Text:
        return STATUS_LABELS[TripStatus(self.trip.status)]

    @property
    def next_label(self) -> Text:
        return self._label_after(self.trip.status)

    @property
    def next_step(self) -> TripStatus | None:
        return self._step_after(self.trip.status)

    @property
    def steps_ahead(self) -> list[tuple[TripStatus, Text]]:
        """(step, label) of all steps that are left, for a driver who is offline meanwhile."""
        steps: list[tuple[TripStatus, Text]] = []
        status = self.trip.status
        while step := self._step_after(status):
            steps.append((step, self._label_after(status)))
            status = step
        return steps

    def _step_after(self, status: str) -> TripStatus | None:
        return TripStatus.IN_TRANSIT if self._is_joined_at(status) else next_step(status)

    def _label_after(self, status: str) -> Text:
        if self._is_joined_at(status):
            return _("On board, drive off")
        step = next_step(status)
        return STEP_LABELS[step] if step else ""

    def _is_joined_at(self, status: str) -> bool:
        return self.joins_boarding and status == TripStatus.DRIVER_ARRIVED

    @property
    def heads_to_dropoff(self) -> bool:
        return self.trip.status in ABOARD

    @property
    def destination(self) -> tuple[float, float]:
        """Where the driver goes now, (lat, lng): the pickup, the next stop or the dropoff."""
        if self.heads_to_dropoff:
            return self.trip.points_ahead[0]
        return self.trip.pickup_lat, self.trip.pickup_lng

    @property
    def stops_ahead(self) -> list[tuple[int, events.Stop]]:
        """(number, stop) of the stops that are not marked as reached."""
        stops = enumerate(self.trip.stop_list, 1)
        return [(number, stop) for number, stop in stops if stop.reached_at is None]

    @property
    def may_reach_stop(self) -> bool:
        """Say whether the next thing to do is to mark a stop as reached."""
        return self.trip.status == TripStatus.IN_TRANSIT and bool(self.stops_ahead)

    @property
    def navigation_url(self) -> str:
        return navigation_url(self.navigation_app, *self.destination)

    @property
    def may_release(self) -> bool:
        return self.trip.status in {TripStatus.ACCEPTED, TripStatus.EN_ROUTE} and not self.trip.former_legs

    @property
    def may_report_no_show(self) -> bool:
        return self.trip.status == TripStatus.DRIVER_ARRIVED and not self.trip.former_legs

    @property
    def no_show_from(self) -> dt.datetime | None:
        """From when on a no-show may be reported; None: already, or not yet known. Two queries."""
        if self.trip.awaits_confirmation:
            return None
        at = driving.no_show_at(self.trip, ServiceSettings.current())
        return at if at > database_now() else None

    @property
    def may_report_delay(self) -> bool:
        return self.trip.status != TripStatus.ARRIVED

    @property
    def steps(self) -> list[tuple[Text, str]]:
        """(label, state) of the trip's stages; the state is done, now or ahead."""
        order = STEPS[:-1]
        current = order.index(TripStatus(self.trip.status))
        return [
            (STATUS_LABELS[step], "done" if at < current else "now" if at == current else "ahead")
            for at, step in enumerate(order)
        ]


@dataclass(frozen=True, slots=True)
class Upcoming:
    """The next accepted trip that has not begun, and when to leave for it; None: the position is unknown."""

    trip: Trip
    distance_km: float | None
    leave_at: dt.datetime | None
    # The time to leave has passed.
    is_late: bool


class Board:
    """The dashboard of one driver; each property is a region's data, those that need queries are cached."""

    # The lengths of the page's break buttons, in minutes; others can be planned, or requested over REST.
    break_lengths = (15, 30, 60)

    def __init__(self, driver: Driver, now: dt.datetime | None = None) -> None:
        self.driver = driver
        self.now = now or database_now()

    @classmethod
    def of(cls, driver_id: int) -> Self:
        """Read the driver and return their board."""
        return cls(Driver.objects.select_related("user", "vehicle", "position").get(pk=driver_id))

    @property
    def may_drive(self) -> bool:
        """Whether this driver gets offers once online."""
        return self.driver.approval == Approval.APPROVED and not self.driver.lack

    @property
    def papers(self) -> Papers:
        return Papers(self.driver.user_id)

    @property
    def is_online(self) -> bool:
        return self.driver.availability != Availability.OFFLINE

    @property
    def is_busy(self) -> bool:
        return self.driver.availability == Availability.BUSY

    @cached_property
    def breaks(self) -> list[Break]:
        """The running break and the planned ones."""
        return list(self.driver.breaks.ahead().order_by("starts_at"))

    @property
    def running_break(self) -> Break | None:
        """The running break; None: not on a break, which costs no query."""
        if self.driver.on_break_until is None:
            return None
        return next((row for row in self.breaks if row.started_at is not None), None)

    @property
    def planned_breaks(self) -> list[Break]:
        return [row for row in self.breaks if row.started_at is None]

    @property
    def working_days(self) -> list[tuple[str, str]]:
        return hours.in_words(self.driver.weekly_hours)

    @cached_property
    def changes(self) -> list[Change]:
        """The latest changes of the driver's availability."""
        return [Change(row) for row in self.driver.availability_changes.order_by("-pk")[:CHANGES_SHOWN]]

    @cached_property
    def settings(self) -> ServiceSettings:
        return ServiceSettings.current()

    @cached_property
    def earnings(self) -> sums.Earnings:
        return sums.for_driver(self.driver, self.now)

    @cached_property
    def offers(self) -> list[events.OfferCreated]:
        """Cards of the open offers, the best first."""
        return offers.open_cards(self.driver.pk) if self.driver.approval == Approval.APPROVED else []

    @cached_property
    def active(self) -> list[ActiveTrip]:
        """The trip being driven first, then the accepted ones by departure."""
        confirmed = Booking.objects.filter(status=BookingStatus.CONFIRMED).select_related("passenger")
        trips = (
            Trip.objects.filter(driver_id=self.driver.pk, status__in=ASSIGNED)
            .select_related("organiser", "driver")
            .prefetch_related(Prefetch("bookings", confirmed.order_by("pk")))
            .order_by("departure_at", "pk")
        )
        unread = messages.count_unread(self.driver.user, trips)
        rows = [
            ActiveTrip(
                trip,
                list(trip.bookings.all()),
                self.driver.navigation_app,
                joins_boarding=self._joins_boarding(trip),
                unread=unread.get(trip.pk, 0),
                asks_code=bool(trip.boarding_code) and boarding.is_asked(trip, self.settings),
            )
            for trip in trips
        ]
        return sorted(rows, key=lambda row: not row.is_driving)

    def _joins_boarding(self, trip: Trip) -> bool:
        # The settings are read for a trip before its pickup only.
        return trip.status not in ABOARD and driving.joins_boarding(trip, self.settings)

    @cached_property
    def history(self) -> HistoryPage:
        return read_history(self.driver, "", now=self.now, settings=self.settings)

    @property
    def to_rate(self) -> PastTrip | None:
        """The trip just completed, while its passenger is not yet rated."""
        for past in self.history.trips:
            ended_at = past.trip.completed_at
            if past.may_rate and ended_at and self.now - ended_at < ASK_RATING_FOR:
                return past
        return None

    @property
    def current(self) -> ActiveTrip | None:
        """The trip on the map: the one being driven, else the next."""
        return self.active[0] if self.active else None

    @property
    def has_trip_at_hand(self) -> bool:
        """Whether the driver has a trip to work on now: one being driven, or one for now that they have accepted."""
        return self.current is not None and (self.current.is_driving or self.current.trip.is_now)

    @property
    def upcoming(self) -> Upcoming | None:
        """The next trip that has not begun; None: there is none."""
        waiting = [row.trip for row in self.active if not row.is_driving]
        if not waiting:
            return None
        position = getattr(self.driver, "position", None)
        if position is None:
            return Upcoming(waiting[0], None, None, is_late=False)
        km = distance_km(position.lat, position.lng, waiting[0].pickup_lat, waiting[0].pickup_lng)
        leave_at = waiting[0].departure_at - dt.timedelta(minutes=eta.minutes(km, eta.speeds_of(self.settings)))
        return Upcoming(waiting[0], km, leave_at, leave_at <= self.now)
