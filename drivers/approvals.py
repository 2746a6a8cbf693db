"""Approval: staff approve, reject, suspend or reinstate a driver; the driver is told, and what they may do changes."""

from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from drivers.availability import change_availability, end_running_break, lock_driver, sync_dispatchable
from drivers.documents import require_not_own, send_decision
from drivers.models import Approval, Cause, Driver, DriverApplication
from drivers.papers import publish_papers, require_checked
from drivers.updates import publish_update
from realtime import events, groups
from realtime.delivery.notifications import notify
from realtime.outbox import refresh_permissions
from stepper import security_log
from stepper.dates import short_date
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, Text
from stepper.models import SecurityEventCode, User

CHANGE = "drivers.change_driver"
# The approvals from which each decision is allowed: approving many drivers at once must not lift a suspension.
DECISIONS = {
    "approve": frozenset({Approval.PENDING, Approval.REJECTED}),
    "reject": frozenset({Approval.PENDING}),
    "suspend": frozenset({Approval.APPROVED}),
    "reinstate": frozenset({Approval.SUSPENDED}),
}


def approve(driver_id: int, user: User, *, although_expired: bool = False) -> Driver:
    """Approve an applicant. Who has sent an application needs accepted documents; whom staff entered does not.

    Raises:
        NotFound, Conflict (driver.approval_refused), as the other decisions do
        Conflict: driver.documents_unchecked; driver.no_vehicle, one with the applicant's plate was there already;
            driver.licence_expired, unless `although_expired`
    """
    return _decide_approval(
        "approve", driver_id, user=user, approval=Approval.APPROVED, title=_ADMITTED, although_expired=although_expired
    )


def reinstate(driver_id: int, user: User, *, although_expired: bool = False) -> Driver:
    """Lift a driver's suspension. Raises as `approve`."""
    return _decide_approval(
        "reinstate",
        driver_id,
        user=user,
        approval=Approval.APPROVED,
        title=_ADMITTED,
        although_expired=although_expired,
    )


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


def _take_name(user: User, name: str) -> None:
    """Give an account the name of its application, which staff have compared with the documents."""
    if name and name != user.name:
        user.name = name
        user.save(update_fields=["name"])
        security_log.record(SecurityEventCode.DRIVER_DECIDED, subject_id=user.pk, details="name: as in the application")


def _require_vehicle(driver: Driver, application: DriverApplication) -> None:
    """Require that staff have said which vehicle an applicant drives whose plate another vehicle has."""
    if application.submitted_at is not None and driver.vehicle_id is None:
        words = _("Choose their vehicle first: there is one with the plate %(plate)s already.")
        raise Conflict("driver.no_vehicle", words % {"plate": application.plate})


def licence_warning(driver: Driver) -> str | None:
    """Return in words that the licence of a driver who is to be admitted has expired; None: it is valid."""
    if not driver.licence_expired:
        return None
    date = short_date(driver.licence_expires_on, year=True)
    return _("The licence expired on %(date)s: they cannot go online with it.") % {"date": date}


@in_transaction
def _decide_approval(
    decision: str,
    driver_id: int,
    *,
    user: User,
    approval: Approval,
    title: Text,
    reason: str = "",
    although_expired: bool = False,
) -> Driver:
    """Store a decision of staff and notify the driver. A trip under way stays theirs until staff reassign it.

    Raises:
        NotFound
        NotPermitted: auth.forbidden; auth.own_decision, staff decide about themselves
        Conflict: driver.approval_refused, the driver's approval does not allow this decision;
            driver.account_inactive, it would let somebody drive whose account is deleted or closed
    """
    user.require_staff(CHANGE)
    driver = lock_driver(driver_id)
    require_not_own(user, driver.user_id)
    if driver.approval not in DECISIONS[decision]:
        current = Approval(driver.approval).label
        raise Conflict("driver.approval_refused", _("The driver's approval is “%(approval)s”.") % {"approval": current})
    if approval == Approval.APPROVED and not driver.user.is_active:
        raise Conflict("driver.account_inactive", _("This account was deleted or is closed."))
    if approval == Approval.APPROVED and not although_expired and (words := licence_warning(driver)):
        raise Conflict("driver.licence_expired", words)
    if decision == "approve":
        require_checked(driver.user_id)
        application = DriverApplication.of(driver.user_id)
        _require_vehicle(driver, application)
        _take_name(driver.user, application.name)
    security_log.record(
        SecurityEventCode.DRIVER_DECIDED,
        subject_id=driver.user_id,
        actor_id=user.pk,
        details=f"approval: {driver.approval} → {approval}{f' ({reason})' if reason else ''}",
    )
    driver.approval = approval
    if approval != Approval.APPROVED:
        # Offline first: the constraint driver_available_only_approved binds the two columns.
        changed: list[events.DriverPart] = ["approval", *end_running_break(driver)]
        change_availability(driver, Cause.SUSPENDED, is_online=False, by_id=user.pk, note=reason, also_changed=changed)
    else:
        publish_update(driver, "approval")
    Driver.objects.filter(pk=driver.pk).update(approval=approval, decided_at=Now())
    sync_dispatchable(driver.pk)
    notify(
        driver.user, title, message=reason, audience="driver", priority="high", category="system", action_url="/driver/"
    )
    send_decision(driver.user, title, reason)
    publish_papers(driver.user_id)
    # Servers of the release before do not know that the event changes what a driver may do.
    refresh_permissions(groups.driver(driver.pk))
    return driver
