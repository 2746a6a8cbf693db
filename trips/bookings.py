"""The passengers' verbs: book, cancel. Prices before: quotes.py. Rating: ratings.py."""

import datetime as dt
import hashlib
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from drivers.geo import cell
from drivers.models import Driver
from realtime import events, groups
from realtime.outbox import publish, refresh_permissions
from stepper import limits
from stepper.accounts import verified_phones
from stepper.accounts.adapter import normal_phone
from stepper.db.clock import database_now
from stepper.db.transactions import Stale, best_effort, in_transaction
from stepper.errors import Conflict, DomainError, InvalidFields, NotPermitted, Text
from stepper.models import ServiceSettings, User
from stepper.staff_words import OR_ASK, ask_staff
from stepper.texts import clean_line, clean_text
from trips import booking_limits, cards, kept_quotes, pricing, shares, wishes
from trips.access import require_as_shown, trip_for
from trips.booking_requests import BookingRequest, check_request, zone_of
from trips.dispatch import first_search_at, start_round
from trips.ending import end_trip
from trips.models import Booking, Trip
from trips.states import ABOARD, OPEN, BookingStatus, CancelReason, Role, TripStatus


def _traveller_columns(request: BookingRequest, user: User) -> tuple[str, str]:
    """Return name and number of the traveller as stored; empty: the organiser travels, or gave their own number."""
    phone = normal_phone(request.traveller.phone) if request.traveller is not None else None
    if request.traveller is None or phone is None or (user.phone and phone == user.phone.as_e164):
        return "", ""
    return clean_line(request.traveller.name), phone


def price_of(request: BookingRequest, settings: ServiceSettings, kept_fare: int | None = None) -> pricing.Quote:
    pickup, *stops, dropoff = request.points
    return pricing.quote(
        pickup, dropoff, request.seats, request.vehicle_class, settings, stops=stops, kept_fare=kept_fare
    )


def agreed_price(
    user: User, request: BookingRequest, token: str, *, settings: ServiceSettings, now: dt.datetime
) -> pricing.Quote:
    """Return the price that a quote's token keeps, else the present one. Raises QuoteChanged: they saw another."""
    price = price_of(request, settings)
    if not token:
        return price
    vehicle_class = request.vehicle_class
    kept = kept_quotes.kept_fares(token, request, user_id=user.pk, now=now)
    if kept is not None and vehicle_class in kept[0]:
        return price_of(request, settings, kept[0][vehicle_class])
    if not kept_quotes.was_shown(token, vehicle_class, price.fare):
        fares = {vehicle_class: price.fare}
        fresh = kept_quotes.keep_fares(request, fares, user_id=user.pk, settings=settings, now=now)
        raise kept_quotes.QuoteChanged(price.fare, fresh)
    return price


def book(user: User, request: BookingRequest, request_key: str | None = None, *, quote_token: str = "") -> Trip:
    """Book a private trip, publish it and offer it to the drivers around.

    `request_key` makes it idempotent for this user: the same key gives the trip it made the first time. `quote_token`:
    of the quote that the passenger saw; its price holds while it is kept. Empty: the present price.

    Raises:
        InvalidInput: a field is wrong; nothing was written.
        NotPermitted: account.inactive; phone.unverified, where staff ask for a verified number
        Conflict: booking.too_many (without a driver), booking.overlapping, booking.cancelled_too_often,
            booking.key_reused (for something else), quote.changed (the passenger saw another price)
        TooManyRequests: more than `bookings_per_min`
    """
    limits.count_call_of(user, "book", "bookings_per_min")
    trip, created = _book(user, request, request_key, quote_token)
    if created:
        best_effort(start_round, trip.pk)
        best_effort(trip.refresh_from_db)
    return trip


@in_transaction
def _book(user: User, request: BookingRequest, request_key: str | None, quote_token: str) -> tuple[Trip, bool]:
    """Write the trip and its booking and publish them; False with the trip that an earlier call with this key made."""
    # The lock makes one user's bookings run one after another, so that a repeated one finds the first, and the limits
    # count all.
    account = booking_limits.lock_account(user)
    user.is_active = account.is_active
    user.require_active()
    if request_key:
        made = Trip.objects.filter(organiser=user, request_key=request_key).first()
        if made is not None:
            require_same(made, request)
            return made, False
    settings = ServiceSettings.current()
    now = database_now()
    check_request(request, settings, now)
    price = agreed_price(user, request, quote_token, settings=settings, now=now)
    trip = new_trip(user, request, price, request_key=request_key, settings=settings, now=now)
    if not user.may_steer_trips:
        verified_phones.require_verified(user, settings)
        plan = booking_limits.Plan(trip.departure_at, trip.ends_at, trip.traveller_phone, trip.timezone)
        booking_limits.require_room(account, plan, settings)
    has_link = bool(trip.traveller_phone) and shares.sends_links_for(user)
    trip.is_shared = has_link
    publish_new(trip, Role.ORGANISER, user.pk, settings=settings, now=now)
    if has_link:
        shares.send_to_traveller(trip, settings)
    return trip, True


def publish_new(trip: Trip, role: Role, by_id: int, *, settings: ServiceSettings, now: dt.datetime) -> None:
    """Store a new trip with its organiser's booking, publish both, and have drivers searched for it.

    `role`, `by_id`: who booked it.
    """
    trip.save(force_insert=True)
    booking = Booking.objects.create(
        trip=trip, passenger=trip.organiser, status=BookingStatus.CONFIRMED, seats=trip.seats, amount=trip.fare
    )
    # This process starts the round after the commit; if it dies before, the dispatcher starts it.
    look_at = first_search_at(trip.departure_at, settings, now + dt.timedelta(seconds=5))
    trip.move(TripStatus.PUBLISHED, role, by_id=by_id, next_look_at=look_at)
    _publish_booking(trip, booking)
    # Pages that are open already join the new trip's group.
    refresh_permissions(groups.user(trip.organiser_id))


