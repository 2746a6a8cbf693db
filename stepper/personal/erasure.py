"""Erasing an account, one's own or for somebody by staff: what names the person goes, what books need stays nameless.

Each app takes the person out of its own tables. A table that is added later gets its lines in the app's `erasing.py`;
`tests/stepper/test_erasure.py` fills every column of text that belongs to somebody and finds what stays.
"""

from collections.abc import Callable
from typing import Final

from django.contrib.sessions.backends.base import SessionBase
from django.utils.translation import gettext as _

import drivers.erasing
import realtime.erasing
import stepper.accounts.erasing
import trips.erasing
from drivers.availability import lock_driver_of
from stepper import limits, security_log
from stepper.accounts.confirmation import require_confirmed
from stepper.accounts.person import Person
from stepper.accounts.sessions import end_sessions_of
from stepper.audit.context import find_actor
from stepper.audit.writing import record
from stepper.db.transactions import in_transaction
from stepper.errors import Conflict, NotPermitted
from stepper.models import AuditAction, SecurityEventCode, User
from trips.access import own_unfinished

# The permission of staff.
ERASE: Final = "stepper.erase_person"
# The account itself last: the others still find by it who it was.
ERASERS: Final[tuple[Callable[[Person], None], ...]] = (
    trips.erasing.erase,
    drivers.erasing.erase,
    realtime.erasing.erase,
    stepper.accounts.erasing.erase,
)


def erase_account(user: User, session: SessionBase) -> None:
    """Erase the account of a user who asks for it in this session. Nobody can sign in to it any more.

    Raises:
        ConfirmationRequired, NothingToConfirmWith: as `require_confirmed`
        NotPermitted: account.is_staff, account.inactive (staff have closed it meanwhile)
        Conflict: account.trip_unfinished
        TooManyRequests: more than `changes_per_min`
    """
    require_confirmed(session, user)
    limits.count_call("account.delete", user.pk, setting="changes_per_min")
    _erase(user.pk)


def erase_person(staff: User, user_id: int) -> None:
    """Erase the account of somebody who asked staff for it; also one that staff have closed.

    The caller has had the member of staff prove themselves once more.

    Raises:
        NotPermitted: auth.forbidden; account.is_staff
        Conflict: account.trip_unfinished
    """
    staff.require_staff(ERASE)
    _erase(user_id, by_staff=True)


@in_transaction
def _erase(user_id: int, *, by_staff: bool = False) -> None:
    """Take the person out of all tables, or of none.

    1. Lock the driver, then the user: nobody gives or books them a trip meanwhile.
    2. Refuse staff, and whoever has a trip that has not ended. Twice is once.
    3. Call the erasers.
    4. End all sessions, then blank what the logs have just been told of the account.
    """
    # With those who share the vehicle: nobody of them gets a trip with it while it is looked at.
    driver = lock_driver_of(user_id, with_mates=True)
    user = User.objects.select_for_update(no_key=True).get(pk=user_id)
    if user.email == stepper.accounts.erasing.erased_address(user.pk):
        return
    if not by_staff:
        user.require_active()
    reason = refusal(user)
    if reason is not None:
        raise reason
    person = Person(
        user_id=user.pk,
        driver_id=driver.pk if driver is not None else None,
        language=user.offered_language,
        names=_names(user),
    )
    for erase in ERASERS:
        erase(person)
    stepper.accounts.erasing.forget_in_staffs_log(User, [str(user.pk)])
    end_sessions_of(user.pk)
    stepper.accounts.erasing.forget_in_logs(person)
    security_log.record(SecurityEventCode.ACCOUNT_DELETED, subject_id=user.pk)
    if by_staff and (actor := find_actor()) is not None:
        record(actor, AuditAction.ERASE, model=User._meta.label_lower, object_id=user.pk, person_id=user.pk)


def refusal(user: User) -> NotPermitted | Conflict | None:
    """Return why the account cannot be erased now; None: it can."""
    if user.is_staff or user.is_superuser:
        return NotPermitted("account.is_staff", _("A colleague deletes the account of a member of staff."))
    own = own_unfinished(user)
    if own.on_ids or own.driven_ids:
        return Conflict("account.trip_unfinished", _("You have a trip that has not ended. Finish or cancel it first."))
    return None


def _names(user: User) -> tuple[str, ...]:
    """Return what texts of other people may name the person by."""
    phone = user.phone.as_e164 if user.phone else ""
    return tuple(one for one in (user.name, user.short_name, user.email or "", phone) if one.strip())
