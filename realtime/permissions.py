"""Permissions refresh: has a user's open sockets re-read what they may see when their rights or session change.

Connected to signals, so that a change made in a shell or by a management command counts as one made in the admin.
"""

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.utils import timezone

from realtime import groups
from realtime.models import PushSubscription
from realtime.outbox import refresh_permissions
from stepper.accounts.sign_in import forget_failures
from stepper.models import ServiceSettings, User, credentials_removed, rights_changed
from stepper.models.users import SECOND_FACTORS

_CHANGED = {"post_add", "post_remove", "post_clear"}


def connect() -> None:
    """Connect the receivers; called once, when Django has loaded the apps."""
    m2m_changed.connect(_on_group_permissions_changed, sender=Group.permissions.through)
    m2m_changed.connect(_on_user_permissions_changed, sender=User.groups.through)
    m2m_changed.connect(_on_user_permissions_changed, sender=User.user_permissions.through)
    # Before the deletion, while members are known; published when its transaction commits.
    pre_delete.connect(_on_group_deleted, sender=Group)
    pre_delete.connect(_on_user_deleted, sender=User)
    rights_changed.connect(_on_account_rights_changed, sender=User)
    credentials_removed.connect(_on_credentials_removed, sender=User)
    post_delete.connect(_on_session_deleted, sender=Session)
    post_save.connect(_on_second_factor_changed, sender=Authenticator)
    post_delete.connect(_on_second_factor_changed, sender=Authenticator)
    pre_save.connect(_note_demand, sender=ServiceSettings)
    post_save.connect(_on_settings_saved, sender=ServiceSettings)


def _refresh_users(user_ids: Iterable[int]) -> None:
    names = [groups.user(pk) for pk in sorted(set(user_ids))]
    if names:
        refresh_permissions(*names)


def _staff_in_groups(group_ids: Iterable[Any]) -> list[int]:
    return list(User.objects.filter(groups__in=list(group_ids), is_staff=True).values_list("pk", flat=True))


def _on_group_permissions_changed(
    instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **_more: Any
) -> None:
    if action in _CHANGED:
        _refresh_users(_staff_in_groups(pk_set or () if reverse else [instance.pk]))


def _on_user_permissions_changed(
    instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **_more: Any
) -> None:
    if action in _CHANGED:
        _refresh_users(pk_set or () if reverse else [instance.pk])


def _on_group_deleted(instance: Group, **_more: Any) -> None:
    _refresh_users(_staff_in_groups([instance.pk]))


def _on_user_deleted(instance: User, using: str, **_more: Any) -> None:
    _on_account_rights_changed([instance.pk], (), using)


def _on_account_rights_changed(user_ids: list[int], fields: Collection[str], using: str, **_more: Any) -> None:
    if using != DEFAULT_DB_ALIAS:  # the simulator's own database, whose servers are not this service's
        return
    _refresh_users(user_ids)
    if "password" in fields:
        for user_id in user_ids:
            transaction.on_commit(partial(forget_failures, user_id))


def _on_credentials_removed(user_id: int, **_more: Any) -> None:
    """Delete subscriptions, those too whose session is not in the list of the account's sessions."""
    PushSubscription.objects.filter(user_id=user_id).delete()


def _on_session_deleted(instance: Session, using: str, **_more: Any) -> None:
    """Refresh the sockets of a session that was signed out. Sockets watch the expiry of their session themselves."""
    if using == DEFAULT_DB_ALIAS and instance.expire_date > timezone.now():
        user_id = instance.get_decoded().get(SESSION_KEY)
        if user_id is not None:
            _refresh_users([int(user_id)])


def _on_second_factor_changed(instance: Authenticator, using: str, **_more: Any) -> None:
    if using == DEFAULT_DB_ALIAS and instance.type in SECOND_FACTORS:
        _refresh_users([instance.user_id])


def _note_demand(instance: ServiceSettings, using: str, raw: bool, **_more: Any) -> None:
    """Keep whether staff need a second factor so far, until the settings are saved."""
    if not raw and using == DEFAULT_DB_ALIAS:
        stored = ServiceSettings.objects.filter(staff_second_factor=True)
        instance._was_demanded = stored.exists()  # type: ignore[attr-defined]


def _on_settings_saved(instance: ServiceSettings, using: str, raw: bool, **_more: Any) -> None:
    """Refresh all staff when their rights begin or cease to depend on a second factor."""
    if raw or using != DEFAULT_DB_ALIAS or instance.staff_second_factor == getattr(instance, "_was_demanded", None):
        return
    _refresh_users(User.objects.filter(Q(is_staff=True) | Q(is_superuser=True)).values_list("pk", flat=True))