def new_trip(
    user: User,
    request: BookingRequest,
    price: pricing.Quote,
    *,
    request_key: str | None,
    settings: ServiceSettings,
    now: dt.datetime,
) -> Trip:
    """Return the trip of a checked request with its price, not saved yet. Raises InvalidInput: wishes."""
    pickup, dropoff = request.pickup, request.dropoff
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
        stops=stops_column(request),
        wishes=wishes.choose(request.wishes),
        traveller_name=traveller_name,
        traveller_phone=traveller_phone,
        **price_columns(price),
    )


def stops_column(request: BookingRequest) -> list[dict[str, Any]]:
    """Return the stops of a request as a trip keeps them, none of them reached yet."""
    return [
        msgspec.to_builtins(events.Stop(clean_text(one.name), clean_text(one.address), one.lat, one.lng))
        for one in request.stops
    ]


def price_columns(price: pricing.Quote) -> dict[str, Any]:
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
    # As in releases without travellers, stops or wishes, so that a key used before an upgrade still matches.
    if request.traveller is None:
        del fields["traveller"]
    for name in ("stops", "wishes"):
        if not fields[name]:
            del fields[name]
    return hashlib.blake2b(msgspec.json.encode(fields), digest_size=16).hexdigest()


def require_same(made: Trip, request: BookingRequest) -> None:
    """Refuse a key that was used for another request. Raises Conflict: booking.key_reused.

    Answering with the first trip would hide the mistake.
    """
    # Bookings made before digests were stored have none.
    if made.request_digest not in ("", _digest(request)):
        raise Conflict("booking.key_reused", _("This was used for another booking already; please start a new one."))


def _too_late(message: str, settings: ServiceSettings) -> Conflict:
    return ask_staff(Conflict("trip.cancel_too_late", message), OR_ASK, support=settings.support)


def cancel_refusal(trip: Trip, user: User, *, settings: ServiceSettings, now: dt.datetime) -> DomainError | None:
    """Return why this user may not cancel this trip now; None: they may."""
    if user.may_steer_trips:
        return None
    if trip.organiser_id != user.pk:
        return NotPermitted("auth.forbidden", _("Only who booked the trip can cancel it."))
    if trip.status == TripStatus.COMPLETED:
        return Conflict("trip.transition_refused", _("This trip is over."))
    if trip.former_legs and not trip.is_finished:
        return _too_late(_("You are on the way already; ask the driver."), settings)
    # An arrival that no position confirms does not keep the passenger from cancelling.
    if trip.awaits_confirmation:
        return None
    if trip.status in ABOARD:
        return _too_late(_("You are on the way already; ask the driver."), settings)
    if trip.status == TripStatus.DRIVER_ARRIVED:
        return _too_late(_("Your driver is already there; ask the driver."), settings)
    # Without a driver, cancelling costs nobody anything. A trip for now departs when it is booked, so with the limit
    # below it could never be cancelled.
    if trip.status in OPEN or trip.status == TripStatus.DRAFT or trip.is_now:
        return None
    if now > trip.departure_at - dt.timedelta(minutes=settings.free_cancel_min):
        words = _("Cancelling is free until %(hours)g h before departure; now only the driver can do it.")
        return _too_late(words % {"hours": settings.free_cancel_min / 60}, settings)
    return None


def cancel(
    trip_id: int, user: User, reason: str = "", *, reason_code: str = "", shown_driver_id: int | None = None
) -> Trip:
    """Cancel a trip for its organiser (by `cancel_refusal`) or staff. Repeating it gives the same answer.

    `reason_code`: a CancelReason; then `reason` is for staff and the organiser alone, and the driver reads what was
    chosen. Without one the driver reads `reason`. `shown_driver_id`: see `access.require_as_shown`.

    A trip that a passenger cancels after a driver accepted it counts against the account's next bookings
    (booking_limits).

    Raises:
        NotFound, NotPermitted
        Conflict: trip.cancel_too_late, trip.transition_refused, assignment.changed_meanwhile
        InvalidInput: there is no such reason_code, or driver_asked of a trip without one
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "cancel", "changes_per_min")
    if reason_code and reason_code not in CancelReason.values:
        unknown: dict[str, list[Text]] = {"reason_code": [_("There is no such reason.")]}
        raise InvalidFields(unknown)
    return _cancel(trip_id, user, reason, reason_code, shown_driver_id)


@in_transaction
def _cancel(trip_id: int, user: User, reason: str, reason_code: str, shown_driver_id: int | None) -> Trip:
    """Lock driver and trip, check that the user may cancel it, and end it."""
    unlocked = trip_for(user, trip_id)
    if unlocked.driver_id:
        list(Driver.objects.filter(pk=unlocked.driver_id).locked())
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.driver_id != unlocked.driver_id:
        raise Stale
    require_as_shown(trip, shown_driver_id)
    if trip.status == TripStatus.CANCELLED:
        return trip
    refusal = cancel_refusal(trip, user, settings=ServiceSettings.current(), now=database_now())
    if refusal is not None:
        raise refusal
    if reason_code == CancelReason.DRIVER_ASKED and trip.driver_id is None:
        without: dict[str, list[Text]] = {"reason_code": [_("This trip has no driver; choose another reason.")]}
        raise InvalidFields(without)
    end_trip(
        trip,
        TripStatus.CANCELLED,
        role=Role.STAFF if user.may_steer_trips else Role.ORGANISER,
        by_id=user.pk,
        note=reason,
        code=reason_code,
    )
    return trip
