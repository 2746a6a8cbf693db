"""Drivers whose account is deactivated stop at once, whoever deactivates it and wherever.

Every save of a user who is not active comes by here. What updates many users at once goes through `deactivate`, because
such an update tells nobody.
"""

from collections.abc import Collection
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import post_save

from realtime import groups
from realtime.publish import recheck
from stepper.models import User
from stepper.transactions import afterwards, in_transaction

from .availability import stop_inactive
from .models import Driver


def connect() -> None:
    post_save.connect(_after_save, sender=User, dispatch_uid="drivers.deactivation")


@in_transaction
def deactivate(users: QuerySet[User]) -> int:
    """Deactivate the active ones of `users`, close their sockets, stop the drivers among them; return how many."""
    user_ids = list(users.filter(is_active=True).order_by("pk").values_list("pk", flat=True))
    User.objects.filter(pk__in=user_ids).update(is_active=False)
    _stop(user_ids)
    return len(user_ids)


def _after_save(
    instance: User, created: bool, raw: bool = False, update_fields: Collection[str] | None = None, **_more: Any
) -> None:
    if instance.is_active or created or raw or (update_fields is not None and "is_active" not in update_fields):
        return
    _stop([instance.pk])


def _stop(user_ids: Collection[int]) -> None:
    """Idempotent: an account that stays inactive is saved again now and then."""
    from trips.dispatch import withdraw_from_driver  # imports this app

    recheck(*(groups.user(pk) for pk in user_ids))
    drivers = Driver.objects.filter(user__in=user_ids).order_by("pk")
    for driver_id in drivers.values_list("pk", flat=True):
        stop_inactive(driver_id)
        # Each trip in a transaction of its own, as the lock order wants it.
        transaction.on_commit(partial(afterwards, withdraw_from_driver, driver_id))
