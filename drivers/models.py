"""Drivers, their vehicles, working time, metrics and positions, and the trails of their trips."""

import datetime as dt
from typing import Literal, Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q, Subquery
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from drivers.colours import colour_before_make
from drivers.document_models import (
    REQUIRED_KINDS,
    DocumentKind,
    DocumentStatus,
    DriverApplication,
    DriverDocument,
)
from drivers.navigation import NavigationApp
from drivers.plates import PlateField, readable_plate
from stepper.dates import NEVER
from stepper.db.clock import database_now
from stepper.texts import PlainTextField
from trips.states import TripType, VehicleClass

__all__ = [
    "REQUIRED_KINDS",
    "Approval",
    "Availability",
    "AvailabilityChange",
    "Break",
    "Cause",
    "DocumentKind",
    "DocumentStatus",
    "Driver",
    "DriverApplication",
    "DriverDocument",
    "DriverMetrics",
    "DriverPosition",
    "TrailPoint",
    "Vehicle",
]


class Approval(models.TextChoices):
    PENDING = "pending", _("Pending")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    SUSPENDED = "suspended", _("Suspended")


class Availability(models.TextChoices):
    OFFLINE = "offline", _("Offline")
    AVAILABLE = "available", _("Online")
    BUSY = "busy", _("On a trip")


class Cause(models.TextChoices):
    """Why a driver's availability changed."""

    DRIVER = "driver", _("The driver's switch")
    STAFF = "staff", _("Staff")
    HOURS = "hours", _("Weekly hours")
    BREAK_STARTED = "break_started", _("Break started")
    BREAK_ENDED = "break_ended", _("Break ended")
    AUTO_OFFLINE = "auto_offline", _("No activity")
    SUSPENDED = "suspended", _("Suspended or rejected")
    DEACTIVATED = "deactivated", _("Account deactivated")
    DOCUMENTS = "documents", _("Document not accepted any more")
    TRIP_STARTED = "trip_started", _("Trip started")
    TRIP_ENDED = "trip_ended", _("Trip ended")


# The range of a driver's setting, how many minutes they stay online without activity.
AUTO_OFFLINE_MIN, AUTO_OFFLINE_MAX = 60, 240


def all_trip_types() -> list[str]:
    return list(TripType.values)


class Vehicle(models.Model):
    make = PlainTextField(_("make"), max_length=40)
    model = PlainTextField(_("model"), max_length=40)
    colour = PlainTextField(_("colour"), max_length=30)
    # In normal form, with room for the suffix of one in doubt (drivers.plates).
    plate = PlateField(_("plate"), max_length=20, unique=True)
    year = models.PositiveSmallIntegerField(_("year"), null=True, blank=True)
    vehicle_class = models.CharField(_("class"), max_length=8, choices=VehicleClass.choices, default=VehicleClass.SEDAN)
    seats = models.PositiveSmallIntegerField(
        _("passenger seats"), default=4, validators=[MinValueValidator(1), MaxValueValidator(60)]
    )

    class Meta:
        verbose_name = _("vehicle")
        verbose_name_plural = _("vehicles")
        constraints = [models.CheckConstraint(condition=Q(seats__gte=1, seats__lte=60), name="vehicle_seats_1_to_60")]

    def __str__(self) -> str:
        return f"{self.label} · {self.plate_text}"

    @property
    def label(self) -> str:
        """ "White Toyota Camry", the colour in the active language."""
        return f"{colour_before_make(self.colour)} {self.make} {self.model}"

    @property
    def plate_text(self) -> str:
        """The plate as people read it: "101 ABK 02"."""
        return readable_plate(self.plate)


class DriverQuerySet(models.QuerySet["Driver"]):
    def with_mates(self, driver_id: int) -> Self:
        """Keep the driver and those who share their vehicle."""
        # One value, not a list: only then each side of the "or" is looked up in its index.
        mine = Subquery(Driver.objects.filter(pk=driver_id).values("vehicle")[:1])
        return self.filter(Q(pk=driver_id) | Q(vehicle=mine))

    def locked(self) -> Self:
        """Lock the rows by ascending id. Drivers are first in the lock order (driver, trip, offers, bookings)."""
        return self.order_by("pk").select_for_update(no_key=True, of=("self",))


