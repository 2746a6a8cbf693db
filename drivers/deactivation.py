"""Deactivating a driver's account by staff, and stopping drivers whose account is deactivated.

They are out of the search, and without their open offers.

Connected to `stepper.models.rights_changed`, which every save and update of users sends, so it does not matter who
deactivates an account where. Their sockets are refreshed by `realtime.permissions`.
"""

from collections.abc import Collection
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.utils.translation import gettext as _

from stepper import security_log
from stepper.db.transactions import in_transaction
from stepper.errors import NotPermitted
from stepper.models import SecurityEventCode, User, rights_changed

from .availability import lock_driver, stop_inactive
from .documents import require_not_own
from .models import Driver

CHANGE = "stepper.change_user"


def connect() -> None:
    """Connect the receiver; called once, when Django has loaded the apps."""
    rights_changed.connect(_on_accounts_changed, sender=User, dispatch_uid="drivers.deactivation")


def _on_accounts_changed(user_ids: Collection[int], fields: Collection[str], using: str, **_more: Any) -> None:
    if using != DEFAULT_DB_ALIAS or "is_active" not in fields:
        return
    drivers = Driver.objects.filter(user__in=user_ids, user__is_active=False).order_by("pk")
    if driver_ids := list(drivers.values_list("pk", flat=True)):
        stop_inactive(driver_ids)


@in_transaction
def deactivate(driver_id: int, staff: User, reason: str = "") -> Driver:
    """Deactivate the account of a driver: signed out everywhere, offline, without open offers.

    Repeating it changes nothing. A trip under way stays theirs until staff take it off them. The accounts of staff are
    for superusers alone, as in the administration.

    Raises:
        NotFound: driver.not_found
        NotPermitted: auth.forbidden; auth.own_decision, staff deactivate themselves
    """
    staff.require_staff(CHANGE)
    driver = lock_driver(driver_id)
    require_not_own(staff, driver.user_id)
    account = User.objects.select_for_update(no_key=True).get(pk=driver.user_id)
    if (account.is_staff or account.is_superuser) and not staff.is_superuser:
        raise NotPermitted("auth.forbidden", _("Only administrators can do this."))
    if account.is_active:
        account.is_active = False
        account.save(update_fields=["is_active"])
        security_log.record(
            SecurityEventCode.DRIVER_DECIDED,
            subject_id=account.pk,
            actor_id=staff.pk,
            details=f"account closed ({reason})" if reason else "account closed",
        )
    driver.user = account
    return driver
