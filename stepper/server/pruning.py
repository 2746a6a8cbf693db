"""How long the rows of each table are kept, and their deletion afterwards, a batch at a time.

`RULES` is the one list of what is kept how long, `WITHOUT_RULE` says why the other tables need none. What it means for
those who run the service is in docs/operations.md, "How long rows are kept".

- A batch reads at most `BATCH` rows by an index and deletes those of them that go, in a transaction of its own. So it
  holds SQLite's write lock for some milliseconds, and a process that dies in between leaves nothing half done.
- Few tables have an index on the age of their rows: it would be written with every row and be of use here only. The
  others are walked through by ascending key, which is their age, from where the last batch ended.
- How far a walk has come is in memory only. It begins anew with the process and once a day; that finds rows that were
  still needed when the walk passed them, such as those of a trip that had not ended.
- Several dispatchers may prune at once: a row that another one has locked is skipped.
"""

import dataclasses
import datetime as dt
import enum
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import DEFAULT_DB_ALIAS, models
from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from drivers.models import Approval, AvailabilityChange, Break, Driver, DriverApplication, DriverDocument, TrailPoint
from realtime.models import Event, Notification, PushSubscription, ServerBeat
from stepper.audit.context import Actor
from stepper.audit.writing import ROWS, record
from stepper.db.transactions import in_transaction
from stepper.models import (
    AccountSession,
    AddressChange,
    AddressCode,
    AuditAction,
    DayCount,
    PhoneCode,
    SecurityEvent,
    ServiceSettings,
)
from trips.models import (
    AppliedCommand,
    Claim,
    DispatchRound,
    Offer,
    SafetyAlert,
    StaffAssignment,
    Trip,
    TripChange,
    TripMessage,
    TripShare,
    TripTransition,
    TripWatch,
)
from trips.repeats import KEPT_FOR
from trips.states import FINISHED, OfferStatus

# Rows that one batch reads, and so the most that it deletes.
BATCH = 1_000
PRUNE_S: Final = 600.0
# The pause after full batches; at least as long as they took, so that others have half of SQLite's time to write.
PRUNE_ON_S: Final = 0.25
WALK_S: Final = 24 * 3600.0
# The largest `security_log_kept_days` that staff can set.
SECURITY_LOG_LONGEST: Final = dt.timedelta(days=3650)


class Search(enum.Enum):
    """How a batch finds rows that are old enough."""

    # By the index on `since`, the oldest first.
    AGE = enum.auto()
    # By ascending key, which is the order of `since`, up to the first row that is not old enough.
    KEY = enum.auto()
    # By ascending key through all rows: keys say nothing about `since`.
    ALL_KEYS = enum.auto()


@dataclasses.dataclass(frozen=True)
class Rule:
    """Which rows of a table go: those whose `since` is more than `kept` ago and that fulfil `where`.

    `where` is called with the instant `kept` ago.
    """

    model: type[models.Model]
    since: str
    kept: Callable[[ServiceSettings], dt.timedelta]
    where: Callable[[dt.datetime], Q] = lambda _cutoff: Q()
    search: Search = Search.KEY

    def condition(self, cutoff: dt.datetime) -> Q:
        """Return the condition on the rows that go."""
        return self.is_old(cutoff) & self.where(cutoff)

    def is_old(self, cutoff: dt.datetime) -> Q:
        return Q(**{f"{self.since}__lt": cutoff})


def _days(*names: str) -> Callable[[ServiceSettings], dt.timedelta]:
    """Return a function that reads a setting in days; of several settings the largest."""
    return lambda settings: dt.timedelta(days=max(getattr(settings, name) for name in names))


def _security_log_kept(settings: ServiceSettings) -> dt.timedelta:
    """Return how long the security log is kept: all of it for a day after any change of the settings.

    Whoever shortens it to hide something would otherwise have it deleted before anybody sees the change in it.
    """
    changed_at = settings.updated_at
    if changed_at is not None and timezone.now() - changed_at < dt.timedelta(days=1):
        return SECURITY_LOG_LONGEST
    return dt.timedelta(days=settings.security_log_kept_days)


def _at_once(_settings: ServiceSettings) -> dt.timedelta:
    return dt.timedelta()


def _trip_ended(cutoff: dt.datetime) -> Q:
    """Return the condition that the row's trip ended before the instant; all rows of a trip go at the same time."""
    still_kept = Q(trip__completed_at__gte=cutoff) | Q(trip__cancelled_at__gte=cutoff)
    return Q(trip__status__in=sorted(FINISHED)) & ~still_kept


