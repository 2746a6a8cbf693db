"""Everything the product holds about one person, as JSON that they keep.

A section is a table: all of its columns but those that would open something or are somebody else's. A new table that
names accounts or drivers is a new section, or a line in `WITHOUT` with the reason; `tests/stepper/test_export.py` fails
for one that is neither.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from typing import Any, Final

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.sessions.backends.base import SessionBase
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import BinaryField, Model, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from drivers.models import (
    AvailabilityChange,
    Break,
    Driver,
    DriverApplication,
    DriverDocument,
    DriverMetrics,
    DriverPosition,
    Vehicle,
)
from realtime.models import STAFF_PAGES, Notification, PushSubscription
from realtime.push.endpoints import host_of
from stepper import limits, security_log
from stepper.accounts.confirmation import require_confirmed
from stepper.accounts.person import Person
from stepper.audit.context import Actor, find_actor
from stepper.audit.writing import record
from stepper.errors import NotPermitted
from stepper.models import (
    AccountSession,
    AddressChange,
    AddressCode,
    AuditAction,
    AuditEntry,
    PhoneCode,
    SecurityEvent,
    SecurityEventCode,
    User,
)
from trips.models import (
    Booking,
    Offer,
    PositionOf,
    Rating,
    SafetyAlert,
    SavedPlace,
    StaffAssignment,
    Trip,
    TripChange,
    TripLeg,
    TripMessage,
    TripShare,
    TripTransition,
)
from trips.states import Role

# Of the file as a whole: a program that reads it can tell what to expect.
FORMAT: Final = 1
# Rows of one section, the newest; it bounds what one request costs.
MOST_ROWS: Final = 10_000
EXPORTS_PER_HOUR: Final = 5
# Of one member of staff: requests come by letter, and nobody answers hundreds a day.
EXPORTS_BY_STAFF_PER_HOUR: Final = 20
# The permission of staff.
EXPORT: Final = "stepper.export_person"

# Of a trip somebody else booked: who that is and what they wrote is theirs.
_OF_THE_PASSENGER = (
    "organiser",
    "traveller_name",
    "traveller_phone",
    "note",
    "pickup_address",
    "dropoff_address",
    "stops",
    "wishes",
    "boarding_code",
    # Somebody who cancels because of the driver must not fear that they read it.
    "cancel_code",
    "cancel_reason",
)
_OF_DISPATCH = ("request_digest", "watch_at", "pickup_cell", "wave", "reach_km", "next_look_at")


@dataclasses.dataclass(frozen=True)
class Section:
    """Rows of one table. `hidden`: columns that are left out; `about`: which columns say whose a row is."""

    name: str
    model: type[Model]
    rows: Callable[[Person], Q]
    about: tuple[str, ...]
    hidden: tuple[str, ...] = ()
    # What is written in place of a column: a function of its value.
    instead: dict[str, Callable[[Any], Any]] = dataclasses.field(default_factory=dict)
    # Takes out of a row what is somebody else's in some rows alone.
    only_own: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row

    def columns(self) -> list[str]:
        """Return the columns that are written; never one of binary content."""
        return [
            field.attname
            for field in self.model._meta.concrete_fields
            if field.name not in self.hidden and not isinstance(field, BinaryField)
        ]

    def read(self, person: Person) -> QuerySet[Any]:
        return self.model._base_manager.filter(self.rows(person)).order_by("-pk")


def _of_user(column: str) -> Callable[[Person], Q]:
    return lambda person: Q(**{column: person.user_id})


def _of_driver(column: str) -> Callable[[Person], Q]:
    # Nobody has the id 0: an account that does not drive has no rows.
    return lambda person: Q(**{column: person.driver_id or 0})


def _position_of_caller(call: dict[str, Any]) -> dict[str, Any]:
    """Leave a driver's position out, which staff got with a call that had none of its own."""
    return call if call["position_of"] == PositionOf.SENDER else call | {"lat": None, "lng": None}


def _name_alone(data: dict[str, Any]) -> dict[str, Any]:
    return {"name": data["name"]} if "name" in data else {}


def _not_as_staff(person: Person) -> Q:
    """What somebody did to others' trips as staff is about those, and has their names and numbers."""
    return Q(by=person.user_id) & ~Q(role=Role.STAFF)


def _not_for_staff(person: Person) -> Q:
    """What staff were told is about others; who is staff no longer must not read it any more."""
    return Q(user=person.user_id) & ~Q(action_url__startswith=STAFF_PAGES)


