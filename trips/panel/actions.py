"""What the viewer may do with the trip: cancel it, have it searched otherwise, rate it."""

import datetime as dt
from functools import cached_property

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from stepper.templatetags.units import when_within
from trips import unfilled
from trips.bookings import cancel_refusal
from trips.models import Rating
from trips.states import OPEN, Role, TripStatus, allowed

from .viewing import Viewing

# How much later a trip that nobody takes may go, as offered to its passenger.
LATER_MIN = (30, 60, 120)


class Actions:
    """Which buttons the panel has, and what they say."""

    def __init__(self, viewing: Viewing) -> None:
        self.viewing = viewing
        self.trip = viewing.trip

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
            per_day = self.viewing.settings.late_cancels_per_day
            counted = ngettext(
                "Who cancels %(number)d trip after a driver accepted cannot book for a day.",
                "Who cancels %(number)d trips in a day after a driver accepted cannot book for the rest of it.",
                per_day,
            )
            return f"{words % {'name': self.viewing.driver_name}} {counted % {'number': per_day}}"
        return _("The drivers who were asked are told at once. You owe nothing. This cannot be undone.")

    # Nobody takes it

    @property
    def can_search_again(self) -> bool:
        """Say whether the next round can be started now."""
        return self.viewing.may_manage and self.trip.status == TripStatus.UNFILLED

    @property
    def can_change_search(self) -> bool:
        """Say whether to offer a wider search and a later time: nobody could be asked, or it has taken long."""
        return (
            self.viewing.may_manage
            and self.trip.status in OPEN
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
        return Rating.objects.filter(trip=self.trip, by=self.viewing.viewer).first()

    @property
    def can_rate(self) -> bool:
        """Say whether the trip is completed, and the viewer was on it and has not rated it yet."""
        on_it = self.viewing.is_organiser or self.viewing.is_driver
        return self.trip.status == TripStatus.COMPLETED and on_it and self.my_rating is None

    @property
    def can_change_rating(self) -> bool:
        return self.my_rating is not None and self.my_rating.may_change(self.viewing.now)
