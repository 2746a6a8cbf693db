"""Who gets offered what, when, and who gets it.

Everything is decided in the database, so any number of processes may run this at once, be killed and come back.
Lock order, everywhere: driver, trip, offers, bookings. Deadlines are judged by the database's clock.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from msgspec import Struct

from drivers import search
from drivers.availability import free, locked, require_approved
from drivers.models import Driver, DriverPosition
from realtime import events, groups
from realtime.notify import notify
from realtime.publish import publish, publish_many, recheck
from stepper.errors import Conflict, NotFound, NotPermitted
from stepper.models import ServiceSettings, User
from stepper.transactions import Stale, afterwards, each_alone_where_needed, in_transaction

from . import eta, pricing
from .bookings import end, trip_for
from .cards import driver_card, offer_card, vehicle_card
from .eligibility import assess, tally
from .models import DispatchRound, Offer, Trip
from .states import OPEN, OfferStatus, Role, TripStatus

logger = logging.getLogger("stepper.dispatch")

# Looked at per eligible place in a round: enough to fill it although many are turned down.
_SEARCH_FACTOR = 4


class RoundResult(Struct, frozen=True):
    """What a look for drivers did; `eligible_drivers` counts those who could be asked, `drivers_notified` who were."""

    drivers_notified: int = 0
    eligible_drivers: int = 0
    considered: int = 0
    reasons: dict[str, int] = {}


# Rounds


def start_round(trip_id: int, role: Role = Role.SYSTEM, by_id: int | None = None) -> RoundResult:
    """Looks for drivers around the pickup and puts the trip before them; joins them to the round that runs.

    With nobody to ask and no open offers the trip is `unfilled` until `next_look_at`. A trip that somebody took or
    cancelled meanwhile is left alone.
    """
    settings = ServiceSettings.current()
    trip = Trip.objects.filter(pk=trip_id).first()
    if trip is None or trip.status not in OPEN:
        return RoundResult()
    near = search.nearest(
        trip.pickup_lat, trip.pickup_lng, settings.discovery_radius_km, settings.round_size * _SEARCH_FACTOR
    )
    return _run_round(trip_id, near, settings, role, by_id)


@in_transaction
def _run_round(
    trip_id: int, near: Sequence[search.Near], settings: ServiceSettings, role: Role, by_id: int | None
) -> RoundResult:
    # Held, so that two rounds cannot both count the same free place among a driver's open offers.
    list(Driver.objects.filter(pk__in=[one.driver_id for one in near]).locked().values_list("pk", flat=True))
    trip = Trip.objects.for_page().locked().filter(pk=trip_id).first()
    if trip is None or trip.status not in OPEN:
        return RoundResult()
    asked_before = trip.offers.filter(round_number=trip.round_number, status=OfferStatus.PENDING).exists()
    number = trip.round_number if asked_before else trip.round_number + 1
    candidates = assess(trip, number, near, settings)
    eligible = sorted(
        (one for one in candidates if one.reason is None), key=lambda one: (one.asked, one.distance_km, one.driver.pk)
    )
    chosen = eligible[: settings.round_size]
    reasons = tally(candidates)
    if chosen or not asked_before:
        DispatchRound.objects.create(
            trip=trip,
            number=number,
            considered=len(candidates),
            offered=len(chosen),
            more=any(not one.asked for one in eligible[len(chosen) :]),
            reasons=reasons,
        )
    if chosen:
        _offer(trip, number, [(one.driver, one.distance_km) for one in chosen], settings, role, by_id)
    elif asked_before:
        Trip.objects.filter(pk=trip.pk).update(next_look_at=None)
    else:
        _wait(trip, timezone.now() + dt.timedelta(minutes=settings.retry_min))
    return RoundResult(
        drivers_notified=len(chosen), eligible_drivers=len(eligible), considered=len(candidates), reasons=reasons
    )


def _offer(
    trip: Trip,
    number: int,
    chosen: Sequence[tuple[Driver, float]],
    settings: ServiceSettings,
    role: Role,
    by_id: int | None,
) -> None:
    """Writes the offers of a round and what everybody hears of it. The trip is locked."""
    now = timezone.now()
    urgency = pricing.urgency(trip.departure_at, now)
    offers = Offer.objects.bulk_create(
        Offer(
            trip=trip,
            driver=driver,
            round_number=number,
            urgency=urgency,
            difficulty=pricing.difficulty(trip.distance_km),
            distance_km=round(distance_km, 2),
            pickup_min=eta.minutes(distance_km),
            created_at=now,
            expires_at=Now() + settings.offer_ttl(urgency),
        )
        for driver, distance_km in chosen
    )
    expires_at = now + settings.offer_ttl(urgency)
    if trip.status == TripStatus.OFFERED:
        Trip.objects.filter(pk=trip.pk).update(version=F("version") + 1, round_number=number, next_look_at=None)
        trip.version += 1
        trip.announce(trip.status)
    else:
        trip.move(TripStatus.OFFERED, role, by_id, round_number=number, next_look_at=None)
    publish_many(
        (offer_card(offer, trip, driver, expires_at), groups.driver(driver.pk))
        for offer, (driver, _km) in zip(offers, chosen, strict=True)
    )


def _wait(trip: Trip, next_look_at: dt.datetime) -> None:
    """No open round: unfilled until the next look. The trip is locked."""
    if trip.status == TripStatus.UNFILLED:
        Trip.objects.filter(pk=trip.pk).update(version=F("version") + 1, next_look_at=next_look_at)
        trip.version += 1
        trip.next_look_at = next_look_at
        trip.announce(trip.status)
    else:
        trip.move(TripStatus.UNFILLED, Role.SYSTEM, next_look_at=next_look_at)


def _end_round_if_settled(trip: Trip) -> None:
    """The last open offer of a round was declined or ran out. The trip is locked."""
    if trip.status != TripStatus.OFFERED or trip.offers.filter(status=OfferStatus.PENDING).exists():
        return
    last = trip.rounds.filter(number=trip.round_number).order_by("-pk").first()
    pause = dt.timedelta() if last and last.more else dt.timedelta(minutes=ServiceSettings.current().retry_min)
    _wait(trip, timezone.now() + pause)


def offer_again(trip_id: int, user: User) -> RoundResult:
    """The organiser or staff have the trip offered now instead of at the next look.

    Raises:
        NotFound, NotPermitted, Conflict (trip.transition_refused): it has a driver or is over
    """
    trip = trip_for(user, trip_id)
    if not user.is_staff and trip.organiser_id != user.pk:
        raise NotPermitted("auth.forbidden", _("Only who booked the trip can have it offered again."))
    if trip.status not in OPEN:
        raise Conflict("trip.transition_refused", _("This trip is not looking for a driver."))
    if trip.status != TripStatus.UNFILLED:
        return start_round(trip_id)
    return start_round(trip_id, Role.STAFF if user.is_staff else Role.ORGANISER, user.pk)


def wake_around(driver_ids: Iterable[int]) -> None:
    """Drivers became available: the open trips around them are looked at now instead of later."""
    radius_km = ServiceSettings.current().discovery_radius_km
    for position in DriverPosition.objects.filter(driver_id__in=list(driver_ids), dispatchable=True):
        _wake_around(position.lat, position.lng, radius_km)


@in_transaction
def _wake_around(lat: float, lng: float, radius_km: float) -> None:
    around = Trip.objects.filter(search.in_cells("pickup_cell", lat, lng, radius_km), status__in=sorted(OPEN))
    # Ascending, so that two drivers who come online together cannot wait for each other.
    trip_ids = list(around.order_by("pk").locked().values_list("pk", flat=True))
    Trip.objects.filter(pk__in=trip_ids).update(next_look_at=Now())


# Answers


def accept(driver_id: int, offer_id: int) -> Trip:
    """The driver takes the trip; exactly one can. The winner repeating it gets the same answer.

    Raises:
        NotFound: offer.not_found
        NotPermitted: driver.not_approved
        Conflict: the first that applies of offer.taken, offer.withdrawn, offer.declined, offer.expired,
            driver.no_vehicle, driver.overlap
    """
    # Most of a crowd comes too late: they are answered without queuing for the locks.
    mine = Offer.objects.filter(pk=offer_id, driver_id=driver_id)
    if mine.filter(trip__driver__isnull=False).exclude(trip__driver_id=driver_id).exists():
        raise Conflict("offer.taken", _("Another driver was faster."))
    trip, won = _accept(driver_id, offer_id)
    if won:
        for trip_id in _overlapping_offers(driver_id, trip):
            _settle(driver_id, trip_id)
    return trip


@in_transaction
def _accept(driver_id: int, offer_id: int) -> tuple[Trip, bool]:
    driver = locked(driver_id)
    mine = Offer.objects.filter(pk=offer_id, driver_id=driver_id).first()
    if mine is None:
        raise NotFound("offer.not_found", _("There is no such offer."))
    trip = Trip.objects.for_page().locked().get(pk=mine.trip_id)
    mine.refresh_from_db(fields=["status", "released_at"])
    if trip.driver_id == driver_id and mine.status == OfferStatus.ACCEPTED and mine.released_at is None:
        return trip, False
    if trip.driver_id is not None and trip.driver_id != driver_id:
        raise Conflict("offer.taken", _("Another driver was faster."))
    if trip.status == TripStatus.CANCELLED or mine.status in (OfferStatus.WITHDRAWN, OfferStatus.ACCEPTED):
        raise Conflict("offer.withdrawn", _("This trip is no longer offered."))
    if mine.status == OfferStatus.DECLINED:
        raise Conflict("offer.declined", _("You declined this trip."))
    if mine.status == OfferStatus.EXPIRED or trip.status != TripStatus.OFFERED:
        raise Conflict("offer.expired", _("Time ran out for this offer."))
    # The database's clock decides, not this process's. A refusal below takes it back with the transaction.
    in_time = Offer.objects.open().filter(pk=mine.pk)
    if not in_time.update(status=OfferStatus.ACCEPTED, responded_at=Now()):
        raise Conflict("offer.expired", _("Time ran out for this offer."))
    require_approved(driver)
    if driver.vehicle is None:
        raise Conflict("driver.no_vehicle", _("You have no vehicle yet; please contact our staff."))
    _require_free(driver, trip, ServiceSettings.current())
    _assign(trip, driver, Role.DRIVER, driver.user_id, offer_id=mine.pk)
    return trip, True


def _require_free(driver: Driver, trip: Trip, settings: ServiceSettings) -> None:
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    other = Trip.objects.filter(driver=driver).overlapping(trip.departure_at, trip.ends_at, margin).first()
    if other is not None:
        at = timezone.localtime(other.departure_at, other.zone_info)
        raise Conflict("driver.overlap", _("Overlaps with your trip at %(time)s.") % {"time": f"{at:%H:%M}"})


def _assign(trip: Trip, driver: Driver, role: Role, by_id: int, offer_id: int | None) -> None:
    """The driver has the trip: settles the other offers, tells everybody. Driver and trip are locked."""
    now = timezone.now()
    trip.driver = None  # so that `move` sees no former driver
    trip.move(
        TripStatus.ACCEPTED, role, by_id, driver=driver, vehicle=driver.vehicle, accepted_at=now, next_look_at=None
    )
    withdraw_offers(trip, "accepted_by_another")
    publish(
        events.OfferAccepted(
            trip_id=trip.pk,
            offer_id=offer_id,
            version=trip.version,
            driver=driver_card(driver),
            vehicle=vehicle_card(driver.vehicle),
            accepted_at=now,
        ),
        groups.trip(trip.pk),
        groups.driver(driver.pk),
    )
    notify(
        trip.organiser,
        gettext_lazy("Driver found"),
        f"{driver.user.short_name} · {driver.vehicle}",
        audience="passenger",
        action_url=f"/trips/{trip.pk}/",
    )
    # The driver's sockets may join the trip now.
    recheck(groups.driver(driver.pk))


def withdraw_offers(trip: Trip, reason: events.OfferEnd) -> None:
    """Settles the open offers of a trip and tells their drivers. The trip is locked."""
    open_offers = list(
        trip.offers.filter(status=OfferStatus.PENDING)
        .order_by("pk")
        .select_for_update(no_key=True)
        .values_list("pk", "driver_id")
    )
    if not open_offers:
        return
    trip.offers.filter(status=OfferStatus.PENDING).update(
        status=OfferStatus.WITHDRAWN, responded_at=Now(), reason=reason
    )
    publish_many(
        (events.OfferExpired(trip_id=trip.pk, offer_id=pk, reason=reason), groups.driver(driver_id))
        for pk, driver_id in open_offers
    )


@in_transaction
def decline(driver_id: int, offer_id: int, reason: str = "") -> Offer:
    """The driver does not want it and is never asked about this trip again. Repeating it changes nothing.

    Raises:
        NotFound: offer.not_found
        Conflict: offer.taken, offer.withdrawn or offer.expired: it had ended already
    """
    offer = Offer.objects.filter(pk=offer_id, driver_id=driver_id).first()
    if offer is None:
        raise NotFound("offer.not_found", _("There is no such offer."))
    trip = Trip.objects.for_page().locked().get(pk=offer.trip_id)
    changed = Offer.objects.filter(pk=offer_id, status=OfferStatus.PENDING).update(
        status=OfferStatus.DECLINED, responded_at=Now(), reason=reason[:200]
    )
    offer.refresh_from_db()
    if not changed:
        if offer.status == OfferStatus.DECLINED:
            return offer
        if offer.status == OfferStatus.EXPIRED:
            raise Conflict("offer.expired", _("Time ran out for this offer."))
        if offer.reason == "accepted_by_another":
            raise Conflict("offer.taken", _("Another driver was faster."))
        raise Conflict("offer.withdrawn", _("This trip is no longer offered."))
    # The driver's other tabs drop the card as well.
    recheck(groups.driver(driver_id))
    _end_round_if_settled(trip)
    return offer


def _latest_offer(driver_id: int, trip_id: int) -> int:
    # By the trip's row: its key, unlike a foreign key, may be asked for numbers that no column holds.
    offers = Offer.objects.filter(driver_id=driver_id, trip__in=Trip.objects.filter(pk=trip_id))
    offer_id = offers.order_by("-pk").values_list("pk", flat=True).first()
    if offer_id is None:
        raise NotFound("offer.not_found", _("This trip is not offered to you."))
    return offer_id


def accept_trip(driver_id: int, trip_id: int) -> Trip:
    """`accept` by the trip: the driver's latest offer of it."""
    return accept(driver_id, _latest_offer(driver_id, trip_id))


