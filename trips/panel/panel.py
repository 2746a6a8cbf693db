"""The whole panel of a trip: its parts, made from one viewing. Templates read it as `panel`."""

import datetime as dt

from stepper.models import User
from trips.models import Trip

from .actions import Actions
from .contact import Contact
from .headline import Headline
from .location import DriverLocation
from .timeline import Timeline
from .viewing import Viewing


class Panel:
    """Everything the template of one trip reads; each value is computed when it is read."""

    def __init__(self, trip: Trip, viewer: User, now: dt.datetime | None = None) -> None:
        self.trip = trip
        self.viewing = Viewing(trip, viewer, now)
        self.location = DriverLocation(self.viewing)
        self.timeline = Timeline(self.viewing, self.location)
        self.headline = Headline(self.viewing, self.location, self.timeline)
        self.actions = Actions(self.viewing)
        self.contact = Contact(self.viewing)
