"""A driver's working time: activity and going offline without it, breaks, weekly hours (shifts).

Each change happens once: a row says when it is due; the dispatcher locks the driver, checks again that it is due, and
changes the availability, its history and the next due time in one transaction. So several dispatchers may run together,
and one may be killed. If none ran when a change fell due, the next one applies it by the state it finds. Trips are not
changed: a driver on a trip stays busy, and the change takes effect when the trip ends.

Activity is what a driver does: the switch, answers, steps, settings (`record_activity`), and driving a real distance.
An open dashboard is no activity, and neither are positions of a parked vehicle.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override
from msgspec import UNSET, Meta, Struct, UnsetType

from drivers import hours
from drivers.availability import IDLE_CHECK, change_availability, end_running_break, lock_driver, require_ready
from drivers.geo import distance_km
from drivers.models import AUTO_OFFLINE_MAX, AUTO_OFFLINE_MIN, Availability, Break, Cause, Driver
from drivers.updates import publish_update
from realtime import events
from realtime.delivery.notifications import notify
from stepper import limits
from stepper.db.clock import database_now
from stepper.db.transactions import best_effort, in_transaction, isolate_failures
from stepper.errors import Conflict, InvalidFields, InvalidInput, NotFound, NotPermitted, Text
from stepper.models import ServiceSettings
from stepper.templatetags.units import clock, time_of_day
from trips.offers import withdraw_from_drivers
from trips.waking import wake_trips_around

# Activity is recorded at most once in this time, so that an active driver costs at most one write a minute.
_RECORDED_EVERY = dt.timedelta(minutes=1)

BREAK_MIN, BREAK_MAX = 5, 720
_PLAN_AHEAD = dt.timedelta(days=30)
_BREAKS_AHEAD = 20

_Time = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class DayHours(Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """A span of one day in local time; an end that is not after the start is on the next day."""

    start: _Time
    end: _Time


class WorkingTime(Struct, frozen=True, kw_only=True):
    """A driver's settings; UNSET ones stay. `hours` replace all stored hours: a day left out becomes free."""

    timezone: Annotated[str, Meta(max_length=40)] | UnsetType = UNSET
    hours: dict[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], DayHours] | UnsetType = UNSET
    auto_offline_min: Annotated[int, Meta(ge=AUTO_OFFLINE_MIN, le=AUTO_OFFLINE_MAX)] | UnsetType = UNSET


# Activity


def record_activity(driver_id: int) -> None:
    """Record that the driver did something, and withdraw a warning of inactivity. At most one write a minute."""
    stale = Q(active_at__lt=Now() - _RECORDED_EVERY) | Q(auto_offline_at__isnull=False)
    online = Driver.objects.filter(pk=driver_id, availability=Availability.AVAILABLE)
    before = online.filter(stale).values("auto_offline_at").first()
    if before is None:
        return
    if before["auto_offline_at"] is None:
        # This column is in no index, so PostgreSQL updates the row without touching one.
        online.update(active_at=Now())
    else:
        _withdraw_warning(driver_id)


@in_transaction
def _withdraw_warning(driver_id: int) -> None:
    """Withdraw the warning of inactivity on all devices of the driver, unless they were put offline meanwhile."""
    driver = Driver.objects.locked().get(pk=driver_id)
    if driver.availability != Availability.AVAILABLE or driver.auto_offline_at is None:
        return
    Driver.objects.filter(pk=driver_id).update(active_at=Now(), auto_offline_at=None, idle_look_at=Now() + IDLE_CHECK)
    driver.auto_offline_at = None
    publish_update(driver, "availability")


def check_idle_drivers(limit: int = 100) -> int:
    """Warn drivers without activity, and put offline those whose warning has run out; return how many were due."""
    due = Driver.objects.filter(idle_look_at__lte=Now()).order_by("idle_look_at")
    return isolate_failures(_check_idle_drivers, list(due.values_list("pk", flat=True)[:limit]))