def _trip_without_driver_ended(cutoff: dt.datetime) -> Q:
    """Return the condition that the row's trip ended before the instant and never had a driver."""
    accepted = Offer.objects.filter(trip=OuterRef("trip"), status=OfferStatus.ACCEPTED).order_by()
    assigned = StaffAssignment.objects.filter(trip=OuterRef("trip")).order_by()
    return _trip_ended(cutoff) & Q(trip__driver__isnull=True) & ~Q(Exists(accepted)) & ~Q(Exists(assigned))


def _session_ended(cutoff: dt.datetime) -> Q:
    """Return the condition that there is no session any more, or that it expired before the instant."""
    living = Session.objects.filter(session_key=OuterRef("session_id"), expire_date__gte=cutoff)
    return ~Q(Exists(living))


def _of_no_open_trip(cutoff: dt.datetime) -> Q:
    """Return the condition that there is no such trip any more, or that it ended before the instant."""
    ended_before = Q(completed_at__lt=cutoff) | Q(cancelled_at__lt=cutoff)
    still_open = Trip.objects.filter(pk=OuterRef("trip_id")).exclude(Q(status__in=sorted(FINISHED)) & ended_before)
    return ~Q(Exists(still_open))


def _of_no_driver(column: str) -> Callable[[dt.datetime], Q]:
    """Return the condition that the user in `column` was never approved, and staff decided nothing since the instant.

    An approval is suspended and never rejected, so who is pending or rejected has not driven.
    """

    def never_approved(cutoff: dt.datetime) -> Q:
        approved = Q(approval__in=[Approval.APPROVED, Approval.SUSPENDED])
        kept = Driver.objects.filter(approved | Q(decided_at__gte=cutoff), user=OuterRef(column))
        return ~Q(Exists(kept))

    return never_approved


# The instants compared are those of this machine, as they always were for rounds and trails: the least time is a day.
RULES: Final[Sequence[Rule]] = (
    # What a dispute needs. Transitions say which part of a trail a passenger may see, so they stay as long as trails.
    Rule(TripTransition, "created_at", _days("disputes_kept_days", "trail_kept_days"), _trip_ended),
    Rule(Offer, "created_at", _days("disputes_kept_days", "offers_kept_days", "rounds_kept_days"), _trip_ended),
    # With a trip's offers, which say whether it had a driver. Those of before there were any came all at once.
    Rule(StaffAssignment, "assigned_at", _days("disputes_kept_days", "offers_kept_days"), _trip_ended, Search.ALL_KEYS),
    Rule(TripChange, "created_at", _days("disputes_kept_days"), _trip_ended),
    Rule(TripMessage, "sent_at", _days("messages_kept_days"), _trip_ended),
    Rule(SafetyAlert, "raised_at", _days("disputes_kept_days"), _trip_ended),
    Rule(LogEntry, "action_time", _days("disputes_kept_days")),
    Rule(TrailPoint, "recorded_at", _days("trail_kept_days")),
    # Why a driver did not get a trip (trips.explain) is read from rounds, offers and changes of availability.
    Rule(DispatchRound, "created_at", _days("rounds_kept_days")),
    Rule(Offer, "created_at", _days("offers_kept_days", "rounds_kept_days"), _trip_without_driver_ended),
    Rule(AvailabilityChange, "created_at", _days("working_time_kept_days", "rounds_kept_days")),
    # A break that is planned or running has no `ended_at`.
    Rule(Break, "ended_at", _days("working_time_kept_days"), search=Search.ALL_KEYS),
    # One that was accepted and replaced says what a driver had at the time of a trip.
    Rule(DriverDocument, "ended_at", _days("disputes_kept_days"), search=Search.ALL_KEYS),
    # Of somebody who began to apply and never did, or was not approved.
    Rule(DriverDocument, "uploaded_at", _days("applications_kept_days"), _of_no_driver("owner"), Search.ALL_KEYS),
    Rule(DriverApplication, "updated_at", _days("applications_kept_days"), _of_no_driver("user"), Search.ALL_KEYS),
    Rule(TripWatch, "trip__ends_at", _days("watches_kept_days"), _trip_ended, Search.ALL_KEYS),
    Rule(Notification, "created_at", _days("notifications_kept_days")),
    Rule(
        Notification,
        "created_at",
        _days("read_notifications_kept_days"),
        lambda cutoff: Q(read_at__lt=cutoff),
    ),
    # Phones do not send what waited for longer.
    Rule(AppliedCommand, "created_at", lambda _settings: KEPT_FOR),
    # `resume` refuses cursors of clients that are older, so nobody misses what is deleted.
    Rule(
        Event,
        "created_at",
        lambda settings: dt.timedelta(hours=settings.event_log_hours),
        lambda _cutoff: Q(published_at__isnull=False),
        Search.AGE,
    ),
    Rule(SecurityEvent, "at", _security_log_kept, search=Search.AGE),
    # Deleted with the end of the trip, but for those of trips that a server of an earlier release has ended.
    Rule(TripShare, "created_at", _at_once, _of_no_open_trip, Search.ALL_KEYS),
    # Worthless once they have expired.
    Rule(Session, "expire_date", _at_once, search=Search.AGE),
    # Also of sessions that a server of an earlier release has deleted.
    Rule(AccountSession, "last_seen_at", _at_once, _session_ended, Search.ALL_KEYS),
    # Whether they were done or not: a mail that has waited so long has expired with its link or code.
    Rule(DBTaskResult, "enqueued_at", lambda _settings: dt.timedelta(days=1)),
    Rule(PushSubscription, "created_at", _at_once, _session_ended, Search.ALL_KEYS),
    Rule(AddressChange, "expires_at", _at_once, search=Search.ALL_KEYS),
    Rule(AddressCode, "expires_at", _at_once, search=Search.ALL_KEYS),
    Rule(PhoneCode, "expires_at", _at_once, search=Search.ALL_KEYS),
    Rule(DayCount, "closes_at", _at_once, search=Search.ALL_KEYS),
    # Over by time; the operations room ends those of what is solved at once (trips.room.claims).
    Rule(
        Claim,
        "claimed_at",
        lambda settings: dt.timedelta(minutes=settings.claim_kept_min),
        search=Search.ALL_KEYS,
    ),
    # One row for each process that was a dispatcher.
    Rule(ServerBeat, "beat_at", lambda _settings: dt.timedelta(days=1), search=Search.ALL_KEYS),
)

