"""Which models the audit log watches, which of their fields are personal, and whose data a row is: one entry a model.

A new model gets an entry in `WATCHED` or a reason in `NOT_WATCHED`, a new field of a watched one stands in one of its
three lists; `tests/stepper/audit/test_registry.py` finds what is missing. Until then of an unknown field only the name
is kept. Many-to-many tables are watched by their rows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Model

# Of a model without anything personal: all fields but its quiet ones.
ALL: Final = "*"


@dataclass(frozen=True)
class Watched:
    """What the log says of a model's rows.

    `person`: the path to the account whose data a row is; None: nobody's. `told`: fields of which the values before
    and after are kept. `personal`: fields of which only the name is, also secrets. `quiet`: fields whose change is no
    entry. `key`: the column that is the row's number in the log.
    """

    person: str | None = None
    told: frozenset[str] = frozenset()
    personal: frozenset[str] = frozenset()
    quiet: frozenset[str] = frozenset()
    key: str = "pk"
    tells_all: bool = False
    # New rows are no entry: sign-ins are in the security log, and ending somebody's session is a deletion.
    only_later: bool = False

    def tells(self, name: str) -> bool:
        return name in self.told or (self.tells_all and name not in self.quiet | self.personal)


def _watched(
    person: str | None = None,
    *,
    told: str = "",
    personal: str = "",
    quiet: str = "",
    key: str = "pk",
    only_later: bool = False,
) -> Watched:
    names = frozenset(told.split()) - {ALL}
    return Watched(person, names, frozenset(personal.split()), frozenset(quiet.split()), key, told == ALL, only_later)


WATCHED: Final[Mapping[str, Watched]] = {
    # What the service is like, and who may do what
    "stepper.servicesettings": _watched(told=ALL, personal="report_recipients", quiet="id updated_at"),
    "trips.dispatchrule": _watched(told=ALL, quiet="id"),
    "trips.pickuparea": _watched(told=ALL, quiet="id"),
    "trips.place": _watched(told=ALL, quiet="id revision changed_at"),
    "trips.wish": _watched(told=ALL, quiet="id"),
    "auth.group": _watched(told=ALL, quiet="id"),
    "auth.group_permissions": _watched(told=ALL, quiet="id", key="group_id"),
    "stepper.user_groups": _watched("user_id", told="user group", quiet="id", key="user_id"),
    "stepper.user_user_permissions": _watched("user_id", told="user permission", quiet="id", key="user_id"),
    # Accounts
    "stepper.user": _watched(
        "pk",
        told="is_superuser is_staff is_active phone_verified_at language max_overlapping_trips",
        personal="password email phone name session_binding",
        quiet="id last_login phone_verified theme date_joined push_muted mail_topics wants_trip_sms rating_sum "
        "rating_count",
    ),
    "account.emailaddress": _watched("user_id", told="user verified primary", personal="email", quiet="id"),
    "mfa.authenticator": _watched("user_id", told="user type", personal="data", quiet="id created_at last_used_at"),
    "stepper.accountsession": _watched(
        "user_id",
        told="user is_program signed_in_at",
        personal="session auth_hash address user_agent",
        quiet="id last_seen_at",
        only_later=True,
    ),
    # Trips
    "trips.trip": _watched(
        "organiser_id",
        told=(
            "organiser trip_type status is_now departure_at timezone vehicle_class seats bags distance_km duration_min "
            "zone fare platform_fee driver_earnings seat_price payment_method driver vehicle accepted_at completed_at "
            "cancelled_at cancel_code delay_minutes former_fare former_fee former_km search_until radius_km is_shared "
            "arrival_flagged"
        ),
        personal=(
            "cancel_reason pickup_name pickup_address pickup_lat pickup_lng dropoff_name dropoff_address dropoff_lat "
            "dropoff_lng stops note wishes traveller_name traveller_phone delay_reason boarding_code"
        ),
        quiet=(
            "id version changed_version changed_after_round former_legs pickup_cell request_key request_digest ends_at "
            "available_seats busy_from busy_until delayed_until round_number wave reach_km escalated_at next_look_at "
            "watch_at wrong_codes codes_refused_until created_at"
        ),
    ),
    "trips.tripleg": _watched(
        "driver__user_id",
        told="trip number driver vehicle started_at ended_at km fare fee departure_at ends_at is_now",
        personal="from_name from_address from_lat from_lng to_name to_address to_lat to_lng",
        quiet="id",
    ),
    # What staff wrote about somebody may name them.
    "trips.staffassignment": _watched(
        "driver__user_id",
        told="trip driver assigned_by assigned_at warnings ended_at ended_as ended_by",
        personal="reason end_reason",
        quiet="id",
    ),
    "trips.booking": _watched(
        "passenger_id",
        told="trip passenger status seats amount payment_method cancelled_at",
        quiet="id created_at",
    ),
    "trips.rating": _watched(
        "about_id", told="trip role by about leg stars tip", personal="comment tags", quiet="id created_at"
    ),
    "trips.tripmessage": _watched(
        "sender_id",
        told="trip driver sender role reported_at hidden_at hidden_by",
        personal="text quick",
        quiet="id key sent_at read_at",
    ),
    "trips.safetyalert": _watched(
        "raised_by_id",
        told="trip raised_by raised_at position_of handled_at handled_by",
        personal="lat lng",
        quiet="id",
    ),
    "trips.savedplace": _watched(
        "user_id", told="user kind", personal="label place_name address lat lng", quiet="id created_at"
    ),
    "trips.tripshare": _watched(
        "created_by_id", told="trip created_by", personal="token_digest sent_to", quiet="id created_at opened"
    ),
    # Drivers
    "drivers.driver": _watched(
        "user_id",
        told=(
            "user vehicle approval availability is_online licence_expires_on documents_valid_until max_distance_km "
            "min_earnings trip_types accepts_long_distance timezone weekly_hours on_break_until auto_offline_min"
        ),
        personal="licence_number",
        quiet=(
            "id decided_at documents_due_at rating_sum rating_count navigation_app hours_due_at active_at active_lat "
            "active_lng idle_look_at auto_offline_at"
        ),
    ),
    "drivers.vehicle": _watched(told="vehicle_class seats year", personal="make model colour plate", quiet="id"),
    "drivers.driverdocument": _watched(
        "owner_id",
        told="owner kind status expires_on reviewed_at reviewed_by accepted_at ended_at",
        personal="reason content",
        quiet="id uploaded_at",
    ),
    "drivers.driverapplication": _watched(
        "user_id",
        told="user vehicle_class seats year consent_at submitted_at",
        personal="name licence_number make model colour plate",
        quiet="updated_at",
    ),
}

_HISTORY = "itself the history of a change that stands in its own row"
_DISPATCH = "written by dispatch, as an effect of a change"
_SHORT = "codes and links of the minutes or the day in which they work; what they changed is an entry"
_COUNTS: Final = "counts of a day, which the dispatcher takes from what is watched"
_SERVICE = "the service's own, for its work"
NOT_WATCHED: Final[Mapping[str, str]] = {
    "stepper.auditentry": "the log",
    "stepper.auditretention": "read by the triggers of the log",
    "stepper.securityevent": _HISTORY,
    "stepper.restore": _HISTORY,
    "admin.logentry": _HISTORY,
    "trips.triptransition": _HISTORY,
    "trips.tripchange": _HISTORY,
    "drivers.availabilitychange": _HISTORY,
    "drivers.break": "a driver's own; staff only read it",
    "trips.offer": _DISPATCH,
    "trips.dispatchround": _DISPATCH,
    "trips.tripwatch": _DISPATCH,
    "drivers.drivermetrics": _DISPATCH,
    "drivers.driverposition": "ordinary traffic",
    "drivers.trailpoint": "ordinary traffic",
    "trips.appliedcommand": _SERVICE,
    "trips.claim": "who sees to what, for some minutes",
    "trips.driverday": _COUNTS,
    "trips.tripday": _COUNTS,
    "trips.triphour": _COUNTS,
    "trips.tripreason": _COUNTS,
    "trips.reportstate": _COUNTS,
    "realtime.event": _SERVICE,
    "realtime.notification": _SERVICE,
    "realtime.pushsubscription": "a browser's own",
    "realtime.serverbeat": _SERVICE,
    "stepper.daycount": _SERVICE,
    "django_tasks_database.dbtaskresult": _SERVICE,
    "sessions.session": "stepper.accountsession says whose it was",
    "stepper.addresschange": _SHORT,
    "stepper.addresscode": _SHORT,
    "stepper.phonecode": _SHORT,
    "account.emailconfirmation": "nobody writes it",
    "auth.permission": "grows with the code",
    "contenttypes.contenttype": "grows with the code",
}

# Whose data a page of one row shows, where that is more than the row's own person, and of rows that are not watched.
_OF_TRIP = ("trip__organiser_id", "trip__driver__user_id")
SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "trips.trip": ("organiser_id", "driver__user_id"),
    "trips.tripleg": ("driver__user_id", "trip__organiser_id"),
    "trips.staffassignment": ("driver__user_id", "trip__organiser_id"),
    "trips.booking": ("passenger_id",),
    "trips.claim": ("by_id",),
    "trips.rating": ("by_id", "about_id"),
    "trips.tripmessage": ("sender_id", *_OF_TRIP),
    "trips.safetyalert": ("raised_by_id", *_OF_TRIP),
    "trips.triptransition": _OF_TRIP,
    "trips.tripchange": _OF_TRIP,
    "trips.tripwatch": _OF_TRIP,
    "trips.dispatchround": _OF_TRIP,
    "trips.offer": ("driver__user_id", "trip__organiser_id"),
    "drivers.availabilitychange": ("driver__user_id",),
    "drivers.break": ("driver__user_id",),
    "drivers.drivermetrics": ("driver__user_id",),
    "drivers.driverposition": ("driver__user_id",),
    "drivers.trailpoint": _OF_TRIP,
    "realtime.notification": ("user_id",),
    "realtime.pushsubscription": ("user_id",),
    "stepper.securityevent": ("subject_id", "actor_id"),
    "stepper.addresschange": ("user_id",),
    "stepper.addresscode": ("user_id",),
    "stepper.phonecode": ("user_id",),
    "trips.appliedcommand": ("driver__user_id",),
}


def find(model: type[Model]) -> Watched | None:
    return WATCHED.get(model._meta.label_lower)


def shows_people(model: type[Model]) -> bool:
    """Say whether pages of the model's rows show somebody's data."""
    watched = find(model)
    return model._meta.label_lower in SHOWN or (watched is not None and watched.person is not None)


def people_of(row: Model) -> set[int]:
    """Return the accounts whose data a page of the row shows. One query, none where the row itself says it."""
    label = row._meta.label_lower
    watched = WATCHED.get(label)
    paths: Iterable[str] = SHOWN.get(label) or ([watched.person] if watched is not None and watched.person else [])
    own = [path for path in paths if "__" not in path]
    found: set[Any] = {getattr(row, path) for path in own}
    if others := [path for path in paths if "__" in path]:
        read = type(row)._base_manager.filter(pk=row.pk).values_list(*others).first()
        found.update(read or ())
    return {person for person in found if person is not None}
