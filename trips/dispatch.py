"""Rounds and waves: which drivers a trip is offered to, and when.

A round asks the drivers around the pickup wave by wave: a wave asks `Policy.size` drivers together, within a ring, and
the next one starts when all have answered or run out of time. When nobody is left, the trip is unfilled until the next
round, in which every driver may be asked again except those who declined the trip as it is now (trips.changes) or
released it. In the same round only a driver whose offer was withdrawn because they could not take it (offline, filters,
vehicle) is asked again, once.

Everything is decided in the database, so any number of dispatchers may run, be killed and come back. Drivers are
searched and judged without locks; those to be asked are then locked, judged again and asked. Lock order everywhere:
driver, trip, offers, bookings.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.models import Count, Sum
from django.db.models.functions import Now
from msgspec import Struct

from drivers import search
from realtime import groups
from realtime.outbox import publish_many
from stepper.db.clock import database_now, read_database_now
from stepper.db.transactions import in_transaction
from stepper.models import DispatchMode, ServiceSettings
from stepper.monitoring import figures
from trips import eta, pricing
from trips.cards import offer_card
from trips.driver_facts import lock_drivers
from trips.eligibility import LATER, OFFERED, Candidate, assess, tally
from trips.models import NO_WAVE, DispatchRound, Offer, Trip
from trips.policy import Policies, Policy
from trips.states import OPEN, OfferStatus, Role, TripStatus

# A search goes on until it has found this many eligible drivers, so that the weights have several to choose from.
RANKED_AT_LEAST = 10
# A matching of several trips searches at most this many eligible drivers for each.
MATCHED_AT_MOST = 100
# A search ends after this many drivers, eligible or not.
_MAX_CONSIDERED = 2000


class RoundResult(Struct, frozen=True):
    """What a search for drivers did: `eligible_drivers` could be asked, `drivers_notified` were."""

    drivers_notified: int = 0
    eligible_drivers: int = 0
    considered: int = 0
    reasons: dict[str, int] = {}


class Shortlist(NamedTuple):
    """Drivers around a pickup, judged, the nearest first."""

    candidates: list[Candidate]
    looked_km: float
    # All drivers within the search radius are among the candidates; False: the search ended earlier.
    covers_radius: bool

    @property
    def eligible(self) -> list[Candidate]:
        return [one for one in self.candidates if one.reason is None]


def start_round(
    trip_id: int, role: Role = Role.SYSTEM, *, by_id: int | None = None, at_once: bool = False
) -> RoundResult:
    """Search drivers around the pickup and offer them the trip; they join the wave that runs.

    With nobody to ask and no open offers the trip is `unfilled` until `next_look_at`. A trip that somebody took or
    cancelled meanwhile stays as it is. When the search runs:

    - now, if `at_once`;
    - at `offers_open_at`, if that is later than now;
    - when the matching window closes, if the policy's mode is BATCHED;
    - now in all other cases.
    """
    policies = Policies.current()
    trip = Trip.objects.filter(pk=trip_id).first()
    if trip is None or trip.status not in OPEN:
        return RoundResult()
    policy = policies.of(trip)
    if not at_once:
        now = database_now()
        opens_at = offers_open_at(trip, policies.settings)
        if opens_at > now:
            return postpone_round(trip, opens_at)
        if policy.mode == DispatchMode.BATCHED:
            return postpone_round(trip, now + dt.timedelta(seconds=policies.settings.match_window_s))
    return run_round(trip, policy, settings=policies.settings, role=role, by_id=by_id)


def offers_open_at(trip: Trip, settings: ServiceSettings) -> dt.datetime:
    """Return the earliest time at which drivers are asked about the trip."""
    ahead = dt.timedelta(hours=settings.offer_ahead_h)
    return trip.departure_at - ahead if ahead else trip.created_at


def first_search_at(departure_at: dt.datetime, settings: ServiceSettings, now: dt.datetime) -> dt.datetime:
    """Return when a trip that leaves then is first searched: now, or when drivers are asked about it.

    What opens a trip stores it in the same transaction, so that whoever is told of the trip reads when drivers are
    asked. `start_round` keeps to it.
    """
    ahead = dt.timedelta(hours=settings.offer_ahead_h)
    return max(now, departure_at - ahead) if ahead else now


def postpone_round(trip: Trip, until: dt.datetime) -> RoundResult:
    """Set when the next search for an open trip starts; return the result of a round that asked nobody."""
    Trip.objects.filter(pk=trip.pk, status__in=sorted(OPEN)).update(next_look_at=until)
    return RoundResult()


def run_round(
    trip: Trip, policy: Policy, *, settings: ServiceSettings, role: Role = Role.SYSTEM, by_id: int | None = None
) -> RoundResult:
    """Search drivers around the pickup and ask the next wave of them. `role` and `by_id`: who started the round."""
    shortlist = shortlist_drivers(trip, policy, settings, max(policy.size, RANKED_AT_LEAST))
    return create_wave(
        trip,
        _choose_wave(trip, shortlist, policy),
        shortlist=shortlist,
        policy=policy,
        settings=settings,
        role=role,
        by_id=by_id,
    )


def shortlist_drivers(trip: Trip, policy: Policy, settings: ServiceSettings, wanted: int) -> Shortlist:
    """Judge drivers outward from the pickup until `wanted` of them are eligible."""
    # While a wave is being answered only those within its reach may join it.
    radius_km = policy.radius_km if trip.reach_km is None else trip.reach_km
    candidates: list[Candidate] = []
    found: list[search.Near] = []
    step = 2 * wanted
    for batch in search.search_outward(trip.pickup_lat, trip.pickup_lng, radius_km, step):
        found += batch
        # Judge at least `wanted` together: fewer are not worth the queries.
        while len(found) >= wanted:
            candidates += assess(trip, trip.asking_round, near=found[:step], policy=policy, settings=settings)
            del found[:step]
            if sum(one.reason is None for one in candidates) >= wanted or len(candidates) >= _MAX_CONSIDERED:
                return Shortlist(candidates, candidates[-1].distance_km, False)
    if found:
        candidates += assess(trip, trip.asking_round, near=found, policy=policy, settings=settings)
    return Shortlist(candidates, radius_km, True)


def _choose_wave(trip: Trip, shortlist: Shortlist, policy: Policy) -> list[Candidate]:
    """Choose whom the next wave asks, the best first: one ring; drivers not asked in earlier rounds come first."""
    eligible = shortlist.eligible
    if not eligible:
        return []
    if trip.reach_km is None:
        ring = min(policy.ring(one.distance_km) for one in eligible)
        eligible = [one for one in eligible if policy.ring(one.distance_km) == ring]
    return sorted(eligible, key=lambda one: (one.facts.asked, one.score, one.driver_id))


@in_transaction
def create_wave(
    trip_read: Trip,
    wave_candidates: Sequence[Candidate],
    *,
    shortlist: Shortlist,
    policy: Policy,
    settings: ServiceSettings,
    role: Role,
    by_id: int | None,
) -> RoundResult:
    """Re-check the shortlist under row locks and write the offers.

    `trip_read`: the trip as it was before the search; `wave_candidates`: whom to ask, the best first.

    1. Lock the drivers, then the trip; do nothing for a trip that somebody took or cancelled meanwhile, or whose pickup
       is another now: the shortlist has the drivers around the former one.
    2. Judge the candidates again and choose those who are still eligible, as many as the policy asks at once.
    3. Write the round with everybody's verdict, and the offers; with nobody to ask, set when to search next.
    """
    # A few more than needed: other trips may have asked some of them meanwhile.
    wave_candidates = wave_candidates[: policy.size + RANKED_AT_LEAST]
    # Locked, so that two waves cannot both count the same free place among a driver's open offers.
    rows = lock_drivers([one.driver_id for one in wave_candidates]) if wave_candidates else {}
    trip = Trip.objects.locked().filter(pk=trip_read.pk).order_by().first()
    if trip is None or trip.status not in OPEN:
        return RoundResult()
    if (trip.pickup_lat, trip.pickup_lng) != (trip_read.pickup_lat, trip_read.pickup_lng):
        # The passenger has changed it (trips.changes), which had the next search begin at once.
        return RoundResult()
    # If somebody changed next_look_at during our search, keep that value.
    woken_at = trip.next_look_at if trip.next_look_at != trip_read.next_look_at else None
    pending = trip.offers.filter(status=OfferStatus.PENDING).count() if trip.status == TripStatus.OFFERED else 0
    near = [one.near for one in wave_candidates]
    verdicts = assess(trip, trip.asking_round, near=near, policy=policy, settings=settings, rows=rows)
    judged = {one.driver_id: one for one in verdicts}
    wave_candidates = [judged[one.driver_id] for one in wave_candidates if one.driver_id in judged]
    chosen = _choose_within_reach(trip, wave_candidates, policy=policy, pending=pending)
    candidates = [judged.get(one.driver_id, one) for one in shortlist.candidates]
    wave = trip.wave if pending and trip.wave else trip.wave + 1
    if chosen or not pending:
        _write_round(trip, wave, policy=policy, shortlist=shortlist._replace(candidates=candidates), chosen=chosen)
    if chosen:
        reach_km = trip.reach_km or 0.0 if pending else _wave_reach_km(chosen, policy)
        state = {"round_number": trip.asking_round, "wave": wave, "reach_km": reach_km, "next_look_at": woken_at}
        _write_offers(trip, chosen, state=state, policy=policy, settings=settings, role=role, by_id=by_id)
    elif pending:
        Trip.objects.filter(pk=trip.pk).update(next_look_at=woken_at)
    elif near:
        # Other trips asked these drivers first; search again immediately, as there may be more.
        Trip.objects.filter(pk=trip.pk).update(next_look_at=Now())
    else:
        retry_at = database_now() + _pause_after_look(trip, settings)
        # A trip that was asked about at once, long before drivers are, is not searched again until then.
        _mark_unfilled(trip, woken_at or first_search_at(trip.departure_at, settings, retry_at))
    return RoundResult(
        drivers_notified=len(chosen),
        eligible_drivers=sum(one.reason is None for one in candidates),
        considered=len(candidates),
        reasons=tally(candidates),
    )


def _choose_within_reach(
    trip: Trip, candidates: Sequence[Candidate], *, policy: Policy, pending: int
) -> list[Candidate]:
    """Choose the eligible candidates that the wave has room for; `pending`: its offers that nobody has answered yet."""
    eligible = [one for one in candidates if one.reason is None]
    if pending:
        reach_km = trip.reach_km or 0.0
        eligible = [one for one in eligible if one.distance_km <= reach_km]
    return eligible[: max(0, policy.size - pending)]


def _write_round(trip: Trip, wave: int, *, policy: Policy, shortlist: Shortlist, chosen: Sequence[Candidate]) -> None:
    """Write what one search found: the verdict on each driver considered, and whether more could be asked."""
    asked = {one.driver_id for one in chosen}
    figures.count_after_commit(figures.SEARCHES, outcome="offered" if chosen else "nobody")
    DispatchRound.objects.create(
        trip=trip,
        number=trip.asking_round,
        wave=wave,
        mode=policy.mode,
        looked_km=round(shortlist.looked_km, 3),
        considered=len(shortlist.candidates),
        offered=len(chosen),
        more=len(shortlist.eligible) > len(chosen) or not shortlist.covers_radius,
        reasons=tally(shortlist.candidates),
        verdicts=[
            (
                one.driver_id,
                round(one.distance_km, 2),
                one.reason or (OFFERED if one.driver_id in asked else LATER),
                round(one.score, 2),
            )
            for one in shortlist.candidates
        ],
    )


def _wave_reach_km(chosen: Sequence[Candidate], policy: Policy) -> float:
    """Return how near to the pickup a driver who comes online now must be to join the wave, in km."""
    if len(chosen) < policy.size:
        return policy.rings[policy.ring(max(one.distance_km for one in chosen))]
    return max(one.distance_km for one in chosen)


def _write_offers(
    trip: Trip,
    chosen: Sequence[Candidate],
    *,
    state: dict[str, Any],
    policy: Policy,
    settings: ServiceSettings,
    role: Role,
    by_id: int | None,
) -> None:
    """Write and publish the offers of a wave; `state`: the trip's columns that say which. The trip is locked."""
    # The deadline on the card is the one that answers are judged by.
    now = read_database_now()
    speeds = eta.speeds_of(settings)
    expires_at = now + policy.answer
    offers = Offer.objects.bulk_create(
        Offer(
            trip=trip,
            driver_id=one.driver_id,
            round_number=state["round_number"],
            wave=state["wave"],
            asked_again=one.facts.withdrawn_now,
            score=round(one.score, 3),
            score_parts=one.parts,
            urgency=policy.urgency,
            difficulty=pricing.difficulty(trip.distance_km),
            distance_km=round(one.distance_km, 2),
            pickup_min=eta.minutes(one.distance_km, speeds),
            created_at=now,
            expires_at=expires_at,
        )
        for one in chosen
    )
    figures.count_after_commit(figures.OFFERS_MADE, len(offers))
    if trip.status == TripStatus.OFFERED:
        trip.amend(**state)
    else:
        trip.move(TripStatus.OFFERED, role, by_id=by_id, **state)
    publish_many(
        (
            offer_card(offer, trip, vehicle_seats=one.facts.seats or 0),
            groups.driver(one.driver_id),
        )
        for offer, one in zip(offers, chosen, strict=True)
    )


def _pause_after_look(trip: Trip, settings: ServiceSettings) -> dt.timedelta:
    """Return how long a trip with nobody left to ask waits for its next round; the present look is written already.

    1 min, then twice as long after each look that found nobody, up to `retry_min`: drivers who drive into the radius,
    or have answered their other offers, wake nothing. A trip that drivers were asked about as it is now waits
    `retry_min`: they have just said no, or nothing.
    """
    looks = trip.rounds.filter(number__gt=trip.changed_after_round).order_by()
    told = looks.aggregate(number=Count("pk"), asked=Sum("offered", default=0))
    doublings = settings.retry_min if told["asked"] else max(0, told["number"] - 1)
    return dt.timedelta(minutes=min(2**doublings, settings.retry_min))


def _mark_unfilled(trip: Trip, next_look_at: dt.datetime) -> None:
    """Mark a trip with nobody left to ask as unfilled until the next round. The trip is locked.

    The round that found nobody has had its number: the trip's is that of its last look.
    """
    state = NO_WAVE | {"round_number": trip.asking_round, "next_look_at": next_look_at}
    if trip.status == TripStatus.UNFILLED:
        trip.amend(**state)
    else:
        trip.move(TripStatus.UNFILLED, Role.SYSTEM, **state)