@in_transaction
def _check_idle_drivers(driver_ids: list[int]) -> int:
    """Check these drivers in one transaction; those whose rows are locked elsewhere are left to the next pass.

    1. Lock the drivers whose check is still due.
    2. Record driving since the last check as activity.
    3. Take drivers offline whose warning has run out; warn those who go offline soon; else set the next check.
    4. Publish `driver.updated` if a warning was set or removed, and store the rows.
    """
    settings = ServiceSettings.current()
    warning = dt.timedelta(minutes=settings.auto_offline_warn_min)
    due = Driver.objects.filter(pk__in=driver_ids, idle_look_at__lte=Now()).annotate(now=Now())
    drivers = list(
        due.order_by("pk")
        .select_for_update(no_key=True, skip_locked=True, of=("self",))
        .select_related("user", "vehicle", "position")
    )
    warned_for = {driver.pk: driver.auto_offline_at for driver in drivers}
    for driver in drivers:
        _record_driving(driver, settings)
    gone = [driver for driver in drivers if _is_warned_in_vain(driver, driver.now)]
    _put_idle_offline(gone)
    checked = [driver for driver in drivers if driver not in gone]
    for driver in checked:
        now = driver.now
        offline_at = (driver.active_at or now) + dt.timedelta(minutes=driver.auto_offline_min)
        if driver.availability != Availability.AVAILABLE:
            driver.idle_look_at = None
        elif driver.auto_offline_at is None and now >= offline_at - warning:
            # However late this check runs, the driver has the whole time of the warning to answer.
            driver.auto_offline_at = driver.idle_look_at = max(offline_at, now + warning)
            _notify_driver(
                driver,
                gettext_lazy("Are you still there?"),
                message=format_lazy(
                    gettext_lazy("You go offline at {time}. Press “Stay online” to go on receiving offers."),
                    time=clock(driver.auto_offline_at, driver.timezone),
                ),
            )
        else:
            driver.idle_look_at = driver.auto_offline_at or min(now + IDLE_CHECK, offline_at - warning)
        if driver.auto_offline_at != warned_for[driver.pk]:
            publish_update(driver, "availability")
    Driver.objects.bulk_update(
        checked, ["active_at", "active_lat", "active_lng", "auto_offline_at", "idle_look_at"], batch_size=80
    )
    return len(drivers)


def _is_warned_in_vain(driver: Driver, now: dt.datetime) -> bool:
    warned_for = driver.auto_offline_at
    return driver.availability == Availability.AVAILABLE and warned_for is not None and now >= warned_for


def _put_idle_offline(drivers: Sequence[Driver]) -> None:
    """Put locked drivers offline and notify them. Their offers first, so that all trips are locked in one order."""
    withdraw_from_drivers([driver.pk for driver in drivers])
    for driver in drivers:
        change_availability(driver, Cause.AUTO_OFFLINE, is_online=False)
        _notify_driver(
            driver,
            gettext_lazy("You are offline now"),
            message=gettext_lazy("Nothing happened for a while. Go online again when you are back."),
        )


def _record_driving(driver: Driver, settings: ServiceSettings) -> None:
    """Count a move of `active_move_m` or more as activity at the time of the fix. Sets fields, saves nothing."""
    position = getattr(driver, "position", None)
    if position is None or not position.is_plausible(settings.position_accuracy_m):
        return
    if driver.active_at and position.recorded_at <= driver.active_at:
        return
    here = (position.lat, position.lng)
    if driver.active_lat is None or driver.active_lng is None:
        driver.active_lat, driver.active_lng = here
    elif distance_km(driver.active_lat, driver.active_lng, *here) * 1000 >= settings.active_move_m:
        driver.active_lat, driver.active_lng = here
        driver.active_at, driver.auto_offline_at = position.recorded_at, None


def _notify_driver(driver: Driver, title: Text, *, message: Text, priority: str = "high") -> None:
    notify(
        driver.user,
        title,
        message=message,
        audience="driver",
        priority=priority,
        category="system",
        action_url="/driver/",
    )


# Settings


@limits.counted("hours", "changes_per_min")
@in_transaction
def set_working_time(driver_id: int, wanted: WorkingTime) -> Driver:
    """Store the driver's hours, their zone, and how long they stay online without activity.

    The availability changes when the hours next begin (online) or end (offline), not now. In between the driver's own
    switch decides.

    Raises:
        NotFound, NotPermitted, InvalidInput: there is no such zone
        TooManyRequests: more than `changes_per_min`
    """
    driver = lock_driver(driver_id)
    driver.user.require_active()
    if wanted.timezone is not UNSET:
        if wanted.timezone not in available_timezones():
            raise _invalid_input("timezone", _("There is no such time zone."))
        driver.timezone = wanted.timezone
    if wanted.hours is not UNSET:
        driver.weekly_hours = {day: msgspec.to_builtins(wanted.hours[day]) for day in hours.DAYS if day in wanted.hours}
    if wanted.auto_offline_min is not UNSET:
        driver.auto_offline_min = wanted.auto_offline_min
    driver.hours_due_at = _next_change(driver, database_now())
    driver.save(update_fields=["timezone", "weekly_hours", "auto_offline_min", "hours_due_at"])
    # The new time may have passed already, and a warning was computed from the old one: check again immediately.
    waiting = Driver.objects.filter(pk=driver.pk, idle_look_at__isnull=False)
    if waiting.update(idle_look_at=Now(), auto_offline_at=None):
        driver.auto_offline_at = None
    publish_update(driver, "hours")
    return driver


def _invalid_input(field: str, message: Text) -> InvalidInput:
    return InvalidFields({field: [message]})


