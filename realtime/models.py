"""The outbox's rows (which are also the event log), notifications, and when each dispatcher last reported."""

import datetime as dt
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import models
from django.db.models import Q
from django.db.models.expressions import Func
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from stepper.texts import PlainTextField


class CurrentTransaction(Func):
    """The writing transaction's number on PostgreSQL; 0 on SQLite, where the row's id orders commits by itself."""

    template = "0"
    output_field = models.BigIntegerField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="(pg_current_xact_id()::text::bigint)")


class Event(models.Model):
    """One durable event for one group: written in the transaction that causes it, published after commit.

    An event for several groups is several rows with one `event_id`. Clients resume in the order of `transaction`
    (`realtime.outbox.read_watermark`), because on PostgreSQL ids become visible out of order.
    """

    event_id = models.CharField(max_length=32)
    group = models.CharField(_("group"), max_length=60)
    type = models.CharField(_("type"), max_length=40)
    # The encoded JSON frame without its cursor.
    frame = models.TextField(_("frame"))
    transaction = models.BigIntegerField(db_default=CurrentTransaction())
    created_at = models.DateTimeField(_("at"), auto_now_add=True)
    # Until then only the writing process publishes it; afterwards the first server that sweeps.
    sweep_at = models.DateTimeField()
    published_at = models.DateTimeField(_("published"), null=True)

    # Seconds since 1970, in the process that wrote it; 0: not known, as the row was read from the table.
    committed_at = 0.0

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("event log")
        indexes = [
            # The sweep's search for events that are committed and not published.
            models.Index(fields=["id"], condition=Q(published_at__isnull=True), name="event_unpublished"),
            # `events_since`: the events of a group that a client has missed.
            models.Index(fields=["group", "transaction", "id"], name="event_of_group"),
            # The pruning of old events.
            models.Index(fields=["created_at"], name="event_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} → {self.group}"


# A notification that leads here is for staff alone.
STAFF_PAGES = "/admin/"


class Notification(models.Model):
    """A message for one user: listed behind the bell, counted on its badge until read, sent to their open pages."""

    class Priority(models.TextChoices):
        LOW = "low", _("Low")
        NORMAL = "normal", _("Normal")
        HIGH = "high", _("High")
        URGENT = "urgent", _("Urgent")

    class Category(models.TextChoices):
        TRIP = "trip", _("Trip")
        BOOKING = "booking", _("Booking")
        PAYMENT = "payment", _("Payment")
        SYSTEM = "system", _("System")
        CHAT = "chat", _("Chat")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notifications")
    title = PlainTextField(_("title"), max_length=120)
    message = PlainTextField(_("message"), max_length=300, blank=True)
    priority = models.CharField(_("priority"), max_length=8, choices=Priority.choices, default=Priority.NORMAL)
    category = models.CharField(_("category"), max_length=8, choices=Category.choices, default=Category.TRIP)
    action_url = models.CharField(_("link"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("at"), auto_now_add=True)
    read_at = models.DateTimeField(_("read"), null=True, blank=True)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ["-created_at", "-pk"]
        indexes = [
            # The list behind the badge.
            models.Index(fields=["user", "-created_at"], name="notification_of_user"),
            # The badge's count.
            models.Index(fields=["user"], condition=Q(read_at__isnull=True), name="notification_unread"),
        ]

    def __str__(self) -> str:
        return self.title


class PushSubscription(models.Model):
    """A browser that gets the pushes of a user, for as long as the session lasts in which it asked for them."""

    # An address of the browser's push service: who knows it and the keys can send to this browser, and nobody else.
    endpoint = models.CharField(max_length=1000, unique=True)
    # Without constraints: servers of an earlier release delete sessions and accounts and know nothing of this table.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_constraint=False)
    session = models.ForeignKey(
        Session, models.CASCADE, related_name="push_subscriptions", db_constraint=False, editable=False
    )
    # The browser's public key and secret, base64url (RFC 8291, section 3.1).
    p256dh = models.CharField(max_length=100)
    auth = models.CharField(max_length=30)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.user_id}: {urlsplit(self.endpoint).hostname}"


# A dispatcher that has not reported for this long does not run: twice its slowest pass, with room for a loaded machine.
SILENT_AFTER = dt.timedelta(seconds=15)


class ServerBeatQuerySet(models.QuerySet["ServerBeat"]):
    def is_any_alive(self) -> bool:
        """Return whether any dispatcher has reported lately."""
        return self.filter(beat_at__gt=timezone.now() - SILENT_AFTER).exists()


class ServerBeat(models.Model):
    """When a dispatcher last reported; readiness and the admin warn when none has for SILENT_AFTER."""

    name = models.CharField(max_length=80, primary_key=True)
    beat_at = models.DateTimeField()

    objects = ServerBeatQuerySet.as_manager()

    class Meta:
        verbose_name = _("dispatcher")
        verbose_name_plural = _("dispatchers")

    def __str__(self) -> str:
        return self.name
