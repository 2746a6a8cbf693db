"""Open sockets look again who their user is whenever permissions, an account or a session change, wherever that is.

By signals, so that a shell and a management command are heard as the admin is. What changes rows without signals
(`QuerySet.update`) has to call `realtime.publish.recheck` itself.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete
from django.utils import timezone

from realtime import groups
from realtime.publish import recheck

from .models import User

_CHANGED = {"post_add", "post_remove", "post_clear"}
# Of an account: what decides whether its sockets may stay and what they may see. A new password ends its sessions.
_DECIDE = frozenset({"is_active", "is_staff", "is_superuser", "password"})


def connect() -> None:
    m2m_changed.connect(_of_group, sender=Group.permissions.through)
    m2m_changed.connect(_of_users, sender=User.groups.through)
    m2m_changed.connect(_of_users, sender=User.user_permissions.through)
    post_save.connect(_of_account, sender=User)
    # In the transaction of the deletion, so told when that has committed.
    pre_delete.connect(_before_group_goes, sender=Group)
    post_delete.connect(_after_account, sender=User)
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


def _of_account(instance: User, created: bool, update_fields: frozenset[str] | None, **_more: Any) -> None:
    if not created and (update_fields is None or _DECIDE & update_fields):
        _recheck([instance.pk])


def _after_account(instance: User, **_more: Any) -> None:
    _recheck([instance.pk])


def _after_session(instance: Session, **_more: Any) -> None:
    """Signed out, by whatever page or program. One that has expired is noticed by its sockets themselves."""
    if instance.expire_date > timezone.now():
        user_id = instance.get_decoded().get(SESSION_KEY)
        if user_id is not None:
            _recheck([int(user_id)])
