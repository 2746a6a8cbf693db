"""Restores of the database in the administration, view-only."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from stepper.admin.base import HistoryAdmin
from stepper.models import Restore


@admin.register(Restore)
class RestoreAdmin(HistoryAdmin):
    """When a backup was put in place, and of when it was: what happened in between is lost, in the security log too."""

    fields = ["restored_at", "backup_made_at", "generation"]
    list_display = fields
    list_filter = ["restored_at"]
    search_fields = ["=generation"]
    search_help_text = _("A generation in full, the last part of a program's cursor")
    ordering = ["-pk"]
