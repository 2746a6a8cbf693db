"""What a trip would cost in each class of vehicle, and how long its driver would take; for strangers, too.

One request answers for all classes. The wait is that of the nearest driver whom dispatch could ask at this moment, by
the same rules (trips.eligibility); nobody is asked, and nothing is written.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

from drivers import search
from drivers.search import Near
from stepper import limits
from stepper.db.clock import database_now
from stepper.errors import InvalidInput
from stepper.models import ServiceSettings, User
from trips import eta, kept_quotes, pricing
from trips.booking_requests import SEATS, BookingRequest, check_request
from trips.dispatch import offers_open_at
from trips.driver_facts import Facts, facts
from trips.eligibility import refusals
from trips.kept_quotes import KeptQuote
from trips.models import Trip
from trips.policy import Policies, Policy
from trips.states import VehicleClass

# As many of the nearest drivers are judged; where none of them is free, a wait would be a guess.
JUDGED_AT_MOST = 50
# Waits are rounded up to this: whoever asks from many places must not find out where a driver stands.
WAIT_STEP_MIN = 5
# What is wrong with these keeps no price away.
_BESIDE_THE_PRICE = frozenset({"seats", "departure_at"})


class ClassQuote(Struct, frozen=True):
    """The price of one class of vehicle, `seats` of which are for passengers."""

    vehicle_class: VehicleClass
    price: pricing.Quote
    seats: int
    # False: more people travel than it has seats for.
    has_room: bool
    # A smaller class costs as much.
    same_price: bool
    # Minutes until the nearest free driver is at the pickup, in steps; None: nobody is near, or the trip is for later.
    wait_min: int | None


class Quotes(Struct, frozen=True):
    """The prices of all classes for one request, the smallest class first."""

    classes: Sequence[ClassQuote]
    chosen: ClassQuote
    is_now: bool
    # When drivers are asked about a trip for later; None: as soon as it is booked.
    asked_from: dt.datetime | None
    # What is wrong with the request and changes no price, such as more people than the chosen class has seats for.
    problems: Sequence[str]
    # What keeps these prices, until when, and for how many seconds from now.
    kept: KeptQuote
    kept_s: int


def quote_classes(user: User | None, request: BookingRequest, *, address: str, kept_token: str = "") -> Quotes:
    """Return price and wait of a request for every class; nothing is booked.

    `user` None: somebody who has not signed in, counted by their network address. `kept_token`: of an earlier quote;
    while it keeps the prices of this request, they are these.

    Raises:
        InvalidInput: a place or the class is wrong
        TooManyRequests: more than `light_per_min`, for strangers `guest_quotes_per_min`
    """
    if user is None:
        limits.count_call("quote", f"address:{address}", setting="guest_quotes_per_min")
    else:
        limits.count_call_of(user, "quote", "light_per_min")
    return _quote_classes(user, request, kept_token)


def quote_booking(user: User, request: BookingRequest) -> Quotes:
    """Return what `quote_classes` does, for a request that could be booked as it is; nothing is booked.

    Raises:
        InvalidInput: a field is wrong
        TooManyRequests: more than `light_per_min`
    """
    limits.count_call_of(user, "quote", "light_per_min")
    return _quote_classes(user, request, "", is_bookable=True)


def _quote_classes(user: User | None, request: BookingRequest, kept_token: str, *, is_bookable: bool = False) -> Quotes:
    """`is_bookable`: what is wrong beside the price is refused as well (InvalidInput)."""
    policies = Policies.current()
    now = database_now()
    problems: list[str] = []
    if is_bookable:
        check_request(request, policies.settings, now)
    else:
        problems = _check(request, policies.settings, now)
    trip = _imagine_trip(user, request, settings=policies.settings, now=now)
    waits = {} if request.departure_at else _find_waits(trip, request, policies)
    user_id = user.pk if user else None
    fares, kept = kept_quotes.kept_fares(kept_token, request, user_id=user_id, now=now) or ({}, None)
    classes = _price_classes(request, policies.settings, waits, fares)
    if kept is None or fares.keys() != set(VehicleClass.values):
        shown = {one.vehicle_class.value: one.price.fare for one in classes}
        kept = kept_quotes.keep_fares(request, shown, user_id=user_id, settings=policies.settings, now=now)
    opens_at = offers_open_at(trip, policies.settings)
    return Quotes(
        classes=classes,
        chosen=next(one for one in classes if one.vehicle_class == request.vehicle_class),
        is_now=request.departure_at is None,
        asked_from=opens_at if opens_at > now else None,
        problems=problems,
        kept=kept,
        kept_s=math.ceil((kept.until - now).total_seconds()),
    )


def _check(request: BookingRequest, settings: ServiceSettings, now: dt.datetime) -> list[str]:
    """Return what is wrong beside the price. Raises InvalidInput where there can be no price."""
    try:
        check_request(request, settings, now)
    except InvalidInput as error:
        if not error.fields.keys() <= _BESIDE_THE_PRICE:
            raise
        return error.reasons
    return []


def _price_classes(
    request: BookingRequest, settings: ServiceSettings, waits: dict[str, int | None], kept: Mapping[str, int]
) -> list[ClassQuote]:
    pickup, *stops, dropoff = request.points
    seats = max(1, request.seats)
    classes: list[ClassQuote] = []
    for vehicle_class in VehicleClass:
        price = pricing.quote(
            pickup, dropoff, seats, vehicle_class, settings, stops=stops, kept_fare=kept.get(vehicle_class)
        )
        classes.append(
            ClassQuote(
                vehicle_class=vehicle_class,
                price=price,
                seats=SEATS[vehicle_class],
                has_room=request.seats <= SEATS[vehicle_class],
                same_price=any(smaller.price.fare == price.fare for smaller in classes),
                wait_min=waits.get(vehicle_class),
            )
        )
    return classes


def _imagine_trip(user: User | None, request: BookingRequest, *, settings: ServiceSettings, now: dt.datetime) -> Trip:
    """Return a trip that the rules of dispatch can judge and that is never saved; no row has its id."""
    departure_at = request.departure_at or now
    trip = Trip(
        pk=0,
        organiser=user,
        pickup_lat=request.pickup.lat,
        pickup_lng=request.pickup.lng,
        departure_at=departure_at,
        created_at=now,
        seats=max(1, request.seats),
        is_now=request.departure_at is None,
    )
    _set_class(trip, request, request.vehicle_class, settings)
    trip.ends_at = departure_at + dt.timedelta(minutes=trip.duration_min)
    return trip


def _set_class(trip: Trip, request: BookingRequest, vehicle_class: str, settings: ServiceSettings) -> None:
    """Give the imagined trip a class, and what the price of that class decides of who drives it."""
    pickup, *stops, dropoff = request.points
    price = pricing.quote(pickup, dropoff, trip.seats, vehicle_class, settings, stops=stops)
    trip.vehicle_class = vehicle_class
    trip.distance_km, trip.duration_min = price.distance_km, price.duration_min
    trip.fare, trip.platform_fee, trip.driver_earnings = price.fare, price.platform_fee, price.driver_earnings


def _find_waits(trip: Trip, request: BookingRequest, policies: Policies) -> dict[str, int | None]:
    """Return the minutes until the nearest free driver of each class is at the pickup; None: nobody is near."""
    settings, policy = policies.settings, policies.of(trip)
    near = _search_nearest(trip, policy.radius_km)
    known = facts(trip, 1, driver_ids=[one.driver_id for one in near], settings=settings) if near else {}
    waits: dict[str, int | None] = {}
    for vehicle_class in VehicleClass:
        _set_class(trip, request, vehicle_class, settings)
        waits[vehicle_class] = _nearest_free_min(trip, near, known, policy=policy, settings=settings)
    return waits


def _search_nearest(trip: Trip, radius_km: float) -> list[Near]:
    found: list[Near] = []
    for batch in search.search_outward(trip.pickup_lat, trip.pickup_lng, radius_km, JUDGED_AT_MOST):
        found += batch
        if len(found) >= JUDGED_AT_MOST:
            break
    return found[:JUDGED_AT_MOST]


def _nearest_free_min(
    trip: Trip, near: Sequence[Near], known: dict[int, Facts], *, policy: Policy, settings: ServiceSettings
) -> int | None:
    for one in near:
        driver = known.get(one.driver_id)
        if driver is None:  # whose row was deleted since the search
            continue
        if not refusals(trip, driver, fix=one.position, distance_km=one.distance_km, policy=policy, settings=settings):
            drive_min = eta.minutes(one.distance_km, eta.speeds_of(settings))
            return max(1, math.ceil(drive_min / WAIT_STEP_MIN)) * WAIT_STEP_MIN
    return None
