"""A driver's availability: approval by staff, the driver's own switch and filters, being busy on a trip.

`change_availability` is the only function that assigns it; breaks, weekly hours and inactivity (drivers.working_time)
call it as well.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from msgspec import UNSET

from drivers import metrics
from drivers.updates import publish_update
from realtime import events
from realtime.delivery.notifications import notify
from stepper import limits
from stepper.db.transactions import best_effort, in_transaction
from stepper.errors import Conflict, InvalidFields, NotFound, NotPermitted, Text
from stepper.models import User
from stepper.staff_words import ask_staff
from trips.offers import withdraw_from_drivers, withdraw_unsuitable
from trips.states import DRIVING, TripType
from trips.waking import wake_trips_around

from .models import Approval, Availability, AvailabilityChange, Cause, Driver, DriverPosition

DOCUMENTS_EXPIRED = gettext_lazy("A document of yours is not valid any more; please send a new one.")
LICENCE_EXPIRED = gettext_lazy("Your licence has expired.")
SEND_NEW_LICENCE = gettext_lazy("Please send our staff the new one.")
NO_VEHICLE = gettext_lazy("You have no vehicle yet.")
# How often the dispatcher checks whether an online driver has moved. Inactivity is noticed at most this much later.
IDLE_CHECK = dt.timedelta(minutes=10)


def lock_driver(driver_id: int, *, with_mates: bool = False) -> Driver:
    """Lock and return the driver's row; first in the lock order, so call it before any other lock.

    `with_mates`: lock the drivers who share the vehicle as well, by ascending id. While they are locked, none of them
    gets a trip, and staff give the vehicle to nobody else (drivers.admin.drivers.DriverForm).

    Raises:
        NotFound: driver.not_found
    """
    rows = Driver.objects.select_related("user", "vehicle")
    mine = rows.filter(pk=driver_id)
    locked = rows.with_mates(driver_id).locked() if with_mates else mine.locked()
    driver = next((row for row in locked if row.pk == driver_id), None)
    if driver is None:
        raise NotFound("driver.not_found", _("There is no such driver."))
    # While PostgreSQL waited for the lock, the joined user and vehicle may have become old, so read them again. An
    # online driver whose vehicle was read needs no second query: they are always active, because deactivating takes
    # them offline.
    if not driver.is_online or (driver.vehicle is None and driver.vehicle_id is not None):
        driver = mine.get()
    return driver


def lock_both(first_id: int, driver_id: int) -> tuple[Driver, Driver]:
    """Lock a trip's driver, the new one and who shares their vehicle, by ascending id. Raises NotFound."""
    mates = Driver.objects.with_mates(driver_id).values_list("pk", flat=True)
    list(Driver.objects.filter(pk__in={*mates, first_id, driver_id}).locked().values_list("pk"))
    return lock_driver(first_id), lock_driver(driver_id, with_mates=True)


def lock_driver_of(user_id: int, *, with_mates: bool = False) -> Driver | None:
    """Lock and return the driver that a user is, as `lock_driver`; None: they are no driver."""
    driver_id = Driver.objects.filter(user=user_id).values_list("pk", flat=True).first()
    return None if driver_id is None else lock_driver(driver_id, with_mates=with_mates)


def require_approved(driver: Driver, *, by_staff: bool = False) -> None:
    """Check the driver's approval and account; raise NotPermitted (driver.not_approved) with a reason for people.

    The reason speaks to the driver, or of them to staff.
    """
    if driver.approval == Approval.APPROVED and driver.user.is_active:
        return
    if by_staff:
        is_approved = driver.approval == Approval.APPROVED
        of_approval = _("This driver is not approved: %(approval)s.") % {"approval": driver.get_approval_display()}
        raise NotPermitted(
            "driver.not_approved", _("This driver's account is not active.") if is_approved else of_approval
        )
    reasons = {
        Approval.PENDING: _("Your account has not been approved yet."),
        Approval.REJECTED: _("Your application was rejected."),
        Approval.SUSPENDED: _("Your account is suspended."),
    }
    reason = reasons.get(Approval(driver.approval), _("Your account is not active."))
    refusal = NotPermitted("driver.not_approved", reason)
    raise ask_staff(refusal) if driver.approval == Approval.SUSPENDED else refusal