def decline_trip(driver_id: int, trip_id: int, reason: str = "") -> Offer:
    """`decline` by the trip: the driver's latest offer of it."""
    return decline(driver_id, _latest_offer(driver_id, trip_id), reason)


def open_offers(driver_id: int) -> list[Offer]:
    """What the driver can answer now, the nearest deadline first."""
    offers = Offer.objects.open().filter(driver_id=driver_id)
    return list(offers.select_related("trip__organiser", "driver__vehicle").order_by("expires_at", "pk"))


# Giving back, assigning


@in_transaction
def release(driver_id: int, trip_id: int, reason: str = "") -> Trip:
    """The driver gives an accepted trip back: offered again at once, never to them again.

    Raises:
        NotFound, Conflict (trip.release_too_late, trip.transition_refused)
    """
    driver = locked(driver_id)
    trip = Trip.objects.for_page().locked().filter(pk=trip_id).first()
    if trip is None or trip.driver_id != driver_id:
        if trip is not None and trip.offers.filter(driver_id=driver_id, released_at__isnull=False).exists():
            return trip
        raise NotFound("trip.not_found", _("There is no such trip."))
    until = trip.departure_at - dt.timedelta(minutes=ServiceSettings.current().release_until_min)
    # A trip for now departs when it is booked; it can be given back until the driver is at the pickup.
    if not trip.is_now and timezone.now() > until:
        raise Conflict("trip.release_too_late", _("It is too late to release this trip; please contact our staff."))
    _give_back(trip, driver, Role.DRIVER, driver.user_id, reason)
    return trip


