"""How the administration looks: names, the brand's colours, what the sidebar lists for whom.

The settings import this, so nothing here may need models.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _


def _may_view(app: str, model: str) -> Callable[[HttpRequest], bool]:
    permissions = [f"{app}.view_{model}", f"{app}.change_{model}"]
    return lambda request: any(request.user.has_perm(permission) for permission in permissions)


def _item(title: Any, icon: str, *, app: str, model: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": _may_view(app, model),
    }


SIDEBAR: list[dict[str, Any]] = [
    {
        "title": _("Operations"),
        "items": [
            _item(_("Trips"), "route", app="trips", model="trip"),
            _item(_("Drivers"), "badge", app="drivers", model="driver"),
            _item(_("Vehicles"), "directions_car", app="drivers", model="vehicle"),
            _item(_("Documents"), "description", app="drivers", model="driverdocument"),
            _item(_("Applications"), "assignment_ind", app="drivers", model="driverapplication"),
            _item(_("Bookings"), "event_seat", app="trips", model="booking"),
            _item(_("Positions"), "my_location", app="drivers", model="driverposition"),
        ],
    },
    {
        "title": _("Why it happened"),
        "collapsible": True,
        "items": [
            _item(_("Offers"), "local_offer", app="trips", model="offer"),
            _item(_("Rounds"), "radar", app="trips", model="dispatchround"),
            _item(_("Transitions"), "timeline", app="trips", model="triptransition"),
            _item(_("Watches"), "visibility", app="trips", model="tripwatch"),
            _item(_("Availability"), "toggle_on", app="drivers", model="availabilitychange"),
            _item(_("Breaks"), "coffee", app="drivers", model="break"),
            _item(_("Ratings"), "star", app="trips", model="rating"),
            _item(_("Driver metrics"), "leaderboard", app="drivers", model="drivermetrics"),
            _item(_("Notifications"), "notifications", app="realtime", model="notification"),
            _item(_("Event log"), "receipt_long", app="realtime", model="event"),
            _item(_("Trail points"), "conversion_path", app="drivers", model="trailpoint"),
        ],
    },
    {
        "title": _("People and settings"),
        "items": [
            _item(_("Users"), "person", app="stepper", model="user"),
            _item(_("Groups"), "group", app="auth", model="group"),
            _item(_("Sessions"), "devices", app="stepper", model="accountsession"),
            _item(_("Changes of e-mail"), "alternate_email", app="stepper", model="addresschange"),
            _item(_("Settings"), "tune", app="stepper", model="servicesettings"),
            _item(_("Dispatch rules"), "alt_route", app="trips", model="dispatchrule"),
            _item(_("Pickup areas"), "share_location", app="trips", model="pickuparea"),
            _item(_("Places"), "location_on", app="trips", model="place"),
            _item(_("Wishes"), "child_care", app="trips", model="wish"),
            _item(_("Dispatchers"), "monitor_heart", app="realtime", model="serverbeat"),
            _item(_("Restores"), "settings_backup_restore", app="stepper", model="restore"),
            _item(_("Security log"), "security", app="stepper", model="securityevent"),
        ],
    },
]

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "StepperGO",
    "SITE_HEADER": "StepperGO",
    "SITE_SUBHEADER": _("Operations"),
    "SITE_SYMBOL": "local_taxi",
    "SITE_URL": "/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("icons/favicon.svg")},
    ],
    "ENVIRONMENT": "stepper.admin.dashboard.environment",
    "DASHBOARD_CALLBACK": "stepper.admin.dashboard.index",
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
        "navigation": "stepper.admin.dashboard.navigation",
    },
}
