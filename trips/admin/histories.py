"""The histories of a trip in the admin, as pages of their own and as tables on the trip's page: nothing to change.

They answer the field's commonest question, why a driver did or did not get a trip, in words.
"""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from stepper.admin.base import COLOURS, HistoryAdmin, HistoryInline, Label, StaffAdmin, format_instant
from stepper.templatetags.units import duration, km, money
from trips.eligibility import in_words
from trips.explain import parts_in_words
from trips.models import (
    AppliedCommand,
    Booking,
    DispatchRound,
    DispatchRule,
    Offer,
    PickupArea,
    Rating,
    TripShare,
    TripTransition,
)
from trips.states import DeclineReason, Doubt, TripStatus

STATUS_COLOURS = {
    TripStatus.DRAFT.value: "default",
    TripStatus.PUBLISHED.value: "info",
    TripStatus.OFFERED.value: "info",
    TripStatus.UNFILLED.value: "warning",
    TripStatus.ACCEPTED.value: "primary",
    TripStatus.EN_ROUTE.value: "primary",
    TripStatus.DRIVER_ARRIVED.value: "primary",
    TripStatus.PASSENGERS_BOARDED.value: "primary",
    TripStatus.IN_TRANSIT.value: "primary",
    TripStatus.ARRIVED.value: "primary",
    TripStatus.COMPLETED.value: "success",
    TripStatus.CANCELLED.value: "danger",
}
OFFER_COLOURS = {
    "pending": "info",
    "accepted": "success",
    "declined": "danger",
    "expired": "warning",
    "withdrawn": "default",
}
BOOKING_COLOURS = {"pending": "info", "confirmed": "success", "cancelled": "danger", "completed": "default"}


def round_in_words(row: DispatchRound) -> str:
    """Return a wave as `17 considered: 9 offered, 3 too far for the driver, 2 position dark, 3 later`."""
    found = [_("%(count)d offered") % {"count": row.offered}]
    if row.reasons:
        found.append(in_words(row.reasons))
    later = row.considered - row.offered - sum(row.reasons.values())
    if later > 0:
        found.append(_("%(count)d later, if nobody takes it") % {"count": later})
    return _("%(count)d considered: %(found)s") % {"count": row.considered, "found": ", ".join(found)}


OFFER_ENDS = {
    "timeout": gettext_lazy("not answered in time"),
    "accepted_by_another": gettext_lazy("another driver was faster"),
    "cancelled": gettext_lazy("the trip was cancelled"),
    "driver_busy": gettext_lazy("the driver took another trip"),
    "vehicle_busy": gettext_lazy("another driver of the vehicle took a trip"),
    "no_longer_eligible": gettext_lazy("the driver went offline, or filters, licence or vehicle do not fit any more"),
    **{reason.value: reason.label for reason in DeclineReason},
}


def end_in_words(offer: Offer) -> str:
    """Return why an offer ended: the words of its code, or the driver's own."""
    words = [str(OFFER_ENDS.get(offer.reason, offer.reason))] if offer.reason else []
    if offer.released_at:
        words.append(_("given back %(at)s") % {"at": format_instant(offer.released_at)})
    return ", ".join(words) or "–"


class BookingInline(HistoryInline):
    model = Booking
    fields = ["passenger", "status", "seats", "amount", "payment_method", "created_at", "cancelled_at"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Booking]:
        return super().get_queryset(request).select_related("passenger").order_by("pk")


class OfferInline(HistoryInline):
    model = Offer
    fields = ["driver", "round_number", "wave", "status", "away", "ranked", "offered_at", "until", "settled_at", "why"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Offer]:
        return super().get_queryset(request).select_related("driver__user").order_by("-round_number", "distance_km")

    @display(description=gettext_lazy("away"))
    def away(self, offer: Offer) -> str:
        return f"{km(offer.distance_km)}, {duration(offer.pickup_min)}"

    @display(description=gettext_lazy("rank, km"))
    def ranked(self, offer: Offer) -> str:
        return "–" if offer.score is None else f"{offer.score:.2f}: {parts_in_words(offer.score_parts)}"

    @display(description=gettext_lazy("offered"))
    def offered_at(self, offer: Offer) -> str:
        return format_instant(offer.created_at)

    @display(description=gettext_lazy("answer until"))
    def until(self, offer: Offer) -> str:
        return format_instant(offer.expires_at)

    @display(description=gettext_lazy("settled"))
    def settled_at(self, offer: Offer) -> str:
        return format_instant(offer.responded_at)

    @display(description=gettext_lazy("reason"))
    def why(self, offer: Offer) -> str:
        return end_in_words(offer)


class RoundInline(HistoryInline):
    model = DispatchRound
    fields = ["number", "wave", "at", "result"]
    readonly_fields = fields

    @display(description=gettext_lazy("at"))
    def at(self, row: DispatchRound) -> str:
        return format_instant(row.created_at)

    @display(description=gettext_lazy("result"))
    def result(self, row: DispatchRound) -> str:
        return round_in_words(row)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DispatchRound]:
        return super().get_queryset(request).order_by("-created_at", "-pk")


def doubt_in_words(row: TripTransition) -> str:
    """Return a doubt as `Far away (3.4 km)` or `No position`; `–`: confirmed, or not judged."""
    if not row.doubt:
        return "–"
    label = str(Doubt(row.doubt).label)
    return f"{label} ({km(row.away_km)})" if row.away_km is not None else label


