"""Areas in which drivers count as arrived farther from the pickup."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextField


class PickupArea(models.Model):
    """A place where drivers wait farther from the pickup than elsewhere: an airport, a mall, a closed quarter."""

    name = PlainTextField(_("name"), max_length=80)
    lat = models.FloatField(_("latitude"), validators=[MinValueValidator(-90), MaxValueValidator(90)])
    lng = models.FloatField(_("longitude"), validators=[MinValueValidator(-180), MaxValueValidator(180)])
    radius_m = models.PositiveIntegerField(
        _("extent, m"),
        default=1500,
        validators=[MinValueValidator(50), MaxValueValidator(20_000)],
        help_text=_("Pickups within this distance of the point belong to the area."),
    )
    arrival_radius_m = models.PositiveIntegerField(
        _("arrival within, m"),
        default=1500,
        validators=[MinValueValidator(50), MaxValueValidator(20_000)],
        help_text=_(
            "So far from a pickup in the area a driver counts as arrived, if it is more than the settings say."
        ),
    )

    class Meta:
        verbose_name = _("pickup area")
        verbose_name_plural = _("pickup areas")
        ordering = ["name", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(lat__gte=-90, lat__lte=90, lng__gte=-180, lng__lte=180), name="pickup_area_in_range"
            ),
            models.UniqueConstraint(fields=["name"], name="pickup_area_name_once"),
        ]

    def __str__(self) -> str:
        return self.name
