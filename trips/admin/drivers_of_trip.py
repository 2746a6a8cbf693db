"""Who drove a trip, in the admin: what staff did about its driver, and its legs. Nothing to change."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from stepper.admin import searching
from stepper.admin.base import HistoryAdmin, HistoryInline, format_instant
from stepper.templatetags.units import km, money
from trips.explain import given_in_words
from trips.models import StaffAssignment, TripLeg
from trips.states import Role


class AssignmentWords:
    """The columns of an assignment by staff that are not stored as people read them."""

    @display(description=gettext_lazy("assigned"))
    def given(self, row: StaffAssignment) -> str:
        """Say when and by whom; a driver who had accepted was not assigned by anybody."""
        at = format_instant(row.assigned_at)
        return f"{at} · {row.assigned_by}" if row.assigned_by else _("%(at)s, by the driver") % {"at": at}

    @display(description=gettext_lazy("why"))
    def why(self, row: StaffAssignment) -> str:
        return given_in_words(row)

    @display(description=gettext_lazy("taken off"))
    def ended(self, row: StaffAssignment) -> str:
        if row.ended_at is None:
            return "–"
        at = format_instant(row.ended_at)
        return _("%(at)s, given back") % {"at": at} if row.ended_as == Role.DRIVER else f"{at} · {row.ended_by or '–'}"

    @display(description=gettext_lazy("why taken off"))
    def end_why(self, row: StaffAssignment) -> str:
        return row.end_reason or "–"


class AssignmentInline(AssignmentWords, HistoryInline):
    model = StaffAssignment
    fields = ["driver", "given", "why", "ended", "end_why"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[StaffAssignment]:
        rows = super().get_queryset(request).order_by("-assigned_at", "-pk")
        return rows.select_related("driver__user", "assigned_by", "ended_by")


@admin.register(StaffAssignment)
class StaffAssignmentAdmin(AssignmentWords, HistoryAdmin):
    """Which trips staff gave to drivers and took off them, and why."""

    list_display = ["id", "trip", "driver", "given", "why", "ended", "end_why"]
    linked_by = ["driver__id__exact"]
    list_filter = ["assigned_at", "ended_as"]
    list_select_related = ["trip", "driver__user", "assigned_by", "ended_by"]
    search_fields = ["=trip__id", *searching.person("driver__user"), *searching.newest("reason", "end_reason")]
    search_help_text = searching.NEWEST_HELP
    date_hierarchy = "assigned_at"
    ordering = ["-pk"]
    fields = ["trip", "driver", "given", "why", "ended", "end_why"]


class LegWords:
    """The columns of a leg that are not stored as people read them."""

    @display(description=gettext_lazy("drove"))
    def distance(self, leg: TripLeg) -> str:
        return km(leg.km)

    @display(description=gettext_lazy("part of the fare"))
    def fare_shown(self, leg: TripLeg) -> str:
        return money(leg.fare)

    @display(description=gettext_lazy("part of the fee"))
    def fee_shown(self, leg: TripLeg) -> str:
        return money(leg.fee)

    @display(description=gettext_lazy("earned"))
    def earned_shown(self, leg: TripLeg) -> str:
        return money(leg.earned)


class LegInline(LegWords, HistoryInline):
    model = TripLeg
    fields = [
        "number",
        "driver",
        "vehicle",
        "from_name",
        "to_name",
        "started_at",
        "ended_at",
        "distance",
        "fare_shown",
        "fee_shown",
        "earned_shown",
    ]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[TripLeg]:
        return super().get_queryset(request).select_related("driver__user", "vehicle").order_by("number")


@admin.register(TripLeg)
class TripLegAdmin(LegWords, HistoryAdmin):
    """What drivers drove of trips that staff handed over to another driver."""

    list_display = ["id", "trip", "number", "driver", "vehicle", "ended_at", "distance", "fare_shown", "earned_shown"]
    linked_by = ["driver__id__exact"]
    list_filter = ["ended_at"]
    list_select_related = ["trip", "driver__user", "vehicle"]
    search_fields = ["=trip__id", *searching.person("driver__user"), "vehicle__plate"]
    date_hierarchy = "ended_at"
    ordering = ["-pk"]
    fields = [
        ("trip", "number"),
        ("driver", "vehicle"),
        ("from_name", "to_name"),
        ("started_at", "ended_at"),
        "distance",
        ("fare_shown", "fee_shown", "earned_shown"),
    ]
