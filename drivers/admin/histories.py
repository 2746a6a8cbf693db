"""Availability, breaks, metrics, positions and trails in the admin: to read."""

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from stepper.admin import searching
from stepper.admin.base import COLOURS, HistoryAdmin, Label

from ..models import AvailabilityChange, Break, DriverMetrics, DriverPosition, TrailPoint
from .drivers import AVAILABILITY_COLOURS


@admin.register(AvailabilityChange)
class AvailabilityChangeAdmin(HistoryAdmin):
    list_display = ["id", "driver", "previous", "availability_shown", "is_online", "cause", "by", "created_at", "note"]
    linked_by = ["driver__id__exact"]
    list_filter = ["cause", "availability", "created_at"]
    list_select_related = ["driver__user", "by"]
    search_fields = searching.driver()
    date_hierarchy = "created_at"
    ordering = ["-pk"]

    @display(description=gettext_lazy("to"), ordering="availability", label=COLOURS)
    def availability_shown(self, row: AvailabilityChange) -> Label:
        return Label(AVAILABILITY_COLOURS[row.availability], row.get_availability_display())


@admin.register(Break)
class BreakAdmin(HistoryAdmin):
    list_display = ["id", "driver", "starts_at", "ends_at", "started_at", "ended_at", "resumes"]
    linked_by = ["driver__id__exact"]
    list_filter = ["starts_at", ("ended_at", admin.EmptyFieldListFilter)]
    list_select_related = ["driver__user"]
    search_fields = searching.driver()
    date_hierarchy = "starts_at"
    ordering = ["-starts_at", "-pk"]
    exclude = ["due_at"]


@admin.register(DriverMetrics)
class DriverMetricsAdmin(HistoryAdmin):
    list_display = ["driver", "acceptance_shown", "cancellations", "last_trip_at", "due_at"]
    list_filter = ["last_trip_at", "cancellations"]
    list_select_related = ["driver__user"]
    search_fields = searching.driver()
    ordering = ["driver__user__name", "pk"]
    fields = ["driver", "acceptance_shown", "cancellations", "last_trip_at"]

    @display(description=gettext_lazy("acceptance, 7 days"), ordering="acceptance")
    def acceptance_shown(self, row: DriverMetrics) -> str:
        return "–" if row.acceptance is None else f"{row.acceptance:.0%}"


def coordinates(row: DriverPosition | TrailPoint) -> SafeString:
    return format_html("{}, {}", f"{row.lat:.5f}", f"{row.lng:.5f}")


@admin.register(DriverPosition)
class DriverPositionAdmin(HistoryAdmin):
    list_display = ["driver", "where", "recorded_at", "received_at", "speed_kmh", "jumped", "dispatchable"]
    list_filter = ["dispatchable", "jumped", "recorded_at"]
    list_select_related = ["driver__user"]
    search_fields = searching.driver()
    date_hierarchy = "recorded_at"
    ordering = ["-recorded_at"]

    @display(description=gettext_lazy("lat, lng"))
    def where(self, position: DriverPosition) -> SafeString:
        return coordinates(position)


@admin.register(TrailPoint)
class TrailPointAdmin(HistoryAdmin):
    list_display = ["id", "trip", "driver", "leg", "recorded_at", "where", "jumped"]
    list_filter = ["jumped", "recorded_at"]
    list_select_related = ["trip", "driver__user"]
    search_fields = ["=trip__id", *searching.newest(*searching.driver())]
    search_help_text = searching.NEWEST_HELP
    date_hierarchy = "recorded_at"
    ordering = ["-pk"]

    @display(description=gettext_lazy("lat, lng"))
    def where(self, point: TrailPoint) -> SafeString:
        return coordinates(point)
