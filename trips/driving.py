"""The verbs of a driver on their own trip: the steps to completed, a delay, a no-show."""

import datetime as dt
from typing import Any

import msgspec
from django.utils.functional import lazy
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.availability import lock_driver, mark_busy
from drivers.geo import distance_km
from drivers.models import Driver, DriverPosition
from drivers.positions.privacy import is_dark, window_opens_at
from realtime import events
from realtime.delivery.notifications import notify
from stepper import limits
from stepper.db.clock import database_now
from stepper.db.transactions import Stale, in_transaction
from stepper.errors import Conflict, DomainError, InvalidInput, NotFound
from stepper.models import ServiceSettings, User
from stepper.staff_words import OR_ASK, ask_staff
from stepper.templatetags.units import clock, duration, km
from stepper.texts import clean_text
from trips import access, arrival, assignment, boarding, eta
from trips.access import trip_for
from trips.ending import end_trip
from trips.repeats import is_repeated

from .models import NO_CODE, TransitionRefused, Trip
from .states import (
    ABOARD,
    ASSIGNED,
    BEFORE_BOARDING,
    DRIVING,
    EXPECTED,
    STEPS,
    Doubt,
    Role,
    TripStatus,
    TripType,
    allowed,
)

DELAYED, RELEASED, NO_SHOW, STOP_REACHED = "delayed", "released", "no_show", "stop_reached"
# The values a driver may send as status: the steps, and four that are not states.
WORDS = frozenset({*STEPS[1:], DELAYED, RELEASED, NO_SHOW, STOP_REACHED})
_duration = lazy(duration, str)
_LONG_DRIVE = dt.timedelta(hours=6)
# With these passengers get in.
_BOARDING = frozenset({TripStatus.PASSENGERS_BOARDED, TripStatus.IN_TRANSIT})

_NOTIFIED = {
    TripStatus.EN_ROUTE: gettext_lazy("Your driver is on the way"),
    TripStatus.COMPLETED: gettext_lazy("You have arrived. How was your trip?"),
}


def update_status(
    driver_id: int,
    trip_id: int,
    *,
    status: str,
    note: str = "",
    lat: float | None = None,
    lng: float | None = None,
    delay_minutes: int | None = None,
    delay_reason: str = "",
    stop: int | None = None,
    code: str = "",
    key: str = "",
) -> Trip:
    """Take one step of the driver's own trip, or `delayed`, `released`, `no_show`, `stop_reached`.

    Repeating a step changes nothing. `stop`: which stop was reached, from 1.

    `in_transit` at the pickup of a private trip is two: boarding and driving off. That `boarding_apart` has pages offer
    them apart refuses nothing: a phone sends late what was tapped before it was switched on.
    `code`: what the passenger said, where the trip has a boarding code.
    `key`: see trips.repeats; with the same one a command changes nothing, whatever has happened since.

    One exception: a flagged arrival that is repeated, or followed by `no_show`, is confirmed if the driver's position
    now shows it. `lat` and `lng` are stored as the client's claim.

    Raises:
        InvalidInput: trip.status_unknown, input.invalid (delay_minutes, stop, Idempotency-Key)
        NotFound: trip.not_found, also for somebody else's
        Conflict: trip.transition_refused, trip.set_off_too_early, trip.arrival_too_early, trip.not_at_pickup,
            trip.boarding_too_early, trip.release_too_late, trip.handed_over, trip.arrival_unconfirmed,
            trip.no_show_too_early, trip.stop_refused, driver.busy, command.key_reused,
            trip.boarding_code_required, trip.boarding_code_wrong
        TooManyRequests: more than `status_per_min`; trip.boarding_code_blocked, after wrong codes
    """
    limits.count_call("status", driver_id, setting="status_per_min")
    if status not in WORDS:
        raise InvalidInput("trip.status_unknown", _("There is no such status."), {"status": [_("Unknown status.")]})
    if status == RELEASED:
        return assignment.release(driver_id, trip_id, note, key=key)
    if status == DELAYED:
        return _set_delay(
            driver_id, trip_id, minutes=delay_minutes, reason=clean_text(delay_reason) or clean_text(note), key=key
        )
    if status == STOP_REACHED:
        return _reach_stop(driver_id, trip_id, number=stop, lat=lat, lng=lng, key=key)
    if status == NO_SHOW:
        # In a transaction of its own: a refusal of the no-show must not roll the confirmation back.
        _confirm_arrival(driver_id, trip_id)
    stepped = _take_step(driver_id, trip_id, status=status, note=note, lat=lat, lng=lng, code=code, key=key)
    if isinstance(stepped, DomainError):
        raise stepped
    return stepped


