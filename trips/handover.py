"""Handing a trip over on the way: the vehicle broke down, and another driver takes the passengers on.

The driver who drove until then has a leg (TripLeg): what they drove, and their part of the money. What is left is the
new driver's, who gets the trip as if it began where the passengers wait: until it ends, pickup and departure of the
trip say so, and search, map, arrival and watch need to know nothing of legs. When it ends it gets back where and when
it began (trips.legs).
"""

import datetime as dt
import re
from typing import Any, NamedTuple

from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.availability import change_availability, lock_both, require_approved
from drivers.geo import cell
from drivers.models import Cause, Driver
from realtime import events
from realtime.delivery.notifications import notify
from stepper.db.clock import database_now
from stepper.db.transactions import Stale, best_effort, in_transaction
from stepper.errors import Conflict, InvalidInput
from stepper.models import ServiceSettings, User
from stepper.templatetags.units import km, money
from stepper.texts import clean_text
from trips import access, arrival, assignment, boarding, eta, legs
from trips.fitness import require_fit, require_no_overlap
from trips.models import StaffAssignment, Trip, TripLeg
from trips.offers import withdraw_overlapping
from trips.places.lookup import describe_point, named
from trips.states import ASSIGNED, HANDED_OVER_IN, Role, TripStatus
from trips.steering import require_reason

# Driving time that is assumed for a new driver without any position.
_UNKNOWN = dt.timedelta(minutes=30)
# By the place where the passengers wait a trip is at most this much longer, and this many km: roads bend, drivers err.
_LONGEST_DETOUR, _DETOUR_KM = 2.0, 30.0
# With their decimals, which are written behind a comma as well: `43,25` alone is no place on the Danube.
_COORDINATES = re.compile(r"\s*(-?[0-9]{1,2}[.,][0-9]+)\s*[,; ]\s*(-?[0-9]{1,3}[.,][0-9]+)\s*")


class Split(NamedTuple):
    """What a driver who hands a trip over has of it: of the distance that the price counts, fare and fee in tenge."""

    km: float
    fare: int
    fee: int


class _Order(NamedTuple):
    """What staff want of a hand-over; see `hand_over`."""

    driver_id: int
    reason: str
    place: str
    part: int | None
    shown_driver_id: int | None


def hand_over(
    trip_id: int,
    driver_id: int,
    user: User,
    *,
    reason: str,
    place: str = "",
    part: int | None = None,
    shown_driver_id: int | None = None,
) -> Trip:
    """Hand a trip with passengers on board over to another driver, by staff. Repeating it changes nothing.

    `place`: where the passengers wait, as coordinates, the name of a known place, or words about where the first
    driver's position is; "": there. `part`: what of the fare the first driver drove for, in whole tenge; None: by the
    kilometres driven and left. The first driver goes offline, and nothing of it counts against them. The passengers pay
    who brings them to the destination. `shown_driver_id`: see `access.require_as_shown`.

    Raises:
        NotFound, NotPermitted
        InvalidInput: input.invalid (reason, place, part)
        Conflict: trip.transition_refused, assignment.changed_meanwhile, driver.had_trip, driver.own_trip,
            driver.overlap, vehicle.overlap, driver.licence_expired, driver.documents_expired, driver.no_vehicle,
            driver.too_few_seats
    """
    order = _Order(driver_id, require_reason(reason), clean_text(place), part, shown_driver_id)
    trip = _hand_over(trip_id, user, order)
    best_effort(withdraw_overlapping, driver_id, trip, ServiceSettings.current())
    return trip


@in_transaction
def _hand_over(trip_id: int, user: User, order: _Order) -> Trip:
    """Lock both drivers, who shares the new one's vehicle, and the trip; write the leg and move the trip."""
    access.require_staff(user)
    unlocked = access.trip_for(user, trip_id)
    if unlocked.driver_id is None:
        raise access.gone_on(unlocked)
    first, driver = lock_both(unlocked.driver_id, order.driver_id)
    trip = Trip.objects.for_page().select_related("driver__position").locked().get(pk=trip_id)
    if trip.driver_id != unlocked.driver_id:
        raise Stale
    if trip.former_legs and trip.driver_id == driver.pk and trip.status in ASSIGNED:
        return trip
    access.require_as_shown(trip, order.shown_driver_id)
    if trip.status not in HANDED_OVER_IN:
        raise access.gone_on(trip)
    settings, now = ServiceSettings.current(), database_now()
    meeting = _meeting_place(trip, order.place)
    leg = _new_leg(trip, first, meeting, order.part, now=now)
    _require_able(trip, first, driver, settings)
    leg.save(force_insert=True)
    _move(trip, driver, leg, user=user, reason=order.reason, settings=settings)
    _record_assignments(trip, first, driver, user, order.reason, at=leg.ended_at)
    change_availability(first, Cause.STAFF, is_online=False, busy=False, by_id=user.pk)
    _tell_all(trip, first, driver, leg)
    return trip


