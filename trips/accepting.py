"""A driver's answers to an offer: accepting it, which exactly one driver can, and declining it.

Everything is decided in the database, so any number of processes may run this together, be killed and come back.
Lock order everywhere: driver, trip, offers, bookings. Deadlines are judged by the database's clock.
"""

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from drivers.availability import lock_driver, require_approved
from realtime import events, groups
from realtime.outbox import publish
from stepper import limits
from stepper.db.transactions import best_effort, in_transaction
from stepper.errors import Conflict, DomainError, NotFound
from stepper.models import ServiceSettings
from stepper.monitoring import figures
from trips.assignment import assign_driver
from trips.fitness import Unfit, require_fit, require_no_overlap
from trips.models import Offer, Trip
from trips.offers import end_waves_if_settled, latest_offer, withdraw_from_trip, withdraw_overlapping
from trips.repeats import is_repeated
from trips.states import ASSIGNED, ASSIGNED_BY_STAFF, NO_LONGER_ELIGIBLE, OfferStatus, Role, TripStatus


def accept(driver_id: int, offer_id: int, *, key: str = "") -> Trip:
    """Assign the trip to the driver whose offer it is; exactly one can accept. Repeating it gives the same answer.

    `key`: see trips.repeats.

    Raises:
        NotFound: offer.not_found
        InvalidInput, Conflict: as trips.repeats
        NotPermitted: driver.not_approved
        Conflict: the first that applies of offer.taken, offer.withdrawn, offer.declined, offer.expired,
            driver.licence_expired, driver.no_vehicle, driver.too_few_seats, driver.vehicle_class, driver.overlap,
            vehicle.overlap
        TooManyRequests: more than `answers_per_min`
    """
    try:
        return _accept_offer(driver_id, offer_id, key)
    except DomainError as error:
        figures.ACCEPTS.labels(error.code).inc()
        raise


def _accept_offer(driver_id: int, offer_id: int, key: str) -> Trip:
    """Accept the offer, or withdraw it where this driver cannot; withdraw those that overlap its trip."""
    offers = Offer.objects.filter(pk=offer_id, driver_id=driver_id).order_by()
    offered = offers.values_list("trip_id", "trip__driver_id").first()
    # When many drivers accept together, most come too late: refuse them without waiting for the locks, and without
    # counting the call, which would cost more than this query.
    if offered is not None and offered[1] not in (None, driver_id):
        raise Conflict("offer.taken", _("Another driver was faster."))
    settings = ServiceSettings.current()
    limits.count_call("accept", driver_id, setting="answers_per_min", settings=settings)
    if offered is None:
        with transaction.atomic():
            lock_driver(driver_id)  # raises NotFound if there is no such driver
        raise NotFound("offer.not_found", _("There is no such offer."))
    trip_id, _driver_id = offered
    try:
        trip = _accept(driver_id, trip_id, offer_id, settings, key)
    except Unfit:
        # This driver cannot get the trip: withdraw the offer, so that the next driver need not wait until it expires.
        best_effort(withdraw_from_trip, driver_id, trip_id, NO_LONGER_ELIGIBLE)
        raise
    if trip.status in ASSIGNED and trip.driver_id == driver_id:  # not if the call is repeated after the trip is over
        # Also when the call is repeated: the first one may have failed between accepting and withdrawing.
        best_effort(withdraw_overlapping, driver_id, trip, settings)
    return trip


@in_transaction
def _accept(driver_id: int, trip_id: int, offer_id: int, settings: ServiceSettings, key: str) -> Trip:
    """Lock the vehicle's drivers and the trip, compare-and-set the offer, check the driver and assign the trip."""
    driver = lock_driver(driver_id, with_mates=True)
    trip = Trip.objects.select_related("organiser").locked().get(pk=trip_id)
    if is_repeated(driver_id, key, f"accept {offer_id}"):
        return trip
    mine = Offer.objects.filter(pk=offer_id)
    # The database's clock decides, not this process's. A refusal below rolls this update back.
    in_time = mine.open().update(status=OfferStatus.ACCEPTED, responded_at=Now())
    can_be_had = in_time and trip.driver_id is None and trip.status == TripStatus.OFFERED
    if not can_be_had and _has_it_already(mine.get(), trip, driver_id=driver_id, in_time=bool(in_time)):
        return trip
    require_approved(driver)
    require_fit(driver, trip)
    require_no_overlap(driver, trip, settings)
    figures.count_after_commit(figures.OFFERS, outcome=OfferStatus.ACCEPTED.value)
    figures.count_after_commit(figures.ACCEPTS, outcome=OfferStatus.ACCEPTED.value)
    assign_driver(trip, driver, role=Role.DRIVER, by_id=driver.user_id, offer_id=offer_id, settings=settings)
    return trip


def _has_it_already(mine: Offer, trip: Trip, *, driver_id: int, in_time: bool) -> bool:
    """Raise the first reason why the offer cannot be accepted; return True if the driver has the trip already."""
    has_won = mine.status == OfferStatus.ACCEPTED and not mine.released_at
    # Staff may have given them the trip while they were asked.
    if trip.driver_id == driver_id and not in_time and (has_won or mine.reason == ASSIGNED_BY_STAFF):
        return True
    if trip.driver_id is not None and trip.driver_id != driver_id:
        raise Conflict("offer.taken", _("Another driver was faster."))
    if trip.status == TripStatus.CANCELLED or mine.status in (OfferStatus.WITHDRAWN, OfferStatus.ACCEPTED):
        raise Conflict("offer.withdrawn", _("This trip is no longer offered."))
    if mine.status == OfferStatus.DECLINED:
        raise Conflict("offer.declined", _("You declined this trip."))
    raise Conflict("offer.expired", _("Time ran out for this offer."))


def accept_trip(driver_id: int, trip_id: int, *, key: str = "") -> Trip:
    """Accept the driver's latest offer of a trip."""
    return accept(driver_id, latest_offer(driver_id, trip_id, "accept"), key=key)


@limits.counted("decline", "answers_per_min")
@in_transaction
def decline(driver_id: int, offer_id: int, reason: str = "", *, key: str = "") -> Offer:
    """Decline an offer: the driver is not asked about this trip again. Repeating it changes nothing.

    `key`: see trips.repeats.

    Raises:
        NotFound: offer.not_found
        InvalidInput, Conflict: as trips.repeats
        Conflict: offer.taken, offer.withdrawn or offer.expired: the offer had ended already
        TooManyRequests: more than `answers_per_min`
    """
    offer = Offer.objects.filter(pk=offer_id, driver_id=driver_id).first()
    if offer is None:
        raise NotFound("offer.not_found", _("There is no such offer."))
    trip = Trip.objects.for_page().locked().get(pk=offer.trip_id)
    if is_repeated(driver_id, key, f"decline {offer_id}"):
        return offer
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
    figures.count_after_commit(figures.OFFERS, outcome=OfferStatus.DECLINED.value)
    # The driver's other tabs remove the offer as well.
    publish(
        events.OfferExpired(trip_id=trip.pk, offer_id=offer_id, reason="declined"),
        groups.driver(driver_id),
        groups.trip_for_staff(trip.pk),
    )
    end_waves_if_settled([trip.pk])
    return offer


def decline_trip(driver_id: int, trip_id: int, reason: str = "", *, key: str = "") -> Offer:
    """Decline the driver's latest offer of a trip."""
    return decline(driver_id, latest_offer(driver_id, trip_id, "decline"), reason, key=key)