class Driver(models.Model):
    """A user who drives. `is_online` is what the driver chose, `availability` what follows from it and the trip."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, related_name="driver")
    # Drivers may share a vehicle; one of them is online or on a trip (driver_vehicle_in_use).
    vehicle = models.ForeignKey(
        Vehicle, models.PROTECT, related_name="drivers", related_query_name="driver", null=True, blank=True
    )
    approval = models.CharField(_("approval"), max_length=10, choices=Approval.choices, default=Approval.PENDING)
    # When staff decided about the approval, the last time; None: not yet.
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    availability = models.CharField(
        _("availability"), max_length=10, choices=Availability.choices, default=Availability.OFFLINE
    )
    is_online = models.BooleanField(_("online"), default=False)
    licence_number = PlainTextField(_("licence number"), max_length=32)
    licence_expires_on = models.DateField(_("licence expires"))
    # The last day on which the documents that the driver needs are accepted and valid, without the licence's date;
    # None: no other document was asked for. Only drivers.validity writes it.
    documents_valid_until = models.DateField(_("documents valid until"), null=True, blank=True)
    # When the dispatcher next reads the dates of licence and documents, and reminds of those that end; None: never.
    documents_due_at = models.DateTimeField(null=True, blank=True, db_default=Now())
    rating_sum = models.PositiveIntegerField(default=0, editable=False)
    rating_count = models.PositiveIntegerField(default=0, editable=False)

    # The driver's own filters; None or all: no limit.
    max_distance_km = models.FloatField(_("largest distance to the pickup, km"), null=True, blank=True)
    min_earnings = models.PositiveIntegerField(_("least earnings, ₸"), null=True, blank=True)
    trip_types = models.JSONField(_("trip types"), default=all_trip_types)
    accepts_long_distance = models.BooleanField(_("long distance (200 km and more)"), default=True)

    # Which app leads to the next stop.
    navigation_app = models.CharField(
        _("navigation app"),
        max_length=8,
        choices=NavigationApp.choices,
        default=NavigationApp.GOOGLE,
        db_default=NavigationApp.GOOGLE,
    )

    # The driver's working time (drivers.working_time). The zone of the hours and of times in messages.
    timezone = models.CharField(_("time zone"), max_length=40, default="Asia/Almaty")
    # Day -> {"from": "08:00", "to": "18:00"}, at most one span a day (drivers.hours).
    weekly_hours = models.JSONField(_("weekly hours"), default=dict, blank=True)
    # When the hours next begin or end; None: there are none, or they cover all of the week.
    hours_due_at = models.DateTimeField(_("hours begin or end next"), null=True, blank=True)
    # The running break's end; None: not on a break.
    on_break_until = models.DateTimeField(_("on a break until"), null=True, blank=True)
    auto_offline_min = models.PositiveSmallIntegerField(
        _("offline after, min without activity"),
        default=120,
        validators=[MinValueValidator(AUTO_OFFLINE_MIN), MaxValueValidator(AUTO_OFFLINE_MAX)],
    )
    # When the driver was last active, to the minute, and where the vehicle was when it last moved.
    active_at = models.DateTimeField(_("active"), null=True, blank=True)
    active_lat = models.FloatField(null=True, blank=True)
    active_lng = models.FloatField(null=True, blank=True)
    # When the dispatcher next checks whether the driver is still active; None: not available.
    idle_look_at = models.DateTimeField(null=True, blank=True)
    # Set with the warning: when the driver is put offline, unless they are active before.
    auto_offline_at = models.DateTimeField(_("offline by itself at"), null=True, blank=True)

    objects = DriverQuerySet.as_manager()

    class Meta:
        verbose_name = _("driver")
        verbose_name_plural = _("drivers")
        constraints = [
            models.CheckConstraint(
                condition=Q(approval=Approval.APPROVED) | ~Q(availability=Availability.AVAILABLE),
                name="driver_available_only_approved",
            ),
            models.CheckConstraint(
                condition=Q(auto_offline_min__gte=AUTO_OFFLINE_MIN, auto_offline_min__lte=AUTO_OFFLINE_MAX),
                name="driver_auto_offline_60_to_240",
            ),
            models.UniqueConstraint(
                fields=["vehicle"], condition=~Q(availability=Availability.OFFLINE), name="driver_vehicle_in_use"
            ),
        ]
        indexes = [
            # The dispatcher's search for weekly hours that begin or end.
            models.Index(fields=["hours_due_at"], condition=Q(hours_due_at__isnull=False), name="driver_hours_due"),
            # The dispatcher's search for drivers whose activity is to be checked.
            models.Index(fields=["idle_look_at"], condition=Q(idle_look_at__isnull=False), name="driver_idle_look"),
            # The dispatcher's search for licences and documents that end soon.
            models.Index(
                fields=["documents_due_at"], condition=Q(documents_due_at__isnull=False), name="driver_documents_due"
            ),
        ]

    def __str__(self) -> str:
        return self.user.name

    @property
    def rating(self) -> float | None:
        """The average of the stars received, to one decimal; None: no ratings yet."""
        return round(self.rating_sum / self.rating_count, 1) if self.rating_count else None

    @cached_property
    def mates(self) -> list["Driver"]:
        """The other drivers of the vehicle, read once."""
        if self.vehicle_id is None:
            return []
        others = Driver.objects.filter(vehicle=self.vehicle_id).exclude(pk=self.pk)
        return list(others.select_related("user").order_by("pk"))

    @property
    def licence_expired(self) -> bool:
        return self.licence_expires_on < timezone.localdate()

    @property
    def documents_expired(self) -> bool:
        """Whether a document that they need has expired, or is not accepted any more."""
        return self.documents_valid_until is not None and self.documents_valid_until < timezone.localdate()

    @property
    def documents_missing(self) -> bool:
        """Say whether they applied and a document that they need is not accepted."""
        return self.documents_valid_until == NEVER

    @property
    def lack(self) -> Literal["", "vehicle", "licence", "documents"]:
        """What keeps a driver from driving, even an approved one; empty: nothing."""
        if self.vehicle_id is None:
            return "vehicle"
        if self.licence_expired:
            return "licence"
        return "documents" if self.documents_expired else ""


class DriverMetrics(models.Model):
    """A driver's figures of the last days, for the ranking (trips.ranking). Only drivers.metrics writes them."""

    driver = models.OneToOneField(Driver, models.CASCADE, primary_key=True, related_name="metrics")
    # Share of 7 days' offers that were accepted, of those that were the driver's to answer; None: there were none.
    acceptance = models.FloatField(_("acceptance"), null=True)
    # Trips of 7 days that were given back.
    cancellations = models.PositiveIntegerField(_("trips given back"), default=0)
    last_trip_at = models.DateTimeField(_("last trip ended"), null=True)
    # When they are counted next; None: not before the driver is online again.
    due_at = models.DateTimeField(null=True, db_default=Now())

    class Meta:
        # The name of the table and of the index are those of the model's first release.
        db_table = "drivers_driverstanding"
        verbose_name = _("driver metrics")
        verbose_name_plural = _("driver metrics")
        indexes = [
            # The dispatcher's search for metrics that are due.
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="standing_due"),
        ]

    def __str__(self) -> str:
        return f"{self.driver_id}: {self.acceptance}, {self.cancellations}"


