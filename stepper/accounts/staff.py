"""Who of the staff may change whose account, and giving roles: nobody gives, or gets at, rights that they lack.

A superuser may change everybody. Any other colleague is changed only by who may give roles and has every
right that the colleague has: a password that one sets is a way into the account. Nobody but a superuser changes their
own account in the administration, so nobody gives a role to themselves.
"""

from collections.abc import Collection

from django.contrib.auth.models import Group, Permission
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from stepper.db.transactions import in_transaction
from stepper.errors import InvalidInput, NotFound, NotPermitted
from stepper.models import User
from stepper.roles import ASSIGN, BY_KEY, PREFIX


def permission_names(user: User) -> frozenset[str]:
    """Return the permissions that are stored for somebody, whether they count now or not.

    Django's own list is empty for an account that is not active, which could be activated.
    """
    rows = Permission.objects.filter(Q(user=user) | Q(group__user=user))
    return frozenset(f"{app}.{codename}" for app, codename in rows.values_list("content_type__app_label", "codename"))


def may_change(user: User, staff: User) -> bool:
    """Say whether these staff, who may change users, may change how this account is opened."""
    if staff.is_superuser or user.pk == staff.pk:
        return True
    if user.is_superuser:
        return False
    if not user.is_staff:
        return True
    return staff.has_perm(ASSIGN) and permission_names(user) <= permission_names(staff)


def roles_of(user: User) -> list[str]:
    """Return the keys of somebody's roles, in the order of the table."""
    names = set(user.groups.filter(name__startswith=PREFIX).values_list("name", flat=True))
    return [key for key, role in BY_KEY.items() if role.group_name in names]


def require_may_give(user: User, staff: User, *, roles: Collection[str], is_staff: bool) -> None:
    """Refuse unless these staff may leave this account with these roles and this mark of staff.

    Raises:
        NotPermitted: auth.forbidden, they may give no roles, or not to this account, or they lack a right that the
            account has or would have.
        InvalidInput: input.invalid, somebody who is not staff would have a role.
    """
    staff.require_staff(ASSIGN)
    if not staff.is_superuser and (user.pk == staff.pk or user.is_superuser):
        raise NotPermitted("auth.forbidden", _("You may not do this to a colleague's account."))
    if roles and not is_staff:
        message = _("Whoever has a role is staff. Tick that, too, or take the roles away.")
        raise InvalidInput("input.invalid", message, {"roles": [message]})
    if staff.is_superuser:
        return
    own = permission_names(staff)
    if not permission_names(user) | _permissions_of(roles) <= own:
        raise NotPermitted("auth.forbidden", _("You can only give and take rights that you have yourself."))


def _permissions_of(roles: Collection[str]) -> frozenset[str]:
    """Return what the groups of these roles give."""
    rows = Permission.objects.filter(group__name__in=[PREFIX + key for key in roles])
    return frozenset(f"{app}.{codename}" for app, codename in rows.values_list("content_type__app_label", "codename"))


@in_transaction
def set_roles(user_id: int, staff: User, *, roles: Collection[str]) -> None:
    """Leave an account with exactly these roles; its other groups stay.

    Raises:
        NotFound: user.not_found.
        InvalidInput: input.invalid, no such role, or as `require_may_give`.
        NotPermitted: as `require_may_give`.
    """
    unknown = set(roles) - BY_KEY.keys()
    if unknown:
        message = _("There is no such role.")
        raise InvalidInput("input.invalid", message, {"roles": [message]})
    # Two who change the same account: the second one finds what the first one left.
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise NotFound("user.not_found", _("There is no such user."))
    require_may_give(user, staff, roles=roles, is_staff=user.is_staff)
    wanted = {BY_KEY[key].group_name for key in roles}
    held = set(user.groups.filter(name__startswith=PREFIX).values_list("name", flat=True))
    if held - wanted:
        user.groups.remove(*Group.objects.filter(name__in=held - wanted))
    if wanted - held:
        user.groups.add(*Group.objects.filter(name__in=wanted - held))
