"""Links with which people without an account watch one trip."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .trip import Trip


class TripShare(models.Model):
    """A link to the live page of a trip. Deleted when it is revoked and when the trip ends: a row is a valid link."""

    # Without constraints: a server of the release before deletes and ends trips without knowing of links.
    trip = models.ForeignKey(Trip, models.CASCADE, related_name="shares", db_constraint=False, verbose_name=_("trip"))
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_constraint=False, verbose_name=_("shared by")
    )
    # SHA-256 of the link's token in hexadecimal: whoever reads the table cannot open the link.
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("shared at"), auto_now_add=True)
    # The traveller's number, where the link went to them by SMS.
    sent_to = models.CharField(_("sent to"), max_length=16, default="", db_default="", blank=True, editable=False)
    opened = models.PositiveIntegerField(_("opened"), default=0, db_default=0)

    class Meta:
        verbose_name = _("link to a trip")
        verbose_name_plural = _("links to trips")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.pk}: {self.trip_id}"
