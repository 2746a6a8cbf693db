"""What the viewer may do with the trip: change it, cancel it, have it searched otherwise, rate it."""

import datetime as dt
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from msgspec import Struct

from stepper.staff_words import OR_ASK, add_staff
from stepper.templatetags.units import when_within
from trips import booking_limits, unfilled
from trips.bookings import cancel_refusal
from trips.models import Rating, TripLeg
from trips.states import BEFORE_BOARDING, EXPECTED, OPEN, Role, TripStatus, allowed

from .viewing import Viewing, first_name

# How much later a trip that nobody takes may go, as offered to its passenger.
LATER_MIN = (30, 60, 120)


class FormerDriver(Struct, frozen=True):
    """A driver who handed the trip over, and what the passenger gave them."""

    leg: TripLeg
    name: str
    rating: Rating | None
    may_rate: bool


class Actions:
    """Which buttons the panel has, and what they say."""

    def __init__(self, viewing: Viewing) -> None:
        self.viewing = viewing
        self.trip = viewing.trip

    # Changing

    @property
    def can_change(self) -> bool:
        """Say whether anything of the trip can change: all of it while it is open, then words to the driver."""
        return self.viewing.may_manage and self.trip.status in OPEN | BEFORE_BOARDING

    @property
    def has_calendar(self) -> bool:
        """Say whether to offer the trip for a calendar: one for later that is ahead."""
        return not (self.trip.is_now or self.trip.former_legs) and self.trip.status in OPEN | EXPECTED

    # Cancelling

    @property
    def can_cancel(self) -> bool:
        """Say whether cancelling works now."""
        trip = self.trip
        role = Role.STAFF if self.viewing.viewer.may_steer_trips else Role.ORGANISER
        in_table = allowed(trip.status, TripStatus.CANCELLED, role=role, flagged=trip.arrival_flagged)
        return self.viewing.may_manage and in_table and not self.cancel_refusal

    @cached_property
    def cancel_refusal(self) -> str:
        """Say why cancelling is not possible now; "" where it is."""
        viewing = self.viewing
        error = cancel_refusal(self.trip, viewing.viewer, settings=viewing.settings, now=viewing.now)
        return str(error.message) if error else ""

    @property
    def needs_help_to_cancel(self) -> bool:
        """Say whether only the driver or staff can still cancel the trip of this passenger."""
        return self.viewing.is_organiser and not (self.trip.is_finished or self.can_cancel)

    @property
    def cancel_consequence(self) -> str:
        """Say what cancelling will do."""
        if self.trip.driver:
            words = _("%(name)s is told at once and will not come. You owe nothing. This cannot be undone.")
            parts = [words % {"name": self.viewing.driver_name}]
            # What staff cancel counts against nobody, and they can do it later as well.
            if not self.viewing.viewer.may_steer_trips:
                parts += [self._cancel_until, self._cancels_counted]
            return " ".join(part for part in parts if part)
        if not self.trip.wave:
            return _("You owe nothing. This cannot be undone.")
        return _("The drivers who were asked are told at once. You owe nothing. This cannot be undone.")

    @property
    def _cancel_until(self) -> str:
        """Say until when the passenger can cancel by themselves; "" for a trip for now: until the driver is there."""
        if self.trip.is_now:
            return ""
        free = dt.timedelta(minutes=self.viewing.settings.free_cancel_min)
        until = when_within(self.trip.departure_at - free, self.trip.timezone)
        words = _("You can cancel here until %(when)s, afterwards only the driver can.") % {"when": until}
        return str(add_staff(words, OR_ASK, self.viewing.settings.support))

    @property
    def cancel_names_staff(self) -> bool:
        """Say whether what is said of cancelling sends the passenger to staff, who can be reached."""
        is_said = self.trip.driver and not self.trip.is_now and not self.viewing.viewer.may_steer_trips
        return bool(is_said and self.viewing.settings.support)

    @property
    def _cancels_counted(self) -> str:
        """Say what cancelling counts against, and how often the passenger has in the last 24 h. One query."""
        limit, number = booking_limits.late_cancels(self.viewing.viewer, self.viewing.settings)
        counted = ngettext(
            "Who cancels %(number)d trip after a driver accepted cannot book for a day.",
            "Who cancels %(number)d trips in a day after a driver accepted cannot book for the rest of it.",
            limit,
        )
        so_far = ngettext("You have cancelled %(number)d so far.", "You have cancelled %(number)d so far.", number)
        words = counted % {"number": limit}
        return f"{words} {so_far % {'number': number}}" if number else words

    # Nobody takes it

    @property
    def can_search_again(self) -> bool:
        """Say whether the next round can be started now."""
        return self.viewing.may_manage and self.trip.status == TripStatus.UNFILLED and not self.viewing.asked_from

    @property
    def can_change_search(self) -> bool:
        """Say whether to offer a wider search and a later time: nobody could be asked, or it has taken long."""
        return (
            self.viewing.may_manage
            and self.trip.status in OPEN
            and not self.viewing.asked_from
            and (self.trip.status == TripStatus.UNFILLED or self.trip.escalated_at is not None)
        )

    @property
    def wider_km(self) -> float | None:
        """Return the wider radius that is offered; None: it is as wide as it may be."""
        return unfilled.next_radius(self.trip, self.viewing.settings)

    @property
    def later_times(self) -> list[tuple[str, str]]:
        """Return times to go later: as the form sends it, as a person reads it. Stable while the page is open."""
        base = max(self.trip.departure_at, self.viewing.now).replace(second=0, microsecond=0)
        base += dt.timedelta(minutes=-base.minute % 10)
        times = [base + dt.timedelta(minutes=minutes) for minutes in LATER_MIN]
        return [(time.isoformat(), when_within(time, self.trip.timezone)) for time in times]

    @property
    def has_receipt(self) -> bool:
        """Say whether the trip has a receipt that the viewer may have; its driver has a statement of earnings."""
        return self.trip.status == TripStatus.COMPLETED and not self.viewing.is_driver

    # Rating

    @cached_property
    def my_rating(self) -> Rating | None:
        if self.trip.status != TripStatus.COMPLETED:
            return None
        return Rating.objects.filter(trip=self.trip, by=self.viewing.viewer, leg=0).first()

    @property
    def can_rate(self) -> bool:
        """Say whether the trip is completed, and the viewer was on it and has not rated it yet."""
        on_it = self.viewing.is_organiser or self.viewing.is_driver
        return self.trip.status == TripStatus.COMPLETED and on_it and self.my_rating is None

    @cached_property
    def former_drivers(self) -> list[FormerDriver]:
        """Return the drivers whom the passenger rates beside the last one. A query more where there are any."""
        completed = self.trip.status == TripStatus.COMPLETED
        if not (completed and self.viewing.is_organiser and self.viewing.former_legs):
            return []
        mine = Rating.objects.filter(trip=self.trip, by=self.viewing.viewer, leg__gt=0)
        given = {rating.leg: rating for rating in mine}
        return [
            FormerDriver(
                leg,
                first_name(leg.driver.user),
                rating=given.get(leg.number),
                may_rate=leg.number not in given or given[leg.number].may_change(self.viewing.now),
            )
            for leg in self.viewing.former_legs
        ]

    @property
    def can_change_rating(self) -> bool:
        return self.my_rating is not None and self.my_rating.may_change(self.viewing.now)

    @property
    def rating_choices(self) -> dict[str, Any]:
        """Return what the form of the rating offers (trips.forms.RatingForm)."""
        is_driver = self.viewing.is_driver
        return {
            "role": Role.DRIVER if is_driver else Role.ORGANISER,
            "with_tip": not is_driver and self.viewing.settings.tips_offered,
        }
