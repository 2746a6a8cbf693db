"""Who gets offered what, when: rounds and their waves, one driver at a time, trips and drivers matched together.

A round goes through the drivers around the pickup wave by wave: a wave asks so many at once, within a ring, and the
next one starts when all have answered or run out of time. When nobody is left the trip is unfilled until the next
round, in which everybody may be asked again but who declined or gave the trip back.

Everything is decided in the database, so any number of dispatchers may run, be killed and come back. Drivers are looked
for and judged without holding anything; those who are to be asked are then held, judged once more and asked. Lock
order, everywhere: driver, trip, offers, bookings.
"""

import datetime as dt
import functools
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from msgspec import Struct

from drivers import search
from drivers.geo import distance_km
from drivers.models import DriverPosition
from realtime import events, groups
from realtime.publish import publish_many
from stepper.models import ServiceSettings
from stepper.transactions import each_alone_where_needed, in_transaction

from . import eta, matching, pricing
from .bookings import end
from .cards import offer_card
from .eligibility import LATER, OFFERED, Candidate, assess, held, tally
from .models import AT_REST, DispatchRound, Offer, Trip, TripQuerySet
from .policy import Policies, Policy
from .states import OPEN, DispatchMode, OfferStatus, Role, TripStatus

logger = logging.getLogger("stepper.dispatch")

# Eligible drivers looked for at least, so that weights have somebody to choose from, and for a matching at most.
_RANKED, _MATCHED = 10, 100
# Trips whose offers are settled in one transaction.
EXPIRED_AT_ONCE = 100
# A look ends after so many drivers, whoever they are.
_MOST = 2000


class RoundResult(Struct, frozen=True):
    """What a look for drivers did; `eligible_drivers` counts those who could be asked, `drivers_notified` who were."""

    drivers_notified: int = 0
    eligible_drivers: int = 0
    considered: int = 0
    reasons: dict[str, int] = {}


class Survey(NamedTuple):
    """Drivers around a pickup, judged, the nearest first."""

    candidates: list[Candidate]
    looked_km: float
    # Nobody is left farther out.
    is_whole: bool

    @property
    def eligible(self) -> list[Candidate]:
        return [one for one in self.candidates if one.reason is None]


