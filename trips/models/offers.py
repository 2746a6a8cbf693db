"""Offers to drivers, the rounds they were made in, and the rules that say how trips are dispatched."""

from typing import Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from stepper.models import DispatchMode
from stepper.rings import validate_rings
from stepper.texts import PlainTextField
from trips.models.trip import Trip
from trips.states import Difficulty, OfferStatus, TripType, Urgency


class OfferQuerySet(models.QuerySet["Offer"]):
    def open(self) -> Self:
        """Keep the offers that can still be answered, by the database's clock."""
        return self.filter(status=OfferStatus.PENDING, expires_at__gt=Now())

    def due(self) -> Self:
        """Keep the open offers whose deadline has passed, by the database's clock."""
        return self.filter(status=OfferStatus.PENDING, expires_at__lte=Now())


class Offer(models.Model):
    """A trip offered to one driver until a deadline; it can be answered once."""

    trip = models.ForeignKey(Trip, models.CASCADE, related_name="offers")
    driver = models.ForeignKey("drivers.Driver", models.CASCADE, related_name="offers")
    round_number = models.PositiveIntegerField(_("round"))
    wave = models.PositiveIntegerField(_("wave"), default=1)
    # The driver's second offer of the trip in the round, after one that was withdrawn as `no_longer_eligible`.
    asked_again = models.BooleanField(_("asked again"), default=False, db_default=False)
    # What the driver was ranked by, in km: the distance and what weights added to it or took off (trips.ranking).
    score = models.FloatField(_("score, km"), null=True, blank=True)
    score_parts = models.JSONField(_("parts of the score, km"), default=dict, blank=True)
    status = models.CharField(_("status"), max_length=10, choices=OfferStatus.choices, default=OfferStatus.PENDING)
    urgency = models.CharField(_("urgency"), max_length=8, choices=Urgency.choices)
    difficulty = models.CharField(_("difficulty"), max_length=12, choices=Difficulty.choices)
    # Great circle from the driver's position at the time of asking, and minutes to drive it.
    distance_km = models.FloatField(_("distance to the pickup, km"))
    pickup_min = models.PositiveIntegerField(_("minutes to the pickup"))
    created_at = models.DateTimeField(_("offered"), db_default=Now())
    expires_at = models.DateTimeField(_("answer until"))
    responded_at = models.DateTimeField(_("settled"), null=True, blank=True)
    # The driver's words when declining, or why it ended: timeout, accepted_by_another, assigned (staff gave the trip to
    # this driver), cancelled, changed, driver_busy, vehicle_busy, no_longer_eligible.
    reason = PlainTextField(_("reason"), max_length=200, blank=True)
    # When the driver, who had accepted, gave the trip back, or staff took it off them; they are not asked again.
    released_at = models.DateTimeField(_("released"), null=True, blank=True)
    # It was staff: that is no fault of the driver's (drivers.metrics).
    taken_off = models.BooleanField(_("taken off by staff"), default=False, db_default=False)

    objects = OfferQuerySet.as_manager()

    class Meta:
        verbose_name = _("offer")
        verbose_name_plural = _("offers")
        constraints = [
            models.UniqueConstraint(
                fields=["trip", "driver", "round_number"],
                condition=Q(asked_again=False),
                name="offer_asked_once_a_round",
            ),
            models.UniqueConstraint(
                fields=["trip", "driver", "round_number"],
                condition=Q(asked_again=True),
                name="offer_asked_again_once_a_round",
            ),
            models.UniqueConstraint(
                fields=["trip"],
                condition=Q(status=OfferStatus.ACCEPTED, released_at__isnull=True),
                name="offer_one_winner_per_trip",
            ),
            models.CheckConstraint(
                condition=Q(status=OfferStatus.PENDING, responded_at__isnull=True)
                | (~Q(status=OfferStatus.PENDING) & Q(responded_at__isnull=False)),
                name="offer_settled_has_time",
            ),
        ]
        indexes = [
            # The dispatcher's query for offers past their deadline.
            models.Index(fields=["expires_at"], condition=Q(status=OfferStatus.PENDING), name="offer_due"),
            # A driver's open offers.
            models.Index(fields=["driver"], condition=Q(status=OfferStatus.PENDING), name="offer_open_of_driver"),
            # Offers of a trip: settle the others, who declined before.
            models.Index(fields=["trip", "status"], name="offer_of_trip"),
        ]

    def __str__(self) -> str:
        return f"{self.trip_id} → {self.driver_id} ({self.get_status_display()})"


