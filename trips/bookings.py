"""The passengers' verbs: get a price, book, cancel, rate."""

import datetime as dt
import hashlib
from typing import Any

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from drivers.geo import cell
from drivers.models import Driver
from drivers.updates import publish_update
from realtime import events, groups
from realtime.outbox import publish, refresh_permissions
from stepper import limits
from stepper.accounts import verified_phones
from stepper.accounts.adapter import normal_phone
from stepper.db.clock import database_now
from stepper.db.transactions import Stale, best_effort, in_transaction
from stepper.errors import Conflict, DomainError, InvalidInput, NotPermitted
from stepper.models import ServiceSettings, User
from stepper.texts import clean_text
from trips import booking_limits, cards, pricing
from trips.access import trip_for
from trips.booking_requests import BookingRequest, check_request, zone_of
from trips.dispatch import start_round
from trips.ending import end_trip
from trips.models import Booking, Rating, Trip
from trips.states import ABOARD, OPEN, BookingStatus, Role, TripStatus


def _traveller_columns(request: BookingRequest, user: User) -> tuple[str, str]:
    """Return name and number of the traveller as stored; empty: the organiser travels, or gave their own number."""
    phone = normal_phone(request.traveller.phone) if request.traveller is not None else None
    if request.traveller is None or phone is None or (user.phone and phone == user.phone.as_e164):
        return "", ""
    return " ".join(clean_text(request.traveller.name).split()), phone


def quote(user: User, request: BookingRequest) -> pricing.Quote:
    """Return the price of a request; nothing is booked.

    Raises:
        InvalidInput: a field is wrong
        TooManyRequests: more than `light_per_min`
    """
    limits.count_call_of(user, "quote", "light_per_min")
    settings = ServiceSettings.current()
    check_request(request, settings, database_now())
    return _price_of(request, settings)


def _price_of(request: BookingRequest, settings: ServiceSettings) -> pricing.Quote:
    pickup, dropoff = request.pickup, request.dropoff
    return pricing.quote(
        (pickup.lat, pickup.lng), (dropoff.lat, dropoff.lng), request.seats, request.vehicle_class, settings
    )


def book(user: User, request: BookingRequest, request_key: str | None = None) -> Trip:
    """Book a private trip, publish it and offer it to the drivers around.

    `request_key` makes it idempotent for this user: the same key gives the trip it made the first time.

    Raises:
        InvalidInput: a field is wrong; nothing was written.
        NotPermitted: account.inactive; phone.unverified, where staff ask for a verified number
        Conflict: booking.too_many (without a driver), booking.overlapping, booking.cancelled_too_often,
            booking.key_reused (for something else)
        TooManyRequests: more than `bookings_per_min`
    """
    limits.count_call_of(user, "book", "bookings_per_min")
    trip, created = _book(user, request, request_key)
    if created:
        best_effort(start_round, trip.pk)
        best_effort(trip.refresh_from_db)
    return trip


@in_transaction
def _book(user: User, request: BookingRequest, request_key: str | None) -> tuple[Trip, bool]:
    """Write the trip and its booking and publish them; False with the trip that an earlier call with this key made."""
    # The lock makes one user's bookings run one after another, so that a repeated one finds the first, and the limits
    # count all.
    account = booking_limits.lock_account(user)
    user.is_active = account.is_active
    user.require_active()
    if request_key:
        made = Trip.objects.filter(organiser=user, request_key=request_key).first()
        if made is not None:
            _require_same(made, request)
            return made, False
    settings = ServiceSettings.current()
    now = database_now()
    check_request(request, settings, now)
    trip = _new_trip(user, request, request_key=request_key, settings=settings, now=now)
    if not user.may_steer_trips:
        verified_phones.require_verified(user, settings)
        plan = booking_limits.Plan(trip.departure_at, trip.ends_at, trip.traveller_phone, trip.timezone)
        booking_limits.require_room(account, plan, settings)
    trip.save(force_insert=True)
    booking = Booking.objects.create(
        trip=trip, passenger=user, status=BookingStatus.CONFIRMED, seats=request.seats, amount=trip.fare
    )
    # This process starts the round after the commit; if it dies before, the dispatcher starts it.
    look_at = now + dt.timedelta(seconds=5)
    trip.move(TripStatus.PUBLISHED, Role.ORGANISER, by_id=user.pk, next_look_at=look_at)
    _publish_booking(trip, booking)
    # Pages that are open already join the new trip's group.
    refresh_permissions(groups.user(user.pk))
    return trip, True


