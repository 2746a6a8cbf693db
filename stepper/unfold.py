"""How the admin looks: names, the brand's colours, what the sidebar lists for whom, the warning on its first page."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

# Twice the dispatcher's slowest look, with room for a loaded machine.
SILENT_AFTER = dt.timedelta(seconds=15)


def _may_view(app: str, model: str) -> Callable[[HttpRequest], bool]:
    permissions = [f"{app}.view_{model}", f"{app}.change_{model}"]
    return lambda request: any(request.user.has_perm(permission) for permission in permissions)


def _item(title: Any, icon: str, app: str, model: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": _may_view(app, model),
    }


def environment(request: HttpRequest) -> list[Any] | None:
    """The badge beside the name; none where people really ride."""
    from django.conf import settings

    return [_("Development"), "warning"] if settings.DEBUG else None


def dispatcher_is_silent() -> bool:
    """No dispatcher has looked for `SILENT_AFTER`: deadlines pass unnoticed and no round starts."""
    from django.utils import timezone

    from realtime.models import ServerBeat

    return not ServerBeat.objects.filter(beat_at__gte=timezone.now() - SILENT_AFTER).exists()


def index(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Warns at the top of the admin's first page when nobody looks for drivers."""
    from django.contrib import messages

    if dispatcher_is_silent():
        messages.warning(
            request,
            _(
                "No dispatcher has reported for 15 seconds: offers do not expire and no drivers are looked for. "
                "Start a server, or manage.py dispatcher where DISPATCHER is external."
            ),
        )
    return context


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "StepperGO",
    "SITE_HEADER": "StepperGO",
    "SITE_SUBHEADER": _("Operations"),
    "SITE_SYMBOL": "local_taxi",
    "SITE_URL": "/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("icons/favicon.svg")},
    ],
    "ENVIRONMENT": "stepper.unfold.environment",
    "DASHBOARD_CALLBACK": "stepper.unfold.index",
    "SHOW_BACK_BUTTON": True,
    "STYLES": [lambda request: static("css/admin.css")],
    "SCRIPTS": [lambda request: static("js/admin.js")],
    "BORDER_RADIUS": "10px",
    "COLORS": {
        "primary": {
            "50": "#eef8f4",
            "100": "#d3eee2",
            "200": "#a9ddc8",
            "300": "#74c9a9",
            "400": "#3fc79a",
            "500": "#1f9a74",
            "600": "#0b6b4f",
            "700": "#095941",
            "800": "#084735",
            "900": "#07392b",
            "950": "#04211a",
        },
    },
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "title": _("Operations"),
                "items": [
                    _item(_("Trips"), "route", "trips", "trip"),
                    _item(_("Drivers"), "badge", "drivers", "driver"),
                    _item(_("Vehicles"), "directions_car", "drivers", "vehicle"),
                    _item(_("Bookings"), "event_seat", "trips", "booking"),
                    _item(_("Positions"), "my_location", "drivers", "driverposition"),
                ],
            },
            {
                "title": _("Why it happened"),
                "collapsible": True,
                "items": [
                    _item(_("Offers"), "local_offer", "trips", "offer"),
                    _item(_("Rounds"), "radar", "trips", "dispatchround"),
                    _item(_("Transitions"), "timeline", "trips", "triptransition"),
                    _item(_("Watches"), "visibility", "trips", "tripwatch"),
                    _item(_("Availability"), "toggle_on", "drivers", "availabilitychange"),
                    _item(_("Breaks"), "coffee", "drivers", "break"),
                    _item(_("Ratings"), "star", "trips", "rating"),
                    _item(_("Standings"), "leaderboard", "drivers", "driverstanding"),
                    _item(_("Notifications"), "notifications", "realtime", "notification"),
                    _item(_("Event log"), "receipt_long", "realtime", "event"),
                    _item(_("Trail points"), "conversion_path", "drivers", "trailpoint"),
                ],
            },
            {
                "title": _("People and settings"),
                "items": [
                    _item(_("Users"), "person", "stepper", "user"),
                    _item(_("Groups"), "group", "auth", "group"),
                    _item(_("Changes of e-mail"), "alternate_email", "stepper", "addresschange"),
                    _item(_("Settings"), "tune", "stepper", "servicesettings"),
                    _item(_("Dispatch rules"), "alt_route", "trips", "dispatchrule"),
                    _item(_("Pickup areas"), "share_location", "trips", "pickuparea"),
                    _item(_("Dispatchers"), "monitor_heart", "realtime", "serverbeat"),
                ],
            },
        ],
    },
}