class TransitionInline(HistoryInline):
    model = TripTransition
    fields = ["at", "from_status", "to_status", "role", "by", "note", "doubt_shown"]
    readonly_fields = fields

    @display(description=gettext_lazy("at"))
    def at(self, row: TripTransition) -> str:
        return format_instant(row.created_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TripTransition]:
        return super().get_queryset(request).select_related("by")

    @display(description=gettext_lazy("doubt"))
    def doubt_shown(self, row: TripTransition) -> str:
        return doubt_in_words(row)


class RatingInline(HistoryInline):
    model = Rating
    fields = ["role", "by", "about", "stars", "comment", "created_at"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rating]:
        return super().get_queryset(request).select_related("by", "about").order_by("pk")


@admin.register(Booking)
class BookingAdmin(HistoryAdmin):
    list_display = ["id", "trip", "passenger", "status_shown", "seats", "amount_shown", "created_at"]
    list_filter = ["status", "created_at"]
    list_select_related = ["trip", "passenger"]
    search_fields = ["=id", "=trip__id", "passenger__name", "passenger__phone", "passenger__email"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]

    @display(description=gettext_lazy("status"), ordering="status", label=COLOURS)
    def status_shown(self, booking: Booking) -> Label:
        return Label(BOOKING_COLOURS[booking.status], booking.get_status_display())

    @display(description=gettext_lazy("amount"), ordering="amount")
    def amount_shown(self, booking: Booking) -> str:
        return money(booking.amount)


@admin.register(Offer)
class OfferAdmin(HistoryAdmin):
    list_display = [
        "id",
        "trip",
        "driver",
        "round_number",
        "wave",
        "status_shown",
        "distance_km",
        "score",
        "created_at",
        "expires_at",
        "why",
    ]
    linked_by = ["driver__id__exact"]
    list_filter = ["status", "urgency", "difficulty"]
    list_select_related = ["trip", "driver__user"]
    search_fields = ["=id", "=trip__id", "driver__user__name", "driver__user__phone"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]

    @display(description=gettext_lazy("status"), ordering="status", label=COLOURS)
    def status_shown(self, offer: Offer) -> Label:
        return Label(OFFER_COLOURS[offer.status], offer.get_status_display())

    @display(description=gettext_lazy("reason"))
    def why(self, offer: Offer) -> str:
        return end_in_words(offer)


@admin.register(DispatchRule)
class DispatchRuleAdmin(StaffAdmin):
    list_display = ["__str__", "mode", "wave_rings_km", "round_size", "answer_s"]
    list_filter = ["trip_type", "urgency", "mode"]
    search_fields = ["trip_type", "urgency", "mode"]
    ordering = ["trip_type", "urgency"]
    fieldsets = [
        (gettext_lazy("For"), {"fields": [("trip_type", "urgency")]}),
        (
            gettext_lazy("Otherwise than the settings say"),
            {"fields": [("mode", "answer_s"), ("wave_rings_km", "round_size")]},
        ),
    ]


@admin.register(PickupArea)
class PickupAreaAdmin(StaffAdmin):
    list_display = ["name", "lat", "lng", "radius_m", "arrival_radius_m"]
    list_filter = ["arrival_radius_m"]
    search_fields = ["name"]
    ordering = ["name", "pk"]
    fieldsets = [(None, {"fields": ["name", ("lat", "lng"), ("radius_m", "arrival_radius_m")]})]


@admin.register(DispatchRound)
class DispatchRoundAdmin(HistoryAdmin):
    list_display = ["trip", "number", "wave", "mode", "created_at", "result"]
    list_filter = ["created_at", "mode", "more"]
    list_select_related = ["trip"]
    search_fields = ["=trip__id", "trip__pickup_name"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = ["trip", ("number", "wave"), "mode", "created_at", "result"]

    @display(description=gettext_lazy("result"))
    def result(self, row: DispatchRound) -> str:
        return round_in_words(row)


@admin.register(TripTransition)
class TripTransitionAdmin(HistoryAdmin):
    list_display = ["id", "trip", "from_status", "to_shown", "role", "by", "created_at", "note", "doubt_shown"]
    list_filter = ["to_status", "role", "doubt"]
    list_select_related = ["trip", "by"]
    search_fields = ["=trip__id", "by__name", "by__phone", "note"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]

    @display(description=gettext_lazy("to"), ordering="to_status", label=COLOURS)
    def to_shown(self, row: TripTransition) -> Label:
        return Label(STATUS_COLOURS[row.to_status], row.get_to_status_display())

    @display(description=gettext_lazy("doubt"), ordering="doubt")
    def doubt_shown(self, row: TripTransition) -> str:
        return doubt_in_words(row)


@admin.register(Rating)
class RatingAdmin(HistoryAdmin):
    list_display = ["id", "trip", "role", "by", "about", "stars", "comment", "created_at"]
    list_filter = ["stars", "role"]
    list_select_related = ["trip", "by", "about"]
    search_fields = ["=trip__id", "by__name", "about__name", "comment"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]


@admin.register(AppliedCommand)
class AppliedCommandAdmin(HistoryAdmin):
    """Which steps and answers of drivers are not applied again when they are sent once more."""

    list_display = ["created_at", "driver", "about"]
    list_filter = ["created_at"]
    list_select_related = ["driver__user"]
    search_fields = ["about", "driver__user__name"]
    ordering = ["-created_at", "-pk"]


@admin.register(TripShare)
class TripShareAdmin(HistoryAdmin):
    list_display = ["id", "trip", "created_by", "created_at", "opened"]
    list_filter = ["created_at"]
    list_select_related = ["trip", "created_by"]
    search_fields = ["=id", "=trip__id", "created_by__name"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = list_display