def sync_dispatchable(driver_id: int) -> None:
    """Set `dispatchable` on the driver's position, which the search reads: active, approved and available."""
    can_be_asked = Driver.objects.filter(
        pk=OuterRef("driver_id"),
        user__is_active=True,
        approval=Approval.APPROVED,
        availability=Availability.AVAILABLE,
    )
    DriverPosition.objects.filter(driver_id=driver_id).update(dispatchable=Exists(can_be_asked))


@in_transaction
def sync_dispatchable_locked(driver_ids: Iterable[int]) -> None:
    """Do `sync_dispatchable` for drivers with a first fix, each with the driver's row locked.

    A first fix and the online switch can commit at the same time without seeing each other. So this locks the driver's
    row and sets the column again.
    """
    for driver_id in Driver.objects.filter(pk__in=list(driver_ids)).locked().values_list("pk", flat=True):
        sync_dispatchable(driver_id)


def change_availability(
    driver: Driver,
    cause: Cause,
    *,
    is_online: bool | None = None,
    busy: bool | None = None,
    by_id: int | None = None,
    note: str = "",
    also_changed: Sequence[events.DriverPart] = (),
) -> bool:
    """Store a driver's availability and its history, and update the search; False: nothing changed.

    Call it inside a transaction that has the driver locked. None: as before. On a trip `is_online` takes effect when
    the trip ends.

    1. Work out the availability; where it is as before, publish `also_changed` alone.
    2. Store it, with when activity was seen and when inactivity is checked, and a row of the history.
    3. Update what the search reads, and have the driver's metrics counted.
    4. Who is not online any more loses their open offers: lock these trips, by ascending id. Where several drivers go
       offline in one transaction, lock them and call `withdraw_from_drivers` for all of them before.
    5. Publish one `driver.updated` with `also_changed`, unless the cause is a trip's start or end.

    Raises:
        Conflict: vehicle.in_use, another driver is online or on a trip with the driver's vehicle. The transaction is
            of no more use.
    """
    previous = (driver.is_online, driver.availability)
    _work_out(driver, is_online=is_online, busy=busy)
    if (driver.is_online, driver.availability) == previous:
        if also_changed:
            publish_update(driver, *also_changed)
        return False
    driver.auto_offline_at = None
    stored = {"is_online": driver.is_online, "availability": driver.availability, "auto_offline_at": None}
    if driver.availability == Availability.AVAILABLE:
        stored |= {"active_at": Now(), "active_lat": None, "active_lng": None, "idle_look_at": Now() + IDLE_CHECK}
    else:
        stored["idle_look_at"] = None
    _store_availability(driver.pk, stored)
    AvailabilityChange.objects.create(
        driver=driver,
        previous=previous[1],
        availability=driver.availability,
        is_online=driver.is_online,
        cause=cause,
        by_id=by_id,
        note=note[:200],
    )
    sync_dispatchable(driver.pk)
    if driver.availability == Availability.AVAILABLE:
        metrics.schedule_count(driver.pk)
    if previous[0] and not driver.is_online:
        withdraw_from_drivers([driver.pk])
    if cause not in (Cause.TRIP_STARTED, Cause.TRIP_ENDED):
        # A trip's start and end are published as the trip's own events.
        publish_update(driver, "availability", *also_changed)
    return True


def _work_out(driver: Driver, *, is_online: bool | None, busy: bool | None) -> None:
    driver.is_online = driver.is_online if is_online is None else is_online
    busy = driver.availability == Availability.BUSY if busy is None else busy
    may_be_asked = driver.is_online and driver.approval == Approval.APPROVED and driver.user.is_active
    when_free = Availability.AVAILABLE if may_be_asked else Availability.OFFLINE
    driver.availability = Availability.BUSY if busy else when_free


