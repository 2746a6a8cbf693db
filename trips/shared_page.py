"""What the page of a shared trip says: where the trip stands, the driver's first name, the vehicle. Nothing else of it.

Neither phones, full names, money, notes nor the passenger's other data are read by its templates.
"""

import datetime as dt

from django.utils.translation import gettext as _

from stepper.templatetags.units import clock, duration, km
from trips.models import Trip
from trips.states import OPEN, TripStatus

from .panel.location import DriverLocation
from .panel.timeline import Timeline
from .panel.viewing import GuestViewing


class SharedTrip:
    """Everything that the templates of a shared trip read."""

    def __init__(self, trip: Trip, now: dt.datetime | None = None) -> None:
        self.trip = trip
        self.viewing = GuestViewing(trip, now)
        self.location = DriverLocation(self.viewing)
        self.timeline = Timeline(self.viewing, self.location)

    @property
    def traveller(self) -> str:
        """Return the first name of whoever travels."""
        name = self.trip.traveller_name or self.trip.organiser.name
        return name.split()[0] if name.strip() else ""

    @property
    def figure(self) -> str:
        """Return the largest words of the page."""
        if self.location.eta_min is not None:
            return duration(self.location.eta_min)
        words = {
            TripStatus.ACCEPTED: _("Accepted"),
            TripStatus.EN_ROUTE: _("On the way"),
            TripStatus.DRIVER_ARRIVED: _("At the pickup"),
            TripStatus.PASSENGERS_BOARDED: _("On board"),
            TripStatus.IN_TRANSIT: _("On the road"),
            TripStatus.ARRIVED: _("Arrived"),
            TripStatus.COMPLETED: _("Arrived"),
            TripStatus.CANCELLED: _("Cancelled"),
        }
        return words.get(TripStatus(self.trip.status), _("Looking"))

    @property
    def sentence(self) -> str:
        values = {"driver": self.viewing.driver_name, "dropoff": self.trip.dropoff_name}
        if self.trip.status in OPEN or self.trip.status == TripStatus.DRAFT:
            return _("A driver is being looked for")
        if self.trip.status == TripStatus.IN_TRANSIT:
            ahead = self.trip.stops_ahead
            words_now = _("On the way to %(stop)s, then to %(dropoff)s") if ahead else _("On the way to %(dropoff)s")
            return words_now % {**values, "stop": ahead[0].name if ahead else ""}
        words = {
            TripStatus.ACCEPTED: _("%(driver)s drives and has not set off yet"),
            TripStatus.EN_ROUTE: _("%(driver)s is on the way to the pickup"),
            TripStatus.DRIVER_ARRIVED: _("%(driver)s is at the pickup"),
            TripStatus.PASSENGERS_BOARDED: _("On board, about to drive to %(dropoff)s"),
            TripStatus.ARRIVED: _("Arrived at %(dropoff)s"),
            TripStatus.COMPLETED: _("Arrived at %(dropoff)s. This trip is over."),
            TripStatus.CANCELLED: _("This trip does not take place."),
        }
        return words[TripStatus(self.trip.status)] % values

    @property
    def line_template(self) -> str:
        """Return the second line with {km} and {time} to fill in, also for the page's script."""
        return _("{km} · there about {time}")

    @property
    def line(self) -> str:
        if self.location.away_km is None or self.location.arrives_at is None:
            return ""
        at = clock(self.location.arrives_at, self.trip.timezone)
        return self.line_template.replace("{km}", km(self.location.away_km)).replace("{time}", at)