class AvailabilityChange(models.Model):
    """History of a driver's availability: from what, to what, and why. Written by `change_availability`."""

    driver = models.ForeignKey(Driver, models.CASCADE, related_name="availability_changes")
    previous = models.CharField(_("from"), max_length=10, choices=Availability.choices)
    availability = models.CharField(_("to"), max_length=10, choices=Availability.choices)
    # Whether the driver is online when no trip keeps them busy.
    is_online = models.BooleanField(_("online"))
    cause = models.CharField(_("cause"), max_length=14, choices=Cause.choices)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("by"))
    note = PlainTextField(_("note"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("at"), db_default=Now())

    class Meta:
        verbose_name = _("availability change")
        verbose_name_plural = _("availability changes")
        indexes = [
            # A driver's history, newest first.
            models.Index(fields=["driver", "-id"], name="availability_of_driver"),
            # A driver's hours in a period (drivers.earnings.hours).
            models.Index(fields=["driver", "created_at"], name="availability_driver_at"),
            # All drivers' hours on a day (trips.reports).
            models.Index(fields=["created_at"], name="availability_at"),
        ]

    def __str__(self) -> str:
        return f"{self.get_previous_display()} → {self.get_availability_display()}"


class BreakQuerySet(models.QuerySet["Break"]):
    def running(self) -> Self:
        return self.filter(started_at__isnull=False, ended_at__isnull=True)

    def ahead(self) -> Self:
        """Running or planned."""
        return self.filter(ended_at__isnull=True)


class Break(models.Model):
    """A break that the driver takes now or has planned: offline when it starts, online again when it ends."""

    driver = models.ForeignKey(Driver, models.CASCADE, related_name="breaks")
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("until"))
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    # Its end puts the driver online: they were when it started, or their hours have begun since.
    resumes = models.BooleanField(_("online afterwards"), default=False)
    # When the dispatcher next starts or ends it; None: it has ended.
    due_at = models.DateTimeField(null=True, blank=True)

    objects = BreakQuerySet.as_manager()

    class Meta:
        verbose_name = _("break")
        verbose_name_plural = _("breaks")
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=models.F("starts_at")), name="break_ends_after_start"),
            models.UniqueConstraint(
                fields=["driver"],
                condition=Q(started_at__isnull=False, ended_at__isnull=True),
                name="break_one_running_per_driver",
            ),
        ]
        indexes = [
            # The dispatcher's search for breaks that start or end.
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="break_due"),
            # A driver's running and planned breaks.
            models.Index(fields=["driver", "starts_at"], condition=Q(ended_at__isnull=True), name="break_of_driver"),
        ]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M} – {self.ends_at:%H:%M}"