@in_transaction
def _take_step(
    driver_id: int, trip_id: int, *, status: str, note: str, lat: float | None, lng: float | None, code: str, key: str
) -> Trip | DomainError:
    """Take the step under the locks. A refused boarding code is returned: raised here it would not be counted."""
    driver = lock_driver(driver_id)
    trip = _lock_own_trip(driver, trip_id)
    if status in _BOARDING and trip.status == TripStatus.DRIVER_ARRIVED and trip.boarding_code:
        # Before the key is noted, which a refusal does not use up.
        refusal = boarding.count_try(trip, code, settings=ServiceSettings.current(), now=database_now())
        if refusal is not None:
            return refusal
    if is_repeated(driver_id, key, f"status {trip_id} {status}"):
        return trip
    wanted = TripStatus.CANCELLED if status == NO_SHOW else TripStatus(status)
    if trip.status == wanted:
        if trip.awaits_confirmation:
            arrival.confirm_if_there(trip, Role.DRIVER, settings=ServiceSettings.current(), by_id=driver.user_id)
        return trip
    history: dict[str, Any] = {}
    if wanted == TripStatus.EN_ROUTE:
        if trip.status == TripStatus.ACCEPTED and not trip.is_now:
            _require_setting_off_open(trip)
    else:
        settings = ServiceSettings.current()
        if wanted == TripStatus.IN_TRANSIT and _may_board_and_drive(trip):
            boarded = TripStatus.PASSENGERS_BOARDED
            judged = _judge_step(trip, boarded, settings)
            trip.move(boarded, Role.DRIVER, by_id=driver.user_id, lat=lat, lng=lng, **judged)
        history = _judge_step(trip, wanted, settings)
    if wanted == TripStatus.CANCELLED:
        note = clean_text(note) or _("The passenger did not come.")
    if wanted in (TripStatus.COMPLETED, TripStatus.CANCELLED):
        end_trip(trip, wanted, role=Role.DRIVER, by_id=driver.user_id, note=note, lat=lat, lng=lng, **history)
    elif wanted in DRIVING and trip.status == TripStatus.ACCEPTED:
        _begin_driving(trip, wanted, Role.DRIVER, by_id=driver.user_id, note=note, lat=lat, lng=lng, **history)
    else:
        trip.move(wanted, Role.DRIVER, by_id=driver.user_id, note=note, lat=lat, lng=lng, **history)
    if wanted == TripStatus.DRIVER_ARRIVED:
        arrival.tell_passenger(trip)
    elif wanted in _NOTIFIED:
        notify(
            trip.organiser, _NOTIFIED[wanted], message=trip.title, audience="passenger", action_url=f"/trips/{trip.pk}/"
        )
    return trip


@in_transaction
def _reach_stop(
    driver_id: int, trip_id: int, *, number: int | None, lat: float | None, lng: float | None, key: str
) -> Trip:
    """Mark a stop as reached, in their order and on the road; the trip's status stays. A stop that is marked stays so.

    How far from it the driver's position was is kept for staff; it refuses nothing, as a stop may be around the corner.
    """
    driver = lock_driver(driver_id)
    trip = _lock_own_trip(driver, trip_id)
    if is_repeated(driver_id, key, f"status {trip_id} {STOP_REACHED} {number}"):
        return trip
    stops = trip.stop_list
    if number is None or isinstance(number, bool) or not 1 <= number <= len(stops):
        raise InvalidInput("input.invalid", _("Which stop?"), {"stop": [_("This trip has no such stop.")]})
    if stops[number - 1].reached_at is not None:
        return trip
    if trip.status != TripStatus.IN_TRANSIT:
        raise Conflict("trip.stop_refused", _("Stops are marked while you drive with the passengers."))
    if number != trip.stops_reached + 1:
        raise Conflict("trip.stop_refused", _("Mark the stops in their order."))
    reached = stops[number - 1]
    stops[number - 1] = msgspec.structs.replace(reached, reached_at=database_now())
    said = stop_in_words(number, reached)
    trip.transitions.create(
        from_status=trip.status,
        to_status=trip.status,
        role=Role.DRIVER,
        by_id=driver.user_id,
        note=said,
        lat=lat,
        lng=lng,
        away_km=_km_from(trip, (reached.lat, reached.lng)),
    )
    trip.amend(said, stops=msgspec.to_builtins(stops))
    return trip