def _store_availability(driver_id: int, stored: dict[str, Any]) -> None:
    """Update the driver's row. The database lets one driver of a vehicle leave `offline`, also if two do so at once.

    Raises:
        Conflict: vehicle.in_use
    """
    try:
        Driver.objects.filter(pk=driver_id).update(**stored)
    except IntegrityError as error:
        # PostgreSQL names the constraint, SQLite its column.
        if not any(name in str(error) for name in ("driver_vehicle_in_use", "drivers_driver.vehicle_id")):
            raise
        raise Conflict(
            "vehicle.in_use", _("Another driver is online or on a trip with this vehicle; they must go offline first.")
        ) from error


def require_ready(driver: Driver) -> None:
    """Check that the driver may go online.

    Raises:
        NotPermitted: driver.not_approved
        Conflict: driver.no_vehicle, driver.licence_expired, driver.documents_expired
    """
    require_approved(driver)
    match driver.lack:
        case "vehicle":
            raise ask_staff(Conflict("driver.no_vehicle", NO_VEHICLE))
        case "licence":
            raise ask_staff(Conflict("driver.licence_expired", LICENCE_EXPIRED), SEND_NEW_LICENCE)
        case "documents":
            raise Conflict("driver.documents_expired", DOCUMENTS_EXPIRED)


def set_online(driver_id: int, online: bool) -> Driver:
    """Set the driver's own switch. On a trip it takes effect when the trip ends. Repeating it changes nothing.

    Going online ends a running break; going offline during one means staying offline after it.

    Raises:
        NotFound, NotPermitted (driver.not_approved)
        Conflict (driver.no_vehicle, driver.licence_expired, driver.documents_expired, vehicle.in_use)
        TooManyRequests: more than `status_per_min`
    """
    limits.count_call("availability", driver_id, setting="status_per_min")
    driver = _set_online(driver_id, online)
    if driver.availability == Availability.AVAILABLE:
        best_effort(wake_trips_around, [driver.pk])
    return driver


@in_transaction
def _set_online(driver_id: int, online: bool) -> Driver:
    driver = lock_driver(driver_id)
    also_changed: list[events.DriverPart] = []
    if online:
        require_ready(driver)
        also_changed = end_running_break(driver)
    elif driver.on_break_until is not None:
        driver.breaks.running().update(resumes=False)
        also_changed = ["breaks"]
    change_availability(driver, Cause.DRIVER, is_online=online, by_id=driver.user_id, also_changed=also_changed)
    return driver


def end_running_break(driver: Driver) -> list[events.DriverPart]:
    """End the running break of a locked driver, if there is one; the availability stays. Return what changed."""
    if driver.on_break_until is None:
        return []
    driver.breaks.running().update(ended_at=Now(), due_at=None)
    driver.on_break_until = None
    Driver.objects.filter(pk=driver.pk).update(on_break_until=None)
    return ["breaks"]


@in_transaction
def take_offline(driver_id: int, user: User, reason: str = "") -> Driver:
    """Put a driver offline on behalf of staff (they forgot, or lost their phone); the driver may go online again.

    Raises:
        NotFound, NotPermitted, Conflict (driver.offline)
    """
    user.require_staff("drivers.change_driver")
    driver = lock_driver(driver_id)
    stays = driver.breaks.running().filter(resumes=True).update(resumes=False)
    also_changed: list[events.DriverPart] = ["breaks"] if stays else []
    is_changed = change_availability(
        driver, Cause.STAFF, is_online=False, by_id=user.pk, note=reason, also_changed=also_changed
    )
    if not is_changed and not stays:
        raise Conflict("driver.offline", _("The driver is offline already."))
    notify(
        driver.user,
        gettext_lazy("Our staff put you offline"),
        message=reason,
        audience="driver",
        priority="high",
        category="system",
        action_url="/driver/",
    )
    return driver


@in_transaction
def stop_inactive(driver_ids: Collection[int]) -> None:
    """Take drivers whose accounts are not active out of the search: offline now, or after the trip; withdraw offers.

    A trip under way stays with its driver until staff take it off them. With an active account again they may go
    online. Repeating it changes nothing.
    """
    drivers = [lock_driver(driver_id) for driver_id in sorted(driver_ids)]
    stopped = [driver for driver in drivers if not driver.user.is_active]  # else activated again meanwhile
    withdraw_from_drivers([driver.pk for driver in stopped])
    for driver in stopped:
        ended = end_running_break(driver)
        if not change_availability(driver, Cause.DEACTIVATED, is_online=False, also_changed=ended):
            sync_dispatchable(driver.pk)


