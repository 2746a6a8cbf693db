"""Bookings of seats, and the ratings that both sides of a trip give."""

import datetime as dt

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextField
from trips.models.trip import Trip
from trips.states import TAGS, BookingStatus, Role


class Booking(models.Model):
    """A passenger's seats on a trip, and the price of them."""

    trip = models.ForeignKey(Trip, models.PROTECT, related_name="bookings")
    passenger = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="bookings")
    status = models.CharField(_("status"), max_length=10, choices=BookingStatus.choices, default=BookingStatus.PENDING)
    seats = models.PositiveSmallIntegerField(_("seats"), default=1)
    amount = models.PositiveIntegerField(_("amount, ₸"))
    payment_method = models.CharField(
        _("payment"), max_length=8, choices=[("cash", _("Cash to the driver"))], default="cash"
    )
    created_at = models.DateTimeField(_("booked"), auto_now_add=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("booking")
        verbose_name_plural = _("bookings")
        constraints = [
            models.CheckConstraint(condition=Q(seats__gte=1), name="booking_seats_positive"),
            models.UniqueConstraint(
                fields=["trip", "passenger"],
                condition=~Q(status=BookingStatus.CANCELLED),
                name="booking_one_open_per_passenger",
            ),
        ]
        indexes = [
            # "My trips" of a passenger who booked seats of somebody else's trip.
            models.Index(fields=["passenger", "status"], name="booking_of_passenger"),
        ]

    def __str__(self) -> str:
        return f"{self.passenger} · {self.seats}"


# How long whoever rated can change it, from the first time on.
CHANGE_RATING_FOR = dt.timedelta(minutes=10)


class Rating(models.Model):
    """One to five stars from one side of a trip for the other, once; changed for `CHANGE_RATING_FOR` at most."""

    trip = models.ForeignKey(Trip, models.CASCADE, related_name="ratings")
    # Who gave it: the passenger rates the driver, the driver the passenger.
    role = models.CharField(
        _("from"), max_length=10, choices=[(Role.ORGANISER, _("Passenger")), (Role.DRIVER, _("Driver"))]
    )
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="ratings_given")
    about = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="ratings_received")
    # The former leg (TripLeg) whose driver gave or got it; 0: the leg of the last driver, or the only one.
    leg = models.PositiveSmallIntegerField(_("leg"), default=0, db_default=0)
    stars = models.PositiveSmallIntegerField(_("stars"), validators=[MinValueValidator(1), MaxValueValidator(5)])
    comment = PlainTextField(_("comment"), max_length=500, blank=True, multiline=True)
    # Values of trips.states.TAGS in their order, each between commas: ",clean_car,on_time,".
    tags = models.CharField(_("tags"), max_length=200, blank=True, default="", db_default="")
    # What the passenger says that they gave the driver, in whole tenge: a note that no sum of money counts.
    tip = models.PositiveIntegerField(_("tip noted, ₸"), null=True, blank=True)
    created_at = models.DateTimeField(_("at"), auto_now_add=True)

    class Meta:
        verbose_name = _("rating")
        verbose_name_plural = _("ratings")
        constraints = [
            models.UniqueConstraint(fields=["trip", "by"], condition=Q(leg=0), name="rating_of_last_leg_once"),
            models.UniqueConstraint(fields=["trip", "by", "leg"], condition=Q(leg__gt=0), name="rating_of_leg_once"),
            models.CheckConstraint(condition=Q(stars__gte=1, stars__lte=5), name="rating_1_to_5"),
        ]
        indexes = [
            # The ratings of a day (trips.reports).
            models.Index(fields=["created_at"], name="rating_at"),
        ]

    def __str__(self) -> str:
        return f"{self.stars} ★"

    @property
    def tag_values(self) -> list[str]:
        return [value for value in self.tags.split(",") if value]

    @property
    def tag_labels(self) -> list[str]:
        """Return the tags for people; one that is no longer chosen from keeps its value."""
        labels = dict(TAGS[self.role].choices)
        return [str(labels.get(value, value)) for value in self.tag_values]

    @property
    def fixed_at(self) -> dt.datetime:
        """When it can be changed no more."""
        return self.created_at + CHANGE_RATING_FOR

    def may_change(self, now: dt.datetime) -> bool:
        return now < self.fixed_at
