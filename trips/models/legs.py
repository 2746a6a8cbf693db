"""The legs of a trip: what each of its drivers drove, where staff handed it over to another one on the way."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextField


class FormerLegs(models.Model):
    """The columns of a trip that say what its former legs have of it; the rest is the present or last driver's.

    So the parts of all drivers add up to the trip, whatever a leg has, and a trip that was never handed over needs no
    row but its own. trips.handover writes them.
    """

    former_legs = models.PositiveSmallIntegerField(_("handed over"), default=0, db_default=0, editable=False)
    former_fare = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    former_fee = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    former_km = models.FloatField(default=0, db_default=0, editable=False)

    # Of Trip.
    fare: int
    platform_fee: int
    distance_km: float
    duration_min: int

    class Meta:
        abstract = True

    @property
    def leg(self) -> int:
        """The number of the leg that is driven now, or was driven last; the first is 1."""
        return self.former_legs + 1

    @property
    def own_fare(self) -> int:
        """What of the fare the present or last driver drives for, in whole tenge."""
        return self.fare - self.former_fare

    @property
    def own_fee(self) -> int:
        return self.platform_fee - self.former_fee

    @property
    def own_earnings(self) -> int:
        return self.own_fare - self.own_fee

    @property
    def own_km(self) -> float:
        """What of the distance that the price counts the present or last driver drives."""
        return self.distance_km - self.former_km

    @property
    def own_min(self) -> int:
        """How long that takes, as the way as a whole was estimated."""
        return round(self.duration_min * self.own_km / self.distance_km) if self.former_legs else self.duration_min


class TripLeg(models.Model):
    """What a former driver of a trip drove before staff handed it over to another. Written once, by trips.handover.

    The leg of the present or last driver has no row: the trip says it (FormerLegs). A driver has one leg of a trip at
    most.
    """

    # Without constraints: a server of the release before knows nothing of this table.
    trip = models.ForeignKey("trips.Trip", models.CASCADE, "legs", db_constraint=False, verbose_name=_("trip"))
    number = models.PositiveSmallIntegerField(_("leg"))
    driver = models.ForeignKey("drivers.Driver", models.PROTECT, "legs", db_constraint=False, verbose_name=_("driver"))
    vehicle = models.ForeignKey(
        "drivers.Vehicle", models.PROTECT, "legs", db_constraint=False, verbose_name=_("vehicle")
    )
    from_name = PlainTextField(_("from"), max_length=120)
    from_address = PlainTextField(max_length=200, blank=True, editable=False)
    from_lat = models.FloatField()
    from_lng = models.FloatField()
    to_name = PlainTextField(_("to"), max_length=120)
    to_address = PlainTextField(max_length=200, blank=True, editable=False)
    to_lat = models.FloatField()
    to_lng = models.FloatField()
    # From boarding to the hand-over.
    started_at = models.DateTimeField(_("boarded"))
    ended_at = models.DateTimeField(_("handed over"))
    # Of the distance that the price counts.
    km = models.FloatField(_("distance, km"))
    # Of the trip's fare and fee, in whole tenge.
    fare = models.PositiveIntegerField(_("part of the fare, ₸"))
    fee = models.PositiveIntegerField(_("part of the fee, ₸"))
    # The trip's times before the hand-over, which it gets back when it ends.
    departure_at = models.DateTimeField(editable=False)
    ends_at = models.DateTimeField(editable=False)
    is_now = models.BooleanField(editable=False)

    class Meta:
        verbose_name = _("leg")
        verbose_name_plural = _("legs")
        ordering = ["trip", "number"]
        constraints = [
            models.UniqueConstraint(fields=["trip", "number"], name="leg_once"),
            models.UniqueConstraint(fields=["trip", "driver"], name="leg_one_of_a_driver"),
            models.CheckConstraint(condition=Q(fee__lte=F("fare")), name="leg_fee_within_fare"),
        ]

    def __str__(self) -> str:
        return f"{self.trip_id}/{self.number}"

    @property
    def earned(self) -> int:
        return self.fare - self.fee

    @property
    def title(self) -> str:
        return f"{self.from_name} → {self.to_name}"
