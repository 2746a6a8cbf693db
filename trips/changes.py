"""Changing a booked trip: all that was booked until a driver accepts, then what the driver reads to find the passenger.

A trip that drivers are asked about and that changes in time, place, price or room is another question: its open offers
end, a new round begins, and who had declined may be asked again. Lock order everywhere: account, driver, trip, offers,
bookings.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from msgspec import Struct

from realtime import events
from realtime.delivery.notifications import notify
from stepper import limits
from stepper.db.clock import database_now
from stepper.db.transactions import best_effort, in_transaction
from stepper.errors import Conflict, NotPermitted
from stepper.models import ServiceSettings, User
from stepper.texts import clean_text

from . import access, booking_limits, bookings, cards, kept_quotes, shares
from .booking_requests import BookingRequest, Traveller, check_request
from .dispatch import first_search_at, start_round
from .models import NO_WAVE, Trip, TripChange
from .offers import withdraw_offers
from .states import ABOARD, BEFORE_BOARDING, OPEN, BookingStatus, Role

# The address of the pickup by itself, beside the fields of a booking.
PICKUP_ADDRESS = "pickup_address"
# What a driver has to know to find the passenger; it can change until they board.
DETAILS = frozenset({"note", PICKUP_ADDRESS})
# What may name people, and is forgotten with the organiser's account.
_PERSONAL = ("note", "traveller_name", "traveller_phone")
_WORDS = frozenset(_PERSONAL)
_PLACES = tuple(f"{end}_{part}" for end in ("pickup", "dropoff") for part in ("name", "address", "lat", "lng"))
_TIME = ("is_now", "departure_at")
# The columns that a driver is asked about, and so a new question if one changes.
ASKED_ABOUT = frozenset({*_PLACES, "stops", *_TIME, "vehicle_class", "seats", "bags", "wishes"})
# The price stays as it was booked while these do.
_PRICED = frozenset({*(name for name in _PLACES if name.endswith(("lat", "lng"))), "stops", "vehicle_class", "seats"})
_PRICE = ("distance_km", "duration_min", "zone", "fare", "platform_fee", "driver_earnings", "seat_price")
# The columns that decide how many trips of a traveller are at one time.
_COUNTED = frozenset({"departure_at", "ends_at", "traveller_phone"})
# Columns that follow from others: the history has those alone.
_BOOKED = (*_PLACES, "stops", *_TIME, "vehicle_class", "seats", "bags", "wishes", *_PERSONAL)


class PriceChange(Struct, frozen=True):
    """What a trip costs as it is booked, and what it would cost, in whole tenge."""

    before: int
    after: int


def request_of(trip: Trip) -> BookingRequest:
    """Return the request that would book the trip as it is."""
    traveller = Traveller(trip.traveller_name, trip.traveller_phone) if trip.traveller_phone else None
    return BookingRequest(
        pickup=cards.pickup(trip),
        dropoff=cards.dropoff(trip),
        departure_at=None if trip.is_now else trip.departure_at,
        seats=trip.seats,
        vehicle_class=trip.vehicle_class,
        bags=trip.bags,
        note=trip.note,
        traveller=traveller,
        stops=tuple(events.Place(stop.name, stop.address, stop.lat, stop.lng) for stop in trip.stop_list),
        wishes=tuple(wish.code for wish in trip.wish_list),
    )


def find_price(trip: Trip, wanted: Mapping[str, Any]) -> PriceChange:
    """Return what changing the trip would do to its price; nothing is changed. `wanted`: as of `change`.

    Raises:
        InvalidInput: a field is wrong
    """
    columns = plan_columns(trip, wanted, settings=ServiceSettings.current(), now=database_now())
    return PriceChange(trip.fare, columns.get("fare", trip.fare))


def change(
    trip_id: int, user: User, wanted: Mapping[str, Any], *, version: int | None = None, quote_token: str = ""
) -> Trip:
    """Change a booked trip for its organiser or staff. Wanting what is there already changes nothing.

    `wanted`: fields of `BookingRequest`, and `pickup_address` -> what they become; what is left out stays. After a
    driver has accepted only `note` and `pickup_address` can change, until the passengers board. `version`: the trip's
    when the user saw it; None: change it however it is now. `quote_token`: as in `bookings.book`, of what is wanted.

    Raises:
        NotFound, NotPermitted
        InvalidInput: a field is wrong, as in `check_request`
        Conflict: trip.already_accepted, trip.changed_meanwhile (by somebody else, since `version`),
            trip.change_too_late (on board), trip.transition_refused (it is over), booking.overlapping, quote.changed
        TooManyRequests: more than `changes_per_min`
    """
    limits.count_call_of(user, "change", "changes_per_min")
    trip, asks_anew = _change(trip_id, user, wanted, version, quote_token)
    if asks_anew:
        # If this process dies before, the dispatcher starts the round.
        best_effort(start_round, trip.pk)
        best_effort(trip.refresh_from_db)
    return trip


@in_transaction
def _change(
    trip_id: int, user: User, wanted: Mapping[str, Any], version: int | None, quote_token: str
) -> tuple[Trip, bool]:
    """Lock account and trip, check the change, write it with its history; return whether drivers are asked anew."""
    # As in booking: the account's trips at the new time are counted.
    account = None if user.may_steer_trips else booking_limits.lock_account(user)
    access.trip_for(user, trip_id)
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.organiser_id != user.pk and not user.may_steer_trips:
        raise NotPermitted("auth.forbidden", _("Only who booked the trip can change it."))
    settings, now = ServiceSettings.current(), database_now()
    columns = plan_columns(trip, wanted, settings=settings, now=now)
    if not columns:
        return trip, False
    _require_changeable(trip, columns.keys(), by_staff=trip.organiser_id != user.pk)
    if version is not None and trip.changed_version > version:
        raise Conflict(
            "trip.changed_meanwhile",
            _("This trip was changed meanwhile. Nothing of yours was saved; look at how it is now."),
        )
    if quote_token and not _PRICED.isdisjoint(columns):
        asked = _asked_for(trip, wanted)
        if asked.departure_at is not None:
            # What the page's form asked for, which has no seconds.
            by_form = msgspec.structs.replace(asked, departure_at=asked.departure_at.replace(second=0, microsecond=0))
            if kept_quotes.kept_fares(quote_token, by_form, user_id=user.pk, now=now):
                asked = by_form
        price = bookings.agreed_price(user, asked, quote_token, settings=settings, now=now)
        columns |= bookings.price_columns(price)
    asks_anew = not ASKED_ABOUT.isdisjoint(columns) and trip.status in OPEN
    if account is not None and trip.status in OPEN and not _COUNTED.isdisjoint(columns):
        after = {name: columns.get(name, getattr(trip, name)) for name in booking_limits.Plan.__struct_fields__}
        booking_limits.require_free_time(account, booking_limits.Plan(**after), settings=settings, trip=trip)
    write_columns(trip, columns, user=user, asks_anew=asks_anew, settings=settings, now=now)
    _notify_others(trip, user)
    return trip, asks_anew


def _require_changeable(trip: Trip, names: Collection[str], *, by_staff: bool) -> None:
    """Refuse a change that the trip's state does not allow, in words for who asks for it. Raises Conflict."""
    is_under_way = trip.former_legs > 0 and not DETAILS.issuperset(names)
    if trip.status in OPEN and not is_under_way:
        return
    if trip.status in ABOARD or (is_under_way and not trip.is_finished):
        theirs = _("The passengers are on the way already; tell the driver.")
        words = theirs if by_staff else _("You are on the way already; tell the driver.")
        raise Conflict("trip.change_too_late", words)
    if trip.status not in BEFORE_BOARDING:
        raise Conflict("trip.transition_refused", _("This trip is over."))
    if not DETAILS.issuperset(names):
        theirs = _(
            "A driver has the trip as it is; nothing was changed. The note and where exactly the passenger is picked "
            "up can still be changed."
        )
        yours = _(
            "A driver has accepted the trip as it is; nothing was changed. You can still change the note and where "
            "exactly you are picked up."
        )
        raise Conflict("trip.already_accepted", theirs if by_staff else yours)


