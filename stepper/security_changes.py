"""What the security log gets of sessions, accounts, rights and settings, whoever changes them where.

Connected to signals, so that a change made in a shell or by a command counts as one made in the administration. The
simulator's database is not the service's and is left out.
"""

from collections.abc import Collection
from typing import Any

from allauth.account.signals import user_signed_up
from allauth.mfa.models import Authenticator
from django.contrib.auth import user_logged_in, user_logged_out
from django.contrib.auth.models import Group, Permission
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from stepper import security_log
from stepper.models import SecurityEventCode as Code
from stepper.models import ServiceSettings, User, account_changed
from stepper.models.users import SECOND_FACTORS

# What staff tune: the settings, and what says otherwise for some trips and places.
TUNED = ("stepper.ServiceSettings", "trips.DispatchRule", "trips.PickupArea")
_RIGHTS = ("is_staff", "is_superuser")
_CHANGED = {"post_add": "+", "post_remove": "-"}


def connect() -> None:
    """Connect the receivers; called once, when Django has loaded the apps."""
    user_logged_in.connect(_on_signed_in)
    user_logged_out.connect(_on_signed_out)
    user_signed_up.connect(_on_signed_up)
    account_changed.connect(_on_account_changed, sender=User)
    post_save.connect(_on_user_saved, sender=User)
    post_save.connect(_on_second_factor_saved, sender=Authenticator)
    post_delete.connect(_on_second_factor_deleted, sender=Authenticator)
    pre_delete.connect(_on_user_deleted, sender=User)
    pre_delete.connect(_on_group_deleted, sender=Group)
    m2m_changed.connect(_on_groups_changed, sender=User.groups.through)
    m2m_changed.connect(_on_permissions_changed, sender=User.user_permissions.through)
    m2m_changed.connect(_on_group_permissions_changed, sender=Group.permissions.through)
    for name in TUNED:
        pre_save.connect(_keep_old_values, sender=name)
        post_save.connect(_on_tuned, sender=name)
        post_delete.connect(_on_tuned_deleted, sender=name)


# Sessions


def _on_signed_in(user: User, **_more: Any) -> None:
    security_log.count(Code.SIGNED_IN, subject_id=user.pk, actor_id=user.pk)


def _on_signed_out(user: User | None, **_more: Any) -> None:
    if user is not None:
        security_log.count(Code.SIGNED_OUT, subject_id=user.pk, actor_id=user.pk)


# Accounts and rights


def _on_signed_up(user: User, **_more: Any) -> None:
    security_log.count(Code.ACCOUNT_CREATED, subject_id=user.pk, actor_id=user.pk)


def _on_user_saved(instance: User, created: bool, using: str, raw: bool, **_more: Any) -> None:
    """Record a new account that has rights from the start, as `createsuperuser` makes."""
    if not created or raw or using != DEFAULT_DB_ALIAS:
        return
    rights = [name for name in _RIGHTS if getattr(instance, name)]
    if rights:
        security_log.record(Code.RIGHTS_CHANGED, subject_id=instance.pk, details=f"new account: {', '.join(rights)}")


def _on_user_deleted(instance: User, using: str, **_more: Any) -> None:
    if using == DEFAULT_DB_ALIAS:
        security_log.record(Code.ACCOUNT_DELETED, subject_id=instance.pk)


def _on_account_changed(changes: dict[int, dict[str, tuple[Any, Any]]], using: str, **_more: Any) -> None:
    if using != DEFAULT_DB_ALIAS:
        return
    for user_id, fields in changes.items():
        for code, details in _account_events(fields):
            security_log.record(code, subject_id=user_id, details=details)


def _account_events(fields: dict[str, tuple[Any, Any]]) -> list[tuple[Code, str]]:
    """Return code and details of what changed of an account; of a password only that it did."""
    events = []
    if "password" in fields:
        events.append((Code.PASSWORD_RESET if security_log.is_password_reset() else Code.PASSWORD_CHANGED, ""))
    if "is_active" in fields:
        events.append((Code.ACCOUNT_ACTIVATED if fields["is_active"][1] else Code.ACCOUNT_DEACTIVATED, ""))
    for code, names in (
        (Code.EMAIL_CHANGED, ("email",)),
        (Code.PHONE_CHANGED, ("phone",)),
        (Code.LIMIT_CHANGED, ("max_overlapping_trips",)),
        (Code.RIGHTS_CHANGED, _RIGHTS),
    ):
        changed = {name: fields[name] for name in names if name in fields}
        if changed:
            events.append((code, _differences(changed)))
    return events


def _on_second_factor_saved(instance: Authenticator, created: bool, using: str, raw: bool, **_more: Any) -> None:
    if created and not raw and using == DEFAULT_DB_ALIAS and instance.type in SECOND_FACTORS:
        code = Code.SECOND_FACTOR_SET_UP if instance.type == Authenticator.Type.TOTP else Code.PASSKEY_ADDED
        security_log.record(code, subject_id=instance.user_id)


