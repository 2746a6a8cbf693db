"""Trips in the admin.

Status, driver, seats and money are read-only; the actions call the domain's verbs, which decide. What may be edited
are words: the note and the names and addresses of the places.
"""

import datetime as dt
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from drivers.models import Approval, Driver
from stepper.admin.base import COLOURS, Label, StaffAdmin, choose_by_search, staff_action
from stepper.errors import Conflict
from stepper.models import User
from stepper.templatetags.units import clock, money, when
from stepper.texts import PlainTextInput
from trips import assignment, bookings, driving
from trips.admin import why as admin_why
from trips.admin.attention import FAR_STEP, AttentionFilter, attention
from trips.admin.histories import (
    STATUS_COLOURS,
    BookingInline,
    OfferInline,
    RatingInline,
    RoundInline,
    TransitionInline,
)
from trips.eligibility import in_words
from trips.models import Trip
from trips.states import ASSIGNED, EXPECTED, OPEN, Role, TripStatus, allowed


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


class AssignForm(forms.Form):
    driver = forms.ModelChoiceField(
        queryset=Driver.objects.filter(
            approval=Approval.APPROVED, vehicle__isnull=False, user__is_active=True
        ).select_related("user"),
        label=gettext_lazy("Driver"),
        help_text=gettext_lazy("Approved drivers with a vehicle; search by name, phone or plate."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choose_by_search(self, "driver", Trip._meta.get_field("driver"))


class CancelForm(forms.Form):
    reason = PlainTextInput(
        label=gettext_lazy("Reason"),
        max_length=200,
        help_text=gettext_lazy("The passenger and the driver read it."),
        widget=UnfoldAdminTextInputWidget,
    )


class TakeOffForm(forms.Form):
    reason = PlainTextInput(
        label=gettext_lazy("Reason"), max_length=200, required=False, widget=UnfoldAdminTextInputWidget
    )


class ConfirmArrivalForm(forms.Form):
    reason = PlainTextInput(
        label=gettext_lazy("Reason"),
        max_length=200,
        help_text=gettext_lazy("How you know, for the trip's history: “the passenger sees the car”."),
        widget=UnfoldAdminTextInputWidget,
    )


@admin.register(Trip)
class TripAdmin(StaffAdmin):
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
    list_filter = [AttentionFilter, "status", "trip_type", "vehicle_class", DepartureFilter]
    search_fields = [
        "=id",
        "organiser__name",
        "organiser__phone",
        "organiser__email",
        "traveller_name",
        "traveller_phone",
        "driver__user__name",
        "driver__user__phone",
        "vehicle__plate",
        "pickup_name",
        "dropoff_name",
    ]
    search_help_text = gettext_lazy("Id, passenger or driver, phone, plate or place")
    date_hierarchy = "departure_at"
    ordering = ["-created_at", "-pk"]
    inlines = [BookingInline, OfferInline, RoundInline, TransitionInline, RatingInline]
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
                    ("cancel_reason", "version"),
                ]
            },
        ),
    ]
    editable = ["pickup_name", "pickup_address", "dropoff_name", "dropoff_address", "note"]
    actions = ["assign", "offer_again", "take_off", "confirm_arrival", "complete", "cancel"]
    actions_detail = ["why", "assign", "offer_again", "take_off", "confirm_arrival", "complete", "cancel"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trip]:
        trips = super().get_queryset(request).select_related("organiser", "driver__user", "vehicle", "watch")
        return trips.annotate(has_far_step=FAR_STEP)

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
            "assign": allowed(obj.status, TripStatus.ACCEPTED, role=Role.STAFF),
            "offer_again": obj.status in OPEN,
            "take_off": obj.status in ASSIGNED and allowed(obj.status, TripStatus.OFFERED, role=Role.STAFF),
            "confirm_arrival": obj.status in EXPECTED or obj.awaits_confirmation,
            "complete": allowed(obj.status, TripStatus.COMPLETED, role=Role.STAFF),
            "cancel": allowed(obj.status, TripStatus.CANCELLED, role=Role.STAFF),
        }
        return {name for name, applies in sensible.items() if applies}

    def save_model(self, request: HttpRequest, obj: Trip, form: forms.ModelForm, change: bool) -> None:
        """Save the words alone and announce the trip as it now is, so that open pages show them."""
        words = {name: form.cleaned_data[name] for name in form.changed_data if name in self.editable}
        if not words:
            return
        trip = Trip.objects.select_related("driver__user").locked().get(pk=obj.pk)
        trip.amend(**words)

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

    @action(description=gettext_lazy("Why not?"), icon="help", permissions=["why"])
    def why(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return admin_why.of_trip(self, request, object_id)

    def has_why_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.has_view_permission(request, obj)) and request.user.has_perm("drivers.view_driver")

    @staff_action(
        gettext_lazy("Assign a driver"),
        done=gettext_lazy("assigned"),
        effect=gettext_lazy("The driver gets the trip without being asked; open offers are withdrawn."),
        icon="person_add",
        variant=ActionVariant.PRIMARY,
        form=AssignForm,
        permission="assign",
    )
    def assign(self, trip_id: int, user: User, driver: Driver) -> None:
        assignment.assign(trip_id, driver.pk, user)

    @staff_action(
        gettext_lazy("Offer again"),
        done=gettext_lazy("offered again"),
        effect=gettext_lazy("Drivers around the pickup are searched now, without waiting for the next round."),
        icon="campaign",
    )
    def offer_again(self, trip_id: int, user: User) -> None:
        result = assignment.offer_again(trip_id, user)
        if not result.drivers_notified:
            why = in_words(result.reasons) or _("no driver online around the pickup")
            raise Conflict("dispatch.nobody", _("nobody else can be asked now (%(why)s).") % {"why": why})

    @staff_action(
        gettext_lazy("Take off the driver"),
        done=gettext_lazy("taken off the driver"),
        effect=gettext_lazy("The driver loses the trip and is told; it is offered to others at once, never to them."),
        icon="person_remove",
        variant=ActionVariant.DANGER,
        form=TakeOffForm,
    )
    def take_off(self, trip_id: int, user: User, reason: str) -> None:
        assignment.take_off(trip_id, user, reason)

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
        gettext_lazy("Complete"),
        done=gettext_lazy("completed"),
        effect=gettext_lazy("For a trip that has arrived whose driver cannot say so: it is completed and paid."),
        icon="done_all",
        variant=ActionVariant.SUCCESS,
    )
    def complete(self, trip_id: int, user: User) -> None:
        driving.complete_by_staff(trip_id, user)

    @staff_action(
        gettext_lazy("Cancel the trip"),
        done=gettext_lazy("cancelled"),
        effect=gettext_lazy("The bookings end with it, offers are withdrawn, the driver is free; all are told."),
        icon="cancel",
        variant=ActionVariant.DANGER,
        form=CancelForm,
    )
    def cancel(self, trip_id: int, user: User, reason: str) -> None:
        bookings.cancel(trip_id, user, reason)
