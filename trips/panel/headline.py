"""The words at the top of the trip page: the figure, the sentence, the second line, a note where the driver stalls."""

import datetime as dt
from functools import cached_property

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from stepper.templatetags.units import clock, duration, km, money, time_of_day, when, when_in_words, when_within
from trips.models import Offer
from trips.states import OPEN, Stall, TripStatus

from .location import DriverLocation
from .timeline import Timeline
from .viewing import Viewing


class Headline:
    """What is going on with the trip, in words for the viewer."""

    def __init__(self, viewing: Viewing, location: DriverLocation, timeline: Timeline) -> None:
        self.viewing = viewing
        self.location = location
        self.timeline = timeline
        self.trip = viewing.trip

    @property
    def is_looking(self) -> bool:
        """Say whether a driver is still being looked for."""
        return self.trip.status in OPEN

    @cached_property
    def offers_open(self) -> int:
        return Offer.objects.open().filter(trip=self.trip).count()

    @property
    def figure(self) -> str:
        """Return the largest words of the page."""
        if self.location.eta_min is not None:
            return duration(self.location.eta_min)
        if self.trip.status == TripStatus.ACCEPTED and not (self.trip.is_now or self.trip.former_legs):
            # The sentence below it says the day.
            return time_of_day(self.trip.pickup_expected_at, self.trip.timezone)
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
            TripStatus.DRIVER_ARRIVED: _("Your driver is here"),
            TripStatus.PASSENGERS_BOARDED: _("On board"),
            TripStatus.IN_TRANSIT: _("On the road"),
            TripStatus.ARRIVED: _("Arrived"),
            TripStatus.COMPLETED: _("Completed"),
            TripStatus.CANCELLED: _("Cancelled"),
        }
        return words[TripStatus(self.trip.status)]

    @property
    def sentence(self) -> str:
        """Say what a person would say about the trip."""
        trip = self.trip
        values = {"name": self.viewing.driver_name, "dropoff": trip.dropoff_name, "pickup": trip.pickup_name}
        traveller = values["traveller"] = self.viewing.traveller
        if trip.status == TripStatus.OFFERED and self.offers_open:
            return ngettext("Asking %(count)d driver nearby", "Asking %(count)d drivers nearby", self.offers_open) % {
                "count": self.offers_open
            }
        if self.asked_from:
            return _("Drivers are asked from %(when)s") % {"when": when_in_words(self.asked_from, trip.timezone)}
        if not self.viewing.is_passenger:
            return str(TripStatus(trip.status).label)
        if trip.status == TripStatus.ACCEPTED and trip.former_legs:
            return _("%(name)s takes over and drives you on to %(dropoff)s") % values
        if trip.status == TripStatus.ACCEPTED and not trip.is_now:
            picks_up = (
                _("%(name)s picks up %(traveller)s %(when)s") if traveller else _("%(name)s picks you up %(when)s")
            )
            return picks_up % {**values, "when": when_within(trip.pickup_expected_at, trip.timezone)}
        if trip.status == TripStatus.IN_TRANSIT and trip.stops_ahead:
            theirs = _("%(traveller)s is on the way to %(stop)s, then to %(dropoff)s")
            way = theirs if traveller else _("You are on the way to %(stop)s, then to %(dropoff)s")
            return way % {**values, "stop": trip.stops_ahead[0].name}
        if trip.awaits_confirmation:
            return _("%(name)s says they are at the pickup") % values
        words = self._words_about_traveller if traveller else self._words
        return words[TripStatus(trip.status)] % values

    @property
    def _words(self) -> dict[TripStatus, str]:
        """Say to who travels what is going on; also of a trip that is not under way yet."""
        return {
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

    @property
    def _words_about_traveller(self) -> dict[TripStatus, str]:
        """Say to who booked for somebody else what is going on with them."""
        return self._words | {
            TripStatus.UNFILLED: _("Nobody nearby can take %(traveller)s at the moment"),
            TripStatus.ACCEPTED: _("%(name)s drives %(traveller)s and sets off soon"),
            TripStatus.EN_ROUTE: _("%(name)s is on the way to %(traveller)s"),
            TripStatus.PASSENGERS_BOARDED: _("%(traveller)s is on board, %(name)s sets off to %(dropoff)s"),
            TripStatus.IN_TRANSIT: _("%(traveller)s is on the way to %(dropoff)s"),
            TripStatus.ARRIVED: _("%(traveller)s is at %(dropoff)s"),
            TripStatus.COMPLETED: _("%(traveller)s arrived at %(dropoff)s"),
        }

    @property
    def line(self) -> str:
        """Return the second line: what comes next, since when, how far."""
        trip = self.trip
        if self.location.away_km is not None and self.location.arrives_at is not None:
            at = clock(self.location.arrives_at, trip.timezone)
            return self.line_template.replace("{km}", km(self.location.away_km)).replace("{time}", at)
        if self.asked_from:
            return _("departure %(when)s") % {"when": when(trip.departure_at, trip.timezone)}
        if trip.status in (TripStatus.PUBLISHED, TripStatus.OFFERED):
            theirs = _("since %(time)s · the first to accept drives %(traveller)s")
            words = theirs if self.viewing.traveller else _("since %(time)s · the first to accept drives you")
            return words % {
                "traveller": self.viewing.traveller,
                "time": clock(self.timeline.entered_at(TripStatus.OFFERED) or trip.created_at, trip.timezone),
            }
        if trip.status == TripStatus.UNFILLED and trip.next_look_at:
            next_at = max(trip.next_look_at, self.viewing.now)
            if next_at > self.viewing.now + dt.timedelta(hours=12):
                return _("next try %(when)s") % {"when": when_within(next_at, trip.timezone)}
            return _("next try at %(time)s") % {"time": clock(next_at, trip.timezone)}
        if trip.awaits_confirmation:
            return (
                _("no position confirms it; you can still cancel")
                if self.viewing.is_organiser
                else _("no position confirms it")
            )
        if trip.status == TripStatus.DRIVER_ARRIVED and trip.vehicle and self.viewing.is_passenger:
            if self.viewing.traveller:
                return trip.vehicle.label
            return _("look for a %(vehicle)s") % {"vehicle": trip.vehicle.label}
        if trip.status == TripStatus.ARRIVED:
            return _("%(money)s in cash to the driver") % {"money": money(trip.fare)}
        if trip.status == TripStatus.COMPLETED and trip.completed_at:
            return when(trip.completed_at, trip.timezone)
        if trip.status == TripStatus.CANCELLED:
            at = when(trip.cancelled_at, trip.timezone) if trip.cancelled_at else ""
            return " · ".join(part for part in (self.timeline.cancelled_by, at, self._cancelled_because) if part)
        if trip.status == TripStatus.ACCEPTED and not trip.is_now:
            return _("at %(pickup)s") % {"pickup": trip.pickup_name}
        return ""

    @property
    def _cancelled_because(self) -> str:
        """Return why the trip was cancelled: to who booked it and staff what was chosen and what was written."""
        trip = self.trip
        if not (trip.cancel_code and (self.viewing.is_organiser or self.viewing.viewer.may_see_trips)):
            return trip.cancel_words
        return ": ".join(part for part in (str(trip.get_cancel_code_display()), trip.cancel_reason) if part)

    @property
    def line_template(self) -> str:
        """Return the second line with {km} and {time} to fill in, also for the page's script."""
        return _("{km} · there about {time}") if self.location.target == "dropoff" else _("{km} · arrives about {time}")

    @property
    def asked_from(self) -> dt.datetime | None:
        """Return when drivers will be asked, as in `Viewing.asked_from`."""
        return self.viewing.asked_from

    @property
    def given_back_note(self) -> str:
        """Say that the trip had a driver, while the next one is looked for; "" where it had none."""
        if not (self.is_looking and self.timeline.given_back):
            return ""
        last = self.timeline.given_back[-1]
        words = (
            _("Our staff took the trip off %(name)s at %(time)s.")
            if last.by_staff
            else _("%(name)s had to give the trip back at %(time)s.")
        )
        said = words % {"name": last.name, "time": clock(last.at, self.trip.timezone)}
        # When drivers are asked, if not now, stands above it.
        searches_now = self.viewing.is_passenger and not self.asked_from
        return f"{said} {_('We are finding you another driver.')}" if searches_now else said

    @cached_property
    def stall_note(self) -> str:
        """Say what is wrong with the driver's way to the pickup; "" where nothing is."""
        watch = self.trip.stalled
        if watch is None or watch.stalled_at is None:
            return ""
        words = {
            Stall.STANDING: _("%(name)s has been standing still since %(time)s. Our staff see it, too."),
            Stall.AWAY: _("%(name)s has been driving away from the pickup since %(time)s, perhaps around something."),
            # What the script says of a silent phone says it already.
            Stall.DARK: "" if self.location.dark_note else _("No position of %(name)s since %(time)s."),
        }
        return words[Stall(watch.stall)] % {
            "name": self.viewing.driver_name,
            "time": clock(watch.stalled_at, self.trip.timezone),
        }
