"""Check trips whose driver is expected at the pickup: reminders, setting off in time, stalls on the way.

Also whether a position confirms an arrival that was flagged without one.

`Trip.move` sets `watch_at` of a trip that gets a driver or whose driver sets off; from then on its `TripWatch` says
when to check again. The trip's lock is also that of its watch, which is read only once the trip is locked: any number
of dispatchers notify once, and a batch costs the same few queries however many trips it has.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from django.db.models import F
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import override

from drivers.geo import distance_km
from drivers.models import DriverPosition
from realtime.delivery.notifications import notify, notify_staff
from stepper.db.transactions import in_transaction, isolate_failures
from stepper.models import ServiceSettings
from stepper.templatetags.units import clock, when

from . import arrival, eta
from .models import Booking, Trip, TripWatch
from .states import BookingStatus, Role, Stall, TripStatus

# On the way to the pickup a driver is checked this often.
_ON_THE_WAY = dt.timedelta(seconds=20)
# Before setting off: check again after half of the remaining time, but not sooner or later than these.
_SOONEST, _LATEST = dt.timedelta(seconds=30), dt.timedelta(hours=1)
# After staff were told, check this often whether the driver has set off.
_FLAGGED = dt.timedelta(minutes=5)
# A driver this near to the pickup may be waiting there, so standing still is no stall.
NEAR_KM = 0.3

# The columns of a watch that a check may change.
_STATE = [
    "driver",
    "due_at",
    "first_reminder_at",
    "last_reminder_at",
    "nudged_at",
    "late_at",
    "set_off_at",
    "stall",
    "stalled_at",
    "stall_told_at",
    "anchor_lat",
    "anchor_lng",
    "anchor_at",
    "least_km",
    "least_at",
]


class _Watched(NamedTuple):
    """One trip with everything that a check reads."""

    trip: Trip
    watch: TripWatch
    position: DriverPosition | None
    now: dt.datetime
    settings: ServiceSettings


def watch_due(limit: int = 100) -> int:
    """Check the trips that are due; return how many. Trips locked elsewhere are left to the next pass."""
    marked = Trip.objects.filter(watch_at__lte=Now()).order_by("watch_at").values_list("pk", flat=True)
    due = TripWatch.objects.filter(due_at__lte=Now()).order_by("due_at").values_list("pk", flat=True)
    trip_ids = sorted({*marked[:limit], *due[:limit]})
    return isolate_failures(_lock_and_check, trip_ids)


@in_transaction
def _lock_and_check(trip_ids: list[int]) -> int:
    """Lock the trips that nobody else has locked, read their watches and check those that are due; return how many."""
    settings = ServiceSettings.current()
    trips = list(
        Trip.objects.filter(pk__in=trip_ids)
        .order_by("pk")
        .select_for_update(no_key=True, skip_locked=True, of=("self",))
        .select_related("organiser", "vehicle", "driver__user", "driver__position")
        .annotate(now=Now())
    )
    # A statement of its own, after the lock: it must see what another dispatcher committed before releasing the lock.
    watches = TripWatch.objects.in_bulk([trip.pk for trip in trips])
    checks = []
    for trip in trips:
        watch = watches.get(trip.pk)
        if trip.watch_at is None and (watch is None or watch.due_at is None or watch.due_at > trip.now):
            continue  # another dispatcher got there first
        if trip.driver_id is not None and (trip.watch_at is not None or watch is None):
            # A driver has just got the trip or has just set off: the watch begins again.
            watch = TripWatch(trip=trip, driver_id=trip.driver_id)
        if watch is not None:
            checks.append(_Watched(trip, watch, getattr(trip.driver, "position", None), trip.now, settings))
    _check_trips(checks)
    Trip.objects.filter(pk__in=[trip.pk for trip in trips if trip.watch_at]).update(watch_at=None)
    return len(checks)


def _check_trips(checks: Sequence[_Watched]) -> None:
    """Check each trip, write all watches in one statement, then send reminders and announce stalls."""
    reminders, stalls = [], []
    areas = arrival.PickupAreas()
    for check in checks:
        trip, watch = check.trip, check.watch
        if trip.status == TripStatus.ACCEPTED:
            if _is_time_to_remind(check):
                reminders.append(check)
            _check_setting_off(check)
        elif trip.status == TripStatus.EN_ROUTE:
            if _check_way(check):
                stalls.append(check)
        else:
            watch.due_at, watch.stall, watch.stalled_at = None, "", None
            if trip.awaits_confirmation and not arrival.confirm_if_there(
                trip, Role.SYSTEM, settings=check.settings, areas=areas
            ):
                watch.due_at = check.now + _ON_THE_WAY
    TripWatch.objects.bulk_create(
        [check.watch for check in checks], update_conflicts=True, unique_fields=["trip"], update_fields=_STATE
    )
    _send_reminders(reminders)
    if stalls:
        Trip.objects.filter(pk__in=[check.trip.pk for check in stalls]).update(version=F("version") + 1)
    for check in stalls:
        # Announced like a delay: the status stays, the passenger's page says what it is.
        check.trip.version += 1
        check.trip.announce(check.trip.status)


# Reminders


def _is_time_to_remind(check: _Watched) -> bool:
    """Mark the reminders that are due; True: send one. A driver who got the trip after a reminder's time needs none."""
    trip, watch, now, settings = check.trip, check.watch, check.now, check.settings
    accepted_at = trip.accepted_at or now
    sent = False
    for name, lead_min in (
        ("first_reminder_at", settings.reminder_first_min),
        ("last_reminder_at", settings.reminder_last_min),
    ):
        at = trip.departure_at - dt.timedelta(minutes=lead_min)
        if trip.is_now or not lead_min or now < at or getattr(watch, name) is not None:
            continue
        setattr(watch, name, now)
        # After a long silence one reminder is enough, and after the departure none.
        sent = sent or accepted_at < at <= now < trip.departure_at
    return sent


