"""Deleting one's own account: what names the person goes, what a dispute about a trip needs stays without a name."""

from allauth.mfa.models import Authenticator
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone
from django.utils.translation import gettext as _

from drivers.availability import lock_driver_of
from drivers.models import Approval, Break, Driver, DriverApplication, DriverDocument, DriverPosition, Vehicle
from realtime.models import Notification, PushSubscription
from stepper import limits, security_log
from stepper.accounts.confirmation import require_confirmed
from stepper.accounts.sessions import end_sessions_of
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, NotPermitted
from stepper.models import AddressChange, AddressCode, PhoneCode, SecurityEvent, SecurityEventCode, User
from trips.access import own_unfinished
from trips.models import Trip

# Reserved by RFC 2606, so no mail goes anywhere: an account has an address or a phone number.
ADDRESS = "deleted-{pk}@account.invalid"
NAME = "–"
# What the security log says of these is the old and the new address or number.
_NAMING = (SecurityEventCode.EMAIL_CHANGED, SecurityEventCode.EMAIL_CHANGE_REQUESTED, SecurityEventCode.PHONE_CHANGED)


def delete_account(user: User, session: SessionBase) -> None:
    """Delete the account of a user who asks for it in this session. Nobody can sign in to it any more.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`
        NotPermitted: account.is_staff
        Conflict: account.trip_unfinished
        TooManyRequests: more than `changes_per_min`
    """
    require_confirmed(session, user)
    limits.count_call("account.delete", user.pk, setting="changes_per_min")
    _delete(user.pk)


@in_transaction
def _delete(user_id: int) -> None:
    """Take out of the account whatever names the person.

    1. Lock the driver, then the user: nobody gives or books them a trip meanwhile.
    2. Refuse staff, and whoever has a trip that has not ended.
    3. Delete what is theirs alone: documents, application, position, plans, notifications, second factor.
    4. Make the account nameless and inactive, which takes a driver offline and closes every socket.
    5. Take the old address and phone out of the security log, and the name out of the log of the administration.
    6. Delete the vehicle where nobody else drives it and no trip names it, so that its plate can be entered again.
    7. End all sessions.

    Trips, prices, ratings and trails stay as they are, and name nobody any more.
    """
    # With those who share the vehicle: nobody of them gets a trip with it while it is looked at.
    driver = lock_driver_of(user_id, with_mates=True)
    user = User.objects.select_for_update(no_key=True).get(pk=user_id)
    if user.is_staff or user.is_superuser:
        raise NotPermitted("account.is_staff", _("A colleague deletes the account of a member of staff."))
    own = own_unfinished(user)
    if own.on_ids or own.driven_ids:
        raise Conflict("account.trip_unfinished", _("You have a trip that has not ended. Finish or cancel it first."))
    vehicle_id = driver.vehicle_id if driver is not None else None
    if driver is not None:
        DriverPosition.objects.filter(driver=driver).delete()
        Break.objects.filter(driver=driver, started_at__isnull=True).delete()
        driver.licence_number, driver.vehicle = "", None
        driver.weekly_hours, driver.hours_due_at, driver.documents_due_at = {}, None, None
        fields = ["licence_number", "vehicle", "weekly_hours", "hours_due_at", "documents_due_at"]
        if driver.approval == Approval.PENDING:
            # Nobody is left to approve.
            driver.approval, driver.decided_at = Approval.REJECTED, timezone.now()
            fields += ["approval", "decided_at"]
        driver.save(update_fields=fields)
    for rows in (DriverDocument.objects.filter(owner=user), DriverApplication.objects.filter(user=user)):
        rows.delete()
    for model in (Notification, PushSubscription, Authenticator, AddressChange, AddressCode, PhoneCode):
        model.objects.filter(user=user).delete()
    Trip.objects.filter(organiser=user).update(traveller_name="", traveller_phone="", note="")
    user.name, user.email, user.phone = NAME, ADDRESS.format(pk=user.pk), None
    user.is_active = False
    user.set_unusable_password()
    user.save()
    _forget_names(user, driver)
    if vehicle_id is not None:
        _delete_unused_vehicle(vehicle_id)
    end_sessions_of(user.pk)
    security_log.record(SecurityEventCode.ACCOUNT_DELETED, subject_id=user.pk)


def _forget_names(user: User, driver: Driver | None) -> None:
    """Blank what logs say of the account's addresses, numbers and name, also what this deletion has just written.

    That something was changed, when and by whom stays.
    """
    SecurityEvent.objects.filter(subject=user, event__in=_NAMING).update(details="")
    for row in (user, driver) if driver is not None else (user,):
        content_type = ContentType.objects.get_for_model(row)
        LogEntry.objects.filter(content_type=content_type, object_id=str(row.pk)).update(object_repr=NAME)


def _delete_unused_vehicle(vehicle_id: int) -> None:
    """Delete a vehicle, unless somebody else drives it or a trip was driven with it."""
    try:
        with transaction.atomic():
            Vehicle.objects.filter(pk=vehicle_id, driver__isnull=True, trips__isnull=True).delete()
    except (IntegrityError, ProtectedError):
        # Staff gave it to somebody at this moment.
        return
