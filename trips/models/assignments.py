"""What staff did about who drives a trip: rows of their own, so that none of it is taken for a driver's answer."""

from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextField
from trips.states import Role

from .trip import Trip


class StaffAssignmentQuerySet(models.QuerySet["StaffAssignment"]):
    def running(self) -> Self:
        """Keep those whose driver has not lost the trip; also of trips that are over."""
        return self.filter(ended_at__isnull=True)


class StaffAssignment(models.Model):
    """A trip that staff gave to a driver, took off a driver, or both. Written by trips.assignment; deleted with age.

    A driver whom it was taken off is not asked about the trip again. No figure of a driver is counted from it.
    """

    # Without constraints: a server of the release before knows nothing of this table.
    trip = models.ForeignKey(
        Trip, models.CASCADE, related_name="staff_assignments", db_constraint=False, verbose_name=_("trip")
    )
    driver = models.ForeignKey(
        "drivers.Driver",
        models.PROTECT,
        related_name="staff_assignments",
        db_constraint=False,
        verbose_name=_("driver"),
    )
    # None: the driver had accepted it, and staff took it off.
    assigned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_constraint=False,
        verbose_name=_("assigned by"),
    )
    assigned_at = models.DateTimeField(_("assigned"))
    reason = PlainTextField(_("reason"), max_length=200, blank=True)
    # Codes of trips.eligibility that spoke against the driver when it was given.
    warnings = models.JSONField(_("spoke against it"), default=list, blank=True)
    # When the driver lost it, before its end; None: they did not. `ended_as`: staff, or the driver gave it back.
    ended_at = models.DateTimeField(_("taken off"), null=True, blank=True)
    ended_as = models.CharField(_("by"), max_length=10, choices=Role.choices, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_constraint=False,
        verbose_name=_("taken off by"),
    )
    end_reason = PlainTextField(_("reason for taking it off"), max_length=200, blank=True)

    objects = StaffAssignmentQuerySet.as_manager()

    class Meta:
        verbose_name = _("assignment by staff")
        verbose_name_plural = _("assignments by staff")
        ordering = ["assigned_at", "pk"]

    def __str__(self) -> str:
        return f"{self.trip_id} → {self.driver_id}"