def stop_in_words(number: int, stop: events.Stop) -> str:
    return _("Stop %(number)d: %(name)s") % {"number": number, "name": stop.name}


def _km_from(trip: Trip, point: eta.LatLng) -> float | None:
    """Return the distance from the driver's position; None: there is no fresh one."""
    position = arrival.position_of(trip)
    if position is None or not position.is_fresh(ServiceSettings.current().arrival_fresh_s):
        return None
    return distance_km(position.lat, position.lng, *point)


def joins_boarding(trip: Trip, settings: ServiceSettings) -> bool:
    """Say whether the step that is offered at the pickup is boarding and driving off in one."""
    return trip.trip_type == TripType.PRIVATE and not settings.boarding_apart


def _may_board_and_drive(trip: Trip) -> bool:
    return trip.status == TripStatus.DRIVER_ARRIVED and trip.trip_type == TripType.PRIVATE


def _begin_driving(trip: Trip, wanted: TripStatus, role: Role, **history: Any) -> None:
    """Take the first step of an accepted trip and mark its driver busy. Driver and trip are locked."""
    if trip.driver_id is None or Trip.objects.filter(driver=trip.driver_id, status__in=sorted(DRIVING)).exists():
        raise Conflict("driver.busy", _("Finish the trip you are driving first."))
    trip.move(wanted, role, **history)
    mark_busy(trip.driver_id)


def _judge_step(trip: Trip, wanted: TripStatus, settings: ServiceSettings) -> dict[str, Any]:
    """Return the history columns of a step after setting off. Raises Conflict if it is too early or too far away."""
    if wanted == TripStatus.CANCELLED:
        _require_waited(trip, settings)
    if wanted == TripStatus.PASSENGERS_BOARDED:
        _require_boarding_open(trip, settings)
    if not allowed(trip.status, wanted, role=Role.DRIVER):
        return {}  # Trip.move refuses it
    if wanted == TripStatus.DRIVER_ARRIVED:
        _require_arrival_open(trip, settings)
    judged = arrival.judge(trip, wanted, settings=settings)
    history: dict[str, Any] = {"doubt": judged.doubt, "away_km": judged.away_km}
    if wanted == TripStatus.DRIVER_ARRIVED:
        if judged.doubt == Doubt.FAR:
            far = {"distance": km(judged.away_km or 0)}
            refusal = Conflict("trip.not_at_pickup", _("You are %(distance)s from the pickup.") % far)
            raise ask_staff(refusal, _("If you are there, ask our staff to confirm it."), support=settings.support)
        history["arrival_flagged"] = bool(judged.doubt)
        if judged.doubt:
            # trips.watch checks whether a position confirms it.
            history["watch_at"] = database_now()
    return history


@in_transaction
def _confirm_arrival(driver_id: int, trip_id: int) -> None:
    """Confirm a flagged arrival if the driver's position now shows it."""
    flagged = Trip.objects.filter(pk=trip_id, driver=driver_id, status=TripStatus.DRIVER_ARRIVED, arrival_flagged=True)
    if not flagged.exists():
        return
    driver = lock_driver(driver_id)
    trip = _lock_own_trip(driver, trip_id)
    if trip.awaits_confirmation:
        arrival.confirm_if_there(trip, Role.DRIVER, settings=ServiceSettings.current(), by_id=driver.user_id)


def _lock_own_trip(driver: Driver, trip_id: int) -> Trip:
    mine = Trip.objects.for_page().select_related("driver__position").locked()
    trip = mine.filter(pk=trip_id, driver=driver).first()
    if trip is None:
        raise NotFound("trip.not_found", _("There is no such trip."))
    return trip