def _record_assignments(trip: Trip, first: Driver, driver: Driver, user: User, reason: str, *, at: dt.datetime) -> None:
    """Write that staff moved a trip on the way from one driver to another; the first one's answer stays as it was."""
    running = trip.staff_assignments.running().filter(driver=first)
    running.update(ended_at=at, ended_as=Role.STAFF, ended_by_id=user.pk, end_reason=reason[:200])
    StaffAssignment.objects.create(trip=trip, driver=driver, assigned_by=user, assigned_at=at, reason=reason[:200])


def _require_able(trip: Trip, first: Driver, driver: Driver, settings: ServiceSettings) -> None:
    """Refuse a new driver who cannot take the passengers on. Raises Conflict, NotPermitted."""
    require_approved(driver, by_staff=True)
    if driver.pk == first.pk:
        raise Conflict("driver.had_trip", _("This driver has driven a part of this trip already."))
    legs.require_no_part(trip, driver.pk)
    if driver.user_id == trip.organiser_id:
        raise Conflict("driver.own_trip", _("This driver booked the trip."))
    require_fit(driver, trip, by_staff=True)
    require_no_overlap(driver, trip, settings, by_staff=True)


def _meeting_place(trip: Trip, words: str) -> events.Place:
    """Return where the passengers wait. Raises InvalidInput: input.invalid (place)."""
    unknown = InvalidInput(
        "input.invalid",
        _("Where do the passengers wait?"),
        {"place": [_("No position of the driver is known: enter a known place or the coordinates.")]},
    )
    if point := _COORDINATES.fullmatch(words):
        lat, lng = (float(number.replace(",", ".")) for number in point.groups())
        if not (abs(lat) <= 90 and abs(lng) <= 180):
            raise unknown
        _require_on_the_way(trip, lat, lng)
        found = describe_point(lat, lng)
        return events.Place(found.name[:120], found.address[:200], lat, lng)
    if words and (known := named(words)):
        _require_on_the_way(trip, known.lat, known.lng)
        return events.Place(known.name[:120], known.address[:200], known.lat, known.lng)
    position = arrival.position_of(trip)
    if position is None:
        raise unknown
    here = describe_point(position.lat, position.lng)
    name, address = (words, here.name) if words else (here.name, here.address)
    return events.Place(name[:120], address[:200], position.lat, position.lng)


def _require_on_the_way(trip: Trip, lat: float, lng: float) -> None:
    """Refuse a place that this trip cannot have come to: swapped or mistyped coordinates, a place of the same name.

    Raises:
        InvalidInput: input.invalid (place)
    """
    way = sum(eta.parts_km([(trip.pickup_lat, trip.pickup_lng), *trip.points_ahead]))
    by_it = sum(eta.parts_km([(trip.pickup_lat, trip.pickup_lng), (lat, lng), *trip.points_ahead]))
    if by_it > _LONGEST_DETOUR * way + _DETOUR_KM:
        words = _("That is %(away)s off the way of this trip; check the place.") % {"away": km((by_it - way) / 2)}
        raise InvalidInput("input.invalid", words, {"place": [words]})


def _new_leg(trip: Trip, first: Driver, meeting: events.Place, part: int | None, *, now: dt.datetime) -> TripLeg:
    """Return the leg that ends at the meeting place, not saved yet. Raises InvalidInput: input.invalid (part)."""
    boarded = trip.transitions.filter(to_status=TripStatus.PASSENGERS_BOARDED).order_by("-pk").first()
    started_at = boarded.created_at if boarded is not None else trip.accepted_at or now
    reached = [(stop.lat, stop.lng) for stop in trip.stop_list if stop.reached_at and stop.reached_at >= started_at]
    here = (meeting.lat, meeting.lng)
    driven_km = sum(eta.parts_km([(trip.pickup_lat, trip.pickup_lng), *reached, here]))
    left_km = sum(eta.parts_km([here, *trip.points_ahead]))
    split = split_money(trip, driven_km=driven_km, left_km=left_km, part=part)
    return TripLeg(
        trip=trip,
        number=trip.leg,
        driver=first,
        vehicle=trip.vehicle,
        from_name=trip.pickup_name,
        from_address=trip.pickup_address,
        from_lat=trip.pickup_lat,
        from_lng=trip.pickup_lng,
        to_name=meeting.name,
        to_address=meeting.address,
        to_lat=meeting.lat,
        to_lng=meeting.lng,
        started_at=started_at,
        ended_at=now,
        departure_at=trip.departure_at,
        ends_at=trip.ends_at,
        is_now=trip.is_now,
        **split._asdict(),
    )