@in_transaction
def take_off(trip_id: int, user: User, reason: str = "") -> Trip:
    """Staff take the trip off its driver; it is offered again at once, not to them.

    Raises:
        NotFound, NotPermitted, Conflict (trip.transition_refused)
    """
    _require_staff(user)
    seen = trip_for(user, trip_id)
    if seen.driver_id is None:
        raise Conflict("trip.transition_refused", _("This trip has no driver."))
    driver = locked(seen.driver_id)
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.driver_id != seen.driver_id:
        raise Stale
    _give_back(trip, driver, Role.STAFF, user.pk, reason)
    notify(
        driver.user,
        gettext_lazy("A trip was taken off you"),
        f"{trip.title}. {reason}".strip(),
        audience="driver",
        priority="high",
        action_url="/driver/",
    )
    return trip


def _give_back(trip: Trip, driver: Driver, role: Role, by_id: int, reason: str) -> None:
    now = timezone.now()
    mine = trip.offers.filter(driver=driver)
    held = mine.filter(status=OfferStatus.ACCEPTED, released_at__isnull=True)
    if not held.update(released_at=now) and not mine.filter(released_at__isnull=False).exists():
        # Assigned by staff without an offer: leave one behind, so that they are not asked again.
        Offer.objects.create(
            trip=trip,
            driver=driver,
            round_number=trip.round_number + 1,
            status=OfferStatus.ACCEPTED,
            urgency=pricing.urgency(trip.departure_at, now),
            difficulty=pricing.difficulty(trip.distance_km),
            distance_km=0,
            pickup_min=0,
            created_at=now,
            expires_at=now,
            responded_at=now,
            released_at=now,
        )
    search_until = max(trip.search_until, now + dt.timedelta(minutes=ServiceSettings.current().patience_min))
    trip.move(
        TripStatus.OFFERED,
        role,
        by_id,
        reason,
        driver=None,
        vehicle=None,
        accepted_at=None,
        next_look_at=now,
        search_until=search_until if trip.is_now else trip.search_until,
        delay_minutes=0,
        delay_reason="",
    )
    transaction.on_commit(partial(afterwards, start_round, trip.pk))
    free(driver.pk)
    notify(
        trip.organiser,
        gettext_lazy("Your driver had to give up the trip"),
        gettext_lazy("We are asking other drivers now."),
        audience="passenger",
        priority="high",
        action_url=f"/trips/{trip.pk}/",
    )
    recheck(groups.driver(driver.pk))