def _send_reminders(checks: Iterable[_Watched]) -> None:
    by_trip = {check.trip.pk: check for check in checks}
    if not by_trip:
        return
    seated = Booking.objects.filter(trip__in=by_trip, status=BookingStatus.CONFIRMED).select_related("passenger")
    people = {pk: {check.trip.organiser_id: check.trip.organiser} for pk, check in by_trip.items()}
    for booking in seated:
        people[booking.trip_id][booking.passenger_id] = booking.passenger
    for pk, check in by_trip.items():
        trip = check.trip
        if trip.driver is None:
            continue
        for user in people[pk].values():
            with override(user.offered_language):
                notify(
                    user,
                    _("Your trip: %(when)s") % {"when": when(trip.departure_at, trip.timezone)},
                    message=f"{trip.title}. {trip.driver.user.short_name} · {trip.vehicle}",
                    audience="passenger",
                    action_url=f"/trips/{pk}/",
                )
        with override(trip.driver.user.offered_language):
            leave_at = _leave_at(check)
            at = {"time": clock(leave_at, trip.timezone)}
            leave = _("Leave at %(time)s.") % at if leave_at > check.now else _("Leave now.")
            notify(
                trip.driver.user,
                _("Your trip: %(when)s") % {"when": when(trip.departure_at, trip.timezone)},
                message=f"{trip.title}. {leave}",
                audience="driver",
                action_url="/driver/",
            )


# Setting off


def _leave_at(check: _Watched) -> dt.datetime:
    """Return when the driver has to leave from their position to be in time; not before they got the trip."""
    trip = check.trip
    drive = eta.drive_to(trip.pickup_lat, trip.pickup_lng, check.position, eta.speeds_of(check.settings))
    return max(trip.departure_at - drive, trip.accepted_at or check.now)


def _check_setting_off(check: _Watched) -> None:
    """Tell a driver who is late to set off, then staff; set when to check next."""
    trip, watch, now, settings = check.trip, check.watch, check.now, check.settings
    nudge_at = _leave_at(check) + dt.timedelta(minutes=settings.set_off_grace_min)
    flag_after = dt.timedelta(minutes=settings.set_off_flag_min)
    if now < nudge_at:
        # Also where the driver has driven on without reporting it: not late any more.
        watch.late_at = None
    elif watch.nudged_at is None:
        watch.nudged_at = now
        _tell_to_set_off(check)
    elif watch.late_at is None and now >= watch.nudged_at + flag_after:
        watch.late_at = now
        _tell_staff(trip, partial(_late_words, trip))
    if watch.late_at is not None:
        watch.due_at = now + _FLAGGED
        return
    leads = (settings.reminder_first_min, settings.reminder_last_min)
    moments = [trip.departure_at - dt.timedelta(minutes=lead) for lead in leads if lead and not trip.is_now]
    moments += [watch.nudged_at + flag_after] if watch.nudged_at else []
    moments.append(now + min(max((nudge_at - now) / 2, _SOONEST), _LATEST))
    watch.due_at = min(moment for moment in moments if moment > now)


