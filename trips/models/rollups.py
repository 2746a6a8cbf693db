"""What reports are read from: counts of each day, so that none reads a million trips. Only trips.reports writes them.

A day is one of the service's time zone, its hours are those of the clock there. Every row can be counted again from the
trips (`manage.py rebuild_reports`), but for what pruning has deleted meanwhile: that stays as it was counted.
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from trips.states import Role, VehicleClass


class _OfPlace(models.Model):
    """The columns that reports filter by. `place`: the slug of the town around the pickup; empty: there is none."""

    day = models.DateField()
    place = models.CharField(max_length=60, blank=True)
    vehicle_class = models.CharField(max_length=8, choices=VehicleClass.choices)

    class Meta:
        abstract = True


class TripDay(_OfPlace):
    """The trips of a day: those that were to depart on it, those that were completed on it, and the ratings given."""

    # By the departure, without drafts; what is none of the three is still open.
    trips = models.PositiveIntegerField(default=0)
    completed = models.PositiveIntegerField(default=0)
    # Without those that no driver took.
    cancelled = models.PositiveIntegerField(default=0)
    unfilled = models.PositiveIntegerField(default=0)
    # Trips for now that one driver took, by the time from the booking until they accepted: see ACCEPTED_WITHIN_S.
    accepted = models.PositiveIntegerField(default=0)
    accept_s = models.PositiveBigIntegerField(default=0)
    accepted_30s = models.PositiveIntegerField(default=0)
    accepted_1min = models.PositiveIntegerField(default=0)
    accepted_2min = models.PositiveIntegerField(default=0)
    accepted_5min = models.PositiveIntegerField(default=0)
    accepted_10min = models.PositiveIntegerField(default=0)
    # By the day on which they ended, in whole tenge.
    ended = models.PositiveIntegerField(default=0)
    fare = models.PositiveBigIntegerField(default=0)
    fee = models.PositiveBigIntegerField(default=0)
    # What passengers gave their drivers on the day.
    stars_1 = models.PositiveIntegerField(default=0)
    stars_2 = models.PositiveIntegerField(default=0)
    stars_3 = models.PositiveIntegerField(default=0)
    stars_4 = models.PositiveIntegerField(default=0)
    stars_5 = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("trips of a day")
        verbose_name_plural = _("trips by day")
        default_permissions = ()
        permissions = [("view_report", "Can view reports"), ("view_revenue", "Can view money in reports")]
        constraints = [models.UniqueConstraint(fields=["day", "place", "vehicle_class"], name="trip_day_once")]

    def __str__(self) -> str:
        return f"{self.day} {self.place} {self.vehicle_class}"


class TripHour(_OfPlace):
    """The trips that were to depart in an hour of a day, by the clock of the service's zone."""

    hour = models.PositiveSmallIntegerField()
    trips = models.PositiveIntegerField(default=0)
    unfilled = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("trips of an hour")
        verbose_name_plural = _("trips by hour")
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["day", "hour", "place", "vehicle_class"], name="trip_hour_once")]

    def __str__(self) -> str:
        return f"{self.day} {self.hour} {self.place} {self.vehicle_class}"


class TripReason(_OfPlace):
    """Why trips of a day were cancelled, or found no driver: so many of them for one reason."""

    class Kind(models.TextChoices):
        CANCELLED = "cancelled", _("Cancelled")
        UNFILLED = "unfilled", _("No driver")

    kind = models.CharField(max_length=10, choices=Kind.choices)
    # Of what was cancelled: by whom.
    side = models.CharField(max_length=10, choices=Role.choices, blank=True)
    # CancelReason, NO_SHOW or empty; of what found no driver a code of trips.reports.reasons.
    code = models.CharField(max_length=30, blank=True)
    trips = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("reason of a day")
        verbose_name_plural = _("reasons by day")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["day", "kind", "side", "code", "place", "vehicle_class"], name="trip_reason_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.kind} {self.side} {self.code}"


class DriverDay(models.Model):
    """What one driver did on a day of the service's zone: trips that ended on it, hours, ratings.

    Of a trip that was handed over each driver has their part (trips.legs).
    """

    day = models.DateField()
    # No constraint of the database: the last release deletes drivers without knowing of this table.
    driver = models.ForeignKey("drivers.Driver", models.CASCADE, related_name="+", db_constraint=False)
    trips = models.PositiveIntegerField(default=0)
    fare = models.BigIntegerField(default=0)
    fee = models.BigIntegerField(default=0)
    # What of the cash they took is the service's; negative: the service owes them (drivers.earnings.sums).
    owed = models.BigIntegerField(default=0)
    # Seconds; online contains on trips.
    online_s = models.PositiveIntegerField(default=0)
    on_trips_s = models.PositiveIntegerField(default=0)
    stars = models.PositiveIntegerField(default=0)
    ratings = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("day of a driver")
        verbose_name_plural = _("days of drivers")
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["day", "driver"], name="driver_day_once")]

    def __str__(self) -> str:
        return f"{self.day} {self.driver_id}"


class ReportState(models.Model):
    """How far the counting of days has come; one row. One process counts at a time."""

    # Who counts now, until when others leave it to them.
    claim = models.CharField(max_length=32, blank=True, default="")
    claimed_until = models.DateTimeField(null=True)
    # The last TripTransition and TripChange whose trips were counted again.
    transition_id = models.BigIntegerField(default=0)
    change_id = models.BigIntegerField(default=0)
    # The zone of the days; another one has all of them counted again.
    zone = models.CharField(max_length=40, blank=True, default="")
    # When counting last came to its end; None: never.
    counted_at = models.DateTimeField(null=True)
    # The next of the past days that are counted again, one after another up to today; None: there are none.
    fill_from = models.DateField(null=True)
    # The last day on which the days before were counted again, and that of the last mail (trips.reports.nightly).
    recounted_on = models.DateField(null=True)
    mailed_on = models.DateField(null=True)

    class Meta:
        verbose_name = _("state of the reports")
        verbose_name_plural = _("state of the reports")
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="report_state_one_row")]

    def __str__(self) -> str:
        return str(self.counted_at)