def _next_change(driver: Driver, now: dt.datetime) -> dt.datetime | None:
    return hours.next_change(driver.weekly_hours, ZoneInfo(driver.timezone), now)


# Weekly hours


def apply_due_hours(limit: int = 100) -> int:
    """Put drivers online or offline whose hours have begun or ended; return how many were due and not locked."""
    due = Driver.objects.filter(hours_due_at__lte=Now()).order_by("hours_due_at")
    rows = list(due.values_list("pk", "is_online")[:limit])
    # Who is online first: of two who share a vehicle, one's hours may end when the other's begin.
    return _change_each([pk for pk, _online in sorted(rows, key=lambda row: not row[1])], _change_by_hours)


def _change_by_hours(driver: Driver) -> None:
    """Put a locked driver online or offline by whether `now` is in their hours, however late this runs."""
    if driver.hours_due_at is None or driver.hours_due_at > driver.now:  # type: ignore[attr-defined]
        return  # another dispatcher got there first
    now: dt.datetime = driver.now  # type: ignore[attr-defined]
    Driver.objects.filter(pk=driver.pk).update(hours_due_at=_next_change(driver, now))
    begin = hours.are_now(driver.weekly_hours, ZoneInfo(driver.timezone), now)
    if driver.on_break_until is not None:
        # The break goes on; the hours decide whether the driver is online after it.
        if driver.breaks.running().update(resumes=begin):
            publish_update(driver, "breaks")
        return
    if begin:
        _put_online(driver, Cause.HOURS, gettext_lazy("Your hours have begun: you are online"))
    elif change_availability(driver, Cause.HOURS, is_online=False):
        _notify_driver(driver, gettext_lazy("Your hours are over: you are offline"), message="", priority="normal")


def _put_online(driver: Driver, cause: Cause, title: Text, also_changed: Sequence[events.DriverPart] = ()) -> None:
    """Put a locked driver online, as they planned; where that is not possible notify them of the reason.

    `also_changed` is published in either case.
    """
    before = driver.is_online, driver.availability
    try:
        # A savepoint of its own: where the vehicle is in use, the rest of this transaction goes on.
        with override(driver.user.offered_language), transaction.atomic():
            require_ready(driver)
            is_changed = change_availability(driver, cause, is_online=True, also_changed=also_changed)
    except (NotPermitted, Conflict) as error:
        driver.is_online, driver.availability = before
        if also_changed:
            publish_update(driver, *also_changed)
        if isinstance(error, Conflict):  # of the others staff's decision has notified them
            _notify_driver(driver, gettext_lazy("You were not put online"), message=error.message_with_contact)
        return
    if is_changed:
        _notify_driver(driver, title, message="", priority="normal")


# Breaks


@limits.counted("break", "changes_per_min")
@in_transaction
def take_break(driver_id: int, minutes: int) -> Break:
    """Start a break of `minutes` now: the driver goes offline immediately, or after the trip.

    Raises:
        NotFound, InvalidInput (minutes), Conflict (driver.offline, driver.break_overlap)
        TooManyRequests: more than `changes_per_min`
    """
    if isinstance(minutes, bool) or not BREAK_MIN <= minutes <= BREAK_MAX:
        raise _invalid_input("minutes", _("Choose %(least)d to %(most)d minutes.") % _BREAK_RANGE)
    driver = lock_driver(driver_id)
    if not driver.is_online:
        raise Conflict("driver.offline", _("You are offline: there is nothing to take a break from."))
    now = database_now()
    row = _add_break(driver, now, now + dt.timedelta(minutes=minutes))
    _start_break(driver, row)
    row.refresh_from_db()
    return row


@limits.counted("break", "changes_per_min")
@in_transaction
def plan_break(driver_id: int, starts_at: dt.datetime, ends_at: dt.datetime) -> Break:
    """Plan a break, which starts and ends by itself.

    Raises:
        NotFound, NotPermitted, InvalidInput (starts_at, ends_at)
        Conflict: driver.break_overlap, driver.too_many_breaks
        TooManyRequests: more than `changes_per_min`
    """
    now = database_now()
    if ends_at <= starts_at:
        raise _invalid_input("ends_at", _("The end must be after the start."))
    if starts_at < now:
        raise _invalid_input("starts_at", _("This time has passed."))
    if starts_at > now + _PLAN_AHEAD:
        raise _invalid_input("starts_at", _("Choose a time within the next 30 days."))
    if not dt.timedelta(minutes=BREAK_MIN) <= ends_at - starts_at <= dt.timedelta(minutes=BREAK_MAX):
        raise _invalid_input("ends_at", _("A break lasts %(least)d to %(most)d minutes.") % _BREAK_RANGE)
    driver = lock_driver(driver_id)
    driver.user.require_active()
    if driver.breaks.ahead().count() >= _BREAKS_AHEAD:
        raise Conflict("driver.too_many_breaks", _("You have planned as many breaks as can be kept."))
    row = _add_break(driver, starts_at, ends_at)
    publish_update(driver, "breaks")
    return row