SECTIONS: Final[tuple[Section, ...]] = (
    Section(
        "account",
        User,
        _of_user("pk"),
        (),
        hidden=("password", "session_binding", "phone_verified"),
        instead={"phone": lambda phone: str(phone) if phone else None},
    ),
    Section("email_addresses", EmailAddress, _of_user("user"), ("user",)),
    Section("email_changes", AddressChange, _of_user("user"), ("user",), hidden=("password_digest", "token_digest")),
    Section("email_codes", AddressCode, _of_user("user"), ("user",), hidden=("code_digest",)),
    Section("phone_codes", PhoneCode, _of_user("user"), ("user",), hidden=("token_digest", "code_digest")),
    # Of the keys and secrets only what a passkey is called.
    Section("second_factors", Authenticator, _of_user("user"), ("user",), instead={"data": _name_alone}),
    Section("sessions", AccountSession, _of_user("user"), ("user",), hidden=("session", "auth_hash")),
    Section("security_log", SecurityEvent, _of_user("subject"), ("subject",), hidden=("login_digest", "actor")),
    # That staff looked at or changed something of theirs, and when; not who did, nor what was about others, too.
    Section(
        "seen_and_changed_by_staff",
        AuditEntry,
        _of_user("person"),
        ("person",),
        hidden=("actor", "address", "via", "object_id", "fields", "merge_key"),
    ),
    Section("saved_places", SavedPlace, _of_user("user"), ("user",)),
    Section(
        "trips_booked", Trip, _of_user("organiser"), ("organiser",), hidden=(*_OF_DISPATCH, "driver", "request_key")
    ),
    Section("bookings", Booking, _of_user("passenger"), ("passenger",)),
    Section("share_links", TripShare, _of_user("created_by"), ("created_by",), hidden=("token_digest",)),
    Section("ratings_given", Rating, _of_user("by"), ("by",), hidden=("about",)),
    # What was said of them is for staff: whoever reads it knows who it was.
    Section("ratings_received", Rating, _of_user("about"), ("about",), hidden=("by", "comment", "tags")),
    Section("trip_changes", TripChange, _not_as_staff, ("by",)),
    Section(
        "messages_written",
        TripMessage,
        _of_user("sender"),
        ("sender",),
        # Whoever reports a message must not fear that its sender learns of it.
        hidden=("driver", "key", "reported_at", "hidden_by"),
    ),
    Section(
        "calls_for_help",
        SafetyAlert,
        _of_user("raised_by"),
        ("raised_by",),
        hidden=("handled_by",),
        only_own=_position_of_caller,
    ),
    Section("trip_steps", TripTransition, _not_as_staff, ("by",)),
    Section("notifications", Notification, _not_for_staff, ("user",)),
    Section(
        "push_subscriptions",
        PushSubscription,
        _of_user("user"),
        ("user",),
        hidden=("session", "p256dh", "auth"),
        # Whoever knows the whole address can try to send there.
        instead={"endpoint": host_of},
    ),
    Section("driver", Driver, _of_driver("pk"), ("user",)),
    Section("vehicle", Vehicle, _of_driver("driver"), ()),
    Section("driver_application", DriverApplication, _of_user("user"), ("user",)),
    Section("driver_documents", DriverDocument, _of_user("owner"), ("owner",), hidden=("reviewed_by",)),
    Section("driver_metrics", DriverMetrics, _of_driver("driver"), ("driver",)),
    Section("driver_position", DriverPosition, _of_driver("driver"), ("driver",), hidden=("cell",)),
    Section("availability", AvailabilityChange, _of_driver("driver"), ("driver",), hidden=("by",)),
    Section("breaks", Break, _of_driver("driver"), ("driver",)),
    Section("offers", Offer, _of_driver("driver"), ("driver",)),
    # What staff noted is for staff.
    Section(
        "assignments_by_staff",
        StaffAssignment,
        _of_driver("driver"),
        ("driver",),
        hidden=("assigned_by", "ended_by", "reason", "end_reason", "warnings"),
    ),
    # With what was earned of each.
    Section(
        "trips_driven",
        Trip,
        _of_driver("driver"),
        ("driver",),
        hidden=(*_OF_DISPATCH, *_OF_THE_PASSENGER, "request_key"),
    ),
    Section("legs_driven", TripLeg, _of_driver("driver"), ("driver",), hidden=("from_address", "to_address")),
)

