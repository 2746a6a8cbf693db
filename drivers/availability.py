"""Whether a driver can be asked: approval by staff, the driver's own switch and filters, being busy on a trip."""

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from msgspec import UNSET

from realtime import events, groups
from realtime.notify import notify
from realtime.publish import recheck
from stepper.errors import Conflict, InvalidInput, NotFound, NotPermitted, Text
from stepper.models import User
from stepper.transactions import in_transaction
from trips.states import DRIVING, TripType

from .models import Approval, Availability, Driver, DriverPosition


def locked(driver_id: int) -> Driver:
    """The driver's row, held until the transaction ends: first in the lock order."""
    driver = Driver.objects.select_related("user", "vehicle").filter(pk=driver_id).locked().first()
    if driver is None:
        raise NotFound("driver.not_found", _("There is no such driver."))
    return driver


def require_approved(driver: Driver) -> None:
    """Raises NotPermitted (driver.not_approved) with the reason a person would understand."""
    if driver.approval == Approval.APPROVED and driver.user.is_active:
        return
    reasons = {
        Approval.PENDING: _("Your account has not been approved yet."),
        Approval.REJECTED: _("Your application was rejected."),
        Approval.SUSPENDED: _("Your account is suspended; please contact our staff."),
    }
    raise NotPermitted("driver.not_approved", reasons.get(Approval(driver.approval), _("Your account is not active.")))


def sync_dispatchable(driver_id: int) -> None:
    """Copies 'approved and available' to the position row that the search reads."""
    can_be_asked = Driver.objects.filter(
        pk=OuterRef("driver_id"), approval=Approval.APPROVED, availability=Availability.AVAILABLE
    )
    DriverPosition.objects.filter(driver_id=driver_id).update(dispatchable=Exists(can_be_asked))


@in_transaction
def settle_dispatchable(driver_ids: Iterable[int]) -> None:
    """`sync_dispatchable` after first fixes: one that commits with the switch saw it as little as it saw the fix."""
    for driver_id in Driver.objects.filter(pk__in=list(driver_ids)).locked().values_list("pk", flat=True):
        sync_dispatchable(driver_id)


def set_online(driver_id: int, online: bool) -> Driver:
    """The driver's switch. On a trip it takes effect when the trip ends. Repeating it changes nothing.

    Raises:
        NotFound, NotPermitted (driver.not_approved), Conflict (driver.no_vehicle, driver.licence_expired)
    """
    from trips.dispatch import wake_around

    driver = _set_online(driver_id, online)
    if driver.availability == Availability.AVAILABLE:
        wake_around([driver.pk])
    return driver


@in_transaction
def _set_online(driver_id: int, online: bool) -> Driver:
    driver = locked(driver_id)
    if online:
        require_approved(driver)
        if driver.vehicle is None:
            raise Conflict("driver.no_vehicle", _("You have no vehicle yet; please contact our staff."))
        if driver.licence_expired:
            raise Conflict("driver.licence_expired", _("Your licence has expired; please send our staff the new one."))
    driver.is_online = online
    if driver.availability != Availability.BUSY:
        driver.availability = Availability.AVAILABLE if online else Availability.OFFLINE
    driver.save(update_fields=["is_online", "availability"])
    sync_dispatchable(driver.pk)
    # The driver's other tabs and devices follow.
    recheck(groups.driver(driver.pk))
    return driver


def make_busy(driver_id: int) -> None:
    """Driving a trip now. Inside a transaction that holds the driver."""
    Driver.objects.filter(pk=driver_id).update(availability=Availability.BUSY)
    sync_dispatchable(driver_id)


def free(driver_id: int) -> None:
    """The trip is over: available again only if still online. Inside a transaction that holds the driver."""
    from trips.dispatch import wake_around

    still_driving = Driver.objects.filter(pk=driver_id, trips__status__in=DRIVING).exists()
    if not still_driving and Driver.objects.all().free([driver_id]):
        sync_dispatchable(driver_id)
        transaction.on_commit(lambda: wake_around([driver_id]))


@in_transaction
def set_filters(driver_id: int, filters: events.Filters) -> Driver:
    """Stores the driver's wishes; what is UNSET stays.

    Raises:
        InvalidInput: a number is out of range, no trip type is left
    """
    driver = locked(driver_id)
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
    driver.save(update_fields=["max_distance_km", "min_earnings", "trip_types", "accepts_long_distance"])
    # The driver's other tabs and devices follow.
    recheck(groups.driver(driver.pk))
    return driver


def approve(driver_id: int, user: User) -> Driver:
    return _decide(driver_id, Approval.APPROVED, gettext_lazy("You are approved: you can go online now"))


def reinstate(driver_id: int, user: User) -> Driver:
    return approve(driver_id, user)


def reject(driver_id: int, user: User, reason: str = "") -> Driver:
    return _decide(driver_id, Approval.REJECTED, gettext_lazy("Your application was rejected"), reason)


def suspend(driver_id: int, user: User, reason: str = "") -> Driver:
    return _decide(driver_id, Approval.SUSPENDED, gettext_lazy("Your account is suspended"), reason)


def _decide(driver_id: int, approval: Approval, title: Text, reason: str = "") -> Driver:
    from trips.dispatch import withdraw_from_driver

    driver, changed = _set_approval(driver_id, approval, title, reason)
    if changed and approval != Approval.APPROVED:
        withdraw_from_driver(driver.pk)
    return driver


@in_transaction
def _set_approval(driver_id: int, approval: Approval, title: Text, reason: str) -> tuple[Driver, bool]:
    """Repeating a decision changes nothing. A trip under way stays with its driver until staff take it off them."""
    driver = locked(driver_id)
    if driver.approval == approval:
        return driver, False
    driver.approval = approval
    if approval != Approval.APPROVED:
        driver.is_online = False
        if driver.availability == Availability.AVAILABLE:
            driver.availability = Availability.OFFLINE
    driver.save(update_fields=["approval", "is_online", "availability"])
    sync_dispatchable(driver.pk)
    notify(driver.user, title, reason, audience="driver", priority="high", category="system", action_url="/driver/")
    recheck(groups.driver(driver.pk))
    return driver, True