class DispatchRule(models.Model):
    """How dispatch differs for a type of trip or an urgency; an empty field is as in the settings.

    If several apply, a rule for the type and the urgency overrides one for the urgency, and that one overrides a rule
    for the type.
    """

    trip_type = models.CharField(_("type of trip"), max_length=8, choices=TripType.choices, blank=True)
    urgency = models.CharField(_("urgency"), max_length=8, choices=Urgency.choices, blank=True)
    mode = models.CharField(_("mode"), max_length=10, choices=DispatchMode.choices, blank=True)
    wave_rings_km = models.CharField(
        _("rings, km"),
        max_length=60,
        blank=True,
        validators=[validate_rings],
        help_text=_("As “5, 15, 30”; a single large one: no rings."),
    )
    round_size = models.PositiveIntegerField(
        _("drivers asked at once"), null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(500)]
    )
    answer_s = models.PositiveIntegerField(
        _("time to answer, s"), null=True, blank=True, validators=[MinValueValidator(5), MaxValueValidator(3600)]
    )

    class Meta:
        verbose_name = _("dispatch rule")
        verbose_name_plural = _("dispatch rules")
        ordering = ["trip_type", "urgency"]
        constraints = [
            models.UniqueConstraint(fields=["trip_type", "urgency"], name="rule_once_each"),
            models.CheckConstraint(
                condition=~Q(trip_type="", urgency=""),
                name="rule_for_something",
                violation_error_message=_("Choose a type of trip, an urgency, or both."),
            ),
        ]

    def __str__(self) -> str:
        for_what = [self.get_trip_type_display(), self.get_urgency_display()]
        return ", ".join(str(one) for one in for_what if one)


class DispatchRound(models.Model):
    """One wave of a round: each row is a wave, and the rows of a round share its `number`.

    Stores how many drivers were considered, how many were asked, and why the others were not.
    """

    trip = models.ForeignKey(Trip, models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField(_("round"))
    wave = models.PositiveIntegerField(_("wave"), default=1)
    mode = models.CharField(_("mode"), max_length=10, choices=DispatchMode.choices, default=DispatchMode.BROADCAST)
    # All drivers within this distance of the pickup were considered.
    looked_km = models.FloatField(_("looked as far as, km"), default=0)
    # [driver, km, code, score in km] of each driver considered, the nearest first; codes of trips.eligibility.
    verdicts = models.JSONField(_("drivers considered"), default=list)
    created_at = models.DateTimeField(_("at"), auto_now_add=True)
    considered = models.PositiveIntegerField(_("considered"), default=0)
    offered = models.PositiveIntegerField(_("offered"), default=0)
    # More drivers were eligible than a wave asks: the next wave follows as soon as these have answered.
    more = models.BooleanField(_("more eligible"), default=False)
    # Reason code -> number of drivers turned down for it.
    reasons = models.JSONField(_("turned down"), default=dict)

    class Meta:
        verbose_name = _("round")
        verbose_name_plural = _("rounds")
        ordering = ["created_at", "pk"]
        indexes = [
            # Rounds of a trip, in order.
            models.Index(fields=["trip", "number"], name="round_of_trip"),
        ]

    def __str__(self) -> str:
        return f"{self.trip_id} #{self.number}"