def plan_columns(
    trip: Trip, wanted: Mapping[str, Any], *, settings: ServiceSettings, now: dt.datetime
) -> dict[str, Any]:
    """Return the trip's columns that the wanted fields give another value; empty: it is as wanted.

    Raises:
        InvalidInput: a field is wrong
    """
    booked, asked = request_of(trip), _asked_for(trip, wanted)
    keeps_time = asked.departure_at == booked.departure_at
    # A time that stays is not judged again: the driver of a trip that was given back late leaves after it.
    check_request(msgspec.structs.replace(asked, departure_at=None) if keeps_time else asked, settings, now)
    keeps_wishes = set(asked.wishes) == set(booked.wishes)
    # Wishes that stay are not chosen again either: staff may offer one no more.
    chosen = msgspec.structs.replace(asked, wishes=()) if keeps_wishes else asked
    price = bookings.price_of(asked, settings)
    new = bookings.new_trip(trip.organiser, chosen, price, request_key=None, settings=settings, now=now)
    if keeps_time:
        new.is_now, new.departure_at = trip.is_now, trip.departure_at
    if keeps_wishes:
        new.wishes = trip.wishes
    if asked.stops == booked.stops:
        new.stops = trip.stops
    columns = {name: value for name in _BOOKED if (value := _clean(new, name)) != getattr(trip, name)}
    if not _PRICED.isdisjoint(columns):
        columns |= {name: value for name in _PRICE if (value := getattr(new, name)) != getattr(trip, name)}
    if "pickup_lat" in columns or "pickup_lng" in columns:
        columns |= {"pickup_cell": new.pickup_cell, "timezone": new.timezone}
    if not keeps_time or "duration_min" in columns:
        drive = dt.timedelta(minutes=columns.get("duration_min", trip.duration_min))
        columns["ends_at"] = new.departure_at + drive
    if not keeps_time:
        columns["search_until"] = new.search_until
    return columns


