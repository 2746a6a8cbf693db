"""The administration of the service's settings."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from stepper.admin.confirmed import ConfirmedAdmin
from stepper.admin.second_factor import ServiceSettingsForm
from stepper.models import ServiceSettings

# Changing these alone, for finance.
CHANGE_FARES = "stepper.change_fares"
# In the order of their forms.
FARES = (
    *("base_fare", "fare_per_km", "road_factor", "platform_fee_percent"),
    *("multiplier_sedan", "multiplier_suv", "multiplier_van", "multiplier_bus"),
)


@admin.register(ServiceSettings)
class ServiceSettingsAdmin(ConfirmedAdmin):
    """One row: the list leads straight to it. Settings also say what is deleted, such as the security log."""

    form = ServiceSettingsForm
    readonly_fields = ["updated_at"]
    fieldsets = [
        (
            _("Money"),
            {
                "fields": [
                    ("base_fare", "fare_per_km"),
                    ("road_factor", "platform_fee_percent"),
                    ("speed_city_kmh", "speed_suburb_kmh", "speed_highway_kmh"),
                    ("multiplier_sedan", "multiplier_suv"),
                    ("multiplier_van", "multiplier_bus"),
                ]
            },
        ),
        (
            _("Dispatch"),
            {
                "fields": [
                    ("dispatch_mode", "discovery_radius_km"),
                    ("wave_rings_km", "round_size"),
                    ("max_open_offers", "retry_min"),
                    ("offer_urgent_s", "offer_high_s"),
                    ("offer_normal_s", "offer_low_s"),
                    ("targeted_s", "match_window_s"),
                    ("patience_min", "offer_ahead_h"),
                    ("escalate_after_min", "escalate_before_min"),
                    ("overlap_margin_min", "position_fresh_s"),
                ]
            },
        ),
        (
            _("Ranking of drivers"),
            {
                "fields": [
                    ("weight_rating_km", "weight_acceptance_km"),
                    ("weight_waiting_km", "weight_cancellations_km"),
                ]
            },
        ),
        (
            _("Rules of a trip"),
            {
                "fields": [
                    ("boarding_opens_min", "boarding_apart"),
                    ("boarding_code", "tips_offered"),
                    "free_cancel_min",
                    ("release_until_min", "now_tolerance_min"),
                    ("tracking_opens_min", "no_show_wait_min"),
                    ("max_open_trips", "booking_gap_min"),
                    ("max_overlapping_traveller", "max_overlapping_account"),
                    ("late_cancels_per_day", "book_ahead_days"),
                    "quote_kept_min",
                    ("arrival_radius_m", "arrival_fresh_s"),
                    ("step_far_m", "messages_open_h"),
                ]
            },
        ),
        (
            _("Looking after trips that have a driver"),
            {
                "fields": [
                    ("reminder_first_min", "reminder_last_min"),
                    ("set_off_grace_min", "set_off_flag_min"),
                    ("stall_min", "stall_dark_min"),
                    ("stall_move_m", "stall_away_m"),
                ]
            },
        ),
        (_("Operations room"), {"fields": [("waiting_long_min", "claim_kept_min")]}),
        (_("Drivers' working time"), {"fields": [("auto_offline_warn_min", "active_move_m")]}),
        (
            _("Positions"),
            {
                "fields": [
                    ("position_trip_s", "position_idle_s"),
                    ("position_move_m", "position_replay_s"),
                    ("position_accuracy_m", "max_speed_kmh"),
                ]
            },
        ),
        (
            _("Limits"),
            {
                "fields": [
                    ("api_per_min", "status_per_min"),
                    ("bookings_per_min", "changes_per_min"),
                    ("answers_per_min", "light_per_min"),
                    ("guest_quotes_per_min", "guest_bookings_per_min"),
                ]
            },
        ),
        (_("Staff"), {"fields": ["staff_second_factor"]}),
        (
            _("Codes by SMS"),
            {
                "fields": [
                    "phones_verified_to_book",
                    "sms_country_codes",
                    ("sms_per_number_day", "sms_per_network_day"),
                    ("sms_per_day", "wrong_codes_per_day"),
                ]
            },
        ),
        (
            _("How people reach the staff"),
            {
                "fields": [
                    ("support_phone", "support_whatsapp"),
                    ("support_telegram", "support_hours"),
                    "emergency_number",
                ]
            },
        ),
        (
            _("The company"),
            {"fields": [("company_name", "company_number"), "company_address", ("terms_url", "privacy_url")]},
        ),
        (_("Reports"), {"fields": ["report_recipients"]}),
        (
            _("How long rows are kept"),
            {
                "fields": [
                    ("event_log_hours", "rounds_kept_days"),
                    ("trail_kept_days", "disputes_kept_days"),
                    ("offers_kept_days", "working_time_kept_days"),
                    ("applications_kept_days", "watches_kept_days"),
                    ("notifications_kept_days", "read_notifications_kept_days"),
                    ("security_log_kept_days", "audit_kept_months"),
                    "messages_kept_days",
                    "updated_at",
                ]
            },
        ),
    ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        row, _created = ServiceSettings.objects.get_or_create(pk=1)
        return HttpResponseRedirect(reverse("admin:stepper_servicesettings_change", args=[row.pk]))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Write what was edited over the row as it is now, whose other values the security log compares with."""
        stored = ServiceSettings.objects.select_for_update(no_key=True).get(pk=obj.pk)
        for name in self.edited_columns(obj, form):
            setattr(stored, name, getattr(obj, name))
        stored.save()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if super().has_change_permission(request, obj):
            return True
        # Not while the page is read-only until somebody confirms who they are.
        return not getattr(request, "is_read_only", False) and request.user.has_perm(CHANGE_FARES)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if request.user.is_superuser:
            return self.readonly_fields
        if not request.user.has_perm("stepper.change_servicesettings"):
            return [name for name in flatten_fieldsets(self.get_fieldsets(request, obj)) if name not in FARES]
        # It decides who gets to the administration at all.
        return [*self.readonly_fields, "staff_second_factor"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
