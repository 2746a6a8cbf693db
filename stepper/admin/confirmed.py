"""Pages of the administration that decide who may sign in and do what: a recent sign-in, or the password once more."""

from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from stepper.accounts.confirmation import is_confirmed, require_confirmed
from stepper.admin.base import StaffAdmin
from stepper.models import User
from stepper.web.confirmation import confirmation_url


def require_staff_confirmed(request: HttpRequest) -> None:
    """Refuse unless the member of staff has proved themselves recently; raise as `require_confirmed` does."""
    require_confirmed(request.session, cast(User, request.user), opens_form=request.method in ("GET", "HEAD"))


def _may_only_read(request: HttpRequest) -> bool:
    return not is_confirmed(request.session, cast(User, request.user), opens_form=True)


class ConfirmedAdmin(StaffAdmin):
    """Rows can be read without confirming, so that looking somebody up asks for nothing; all that changes needs it."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method == "POST" or object_id is None:
            require_staff_confirmed(request)
        elif self.has_change_permission(request) and _may_only_read(request):
            request.is_read_only = True  # type: ignore[attr-defined]
            link = f"{confirmation_url()}?{urlencode({'next': request.get_full_path()})}"
            text = _("To change anything here, confirm that it is you.")
            messages.info(request, format_html('{} <a class="underline" href="{}">{}</a>', text, link, _("Confirm")))
        return super().changeform_view(request, object_id, form_url, extra_context)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not getattr(request, "is_read_only", False) and super().has_change_permission(request, obj)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        require_staff_confirmed(request)
        return super().delete_view(request, object_id, extra_context)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST":  # an action
            require_staff_confirmed(request)
        return super().changelist_view(request, extra_context)