# Columns that name an account or a driver and are in no section, and why.
WITHOUT: Final = {
    "stepper.User_groups.user": "rights of staff, who ask a colleague",
    "stepper.User_user_permissions.user": "rights of staff, who ask a colleague",
    "stepper.AuditEntry.actor": "what somebody did as staff is about others",
    "stepper.SecurityEvent.actor": "what somebody did to others' accounts is about those",
    "drivers.DriverDocument.reviewed_by": "what staff decided is about the document's owner",
    "drivers.AvailabilityChange.by": "who switched a driver is about that driver",
    "trips.DriverDay.driver": "sums of the driver's trips, ratings and hours, which are in it themselves",
    "trips.StaffAssignment.assigned_by": "to whom staff gave a trip is about that driver",
    "trips.StaffAssignment.ended_by": "whom staff took a trip off is about that driver",
    "trips.Claim.by": "who of the staff sees to what, for some minutes",
    "trips.SafetyAlert.handled_by": "what staff did about a call is about who called",
    "trips.TripMessage.hidden_by": "what staff did with a message is about who wrote it",
    "trips.TripMessage.driver": "who was written to; the words are those of who wrote them",
    "admin.LogEntry.user": "what staff did is about others' rows",
    "trips.TripWatch.driver": "what the dispatcher remembers of a trip for a month: times that are in the trip's steps",
    "trips.AppliedCommand.driver": "keys of commands that were sent twice, for two days",
    "drivers.TrailPoint.driver": "where the vehicle was each second of a trip, up to a million rows; staff hand it out",
}


def export_account(user: User, session: SessionBase) -> bytes:
    """Return what is held about a user who asks for it in this session, as JSON in UTF-8.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`
        TooManyRequests: more than EXPORTS_PER_HOUR
    """
    require_confirmed(session, user)
    limits.spend("account.export", user.pk, most=EXPORTS_PER_HOUR, window_s=limits.HOUR_S)
    driver_id = Driver.objects.filter(user=user).values_list("pk", flat=True).first()
    written = write(Person(user_id=user.pk, driver_id=driver_id, language=user.offered_language))
    security_log.count(SecurityEventCode.DATA_EXPORTED, subject_id=user.pk)
    return written


def export_person(staff: User, user_id: int) -> bytes:
    """Return what is held about somebody who asked staff for it, as they would get it themselves.

    The caller has had the member of staff prove themselves once more.

    Raises:
        NotPermitted: auth.forbidden; account.is_staff, of a colleague, unless by a superuser
        TooManyRequests: more than EXPORTS_BY_STAFF_PER_HOUR
    """
    staff.require_staff(EXPORT)
    user = User.objects.get(pk=user_id)
    if (user.is_staff or user.is_superuser) and user.pk != staff.pk and not staff.is_superuser:
        raise NotPermitted("account.is_staff", _("Only a superuser exports the data of a member of staff."))
    limits.spend("account.export_by_staff", staff.pk, most=EXPORTS_BY_STAFF_PER_HOUR, window_s=limits.HOUR_S)
    driver_id = Driver.objects.filter(user=user).values_list("pk", flat=True).first()
    written = write(Person(user_id=user.pk, driver_id=driver_id, language=user.offered_language))
    security_log.count(SecurityEventCode.DATA_EXPORTED, subject_id=user.pk, actor_id=staff.pk)
    actor = find_actor() or Actor(staff.pk, "", "")
    record(actor, AuditAction.EXPORT, model=User._meta.label_lower, object_id=user.pk, person_id=user.pk)
    return written


def write(person: Person) -> bytes:
    """Write the sections; `left_out` says of which the oldest rows are missing."""
    found: dict[str, Any] = {"format": FORMAT, "made_at": timezone.now()}
    left_out = []
    for section in SECTIONS:
        rows = list(section.read(person).values(*section.columns())[: MOST_ROWS + 1])
        if len(rows) > MOST_ROWS:
            left_out.append(section.name)
        found[section.name] = [_replaced(section, row) for row in rows[:MOST_ROWS]]
    found["left_out"] = left_out
    return json.dumps(found, cls=_Encoder, ensure_ascii=False, indent=1).encode()


def _replaced(section: Section, row: dict[str, Any]) -> dict[str, Any]:
    return section.only_own(row | {name: replace(row[name]) for name, replace in section.instead.items()})


class _Encoder(DjangoJSONEncoder):
    """As Django writes JSON, but instants in UTC and to the second's fraction that is stored."""

    def default(self, value: Any) -> Any:
        return value.astimezone(dt.UTC).isoformat() if isinstance(value, dt.datetime) else super().default(value)
