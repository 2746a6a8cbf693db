"""Open sockets look again who their user is whenever passwords, permissions or a session change, wherever that is.

By signals, so that a shell and a management command are heard as the admin is.
"""

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models.signals import m2m_changed, post_delete, pre_delete
from django.utils import timezone

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
    post_delete.connect(_after_session, sender=Session)


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


def _after_session(instance: Session, using: str, **_more: Any) -> None:
    """Signed out, by whatever page or program. One that has expired is noticed by its sockets themselves."""
    if using == DEFAULT_DB_ALIAS and instance.expire_date > timezone.now():
        user_id = instance.get_decoded().get(SESSION_KEY)
        if user_id is not None:
            _recheck([int(user_id)])