def _asked_for(trip: Trip, wanted: Mapping[str, Any]) -> BookingRequest:
    """Return the request that would book the trip as it is wanted."""
    fields = dict(wanted)
    address = fields.pop(PICKUP_ADDRESS, None)
    asked = msgspec.structs.replace(request_of(trip), **fields)
    if address is None:
        return asked
    return msgspec.structs.replace(asked, pickup=msgspec.structs.replace(asked.pickup, address=address))


def _clean(trip: Trip, name: str) -> Any:
    """Return a column's value as it would be stored."""
    value = getattr(trip, name)
    return clean_text(value, multiline=name == "note") if isinstance(value, str) else value


def write_columns(
    trip: Trip,
    columns: dict[str, Any],
    *,
    user: User,
    asks_anew: bool,
    settings: ServiceSettings,
    now: dt.datetime,
    reason: str = "",
) -> TripChange | None:
    """Write the columns with all that follows from them, and publish the trip as it is now. It is locked.

    Return the row of its history; None: nothing that a history keeps has changed.
    """
    row = record_change(trip, columns, user, reason)
    booked = {name: columns[column] for name, column in (("seats", "seats"), ("amount", "fare")) if column in columns}
    state: dict[str, Any] = {}
    if asks_anew:
        withdraw_offers(trip, "changed")
        departure_at = columns.get("departure_at", trip.departure_at)
        state = NO_WAVE | {
            "next_look_at": first_search_at(departure_at, settings, now),
            "escalated_at": None,
            "changed_after_round": trip.round_number,
        }
        if trip.is_now and "search_until" not in columns:
            # The search begins anew.
            state["search_until"] = max(trip.search_until, now + dt.timedelta(minutes=settings.patience_min))
    if booked:
        mine = trip.bookings.filter(
            passenger=trip.organiser_id, status__in=[BookingStatus.PENDING, BookingStatus.CONFIRMED]
        )
        locked = mine.order_by("pk").select_for_update(no_key=True, of=("self",))
        trip.bookings.filter(pk__in=[row.pk for row in locked]).update(**booked)
    is_for_somebody_else = "traveller_phone" in columns
    gets_link = is_for_somebody_else and columns["traveller_phone"] and shares.sends_links_for(user)
    if gets_link:
        state["is_shared"] = True
    trip.amend(**columns, **state, changed_version=trip.version + 1)
    if is_for_somebody_else:
        shares.end_sent_link(trip)
    if gets_link:
        shares.send_to_traveller(trip, settings)
    return row


def record_change(trip: Trip, columns: Mapping[str, Any], user: User, reason: str = "") -> TripChange | None:
    """Write the history of columns that get new values; `trip` has the old ones. Call it in the same transaction.

    None: none of them is kept. `reason`: of staff.
    """
    recorded = {
        name: [_as_json(getattr(trip, name)), _as_json(columns[name])]
        for name in (*_BOOKED, "fare")
        if name in columns and columns[name] != getattr(trip, name)
    }
    if not recorded:
        return None
    return TripChange.objects.create(
        trip=trip,
        role=Role.ORGANISER if trip.organiser_id == user.pk and not reason else Role.STAFF,
        by=user,
        changes={name: both for name, both in recorded.items() if name not in _WORDS},
        words={name: both for name, both in recorded.items() if name in _WORDS},
        reason=reason,
    )


def _as_json(value: Any) -> Any:
    return value.astimezone(dt.UTC).isoformat() if isinstance(value, dt.datetime) else value


def _notify_others(trip: Trip, user: User) -> None:
    """Notify the driver who has the trip, and its organiser where staff changed it."""
    if trip.driver is not None:
        # Without the words: a push is shown on a locked screen, and a driver who gives the trip back keeps the bell.
        notify(
            trip.driver.user,
            gettext_lazy("Where to find the passenger has changed"),
            message=trip.title,
            audience="driver",
            priority="high",
            action_url="/driver/",
        )
    if trip.organiser_id != user.pk:
        notify(
            trip.organiser,
            gettext_lazy("Our staff changed your trip"),
            message=trip.title,
            audience="passenger",
            category="booking",
            action_url=f"/trips/{trip.pk}/",
        )
