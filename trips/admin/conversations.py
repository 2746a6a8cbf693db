"""What passengers and drivers wrote to each other, and their calls for help, in the administration."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display
from unfold.enums import ActionVariant

from stepper.admin import searching
from stepper.admin.base import COLOURS, HistoryAdmin, HistoryInline, Label, format_instant, staff_action
from stepper.models import User
from trips import messages, safety
from trips.models import PositionOf, SafetyAlert, TripMessage

MAP = "https://www.openstreetmap.org/?mlat={lat}&mlon={lng}#map=17/{lat}/{lng}"


class MessageInline(HistoryInline):
    model = TripMessage
    fields = ["at", "role", "sender", "said_shown", "read_at", "reported_at", "hidden_at"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[TripMessage]:
        return super().get_queryset(request).select_related("sender").order_by("pk")

    @display(description=gettext_lazy("sent"))
    def at(self, row: TripMessage) -> str:
        return format_instant(row.sent_at)

    @display(description=gettext_lazy("text"))
    def said_shown(self, row: TripMessage) -> str:
        return row.said


@admin.register(TripMessage)
class TripMessageAdmin(HistoryAdmin):
    """Texts are for those alone who are given the permission to see messages."""

    list_display = ["id", "trip", "sender", "role", "said_shown", "sent_at", "state"]
    list_filter = [("reported_at", admin.EmptyFieldListFilter), ("hidden_at", admin.EmptyFieldListFilter), "role"]
    list_select_related = ["trip", "sender"]
    search_fields = ["=id", "=trip__id", *searching.person("sender"), *searching.newest("text")]
    search_help_text = searching.NEWEST_HELP
    date_hierarchy = "sent_at"
    ordering = ["-pk"]
    fields = ["trip", ("sender", "role"), "driver", "said_shown", ("sent_at", "read_at"), "reported_at", "hidden_shown"]
    actions = ["hide", "show_again"]
    actions_detail = ["hide", "show_again"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[TripMessage]:
        return super().get_queryset(request).select_related("hidden_by", "driver__user")

    def has_hide_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(messages.HIDE)

    def actions_for(self, obj: TripMessage) -> set[str]:
        return {"hide" if obj.hidden_at is None else "show_again"}

    @display(description=gettext_lazy("text"))
    def said_shown(self, row: TripMessage) -> str:
        return row.said

    @display(description=gettext_lazy("state"), label=COLOURS)
    def state(self, row: TripMessage) -> Label | None:
        if row.hidden_at is not None:
            return Label("default", _("Hidden"))
        return Label("danger", _("Reported")) if row.reported_at is not None else None

    @display(description=gettext_lazy("hidden"))
    def hidden_shown(self, row: TripMessage) -> str:
        return f"{format_instant(row.hidden_at)}, {row.hidden_by}" if row.hidden_at else "–"

    @staff_action(
        gettext_lazy("Hide"),
        done=gettext_lazy("hidden"),
        effect=gettext_lazy("Passenger and driver do not see the text any more. Staff still do."),
        icon="visibility_off",
        variant=ActionVariant.DANGER,
        permission="hide",
    )
    def hide(self, message_id: int, user: User) -> None:
        messages.hide(message_id, user)

    @staff_action(
        gettext_lazy("Show again"),
        done=gettext_lazy("shown again"),
        effect=gettext_lazy("Passenger and driver see the text again."),
        icon="visibility",
        permission="hide",
    )
    def show_again(self, message_id: int, user: User) -> None:
        messages.show_again(message_id, user)


@admin.register(SafetyAlert)
class SafetyAlertAdmin(HistoryAdmin):
    """For all who see to trips: a call for help must not wait for another permission."""

    list_display = ["id", "state", "trip", "raised_by", "raised_at", "place", "handled_by"]
    list_filter = [("handled_at", admin.EmptyFieldListFilter), "raised_at"]
    list_select_related = ["trip", "raised_by", "handled_by"]
    search_fields = ["=id", "=trip__id", *searching.newest(*searching.person("raised_by"))]
    search_help_text = searching.NEWEST_HELP
    date_hierarchy = "raised_at"
    ordering = ["-pk"]
    fields = ["state", "trip", "raised_by", "phone", "raised_at", "place", ("handled_at", "handled_by")]
    actions = ["handled"]
    actions_detail = ["handled"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(safety.HANDLE) or bool(super().has_view_permission(request, obj))

    def has_handle_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(safety.HANDLE)

    def actions_for(self, obj: SafetyAlert) -> set[str]:
        return {"handled"} if obj.handled_at is None else set()

    @display(description=gettext_lazy("state"), label=COLOURS)
    def state(self, row: SafetyAlert) -> Label:
        return Label("success", _("Handled")) if row.handled_at else Label("danger", _("Open"))

    @display(description=gettext_lazy("phone"))
    def phone(self, row: SafetyAlert) -> str:
        return row.raised_by.phone.as_international if row.raised_by.phone else "–"

    @display(description=gettext_lazy("position"))
    def place(self, row: SafetyAlert) -> str:
        """Return the position with a link to a map; nothing is asked of that map before somebody follows it."""
        if row.lat is None or row.lng is None:
            return "–"
        words = f"{row.lat:.5f}, {row.lng:.5f} ({PositionOf(row.position_of).label})"
        address = MAP.format(lat=f"{row.lat:.5f}", lng=f"{row.lng:.5f}")
        return format_html('<a href="{}" target="_blank" rel="noopener noreferrer">{}</a>', address, words)

    @staff_action(
        gettext_lazy("Handled"),
        done=gettext_lazy("handled"),
        effect=gettext_lazy("You have reached whoever called. They are told, and may call again."),
        icon="check_circle",
        variant=ActionVariant.SUCCESS,
        permission="handle",
    )
    def handled(self, alert_id: int, user: User) -> None:
        safety.mark_handled(alert_id, user)
