"""Pages of the administration that show people's data, in the audit log."""

from typing import Any

from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from stepper.audit import registry
from stepper.audit.looks import looked_at_list, looked_at_row


class LogsLooks:
    """Mixin before `ModelAdmin`: logs that staff opened a row's page, and that they opened the list of a model."""

    model: Any

    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        response: HttpResponse = super().changeform_view(request, *args, **options)  # type: ignore[misc]
        _log_row(request, response)
        return response

    def delete_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        response: HttpResponse = super().delete_view(request, *args, **options)  # type: ignore[misc]
        _log_row(request, response)
        return response

    def history_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        response: HttpResponse = super().history_view(request, *args, **options)  # type: ignore[misc]
        _log_row(request, response)
        return response

    def changelist_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, *args, **options)  # type: ignore[misc]
        if response.status_code == 200 and registry.shows_people(self.model):
            looked_at_list(request, self.model._meta.label_lower)
        return response


def _log_row(request: HttpRequest, response: HttpResponse) -> None:
    """Log the row that a page shows; none was shown where there is no page."""
    if isinstance(response, TemplateResponse) and response.status_code == 200 and response.context_data:
        row = response.context_data.get("original") or response.context_data.get("object")
        if isinstance(row, Model):
            looked_at_row(request, row)