def assign(trip_id: int, driver_id: int, user: User) -> Trip:
    """Staff give the trip to a driver, whoever was asked.

    Raises:
        NotFound, NotPermitted, Conflict (driver.overlap, driver.no_vehicle, trip.transition_refused)
    """
    _require_staff(user)
    trip = _assign_by_staff(trip_id, driver_id, user)
    for other_id in _overlapping_offers(driver_id, trip):
        _settle(driver_id, other_id)
    return trip


@in_transaction
def _assign_by_staff(trip_id: int, driver_id: int, user: User) -> Trip:
    driver = locked(driver_id)
    trip = Trip.objects.for_page().locked().filter(pk=trip_id).first()
    if trip is None:
        raise NotFound("trip.not_found", _("There is no such trip."))
    if trip.driver_id == driver_id and trip.status == TripStatus.ACCEPTED:
        return trip
    if trip.status not in OPEN:
        raise Conflict("trip.transition_refused", _("This trip is not looking for a driver."))
    require_approved(driver)
    if driver.vehicle is None:
        raise Conflict("driver.no_vehicle", _("This driver has no vehicle."))
    if driver.vehicle.seats < trip.seats:
        raise Conflict("driver.too_few_seats", _("This driver's vehicle has too few seats."))
    _require_free(driver, trip, ServiceSettings.current())
    mine = trip.offers.filter(driver=driver, status=OfferStatus.PENDING)
    offer_id = mine.values_list("pk", flat=True).first()
    mine.update(status=OfferStatus.ACCEPTED, responded_at=Now())
    _assign(trip, driver, Role.STAFF, user.pk, offer_id)
    notify(
        driver.user,
        gettext_lazy("A trip was assigned to you"),
        trip.title,
        audience="driver",
        priority="high",
        action_url="/driver/",
    )
    return trip


