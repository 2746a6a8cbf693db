"""Settings of dispatch: what a trip costs, which drivers are offered it, and how they are ranked.

Abstract models that `ServiceSettings` (settings.py) is made of.
"""

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from stepper.rings import validate_rings


class DispatchMode(TextChoices):
    """How a trip is put before drivers."""

    BROADCAST = "broadcast", _("Broadcast: the first to accept")
    TARGETED = "targeted", _("Targeted: one driver at a time")
    BATCHED = "batched", _("Batched: trips and drivers matched together")


def between(low: float, high: float) -> list[Any]:
    return [MinValueValidator(low), MaxValueValidator(high)]


class PricingSettings(models.Model):
    """Fares in whole tenge: (base + per km × road distance) × multiplier of the class; and the platform's fee.

    Also what distances and expected times are estimated with."""

    class Meta:
        abstract = True

    base_fare = models.PositiveIntegerField(_("base fare, ₸"), default=500)
    fare_per_km = models.PositiveIntegerField(_("fare per km, ₸"), default=50)
    road_factor = models.FloatField(_("road factor (great circle × this)"), default=1.2, validators=between(1, 3))
    speed_city_kmh = models.FloatField(
        _("speed on the first 15 km, km/h"),
        default=40,
        db_default=40,
        validators=between(5, 130),
        help_text=_("For expected times: each part of the way at its speed."),
    )
    speed_suburb_kmh = models.FloatField(
        _("speed from 15 to 50 km, km/h"), default=60, db_default=60, validators=between(5, 130)
    )
    speed_highway_kmh = models.FloatField(
        _("speed beyond 50 km, km/h"), default=80, db_default=80, validators=between(5, 130)
    )
    multiplier_sedan = models.FloatField(_("multiplier, sedan"), default=1.0, validators=between(0.1, 20))
    multiplier_suv = models.FloatField(_("multiplier, SUV"), default=1.3, validators=between(0.1, 20))
    multiplier_van = models.FloatField(_("multiplier, van"), default=1.5, validators=between(0.1, 20))
    multiplier_bus = models.FloatField(_("multiplier, bus"), default=2.0, validators=between(0.1, 20))
    platform_fee_percent = models.FloatField(_("platform fee, %"), default=15, validators=between(0, 50))


class DispatchSettings(models.Model):
    """Which drivers are offered a trip, how many at once and for how long; when nobody takes it."""

    class Meta:
        abstract = True

    discovery_radius_km = models.FloatField(_("discovery radius, km"), default=50, validators=between(5, 200))
    dispatch_mode = models.CharField(
        _("mode"),
        max_length=10,
        choices=DispatchMode.choices,
        default=DispatchMode.BROADCAST,
        help_text=_("Rules of dispatch can say otherwise for a type of trip or an urgency."),
    )
    wave_rings_km = models.CharField(
        _("rings, km"),
        max_length=60,
        blank=True,
        default="5, 15, 30, 50",
        validators=[validate_rings],
        help_text=_("Who is within the first ring is asked first, the next ring when they have answered. Empty: none."),
    )
    round_size = models.PositiveIntegerField(
        _("drivers asked at once"),
        default=50,
        validators=between(1, 500),
        help_text=_("When more are eligible, the next nearest are asked as soon as these have answered."),
    )
    targeted_s = models.PositiveIntegerField(
        _("time to answer, targeted or batched, s"), default=30, validators=between(15, 120)
    )
    match_window_s = models.PositiveIntegerField(
        _("batched: trips are collected for, s"), default=10, validators=between(1, 120)
    )
    offer_ahead_h = models.PositiveIntegerField(
        _("offered from, hours before departure"),
        default=72,
        validators=between(0, 8760),
        help_text=_("Drivers cannot say today whether they are free in a month. 0: as soon as it is booked."),
    )
    max_open_offers = models.PositiveIntegerField(_("open offers a driver"), default=5, validators=between(1, 50))
    offer_urgent_s = models.PositiveIntegerField(
        _("time to answer, urgent, s"), default=120, validators=between(5, 3600)
    )
    offer_high_s = models.PositiveIntegerField(_("time to answer, high, s"), default=180, validators=between(5, 3600))
    offer_normal_s = models.PositiveIntegerField(
        _("time to answer, normal, s"), default=300, validators=between(5, 3600)
    )
    offer_low_s = models.PositiveIntegerField(_("time to answer, low, s"), default=300, validators=between(5, 3600))
    retry_min = models.PositiveIntegerField(_("minutes between rounds"), default=15, validators=between(1, 240))
    patience_min = models.PositiveIntegerField(
        _("minutes a trip for now is offered"),
        default=60,
        validators=between(1, 720),
        help_text=_("A trip for now has no departure to wait for; it is cancelled after this time without a driver."),
    )
    escalate_after_min = models.PositiveIntegerField(
        _("staff told of a trip without a driver after, min"),
        default=10,
        validators=between(0, 1440),
        help_text=_("The passenger is offered to search farther or to go later; 0: nobody is told."),
    )
    escalate_before_min = models.PositiveIntegerField(
        _("of one booked for later, min before departure"), default=120, validators=between(0, 10080)
    )
    overlap_margin_min = models.PositiveIntegerField(
        _("minutes kept free around a trip"), default=120, validators=between(0, 1440)
    )
    position_fresh_s = models.PositiveIntegerField(
        _("position counts as fresh for, s"), default=300, validators=between(30, 3600)
    )


class RankingSettings(models.Model):
    """Kilometres that ranking adds to a driver's distance, or takes off it."""

    class Meta:
        abstract = True

    weight_rating_km = models.FloatField(
        _("per star below five, km"),
        default=0.3,
        validators=between(0, 20),
        help_text=_("So many kilometres farther away counts a driver for each star that is missing; 0: all the same."),
    )
    weight_acceptance_km = models.FloatField(
        _("accepts nothing, km"),
        default=0.5,
        validators=between(0, 20),
        help_text=_("For a driver who accepted no offer in 7 days; half of it for one who accepted every other."),
    )
    weight_waiting_km = models.FloatField(
        _("per hour of waiting, km nearer"),
        default=0.25,
        validators=between(0, 20),
        help_text=_("Since the driver's last trip, up to 4 hours: so that everybody gets their share."),
    )
    weight_cancellations_km = models.FloatField(
        _("per trip given back, km"),
        default=0.5,
        validators=between(0, 20),
        help_text=_("Trips released or not turned up for in 7 days, up to 5 of them."),
    )