class DriverPosition(models.Model):
    """The latest position of a driver: one narrow row, updated in place (see docs/operations.md, Positions).

    `cell` is the 0.01° grid cell (`drivers.geo.cell`); only its change touches an index, so most updates stay
    heap-only on PostgreSQL.
    """

    driver = models.OneToOneField(Driver, models.CASCADE, primary_key=True, related_name="position")
    lat = models.FloatField()
    lng = models.FloatField()
    cell = models.BigIntegerField()
    heading_deg = models.FloatField(null=True)
    speed_kmh = models.FloatField(null=True)
    accuracy_m = models.FloatField(null=True)
    # The phone's clock, clamped to the server's; and the server's own.
    recorded_at = models.DateTimeField()
    received_at = models.DateTimeField()
    # The phone's newer fixes are implausible and kept aside (drivers.positions.fixes), so this may be out of date.
    jumped = models.BooleanField(_("in doubt"), default=False, db_default=False)
    # Approved, available and with an active account: kept here so that the search reads one index.
    dispatchable = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("position")
        verbose_name_plural = _("positions")
        constraints = [
            models.CheckConstraint(
                condition=Q(lat__gte=-90, lat__lte=90, lng__gte=-180, lng__lte=180), name="position_in_range"
            )
        ]
        indexes = [
            # The growing search of drivers.search: ranges of cells of drivers who can be asked.
            models.Index(fields=["cell"], condition=Q(dispatchable=True), name="position_dispatchable_cell"),
        ]

    def __str__(self) -> str:
        return f"{self.lat:.5f}, {self.lng:.5f}"

    def is_plausible(self, worst_m: int) -> bool:
        """Return whether it can be relied on: no implausible newer fixes, and accurate to `worst_m` or better."""
        return not self.jumped and (self.accuracy_m is None or self.accuracy_m <= worst_m)

    def is_fresh(self, seconds: int) -> bool:
        """Return whether the phone recorded it at most so many seconds ago."""
        return self.recorded_at >= database_now() - dt.timedelta(seconds=seconds)


class TrailPoint(models.Model):
    """Where the vehicle was during a trip in progress: for the map and disputes.

    Read it through trips.access.trail_visible_to.
    """

    trip = models.ForeignKey("trips.Trip", models.CASCADE, related_name="trail")
    # Whose vehicle; None: written by an earlier release. No index: points are found by their trip.
    driver = models.ForeignKey(Driver, models.CASCADE, related_name="+", null=True, db_index=False)
    # Which drive of the trip: one whose passengers change vehicles on the way has several.
    leg = models.PositiveSmallIntegerField(_("leg"), default=1, db_default=1)
    lat = models.FloatField()
    lng = models.FloatField()
    recorded_at = models.DateTimeField()
    # Implausible, of the releases that kept such points; nobody is shown them, and new ones are never written.
    jumped = models.BooleanField(_("jumped"), default=False, db_default=False)
    # False: written by a release that could write a point twice.
    once = models.BooleanField(default=False, db_default=False, editable=False)

    class Meta:
        verbose_name = _("trail point")
        verbose_name_plural = _("trail points")
        indexes = [
            # A trip's trail in order, for its map.
            models.Index(fields=["trip", "recorded_at"], name="trail_of_trip"),
        ]
        constraints = [
            # What a phone sends again after it was offline.
            models.UniqueConstraint(fields=["trip", "recorded_at"], condition=Q(once=True), name="trail_point_once"),
        ]

    def __str__(self) -> str:
        return f"{self.trip_id} {self.recorded_at:%H:%M:%S}"
