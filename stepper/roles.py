"""The roles of staff: what each may do, in one table, and the groups of the database that are made of it.

`manage.py prepare` makes the groups with each release and gives them exactly these permissions, so that a release's new
pages open to those who need them. The administration shows the groups and changes none: whoever needs other rights gets
a group of their own beside, or instead. A group's name begins with `role:`, which no other group may; people read the
title.

A permission that a role does not need stands in no line of it. What only a superuser may: the groups and single
permissions of others, other superusers, deleting accounts, whether staff need two-step sign-in.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.contrib.auth.models import Group, Permission
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from stepper.db.transactions import in_transaction

# What the names of their groups begin with.
PREFIX = "role:"
# Giving roles to others, and taking them away.
ASSIGN = "stepper.assign_role"

# Permission -> what it is for.
Permissions = Mapping[str, str]

_TRIPS_READ: Permissions = {
    "trips.view_trip": "trips, where their drivers are, and the live room",
    "trips.view_booking": "who travels on a trip",
    "trips.view_triptransition": "what happened to a trip, and by whom",
    "trips.view_tripchange": "what was changed of a booking",
    "trips.view_tripleg": "who drove which part",
    "trips.view_staffassignment": "what colleagues did to it",
    "trips.view_dispatchround": "why nobody took it: searches",
    "trips.view_offer": "why nobody took it: whom was asked",
    "trips.view_rating": "what was said afterwards",
    "trips.view_tripmessage": "what passenger and driver wrote on a trip",
    "trips.view_tripshare": "who was given a link to it",
    "trips.view_place": "places by name",
    "trips.view_wish": "what a trip needs",
}
_DRIVERS_READ: Permissions = {
    "drivers.view_driver": "drivers, and the live room",
    "drivers.view_vehicle": "what they drive",
    "drivers.view_availabilitychange": "since when they are on or off line",
    "drivers.view_break": "why they get no offers now",
    "drivers.view_drivermetrics": "why they are asked early or late",
}
_ROOM: Permissions = {
    **_TRIPS_READ,
    **_DRIVERS_READ,
    "trips.change_trip": "assigning, steering, cancelling, offering again, calls for help",
    "trips.add_trip": "taking a call",
    "trips.change_tripmessage": "hiding a message",
    "trips.view_safetyalert": "calls for help",
    "trips.view_tripwatch": "trips that a reminder or a warning was sent of",
    "trips.view_savedplace": "usual places of a caller",
    "trips.view_pickuparea": "where drivers wait",
    "drivers.view_driverposition": "where drivers are",
    "drivers.view_trailpoint": "where a vehicle went",
    "stepper.view_user": "who calls",
}
_SUPPORT: Permissions = {
    **_TRIPS_READ,
    **_DRIVERS_READ,
    "trips.change_tripmessage": "hiding a message",
    "stepper.view_user": "people",
    "stepper.add_user": "an account for somebody who cannot sign up",
    "stepper.change_user": "names, addresses, closing an account, signing out everywhere, a lost second factor",
    "stepper.view_accountsession": "where somebody is signed in",
    "stepper.view_addresschange": "why a mail did not come",
    "stepper.view_addresscode": "why a code did not come",
    "stepper.view_phonecode": "why an SMS did not come",
    "stepper.view_daycount": "why no more SMS are sent",
    "stepper.view_securityevent": "what happened to an account",
    "drivers.add_driver": "a driver who did not apply themselves",
    "drivers.change_driver": "approving, rejecting, suspending, taking off line",
    "drivers.add_vehicle": "their vehicle",
    "drivers.change_vehicle": "their vehicle",
    "drivers.view_driverdocument": "looking at documents",
    "drivers.change_driverdocument": "accepting and rejecting documents",
    "drivers.view_driverapplication": "applications",
    "realtime.view_notification": "what somebody was told",
    "realtime.view_pushsubscription": "whether pushes reach somebody",
}
_FINANCE: Permissions = {
    "trips.view_report": "reports",
    "trips.view_revenue": "money in reports, statements of drivers",
    "stepper.view_servicesettings": "fares and fees",
    "stepper.change_fares": "changing fares and fees, and no other setting",
}
_ADMINISTRATION: Permissions = {
    **_ROOM,
    **_SUPPORT,
    **_FINANCE,
    ASSIGN: "giving roles to colleagues",
    "auth.view_group": "what each role may do",
    "stepper.change_servicesettings": "all settings",
    "stepper.view_restore": "when a backup was restored",
    "stepper.view_auditentry": "who of the staff looked at what, and changed what",
    "stepper.view_system": "how the servers do",
    "realtime.view_event": "the event log",
    "realtime.view_serverbeat": "whether a dispatcher runs",
    "trips.view_appliedcommand": "steps of drivers that came twice",
    "trips.view_dispatchrule": "rules of dispatch",
    "trips.add_dispatchrule": "rules of dispatch",
    "trips.change_dispatchrule": "rules of dispatch",
    "trips.delete_dispatchrule": "rules of dispatch",
    "trips.add_pickuparea": "where drivers wait",
    "trips.change_pickuparea": "where drivers wait",
    "trips.delete_pickuparea": "where drivers wait",
    "trips.add_place": "places by name, importing them",
    "trips.change_place": "places by name",
    "trips.delete_place": "places by name",
    "trips.add_wish": "what a trip can need",
    "trips.change_wish": "what a trip can need",
    "trips.delete_wish": "what a trip can need",
    "drivers.delete_vehicle": "a vehicle entered by mistake",
}


class Role(NamedTuple):
    """A role of staff. `key` is stored, as the name of its group, and never changes."""

    key: str
    title: Any
    purpose: Any
    permissions: Permissions

    @property
    def group_name(self) -> str:
        return PREFIX + self.key


ROLES = (
    Role("dispatcher", _("Dispatcher"), _("Live room, calls, assigning and steering trips, messages, safety."), _ROOM),
    Role("support", _("Support"), _("People, drivers and documents; trips and messages to read."), _SUPPORT),
    Role("finance", _("Finance"), _("Reports, statements, fares and fees; nobody's whereabouts."), _FINANCE),
    Role(
        "administrator",
        _("Administrator"),
        _("All of these, settings, accounts and roles of staff, the audit log."),
        _ADMINISTRATION,
    ),
)
BY_KEY = {role.key: role for role in ROLES}


def role_of_group(group: Group) -> Role | None:
    """Return the role that a group is of; None: it is another group."""
    return BY_KEY.get(group.name.removeprefix(PREFIX)) if group.name.startswith(PREFIX) else None


def find_permissions(names: Iterable[str]) -> list[Permission]:
    """Return the permissions of names such as `trips.view_trip`; those that do not exist are left out."""
    pairs = [name.split(".") for name in names]
    if not pairs:
        return []
    wanted = Q()
    for app, codename in pairs:
        wanted |= Q(content_type__app_label=app, codename=codename)
    return list(Permission.objects.filter(wanted))


def make_groups() -> list[str]:
    """Make the group of each role and give it exactly its permissions; return the keys of those that are new.

    Several servers may be prepared at once, and repeating it changes nothing. A change of a group's permissions is
    told to its members' sockets and written to the security log, as any other.
    """
    return [role.key for role in ROLES if _make_group(role)]


@in_transaction
def _make_group(role: Role) -> bool:
    _group, is_new = Group.objects.get_or_create(name=role.group_name)
    # Of two processes that found something missing, the second one finds it there.
    group = Group.objects.select_for_update().get(name=role.group_name)
    wanted = find_permissions(role.permissions)
    if {one.pk for one in wanted} != set(group.permissions.values_list("pk", flat=True)):
        group.permissions.set(wanted)
    return is_new