def _new_trip(
    user: User, request: BookingRequest, *, request_key: str | None, settings: ServiceSettings, now: dt.datetime
) -> Trip:
    """Return the trip of a checked request with its price, not saved yet."""
    pickup, dropoff = request.pickup, request.dropoff
    price = _price_of(request, settings)
    # A chosen time a few minutes ago counts as now; `check_request` has refused earlier ones.
    departure_at = max(request.departure_at or now, now)
    is_now = departure_at == now
    patience = dt.timedelta(minutes=settings.patience_min)
    traveller_name, traveller_phone = _traveller_columns(request, user)
    return Trip(
        organiser=user,
        request_key=request_key or None,
        request_digest=_digest(request) if request_key else "",
        pickup_name=pickup.name,
        pickup_address=pickup.address,
        pickup_lat=pickup.lat,
        pickup_lng=pickup.lng,
        pickup_cell=cell(pickup.lat, pickup.lng),
        dropoff_name=dropoff.name,
        dropoff_address=dropoff.address,
        dropoff_lat=dropoff.lat,
        dropoff_lng=dropoff.lng,
        is_now=is_now,
        departure_at=departure_at,
        ends_at=departure_at + dt.timedelta(minutes=price.duration_min),
        search_until=max(departure_at, now + patience) if is_now else departure_at,
        timezone=zone_of(pickup.lat, pickup.lng),
        vehicle_class=request.vehicle_class,
        seats=request.seats,
        available_seats=0,  # private: the whole vehicle
        bags=request.bags,
        note=request.note,
        traveller_name=traveller_name,
        traveller_phone=traveller_phone,
        **_price_columns(price),
    )


def _price_columns(price: pricing.Quote) -> dict[str, Any]:
    """Return the columns of a trip that keep its price."""
    return {
        "distance_km": price.distance_km,
        "duration_min": price.duration_min,
        "zone": price.zone,
        "fare": price.fare,
        "platform_fee": price.platform_fee,
        "driver_earnings": price.driver_earnings,
        "seat_price": price.seat_price,
    }


def _publish_booking(trip: Trip, booking: Booking) -> None:
    """Publish a new trip to staff, and its booking to whoever sees the trip and to its organiser."""
    publish(
        events.TripRequested(
            trip_id=trip.pk,
            version=trip.version,
            title=trip.title,
            pickup=cards.pickup(trip),
            dropoff=cards.dropoff(trip),
            departure_at=trip.departure_at,
            seats=trip.seats,
            fare=trip.fare,
        ),
        groups.STAFF,
    )
    publish(
        events.BookingConfirmed(
            trip_id=trip.pk, version=trip.version, booking_id=booking.pk, seats=booking.seats, seats_left=0
        ),
        groups.trip(trip.pk),
        groups.user(booking.passenger_id),
    )


def _digest(request: BookingRequest) -> str:
    """Return a digest of the request; equal requests have equal digests."""
    fields = msgspec.structs.asdict(request)
    if request.traveller is None:
        # As in releases without travellers, so that a key used before an upgrade still matches its booking.
        del fields["traveller"]
    return hashlib.blake2b(msgspec.json.encode(fields), digest_size=16).hexdigest()


def _require_same(made: Trip, request: BookingRequest) -> None:
    """Refuse a key that was used for another request. Raises Conflict: booking.key_reused.

    Answering with the first trip would hide the mistake.
    """
    # Bookings made before digests were stored have none.
    if made.request_digest not in ("", _digest(request)):
        raise Conflict("booking.key_reused", _("This was used for another booking already; please start a new one."))


def cancel_refusal(trip: Trip, user: User, *, settings: ServiceSettings, now: dt.datetime) -> DomainError | None:
    """Return why this user may not cancel this trip now; None: they may."""
    if user.may_steer_trips:
        return None
    if trip.organiser_id != user.pk:
        return NotPermitted("auth.forbidden", _("Only who booked the trip can cancel it."))
    if trip.status == TripStatus.COMPLETED:
        return Conflict("trip.transition_refused", _("This trip is over."))
    # An arrival that no position confirms does not keep the passenger from cancelling.
    if trip.awaits_confirmation:
        return None
    if trip.status in ABOARD:
        return Conflict("trip.cancel_too_late", _("You are on the way already; ask the driver or our staff."))
    if trip.status == TripStatus.DRIVER_ARRIVED:
        return Conflict("trip.cancel_too_late", _("Your driver is already there; ask the driver or our staff."))
    # Without a driver, cancelling costs nobody anything. A trip for now departs when it is booked, so with the limit
    # below it could never be cancelled.
    if trip.status in OPEN or trip.status == TripStatus.DRAFT or trip.is_now:
        return None
    if now > trip.departure_at - dt.timedelta(minutes=settings.free_cancel_min):
        hours = settings.free_cancel_min / 60
        return Conflict(
            "trip.cancel_too_late",
            _("Cancelling is free until %(hours)g h before departure; now only the driver or our staff can do it.")
            % {"hours": hours},
        )
    return None


