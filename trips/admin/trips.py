"""Trips in the admin.

Status, driver, seats and money are read-only; the actions call the domain's verbs, which decide. What may be edited
are words: the note and the names and addresses of the places.
"""

import datetime as dt
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from stepper.admin import searching
from stepper.admin.base import COLOURS, Label, StaffAdmin, staff_action
from stepper.errors import Conflict
from stepper.models import ServiceSettings, User
from stepper.templatetags.units import clock, in_language, money, when
from stepper.texts import PlainTextInput
from trips import assignment, bookings, driving
from trips.admin import why as admin_why
from trips.admin.assigning import AssigningActions
from trips.admin.attention import AttentionFilter
from trips.admin.conversations import MessageInline
from trips.admin.drivers_of_trip import AssignmentInline, LegInline
from trips.admin.histories import (
    STATUS_COLOURS,
    BookingInline,
    ChangeInline,
    OfferInline,
    RatingInline,
    RoundInline,
    TransitionInline,
)
from trips.admin.steering import SteeringActions
from trips.admin.steering import sensible as sensible_steering
from trips.attention import CALL_FOR_HELP, FAR_STEP
from trips.attention_words import attention
from trips.candidate_words import cancel_effect
from trips.changes import record_change
from trips.eligibility import in_words
from trips.history_words import nobody_online
from trips.models import Trip
from trips.policy import radius_of
from trips.states import ASSIGNED, BEFORE_BOARDING, EXPECTED, OPEN, Role, TripStatus, allowed


class DepartureFilter(admin.SimpleListFilter):
    title = gettext_lazy("departure")
    parameter_name = "departs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("past", _("Past")),
            ("today", _("Today")),
            ("tomorrow", _("Tomorrow")),
            ("week", _("Next 7 days")),
            ("later", _("Later")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Trip]) -> QuerySet[Trip]:
        today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
        day = dt.timedelta(days=1)
        spans = {
            "today": (today, today + day),
            "tomorrow": (today + day, today + 2 * day),
            "week": (today, today + 7 * day),
        }
        if self.value() in spans:
            start, end = spans[str(self.value())]
            return queryset.filter(departure_at__gte=start, departure_at__lt=end)
        if self.value() == "past":
            return queryset.filter(departure_at__lt=timezone.now())
        if self.value() == "later":
            return queryset.filter(departure_at__gte=today + 7 * day)
        return queryset


class CancelForm(forms.Form):
    reason = PlainTextInput(
        label=gettext_lazy("Reason"),
        max_length=200,
        help_text=gettext_lazy("The passenger and the driver read it."),
        widget=UnfoldAdminTextInputWidget,
    )


class ConfirmArrivalForm(forms.Form):
    reason = PlainTextInput(
        label=gettext_lazy("Reason"),
        max_length=200,
        help_text=gettext_lazy("How you know, for the trip's history: “the passenger sees the car”."),
        widget=UnfoldAdminTextInputWidget,
    )


