"""What trips.watch remembers of a trip whose driver is expected at the pickup."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from trips.models.trip import Trip
from trips.states import Stall


class TripWatch(models.Model):
    """What trips.watch knows and has done about a trip whose driver is expected at the pickup; of this driver only."""

    trip = models.OneToOneField(Trip, models.CASCADE, primary_key=True, related_name="watch")
    driver = models.ForeignKey("drivers.Driver", models.CASCADE, related_name="+")
    # When the trip is checked next; None: no longer.
    due_at = models.DateTimeField(null=True, blank=True)
    first_reminder_at = models.DateTimeField(_("first reminder"), null=True, blank=True)
    last_reminder_at = models.DateTimeField(_("last reminder"), null=True, blank=True)
    nudged_at = models.DateTimeField(_("driver told to set off"), null=True, blank=True)
    # Flagged: the driver has not set off.
    late_at = models.DateTimeField(_("late since"), null=True, blank=True)
    set_off_at = models.DateTimeField(_("set off"), null=True, blank=True)
    stall = models.CharField(_("stall"), max_length=8, choices=Stall.choices, blank=True)
    stalled_at = models.DateTimeField(_("stalled since"), null=True, blank=True)
    stall_told_at = models.DateTimeField(_("staff told of a stall"), null=True, blank=True)
    # Where the vehicle last began to stand, and the nearest it has been to the pickup.
    anchor_lat = models.FloatField(null=True, blank=True)
    anchor_lng = models.FloatField(null=True, blank=True)
    anchor_at = models.DateTimeField(null=True, blank=True)
    least_km = models.FloatField(null=True, blank=True)
    least_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("watch")
        verbose_name_plural = _("watches")
        indexes = [
            # The dispatcher's query for what is due.
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="watch_due"),
        ]

    def __str__(self) -> str:
        return f"{self.trip_id}: {self.get_stall_display() or '–'}"
