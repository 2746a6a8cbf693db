"""What became of a booking: whether it was changed, and how it was cancelled."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextField
from trips.states import FINISHED, PASSENGER_WORDS, CancelReason, TripStatus


class TripOutcome(models.Model):
    """The columns of a trip that say what became of the booking, and its status in words."""

    # What was booked changed last with this version, and after this round: who had declined may be asked again.
    # 0: it never changed (trips.changes).
    changed_version = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    changed_after_round = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancel_reason = PlainTextField(_("cancelled because"), max_length=200, blank=True)
    # What the passenger chose; then `cancel_reason` has words that the driver does not read.
    cancel_code = models.CharField(
        _("reason chosen"), max_length=16, choices=CancelReason.choices, blank=True, default="", db_default=""
    )

    # Of Trip.
    status: str

    class Meta:
        abstract = True

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED

    @property
    def passenger_status(self) -> str:
        """The status in the passenger's words."""
        status = TripStatus(self.status)
        return str(PASSENGER_WORDS.get(status, status.label))

    @property
    def cancel_words(self) -> str:
        """Why the trip was cancelled, as whoever else is on it reads it: what was chosen, or the words; "": not said.

        That the driver asked for it is for the organiser and staff.
        """
        if not self.cancel_code:
            return self.cancel_reason
        return "" if self.cancel_code == CancelReason.DRIVER_ASKED else str(self.get_cancel_code_display())
