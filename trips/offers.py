"""Offers to drivers: which are open, and how one is withdrawn when its driver can no longer accept it.

Answering them is in trips.accepting, making them in trips.dispatch, expiring them in trips.deadlines.
"""

import datetime as dt
from collections.abc import Collection

from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from realtime import events, groups
from realtime.outbox import publish, publish_many
from stepper import limits
from stepper.db.transactions import in_transaction
from stepper.errors import NotFound
from stepper.models import ServiceSettings
from trips.models import Offer, Trip
from trips.states import OfferStatus, TripStatus

# Why an offer was withdrawn from its driver: another trip of theirs overlaps; they or their vehicle changed.
DRIVER_BUSY, NO_LONGER_ELIGIBLE = "driver_busy", "no_longer_eligible"


def withdraw_offers(trip: Trip, reason: events.OfferEnd) -> None:
    """Withdraw the open offers of a trip and publish it to their drivers. The trip is locked."""
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


def latest_offer(driver_id: int, trip_id: int, verb: str) -> int:
    """Return the id of the driver's latest offer of a trip.

    If there is none, the call is counted here as one of `verb`, because `verb` does not run.

    Raises:
        NotFound: offer.not_found
        TooManyRequests: more than `answers_per_min`
    """
    # By a subquery on the trip: Django handles ids beyond the column's range for a primary key, not for a foreign key.
    offers = Offer.objects.filter(driver_id=driver_id, trip__in=Trip.objects.filter(pk=trip_id))
    offer_id = offers.order_by("-pk").values_list("pk", flat=True).first()
    if offer_id is None:
        limits.count_call(verb, driver_id, setting="answers_per_min")
        raise NotFound("offer.not_found", _("This trip is not offered to you."))
    return offer_id


def open_offers(driver_id: int) -> list[Offer]:
    """Return the offers that the driver can answer now, the nearest deadline first."""
    offers = Offer.objects.open().filter(driver_id=driver_id)
    return list(offers.select_related("trip__organiser", "driver__vehicle").order_by("expires_at", "pk"))


# Offers that their driver can no longer accept


def withdraw_overlapping(driver_id: int, trip: Trip, settings: ServiceSettings) -> None:
    """Withdraw a driver's open offers of trips that overlap `trip`, which they now have."""
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    overlapping = Offer.objects.filter(
        driver_id=driver_id,
        status=OfferStatus.PENDING,
        trip__departure_at__lt=trip.ends_at + margin,
        trip__ends_at__gt=trip.departure_at - margin,
    )
    for other_id in overlapping.order_by("trip_id").values_list("trip_id", flat=True):
        withdraw_from_trip(driver_id, other_id)


def withdraw_from_driver(driver_id: int) -> None:
    """Withdraw all open offers of a driver who was suspended, rejected or deactivated."""
    pending = Offer.objects.filter(driver_id=driver_id, status=OfferStatus.PENDING).order_by("trip_id")
    for trip_id in pending.values_list("trip_id", flat=True):
        withdraw_from_trip(driver_id, trip_id, NO_LONGER_ELIGIBLE)


@in_transaction
def withdraw_from_trip(driver_id: int, trip_id: int, reason: str = DRIVER_BUSY) -> None:
    """Withdraw one driver's open offer of one trip; end its wave if no open offer is left.

    One transaction for each trip: locks on several trips at once would break the lock order.
    """
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    pending = trip.offers.filter(driver_id=driver_id, status=OfferStatus.PENDING)
    ids = list(pending.values_list("pk", flat=True))
    pending.update(status=OfferStatus.WITHDRAWN, responded_at=Now(), reason=reason)
    published: events.OfferEnd = "no_longer_eligible" if reason == NO_LONGER_ELIGIBLE else "cancelled"
    for offer_id in ids:
        publish(events.OfferExpired(trip_id=trip.pk, offer_id=offer_id, reason=published), groups.driver(driver_id))
    end_waves_if_settled([trip.pk])


def end_waves_if_settled(trip_ids: Collection[int]) -> None:
    """Make the next wave due for those of the trips that have no open offer left. The trips are locked."""
    pending = Offer.objects.filter(trip=OuterRef("pk"), status=OfferStatus.PENDING)
    answered = Trip.objects.filter(~Exists(pending), pk__in=trip_ids, status=TripStatus.OFFERED)
    answered.update(next_look_at=Now(), reach_km=None)
