"""What drivers answer to offers, and what staff and passengers do about who has a trip. Who is asked: trips.rounds.

Everything is decided in the database, so any number of processes may run this at once, be killed and come back.
Lock order, everywhere: driver, trip, offers, bookings. Deadlines are judged by the database's clock.
"""

import datetime as dt
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.availability import free, locked, require_approved
from drivers.models import Driver
from realtime import events, groups
from realtime.notify import notify, notify_staff
from realtime.publish import publish, publish_many, recheck
from stepper import limits
from stepper.errors import Conflict, NotFound, NotPermitted
from stepper.models import ServiceSettings, User
from stepper.templatetags.units import clock
from stepper.transactions import Stale, afterwards, in_transaction

from . import overlap, pricing
from .bookings import require_looking, trip_for
from .cards import driver_card, vehicle_card
from .eligibility import REASONS, unfit
from .models import AT_REST, Offer, Trip
from .rounds import RoundResult, end_waves_if_settled, start_round
from .states import ASSIGNED, EXPECTED, OPEN, OfferStatus, Role, TripStatus

# Why an offer was withdrawn from its driver: another trip of theirs overlaps; they or their vehicle changed.
DRIVER_BUSY, NO_LONGER_ELIGIBLE = "driver_busy", "no_longer_eligible"
# A driver has it, nobody sits in the vehicle yet.
BEFORE_BOARDING = EXPECTED | {TripStatus.DRIVER_ARRIVED}


class Unfit(Conflict):
    """The driver's licence or vehicle, as they are now, are not what the trip needs."""


def offer_again(trip_id: int, user: User) -> RoundResult:
    """The organiser or staff have the trip offered now instead of at the next look.

    Raises:
        NotFound, NotPermitted, Conflict (trip.transition_refused): it has a driver or is over
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "offer_again", "changes_per_min")
    trip = trip_for(user, trip_id)
    require_looking(trip, user, _("Only who booked the trip can have it offered again."))
    if trip.status != TripStatus.UNFILLED:
        return start_round(trip_id, at_once=True)
    return start_round(trip_id, Role.STAFF if user.may_steer_trips else Role.ORGANISER, user.pk, at_once=True)


# Answers


def accept(driver_id: int, offer_id: int) -> Trip:
    """The driver takes the trip; exactly one can. The winner repeating it gets the same answer.

    Raises:
        NotFound: offer.not_found
        NotPermitted: driver.not_approved
        Conflict: the first that applies of offer.taken, offer.withdrawn, offer.declined, offer.expired,
            driver.licence_expired, driver.no_vehicle, driver.too_few_seats, driver.vehicle_class, driver.overlap
        TooManyRequests: more than `answers_per_min`
    """
    mine = Offer.objects.filter(pk=offer_id, driver_id=driver_id)
    seen = mine.order_by().values_list("trip_id", "trip__driver_id").first()
    # Most of a crowd comes too late: they are answered without queuing for the locks, which costs less than counting.
    if seen is not None and seen[1] not in (None, driver_id):
        raise Conflict("offer.taken", _("Another driver was faster."))
    limits.count_call("accept", driver_id, "answers_per_min")
    if seen is None:
        with transaction.atomic():
            locked(driver_id)  # says so where there is no such driver
        raise NotFound("offer.not_found", _("There is no such offer."))
    trip_id, _taken_by = seen
    settings = ServiceSettings.current()
    try:
        trip = _accept(driver_id, trip_id, offer_id, settings)
    except Unfit:
        # It will not become theirs: the next driver need not wait until the offer expires.
        afterwards(_settle, driver_id, trip_id, NO_LONGER_ELIGIBLE)
        raise
    if trip.status in ASSIGNED:  # not where it is over, and repeated late
        # Also for who repeats it: the first time may have ended between the two.
        afterwards(_settle_overlapping, driver_id, trip, settings)
    return trip


@in_transaction
def _accept(driver_id: int, trip_id: int, offer_id: int, settings: ServiceSettings) -> Trip:
    driver = locked(driver_id)
    trip = Trip.objects.select_related("organiser").locked().get(pk=trip_id)
    mine = Offer.objects.filter(pk=offer_id)
    # The database's clock decides, not this process's. A refusal below takes it back with the transaction.
    in_time = mine.open().update(status=OfferStatus.ACCEPTED, responded_at=Now())
    can_be_had = in_time and trip.driver_id is None and trip.status == TripStatus.OFFERED
    if not can_be_had and _is_mine_already(mine.get(), trip, driver_id, in_time=bool(in_time)):
        return trip
    require_approved(driver)
    _require_fit(driver, trip)
    _require_free(driver, trip, settings)
    _assign(trip, driver, Role.DRIVER, driver.user_id, offer_id, settings)
    return trip


def _is_mine_already(mine: Offer, trip: Trip, driver_id: int, *, in_time: bool) -> bool:
    """Why an offer cannot be accepted, as the first that applies of what `accept` raises; True: it was, by them."""
    if trip.driver_id == driver_id and not in_time and mine.status == OfferStatus.ACCEPTED and not mine.released_at:
        return True
    if trip.driver_id is not None and trip.driver_id != driver_id:
        raise Conflict("offer.taken", _("Another driver was faster."))
    if trip.status == TripStatus.CANCELLED or mine.status in (OfferStatus.WITHDRAWN, OfferStatus.ACCEPTED):
        raise Conflict("offer.withdrawn", _("This trip is no longer offered."))
    if mine.status == OfferStatus.DECLINED:
        raise Conflict("offer.declined", _("You declined this trip."))
    raise Conflict("offer.expired", _("Time ran out for this offer."))


def _require_fit(driver: Driver, trip: Trip, *, by_staff: bool = False) -> None:
    """Refuse a driver whose licence or vehicle, as they are now, are not what the trip needs.

    Staff may give a trip to a smaller class of vehicle; nobody may to too few seats or without a licence.

    Raises:
        Unfit: driver.licence_expired, driver.no_vehicle, driver.too_few_seats, driver.vehicle_class
    """
    codes = unfit(trip, driver)
    if "licence_expired" in codes:
        yours = _("Your licence has expired; please send our staff the new one.")
        raise Unfit("driver.licence_expired", _("This driver's licence has expired.") if by_staff else yours)
    if "no_vehicle" in codes:
        yours = _("You have no vehicle yet; please contact our staff.")
        raise Unfit("driver.no_vehicle", _("This driver has no vehicle.") if by_staff else yours)
    if "too_few_seats" in codes:
        yours = _("Your vehicle has too few seats for this trip.")
        raise Unfit("driver.too_few_seats", _("This driver's vehicle has too few seats.") if by_staff else yours)
    if "vehicle_class" in codes and not by_staff:
        raise Unfit("driver.vehicle_class", _("The passenger booked a larger class of vehicle than yours."))


def _require_free(driver: Driver, trip: Trip, settings: ServiceSettings) -> None:
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    others = Trip.objects.filter(driver=driver).overlapping(trip.departure_at, trip.ends_at, margin)
    other = others.order_by("departure_at").values_list("departure_at", "timezone").first()
    if other is not None:
        raise Conflict("driver.overlap", _("Overlaps with your trip at %(time)s.") % {"time": clock(*other)})


def _assign(
    trip: Trip, driver: Driver, role: Role, by_id: int, offer_id: int | None, settings: ServiceSettings
) -> None:
    """The driver has the trip: settles the other offers, tells everybody. Driver and trip are locked."""
    now = timezone.now()
    trip.driver = None  # so that `move` sees no former driver
    taken: dict[str, Any] = {"driver": driver, "vehicle": driver.vehicle, "accepted_at": now}
    taken |= overlap.span(trip, settings) | AT_REST
    try:
        trip.move(TripStatus.ACCEPTED, role, by_id, **taken)
    except IntegrityError as error:
        if overlap.NAME not in str(error):
            raise
        raise Conflict("driver.overlap", _("Overlaps with another trip of this driver.")) from error
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


@limits.counted("decline", "answers_per_min")
@in_transaction
def decline(driver_id: int, offer_id: int, reason: str = "") -> Offer:
    """The driver does not want it and is never asked about this trip again. Repeating it changes nothing.

    Raises:
        NotFound: offer.not_found
        Conflict: offer.taken, offer.withdrawn or offer.expired: it had ended already
        TooManyRequests: more than `answers_per_min`
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
    end_waves_if_settled([trip.pk])
    return offer


