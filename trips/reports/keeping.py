"""When days are counted: today every few minutes, others when something of them changed, all of them on demand.

What changed is found in the histories: every step of a trip has a row in TripTransition, every other change of what
was booked one in TripChange. Once a day the last weeks are counted again as well, whatever was said of them, and the
first time all days are. A day is a transaction of its own, so nobody waits for long.

Several dispatchers take turns by a claim in the one row of ReportState; whoever died with it is replaced when it ends.
"""

import dataclasses
import datetime as dt
import secrets
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings as django_settings
from django.db.models import Min, Q
from django.db.models.functions import Now
from django.utils.dateparse import parse_datetime

from stepper.db.clock import database_now
from stepper.db.transactions import Stale, in_transaction
from stepper.models import ServiceSettings
from trips.models import ReportState, Trip, TripChange, TripLeg, TripTransition
from trips.states import TripStatus

from .counting import Counted, count_day, write_day
from .days import DAY, bounds, day_of
from .towns import Towns

COUNT_S = 300.0
# The pause while past days are counted one by one.
FILL_ON_S = 0.25
CLAIM = dt.timedelta(minutes=2)
# A transaction may commit after one that took a later id; none takes so long.
SETTLED = dt.timedelta(minutes=2)
CHANGES_AT_ONCE = 2_000
# Past days that one pass counts.
DAYS_AT_ONCE = 5
RECOUNTED_DAYS = 35
# The hour of the service's zone from which on they are counted again, when few trips are booked.
RECOUNT_FROM_H = 3
# After midnight the day before is still counted: ratings can be changed for ten minutes.
_STILL_YESTERDAY_H = 1


@dataclasses.dataclass
class Pass:
    """What one pass found to count, and what it stores of that when it is done."""

    days: set[dt.date]
    columns: dict[str, Any]
    is_full: bool = False


def count_due() -> float:
    """Count the days that are due; return the seconds until the next pass."""
    state = _claim()
    if state is None:
        return COUNT_S
    now, settings = database_now(), ServiceSettings.current()
    found = _find_due(state, now, settings)
    towns = Towns()
    for day in sorted(found.days):
        _write(count_day(day, towns, settings=settings, now=now), state.claim)
    _release(state, found, now)
    return FILL_ON_S if found.is_full else COUNT_S


def rebuild(told: Callable[[dt.date], None] = lambda _day: None) -> None:
    """Have all days counted again, from the first trip on. For the command: where a dispatcher counts, it waits."""
    _prepare()
    ReportState.objects.update(fill_from=_first_day(database_now(), ServiceSettings.current()))
    while True:
        waits_s = count_due()
        state = ReportState.objects.get(pk=1)
        if state.fill_from is None and state.claimed_until is None:
            return
        if state.fill_from is not None:
            told(state.fill_from)
        if waits_s == COUNT_S:
            time.sleep(FILL_ON_S)


def _prepare() -> None:
    ReportState.objects.bulk_create([ReportState(pk=1)], ignore_conflicts=True)


def _claim() -> ReportState | None:
    """Claim the counting for this process; None: another one counts."""
    if not ReportState.objects.exists():
        _prepare()
    token = secrets.token_hex(8)
    unclaimed = Q(claimed_until__isnull=True) | Q(claimed_until__lte=Now())
    mine = ReportState.objects.filter(unclaimed, pk=1).update(claim=token, claimed_until=Now() + CLAIM)
    return ReportState.objects.get(pk=1) if mine else None


def _find_due(state: ReportState, now: dt.datetime, settings: ServiceSettings) -> Pass:
    today = day_of(now)
    kept_from = _kept_from(now, settings)
    found = Pass({today}, {"zone": django_settings.TIME_ZONE})
    fill_from = state.fill_from
    if state.counted_at is None or state.zone != django_settings.TIME_ZONE:
        fill_from = _first_day(now, settings)
        if state.counted_at is None:
            # All of them are counted after this: what changed before is in them.
            found.columns |= _settled_ids(now)
    else:
        _find_changed(state, now, found)
        last = day_of(state.counted_at)
        if last < today - RECOUNTED_DAYS * DAY:
            fill_from = min(fill_from or last, last)
        else:
            found.days |= {last + number * DAY for number in range((today - last).days)}
    hour = _hour(now)
    if hour < _STILL_YESTERDAY_H:
        found.days.add(today - DAY)
    if hour >= RECOUNT_FROM_H and state.recounted_on != today:
        found.columns["recounted_on"] = today
        recount_from = today - RECOUNTED_DAYS * DAY
        fill_from = recount_from if fill_from is None else min(fill_from, recount_from)
    if fill_from is not None:
        fill_from = max(fill_from, kept_from)
        upto = min(fill_from + DAYS_AT_ONCE * DAY, today)
        found.days |= {fill_from + number * DAY for number in range((upto - fill_from).days)}
        found.columns["fill_from"] = upto if upto < today else None
        found.is_full = found.is_full or upto < today
    # What is ahead is counted when its day has come.
    found.days = {day for day in found.days if kept_from <= day <= today}
    return found


