"""Open sockets look again who their user is whenever passwords or permissions change, in the admin or anywhere else."""

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

from django.contrib.auth.models import Group
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models.signals import m2m_changed, pre_delete

from realtime import groups
from realtime.publish import recheck

from .models import User, rights_changed
from .sign_in import forget_failures

_CHANGED = {"post_add", "post_remove", "post_clear"}


def connect() -> None:
    m2m_changed.connect(_of_group, sender=Group.permissions.through)
    m2m_changed.connect(_of_users, sender=User.groups.through)
    m2m_changed.connect(_of_users, sender=User.user_permissions.through)
    # In the transaction of the deletion, so told when that has committed.
    pre_delete.connect(_before_group_goes, sender=Group)
    pre_delete.connect(_before_user_goes, sender=User)
    rights_changed.connect(_of_accounts, sender=User)


def _recheck(user_ids: Iterable[int]) -> None:
    names = [groups.user(pk) for pk in sorted(set(user_ids))]
    if names:
        recheck(*names)


def _members(group_ids: Iterable[Any]) -> list[int]:
    return list(User.objects.filter(groups__in=list(group_ids), is_staff=True).values_list("pk", flat=True))


def _of_group(instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **_more: Any) -> None:
    if action in _CHANGED:
        _recheck(_members(pk_set or () if reverse else [instance.pk]))


def _of_users(instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **_more: Any) -> None:
    if action in _CHANGED:
        _recheck(pk_set or () if reverse else [instance.pk])


def _before_group_goes(instance: Group, **_more: Any) -> None:
    _recheck(_members([instance.pk]))


def _before_user_goes(instance: User, using: str, **_more: Any) -> None:
    _of_accounts([instance.pk], (), using)


def _of_accounts(user_ids: list[int], fields: Collection[str], using: str, **_more: Any) -> None:
    if using != DEFAULT_DB_ALIAS:  # the simulator's own database, whose servers are not this service's
        return
    _recheck(user_ids)
    if "password" in fields:
        for user_id in user_ids:
            transaction.on_commit(partial(forget_failures, user_id))
