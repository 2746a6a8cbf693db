"""Drivers whose account is deactivated stop at once, whoever deactivates it and wherever.

Heard by `stepper.models.rights_changed`, which saves and updates of users send; their sockets are told by
`realtime.permissions`.
"""

from collections.abc import Collection
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction

from stepper.db.transactions import best_effort
from stepper.models import User, rights_changed
from trips.offers import withdraw_from_driver

from .availability import stop_inactive
from .models import Driver


def connect() -> None:
    rights_changed.connect(_of_accounts, sender=User, dispatch_uid="drivers.deactivation")


def _of_accounts(user_ids: Collection[int], fields: Collection[str], using: str, **_more: Any) -> None:
    if using != DEFAULT_DB_ALIAS or "is_active" not in fields:
        return
    drivers = Driver.objects.filter(user__in=user_ids, user__is_active=False).order_by("pk")
    for driver_id in drivers.values_list("pk", flat=True):
        stop_inactive(driver_id)
        # Each trip in a transaction of its own, as the lock order wants it.
        transaction.on_commit(partial(best_effort, withdraw_from_driver, driver_id))
