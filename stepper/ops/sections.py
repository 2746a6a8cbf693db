"""The sections of the operations room: which there are, and which of them somebody may open."""

from typing import Any, NamedTuple

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext_lazy as _

from stepper.models import User


class Section(NamedTuple):
    """A section in the navigation. `permissions`: all of them are needed. `icon`: of Lucide."""

    url_name: str
    title: Any
    icon: str
    permissions: tuple[str, ...]


ROOM = Section("ops:room", _("Map and queue"), "radar", ("trips.view_trip", "drivers.view_driver"))
TRIPS = Section("ops:trips", _("Trips"), "route", ("trips.view_trip",))
DRIVERS = Section("ops:drivers", _("Drivers"), "users", ("drivers.view_driver",))
CALL = Section("ops:call", _("Take a call"), "phone-call", ("trips.add_trip", "trips.change_trip", "stepper.view_user"))
REPORTS = Section("ops:reports", _("Reports"), "chart-column", ("trips.view_report",))
FARES = Section("ops:fares", _("Fares and fee"), "banknote", ("stepper.change_fares",))
AUDIT = Section("ops:audit", _("Audit"), "scroll-text", ("stepper.view_auditentry",))
SYSTEM = Section("ops:system", _("System"), "activity", ("stepper.view_system",))

# In the order of the navigation.
SECTIONS = (ROOM, CALL, TRIPS, DRIVERS, REPORTS, FARES, AUDIT, SYSTEM)


def may_open(user: User | AnonymousUser, section: Section) -> bool:
    """Return whether somebody is staff with the permissions of a section."""
    return bool(getattr(user, "may_act_as_staff", False)) and user.has_perms(section.permissions)


def sections_of(user: User | AnonymousUser) -> list[Section]:
    """Return the sections that somebody may open; none for who is not staff, without asking the database."""
    if not getattr(user, "is_staff", False):
        return []
    return [section for section in SECTIONS if may_open(user, section)]
