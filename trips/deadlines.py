"""The dispatcher's deadlines: expire offers, start rounds and waves, match trips, end searches.

Each function reads the rows that are due by the database's clock, locks them and skips rows locked elsewhere, so any
number of dispatchers may run. stepper.server.dispatcher calls them.
"""

import datetime as dt
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from realtime import events, groups
from realtime.outbox import publish_many
from stepper.db.clock import database_now
from stepper.db.transactions import in_transaction, isolate_failures
from stepper.models import DispatchMode, ServiceSettings
from stepper.monitoring import figures, log_ids
from trips import matching
from trips.dispatch import (
    MATCHED_AT_MOST,
    RANKED_AT_LEAST,
    Shortlist,
    create_wave,
    offers_open_at,
    postpone_round,
    run_round,
    shortlist_drivers,
)
from trips.eligibility import Candidate
from trips.ending import end_trip
from trips.models import Offer, Trip, TripQuerySet
from trips.offers import end_waves_if_settled
from trips.policy import Policies, Policy
from trips.states import OPEN, OfferStatus, Role, TripStatus

logger = logging.getLogger("stepper.dispatch")
# Trips whose offers are settled in one transaction.
EXPIRED_AT_ONCE = 100


def _handle_each(verb: Callable[[int], object], trip_ids: Iterable[int]) -> int:
    """Call `verb` for one trip after another, failures isolated; return the number of trips for which it was true."""

    def handle(trip_ids: list[int]) -> int:
        with log_ids.noted(trip_id=trip_ids[0]):
            return bool(verb(trip_ids[0]))

    return sum(isolate_failures(handle, [trip_id]) for trip_id in trip_ids)


# The rows that are due, by the database's clock


def _offers_due() -> QuerySet[Offer]:
    return Offer.objects.due().order_by()


def _trips_searching() -> QuerySet[Trip]:
    return Trip.objects.filter(search_until__gt=Now(), status__in=sorted(OPEN)).order_by()


def _rounds_due() -> QuerySet[Trip]:
    return _trips_searching().filter(next_look_at__lte=Now())


def _searches_expired() -> TripQuerySet:
    return Trip.objects.filter(search_until__lte=Now(), status__in=sorted(OPEN)).order_by()


@functools.cache
def _anything_due_sql() -> tuple[str, tuple[Any, ...]]:
    """Build the query of `is_anything_due` once: building takes longer than running it."""
    parts = [due.values("pk").query.sql_with_params() for due in (_offers_due(), _rounds_due(), _searches_expired())]
    sql = " OR ".join(f"EXISTS ({part})" for part, _params in parts)
    return f"SELECT {sql}", tuple(param for _part, params in parts for param in params)


def is_anything_due() -> bool:
    """Say whether an offer has expired, a round or wave is due, or a search is over; mostly nothing is."""
    with connection.cursor() as cursor:
        cursor.execute(*_anything_due_sql())
        return bool(cursor.fetchone()[0])


def lateness_s() -> float:
    """Return for how many seconds the work that is longest due has been due; 0: nothing is. One index entry each."""
    due = (
        _offers_due().order_by("expires_at").values_list("expires_at", flat=True).first(),
        _rounds_due().order_by("next_look_at").values_list("next_look_at", flat=True).first(),
        _searches_expired().order_by("search_until").values_list("search_until", flat=True).first(),
    )
    since = min((one for one in due if one is not None), default=None)
    return 0.0 if since is None else max(0.0, (database_now() - since).total_seconds())


def expire_due_offers(limit: int = EXPIRED_AT_ONCE) -> int:
    """Expire offers past their deadline; return the number of their trips. Trips locked by others are skipped."""
    trip_ids = list(_offers_due().values_list("trip_id", flat=True).distinct()[:limit])
    return isolate_failures(_expire_offers, trip_ids)


@in_transaction
def _expire_offers(trip_ids: list[int]) -> int:
    """Expire the offers of these trips in one transaction. It skips locked trips, so it cannot be in a deadlock."""
    unlocked = Trip.objects.filter(pk__in=trip_ids).order_by("pk").select_for_update(no_key=True, skip_locked=True)
    claimed = list(unlocked.values_list("pk", flat=True))
    due = list(Offer.objects.due().filter(trip__in=claimed).order_by("pk").values_list("pk", "trip_id", "driver_id"))
    if not due:
        return 0
    Offer.objects.filter(pk__in=[pk for pk, _trip, _driver in due]).update(
        status=OfferStatus.EXPIRED, responded_at=Now(), reason="timeout"
    )
    figures.count_after_commit(figures.OFFERS, len(due), outcome=OfferStatus.EXPIRED.value)
    publish_many(
        (events.OfferExpired(trip_id=trip_id, offer_id=pk, reason="timeout"), groups.driver(driver_id))
        for pk, trip_id, driver_id in due
    )
    expired = {trip_id for _pk, trip_id, _driver in due}
    end_waves_if_settled(expired)
    return len(expired)


def start_due_rounds(limit: int = 50) -> int:
    """Start the rounds and waves that are due; return their number."""
    due = _claim_trips(_rounds_due(), limit)
    if not due:
        return 0
    policies = Policies.current()
    trips = {trip.pk: trip for trip in due}
    policy_of = {trip.pk: policies.of(trip) for trip in due}

    def run_or_postpone(trip_id: int) -> bool:
        trip = trips[trip_id]
        opens_at = offers_open_at(trip, policies.settings)
        if not trip.wave and opens_at > database_now():
            # It was woken or postponed too early. A wave that runs goes on all the same.
            return bool(postpone_round(trip, opens_at))
        return bool(run_round(trip, policy_of[trip_id], settings=policies.settings))

    batched = {trip_id for trip_id, policy in policy_of.items() if policy.mode == DispatchMode.BATCHED}
    handled = _handle_each(run_or_postpone, [trip.pk for trip in due if trip.pk not in batched])
    if batched:
        handled += match_trips(sorted(batched | _claim_waiting(policies)), policies)
    return handled


