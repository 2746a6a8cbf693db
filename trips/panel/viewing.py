"""One view of one trip by one user at one instant: the user's role, and whom they may call."""

import datetime as dt
from functools import cached_property

from django.utils.translation import gettext as _

from drivers import documents
from stepper.db.clock import database_now
from stepper.models import ServiceSettings, User, initials
from trips import access, boarding, legs
from trips.dispatch import offers_open_at
from trips.models import Trip, TripLeg
from trips.states import ASSIGNED, OPEN, TripStatus, VehicleClass

# A passenger whose drivers are asked within this reads that it is happening.
SOON = dt.timedelta(minutes=3)


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

    @cached_property
    def former_legs(self) -> list[TripLeg]:
        """Return what former drivers drove of a trip that was handed over. One query where there is any."""
        return legs.legs_of([self.trip]).get(self.trip.pk, [])

    @property
    def is_driver(self) -> bool:
        return access.drives(self.viewer, self.trip)

    @property
    def is_organiser(self) -> bool:
        return self.trip.organiser_id == self.viewer.pk

    @property
    def is_passenger(self) -> bool:
        """Say whether "you" in the sentences is somebody who travels; the driver and staff read neutral words."""
        return self.is_organiser or not (self.is_driver or self.viewer.may_see_trips)

    @property
    def traveller(self) -> str:
        """Return the first name of whom the viewer has booked for, to speak about them; "": of "you", or nobody."""
        name = self.trip.traveller_name.strip()
        return name.split()[0] if self.is_organiser and self.trip.traveller_phone and name else ""

    @property
    def may_manage(self) -> bool:
        return self.is_organiser or self.viewer.may_steer_trips

    @cached_property
    def asked_from(self) -> dt.datetime | None:
        """Return when drivers will be asked about a trip that leaves too far ahead; None: they are or were asked."""
        trip = self.trip
        if trip.status not in OPEN or trip.is_now or trip.next_look_at is None or trip.next_look_at <= self.now + SOON:
            return None
        if trip.wave:  # asked at once, because somebody wanted it
            return None
        # Nobody could be asked, and then it was put off: the search is to come, it has not failed.
        if trip.status == TripStatus.UNFILLED and offers_open_at(trip, self.settings) <= self.now:
            return None
        return trip.next_look_at

    @property
    def higher_class(self) -> str:
        """Return the vehicle's class where it is higher than what was ordered, and the price is not; else ""."""
        vehicle, classes = self.trip.vehicle, VehicleClass.values
        if vehicle is None or classes.index(vehicle.vehicle_class) <= classes.index(self.trip.vehicle_class):
            return ""
        return str(vehicle.get_vehicle_class_display())

    @property
    def driver_name(self) -> str:
        """Return the driver's first name, as a person would say it."""
        return first_name(self.trip.driver.user) if self.trip.driver else _("Your driver")

    @property
    def traveller_initials(self) -> str:
        return initials(self.trip.traveller_name)

    @cached_property
    def photo_id(self) -> int | None:
        """Return the id of the driver's photo, shown while they have the trip to whoever may see it; None: initials."""
        if self.trip.driver is None or self.trip.status not in ASSIGNED:
            return None
        return documents.photo_id_of(self.trip.driver.user_id)

    @property
    def boarding_code(self) -> str:
        """Return what the passenger says to the driver at boarding; empty: nothing, or to somebody else."""
        trip = self.trip
        shown = bool(trip.boarding_code) and boarding.is_shown_to(self.viewer, trip)
        return trip.boarding_code if shown and boarding.is_asked(trip, self.settings) else ""

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
    phone = boarding_code = ""
    photo_id = None

    def __init__(self, trip: Trip, now: dt.datetime | None = None) -> None:
        super().__init__(trip, User(), now)
