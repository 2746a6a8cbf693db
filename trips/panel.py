"""What the trip page says: the figure, the sentence, the steps, the timeline, for one viewer at one instant.

Reads the truth from the database and puts it into words; the page, its socket's fragments and the answers to its
buttons are rendered from the same `Panel`.
"""

import datetime as dt
from functools import cached_property

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from msgspec import Struct

from drivers.geo import distance_km
from drivers.models import DriverPosition, TrailPoint
from stepper.models import ServiceSettings, User, initials
from stepper.templatetags.units import clock, duration, km, money, when, when_within

from . import eta, unfilled
from .bookings import cancel_refusal
from .models import Offer, Rating, Trip, TripTransition
from .states import ABOARD, ASSIGNED, OPEN, Role, Stall, TripStatus

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
TRAIL_POINTS = 500
LATER_MIN = (30, 60, 120)
# A look at drivers this near is happening, for a passenger.
SOON = dt.timedelta(minutes=3)


class Mark(Struct, frozen=True):
    """A line of the timeline. `state`: done, now, ahead. `expected`: "pickup" or "dropoff", moved by the live ETA."""

    label: str
    state: str
    at: str = ""
    expected: str = ""


class Panel:
    """Everything the template of one trip reads, computed when it is read."""

    def __init__(self, trip: Trip, viewer: User, now: dt.datetime | None = None) -> None:
        self.trip = trip
        self.viewer = viewer
        self.now = now or timezone.now()

    # Who

    @property
    def is_driver(self) -> bool:
        return self.trip.driver is not None and self.trip.driver.user_id == self.viewer.pk

    @property
    def is_organiser(self) -> bool:
        return self.trip.organiser_id == self.viewer.pk

    @property
    def is_passenger(self) -> bool:
        """Whether "you" in the sentences is somebody who travels; the driver and staff read neutral words."""
        return self.is_organiser or not (self.is_driver or self.viewer.may_see_trips)

    @property
    def may_manage(self) -> bool:
        return self.is_organiser or self.viewer.may_steer_trips

    @property
    def name(self) -> str:
        """The driver's first name, as a person would say it."""
        driver = self.trip.driver
        return driver.user.name.split()[0] if driver and driver.user.name.strip() else _("Your driver")

    @property
    def other(self) -> User | None:
        """Whom the viewer may call while the trip is under way."""
        if self.trip.driver is None or self.trip.status not in ASSIGNED:
            return None
        return self.trip.organiser if self.is_driver else self.trip.driver.user

    @property
    def traveller_initials(self) -> str:
        return initials(self.trip.traveller_name)

    @property
    def phone(self) -> str:
        """Of whom the viewer may call, in E.164; empty: nobody. The driver calls who travels."""
        if self.is_driver and self.other and self.trip.traveller_phone:
            return self.trip.traveller_phone
        return self.other.phone.as_e164 if self.other and self.other.phone else ""

    # Where the driver is

    @cached_property
    def settings(self) -> ServiceSettings:
        return ServiceSettings.current()

    @property
    def is_tracked(self) -> bool:
        """The driver's position is this trip's business: under way, or soon."""
        if self.trip.status not in ASSIGNED:
            return False
        opens = dt.timedelta(minutes=self.settings.tracking_opens_min)
        return self.trip.status != TripStatus.ACCEPTED or self.now >= self.trip.departure_at - opens

    @cached_property
    def position(self) -> DriverPosition | None:
        if not self.is_tracked or self.trip.driver_id is None:
            return None
        return DriverPosition.objects.filter(driver_id=self.trip.driver_id).first()

    @property
    def is_dark(self) -> bool:
        """The last position is too old to say where the driver is."""
        oldest = self.now - dt.timedelta(seconds=self.settings.position_replay_s)
        return self.position is not None and self.position.recorded_at < oldest

    @property
    def shown_position(self) -> DriverPosition | None:
        """A position that is dark is shown only while the vehicle moves for this trip, greyed."""
        return None if self.is_dark and self.trip.status == TripStatus.ACCEPTED else self.position

    @cached_property
    def trail(self) -> list[tuple[float, float]]:
        """Where the vehicle went on this trip, as far as the viewer may know; oldest first."""
        if self.trip.status not in ASSIGNED and self.trip.status != TripStatus.COMPLETED:
            return []
        points = TrailPoint.objects.visible_to(self.viewer, self.trip).order_by("-recorded_at")
        return list(points.values_list("lat", "lng")[:TRAIL_POINTS])[::-1]

    @property
    def target(self) -> str:
        """Where the ETA counts to: "pickup", "dropoff", or "" where there is none."""
        if self.trip.status in (TripStatus.PASSENGERS_BOARDED, TripStatus.IN_TRANSIT):
            return "dropoff"
        if self.trip.status == TripStatus.EN_ROUTE or (self.trip.status == TripStatus.ACCEPTED and self.trip.is_now):
            return "pickup"
        return ""

    @cached_property
    def away_km(self) -> float | None:
        if not self.target or self.position is None or self.is_dark:
            return None
        lat: float = getattr(self.trip, f"{self.target}_lat")
        lng: float = getattr(self.trip, f"{self.target}_lng")
        return distance_km(self.position.lat, self.position.lng, lat, lng)

    @cached_property
    def eta_min(self) -> int | None:
        if self.away_km is None or self.position is None:
            return None
        return max(1, eta.minutes(self.away_km, self.position.speed_kmh))

    # In words

    @cached_property
    def offers_open(self) -> int:
        return Offer.objects.open().filter(trip=self.trip).count()

    @cached_property
    def transitions(self) -> list[TripTransition]:
        return list(self.trip.transitions.all())

    @property
    def figure(self) -> str:
        """The largest words of the page."""
        if self.eta_min is not None:
            return duration(self.eta_min)
        if self.trip.status == TripStatus.ACCEPTED and not self.trip.is_now:
            return clock(self.trip.departure_at, self.trip.timezone)
        if self.asked_from:
            return _("Booked")
        if self.trip.awaits_confirmation:
            return _("Not confirmed")
        words = {
            TripStatus.DRAFT: _("Not booked yet"),
            TripStatus.PUBLISHED: _("Looking"),
            TripStatus.OFFERED: _("Looking"),
            TripStatus.UNFILLED: _("No driver yet"),
            TripStatus.ACCEPTED: _("Accepted"),
            TripStatus.EN_ROUTE: _("On the way"),
            TripStatus.DRIVER_ARRIVED: _("Here"),
            TripStatus.PASSENGERS_BOARDED: _("On board"),
            TripStatus.IN_TRANSIT: _("On the road"),
            TripStatus.ARRIVED: _("Arrived"),
            TripStatus.COMPLETED: _("Completed"),
            TripStatus.CANCELLED: _("Cancelled"),
        }
        return words[TripStatus(self.trip.status)]

    @property
    def sentence(self) -> str:
        """What a person would say about it."""
        trip = self.trip
        values = {"name": self.name, "dropoff": trip.dropoff_name, "pickup": trip.pickup_name}
        if trip.status == TripStatus.OFFERED and self.offers_open:
            return ngettext("Asking %(count)d driver nearby", "Asking %(count)d drivers nearby", self.offers_open) % {
                "count": self.offers_open
            }
        if self.asked_from:
            return _("Drivers are asked from %(when)s") % {"when": when_within(self.asked_from, trip.timezone)}
        if not self.is_passenger:
            return str(TripStatus(trip.status).label)
        if trip.status == TripStatus.ACCEPTED and not trip.is_now:
            return _("%(name)s picks you up %(when)s") % {
                **values,
                "when": when_within(trip.departure_at, trip.timezone),
            }
        if trip.awaits_confirmation:
            return _("%(name)s says they are at the pickup") % values
        words = {
            TripStatus.DRAFT: _("Nobody has been asked yet"),
            TripStatus.PUBLISHED: _("Asking drivers nearby"),
            TripStatus.OFFERED: _("Asking drivers nearby"),
            TripStatus.UNFILLED: _("Nobody nearby can take you at the moment"),
            TripStatus.ACCEPTED: _("%(name)s drives you and sets off soon"),
            TripStatus.EN_ROUTE: _("%(name)s is on the way to you"),
            TripStatus.DRIVER_ARRIVED: _("%(name)s is at the pickup"),
            TripStatus.PASSENGERS_BOARDED: _("You are on board, %(name)s sets off to %(dropoff)s"),
            TripStatus.IN_TRANSIT: _("You are on the way to %(dropoff)s"),
            TripStatus.ARRIVED: _("You are at %(dropoff)s"),
            TripStatus.COMPLETED: _("You arrived at %(dropoff)s"),
            TripStatus.CANCELLED: _("This trip does not take place"),
        }
        return words[TripStatus(trip.status)] % values

    @property
    def line(self) -> str:
        """The second line: what comes next, since when, how far."""
        trip = self.trip
        if self.away_km is not None and self.eta_min is not None:
            at = clock(self.now + dt.timedelta(minutes=self.eta_min), trip.timezone)
            return self.line_template.replace("{km}", km(self.away_km)).replace("{time}", at)
        if self.asked_from:
            return _("departure %(when)s") % {"when": when(trip.departure_at, trip.timezone)}
        if trip.status in (TripStatus.PUBLISHED, TripStatus.OFFERED):
            return _("since %(time)s · the first to accept drives you") % {
                "time": clock(self._entered(TripStatus.OFFERED) or trip.created_at, trip.timezone)
            }
        if trip.status == TripStatus.UNFILLED and trip.next_look_at:
            next_at = max(trip.next_look_at, self.now)
            if next_at > self.now + dt.timedelta(hours=12):
                return _("next try %(when)s") % {"when": when_within(next_at, trip.timezone)}
            return _("next try at %(time)s") % {"time": clock(next_at, trip.timezone)}
        if trip.awaits_confirmation:
            return (
                _("no position confirms it; you can still cancel")
                if self.is_organiser
                else _("no position confirms it")
            )
        if trip.status == TripStatus.DRIVER_ARRIVED and trip.vehicle and self.is_passenger:
            return _("look for a %(vehicle)s") % {"vehicle": trip.vehicle.label}
        if trip.status == TripStatus.ARRIVED:
            return _("%(money)s in cash to the driver") % {"money": money(trip.fare)}
        if trip.status == TripStatus.COMPLETED and trip.completed_at:
            return when(trip.completed_at, trip.timezone)
        if trip.status == TripStatus.CANCELLED:
            at = when(trip.cancelled_at, trip.timezone) if trip.cancelled_at else ""
            return " · ".join(part for part in (self._cancelled_by, at, trip.cancel_reason) if part)
        if trip.status == TripStatus.ACCEPTED and not trip.is_now:
            return _("at %(pickup)s") % {"pickup": trip.pickup_name}
        return ""

    @property
    def line_template(self) -> str:
        """The second line with {km} and {time} to fill in, also for the page's script."""
        return _("{km} · there about {time}") if self.target == "dropoff" else _("{km} · arrives about {time}")

    @property
    def _cancelled_by(self) -> str:
        last = next((row for row in reversed(self.transitions) if row.to_status == TripStatus.CANCELLED), None)
        if last is None:
            return ""
        if last.role == Role.ORGANISER:
            return _("by you") if self.is_organiser else _("by the passenger")
        if last.role == Role.SYSTEM:
            return _("no driver was found in time")
        return _("by the driver") if last.role == Role.DRIVER else _("by our staff")

    @property
    def asked_from(self) -> dt.datetime | None:
        """When drivers will be asked about a trip that leaves too far ahead; None: they are being asked, or were."""
        trip = self.trip
        if trip.status not in (TripStatus.PUBLISHED, TripStatus.OFFERED) or trip.is_now or trip.next_look_at is None:
            return None
        if trip.wave:  # asked at once, because somebody wanted it
            return None
        return trip.next_look_at if trip.next_look_at > self.now + SOON else None

    # Nobody takes it

    @property
    def may_change_search(self) -> bool:
        """Whether to offer a wider search and a later time: nobody could be asked, or it has taken long."""
        return (
            self.may_manage
            and self.trip.status in OPEN
            and (self.trip.status == TripStatus.UNFILLED or self.trip.escalated_at is not None)
        )

    @property
    def wider_km(self) -> float | None:
        return unfilled.next_radius(self.trip, self.settings)

    @property
    def later(self) -> list[tuple[str, str]]:
        """Times to go later: as the form sends it, as a person reads it. They hold still while the page is open."""
        base = max(self.trip.departure_at, self.now).replace(second=0, microsecond=0)
        base += dt.timedelta(minutes=-base.minute % 10)
        times = [base + dt.timedelta(minutes=minutes) for minutes in LATER_MIN]
        return [(time.isoformat(), when_within(time, self.trip.timezone)) for time in times]

    @property
    def dark_note(self) -> str:
        """Said instead of an ETA when the driver's phone has been silent; "" otherwise."""
        if self.position is None or not self.is_dark:
            return ""
        return _("no position since %(time)s") % {"time": clock(self.position.recorded_at, self.trip.timezone)}

    @cached_property
    def stall_note(self) -> str:
        """Said calmly while the driver's way to the pickup is not as it should be; "" otherwise."""
        watch = self.trip.stalled
        if watch is None or watch.stalled_at is None:
            return ""
        words = {
            Stall.STANDING: _("%(name)s has been standing still since %(time)s. Our staff see it, too."),
            Stall.AWAY: _("%(name)s has been driving away from the pickup since %(time)s, perhaps around something."),
            # What the script says of a silent phone says it already.
            Stall.DARK: "" if self.dark_note else _("No position of %(name)s since %(time)s."),
        }
        return words[Stall(watch.stall)] % {"name": self.name, "time": self._clock(watch.stalled_at)}

    # Progress

    @property
    def reached(self) -> int:
        """The mark the trip stands at."""
        if self.trip.status == TripStatus.CANCELLED:
            before = next((row.from_status for row in self.transitions if row.to_status == "cancelled"), "")
            return _REACHED.get(TripStatus(before), BOOKED) if before else BOOKED
        return _REACHED.get(TripStatus(self.trip.status), BOOKED)

    @property
    def steps(self) -> list[str]:
        """States of the six segments of the progress bar."""
        here = ACCEPTED if self.trip.status in OPEN else self.reached
        return [self._state(mark, here) for mark in range(6)]

    @staticmethod
    def _state(mark: int, here: int) -> str:
        return "done" if mark < here else "now" if mark == here else "ahead"

    def _entered(self, *states: str) -> dt.datetime | None:
        rows = [row.created_at for row in self.transitions if row.to_status in states]
        if not rows:
            return None
        return rows[0] if len(states) > 1 else rows[-1]

    def _clock(self, instant: dt.datetime | None) -> str:
        return clock(instant, self.trip.timezone) if instant else ""

    @property
    def _expected(self) -> dict[str, dt.datetime]:
        """When pickup and dropoff are expected; empty where nobody can say."""
        trip = self.trip
        if trip.status not in ASSIGNED or trip.status == TripStatus.ARRIVED:
            return {}
        drive = trip.ends_at - trip.departure_at
        if self.target == "dropoff":
            return {"dropoff": self.now + dt.timedelta(minutes=self.eta_min)} if self.eta_min is not None else {}
        if self.target == "pickup":
            if self.eta_min is None:
                return {}
            pickup = self.now + dt.timedelta(minutes=self.eta_min)
            return {"pickup": pickup, "dropoff": pickup + drive}
        if trip.status == TripStatus.DRIVER_ARRIVED:
            return {"dropoff": max(self.now, trip.departure_at) + drive}
        delay = dt.timedelta(minutes=trip.delay_minutes)
        return {"pickup": trip.departure_at + delay, "dropoff": trip.ends_at + delay}

    @property
    def timeline(self) -> list[Mark]:
        trip, here, values = self.trip, self.reached, {"name": self.name, "dropoff": self.trip.dropoff_name}
        looking = trip.status in OPEN
        labels = {
            BOOKED: _("Booked"),
            ACCEPTED: _("Looking for a driver") if looking or here == BOOKED else _("%(name)s accepted") % values,
            ON_THE_WAY: _("On the way to you") if self.is_passenger else _("On the way to the pickup"),
            AT_PICKUP: _("At the pickup"),
            DRIVING: _("Driving to %(dropoff)s") % values,
            ARRIVED: _("Arrived"),
        }
        expected = self._expected
        marks = []
        for mark, label in labels.items():
            state = self._state(mark, ACCEPTED if looking else here)
            at, moving = "", ""
            if mark <= here:
                at = self._clock(trip.created_at if mark == BOOKED else self._entered(*_ENTERED_BY[mark]))
            elif (kind := {AT_PICKUP: "pickup", ARRIVED: "dropoff"}.get(mark)) and kind in expected:
                at, moving = f"≈ {self._clock(expected[kind])}", kind
            if trip.status == TripStatus.CANCELLED and mark > here:
                break
            if trip.status == TripStatus.CANCELLED:
                state = "done"
            marks.append(Mark(label=label, state=state, at=at, expected=moving))
        if trip.status == TripStatus.CANCELLED:
            marks.append(Mark(label=_("Cancelled"), state="cancelled", at=self._clock(trip.cancelled_at)))
        return marks

    @property
    def drive_min(self) -> int:
        """Minutes from pickup to dropoff, for the live expected times."""
        return round((self.trip.ends_at - self.trip.departure_at) / dt.timedelta(minutes=1))

    # What one can do

    @property
    def refusal(self) -> str:
        """Why cancelling is not possible now; "" where it is."""
        error = cancel_refusal(self.trip, self.viewer, settings=self.settings, now=self.now)
        return str(error.message) if error else ""

    @property
    def can_cancel(self) -> bool:
        """Whether the button is there at all; pressing it explains where it is too late."""
        return self.may_manage and not self.trip.is_finished

    @property
    def consequence(self) -> str:
        """What cancelling will do."""
        if self.trip.driver:
            words = _("%(name)s is told at once and will not come. You owe nothing. This cannot be undone.")
            per_day = self.settings.late_cancels_per_day
            counted = ngettext(
                "Who cancels %(number)d trip after a driver accepted cannot book for a day.",
                "Who cancels %(number)d trips in a day after a driver accepted cannot book for the rest of it.",
                per_day,
            )
            return f"{words % {'name': self.name}} {counted % {'number': per_day}}"
        return _("The drivers who were asked are told at once. You owe nothing. This cannot be undone.")

    @cached_property
    def my_rating(self) -> Rating | None:
        if self.trip.status != TripStatus.COMPLETED:
            return None
        return Rating.objects.filter(trip=self.trip, by=self.viewer).first()

    @property
    def may_rate(self) -> bool:
        """Completed, on it, and not rated yet."""
        on_it = self.is_organiser or self.is_driver
        return self.trip.status == TripStatus.COMPLETED and on_it and self.my_rating is None

    @property
    def is_looking(self) -> bool:
        return self.trip.status in OPEN

    @property
    def is_aboard(self) -> bool:
        return self.trip.status in ABOARD
