"""Calls for help from a trip."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .trip import Trip


class PositionOf(models.TextChoices):
    """Whose position an alert has."""

    SENDER = "sender", _("of who called for help")
    DRIVER = "driver", _("of the driver, the last one known")


class SafetyAlert(models.Model):
    """Somebody on a trip called the staff for help; open until staff have marked it as handled."""

    # Without constraints: a server of the release before deletes accounts without knowing of alerts.
    trip = models.ForeignKey(
        Trip, models.CASCADE, related_name="safety_alerts", db_constraint=False, verbose_name=_("trip")
    )
    raised_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("called by"),
    )
    raised_at = models.DateTimeField(_("called at"), db_default=Now())
    # None: nobody knew where they were.
    lat = models.FloatField(_("latitude"), null=True)
    lng = models.FloatField(_("longitude"), null=True)
    position_of = models.CharField(_("position"), max_length=8, choices=PositionOf.choices, blank=True)
    handled_at = models.DateTimeField(_("handled at"), null=True, blank=True)
    handled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("handled by"),
    )

    class Meta:
        verbose_name = _("call for help")
        verbose_name_plural = _("calls for help")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["trip", "raised_by"], condition=Q(handled_at__isnull=True), name="safety_alert_open_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.trip_id}"