_ACCOUNTS = "grows with the accounts; one that its owner deletes stays without a name"
_TRIPS = "a trip, what was paid for it and how it was rated are never deleted; driver's earnings are read from them"
_DRIVERS = "one row a driver"
_REPORTS = "counts of a day that reports are read from for years, with no person in them but the driver by number"
_STAFF = "staff write a few of them"
WITHOUT_RULE: Final = {
    "stepper.User": _ACCOUNTS,
    "stepper.User_groups": _ACCOUNTS,
    "stepper.User_user_permissions": _ACCOUNTS,
    "account.EmailAddress": _ACCOUNTS,
    "mfa.Authenticator": _ACCOUNTS,
    "account.EmailConfirmation": "nobody writes it: the link carries what it says",
    "trips.Trip": _TRIPS,
    "trips.Booking": _TRIPS,
    "trips.Rating": _TRIPS,
    "trips.TripLeg": _TRIPS,
    "trips.SavedPlace": "a dozen an account at most; they go with it",
    "drivers.Driver": _ACCOUNTS,
    "drivers.Vehicle": _ACCOUNTS,
    "drivers.DriverMetrics": _DRIVERS,
    "drivers.DriverPosition": _DRIVERS,
    "trips.TripDay": _REPORTS,
    "trips.TripHour": _REPORTS,
    "trips.TripReason": _REPORTS,
    "trips.DriverDay": _REPORTS,
    "trips.ReportState": "one row",
    "trips.DispatchRule": _STAFF,
    "trips.PickupArea": _STAFF,
    "trips.Place": "towns, airports and sights: staff and imports write them, and they do not age",
    "trips.Wish": _STAFF,
    "auth.Group": _STAFF,
    "auth.Group_permissions": _STAFF,
    "stepper.AuditEntry": "whole months go by `stepper.audit.retention`, as the database lets nobody else delete them",
    "stepper.AuditRetention": "deleted in the transaction that writes it",
    "stepper.ServiceSettings": "one row",
    "stepper.Restore": "one row for each time a backup was put in place",
    "auth.Permission": "grows with the code",
    "contenttypes.ContentType": "grows with the code",
}


