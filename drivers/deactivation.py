"""Stops drivers whose account is deactivated: out of the search, and without their open offers.

Connected to `stepper.models.rights_changed`, which every save and update of users sends, so it does not matter who
deactivates an account where. Their sockets are refreshed by `realtime.permissions`.
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
    """Connect the receiver; called once, when Django has loaded the apps."""
    rights_changed.connect(_on_accounts_changed, sender=User, dispatch_uid="drivers.deactivation")


def _on_accounts_changed(user_ids: Collection[int], fields: Collection[str], using: str, **_more: Any) -> None:
    if using != DEFAULT_DB_ALIAS or "is_active" not in fields:
        return
    drivers = Driver.objects.filter(user__in=user_ids, user__is_active=False).order_by("pk")
    for driver_id in drivers.values_list("pk", flat=True):
        stop_inactive(driver_id)
        # After commit: it locks each trip in a transaction of its own, to keep the lock order.
        transaction.on_commit(partial(best_effort, withdraw_from_driver, driver_id))