@admin.register(Trip)
class TripAdmin(AssigningActions, SteeringActions, StaffAdmin):
    list_display = [
        "id",
        "route",
        "status_shown",
        "departure",
        "organiser",
        "driver",
        "attention_shown",
        "fare_shown",
        "search_shown",
    ]
    list_display_links = ["id", "route"]
    linked_by = ["driver__id__exact"]
    list_filter = [AttentionFilter, "status", "cancel_code", "trip_type", "vehicle_class", DepartureFilter]
    search_fields = [
        "=id",
        *searching.person("organiser"),
        *searching.person("driver__user"),
        "vehicle__plate",
        *searching.newest("traveller_name", "traveller_phone", "pickup_name", "dropoff_name"),
    ]
    search_help_text = format_lazy(
        gettext_lazy("Id, passenger or driver, phone or plate; traveller and places of the newest {count} trips only"),
        count=f"{searching.NEWEST:,}",
    )
    date_hierarchy = "departure_at"
    # The order in which they were booked; of a million no other index is needed.
    ordering = ["-pk"]
    inlines = [
        BookingInline,
        ChangeInline,
        AssignmentInline,
        OfferInline,
        RoundInline,
        TransitionInline,
        RatingInline,
        MessageInline,
    ]
    fieldsets: Any = [
        (
            None,
            {
                "fields": [
                    ("status_shown", "departure"),
                    ("organiser", "trip_type"),
                    ("traveller_name", "traveller_phone"),
                    ("driver", "vehicle"),
                    ("search_shown", "delay_shown"),
                    "attention_shown",
                ]
            },
        ),
        (
            gettext_lazy("Route"),
            {
                "fields": [
                    ("pickup_name", "pickup_address"),
                    ("dropoff_name", "dropoff_address"),
                    ("pickup_point", "dropoff_point"),
                    ("stops_shown", "wishes_shown"),
                    ("distance_km", "duration_min"),
                    "note",
                ]
            },
        ),
        (
            gettext_lazy("Seats and money"),
            {
                "fields": [
                    ("seats", "available_seats"),
                    ("vehicle_class", "bags"),
                    ("fare_shown", "seat_price_shown"),
                    ("driver_earnings_shown", "platform_fee_shown"),
                    ("payment_method", "zone"),
                ]
            },
        ),
        (
            gettext_lazy("Times"),
            {
                "fields": [
                    ("created_at", "accepted_at"),
                    ("ends_at", "search_until"),
                    ("completed_at", "cancelled_at"),
                    ("cancel_code", "cancel_reason"),
                    "version",
                ]
            },
        ),
    ]
    editable = ["pickup_name", "pickup_address", "dropoff_name", "dropoff_address", "note"]
    actions = [
        "assign",
        "offer_again",
        "take_off",
        "confirm_arrival",
        "waive_code",
        "take_back_arrival",
        "complete",
        "cancel",
    ]
    # Moving a trip to another driver and handing it over are for one trip: a driver is chosen by where they are.
    actions_detail = ["why", *actions, "reassign", "hand_over"]

    def get_inlines(self, request: HttpRequest, obj: Trip | None) -> list[Any]:
        return [*self.inlines, LegInline] if obj is not None and obj.former_legs else self.inlines

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trip]:
        trips = super().get_queryset(request).select_related("organiser", "driver__user", "vehicle", "watch")
        return trips.annotate(has_far_step=FAR_STEP, has_call_for_help=CALL_FOR_HELP)

    def get_readonly_fields(self, request: HttpRequest, obj: Trip | None = None) -> list[str]:
        return [name for name in flatten_fieldsets(self.fieldsets) if name not in self.editable]

    def has_add_permission(self, request: HttpRequest) -> bool:
        # Booking prices, publishes and offers; a row alone would be a trip that nobody drives.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_assign_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.has_change_permission(request, obj)) and request.user.has_perm("drivers.view_driver")

    def actions_for(self, obj: Trip) -> set[str]:
        sensible = {
            "why": True,
            "assign": obj.status in OPEN,
            "reassign": obj.status in BEFORE_BOARDING,
            "offer_again": obj.status in OPEN,
            "take_off": obj.status in ASSIGNED and allowed(obj.status, TripStatus.OFFERED, role=Role.STAFF),
            "confirm_arrival": obj.status in EXPECTED or obj.awaits_confirmation,
            "waive_code": bool(obj.boarding_code) and obj.status in BEFORE_BOARDING,
            **sensible_steering(obj),
            "cancel": allowed(obj.status, TripStatus.CANCELLED, role=Role.STAFF),
        }
        return {name for name, applies in sensible.items() if applies}

    def save_model(self, request: HttpRequest, obj: Trip, form: forms.ModelForm, change: bool) -> None:
        """Save the words alone and announce the trip as it now is, so that open pages show them."""
        words = {name: form.cleaned_data[name] for name in form.changed_data if name in self.editable}
        if not words:
            return
        trip = Trip.objects.select_related("driver__user").locked().get(pk=obj.pk)
        record_change(trip, words, cast("User", request.user))
        trip.amend(**words, changed_version=trip.version + 1)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save nothing: the tables under a trip are histories."""
        formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []

    @display(description=gettext_lazy("route"), ordering="pickup_name")
    def route(self, trip: Trip) -> str:
        return trip.title

    @display(description=gettext_lazy("status"), ordering="status", label=COLOURS)
    def status_shown(self, trip: Trip) -> Label:
        return Label(STATUS_COLOURS[trip.status], trip.get_status_display())

    @display(description=gettext_lazy("departure"), ordering="departure_at")
    def departure(self, trip: Trip) -> str:
        time = when(trip.departure_at, trip.timezone)
        return time if trip.timezone == timezone.get_current_timezone_name() else f"{time} ({trip.timezone})"

    @display(description=gettext_lazy("attention"), label=COLOURS)
    def attention_shown(self, trip: Trip) -> Label | None:
        return attention(trip)

    @display(description=gettext_lazy("fare"), ordering="fare")
    def fare_shown(self, trip: Trip) -> str:
        return money(trip.fare)

    @display(description=gettext_lazy("seat price"))
    def seat_price_shown(self, trip: Trip) -> str:
        return money(trip.seat_price)

    @display(description=gettext_lazy("driver's earnings"))
    def driver_earnings_shown(self, trip: Trip) -> str:
        return money(trip.driver_earnings)

    @display(description=gettext_lazy("platform fee"))
    def platform_fee_shown(self, trip: Trip) -> str:
        return money(trip.platform_fee)

    @display(description=gettext_lazy("round, next at"), ordering="next_look_at")
    def search_shown(self, trip: Trip) -> str:
        if not trip.round_number and trip.next_look_at is None:
            return "–"
        number = _("round %(number)d") % {"number": trip.round_number}
        return f"{number}, {clock(trip.next_look_at, trip.timezone)}" if trip.next_look_at else number

    @display(description=gettext_lazy("delay"))
    def delay_shown(self, trip: Trip) -> str:
        if not trip.delay_minutes:
            return "–"
        return _("%(minutes)d min: %(reason)s") % {"minutes": trip.delay_minutes, "reason": trip.delay_reason}

    @display(description=gettext_lazy("pickup, lat, lng"))
    def pickup_point(self, trip: Trip) -> str:
        return f"{trip.pickup_lat:.5f}, {trip.pickup_lng:.5f}"

    @display(description=gettext_lazy("dropoff, lat, lng"))
    def dropoff_point(self, trip: Trip) -> str:
        return f"{trip.dropoff_lat:.5f}, {trip.dropoff_lng:.5f}"

    @display(description=gettext_lazy("stops"))
    def stops_shown(self, trip: Trip) -> str:
        """Write the stops with their coordinates, and when each was reached."""
        lines = []
        for number, stop in enumerate(trip.stop_list, 1):
            at = clock(stop.reached_at, trip.timezone) if stop.reached_at else "–"
            lines.append((number, stop.name, f"{stop.lat:.5f}, {stop.lng:.5f}", at))
        return format_html_join("\n", "<p>{}. {} ({}) · {}</p>", lines) or "–"

    @display(description=gettext_lazy("wishes"))
    def wishes_shown(self, trip: Trip) -> str:
        return ", ".join(in_language(wish.names) for wish in trip.wish_list) or "–"

    @action(description=gettext_lazy("Why not?"), icon="help", permissions=["why"])
    def why(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return admin_why.of_trip(self, request, object_id)

    def has_why_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.has_view_permission(request, obj)) and request.user.has_perm("drivers.view_driver")

    @staff_action(
        gettext_lazy("Offer again"),
        done=gettext_lazy("offered again"),
        effect=gettext_lazy("Drivers around the pickup are searched now, without waiting for the next round."),
        icon="campaign",
    )
    def offer_again(self, trip_id: int, user: User) -> None:
        result = assignment.offer_again(trip_id, user)
        if not result.drivers_notified:
            trip = Trip.objects.get(pk=trip_id)
            why = in_words(result.reasons) or nobody_online(radius_of(trip, ServiceSettings.current()))
            raise Conflict("dispatch.nobody", _("nobody else can be asked now (%(why)s).") % {"why": why})

    @staff_action(
        gettext_lazy("Confirm arrival"),
        done=gettext_lazy("confirmed at the pickup"),
        effect=gettext_lazy(
            "The driver counts as at the pickup, whatever their position says: the passenger is told and cannot cancel "
            "any more, and the wait before a no-show begins."
        ),
        icon="where_to_vote",
        form=ConfirmArrivalForm,
    )
    def confirm_arrival(self, trip_id: int, user: User, reason: str) -> None:
        driving.confirm_arrival(trip_id, user, reason)

    @staff_action(
        gettext_lazy("Board without the code"),
        done=gettext_lazy("boards without a code"),
        effect=gettext_lazy(
            "The driver is not asked for the passenger's code any more. Make sure that it is the right passenger."
        ),
        icon="pin",
        form=ConfirmArrivalForm,
    )
    def waive_code(self, trip_id: int, user: User, reason: str) -> None:
        driving.waive_boarding_code(trip_id, user, reason)

    @staff_action(
        gettext_lazy("Cancel the trip"),
        done=gettext_lazy("cancelled"),
        effect=cancel_effect,
        icon="cancel",
        variant=ActionVariant.DANGER,
        form=CancelForm,
    )
    def cancel(self, trip_id: int, user: User, reason: str) -> None:
        bookings.cancel(trip_id, user, reason)