def _require_setting_off_open(trip: Trip) -> None:
    """Refuse setting off so early for a trip for later that the driver would be there before an arrival is taken.

    Otherwise a slip on tomorrow's card tells its passenger that the car is coming, and the driver gets no other trip.

    Raises:
        Conflict: trip.set_off_too_early
    """
    settings, now = ServiceSettings.current(), database_now()
    opens_at = window_opens_at(trip, settings)
    if now >= opens_at:
        return
    position = DriverPosition.objects.filter(driver=trip.driver_id).first()
    if position is None or is_dark(position, settings, now):
        # Where they are nobody knows: it may be far.
        opens_at -= _LONG_DRIVE
    else:
        opens_at -= eta.drive_to(trip.pickup_lat, trip.pickup_lng, position, eta.speeds_of(settings))
    if now < opens_at:
        words = _("You can set off from %(time)s.")
        raise Conflict("trip.set_off_too_early", words % {"time": clock(opens_at, trip.timezone)})


def _require_arrival_open(trip: Trip, settings: ServiceSettings) -> None:
    """Refuse an arrival earlier than `tracking_opens_min` before departure. Raises Conflict: trip.arrival_too_early.

    Otherwise a driver could "arrive" days early, and the passenger could not cancel any more.
    """
    if trip.is_now:
        return
    opens_at = window_opens_at(trip, settings)
    if database_now() < opens_at:
        words = _("You can be at the pickup from %(time)s.")
        raise Conflict("trip.arrival_too_early", words % {"time": clock(opens_at, trip.timezone)})


def _require_boarding_open(trip: Trip, settings: ServiceSettings) -> None:
    """Refuse boarding earlier than `boarding_opens_min` before departure. Raises Conflict: trip.boarding_too_early."""
    opens_at = trip.departure_at - dt.timedelta(minutes=settings.boarding_opens_min)
    if database_now() < opens_at:
        words = _("Boarding opens at %(time)s.")
        raise Conflict("trip.boarding_too_early", words % {"time": clock(opens_at, trip.timezone)})


def _require_waited(trip: Trip, settings: ServiceSettings) -> None:
    """Refuse a no-show before the driver has waited at the pickup, so that no passenger is left behind too early.

    Raises:
        Conflict: trip.handed_over, trip.arrival_unconfirmed, trip.no_show_too_early
    """
    if trip.status != TripStatus.DRIVER_ARRIVED:
        return  # Trip.move refuses it
    if trip.former_legs:
        # It would take from the former driver what they earned.
        refusal = Conflict("trip.handed_over", _("These passengers are on their way already."))
        raise ask_staff(refusal, support=settings.support)
    if trip.awaits_confirmation:
        words = _("No position of yours shows that you are at the pickup. Switch your location on.")
        raise ask_staff(Conflict("trip.arrival_unconfirmed", words), OR_ASK, support=settings.support)
    until = no_show_at(trip, settings)
    if database_now() < until:
        words = _("Please wait for the passenger until %(time)s.")
        raise Conflict("trip.no_show_too_early", words % {"time": clock(until, trip.timezone)})


def no_show_at(trip: Trip, settings: ServiceSettings) -> dt.datetime:
    """Return the earliest time at which a driver at the pickup may report a no-show.

    A flagged arrival that was confirmed counts from its confirmation.
    """
    arrived = trip.transitions.filter(to_status=TripStatus.DRIVER_ARRIVED).order_by("-pk").first()
    since = max(trip.departure_at, arrived.created_at) if arrived is not None else trip.departure_at
    return since + dt.timedelta(minutes=settings.no_show_wait_min)


