"""Who sees to what needs a person."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class Claim(models.Model):
    """A member of staff sees to a matter of the queue: a trip, a call for help or a driver. One at a time.

    It ends when it is released, when the matter is solved and after `claim_kept_min`: then the row goes, or the next
    one who claims the matter takes it over. Only trips.room.claims writes it.
    """

    class Subject(models.TextChoices):
        TRIP = "trip", _("Trip")
        HELP = "help", _("Call for help")
        DRIVER = "driver", _("Driver")

    subject = models.CharField(_("subject"), max_length=8, choices=Subject.choices)
    # The number of the trip, call or driver.
    row_id = models.BigIntegerField(_("number"))
    # Without a constraint: a server of the release before deletes accounts without knowing of claims.
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="+",
        db_constraint=False,
        verbose_name=_("claimed by"),
    )
    claimed_at = models.DateTimeField(_("claimed at"), db_default=Now())

    class Meta:
        verbose_name = _("claim")
        verbose_name_plural = _("claims")
        constraints = [models.UniqueConstraint(fields=["subject", "row_id"], name="claim_once")]

    def __str__(self) -> str:
        return f"{self.get_subject_display()} {self.row_id}"
