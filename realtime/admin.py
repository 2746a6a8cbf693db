"""The event log, notifications and dispatchers in the admin, read-only."""

import json
from typing import Any
from urllib.parse import urlsplit

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from realtime.models import SILENT_AFTER
from realtime.outbox import PERMISSIONS_REFRESH
from stepper.admin import searching
from stepper.admin.base import COLOURS, HistoryAdmin, Label

from . import events
from .models import Event, Notification, PushSubscription, ServerBeat

PRIORITY_COLOURS = {"urgent": "danger", "high": "warning", "normal": "info", "low": "default"}


class EventTypeFilter(admin.SimpleListFilter):
    """Filter by the types of the event contract; `SELECT DISTINCT type` would read the whole log."""

    title = _("type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        tags = [str(struct.__struct_config__.tag) for struct in events.DURABLE]
        return [(tag, tag) for tag in [*tags, PERMISSIONS_REFRESH]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(type=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(HistoryAdmin):
    list_display = ["id", "type", "group", "created_at", "is_published"]
    list_filter = [EventTypeFilter, ("published_at", admin.EmptyFieldListFilter)]
    search_fields = ["=event_id", "=group", "=type"]
    search_help_text = _("An event's id, a group such as trip.17 or driver.4, or a type, each in full")
    date_hierarchy = "created_at"
    ordering = ["-id"]
    fields = ["event_id", "type", "group", "created_at", "published_at", "sweep_at", "transaction", "frame_shown"]

    @display(description=_("published"), boolean=True)
    def is_published(self, event: Event) -> bool:
        return event.published_at is not None

    @display(description=_("frame"))
    def frame_shown(self, event: Event) -> str:
        if not event.frame:  # a permissions refresh of an earlier release
            return "–"
        text = json.dumps(json.loads(event.frame), indent=2, ensure_ascii=False)
        return format_html('<pre class="event-frame">{}</pre>', text)


@admin.register(Notification)
class NotificationAdmin(HistoryAdmin):
    list_display = ["title", "user", "category", "priority_shown", "created_at", "read_at"]
    list_filter = ["category", "priority", ("read_at", admin.EmptyFieldListFilter)]
    list_select_related = ["user"]
    search_fields = [*searching.person("user"), *searching.newest("title", "message")]
    search_help_text = searching.NEWEST_HELP
    date_hierarchy = "created_at"
    ordering = ["-created_at", "-pk"]

    @display(description=_("priority"), ordering="priority", label=COLOURS)
    def priority_shown(self, notification: Notification) -> Label:
        return Label(PRIORITY_COLOURS[notification.priority], notification.get_priority_display())


@admin.register(ServerBeat)
class ServerBeatAdmin(HistoryAdmin):
    list_display = ["name", "beat_at", "state"]
    search_fields = ["name"]
    list_filter = ["beat_at"]
    ordering = ["-beat_at"]

    @display(description=_("state"), label=COLOURS)
    def state(self, beat: ServerBeat) -> Label:
        silent = beat.beat_at < timezone.now() - SILENT_AFTER
        return Label("danger", _("Silent")) if silent else Label("success", _("Running"))


@admin.register(PushSubscription)
class PushSubscriptionAdmin(HistoryAdmin):
    """Who gets pushes, and by whose service; address and keys are the browser's secrets and not shown."""

    list_display = ["user", "service", "created_at"]
    list_filter = ["created_at"]
    list_select_related = ["user"]
    search_fields = searching.person("user")
    ordering = ["-created_at", "-pk"]
    fields = ["user", "service", "created_at"]

    @display(description=_("push service"))
    def service(self, subscription: PushSubscription) -> str:
        return urlsplit(subscription.endpoint).hostname or ""