def mark_busy(driver_id: int) -> None:
    """Mark a driver busy whose trip starts. Call it inside a transaction that has locked the driver's row.

    Raises:
        Conflict: vehicle.in_use, the driver was offline and another one is online with their vehicle
    """
    change_availability(Driver.objects.select_related("user").get(pk=driver_id), Cause.TRIP_STARTED, busy=True)


def mark_free(driver_id: int) -> None:
    """Make a driver whose trip has ended available, if online.

    Call it inside a transaction that has locked the driver's row.
    """
    is_driving = Exists(Driver.objects.filter(pk=OuterRef("pk"), trips__status__in=DRIVING))
    driver = Driver.objects.select_related("user").annotate(is_driving=is_driving).get(pk=driver_id)
    if not driver.is_driving and change_availability(driver, Cause.TRIP_ENDED, busy=False):
        transaction.on_commit(partial(best_effort, wake_trips_around, [driver_id]))


_FILTERS = ["max_distance_km", "min_earnings", "trip_types", "accepts_long_distance"]


@limits.counted("filters", "changes_per_min")
def set_filters(driver_id: int, filters: events.Filters) -> Driver:
    """Store the driver's filters; a filter that is UNSET stays as it is.

    Open offers that the new filters refuse are withdrawn; by the distance on the card, whatever it is now. Where a
    filter lets more through than before, the open trips around the driver are searched again.

    Raises:
        NotPermitted: account.inactive
        InvalidInput: a number is out of range, no trip type is left
        TooManyRequests: more than `changes_per_min`
    """
    driver, is_wider = _set_filters(driver_id, filters)
    if is_wider and driver.availability == Availability.AVAILABLE:
        best_effort(wake_trips_around, [driver.pk])
    return driver


@in_transaction
def _set_filters(driver_id: int, filters: events.Filters) -> tuple[Driver, bool]:
    """Store the filters; return the driver, and whether a filter lets more through than before."""
    driver = lock_driver(driver_id)
    driver.user.require_active()
    before = [getattr(driver, name) for name in _FILTERS]
    fields: dict[str, list[Text]] = {}
    if filters.max_distance_km is not UNSET:
        driver.max_distance_km = filters.max_distance_km
        if driver.max_distance_km is not None and not 0 < driver.max_distance_km <= 1000:
            fields["max_distance_km"] = [_("Choose 1 to 1000 km.")]
    if filters.min_earnings is not UNSET:
        driver.min_earnings = filters.min_earnings
        if driver.min_earnings is not None and not 0 <= driver.min_earnings <= 100_000_000:
            fields["min_earnings"] = [_("Choose 0 or more.")]
    if filters.trip_types is not UNSET:
        driver.trip_types = sorted({TripType(kind).value for kind in filters.trip_types})
        if not driver.trip_types:
            fields["trip_types"] = [_("Choose at least one type of trip.")]
    if filters.accepts_long_distance is not UNSET:
        driver.accepts_long_distance = filters.accepts_long_distance
    if fields:
        raise InvalidFields(fields)
    after = [getattr(driver, name) for name in _FILTERS]
    if after == before:
        return driver, False
    driver.save(update_fields=_FILTERS)
    withdraw_unsuitable(driver)
    publish_update(driver, "filters")
    return driver, _lets_more_through(before, after)


def _lets_more_through(before: Sequence[Any], after: Sequence[Any]) -> bool:
    """Compare filters, in the order of `_FILTERS`; of the first two None means no limit."""
    (farthest, least, kinds, long), (new_farthest, new_least, new_kinds, new_long) = before, after
    return (
        (farthest is not None and (new_farthest is None or new_farthest > farthest))
        or (least is not None and (new_least is None or new_least < least))
        or not set(new_kinds) <= set(kinds)
        or (new_long and not long)
    )