def split_money(trip: Trip, *, driven_km: float, left_km: float, part: int | None) -> Split:
    """Return what the trip's driver has of what no former leg has; the fee is split as the fare is.

    `driven_km`, `left_km`: of the way, in any measure: they share the distance that the price counts.

    Raises:
        InvalidInput: input.invalid, `part` is more than there is
    """
    driven, left = round(driven_km * 1000), round(left_km * 1000)
    whole = driven + left or 1
    if part is None:
        part = _share(trip.own_fare, driven, whole)
    if isinstance(part, bool) or not 0 <= part <= trip.own_fare:
        words = _("Enter whole tenge, at most %(most)s.") % {"most": money(trip.own_fare)}
        raise InvalidInput("input.invalid", words, {"part": [words]})
    fee = _share(trip.own_fee, part, trip.own_fare) if trip.own_fare else 0
    return Split(km=round(trip.own_km * driven / whole, 1), fare=part, fee=fee)


def _share(amount: int, parts: int, whole: int) -> int:
    """Return `parts` of `whole` of an amount, to the nearest whole tenge, half up."""
    return (2 * amount * parts + whole) // (2 * whole)


def _move(trip: Trip, driver: Driver, leg: TripLeg, *, user: User, reason: str, settings: ServiceSettings) -> None:
    """Give the trip to the new driver, beginning where the leg ended. Raises Conflict: driver.overlap."""
    changes: dict[str, Any] = {
        "pickup_name": leg.to_name,
        "pickup_address": leg.to_address,
        "pickup_lat": leg.to_lat,
        "pickup_lng": leg.to_lng,
        "pickup_cell": cell(leg.to_lat, leg.to_lng),
        "departure_at": leg.ended_at,
        "ends_at": leg.ended_at + _drive_ahead(trip, driver, leg, settings),
        "is_now": False,
        "arrival_flagged": False,
        "former_legs": leg.number,
        "former_fare": trip.former_fare + leg.fare,
        "former_fee": trip.former_fee + leg.fee,
        "former_km": trip.former_km + leg.km,
        "boarding_code": boarding.new_code(settings),
    }
    assignment.move_to_driver(
        trip, driver, changes, role=Role.STAFF, by_id=user.pk, note=reason, now=leg.ended_at, settings=settings
    )
    assignment.publish_accepted(trip, driver, offer_id=None, accepted_at=leg.ended_at)


def _drive_ahead(trip: Trip, driver: Driver, leg: TripLeg, settings: ServiceSettings) -> dt.timedelta:
    """Return how long the new driver needs to the passengers and with them to the destination."""
    here, speeds = (leg.to_lat, leg.to_lng), eta.speeds_of(settings)
    drive = dt.timedelta(minutes=eta.minutes_along([here, *trip.points_ahead], speeds))
    position = getattr(driver, "position", None)
    if position is None:
        return drive + _UNKNOWN
    return drive + dt.timedelta(minutes=eta.minutes_along([(position.lat, position.lng), here], speeds))


def _tell_all(trip: Trip, first: Driver, driver: Driver, leg: TripLeg) -> None:
    """Notify the passenger and both drivers."""
    notify(
        trip.organiser,
        gettext_lazy("Another driver takes you on"),
        # Written out in the language of whom it is for.
        message=format_lazy("{} · {}", driver.user.short_name, driver.vehicle),
        audience="passenger",
        priority="high",
        action_url=f"/trips/{trip.pk}/",
        is_critical=True,
    )
    notify(
        first.user,
        gettext_lazy("Another driver took over your trip"),
        message=f"{leg.title} · {money(leg.earned)}",
        audience="driver",
        priority="high",
        action_url="/driver/",
    )
    notify(
        driver.user,
        gettext_lazy("A trip was handed over to you: passengers are waiting"),
        message=trip.title,
        audience="driver",
        priority="urgent",
        action_url="/driver/",
    )
