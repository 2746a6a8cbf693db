"""Codes that were sent by SMS, and what is counted in a day."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from stepper.models.users import User


class PhonePurpose(models.TextChoices):
    """What a code was asked for; it counts for nothing else."""

    SIGN_IN = "sign_in", _("sign in")
    # The account's own number: to verify it, or to prove who asks.
    OWN = "own", _("own number")
    # A number that the account is to have.
    NEW = "new", _("new number")


class PhoneCode(models.Model):
    """A code that was sent and not used. Who asked for it holds a token, without which it is worth nothing."""

    token_digest = models.CharField(max_length=64, unique=True)
    purpose = models.CharField(_("purpose"), max_length=10, choices=PhonePurpose)
    phone = models.CharField(_("phone"), max_length=16)
    # None: whoever proves the number signs in. Without a constraint: servers of the release before delete accounts and
    # know nothing of this table.
    user = models.ForeignKey(
        User,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="phone_codes",
        db_constraint=False,
        verbose_name=_("user"),
    )
    code_digest = models.CharField(max_length=64)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0, db_default=0)
    expires_at = models.DateTimeField(_("expires"))

    class Meta:
        verbose_name = _("code by SMS")
        verbose_name_plural = _("codes by SMS")

    def __str__(self) -> str:
        return f"{self.phone}: {self.purpose}"


class DayCount(models.Model):
    """How often something happened within a day of its first time.

    In the database, unlike the limits of a minute: it survives restarts and an empty cache.
    """

    # What is counted, and a digest of whose.
    name = models.CharField(_("what is counted"), max_length=100, unique=True)
    number = models.PositiveIntegerField(_("times"), default=0, db_default=0)
    closes_at = models.DateTimeField(_("the day ends"))

    class Meta:
        verbose_name = _("count of a day")
        verbose_name_plural = _("counts of a day")

    def __str__(self) -> str:
        return f"{self.name}: {self.number}"