def _on_second_factor_deleted(instance: Authenticator, using: str, origin: Any, **_more: Any) -> None:
    """Record that it was removed, and whether another one is left; with the account it goes without saying."""
    of_account = isinstance(origin, User) or getattr(origin, "model", None) is User
    if using != DEFAULT_DB_ALIAS or instance.type not in SECOND_FACTORS or of_account:
        return
    code = Code.SECOND_FACTOR_REMOVED if instance.type == Authenticator.Type.TOTP else Code.PASSKEY_REMOVED
    others = Authenticator.objects.filter(user_id=instance.user_id, type__in=SECOND_FACTORS)
    security_log.record(code, subject_id=instance.user_id, details="others are left" if others.exists() else "")


def _differences(changed: dict[str, tuple[Any, Any]]) -> str:
    return "; ".join(f"{name}: {_shown(old)} → {_shown(new)}" for name, (old, new) in changed.items())


def _shown(value: Any) -> str:
    return "–" if value is None or value == "" else str(value)


def _on_groups_changed(instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **_more: Any) -> None:
    if action == "pre_clear":
        _record_cleared(instance, reverse, Code.GROUPS_CHANGED)
    sign = _CHANGED.get(action)
    if sign is None or not pk_set:
        return
    if reverse:  # users were added to the group
        for user_id in sorted(pk_set):
            security_log.record(Code.GROUPS_CHANGED, subject_id=user_id, details=f"{sign} {instance.name}")
        return
    names = Group.objects.filter(pk__in=pk_set).order_by("name").values_list("name", flat=True)
    security_log.record(Code.GROUPS_CHANGED, subject_id=instance.pk, details=f"{sign} {', '.join(names)}")


def _record_cleared(instance: Any, reverse: bool, code: Code) -> None:
    """Record that all groups or permissions of a user are taken away, or all users of a group or permission."""
    users = list(instance.user_set.order_by("pk").values_list("pk", flat=True)) if reverse else [instance.pk]
    for user_id in users:
        security_log.record(code, subject_id=user_id, details=f"- {instance}" if reverse else "- all")


def _on_permissions_changed(instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **_more: Any) -> None:
    if action == "pre_clear":
        _record_cleared(instance, reverse, Code.PERMISSIONS_CHANGED)
    sign = _CHANGED.get(action)
    if sign is None or not pk_set:
        return
    names = _permission_names([instance.pk] if reverse else pk_set)
    for user_id in sorted(pk_set) if reverse else [instance.pk]:
        security_log.record(Code.PERMISSIONS_CHANGED, subject_id=user_id, details=f"{sign} {names}")


def _on_group_permissions_changed(
    instance: Any, action: str, reverse: bool, pk_set: set[int] | None, **_more: Any
) -> None:
    if action == "pre_clear":
        groups = instance.group_set.all() if reverse else [instance]
        for group in groups:
            what = _permission_names([instance.pk]) if reverse else "all"
            security_log.record(Code.GROUP_CHANGED, details=f"{group}: - {what}")
    sign = _CHANGED.get(action)
    if sign is None or not pk_set:
        return
    names = _permission_names([instance.pk] if reverse else pk_set)
    for group in Group.objects.filter(pk__in=pk_set).order_by("pk") if reverse else [instance]:
        security_log.record(Code.GROUP_CHANGED, details=f"{group}: {sign} {names}")


def _permission_names(ids: Collection[int]) -> str:
    rows = Permission.objects.filter(pk__in=ids).values_list("content_type__app_label", "codename")
    return ", ".join(sorted(f"{app}.{codename}" for app, codename in rows))


def _on_group_deleted(instance: Group, **_more: Any) -> None:
    security_log.record(Code.GROUP_DELETED, details=f"{instance.name} ({instance.user_set.count()} members)")


# Settings


def _keep_old_values(instance: Model, using: str, raw: bool, **_more: Any) -> None:
    """Keep what is stored, or would count without a row, until it is known that the new values are."""
    if raw or using != DEFAULT_DB_ALIAS:
        return
    stored = type(instance)._base_manager.filter(pk=instance.pk).values().first()
    if stored is None and isinstance(instance, ServiceSettings):
        stored = _values(ServiceSettings())
    instance._old_values = stored  # type: ignore[attr-defined]


def _values(instance: Model) -> dict[str, Any]:
    return {field.attname: getattr(instance, field.attname) for field in instance._meta.concrete_fields}


def _on_tuned(instance: Model, using: str, raw: bool, **_more: Any) -> None:
    if raw or using != DEFAULT_DB_ALIAS:
        return
    old: dict[str, Any] | None = getattr(instance, "_old_values", None)
    ignored = {"id", "updated_at"}
    if old is None:
        security_log.record(Code.SETTINGS_CHANGED, details=f"{_name(instance)}: new")
        return
    new = _values(instance)
    changed = {name: (old[name], new[name]) for name in old if name not in ignored and old[name] != new[name]}
    if changed:
        security_log.record(Code.SETTINGS_CHANGED, details=f"{_name(instance)}: {_differences(changed)}")


def _on_tuned_deleted(instance: Model, using: str, **_more: Any) -> None:
    if using == DEFAULT_DB_ALIAS:
        security_log.record(Code.SETTINGS_CHANGED, details=f"{_name(instance)}: deleted")


def _name(instance: Model) -> str:
    name = str(instance._meta.model_name)
    return name if isinstance(instance, ServiceSettings) else f"{name} {instance.pk}"