def _require_staff(user: User) -> None:
    if not user.is_staff:
        raise NotPermitted("auth.forbidden", _("Only staff can do this."))


# What follows when a driver can no longer take what was put before them


def _overlapping_offers(driver_id: int, trip: Trip) -> list[int]:
    margin = dt.timedelta(minutes=ServiceSettings.current().overlap_margin_min)
    return list(
        Offer.objects.filter(
            driver_id=driver_id,
            status=OfferStatus.PENDING,
            trip__departure_at__lt=trip.ends_at + margin,
            trip__ends_at__gt=trip.departure_at - margin,
        )
        .order_by("trip_id")
        .values_list("trip_id", flat=True)
    )


def withdraw_from_driver(driver_id: int) -> None:
    """Takes back everything that is put before a driver (suspended, rejected)."""
    pending = Offer.objects.filter(driver_id=driver_id, status=OfferStatus.PENDING).order_by("trip_id")
    for trip_id in pending.values_list("trip_id", flat=True):
        _settle(driver_id, trip_id)


@in_transaction
def _settle(driver_id: int, trip_id: int) -> None:
    """Withdraws one driver's open offer of one trip; the round goes on or ends.

    One transaction a trip: holding several trips at once would break the lock order.
    """
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    mine = trip.offers.filter(driver_id=driver_id, status=OfferStatus.PENDING)
    ids = list(mine.values_list("pk", flat=True))
    mine.update(status=OfferStatus.WITHDRAWN, responded_at=Now(), reason="driver_busy")
    for offer_id in ids:
        publish(events.OfferExpired(trip_id=trip.pk, offer_id=offer_id, reason="cancelled"), groups.driver(driver_id))
    _end_round_if_settled(trip)