_BREAK_RANGE = {"least": BREAK_MIN, "most": BREAK_MAX}


def _add_break(driver: Driver, starts_at: dt.datetime, ends_at: dt.datetime) -> Break:
    """Create a planned break. Raises Conflict (driver.break_overlap)."""
    other = driver.breaks.ahead().filter(starts_at__lt=ends_at, ends_at__gt=starts_at).order_by("starts_at").first()
    if other is not None:
        span = {"start": time_of_day(other.starts_at, driver.timezone), "end": clock(other.ends_at, driver.timezone)}
        raise Conflict("driver.break_overlap", _("You have a break from %(start)s to %(end)s.") % span)
    return driver.breaks.create(starts_at=starts_at, ends_at=ends_at, due_at=starts_at)


@limits.counted("break_end", "changes_per_min")
@in_transaction
def end_break(driver_id: int, break_id: int) -> Break:
    """End a running break now and put the driver online, or cancel a planned one. Repeating it changes nothing.

    Raises:
        NotFound: break.not_found
        TooManyRequests: more than `changes_per_min`
    """
    driver = lock_driver(driver_id)
    row = driver.breaks.filter(pk=break_id).first()
    if row is None:
        raise NotFound("break.not_found", _("There is no such break."))
    if row.ended_at is None:
        _end_break(driver, row)
        row.refresh_from_db()
    return row


def apply_due_breaks(limit: int = 100) -> int:
    """Start and end breaks whose time has come; return how many drivers were due and not locked."""
    due = Break.objects.filter(due_at__lte=Now()).order_by("due_at")
    return _change_each(list(dict.fromkeys(due.values_list("driver_id", flat=True)[:limit])), _change_by_breaks)


def _change_by_breaks(driver: Driver) -> None:
    """Start or end a locked driver's due breaks, the earliest first."""
    for row in driver.breaks.filter(due_at__lte=Now()).order_by("starts_at"):
        if row.ends_at <= driver.now:  # type: ignore[attr-defined]
            _end_break(driver, row)
        else:
            _start_break(driver, row)


def _start_break(driver: Driver, row: Break) -> None:
    """Start a break: the driver goes offline, and online again after it if they were online."""
    row.resumes = driver.is_online
    Break.objects.filter(pk=row.pk).update(started_at=Now(), due_at=row.ends_at, resumes=row.resumes)
    driver.on_break_until = row.ends_at
    Driver.objects.filter(pk=driver.pk).update(on_break_until=row.ends_at)
    change_availability(driver, Cause.BREAK_STARTED, is_online=False, also_changed=["breaks"])


def _end_break(driver: Driver, row: Break) -> None:
    """End a break and put the driver online if they were before; a break that has not started is only marked ended."""
    if row.started_at is None:
        Break.objects.filter(pk=row.pk).update(ended_at=Now(), due_at=None)
        publish_update(driver, "breaks")
        return
    ended = end_running_break(driver)
    if row.resumes:
        _put_online(driver, Cause.BREAK_ENDED, gettext_lazy("Your break is over: you are online"), ended)
    elif ended:
        publish_update(driver, *ended)


# The dispatcher's pass


def apply_due(limit: int = 100) -> int:
    """Apply due breaks, hours and idle checks, at most `limit` drivers each.

    Returns the largest of the three numbers of drivers; if it equals `limit`, more may be due.
    """
    return max(apply_due_breaks(limit), apply_due_hours(limit), check_idle_drivers(limit))


def _change_each(driver_ids: Iterable[int], change: Callable[[Driver], None]) -> int:
    """Call `change` with each driver locked, in a transaction of its own; return how many.

    Drivers whose rows are locked elsewhere are left to the next pass.
    """

    def change_one(driver_ids: list[int]) -> int:
        driver = _change_locked(driver_ids[0], change)
        if driver is not None and driver.availability == Availability.AVAILABLE:
            best_effort(wake_trips_around, driver_ids)
        return driver is not None

    return sum(isolate_failures(change_one, [driver_id]) for driver_id in driver_ids)


@in_transaction
def _change_locked(driver_id: int, change: Callable[[Driver], None]) -> Driver | None:
    """Lock the driver and call `change` with it; return the driver. None: the row is locked elsewhere."""
    unlocked: QuerySet[Driver] = Driver.objects.select_for_update(no_key=True, skip_locked=True, of=("self",))
    driver = unlocked.annotate(now=Now()).select_related("user", "vehicle").filter(pk=driver_id).first()
    if driver is not None:
        change(driver)
    return driver