def cancel(trip_id: int, user: User, reason: str = "") -> Trip:
    """Cancel a trip for its organiser (by `cancel_refusal`) or staff. Repeating it gives the same answer.

    A trip that a passenger cancels after a driver accepted it counts against the account's next bookings
    (booking_limits).

    Raises:
        NotFound, NotPermitted, Conflict (trip.cancel_too_late, trip.transition_refused)
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "cancel", "changes_per_min")
    return _cancel(trip_id, user, reason)


@in_transaction
def _cancel(trip_id: int, user: User, reason: str) -> Trip:
    """Lock driver and trip, check that the user may cancel it, and end it."""
    unlocked = trip_for(user, trip_id)
    if unlocked.driver_id:
        list(Driver.objects.filter(pk=unlocked.driver_id).locked())
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.driver_id != unlocked.driver_id:
        raise Stale
    if trip.status == TripStatus.CANCELLED:
        return trip
    refusal = cancel_refusal(trip, user, settings=ServiceSettings.current(), now=database_now())
    if refusal is not None:
        raise refusal
    end_trip(
        trip,
        TripStatus.CANCELLED,
        role=Role.STAFF if user.may_steer_trips else Role.ORGANISER,
        by_id=user.pk,
        note=reason,
    )
    return trip


def rate(trip_id: int, user: User, *, stars: int, comment: str | None = None) -> Rating:
    """Rate the other side of a completed trip, as its passenger or driver.

    Each side has one rating. Who gave it can change stars and comment for `CHANGE_RATING_FOR` from the first time on;
    the same again changes nothing. `comment` None: the one that there is stays, of a new rating none.

    Raises:
        NotFound, InvalidInput (stars), Conflict (rating.too_early, rating.already_given)
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "rate", "changes_per_min")
    if isinstance(stars, bool) or stars not in range(1, 6):
        raise InvalidInput("input.invalid", _("Choose 1 to 5 stars."), {"stars": [_("Choose 1 to 5 stars.")]})
    trip = trip_for(user, trip_id)
    if trip.status != TripStatus.COMPLETED or trip.driver is None:
        raise Conflict("rating.too_early", _("A trip is rated when it is completed."))
    if trip.driver.user_id == user.pk:
        role, about = Role.DRIVER, trip.organiser
    elif trip.organiser_id == user.pk:
        role, about = Role.ORGANISER, trip.driver.user
    else:
        raise NotPermitted("auth.forbidden", _("Only the passenger and the driver rate each other."))
    wanted = Rating(trip=trip, role=role, by=user, about=about, stars=stars)
    if comment is not None:
        wanted.comment = clean_text(comment[:500], multiline=True)
    return _store_rating(trip.driver, wanted, keeps_comment=comment is None)


@in_transaction
def _store_rating(driver: Driver, wanted: Rating, *, keeps_comment: bool) -> Rating:
    """Create a rating, or change the one that this side gave; keep the average and publish. Raises Conflict."""
    User.objects.lock_active(wanted.by_id)
    given = Rating.objects.select_for_update(no_key=True).filter(trip=wanted.trip_id, by=wanted.by_id).first()
    if given is None:
        try:
            with transaction.atomic():
                wanted.save(force_insert=True)
        except IntegrityError:  # the other tab got there first; the next try changes what it gave
            raise Stale from None
        _add_to_average(driver, wanted, stars=wanted.stars, ratings=1)
        return wanted
    comment = given.comment if keeps_comment else wanted.comment
    if (given.stars, given.comment) == (wanted.stars, comment):
        return given
    if not given.may_change(database_now()):
        raise Conflict("rating.already_given", _("You have rated this trip already."))
    difference = wanted.stars - given.stars
    given.stars, given.comment = wanted.stars, comment
    given.save(update_fields=["stars", "comment"])
    _add_to_average(driver, given, stars=difference, ratings=0)
    return given


def _add_to_average(driver: Driver, rating: Rating, *, stars: int, ratings: int) -> None:
    """Add to the sums that the rated side's average is read from, and publish that the trip was rated."""
    sums = {"rating_sum": F("rating_sum") + stars, "rating_count": F("rating_count") + ratings}
    if rating.role == Role.DRIVER:
        User.objects.filter(pk=rating.about_id).update(**sums)
    else:
        Driver.objects.filter(pk=driver.pk).update(**sums)
    publish(
        events.TripRated(trip_id=rating.trip_id, by="driver" if rating.role == Role.DRIVER else "organiser"),
        groups.trip(rating.trip_id),
        groups.driver(driver.pk),
    )
    if rating.role == Role.ORGANISER:
        publish_update(Driver.objects.get(pk=driver.pk), "rating")