@in_transaction
def _claim_trips(waiting: QuerySet[Trip], limit: int) -> list[Trip]:
    """Claim trips for this dispatcher for 30 s; if it dies meanwhile, another dispatcher finds them after that."""
    unlocked = waiting.order_by("next_look_at").select_for_update(no_key=True, skip_locked=True, of=("self",))
    trips = list(unlocked[:limit])
    claimed = Trip.objects.filter(pk__in=[trip.pk for trip in trips]).order_by()
    if claimed.update(next_look_at=Now() + dt.timedelta(seconds=30)):
        until = dict(claimed.values_list("pk", "next_look_at"))
        for trip in trips:
            trip.next_look_at = until[trip.pk]
    return trips


# Matching trips and drivers


def _claim_waiting(policies: Policies, limit: int = 500) -> set[int]:
    """Claim the trips that wait to be matched: when one trip's window closes, all are matched with it."""
    window = dt.timedelta(seconds=policies.settings.match_window_s)
    in_window = _trips_searching().filter(next_look_at__gt=Now(), next_look_at__lte=Now() + window)
    waiting = [trip.pk for trip in in_window[:limit] if policies.of(trip).mode == DispatchMode.BATCHED]
    return {trip.pk for trip in _claim_trips(in_window.filter(pk__in=waiting), limit)} if waiting else set()


def match_trips(trip_ids: Sequence[int], policies: Policies | None = None) -> int:
    """Match trips with the drivers around them for the least total distance, and offer each to its driver.

    A trip whose eligible drivers are all matched with other trips waits for the next window. Returns the number of
    trips handled.
    """
    policies = policies or Policies.current()
    settings = policies.settings
    trips = {trip.pk: trip for trip in Trip.objects.filter(pk__in=trip_ids, status__in=sorted(OPEN)).order_by("pk")}
    policy_of = {trip_id: policies.of(trip) for trip_id, trip in trips.items()}
    shortlists = _shortlist_each(trips, policy_of, settings)
    matched = _match_shortlists(shortlists)
    next_window = database_now() + dt.timedelta(seconds=settings.match_window_s)

    def ask_or_postpone(trip_id: int) -> bool:
        shortlist = shortlists[trip_id]
        if not matched[trip_id] and shortlist.eligible:
            postpone_round(trips[trip_id], next_window)
        else:
            create_wave(
                trips[trip_id],
                matched[trip_id],
                shortlist=shortlist,
                policy=policy_of[trip_id],
                settings=settings,
                role=Role.SYSTEM,
                by_id=None,
            )
        return True

    return _handle_each(ask_or_postpone, shortlists)


def _shortlist_each(
    trips: Mapping[int, Trip], policy_of: Mapping[int, Policy], settings: ServiceSettings
) -> dict[int, Shortlist]:
    """Return the shortlist of each trip; empty: it has open offers. A trip whose search failed is left out."""
    answering = set(
        Offer.objects.filter(trip__in=trips, status=OfferStatus.PENDING).order_by().values_list("trip_id", flat=True)
    )
    # As many drivers as trips are enough: each of the other trips takes at most one of them.
    wanted = min(max(len(trips), RANKED_AT_LEAST), MATCHED_AT_MOST)
    shortlists: dict[int, Shortlist] = {}

    def add_shortlist(trip_id: int) -> bool:
        shortlists[trip_id] = (
            Shortlist([], 0.0, True)
            if trip_id in answering
            else shortlist_drivers(trips[trip_id], policy_of[trip_id], settings, wanted)
        )
        return True

    _handle_each(add_shortlist, trips)
    return shortlists


def _match_shortlists(shortlists: Mapping[int, Shortlist]) -> dict[int, list[Candidate]]:
    """Return the driver matched with each trip; an empty list: no driver."""
    eligible = [{one.driver_id: one for one in shortlist.eligible} for shortlist in shortlists.values()]
    matched = matching.match([{pk: one.distance_km for pk, one in found.items()} for found in eligible])
    return {
        trip_id: [found[driver_id]] if driver_id is not None else []
        for trip_id, found, driver_id in zip(shortlists, eligible, matched, strict=True)
    }


def cancel_due_searches(limit: int = 50) -> int:
    """Cancel trips that no driver accepted until `search_until`; return their number."""
    trip_ids = list(_searches_expired().order_by("search_until").values_list("pk", flat=True)[:limit])
    return _handle_each(_cancel_search, trip_ids)


@in_transaction
def _cancel_search(trip_id: int) -> bool:
    """Cancel a trip whose search is over; False: it is not over any more, or the trip is locked elsewhere.

    Where passengers are on the way already (trips.handover) the search goes on: only staff end such a trip.
    """
    trip = (
        _searches_expired()
        .for_page()
        .filter(pk=trip_id)
        .select_for_update(no_key=True, of=("self",), skip_locked=True)
        .first()
    )
    if trip is None:
        return False
    if trip.former_legs:
        patience = dt.timedelta(minutes=ServiceSettings.current().patience_min)
        Trip.objects.filter(pk=trip.pk).update(search_until=Now() + patience)
        return True
    end_trip(trip, TripStatus.CANCELLED, role=Role.SYSTEM, by_id=None, note=_("No driver was found in time."))
    return True
