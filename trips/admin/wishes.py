"""The list of wishes in the administration."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from stepper.admin.base import StaffAdmin
from trips.models import Wish


@admin.register(Wish)
class WishAdmin(StaffAdmin):
    list_display = ["name_en", "name_ru", "name_kk", "code", "position", "is_active"]
    list_filter = ["is_active"]
    search_fields = ["name_en", "name_ru", "name_kk", "=code"]
    ordering = ["position", "pk"]
    fieldsets = [(None, {"fields": ["code", ("name_en", "name_ru", "name_kk"), ("position", "is_active")]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Keep the code of a wish as it was given: trips and programs name it."""
        return ["code"] if obj is not None else []