# What the dispatcher does


def _each(verb: Callable[[int], object], trip_ids: Iterable[int]) -> int:
    """One trip after the other, each in a transaction of its own; returns how many `verb` did something about."""

    def one(trip_ids: list[int]) -> int:
        return bool(verb(trip_ids[0]))

    return sum(each_alone_where_needed(one, [trip_id]) for trip_id in trip_ids)


def expire_due(limit: int = 100) -> int:
    """Settles offers past their deadline; returns the number of trips it did. Trips others hold are skipped."""
    trip_ids = list(Offer.objects.due().order_by().values_list("trip_id", flat=True).distinct()[:limit])
    return _each(_expire, trip_ids)


@in_transaction
def _expire(trip_id: int) -> bool:
    trip = Trip.objects.for_page().filter(pk=trip_id).select_for_update(no_key=True, of=("self",), skip_locked=True)
    claimed = trip.first()
    if claimed is None:
        return False
    due = list(claimed.offers.due().order_by("pk").values_list("pk", "driver_id"))
    if not due:
        return False
    claimed.offers.filter(pk__in=[pk for pk, _driver in due]).update(
        status=OfferStatus.EXPIRED, responded_at=Now(), reason="timeout"
    )
    publish_many(
        (events.OfferExpired(trip_id=trip_id, offer_id=pk, reason="timeout"), groups.driver(driver_id))
        for pk, driver_id in due
    )
    _end_round_if_settled(claimed)
    return True


def look_due(limit: int = 50) -> int:
    """Starts the rounds that are due; returns their number."""
    trip_ids = _claim_looks(limit)
    return _each(start_round, trip_ids)


@in_transaction
def _claim_looks(limit: int) -> list[int]:
    """Claims due trips for this dispatcher: another one sees them again only if this one dies on the way."""
    due = Trip.objects.filter(next_look_at__lte=Now(), search_until__gt=Now(), status__in=sorted(OPEN))
    trip_ids = list(
        due.order_by("next_look_at")
        .select_for_update(no_key=True, skip_locked=True, of=("self",))
        .values_list("pk", flat=True)[:limit]
    )
    Trip.objects.filter(pk__in=trip_ids).update(next_look_at=Now() + dt.timedelta(seconds=30))
    return trip_ids


def give_up_due(limit: int = 50) -> int:
    """Cancels trips that nobody took until their departure; returns their number."""
    due = Trip.objects.filter(search_until__lte=Now(), status__in=sorted(OPEN)).order_by("search_until")
    trip_ids = list(due.values_list("pk", flat=True)[:limit])
    return _each(_give_up, trip_ids)


@in_transaction
def _give_up(trip_id: int) -> bool:
    trip = (
        Trip.objects.for_page()
        .filter(pk=trip_id, search_until__lte=Now(), status__in=sorted(OPEN))
        .select_for_update(no_key=True, of=("self",), skip_locked=True)
        .first()
    )
    if trip is None:
        return False
    end(trip, TripStatus.CANCELLED, Role.SYSTEM, None, _("No driver was found in time."))
    return True
