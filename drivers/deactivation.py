"""Stops drivers whose account is deactivated: out of the search, and without their open offers.

Connected to `stepper.models.rights_changed`, which every save and update of users sends, so it does not matter who
deactivates an account where. Their sockets are refreshed by `realtime.permissions`.
"""

from collections.abc import Collection
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from stepper.models import User, rights_changed

from .availability import stop_inactive
from .models import Driver


def connect() -> None:
    """Connect the receiver; called once, when Django has loaded the apps."""
    rights_changed.connect(_on_accounts_changed, sender=User, dispatch_uid="drivers.deactivation")


def _on_accounts_changed(user_ids: Collection[int], fields: Collection[str], using: str, **_more: Any) -> None:
    if using != DEFAULT_DB_ALIAS or "is_active" not in fields:
        return
    drivers = Driver.objects.filter(user__in=user_ids, user__is_active=False).order_by("pk")
    if driver_ids := list(drivers.values_list("pk", flat=True)):
        stop_inactive(driver_ids)
