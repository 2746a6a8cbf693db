"""Drivers in the admin.

Staff change a driver's approval and put them offline by actions only, which call drivers.availability.
"""

import datetime as dt
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Q, QuerySet, Value
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from stepper.admin import searching
from stepper.admin.base import COLOURS, HistoryInline, Label, StaffAdmin, format_instant, staff_action
from stepper.dates import short_date
from stepper.db.transactions import best_effort
from stepper.models import ServiceSettings, User
from stepper.texts import PlainTextInput
from trips import overlap, ratings
from trips.admin.why import of_driver
from trips.review import review_driver
from trips.states import Role, TripType

from .. import approvals, availability
from ..hours import in_words as hours_in_words
from ..models import (
    Approval,
    Availability,
    AvailabilityChange,
    Driver,
)

APPROVAL_COLOURS = {"pending": "warning", "approved": "success", "rejected": "danger", "suspended": "danger"}
AVAILABILITY_COLOURS = {"offline": "default", "available": "success", "busy": "info"}

LICENCE_WARNING = dt.timedelta(days=30)


class ReasonForm(forms.Form):
    reason = PlainTextInput(
        label=gettext_lazy("Reason"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("The driver reads it in the notification."),
        widget=UnfoldAdminTextInputWidget,
    )


class LicenceFilter(admin.SimpleListFilter):
    title = gettext_lazy("licence")
    parameter_name = "licence"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("expired", _("Expired")), ("soon", _("Expires within 30 days")), ("valid", _("Valid"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Driver]) -> QuerySet[Driver]:
        today = timezone.localdate()
        if self.value() == "expired":
            return queryset.filter(licence_expires_on__lt=today)
        if self.value() == "soon":
            return queryset.filter(licence_expires_on__range=(today, today + LICENCE_WARNING))
        if self.value() == "valid":
            return queryset.filter(licence_expires_on__gte=today)
        return queryset


def age(since: dt.datetime) -> str:
    """Format how long ago: `38 s` under a minute, `4 min` under an hour, else the day and time."""
    seconds = max(0, int((timezone.now() - since).total_seconds()))
    if seconds < 60:
        return _("%(count)d s") % {"count": seconds}
    if seconds < 3600:
        return _("%(count)d min") % {"count": seconds // 60}
    local = timezone.localtime(since)
    return f"{short_date(local)} {local:%H:%M}"


class AvailabilityInline(HistoryInline):
    model = AvailabilityChange
    fk_name = "driver"
    fields = ["at", "previous", "availability", "is_online", "cause", "by", "note"]
    readonly_fields = fields

    @display(description=gettext_lazy("at"))
    def at(self, row: AvailabilityChange) -> str:
        return format_instant(row.created_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AvailabilityChange]:
        return super().get_queryset(request).select_related("by").order_by("-pk")


def review_after_commit(driver_id: int) -> None:
    """Check the driver's offers and accepted trips again after commit, by licence and vehicle as they are now."""

    transaction.on_commit(partial(best_effort, review_driver, driver_id))


class DriverForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        """Refuse a vehicle that somebody else drives now, for a driver who is online or on a trip.

        Also one that somebody else drives at the time of a trip that the driver has accepted: that trip would get the
        vehicle as well (trips.review).

        Raises:
            ValidationError: at the vehicle
        """
        data: dict[str, Any] = super().clean() or self.cleaned_data
        vehicle = data.get("vehicle")
        if self.instance.pk and vehicle is not None and "vehicle" in self.changed_data:
            # All who could drive it, by ascending id: while they are locked, none of them goes online or gets a trip.
            drivers = list(Driver.objects.filter(Q(pk=self.instance.pk) | Q(vehicle=vehicle)).locked())
            if len([driver for driver in drivers if driver.availability != Availability.OFFLINE]) > 1:
                self.add_error("vehicle", _("Another driver is online or on a trip with this vehicle."))
            clash = overlap.find_clash(self.instance.pk, vehicle.pk, ServiceSettings.current())
            if clash is not None:
                words = _(
                    "Trip %(id)d of %(driver)s with this vehicle overlaps a trip of this driver; take one off first."
                )
                self.add_error("vehicle", words % {"id": clash.pk, "driver": clash.driver})
        return data


def name_with_availability(driver: Driver) -> str:
    if driver.availability == Availability.OFFLINE:
        return str(driver)
    return f"{driver} ({driver.get_availability_display()})"


@admin.register(Driver)
class DriverAdmin(StaffAdmin):
    list_display = [
        "name",
        "phone",
        "approval_shown",
        "availability_shown",
        "vehicle",
        "rating_shown",
        "licence_shown",
        "position_shown",
    ]
    list_filter = ["approval", "availability", LicenceFilter, "vehicle__vehicle_class"]
    search_fields = ["=id", *searching.person("user"), "vehicle__plate", "licence_number"]
    search_help_text = gettext_lazy("Name, phone, e-mail, plate, licence or id")
    form = DriverForm
    ordering = ["user__name", "pk"]
    autocomplete_fields = ["user", "vehicle"]
    readonly_fields = [
        "documents_shown",
        "approval_shown",
        "availability_shown",
        "is_online",
        "rating_shown",
        "tags_shown",
        "position_shown",
        "max_distance_km",
        "min_earnings",
        "trip_types_shown",
        "accepts_long_distance",
        "more",
        "mates_shown",
        "timezone",
        "hours_shown",
        "hours_due_at",
        "on_break_until",
        "auto_offline_min",
        "active_at",
        "auto_offline_at",
    ]
    inlines = [AvailabilityInline]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "user",
                    # Alone: with its menu it is wider than half a line.
                    "vehicle",
                    "mates_shown",
                    ("approval_shown", "availability_shown"),
                    ("rating_shown", "tags_shown"),
                    "more",
                ]
            },
        ),
        (gettext_lazy("Licence"), {"fields": [("licence_number", "licence_expires_on"), "documents_shown"]}),
        (gettext_lazy("Availability"), {"fields": [("is_online", "position_shown"), ("on_break_until", "active_at")]}),
        (
            gettext_lazy("Working time, set by the driver"),
            {"fields": [("hours_shown", "timezone"), ("hours_due_at", "auto_offline_min"), "auto_offline_at"]},
        ),
        (
            gettext_lazy("The driver's own filters"),
            {"fields": [("max_distance_km", "min_earnings"), ("trip_types_shown", "accepts_long_distance")]},
        ),
    ]
    add_fieldsets = [(None, {"fields": ["user", "vehicle", "licence_number", "licence_expires_on"]})]
    actions = ["approve", "reject", "suspend", "reinstate", "take_offline"]
    actions_detail = ["why", "approve", "reject", "suspend", "reinstate", "take_offline"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Driver]:
        fresh_s = Value(ServiceSettings.current().position_fresh_s)
        return super().get_queryset(request).select_related("user", "vehicle", "position").annotate(fresh_s=fresh_s)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        # The list of drivers a trip can be assigned to.
        if request.GET.get("model_name") == "trip":
            queryset = queryset.filter(approval=Approval.APPROVED, vehicle__isnull=False, user__is_active=True)
        return super().get_search_results(request, queryset, search_term)

    def get_readonly_fields(self, request: HttpRequest, obj: Driver | None = None) -> list[str]:
        return [*self.readonly_fields, "user"] if obj else list(self.readonly_fields)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Their offers would be deleted, too; staff suspend drivers instead.
        return False

    def save_model(self, request: HttpRequest, obj: Driver, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        warning = approvals.licence_warning(obj)
        if "licence_expires_on" in form.changed_data and warning:
            messages.warning(request, warning)
        if change and {"vehicle", "licence_expires_on"} & set(form.changed_data):
            review_after_commit(obj.pk)

    def edited_columns(self, obj: Driver, form: forms.ModelForm) -> list[str]:
        edited = super().edited_columns(obj, form)
        if "licence_expires_on" not in edited:
            return edited
        # The dispatcher reads the new date at once, and reminds by it.
        obj.documents_due_at = timezone.now()
        return [*edited, "documents_due_at"]

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        # A driver who is just being added has no history.
        return super().get_inlines(request, obj) if obj else []

    def actions_for(self, obj: Driver) -> set[str]:
        possible = {name for name, before in approvals.DECISIONS.items() if obj.approval in before}
        return possible | {"why"} | ({"take_offline"} if obj.is_online or obj.on_break_until else set())

    @action(description=gettext_lazy("Why not a trip?"), icon="help", permissions=["why"])
    def why(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return of_driver(self, request, object_id)

    def has_why_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.has_view_permission(request, obj)) and request.user.has_perm("trips.view_trip")

    @display(description=gettext_lazy("name"), ordering="user__name")
    def name(self, driver: Driver) -> str:
        return driver.user.name

    @display(description=gettext_lazy("phone"))
    def phone(self, driver: Driver) -> str:
        return str(driver.user.phone or "")

    @display(description=gettext_lazy("approval"), ordering="approval", label=COLOURS)
    def approval_shown(self, driver: Driver) -> Label:
        return Label(APPROVAL_COLOURS[driver.approval], driver.get_approval_display())

    @display(description=gettext_lazy("availability"), ordering="availability", label=COLOURS)
    def availability_shown(self, driver: Driver) -> Label:
        return Label(AVAILABILITY_COLOURS[driver.availability], driver.get_availability_display())

    @display(description=gettext_lazy("rating"))
    def rating_shown(self, driver: Driver) -> str:
        return _("new") if driver.rating is None else f"{driver.rating} ★ ({driver.rating_count})"

    @display(description=gettext_lazy("what passengers said"))
    def tags_shown(self, driver: Driver) -> str:
        # The page asks for it five times.
        if not hasattr(driver, "counted_tags"):
            driver.counted_tags = ratings.count_tags(driver.user_id, Role.ORGANISER)  # type: ignore[attr-defined]
        return ", ".join(f"{label} ({number})" for label, number in driver.counted_tags) or "–"  # type: ignore[attr-defined]

    @display(description=gettext_lazy("documents valid until"))
    def documents_shown(self, driver: Driver) -> str:
        if driver.documents_missing:
            return _("Not all needed documents are accepted: no offers")
        if driver.documents_expired:
            return _("A document has expired: no offers")
        until = driver.documents_valid_until
        return short_date(until, year=True) if until else "–"

    @display(description=gettext_lazy("licence expires"), ordering="licence_expires_on", label=COLOURS)
    def licence_shown(self, driver: Driver) -> Label:
        date = short_date(driver.licence_expires_on, year=True)
        if driver.licence_expired:
            return Label("danger", _("Expired %(date)s") % {"date": date})
        soon = driver.licence_expires_on <= timezone.localdate() + LICENCE_WARNING
        return Label("warning" if soon else "default", date)

    @display(description=gettext_lazy("position"), ordering="position__recorded_at", label=COLOURS)
    def position_shown(self, driver: Driver) -> Label:
        position = getattr(driver, "position", None)
        if position is None:
            return Label("default", _("None yet"))
        fresh_s: int = driver.fresh_s  # type: ignore[attr-defined]
        if position.jumped:
            return Label("danger", _("In doubt, believed %(age)s ago") % {"age": age(position.recorded_at)})
        return Label("success" if position.is_fresh(fresh_s) else "warning", age(position.recorded_at))

    @display(description=gettext_lazy("shares the vehicle with"))
    def mates_shown(self, driver: Driver) -> str:
        return ", ".join(name_with_availability(mate) for mate in driver.mates) or "–"

    @display(description=gettext_lazy("trip types"))
    def trip_types_shown(self, driver: Driver) -> str:
        return ", ".join(str(TripType(one).label) for one in driver.trip_types)

    @display(description=gettext_lazy("weekly hours"))
    def hours_shown(self, driver: Driver) -> str:
        return "; ".join(f"{label} {span}" for label, span in hours_in_words(driver.weekly_hours)) or "–"

    @display(description=gettext_lazy("more"))
    def more(self, driver: Driver) -> SafeString:
        lists = [
            ("trips_trip", _("Trips")),
            ("trips_offer", _("Offers")),
            ("drivers_availabilitychange", _("Availability")),
            ("drivers_break", _("Breaks")),
        ]
        links = [(f"{reverse(f'admin:{name}_changelist')}?driver__id__exact={driver.pk}", text) for name, text in lists]
        documents = reverse("admin:drivers_driverdocument_changelist")
        links.append((f"{documents}?owner__id__exact={driver.user_id}", _("Documents")))
        applications = reverse("admin:drivers_driverapplication_changelist")
        links.append((f"{applications}?user__id__exact={driver.user_id}", _("Application")))
        return format_html_join(" · ", '<a class="text-link" href="{}">{}</a>', links)

    @staff_action(
        gettext_lazy("Approve"),
        done=gettext_lazy("approved"),
        effect=gettext_lazy("They are told, can go online and are asked about trips."),
        icon="check_circle",
        variant=ActionVariant.SUCCESS,
        warning=approvals.licence_warning,
    )
    def approve(self, driver_id: int, user: User, although: bool = False) -> None:
        approvals.approve(driver_id, user, although_expired=although)

    @staff_action(
        gettext_lazy("Reject"),
        done=gettext_lazy("rejected"),
        effect=gettext_lazy("They are told and cannot go online. You can approve them later."),
        icon="cancel",
        variant=ActionVariant.DANGER,
        form=ReasonForm,
    )
    def reject(self, driver_id: int, user: User, reason: str) -> None:
        approvals.reject(driver_id, user, reason)

    @staff_action(
        gettext_lazy("Suspend"),
        done=gettext_lazy("suspended"),
        effect=gettext_lazy(
            "They are told, go offline and lose their open offers. A trip they have stays theirs until you take it off."
        ),
        icon="block",
        variant=ActionVariant.DANGER,
        form=ReasonForm,
    )
    def suspend(self, driver_id: int, user: User, reason: str) -> None:
        approvals.suspend(driver_id, user, reason)

    @staff_action(
        gettext_lazy("Reinstate"),
        done=gettext_lazy("reinstated"),
        effect=gettext_lazy("They are told and can go online again."),
        icon="restart_alt",
        variant=ActionVariant.SUCCESS,
        warning=approvals.licence_warning,
    )
    def reinstate(self, driver_id: int, user: User, although: bool = False) -> None:
        approvals.reinstate(driver_id, user, although_expired=although)

    @staff_action(
        gettext_lazy("Take offline"),
        done=gettext_lazy("taken offline"),
        effect=gettext_lazy(
            "They are told and get no new offers until they go online again. A trip they have stays theirs."
        ),
        icon="power_settings_new",
        variant=ActionVariant.DANGER,
        form=ReasonForm,
    )
    def take_offline(self, driver_id: int, user: User, reason: str) -> None:
        availability.take_offline(driver_id, user, reason)
