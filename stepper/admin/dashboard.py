"""What each page of the administration shows (badge beside the name, sidebar), and the warnings of the first one."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse_lazy
from django.utils.translation import gettext as _

from realtime.models import ServerBeat
from stepper.models import ServiceSettings
from stepper.ops.sections import sections_of
from stepper.web.theme import SIDEBAR
from trips import safety
from trips.models import SafetyAlert


def environment(request: HttpRequest) -> list[Any] | None:
    """Return the badge beside the name; None where people really ride."""
    return [_("Development"), "warning"] if settings.DEBUG else None


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar; first the way to the operations room, and the calls for help with the number of open ones.

    Each for those who may open it.
    """
    first, *others = SIDEBAR
    links = []
    if sections_of(request.user):
        links.append({"title": _("Operations room"), "icon": "explore", "link": reverse_lazy("ops:room")})
    if request.user.has_perm(safety.HANDLE):
        links.append(_calls_for_help())
    return [{**first, "items": [*links, *first["items"]]}, *others]


def _calls_for_help() -> dict[str, Any]:
    calls = {
        "title": _("Calls for help"),
        "icon": "sos",
        "link": reverse_lazy("admin:trips_safetyalert_changelist", query={"handled_at__isempty": "1"}),
    }
    if count := SafetyAlert.objects.filter(handled_at__isnull=True).count():
        calls |= {"badge": str(count), "badge_style": "solid", "badge_variant": "danger"}
    return calls


def index(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Warn at the top of the page of what is missing, each of the staff of what they can put right."""
    if request.user.is_superuser and not ServiceSettings.current().staff_second_factor:
        messages.info(
            request, _("Staff need no two-step sign-in: a password alone opens all of this. Switch it on in Settings.")
        )
    if request.user.has_perm("stepper.change_servicesettings") and not ServiceSettings.current().support:
        messages.warning(
            request,
            _("No contact of your staff is set, so pages have nobody to send people to. Enter it in Settings."),
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