def start_round(
    trip_id: int, role: Role = Role.SYSTEM, by_id: int | None = None, *, at_once: bool = False
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
        opens_at = _opens_at(trip, policies.settings)
        if opens_at > now:
            return _put_off(trip, opens_at)
        if policy.mode == DispatchMode.BATCHED:
            return _put_off(trip, now + dt.timedelta(seconds=policies.settings.match_window_s))
    return _look(trip, policy, policies.settings, role, by_id)


def _opens_at(trip: Trip, settings: ServiceSettings) -> dt.datetime:
    """From when on drivers are asked."""
    ahead = dt.timedelta(hours=settings.offer_ahead_h)
    return trip.departure_at - ahead if ahead else trip.created_at


def _put_off(trip: Trip, until: dt.datetime) -> RoundResult:
    Trip.objects.filter(pk=trip.pk, status__in=sorted(OPEN)).update(next_look_at=until)
    return RoundResult()


def _look(
    trip: Trip, policy: Policy, settings: ServiceSettings, role: Role = Role.SYSTEM, by_id: int | None = None
) -> RoundResult:
    survey = _survey(trip, policy, settings, max(policy.size, _RANKED))
    return _ask(trip, _first(trip, survey, policy), survey, policy, settings, role, by_id)


def _survey(trip: Trip, policy: Policy, settings: ServiceSettings, wanted: int) -> Survey:
    """Judges drivers outward from the pickup until `wanted` may be asked."""
    # While a wave is being answered only those within its reach may join it.
    radius_km = policy.radius_km if trip.reach_km is None else trip.reach_km
    candidates: list[Candidate] = []
    found: list[search.Near] = []
    step = 2 * wanted
    for batch in search.outward(trip.pickup_lat, trip.pickup_lng, radius_km, step):
        found += batch
        # Few are not worth the queries yet.
        while len(found) >= wanted:
            candidates += assess(trip, trip.asking_round, found[:step], policy, settings)
            del found[:step]
            if sum(one.reason is None for one in candidates) >= wanted or len(candidates) >= _MOST:
                return Survey(candidates, candidates[-1].distance_km, False)
    if found:
        candidates += assess(trip, trip.asking_round, found, policy, settings)
    return Survey(candidates, radius_km, True)


def _first(trip: Trip, survey: Survey, policy: Policy) -> list[Candidate]:
    """Whom the next wave asks, the first one first: one ring, those never asked before those asked in vain."""
    eligible = survey.eligible
    if not eligible:
        return []
    if trip.reach_km is None:
        ring = min(policy.ring(one.distance_km) for one in eligible)
        eligible = [one for one in eligible if policy.ring(one.distance_km) == ring]
    return sorted(eligible, key=lambda one: (one.facts.asked, one.score, one.driver_id))


@in_transaction
def _ask(
    surveyed: Trip,
    wanted: Sequence[Candidate],
    survey: Survey,
    policy: Policy,
    settings: ServiceSettings,
    role: Role,
    by_id: int | None,
) -> RoundResult:
    """Puts the trip before the first of `wanted` who can still be asked; `surveyed`: as it was before the survey."""
    # Some to spare for those whom somebody else has asked meanwhile.
    wanted = wanted[: policy.size + _RANKED]
    # Held, so that two waves cannot both count the same free place among a driver's open offers.
    rows = held([one.driver_id for one in wanted]) if wanted else {}
    trip = Trip.objects.locked().filter(pk=surveyed.pk).order_by().first()
    if trip is None or trip.status not in OPEN:
        return RoundResult()
    # Who came online, or answered, since the survey began has had the trip looked at again: that stands.
    woken_at = trip.next_look_at if trip.next_look_at != surveyed.next_look_at else None
    answering = trip.status == TripStatus.OFFERED and trip.offers.filter(status=OfferStatus.PENDING).count()
    number = trip.asking_round
    wave = trip.wave if answering and trip.wave else trip.wave + 1
    judged = assess(trip, number, [one.near for one in wanted], policy, settings, rows)
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
            reach_km = _reach(chosen, policy)
        _offer(trip, number, wave, reach_km, chosen, policy, role, by_id, woken_at)
    elif answering:
        Trip.objects.filter(pk=trip.pk).update(next_look_at=woken_at)
    elif wanted:
        # Others were quicker to ask them; there may be more.
        Trip.objects.filter(pk=trip.pk).update(next_look_at=Now())
    else:
        _wait(trip, woken_at or timezone.now() + dt.timedelta(minutes=settings.retry_min))
    return RoundResult(
        drivers_notified=len(chosen), eligible_drivers=len(eligible), considered=len(candidates), reasons=reasons
    )


def _reach(chosen: Sequence[Candidate], policy: Policy) -> float:
    """How far from the pickup somebody who comes online now may join the wave."""
    if len(chosen) < policy.size:
        return policy.rings[policy.ring(max(one.distance_km for one in chosen))]
    return max(one.distance_km for one in chosen)


def _offer(
    trip: Trip,
    number: int,
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
        trip.move(TripStatus.OFFERED, role, by_id, **state)
    publish_many(
        (offer_card(offer, trip, one.facts.seats or 0, now + policy.answer), groups.driver(one.driver_id))
        for offer, one in zip(offers, chosen, strict=True)
    )


def _wait(trip: Trip, next_look_at: dt.datetime) -> None:
    """Nobody is left to ask: unfilled until the next round. The trip is locked."""
    state = AT_REST | {"next_look_at": next_look_at}
    if trip.status == TripStatus.UNFILLED:
        trip.amend(**state)
    else:
        trip.move(TripStatus.UNFILLED, Role.SYSTEM, **state)


def end_waves_if_settled(trip_ids: Collection[int]) -> None:
    """Where no offer of a wave is open any more the next wave follows. The trips are locked."""
    answering = Offer.objects.filter(trip=OuterRef("pk"), status=OfferStatus.PENDING)
    settled = Trip.objects.filter(~Exists(answering), pk__in=trip_ids, status=TripStatus.OFFERED)
    settled.update(next_look_at=Now(), reach_km=None)


# Drivers who come online


def wake_around(driver_ids: Iterable[int]) -> None:
    """Drivers became available: the open trips around them are looked at now instead of later.

    Those that are matched with others when the window closes that is open now, or else one that opens now.
    """
    policies = Policies.current()
    positions = list(DriverPosition.objects.filter(driver_id__in=list(driver_ids), dispatchable=True))
    if not positions:
        return
    # Trips that look farther than others are few.
    widened = Trip.objects.filter(status__in=sorted(OPEN), radius_km__gt=policies.settings.discovery_radius_km)
    farther = list(widened.values_list("pk", "pickup_lat", "pickup_lng", "radius_km"))
    for position in positions:
        lat, lng = position.lat, position.lng
        _wake_around(
            lat, lng, [pk for pk, *point, km in farther if distance_km(lat, lng, *point) <= (km or 0)], policies
        )


@in_transaction
def _wake_around(lat: float, lng: float, farther: Sequence[int], policies: Policies) -> None:
    settings = policies.settings
    near = search.in_cells("pickup_cell", lat, lng, settings.discovery_radius_km)
    if farther:
        near |= Q(pk__in=farther)
    # Ascending, so that two drivers who come online together cannot wait for each other.
    trips = list(Trip.objects.filter(near, status__in=sorted(OPEN)).order_by("pk").locked())
    together = {trip.pk for trip in trips if policies.of(trip).mode == DispatchMode.BATCHED}
    Trip.objects.filter(pk__in=[trip.pk for trip in trips if trip.pk not in together]).update(next_look_at=Now())
    if together:
        closes_at = timezone.now() + dt.timedelta(seconds=settings.match_window_s)
        waiting_longer = Q(next_look_at__isnull=True) | Q(next_look_at__gt=closes_at)
        Trip.objects.filter(waiting_longer, pk__in=together).update(next_look_at=closes_at)


# What the dispatcher does


def _each(verb: Callable[[int], object], trip_ids: Iterable[int]) -> int:
    """One trip after the other, each in a transaction of its own; returns how many `verb` did something about."""

    def one(trip_ids: list[int]) -> int:
        return bool(verb(trip_ids[0]))

    return sum(each_alone_where_needed(one, [trip_id]) for trip_id in trip_ids)


# What is due, by the database's clock


def _offers_due() -> QuerySet[Offer]:
    return Offer.objects.due().order_by()


def _searched() -> QuerySet[Trip]:
    return Trip.objects.filter(search_until__gt=Now(), status__in=sorted(OPEN)).order_by()


def _looks_due() -> QuerySet[Trip]:
    return _searched().filter(next_look_at__lte=Now())


def _searches_over() -> TripQuerySet:
    return Trip.objects.filter(search_until__lte=Now(), status__in=sorted(OPEN)).order_by()


@functools.cache
def _anything_due() -> tuple[str, tuple[Any, ...]]:
    """The query of `is_anything_due`; building it takes longer than the database takes to answer it."""
    parts = [due.values("pk").query.sql_with_params() for due in (_offers_due(), _looks_due(), _searches_over())]
    sql = " OR ".join(f"EXISTS ({part})" for part, _params in parts)
    return f"SELECT {sql}", tuple(param for _part, params in parts for param in params)


def is_anything_due() -> bool:
    """Whether there is an offer to settle, a trip to look at or one to give up: most of the time there is not."""
    with connection.cursor() as cursor:
        cursor.execute(*_anything_due())
        return bool(cursor.fetchone()[0])


def expire_due(limit: int = EXPIRED_AT_ONCE) -> int:
    """Settles offers past their deadline; returns the number of trips it did. Trips others hold are skipped."""
    trip_ids = list(_offers_due().values_list("trip_id", flat=True).distinct()[:limit])
    return each_alone_where_needed(_expire, trip_ids)


@in_transaction
def _expire(trip_ids: list[int]) -> int:
    """Of all these trips at once: who holds one of them is not waited for, so they cannot wait for each other."""
    free = Trip.objects.filter(pk__in=trip_ids).order_by("pk").select_for_update(no_key=True, skip_locked=True)
    claimed = list(free.values_list("pk", flat=True))
    due = list(Offer.objects.due().filter(trip__in=claimed).order_by("pk").values_list("pk", "trip_id", "driver_id"))
    if not due:
        return 0
    Offer.objects.filter(pk__in=[pk for pk, _trip, _driver in due]).update(
        status=OfferStatus.EXPIRED, responded_at=Now(), reason="timeout"
    )
    publish_many(
        (events.OfferExpired(trip_id=trip_id, offer_id=pk, reason="timeout"), groups.driver(driver_id))
        for pk, trip_id, driver_id in due
    )
    done = {trip_id for _pk, trip_id, _driver in due}
    end_waves_if_settled(done)
    return len(done)


def look_due(limit: int = 50) -> int:
    """Starts the rounds and waves that are due; returns their number."""
    due = _claim(_looks_due(), limit)
    if not due:
        return 0
    policies = Policies.current()
    trips = {trip.pk: trip for trip in due}
    ways = {trip.pk: policies.of(trip) for trip in due}

    def look(trip_id: int) -> bool:
        trip = trips[trip_id]
        opens_at = _opens_at(trip, policies.settings)
        if not trip.wave and opens_at > timezone.now():  # woken or put off too early, but for a wave that runs
            return bool(_put_off(trip, opens_at))
        return bool(_look(trip, ways[trip_id], policies.settings))

    together = {trip_id for trip_id, policy in ways.items() if policy.mode == DispatchMode.BATCHED}
    done = _each(look, [trip.pk for trip in due if trip.pk not in together])
    if together:
        done += match(sorted(together | _claim_waiting(policies)), policies)
    return done


@in_transaction
def _claim(waiting: QuerySet[Trip], limit: int) -> list[Trip]:
    """Claims trips for this dispatcher: another one sees them again only if this one dies on the way."""
    free = waiting.order_by("next_look_at").select_for_update(no_key=True, skip_locked=True, of=("self",))
    trips = list(free[:limit])
    claimed = Trip.objects.filter(pk__in=[trip.pk for trip in trips]).order_by()
    if claimed.update(next_look_at=Now() + dt.timedelta(seconds=30)):
        until = dict(claimed.values_list("pk", "next_look_at"))
        for trip in trips:
            trip.next_look_at = until[trip.pk]
    return trips


# Matching trips and drivers


def _claim_waiting(policies: Policies, limit: int = 500) -> set[int]:
    """The trips that wait to be matched: when the window closes for one of them it closes for all."""
    window = dt.timedelta(seconds=policies.settings.match_window_s)
    soon = _searched().filter(next_look_at__gt=Now(), next_look_at__lte=Now() + window)
    waiting = [trip.pk for trip in soon[:limit] if policies.of(trip).mode == DispatchMode.BATCHED]
    return {trip.pk for trip in _claim(soon.filter(pk__in=waiting), limit)} if waiting else set()


def match(trip_ids: Sequence[int], policies: Policies | None = None) -> int:
    """Matches trips with the drivers around them for the least total distance, and puts each before its driver.

    A trip whose eligible drivers go to others waits for the next window. Returns the number of trips looked at.
    """
    policies = policies or Policies.current()
    settings = policies.settings
    trips = {trip.pk: trip for trip in Trip.objects.filter(pk__in=trip_ids, status__in=sorted(OPEN)).order_by("pk")}
    answering = set(
        Offer.objects.filter(trip__in=trips, status=OfferStatus.PENDING).order_by().values_list("trip_id", flat=True)
    )
    ways = {trip_id: policies.of(trip) for trip_id, trip in trips.items()}
    # More than there are trips nobody needs to choose from: even if all others take nearer ones.
    wanted = min(max(len(trips), _RANKED), _MATCHED)
    surveys: dict[int, Survey] = {}

    def survey(trip_id: int) -> bool:
        surveys[trip_id] = (
            Survey([], 0.0, True) if trip_id in answering else _survey(trips[trip_id], ways[trip_id], settings, wanted)
        )
        return True

    _each(survey, trips)
    looked_at = list(surveys)
    eligible = [{one.driver_id: one for one in surveys[trip_id].eligible} for trip_id in looked_at]
    matched = matching.match([{pk: one.distance_km for pk, one in found.items()} for found in eligible])
    asked = {
        trip_id: [found[driver_id]] if driver_id is not None else []
        for trip_id, found, driver_id in zip(looked_at, eligible, matched, strict=True)
    }
    next_window = timezone.now() + dt.timedelta(seconds=settings.match_window_s)

    def ask(trip_id: int) -> bool:
        if not asked[trip_id] and surveys[trip_id].eligible:
            _put_off(trips[trip_id], next_window)
        else:
            _ask(trips[trip_id], asked[trip_id], surveys[trip_id], ways[trip_id], settings, Role.SYSTEM, None)
        return True

    return _each(ask, looked_at)


def give_up_due(limit: int = 50) -> int:
    """Cancels trips that nobody took until their departure; returns their number."""
    trip_ids = list(_searches_over().order_by("search_until").values_list("pk", flat=True)[:limit])
    return _each(_give_up, trip_ids)


@in_transaction
def _give_up(trip_id: int) -> bool:
    trip = (
        _searches_over()
        .for_page()
        .filter(pk=trip_id)
        .select_for_update(no_key=True, of=("self",), skip_locked=True)
        .first()
    )
    if trip is None:
        return False
    end(trip, TripStatus.CANCELLED, Role.SYSTEM, None, _("No driver was found in time."))
    return True
