"""The administration's first page: the badge beside the name, the warning that no dispatcher runs."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from realtime.models import ServerBeat
from stepper.models import ServiceSettings


def environment(request: HttpRequest) -> list[Any] | None:
    """Return the badge beside the name; None where people really ride."""
    return [_("Development"), "warning"] if settings.DEBUG else None


def index(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Warn at the top of the page when nobody looks for drivers, and superusers when staff need no second factor."""
    if request.user.is_superuser and not ServiceSettings.current().staff_second_factor:
        messages.info(
            request, _("Staff need no two-step sign-in: a password alone opens all of this. Switch it on in Settings.")
        )
    if not ServerBeat.objects.is_any_alive():
        messages.warning(
            request,
            _(
                "No dispatcher has reported for 15 seconds: offers do not expire and no drivers are looked for. "
                "Start a server, or manage.py dispatcher where DISPATCHER is external."
            ),
        )
    return context
