"""A driver's availability: approval by staff, the driver's own switch and filters, being busy on a trip.

`change_availability` is the only function that assigns it; breaks, weekly hours and inactivity (drivers.working_time)
call it as well.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import partial

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from msgspec import UNSET

from drivers import metrics
from drivers.updates import publish_update
from realtime import events, groups
from realtime.delivery.notifications import notify
from realtime.outbox import refresh_permissions
from stepper import limits
from stepper.db.transactions import best_effort, in_transaction
from stepper.errors import Conflict, InvalidInput, NotFound, NotPermitted, Text
from stepper.models import User
from trips.offers import withdraw_from_driver
from trips.states import DRIVING, TripType
from trips.waking import wake_trips_around

from .models import Approval, Availability, AvailabilityChange, Cause, Driver, DriverPosition

# How often the dispatcher checks whether an online driver has moved. Inactivity is noticed at most this much later.
IDLE_CHECK = dt.timedelta(minutes=10)


def lock_driver(driver_id: int) -> Driver:
    """Lock and return the driver's row; first in the lock order, so call it before any other lock.

    Raises:
        NotFound: driver.not_found
    """
    mine = Driver.objects.select_related("user", "vehicle").filter(pk=driver_id)
    driver = mine.locked().first()
    if driver is None:
        raise NotFound("driver.not_found", _("There is no such driver."))
    # While PostgreSQL waited for the lock, the joined user and vehicle may have become old, so read them again. An
    # online driver whose vehicle was read needs no second query: they are always active, because deactivating takes
    # them offline.
    if not driver.is_online or (driver.vehicle is None and driver.vehicle_id is not None):
        driver = mine.get()
    return driver


def require_approved(driver: Driver) -> None:
    """Check the driver's approval and account; raise NotPermitted (driver.not_approved) with a reason for people."""
    if driver.approval == Approval.APPROVED and driver.user.is_active:
        return
    reasons = {
        Approval.PENDING: _("Your account has not been approved yet."),
        Approval.REJECTED: _("Your application was rejected."),
        Approval.SUSPENDED: _("Your account is suspended; please contact our staff."),
    }
    raise NotPermitted("driver.not_approved", reasons.get(Approval(driver.approval), _("Your account is not active.")))


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
    4. Publish one `driver.updated` with `also_changed`, unless the cause is a trip's start or end.
    """
    previous = (driver.is_online, driver.availability)
    if is_online is not None:
        driver.is_online = is_online
    if busy is None:
        busy = driver.availability == Availability.BUSY
    may_be_asked = driver.is_online and driver.approval == Approval.APPROVED and driver.user.is_active
    when_free = Availability.AVAILABLE if may_be_asked else Availability.OFFLINE
    driver.availability = Availability.BUSY if busy else when_free
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
    Driver.objects.filter(pk=driver.pk).update(**stored)
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
    if cause not in (Cause.TRIP_STARTED, Cause.TRIP_ENDED):
        # A trip's start and end are published as the trip's own events.
        publish_update(driver, "availability", *also_changed)
    return True


def require_ready(driver: Driver) -> None:
    """Check that the driver may go online.

    Raises:
        NotPermitted (driver.not_approved), Conflict (driver.no_vehicle, driver.licence_expired)
    """
    require_approved(driver)
    if driver.vehicle is None:
        raise Conflict("driver.no_vehicle", _("You have no vehicle yet; please contact our staff."))
    if driver.licence_expired:
        raise Conflict("driver.licence_expired", _("Your licence has expired; please send our staff the new one."))


def set_online(driver_id: int, online: bool) -> Driver:
    """Set the driver's own switch. On a trip it takes effect when the trip ends. Repeating it changes nothing.

    Going online ends a running break; going offline during one means staying offline after it.

    Raises:
        NotFound, NotPermitted (driver.not_approved), Conflict (driver.no_vehicle, driver.licence_expired)
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
    if not user.is_staff:
        raise NotPermitted("auth.forbidden", _("Only staff can do this."))
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
def stop_inactive(driver_id: int) -> None:
    """Take a driver whose account is not active out of the search: offline now, or after the trip.

    A trip under way stays with its driver until staff take it off them. With an active account again they may go
    online. Repeating it changes nothing. Open offers are left to `trips.offers.withdraw_from_driver`.
    """
    driver = lock_driver(driver_id)
    if driver.user.is_active:
        return  # activated again meanwhile
    ended = end_running_break(driver)
    if not change_availability(driver, Cause.DEACTIVATED, is_online=False, also_changed=ended):
        sync_dispatchable(driver.pk)