def _hour(now: dt.datetime) -> int:
    start, _end = bounds(day_of(now))
    return (now - start) // dt.timedelta(hours=1)


def _kept_from(now: dt.datetime, settings: ServiceSettings) -> dt.date:
    """Return the first day that can be counted: the steps of its trips are kept."""
    return day_of(now - dt.timedelta(days=settings.disputes_kept_days)) + DAY


def _first_day(now: dt.datetime, settings: ServiceSettings) -> dt.date:
    """Return the day of the first trip that can be counted; today where there is none."""
    first = Trip.objects.exclude(status=TripStatus.DRAFT).aggregate(first=Min("departure_at"))["first"]
    today = day_of(now)
    return min(max(day_of(first), _kept_from(now, settings)), today) if first else today


def _settled_ids(now: dt.datetime) -> dict[str, int]:
    """Return the ids of the last rows of both histories that no row with a lower id can follow any more."""
    last = {}
    for name, model in (("transition_id", TripTransition), ("change_id", TripChange)):
        settled = model._base_manager.filter(created_at__lte=now - SETTLED).order_by("-pk")
        last[name] = settled.values_list("pk", flat=True).first() or 0
    return last


def _find_changed(state: ReportState, now: dt.datetime, found: Pass) -> None:
    """Add the days of trips that changed since the last pass, and how far the histories were read."""
    steps = list(
        TripTransition.objects.filter(pk__gt=state.transition_id)
        .order_by("pk")
        .values_list("pk", "created_at", "trip")[:CHANGES_AT_ONCE]
    )
    changes = list(
        TripChange.objects.filter(pk__gt=state.change_id)
        .order_by("pk")
        .values_list("pk", "created_at", "trip", "changes")[:CHANGES_AT_ONCE]
    )
    trip_ids = {row[2] for row in steps} | {row[2] for row in changes}
    found.columns |= {
        "transition_id": _settled([row[:2] for row in steps], state.transition_id, now),
        "change_id": _settled([row[:2] for row in changes], state.change_id, now),
    }
    # Where all of them are new, there is nothing to go on with yet.
    found.is_full = (len(steps) == CHANGES_AT_ONCE and found.columns["transition_id"] > state.transition_id) or (
        len(changes) == CHANGES_AT_ONCE and found.columns["change_id"] > state.change_id
    )
    for _pk, _at, _trip_id, columns in changes:
        for text in columns.get("departure_at", ()):
            instant = parse_datetime(str(text))
            if instant is not None:
                found.days.add(day_of(instant))
    handed_over = set()
    ids = sorted(trip_ids)
    for at in range(0, len(ids), 500):
        rows = Trip.objects.filter(pk__in=ids[at : at + 500]).order_by()
        for pk, departure_at, completed_at, legs in rows.values_list(
            "pk", "departure_at", "completed_at", "former_legs"
        ):
            found.days |= {day_of(instant) for instant in (departure_at, completed_at) if instant}
            if legs:
                handed_over.add(pk)
    for departure_at, ended_at in TripLeg.objects.filter(trip__in=handed_over).values_list("departure_at", "ended_at"):
        # The trip departs at the hand-over until it ends, then again when it did (trips.handover).
        found.days |= {day_of(departure_at), day_of(ended_at)}


def _settled(rows: list[tuple[int, dt.datetime]], last: int, now: dt.datetime) -> int:
    """Return the id up to which every row is committed. `rows`: (id, written at), by ascending id."""
    return max((pk for pk, at in rows if at <= now - SETTLED), default=last)


@in_transaction
def _write(counted: Counted, claim: str) -> None:
    """Write a day, unless another process has taken over meanwhile. Raises Stale."""
    mine = ReportState.objects.filter(pk=1, claim=claim).update(claimed_until=Now() + CLAIM)
    if not mine:
        raise Stale
    write_day(counted)


def _release(state: ReportState, found: Pass, now: dt.datetime) -> None:
    mine = ReportState.objects.filter(pk=1, claim=state.claim)
    mine.update(claimed_until=None, counted_at=now, **found.columns)
