"""Saved places in the administration: that there are some. Where somebody lives is nobody's business."""

from django.contrib import admin

from stepper.admin import searching
from stepper.admin.base import HistoryAdmin
from trips.models import SavedPlace


@admin.register(SavedPlace)
class SavedPlaceAdmin(HistoryAdmin):
    """Whose it is and since when, and neither name nor point."""

    fields = ["user", "kind", "created_at"]
    list_display = fields
    list_filter = ["kind", "created_at"]
    list_select_related = ["user"]
    search_fields = ["=user__id", *searching.person("user")]
    ordering = ["-pk"]