def _latest_offer(driver_id: int, trip_id: int, verb: str) -> int:
    """The driver's latest offer of a trip; an answer without one is counted here, as the verb does not see it."""
    # By the trip's row: its key, unlike a foreign key, may be asked for numbers that no column holds.
    offers = Offer.objects.filter(driver_id=driver_id, trip__in=Trip.objects.filter(pk=trip_id))
    offer_id = offers.order_by("-pk").values_list("pk", flat=True).first()
    if offer_id is None:
        limits.count_call(verb, driver_id, "answers_per_min")
        raise NotFound("offer.not_found", _("This trip is not offered to you."))
    return offer_id


def accept_trip(driver_id: int, trip_id: int) -> Trip:
    """`accept` by the trip: the driver's latest offer of it."""
    return accept(driver_id, _latest_offer(driver_id, trip_id, "accept"))


def decline_trip(driver_id: int, trip_id: int, reason: str = "") -> Offer:
    """`decline` by the trip: the driver's latest offer of it."""
    return decline(driver_id, _latest_offer(driver_id, trip_id, "decline"), reason)


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
    require_staff(user)
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
    # Whether the driver gave it back late or never set off: a trip that begins about now is searched for like one
    # that was booked for now.
    search_until = max(trip.search_until, now + dt.timedelta(minutes=ServiceSettings.current().patience_min))
    trip.move(
        TripStatus.OFFERED,
        role,
        by_id,
        reason,
        driver=None,
        vehicle=None,
        accepted_at=None,
        **AT_REST | {"next_look_at": now},
        search_until=search_until,
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


def assign(trip_id: int, driver_id: int, user: User) -> Trip:
    """Staff give the trip to a driver, whoever was asked.

    Raises:
        NotFound, NotPermitted, Conflict (driver.overlap, driver.own_trip, driver.licence_expired, driver.no_vehicle,
            driver.too_few_seats, trip.transition_refused)
    """
    require_staff(user)
    trip = _assign_by_staff(trip_id, driver_id, user)
    afterwards(_settle_overlapping, driver_id, trip, ServiceSettings.current())
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
    if driver.user_id == trip.organiser_id:
        raise Conflict("driver.own_trip", _("This driver booked the trip."))
    _require_fit(driver, trip, by_staff=True)
    settings = ServiceSettings.current()
    _require_free(driver, trip, settings)
    mine = trip.offers.filter(driver=driver, status=OfferStatus.PENDING)
    offer_id = mine.values_list("pk", flat=True).first()
    mine.update(status=OfferStatus.ACCEPTED, responded_at=Now())
    _assign(trip, driver, Role.STAFF, user.pk, offer_id, settings)
    notify(
        driver.user,
        gettext_lazy("A trip was assigned to you"),
        trip.title,
        audience="driver",
        priority="high",
        action_url="/driver/",
    )
    return trip


def require_staff(user: User) -> None:
    if not user.may_steer_trips:
        raise NotPermitted("auth.forbidden", _("Only staff can do this."))


# What follows when a driver can no longer take what was put before them


def _settle_overlapping(driver_id: int, trip: Trip, settings: ServiceSettings) -> None:
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    overlapping = Offer.objects.filter(
        driver_id=driver_id,
        status=OfferStatus.PENDING,
        trip__departure_at__lt=trip.ends_at + margin,
        trip__ends_at__gt=trip.departure_at - margin,
    )
    for other_id in overlapping.order_by("trip_id").values_list("trip_id", flat=True):
        _settle(driver_id, other_id)


def withdraw_from_driver(driver_id: int) -> None:
    """Takes back everything that is put before a driver (suspended, rejected, deactivated)."""
    pending = Offer.objects.filter(driver_id=driver_id, status=OfferStatus.PENDING).order_by("trip_id")
    for trip_id in pending.values_list("trip_id", flat=True):
        _settle(driver_id, trip_id, NO_LONGER_ELIGIBLE)


def review_driver(driver_id: int) -> None:
    """Judge again what a driver was offered and has accepted, after staff changed their vehicle or licence.

    Open offers that they do not fit any more are withdrawn. A trip that has not begun gets the driver's new vehicle,
    and its passenger is told; staff are told where driver or vehicle are not what the trip needs.
    """
    driver = Driver.objects.select_related("vehicle").get(pk=driver_id)
    offers = Offer.objects.filter(driver_id=driver_id, status=OfferStatus.PENDING).select_related("trip")
    for offer in offers.order_by("trip_id"):
        if unfit(offer.trip, driver):
            _settle(driver_id, offer.trip_id, NO_LONGER_ELIGIBLE)
    ahead = Trip.objects.filter(driver_id=driver_id, status__in=sorted(BEFORE_BOARDING))
    for trip_id in ahead.order_by("pk").values_list("pk", flat=True):
        _review_trip(driver_id, trip_id)


@in_transaction
def _review_trip(driver_id: int, trip_id: int) -> None:
    driver = locked(driver_id)
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.driver_id != driver_id or trip.status not in BEFORE_BOARDING:
        return  # it went on meanwhile
    if driver.vehicle is not None and trip.vehicle_id != driver.vehicle.pk:
        trip.amend(vehicle=driver.vehicle)
        notify(
            trip.organiser,
            gettext_lazy("Your driver comes in another vehicle"),
            f"{driver.user.short_name} · {driver.vehicle}",
            audience="passenger",
            priority="high",
            action_url=f"/trips/{trip.pk}/",
        )
    codes = unfit(trip, driver)
    if codes:
        told = partial(_unfit_words, trip, driver, codes)
        notify_staff("trips.change_trip", told, reverse("admin:trips_trip_change", args=[trip.pk]))


def _unfit_words(trip: Trip, driver: Driver, codes: list[str]) -> tuple[str, str]:
    title = _("Trip %(id)d: its driver does not fit any more") % {"id": trip.pk}
    return title, f"{trip.title} · {driver.user.name}: {', '.join(str(REASONS[code]) for code in codes)}"


@in_transaction
def _settle(driver_id: int, trip_id: int, reason: str = DRIVER_BUSY) -> None:
    """Withdraws one driver's open offer of one trip; the round goes on or ends.

    One transaction a trip: holding several trips at once would break the lock order.
    """
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    mine = trip.offers.filter(driver_id=driver_id, status=OfferStatus.PENDING)
    ids = list(mine.values_list("pk", flat=True))
    mine.update(status=OfferStatus.WITHDRAWN, responded_at=Now(), reason=reason)
    told: events.OfferEnd = "no_longer_eligible" if reason == NO_LONGER_ELIGIBLE else "cancelled"
    for offer_id in ids:
        publish(events.OfferExpired(trip_id=trip.pk, offer_id=offer_id, reason=told), groups.driver(driver_id))
    end_waves_if_settled([trip.pk])
