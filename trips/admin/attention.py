"""Trips that staff should see to, as a filter and a label, and what the watch over a trip has noted.

Nobody takes it, the driver has not set off, does not come nearer to the pickup (trips.watch), or takes steps that their
position does not confirm (trips.arrival).
"""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from stepper.admin.base import HistoryAdmin, Label
from stepper.templatetags.units import clock
from trips.models import Trip, TripTransition, TripWatch
from trips.states import FINISHED, OPEN, Doubt, Stall, TripStatus

_LATE = Q(status=TripStatus.ACCEPTED, watch__late_at__isnull=False)
_UNFILLED = Q(status__in=sorted(OPEN), escalated_at__isnull=False)
_STALLED = Q(status=TripStatus.EN_ROUTE, watch__stall__in=Stall.values)
_UNCONFIRMED = Q(status=TripStatus.DRIVER_ARRIVED, arrival_flagged=True)
# A step was taken far from where it belongs; of a trip that is over it stays a matter of record.
FAR_STEP = Exists(TripTransition.objects.filter(trip=OuterRef("pk"), doubt=Doubt.FAR).order_by())
_FAR = Q(FAR_STEP) & ~Q(status__in=sorted(FINISHED))


class AttentionFilter(admin.SimpleListFilter):
    title = gettext_lazy("attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("any", _("Needs attention")),
            ("unfilled", _("Nobody takes it")),
            ("late", _("Has not set off")),
            *Stall.choices,
            ("unconfirmed", _("Arrival not confirmed")),
            ("far", _("A step far away, also of past trips")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Trip]) -> QuerySet[Trip]:
        wanted = self.value()
        if wanted == "any":
            return queryset.filter(_LATE | _STALLED | _UNFILLED | _UNCONFIRMED | _FAR)
        if wanted == "unfilled":
            return queryset.filter(_UNFILLED)
        if wanted == "late":
            return queryset.filter(_LATE)
        if wanted == "unconfirmed":
            return queryset.filter(_UNCONFIRMED)
        if wanted == "far":
            return queryset.filter(FAR_STEP)
        return queryset.filter(_STALLED, watch__stall=wanted) if wanted in Stall.values else queryset


def attention(trip: Trip) -> Label | None:
    """Return what staff should see to, as `Standing still since 14:02`; None: nothing is wrong."""
    if trip.status in OPEN and trip.escalated_at:
        return Label(
            "danger", _("Nobody takes it, told at %(time)s") % {"time": clock(trip.escalated_at, trip.timezone)}
        )
    watch = getattr(trip, "watch", None)
    if trip.status == TripStatus.ACCEPTED and watch is not None and watch.late_at:
        at = clock(watch.late_at, trip.timezone)
        return Label("danger", _("Has not set off, flagged at %(time)s") % {"time": at})
    if trip.stalled and trip.stalled.stalled_at:
        what = {"what": Stall(trip.stalled.stall).label, "time": clock(trip.stalled.stalled_at, trip.timezone)}
        return Label("warning", _("%(what)s since %(time)s") % what)
    if trip.awaits_confirmation:
        return Label("warning", _("Arrival not confirmed"))
    if getattr(trip, "has_far_step", False):
        return Label("warning", _("A step far away"))
    return None


@admin.register(TripWatch)
class TripWatchAdmin(HistoryAdmin):
    list_display = ["trip", "driver", "first_reminder_at", "last_reminder_at", "nudged_at", "late_at", "stall"]
    list_filter = ["stall", ("late_at", admin.EmptyFieldListFilter), ("nudged_at", admin.EmptyFieldListFilter)]
    list_select_related = ["trip", "driver__user"]
    search_fields = ["=trip__id", "driver__user__name", "driver__user__phone"]
    date_hierarchy = "due_at"
    ordering = ["-trip"]
    fields = [
        ("trip", "driver"),
        ("first_reminder_at", "last_reminder_at"),
        ("nudged_at", "late_at"),
        ("set_off_at", "stall_told_at"),
        ("stall", "stalled_at"),
    ]