@dataclasses.dataclass
class Walk:
    """How far the rows of a rule were searched, and when the next batch is due, by the pruner's clock."""

    rule: Rule
    # The highest key that needs no look before the walk begins anew.
    after: Any
    due_at: float
    restarts_at: float
    # Rows that went since it began.
    deleted: int = 0


class Pruner:
    """Deletes what is no longer kept, for one process. Threads must not share it. `clock` counts seconds."""

    def __init__(self, rules: Sequence[Rule] = RULES, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        now = clock()
        self._walks = [Walk(rule, _before_all_keys(rule.model), now, now + WALK_S) for rule in rules]

    def prune_due(self) -> float:
        """Run one batch of each rule that is due; return the seconds until the next one is.

        A rule that fails is not due for a while, so the next call goes on with the others.
        """
        now, started_at, settings = timezone.now(), self._clock(), None
        full = []
        for walk in self._walks:
            if walk.due_at > started_at:
                continue
            walk.due_at = started_at + PRUNE_S
            if walk.restarts_at <= started_at:
                _log(walk)
                walk.after, walk.restarts_at = _before_all_keys(walk.rule.model), started_at + WALK_S
            settings = settings or ServiceSettings.current()
            if prune_batch(walk, now, settings):
                full.append(walk)
        ended_at = self._clock()
        for walk in full:
            walk.due_at = ended_at + max(PRUNE_ON_S, ended_at - started_at)
        return max(0.0, min(walk.due_at for walk in self._walks) - ended_at)


def _log(walk: Walk) -> None:
    """Write to the audit log how many rows of a table went in a day; what a process ends with is not counted."""
    if walk.deleted:
        label, fields = walk.rule.model._meta.label_lower, {ROWS: [walk.deleted, None]}
        record(Actor(None, "", "dispatcher: old rows"), AuditAction.PRUNE, model=label, fields=fields)
        walk.deleted = 0


def prune_batch(walk: Walk, now: dt.datetime, settings: ServiceSettings) -> bool:
    """Read the next batch of a rule and delete the rows that go; return whether there may be more at once."""
    rule = walk.rule
    cutoff = now - rule.kept(settings)
    if rule.search is Search.AGE:
        oldest = _rows(rule).filter(rule.condition(cutoff)).order_by(rule.since)
        keys = list(oldest.values_list("pk", flat=True)[:BATCH])
        if keys:
            walk.deleted += _delete(rule, keys, cutoff)
        return len(keys) == BATCH
    rows = list(read_keys(walk, cutoff))
    keys = []
    for key, is_old, goes in rows:
        if rule.search is Search.KEY and not is_old:
            # The next batch begins with this row, which will be old by then.
            break
        walk.after = key
        if goes:
            keys.append(key)
    if keys:
        walk.deleted += _delete(rule, keys, cutoff)
    return len(rows) == BATCH and walk.after == rows[-1][0]


def read_keys(walk: Walk, cutoff: dt.datetime) -> QuerySet[Any, tuple[Any, bool | None, bool | None]]:
    """Return the query for a walk's next rows: their keys, whether they are old enough, and whether they go."""
    rule = walk.rule
    is_old = ExpressionWrapper(rule.is_old(cutoff), output_field=BooleanField())
    goes = ExpressionWrapper(rule.condition(cutoff), output_field=BooleanField())
    rows = _rows(rule).filter(pk__gt=walk.after).order_by("pk").annotate(is_old=is_old, goes=goes)
    return rows.values_list("pk", "is_old", "goes")[:BATCH]


@in_transaction
def _delete(rule: Rule, keys: list[Any], cutoff: dt.datetime) -> int:
    """Delete those of the rows that still go: one may have changed since it was read. Return how many.

    One statement without signals, as nobody waits for these rows: Django's own deletion would read a thousand expired
    sessions and announce each, which on PostgreSQL takes three times as long.
    """
    mine = _rows(rule).filter(rule.condition(cutoff), pk__in=keys).order_by()
    locked = list(mine.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True))
    return _rows(rule).filter(pk__in=locked)._raw_delete(DEFAULT_DB_ALIAS) if locked else 0


def _rows(rule: Rule) -> QuerySet[Any]:
    return rule.model._base_manager.all()


def _before_all_keys(model: type[models.Model]) -> Any:
    match model._meta.pk:
        case models.CharField():
            return ""
        case models.UUIDField():
            return uuid.UUID(int=0)
    return 0
