"""What the passenger and the driver of a trip write to each other."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextField
from trips.quick_replies import QuickReply
from trips.states import Role

from .trip import Trip

TEXT_LENGTH = 500


class TripMessage(models.Model):
    """A message from the trip's organiser to its driver or back. Only trips.messages writes it.

    A conversation is that of a trip and one driver: who gets the trip after another one does not see what was written
    to that one.
    """

    # Without constraints: a server of the release before deletes accounts and drivers without knowing of messages.
    trip = models.ForeignKey(
        Trip, models.CASCADE, related_name="messages", db_constraint=False, db_index=False, verbose_name=_("trip")
    )
    driver = models.ForeignKey(
        "drivers.Driver",
        models.CASCADE,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("driver"),
    )
    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="+",
        db_constraint=False,
        verbose_name=_("sender"),
    )
    role = models.CharField(_("as"), max_length=10, choices=Role.choices)
    # Empty where a quick reply was sent, which each reads in their own language.
    text = PlainTextField(_("text"), max_length=TEXT_LENGTH, blank=True)
    quick = models.CharField(_("quick reply"), max_length=20, choices=QuickReply.choices, blank=True)
    # Made by the client: the same message sent twice is one.
    key = models.CharField(max_length=64, editable=False)
    sent_at = models.DateTimeField(_("sent"), db_default=Now())
    # When the other side had it on the screen.
    read_at = models.DateTimeField(_("read"), null=True, blank=True)
    # When the other side reported it to staff.
    reported_at = models.DateTimeField(_("reported"), null=True, blank=True)
    # When staff hid it: its text is shown to staff alone.
    hidden_at = models.DateTimeField(_("hidden"), null=True, blank=True)
    hidden_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("hidden by"),
    )

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["trip", "sender", "key"], name="message_sent_once")]
        indexes = [
            # A conversation, the newest first.
            models.Index(fields=["trip", "driver", "id"], name="message_of_trip"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.trip_id}"

    @property
    def words(self) -> str:
        """Return what it says, in the reader's language; "" where staff hid it."""
        if self.hidden_at is not None:
            return ""
        return self.said

    @property
    def said(self) -> str:
        """Return what was written, for staff also where they hid it."""
        return str(QuickReply(self.quick).label) if self.quick in QuickReply.values else self.text
