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


def latest_offer(driver_id: int, trip_id: int, verb: str) -> int:
    """The driver's latest offer of a trip; an answer without one is counted here, as the verb does not see it."""
    # By the trip's row: its key, unlike a foreign key, may be asked for numbers that no column holds.
    offers = Offer.objects.filter(driver_id=driver_id, trip__in=Trip.objects.filter(pk=trip_id))
    offer_id = offers.order_by("-pk").values_list("pk", flat=True).first()
    if offer_id is None:
        limits.count_call(verb, driver_id, setting="answers_per_min")
        raise NotFound("offer.not_found", _("This trip is not offered to you."))
    return offer_id


def open_offers(driver_id: int) -> list[Offer]:
    """What the driver can answer now, the nearest deadline first."""
    offers = Offer.objects.open().filter(driver_id=driver_id)
    return list(offers.select_related("trip__organiser", "driver__vehicle").order_by("expires_at", "pk"))


# What follows when a driver can no longer take what was put before them


def withdraw_overlapping(driver_id: int, trip: Trip, settings: ServiceSettings) -> None:
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    overlapping = Offer.objects.filter(
        driver_id=driver_id,
        status=OfferStatus.PENDING,
        trip__departure_at__lt=trip.ends_at + margin,
        trip__ends_at__gt=trip.departure_at - margin,
    )
    for other_id in overlapping.order_by("trip_id").values_list("trip_id", flat=True):
        _withdraw_from_trip(driver_id, other_id)


def withdraw_from_driver(driver_id: int) -> None:
    """Takes back everything that is put before a driver (suspended, rejected, deactivated)."""
    pending = Offer.objects.filter(driver_id=driver_id, status=OfferStatus.PENDING).order_by("trip_id")
    for trip_id in pending.values_list("trip_id", flat=True):
        _withdraw_from_trip(driver_id, trip_id, NO_LONGER_ELIGIBLE)


@in_transaction
def _withdraw_from_trip(driver_id: int, trip_id: int, reason: str = DRIVER_BUSY) -> None:
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


def end_waves_if_settled(trip_ids: Collection[int]) -> None:
    """Where no offer of a wave is open any more the next wave follows. The trips are locked."""
    answering = Offer.objects.filter(trip=OuterRef("pk"), status=OfferStatus.PENDING)
    settled = Trip.objects.filter(~Exists(answering), pk__in=trip_ids, status=TripStatus.OFFERED)
    settled.update(next_look_at=Now(), reach_km=None)