@in_transaction
def _set_delay(driver_id: int, trip_id: int, *, minutes: int | None, reason: str, key: str) -> Trip:
    """Set the delay of a trip, which is announced like a status, and notify its organiser."""
    if minutes is None or isinstance(minutes, bool) or not 1 <= minutes <= 1440:
        raise InvalidInput("input.invalid", _("How long is the delay?"), {"delay_minutes": [_("1 to 1440 minutes.")]})
    driver = lock_driver(driver_id)
    trip = _lock_own_trip(driver, trip_id)
    if is_repeated(driver_id, key, f"status {trip_id} {DELAYED}"):
        return trip
    if trip.status not in ASSIGNED:
        raise Conflict("trip.transition_refused", _("This trip is over."))
    if (trip.delay_minutes, trip.delay_reason) == (minutes, reason[:200]):
        return trip
    delayed_until = _next_stop_expected_at(trip, ServiceSettings.current()) + dt.timedelta(minutes=minutes)
    trip.amend(reason, delay_minutes=minutes, delay_reason=reason[:200], delayed_until=delayed_until)
    notify(
        trip.organiser,
        gettext_lazy("Your driver is delayed"),
        message=format_lazy("{}. {}", _duration(minutes), reason) if reason else _duration(minutes),
        audience="passenger",
        priority="high",
        action_url=f"/trips/{trip.pk}/",
    )
    return trip


def _next_stop_expected_at(trip: Trip, settings: ServiceSettings) -> dt.datetime:
    """Return when pickup or dropoff, whichever is next, would be reached without the delay that is being announced."""
    now, speeds = database_now(), eta.speeds_of(settings)
    drive = trip.ends_at - trip.departure_at
    if trip.status == TripStatus.DRIVER_ARRIVED:
        return max(now, trip.departure_at) + drive
    position = arrival.position_of(trip)
    if trip.status in ABOARD:
        way, otherwise = trip.points_ahead, drive
    else:
        way, otherwise = [(trip.pickup_lat, trip.pickup_lng)], dt.timedelta()
    if position is not None and position.is_fresh(settings.position_fresh_s):
        driven = eta.minutes_along([(position.lat, position.lng), *way], speeds, position.speed_kmh)
        otherwise = dt.timedelta(minutes=driven)
    arrives_at = now + otherwise
    return arrives_at if trip.status in ABOARD else max(arrives_at, trip.departure_at)


@in_transaction
def confirm_arrival(trip_id: int, user: User, reason: str = "", *, shown_driver_id: int | None = None) -> Trip:
    """Confirm by staff that the driver is at the pickup: clear the flag, or take the step for the driver.

    The wait for the passenger begins now. If the arrival is confirmed already, nothing changes.
    `shown_driver_id`: see `access.require_as_shown`.

    Raises:
        NotFound, NotPermitted, Conflict (trip.transition_refused, assignment.changed_meanwhile, driver.busy)
    """
    access.require_staff(user)
    unlocked = trip_for(user, trip_id)
    if unlocked.driver_id:
        lock_driver(unlocked.driver_id)
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    if trip.driver_id != unlocked.driver_id:
        raise Stale
    access.require_as_shown(trip, shown_driver_id)
    if trip.awaits_confirmation:
        arrival.confirm(trip, Role.STAFF, by_id=user.pk, note=reason)
    elif trip.status in EXPECTED:
        step = _begin_driving if trip.status == TripStatus.ACCEPTED else Trip.move
        step(trip, TripStatus.DRIVER_ARRIVED, Role.STAFF, by_id=user.pk, note=reason, arrival_flagged=False)
        arrival.tell_passenger(trip)
    elif trip.status != TripStatus.DRIVER_ARRIVED:
        raise TransitionRefused(trip.status, TripStatus.DRIVER_ARRIVED)
    return trip


@in_transaction
def waive_boarding_code(trip_id: int, user: User, reason: str = "", *, shown_driver_id: int | None = None) -> Trip:
    """Let the driver board without the code, by staff: the passenger's phone is empty. Repeating it changes nothing.

    `shown_driver_id`: see `access.require_as_shown`.

    Raises:
        NotFound, NotPermitted
        Conflict: trip.transition_refused, nobody waits to board; assignment.changed_meanwhile
    """
    access.require_staff(user)
    trip_for(user, trip_id)
    trip = Trip.objects.for_page().locked().get(pk=trip_id)
    access.require_as_shown(trip, shown_driver_id)
    if trip.status not in BEFORE_BOARDING:
        raise Conflict("trip.transition_refused", _("Nobody waits to board this trip."))
    if trip.boarding_code:
        trip.amend(reason, **NO_CODE)
    return trip
