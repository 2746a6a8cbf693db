"""Trips that staff should see to, as a filter, and what the watch over a trip has noted."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from stepper.admin import searching
from stepper.admin.base import HistoryAdmin
from trips.attention_words import attention_choices, attention_condition
from trips.models import Claim, Trip, TripWatch


class AttentionFilter(admin.SimpleListFilter):
    title = gettext_lazy("attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return attention_choices()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Trip]) -> QuerySet[Trip]:
        condition = attention_condition(self.value() or "")
        return queryset if condition is None else queryset.filter(condition)


@admin.register(TripWatch)
class TripWatchAdmin(HistoryAdmin):
    list_display = ["trip", "driver", "first_reminder_at", "last_reminder_at", "nudged_at", "late_at", "stall"]
    list_filter = ["stall", ("late_at", admin.EmptyFieldListFilter), ("nudged_at", admin.EmptyFieldListFilter)]
    list_select_related = ["trip", "driver__user"]
    search_fields = ["=trip__id", *searching.driver()]
    date_hierarchy = "due_at"
    ordering = ["-trip"]
    fields = [
        ("trip", "driver"),
        ("first_reminder_at", "last_reminder_at"),
        ("nudged_at", "late_at"),
        ("set_off_at", "stall_told_at"),
        ("stall", "stalled_at"),
    ]


@admin.register(Claim)
class ClaimAdmin(HistoryAdmin):
    """Who sees to what in the operations room, where claims are made and end."""

    list_display = ["subject", "row_id", "by", "claimed_at"]
    list_filter = ["subject"]
    list_select_related = ["by"]
    search_fields = ["=row_id", *searching.person("by")]
    ordering = ["-claimed_at", "-pk"]
    fields = list_display