def mark_busy(driver_id: int) -> None:
    """Mark a driver busy whose trip starts. Call it inside a transaction that has locked the driver's row."""
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
@in_transaction
def set_filters(driver_id: int, filters: events.Filters) -> Driver:
    """Store the driver's filters; a filter that is UNSET stays as it is.

    Raises:
        InvalidInput: a number is out of range, no trip type is left
        TooManyRequests: more than `changes_per_min`
    """
    driver = lock_driver(driver_id)
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
        raise InvalidInput("input.invalid", _("Please correct what is marked."), fields)
    if [getattr(driver, name) for name in _FILTERS] == before:
        return driver
    driver.save(update_fields=_FILTERS)
    publish_update(driver, "filters")
    return driver


# The approvals from which each decision is allowed: approving many drivers at once must not lift a suspension.
DECISIONS = {
    "approve": frozenset({Approval.PENDING, Approval.REJECTED}),
    "reject": frozenset({Approval.PENDING}),
    "suspend": frozenset({Approval.APPROVED}),
    "reinstate": frozenset({Approval.SUSPENDED}),
}


def approve(driver_id: int, user: User) -> Driver:
    """Approve an applicant. Raises NotFound, Conflict (driver.approval_refused), as the other decisions do."""
    return _decide_approval("approve", driver_id, user=user, approval=Approval.APPROVED, title=_ADMITTED)


def reinstate(driver_id: int, user: User) -> Driver:
    """Lift a driver's suspension."""
    return _decide_approval("reinstate", driver_id, user=user, approval=Approval.APPROVED, title=_ADMITTED)


def reject(driver_id: int, user: User, reason: str = "") -> Driver:
    """Reject an applicant; staff can approve them later."""
    return _decide_approval(
        "reject",
        driver_id,
        user=user,
        approval=Approval.REJECTED,
        title=gettext_lazy("Your application was rejected"),
        reason=reason,
    )


def suspend(driver_id: int, user: User, reason: str = "") -> Driver:
    """Suspend a driver: offline, and without their open offers."""
    return _decide_approval(
        "suspend",
        driver_id,
        user=user,
        approval=Approval.SUSPENDED,
        title=gettext_lazy("Your account is suspended"),
        reason=reason,
    )


_ADMITTED = gettext_lazy("You are approved: you can go online now")


def _decide_approval(
    decision: str, driver_id: int, *, user: User, approval: Approval, title: Text, reason: str = ""
) -> Driver:
    """Store a decision of staff, and withdraw the driver's open offers unless it approves them.

    Raises:
        NotFound, Conflict (driver.approval_refused): the driver's approval does not allow this decision
    """
    driver = _set_approval(DECISIONS[decision], driver_id, user=user, approval=approval, title=title, reason=reason)
    if approval != Approval.APPROVED:
        best_effort(withdraw_from_driver, driver.pk)
    return driver


@in_transaction
def _set_approval(
    allowed_from: frozenset[Approval], driver_id: int, *, user: User, approval: Approval, title: Text, reason: str
) -> Driver:
    """Store the approval and notify the driver. A trip under way stays theirs until staff reassign it."""
    driver = lock_driver(driver_id)
    if driver.approval not in allowed_from:
        current = Approval(driver.approval).label
        raise Conflict("driver.approval_refused", _("The driver's approval is “%(approval)s”.") % {"approval": current})
    driver.approval = approval
    if approval != Approval.APPROVED:
        # Offline first: the constraint driver_available_only_approved binds the two columns.
        changed: list[events.DriverPart] = ["approval", *end_running_break(driver)]
        change_availability(driver, Cause.SUSPENDED, is_online=False, by_id=user.pk, note=reason, also_changed=changed)
    else:
        publish_update(driver, "approval")
    Driver.objects.filter(pk=driver.pk).update(approval=approval)
    sync_dispatchable(driver.pk)
    notify(
        driver.user, title, message=reason, audience="driver", priority="high", category="system", action_url="/driver/"
    )
    # Servers of the release before do not know that the event changes what a driver may do.
    refresh_permissions(groups.driver(driver.pk))
    return driver
