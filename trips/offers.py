"""Offers to drivers: which are open, and how one is withdrawn when its driver can no longer accept it.

Answering them is in trips.accepting, making them in trips.dispatch, expiring them in trips.deadlines.
"""

import datetime as dt
from collections.abc import Collection, Sequence

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from drivers.models import Driver
from realtime import events, groups
from realtime.outbox import publish_many
from stepper import limits
from stepper.db.transactions import in_transaction
from stepper.errors import NotFound
from stepper.models import ServiceSettings
from stepper.monitoring import figures
from trips.cards import offer_card, seats_of
from trips.eligibility import is_filtered_out, unfit
from trips.models import Offer, Trip
from trips.states import DRIVER_BUSY, NO_LONGER_ELIGIBLE, VEHICLE_BUSY, OfferStatus, TripStatus


def withdraw_offers(trip: Trip, reason: events.OfferEnd) -> None:
    """Withdraw the open offers of a trip and publish it to their drivers. The trip is locked."""
    _withdraw(Offer.objects.filter(trip=trip), reason, reason)


def _withdraw(offers: QuerySet[Offer], reason: str, published: events.OfferEnd) -> None:
    """Withdraw those of the offers that are open and publish it to their drivers. Their trips are locked."""
    pending = offers.filter(status=OfferStatus.PENDING).order_by("pk").select_for_update(no_key=True, of=("self",))
    rows = list(pending.values_list("pk", "trip_id", "driver_id"))
    if not rows:
        return
    Offer.objects.filter(pk__in=[pk for pk, _trip_id, _driver_id in rows]).update(
        status=OfferStatus.WITHDRAWN, responded_at=Now(), reason=reason
    )
    figures.count_after_commit(figures.OFFERS, len(rows), outcome=OfferStatus.WITHDRAWN.value)
    publish_many(
        (events.OfferExpired(trip_id=trip_id, offer_id=pk, reason=published), groups.driver(driver_id))
        for pk, trip_id, driver_id in rows
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


def open_cards(driver_id: int) -> list[events.OfferCreated]:
    """Return the cards of the offers that the driver can answer now, the one with the most earnings for a km first."""
    offers = Offer.objects.open().filter(driver_id=driver_id).order_by().select_related("trip", "driver__vehicle")
    cards = [offer_card(offer, offer.trip, vehicle_seats=seats_of(offer.driver)) for offer in offers]
    return sorted(cards, key=lambda card: (-card.earnings_per_km, card.expires_at, card.offer_id))


# Offers that their driver can no longer accept


def withdraw_overlapping(driver_id: int, trip: Trip, settings: ServiceSettings) -> None:
    """Withdraw the open offers of trips that overlap `trip`, which the driver now has.

    They are the driver's own and those of the drivers who share the vehicle.
    """
    margin = dt.timedelta(minutes=settings.overlap_margin_min)
    overlapping = Offer.objects.filter(
        driver__in=Driver.objects.with_mates(driver_id),
        status=OfferStatus.PENDING,
        trip__departure_at__lt=trip.ends_at + margin,
        trip__ends_at__gt=trip.departure_at - margin,
    )
    for other_id, asked_id in overlapping.order_by("trip_id", "driver_id").values_list("trip_id", "driver_id"):
        withdraw_from_trip(asked_id, other_id, DRIVER_BUSY if asked_id == driver_id else VEHICLE_BUSY)


def withdraw_from_drivers(driver_ids: Collection[int]) -> None:
    """Withdraw all open offers of drivers who are not asked any more: offline, on a break, suspended, deactivated.

    Call it inside the transaction that changes them, the drivers locked and no trip: so an offer is answered before the
    change, or not at all.
    """
    if driver_ids:
        open_offers = Offer.objects.filter(driver__in=driver_ids, status=OfferStatus.PENDING)
        _lock_trips_and_withdraw(list(open_offers.order_by().values_list("pk", "trip_id")))


def withdraw_unsuitable(driver: Driver) -> None:
    """Withdraw the driver's open offers that they would not be asked any more, as they and their vehicle are now.

    By the driver's filters, licence and vehicle, and the trips of whoever drives the vehicle; not by where they are
    now. Call it as `withdraw_from_drivers`.
    """
    margin = dt.timedelta(minutes=ServiceSettings.current().overlap_margin_min)
    of_vehicle = Trip.objects.filter(driver__in=Driver.objects.with_mates(driver.pk))
    taken = of_vehicle.overlapping(OuterRef("trip__departure_at"), OuterRef("trip__ends_at"), margin)
    mine = Offer.objects.filter(driver=driver, status=OfferStatus.PENDING).order_by().select_related("trip")
    unsuitable = [
        (offer.pk, offer.trip_id)
        for offer in mine.annotate(overlaps=Exists(taken))
        if offer.overlaps or unfit(offer.trip, driver) or is_filtered_out(offer.trip, driver, offer.distance_km)
    ]
    _lock_trips_and_withdraw(unsuitable)


def _lock_trips_and_withdraw(offers: Sequence[tuple[int, int]]) -> None:
    """Withdraw those of the offers, (id, trip's id), that are open once their trips are locked; end settled waves."""
    if not offers:
        return
    trips = Trip.objects.filter(pk__in=[trip_id for _pk, trip_id in offers]).order_by("pk").locked()
    trip_ids = list(trips.values_list("pk", flat=True))
    _withdraw(Offer.objects.filter(pk__in=[pk for pk, _trip_id in offers]), NO_LONGER_ELIGIBLE, "no_longer_eligible")
    end_waves_if_settled(trip_ids)


@in_transaction
def withdraw_from_trip(driver_id: int, trip_id: int, reason: str = DRIVER_BUSY) -> None:
    """Withdraw one driver's open offer of one trip; end its wave if no open offer is left.

    One transaction for each trip, where the caller's has locked a trip before: further ones would break the lock order.
    """
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    published: events.OfferEnd = "no_longer_eligible" if reason == NO_LONGER_ELIGIBLE else "cancelled"
    _withdraw(Offer.objects.filter(trip=trip, driver_id=driver_id), reason, published)
    end_waves_if_settled([trip.pk])


def end_waves_if_settled(trip_ids: Collection[int]) -> None:
    """Make the next wave due for those of the trips that have no open offer left. The trips are locked."""
    pending = Offer.objects.filter(trip=OuterRef("pk"), status=OfferStatus.PENDING)
    answered = Trip.objects.filter(~Exists(pending), pk__in=trip_ids, status=TripStatus.OFFERED)
    answered.update(next_look_at=Now(), reach_km=None)
