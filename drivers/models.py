"""Drivers, their vehicles and where they are."""

import datetime as dt
from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Case, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from trips.states import TripType, VehicleClass


class Approval(models.TextChoices):
    PENDING = "pending", _("Pending")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    SUSPENDED = "suspended", _("Suspended")


class Availability(models.TextChoices):
    OFFLINE = "offline", _("Offline")
    AVAILABLE = "available", _("Online")
    BUSY = "busy", _("On a trip")


def all_trip_types() -> list[str]:
    return list(TripType.values)


class Vehicle(models.Model):
    make = models.CharField(_("make"), max_length=40)
    model = models.CharField(_("model"), max_length=40)
    colour = models.CharField(_("colour"), max_length=30)
    plate = models.CharField(_("plate"), max_length=16, unique=True)
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
        return f"{self.colour} {self.make} {self.model} · {self.plate}"

    @property
    def label(self) -> str:
        """ "White Toyota Camry"."""
        return f"{self.colour} {self.make} {self.model}"


class DriverQuerySet(models.QuerySet["Driver"]):
    def locked(self) -> Self:
        """Driver rows come first in the lock order (driver, trip, offers, bookings); ids ascending among drivers."""
        return self.order_by("pk").select_for_update(no_key=True, of=("self",))

    def free(self, driver_ids: list[int]) -> int:
        """Ends being busy: available again only where the driver had stayed online. Returns the rows changed."""
        return self.filter(pk__in=driver_ids, availability=Availability.BUSY).update(
            availability=Case(
                When(is_online=True, approval=Approval.APPROVED, then=Value(Availability.AVAILABLE)),
                default=Value(Availability.OFFLINE),
            )
        )


class Driver(models.Model):
    """A user who drives. `is_online` is what the driver chose, `availability` what follows from it and the trip."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, related_name="driver")
    vehicle = models.OneToOneField(Vehicle, models.PROTECT, related_name="driver", null=True, blank=True)
    approval = models.CharField(_("approval"), max_length=10, choices=Approval.choices, default=Approval.PENDING)
    availability = models.CharField(
        _("availability"), max_length=10, choices=Availability.choices, default=Availability.OFFLINE
    )
    is_online = models.BooleanField(_("online"), default=False)
    licence_number = models.CharField(_("licence number"), max_length=32)
    licence_expires_on = models.DateField(_("licence expires"))
    rating_sum = models.PositiveIntegerField(default=0, editable=False)
    rating_count = models.PositiveIntegerField(default=0, editable=False)

    # The driver's own filters; None or all: no limit.
    max_distance_km = models.FloatField(_("largest distance to the pickup, km"), null=True, blank=True)
    min_earnings = models.PositiveIntegerField(_("least earnings, ₸"), null=True, blank=True)
    trip_types = models.JSONField(_("trip types"), default=all_trip_types)
    accepts_long_distance = models.BooleanField(_("long distance (200 km and more)"), default=True)

    objects = DriverQuerySet.as_manager()

    class Meta:
        verbose_name = _("driver")
        verbose_name_plural = _("drivers")
        constraints = [
            models.CheckConstraint(
                condition=Q(approval=Approval.APPROVED) | ~Q(availability=Availability.AVAILABLE),
                name="driver_available_only_approved",
            ),
        ]

    def __str__(self) -> str:
        return self.user.name

    @property
    def rating(self) -> float | None:
        """Average of the stars received, one decimal; None: "new"."""
        return round(self.rating_sum / self.rating_count, 1) if self.rating_count else None

    @property
    def licence_expired(self) -> bool:
        return self.licence_expires_on < timezone.localdate()


class DriverPosition(models.Model):
    """The latest fix of a driver, one narrow row that is rewritten in place (see docs/operations.md, Positions).

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
    # Approved and available: kept here so that the search reads one index.
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

    def is_fresh(self, seconds: int) -> bool:
        return self.recorded_at >= timezone.now() - dt.timedelta(seconds=seconds)


class TrailPoint(models.Model):
    """Where the vehicle was during a trip in progress: for the map, the receipt and disputes."""

    trip = models.ForeignKey("trips.Trip", models.CASCADE, related_name="trail")
    lat = models.FloatField()
    lng = models.FloatField()
    recorded_at = models.DateTimeField()

    class Meta:
        verbose_name = _("trail point")
        verbose_name_plural = _("trail points")
        indexes = [
            # A trip's trail in order, for its map.
            models.Index(fields=["trip", "recorded_at"], name="trail_of_trip"),
        ]

    def __str__(self) -> str:
        return f"{self.trip_id} {self.recorded_at:%H:%M:%S}"
