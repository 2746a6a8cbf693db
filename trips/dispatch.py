"""Who gets offered what, when: rounds and their waves, one driver at a time, trips and drivers matched together.

A round goes through the drivers around the pickup wave by wave: a wave asks so many at once, within a ring, and the
next one starts when all have answered or run out of time. When nobody is left the trip is unfilled until the next
round, in which everybody may be asked again but who declined or gave the trip back.

Everything is decided in the database, so any number of dispatchers may run, be killed and come back. Drivers are looked
for and judged without holding anything; those who are to be asked are then held, judged once more and asked. Lock
order, everywhere: driver, trip, offers, bookings.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db.models.functions import Now
from django.utils import timezone
from msgspec import Struct

from drivers import search
from realtime import groups
from realtime.outbox import publish_many
from stepper.db.transactions import in_transaction
from stepper.models import DispatchMode, ServiceSettings
from trips import eta, pricing
from trips.cards import offer_card
from trips.driver_facts import lock_drivers
from trips.eligibility import LATER, OFFERED, Candidate, assess, tally
from trips.models import NO_WAVE, DispatchRound, Offer, Trip
from trips.policy import Policies, Policy
from trips.states import OPEN, OfferStatus, Role, TripStatus

# Eligible drivers looked for at least, so that weights have somebody to choose from, and for a matching at most.
RANKED_AT_LEAST, MATCHED_AT_MOST = 10, 100
# A look ends after so many drivers, whoever they are.
_MAX_CONSIDERED = 2000


class RoundResult(Struct, frozen=True):
    """What a look for drivers did; `eligible_drivers` counts those who could be asked, `drivers_notified` who were."""

    drivers_notified: int = 0
    eligible_drivers: int = 0
    considered: int = 0
    reasons: dict[str, int] = {}


class Shortlist(NamedTuple):
    """Drivers around a pickup, judged, the nearest first."""

    candidates: list[Candidate]
    looked_km: float
    # Nobody is left farther out.
    is_whole: bool

    @property
    def eligible(self) -> list[Candidate]:
        return [one for one in self.candidates if one.reason is None]


def start_round(
    trip_id: int, role: Role = Role.SYSTEM, *, by_id: int | None = None, at_once: bool = False
) -> RoundResult:
    """Looks for drivers around the pickup and puts the trip before them; joins them to the wave that runs.

    With nobody to ask and no open offers the trip is `unfilled` until `next_look_at`. A trip that somebody took or
    cancelled meanwhile is left alone. One that is matched with others waits for them, one that leaves in a month waits
    for its time, unless somebody wants it `at_once`.
    """
    policies = Policies.current()
    trip = Trip.objects.filter(pk=trip_id).first()
    if trip is None or trip.status not in OPEN:
        return RoundResult()
    policy = policies.of(trip)
    if not at_once:
        now = timezone.now()
        opens_at = offers_open_at(trip, policies.settings)
        if opens_at > now:
            return postpone_round(trip, opens_at)
        if policy.mode == DispatchMode.BATCHED:
            return postpone_round(trip, now + dt.timedelta(seconds=policies.settings.match_window_s))
    return run_round(trip, policy, settings=policies.settings, role=role, by_id=by_id)


def offers_open_at(trip: Trip, settings: ServiceSettings) -> dt.datetime:
    """From when on drivers are asked."""
    ahead = dt.timedelta(hours=settings.offer_ahead_h)
    return trip.departure_at - ahead if ahead else trip.created_at


def postpone_round(trip: Trip, until: dt.datetime) -> RoundResult:
    Trip.objects.filter(pk=trip.pk, status__in=sorted(OPEN)).update(next_look_at=until)
    return RoundResult()


def run_round(
    trip: Trip, policy: Policy, *, settings: ServiceSettings, role: Role = Role.SYSTEM, by_id: int | None = None
) -> RoundResult:
    survey = shortlist_drivers(trip, policy, settings, max(policy.size, RANKED_AT_LEAST))
    return create_wave(
        trip,
        _choose_wave(trip, survey, policy),
        survey=survey,
        policy=policy,
        settings=settings,
        role=role,
        by_id=by_id,
    )


def shortlist_drivers(trip: Trip, policy: Policy, settings: ServiceSettings, wanted: int) -> Shortlist:
    """Judges drivers outward from the pickup until `wanted` may be asked."""
    # While a wave is being answered only those within its reach may join it.
    radius_km = policy.radius_km if trip.reach_km is None else trip.reach_km
    candidates: list[Candidate] = []
    found: list[search.Near] = []
    step = 2 * wanted
    for batch in search.search_outward(trip.pickup_lat, trip.pickup_lng, radius_km, step):
        found += batch
        # Few are not worth the queries yet.
        while len(found) >= wanted:
            candidates += assess(trip, trip.asking_round, near=found[:step], policy=policy, settings=settings)
            del found[:step]
            if sum(one.reason is None for one in candidates) >= wanted or len(candidates) >= _MAX_CONSIDERED:
                return Shortlist(candidates, candidates[-1].distance_km, False)
    if found:
        candidates += assess(trip, trip.asking_round, near=found, policy=policy, settings=settings)
    return Shortlist(candidates, radius_km, True)


def _choose_wave(trip: Trip, survey: Shortlist, policy: Policy) -> list[Candidate]:
    """Whom the next wave asks, the first one first: one ring, those never asked before those asked in vain."""
    eligible = survey.eligible
    if not eligible:
        return []
    if trip.reach_km is None:
        ring = min(policy.ring(one.distance_km) for one in eligible)
        eligible = [one for one in eligible if policy.ring(one.distance_km) == ring]
    return sorted(eligible, key=lambda one: (one.facts.asked, one.score, one.driver_id))


@in_transaction
def create_wave(
    surveyed: Trip,
    wanted: Sequence[Candidate],
    *,
    survey: Shortlist,
    policy: Policy,
    settings: ServiceSettings,
    role: Role,
    by_id: int | None,
) -> RoundResult:
    """Puts the trip before the first of `wanted` who can still be asked; `surveyed`: as it was before the survey."""
    # Some to spare for those whom somebody else has asked meanwhile.
    wanted = wanted[: policy.size + RANKED_AT_LEAST]
    # Held, so that two waves cannot both count the same free place among a driver's open offers.
    rows = lock_drivers([one.driver_id for one in wanted]) if wanted else {}
    trip = Trip.objects.locked().filter(pk=surveyed.pk).order_by().first()
    if trip is None or trip.status not in OPEN:
        return RoundResult()
    # Who came online, or answered, since the survey began has had the trip looked at again: that stands.
    woken_at = trip.next_look_at if trip.next_look_at != surveyed.next_look_at else None
    answering = trip.status == TripStatus.OFFERED and trip.offers.filter(status=OfferStatus.PENDING).count()
    number = trip.asking_round
    wave = trip.wave if answering and trip.wave else trip.wave + 1
    judged = assess(trip, number, near=[one.near for one in wanted], policy=policy, settings=settings, rows=rows)
    again = {one.driver_id: one for one in judged}
    sure = [again[one.driver_id] for one in wanted if one.driver_id in again and again[one.driver_id].reason is None]
    reach_km = trip.reach_km or 0.0
    if answering:
        sure = [one for one in sure if one.distance_km <= reach_km]
    chosen = sure[: max(0, policy.size - answering)]
    candidates = [again.get(one.driver_id, one) for one in survey.candidates]
    eligible = [one for one in candidates if one.reason is None]
    reasons = tally(candidates)
    if chosen or not answering:
        asked = {one.driver_id for one in chosen}
        DispatchRound.objects.create(
            trip=trip,
            number=number,
            wave=wave,
            mode=policy.mode,
            looked_km=round(survey.looked_km, 3),
            considered=len(candidates),
            offered=len(chosen),
            more=len(eligible) > len(chosen) or not survey.is_whole,
            reasons=reasons,
            verdicts=[
                (
                    one.driver_id,
                    round(one.distance_km, 2),
                    one.reason or (OFFERED if one.driver_id in asked else LATER),
                    round(one.score, 2),
                )
                for one in candidates
            ],
        )
    if chosen:
        if not answering:
            reach_km = _wave_reach_km(chosen, policy)
        _write_offers(
            trip,
            number,
            wave=wave,
            reach_km=reach_km,
            chosen=chosen,
            policy=policy,
            role=role,
            by_id=by_id,
            next_look_at=woken_at,
        )
    elif answering:
        Trip.objects.filter(pk=trip.pk).update(next_look_at=woken_at)
    elif wanted:
        # Others were quicker to ask them; there may be more.
        Trip.objects.filter(pk=trip.pk).update(next_look_at=Now())
    else:
        _mark_unfilled(trip, woken_at or timezone.now() + dt.timedelta(minutes=settings.retry_min))
    return RoundResult(
        drivers_notified=len(chosen), eligible_drivers=len(eligible), considered=len(candidates), reasons=reasons
    )


def _wave_reach_km(chosen: Sequence[Candidate], policy: Policy) -> float:
    """How far from the pickup somebody who comes online now may join the wave."""
    if len(chosen) < policy.size:
        return policy.rings[policy.ring(max(one.distance_km for one in chosen))]
    return max(one.distance_km for one in chosen)


def _write_offers(
    trip: Trip,
    number: int,
    *,
    wave: int,
    reach_km: float,
    chosen: Sequence[Candidate],
    policy: Policy,
    role: Role,
    by_id: int | None,
    next_look_at: dt.datetime | None,
) -> None:
    """Writes the offers of a wave and what everybody hears of it. The trip is locked."""
    now = timezone.now()
    offers = Offer.objects.bulk_create(
        Offer(
            trip=trip,
            driver_id=one.driver_id,
            round_number=number,
            wave=wave,
            score=round(one.score, 3),
            score_parts=one.parts,
            urgency=policy.urgency,
            difficulty=pricing.difficulty(trip.distance_km),
            distance_km=round(one.distance_km, 2),
            pickup_min=eta.minutes(one.distance_km),
            created_at=now,
            expires_at=Now() + policy.answer,
        )
        for one in chosen
    )
    state: dict[str, Any] = {"round_number": number, "wave": wave, "reach_km": reach_km, "next_look_at": next_look_at}
    if trip.status == TripStatus.OFFERED:
        trip.amend(**state)
    else:
        trip.move(TripStatus.OFFERED, role, by_id=by_id, **state)
    publish_many(
        (
            offer_card(offer, trip, vehicle_seats=one.facts.seats or 0, expires_at=now + policy.answer),
            groups.driver(one.driver_id),
        )
        for offer, one in zip(offers, chosen, strict=True)
    )


def _mark_unfilled(trip: Trip, next_look_at: dt.datetime) -> None:
    """Nobody is left to ask: unfilled until the next round. The trip is locked."""
    state = NO_WAVE | {"next_look_at": next_look_at}
    if trip.status == TripStatus.UNFILLED:
        trip.amend(**state)
    else:
        trip.move(TripStatus.UNFILLED, Role.SYSTEM, **state)
