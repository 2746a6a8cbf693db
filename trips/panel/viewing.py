"""One view of one trip by one user at one instant: the user's role, and whom they may call."""

import datetime as dt
from functools import cached_property

from django.utils.translation import gettext as _

from stepper.db.clock import database_now
from stepper.models import ServiceSettings, User, initials
from trips.models import Trip
from trips.states import ASSIGNED


def first_name(user: User) -> str:
    """Return a driver's first name, as a person would say it."""
    return user.name.split()[0] if user.name.strip() else _("Your driver")


class Viewing:
    """The data that every part of the panel reads."""

    def __init__(self, trip: Trip, viewer: User, now: dt.datetime | None = None) -> None:
        self.trip = trip
        self.viewer = viewer
        self.now = now or database_now()

    @cached_property
    def settings(self) -> ServiceSettings:
        return ServiceSettings.current()

    @property
    def is_driver(self) -> bool:
        return self.trip.driver is not None and self.trip.driver.user_id == self.viewer.pk

    @property
    def is_organiser(self) -> bool:
        return self.trip.organiser_id == self.viewer.pk

    @property
    def is_passenger(self) -> bool:
        """Say whether "you" in the sentences is somebody who travels; the driver and staff read neutral words."""
        return self.is_organiser or not (self.is_driver or self.viewer.may_see_trips)

    @property
    def may_manage(self) -> bool:
        return self.is_organiser or self.viewer.may_steer_trips

    @property
    def driver_name(self) -> str:
        """Return the driver's first name, as a person would say it."""
        return first_name(self.trip.driver.user) if self.trip.driver else _("Your driver")

    @property
    def traveller_initials(self) -> str:
        return initials(self.trip.traveller_name)

    @property
    def phone(self) -> str:
        """Return the number that the viewer may call while the trip is under way, in E.164; empty: none.

        The driver calls whoever travels, the others call the driver.
        """
        if self.trip.driver is None or self.trip.status not in ASSIGNED:
            return ""
        if self.is_driver and self.trip.traveller_phone:
            return self.trip.traveller_phone
        other = self.trip.organiser if self.is_driver else self.trip.driver.user
        return other.phone.as_e164 if other.phone else ""


class GuestViewing(Viewing):
    """The view of somebody who has a link to the trip and no account, or one that does not count here."""

    is_driver = is_organiser = is_passenger = may_manage = False
    phone = ""

    def __init__(self, trip: Trip, now: dt.datetime | None = None) -> None:
        super().__init__(trip, User(), now)
