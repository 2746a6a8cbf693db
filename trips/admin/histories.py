"""The histories of a trip in the admin, as pages of their own and as tables on the trip's page: nothing to change.

They answer the field's commonest question, why a driver did or did not get a trip, in words.
"""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from stepper.admin import searching
from stepper.admin.base import COLOURS, HistoryAdmin, HistoryInline, Label, format_instant
from stepper.admin.confirmed import ConfirmedAdmin
from stepper.templatetags.units import duration, km, money
from trips.explain import parts_in_words
from trips.history_words import change_for_staff, doubt_in_words, end_in_words, round_in_words
from trips.models import (
    AppliedCommand,
    Booking,
    DispatchRound,
    DispatchRule,
    Offer,
    PickupArea,
    Rating,
    TripChange,
    TripShare,
    TripTransition,
)
from trips.states import TAGS, TripStatus

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


class ChangeInline(HistoryInline):
    model = TripChange
    fields = ["at", "role", "by", "what"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[TripChange]:
        return super().get_queryset(request).select_related("by", "trip")

    @display(description=gettext_lazy("at"))
    def at(self, row: TripChange) -> str:
        return format_instant(row.created_at)

    @display(description=gettext_lazy("what"))
    def what(self, row: TripChange) -> str:
        return change_for_staff(row)


@admin.register(TripChange)
class TripChangeAdmin(HistoryAdmin):
    list_display = ["id", "trip", "role", "by", "created_at", "what"]
    list_filter = ["role", "created_at"]
    list_select_related = ["trip", "by"]
    search_fields = ["=trip__id", *searching.person("by")]
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = ["trip", ("role", "by"), "created_at", "what"]

    @display(description=gettext_lazy("what"))
    def what(self, row: TripChange) -> str:
        return change_for_staff(row)


class RatingWords:
    """The columns of a rating that are not stored as people read them."""

    @display(description=gettext_lazy("tags"))
    def tags_shown(self, row: Rating) -> str:
        return ", ".join(row.tag_labels) or "–"

    @display(description=gettext_lazy("tip noted"))
    def tip_shown(self, row: Rating) -> str:
        return money(row.tip) if row.tip else "–"


class RatingInline(RatingWords, HistoryInline):
    model = Rating
    fields = ["role", "by", "about", "stars", "tags_shown", "comment", "tip_shown", "created_at"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rating]:
        return super().get_queryset(request).select_related("by", "about").order_by("pk")


@admin.register(Booking)
class BookingAdmin(HistoryAdmin):
    list_display = ["id", "trip", "passenger", "status_shown", "seats", "amount_shown", "created_at"]
    list_filter = ["status", "created_at"]
    list_select_related = ["trip", "passenger"]
    search_fields = ["=id", "=trip__id", *searching.person("passenger")]
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
    search_fields = ["=id", "=trip__id", *searching.driver()]
    date_hierarchy = "created_at"
    ordering = ["-pk"]

    @display(description=gettext_lazy("status"), ordering="status", label=COLOURS)
    def status_shown(self, offer: Offer) -> Label:
        return Label(OFFER_COLOURS[offer.status], offer.get_status_display())

    @display(description=gettext_lazy("reason"))
    def why(self, offer: Offer) -> str:
        return end_in_words(offer)


@admin.register(DispatchRule)
class DispatchRuleAdmin(ConfirmedAdmin):
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
class PickupAreaAdmin(ConfirmedAdmin):
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
    search_fields = ["=trip__id", *searching.newest("trip__pickup_name")]
    search_help_text = searching.NEWEST_HELP
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
    search_fields = ["=trip__id", *searching.person("by"), *searching.newest("note")]
    search_help_text = searching.NEWEST_HELP
    date_hierarchy = "created_at"
    ordering = ["-pk"]

    @display(description=gettext_lazy("to"), ordering="to_status", label=COLOURS)
    def to_shown(self, row: TripTransition) -> Label:
        return Label(STATUS_COLOURS[row.to_status], row.get_to_status_display())

    @display(description=gettext_lazy("doubt"), ordering="doubt")
    def doubt_shown(self, row: TripTransition) -> str:
        return doubt_in_words(row)


class TagFilter(admin.SimpleListFilter):
    title = gettext_lazy("tag")
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list({tag.value: tag.label for tags in TAGS.values() for tag in tags}.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rating]) -> QuerySet[Rating]:
        return queryset.filter(tags__contains=f",{self.value()},") if self.value() else queryset


class StarsFilter(admin.SimpleListFilter):
    """One to five, without reading which of them there are."""

    title = gettext_lazy("stars")
    parameter_name = "stars"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(stars, stars) for stars in "12345"]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rating]) -> QuerySet[Rating]:
        stars = self.value() or ""
        return queryset.filter(stars=int(stars)) if stars in tuple("12345") else queryset


@admin.register(Rating)
class RatingAdmin(RatingWords, HistoryAdmin):
    list_display = ["id", "trip", "role", "by", "about", "stars", "tags_shown", "comment", "tip_shown", "created_at"]
    list_filter = [StarsFilter, "role", TagFilter]
    list_select_related = ["trip", "by", "about"]
    search_fields = ["=trip__id", *searching.person("by"), *searching.person("about"), *searching.newest("comment")]
    search_help_text = searching.NEWEST_HELP
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = ["trip", "role", ("by", "about"), "stars", "tags_shown", "comment", "tip_shown", "created_at"]


@admin.register(AppliedCommand)
class AppliedCommandAdmin(HistoryAdmin):
    """Which steps and answers of drivers are not applied again when they are sent once more."""

    list_display = ["created_at", "driver", "about"]
    list_filter = ["created_at"]
    list_select_related = ["driver__user"]
    search_fields = [*searching.driver(), *searching.newest("about")]
    search_help_text = searching.NEWEST_HELP
    ordering = ["-created_at", "-pk"]


@admin.register(TripShare)
class TripShareAdmin(HistoryAdmin):
    list_display = ["id", "trip", "created_by", "created_at", "opened"]
    list_filter = ["created_at"]
    list_select_related = ["trip", "created_by"]
    search_fields = ["=id", "=trip__id", *searching.person("created_by")]
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = list_display
