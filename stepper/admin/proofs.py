"""What was sent to somebody to prove an address or a number: when it ends and how often it was guessed at."""

from django.contrib import admin

from stepper.admin import searching
from stepper.admin.base import HistoryAdmin
from stepper.models import AddressChange, AddressCode, DayCount, PhoneCode


@admin.register(AddressChange)
class AddressChangeAdmin(HistoryAdmin):
    """Why somebody's new address does not count yet; what would confirm it is not shown."""

    fields = ["user", "old_email", "new_email", "expires_at"]
    list_display = fields
    list_filter = ["expires_at"]
    list_select_related = ["user"]
    search_fields = ["=user__id", *searching.person("user"), "old_email", "new_email"]
    ordering = ["-expires_at", "-pk"]


@admin.register(AddressCode)
class AddressCodeAdmin(HistoryAdmin):
    """Whether a code was sent and guessed at; the code itself nobody can read."""

    fields = ["user", "email", "tries", "expires_at"]
    list_display = fields
    list_filter = ["expires_at"]
    list_select_related = ["user"]
    search_fields = ["=user__id", *searching.person("user"), "email"]
    ordering = ["-expires_at", "-pk"]


@admin.register(PhoneCode)
class PhoneCodeAdmin(HistoryAdmin):
    """Whether a code was sent and guessed at; the code itself nobody can read."""

    fields = ["phone", "purpose", "user", "tries", "expires_at"]
    list_display = fields
    list_filter = ["purpose", "expires_at"]
    list_select_related = ["user"]
    search_fields = ["=user__id", *searching.person("user"), "phone"]
    ordering = ["-expires_at", "-pk"]


@admin.register(DayCount)
class DayCountAdmin(HistoryAdmin):
    """How many SMS and wrong codes a day has had so far; whose they are is a digest."""

    fields = ["name", "number", "closes_at"]
    list_display = fields
    list_filter = ["closes_at"]
    search_fields = ["name"]
    ordering = ["-number", "-pk"]