def _tell_to_set_off(check: _Watched) -> None:
    trip = check.trip
    if trip.driver is None:
        return
    user = trip.driver.user
    with override(user.offered_language):
        notify(
            user,
            _("Time to set off"),
            message=_("%(pickup)s at %(time)s. Set off now or give the trip back.")
            % {"pickup": trip.pickup_name, "time": clock(trip.departure_at, trip.timezone)},
            audience="driver",
            priority="urgent",
            action_url="/driver/",
        )


def _tell_staff(trip: Trip, make_words: "partial[tuple[str, str]]") -> None:
    notify_staff("trips.change_trip", make_words, reverse("admin:trips_trip_change", args=[trip.pk]))


def _late_words(trip: Trip) -> tuple[str, str]:
    title = _("Trip %(id)d: the driver has not set off") % {"id": trip.pk}
    return title, _driver_words(trip)


def _driver_words(trip: Trip) -> str:
    driver = trip.driver.user.name if trip.driver else ""
    return f"{trip.title}, {when(trip.departure_at, trip.timezone)} · {driver}"


# On the way


def _check_way(check: _Watched) -> bool:
    """Update the stall of a trip whose driver is on the way; True: it changed."""
    watch, now = check.watch, check.now
    watch.due_at = now + _ON_THE_WAY
    watch.late_at = None
    if watch.set_off_at is None:
        watch.set_off_at = now
    before = (watch.stall, watch.stalled_at)
    stall, since = _find_stall(check)
    watch.stall, watch.stalled_at = stall or "", since
    if stall and watch.stall_told_at is None:
        watch.stall_told_at = now
        _tell_staff(check.trip, partial(_stall_words, check.trip, stall))
    return (watch.stall, watch.stalled_at) != before


def _find_stall(check: _Watched) -> tuple[Stall | None, dt.datetime | None]:
    """Return the stall and since when, (None, None) without one; moves the marks of the watch."""
    watch, position, settings = check.watch, check.position, check.settings
    set_off_at = watch.set_off_at or check.now
    heard_at = max(position.recorded_at, set_off_at) if position else set_off_at
    if check.now - heard_at >= dt.timedelta(minutes=settings.stall_dark_min):
        return Stall.DARK, heard_at
    # A fix from before setting off says nothing about the way.
    if position is None or position.recorded_at < set_off_at - _ON_THE_WAY:
        return None, None
    if not position.is_plausible(settings.position_accuracy_m):
        # Reports arrive but are too inaccurate.
        return (None, None) if watch.stall in ("", Stall.DARK) else (Stall(watch.stall), watch.stalled_at)
    here, at = (position.lat, position.lng), max(position.recorded_at, set_off_at)
    away_km = distance_km(*here, check.trip.pickup_lat, check.trip.pickup_lng)
    move_km, span = settings.stall_move_m / 1000, dt.timedelta(minutes=settings.stall_min)
    is_nearer = _move_marks(watch, here, at=at, away_km=away_km, move_km=move_km)
    if watch.anchor_at is not None and at - watch.anchor_at >= span:
        return Stall.STANDING, watch.anchor_at
    if is_nearer or watch.least_km is None or watch.least_at is None:
        return None, None
    if watch.stall == Stall.AWAY:
        # Measure again from the farthest point: driving back from there counts as coming nearer.
        watch.least_km = max(watch.least_km, away_km)
        return Stall.AWAY, watch.stalled_at
    if away_km >= watch.least_km + settings.stall_away_m / 1000 and at - watch.least_at >= span:
        since = watch.least_at
        watch.least_km = away_km
        return Stall.AWAY, since
    return None, None


def _move_marks(
    watch: TripWatch, here: tuple[float, float], *, at: dt.datetime, away_km: float, move_km: float
) -> bool:
    """Move the marks of the watch: where the vehicle stands, and the nearest it was; True: it came nearer.

    Only moves of `move_km` count; near the pickup each one does.
    """
    near = away_km <= NEAR_KM
    if (
        near
        or watch.anchor_lat is None
        or watch.anchor_lng is None
        or distance_km(watch.anchor_lat, watch.anchor_lng, *here) >= move_km
    ):
        watch.anchor_lat, watch.anchor_lng, watch.anchor_at = *here, at
    if near or watch.least_km is None or away_km <= watch.least_km - move_km:
        watch.least_km, watch.least_at = away_km, at
        return True
    return False


def _stall_words(trip: Trip, stall: Stall) -> tuple[str, str]:
    titles = {
        Stall.STANDING: _("Trip %(id)d: the driver stands still"),
        Stall.AWAY: _("Trip %(id)d: the driver moves away"),
        Stall.DARK: _("Trip %(id)d: no position of the driver"),
    }
    return titles[stall] % {"id": trip.pk}, _driver_words(trip)
