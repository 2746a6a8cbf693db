"""How the viewer reaches the other side of the trip and, where something is wrong, the staff."""

from functools import cached_property

from trips import messages, safety
from trips.states import Role, TripStatus

from .viewing import Viewing


class Contact:
    """Which ways to somebody the panel has."""

    def __init__(self, viewing: Viewing) -> None:
        self.viewing = viewing
        self.trip = viewing.trip

    @cached_property
    def may_write(self) -> bool:
        """Say whether the viewer is one of the two who write to each other, and may now."""
        viewing = self.viewing
        mine = messages.side_of(viewing.viewer, self.trip) is not None
        return mine and messages.is_open(self.trip, viewing.settings, viewing.now)

    @cached_property
    def unread(self) -> int:
        """Return how many messages the viewer has not read. One query."""
        return messages.count_unread(self.viewing.viewer, [self.trip]).get(self.trip.pk, 0) if self.may_write else 0

    @property
    def has_lost_and_found(self) -> bool:
        """Say whether the viewer may have left something in the vehicle."""
        return self.trip.status == TripStatus.COMPLETED and self._side == Role.ORGANISER

    @property
    def _side(self) -> Role | None:
        return messages.side_of(self.viewing.viewer, self.trip)

    @cached_property
    def may_call_help(self) -> bool:
        return safety.may_call(self.viewing.viewer, self.trip)

    @property
    def writes_sms(self) -> bool:
        """Say whether the driver reaches by SMS only who travels: somebody else has booked the trip."""
        return self.viewing.is_driver and bool(self.trip.traveller_phone) and bool(self.viewing.phone)
