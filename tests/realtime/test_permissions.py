"""Open sockets are told to look again when somebody's permissions change, wherever that is done."""

from collections.abc import Callable

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group, Permission

from realtime import groups
from realtime.models import Event
from stepper.models import ServiceSettings, User
from tests.factories import PassengerFactory, StaffFactory
from tests.factors import give_second_factor
from tests.outbox import rechecked

pytestmark = pytest.mark.django_db


@pytest.fixture
def permission() -> Permission:
    return Permission.objects.get(codename="view_trip")


@pytest.fixture
def group(permission: Permission) -> Group:
    group = Group.objects.create(name="Dispatchers")
    group.permissions.add(permission)
    return group


@pytest.fixture
def clerk(group: Group, permission: Permission) -> User:
    clerk = StaffFactory(is_superuser=False)
    clerk.groups.add(group)
    clerk.user_permissions.add(permission)
    StaffFactory(is_superuser=False)
    Event.objects.all().delete()
    return clerk


CHANGES: dict[str, Callable[[User, Group, Permission], object]] = {
    "group loses it": lambda _user, group, permission: group.permissions.remove(permission),
    "group loses all": lambda _user, group, _permission: group.permissions.clear(),
    "group gets all there are": lambda _user, group, _permission: group.permissions.set(Permission.objects.all()),
    "it loses the group": lambda _user, group, permission: permission.group_set.remove(group),
    "group goes": lambda _user, group, _permission: group.delete(),
    "groups go": lambda _user, _group, _permission: Group.objects.all().delete(),
    "user leaves": lambda user, group, _permission: user.groups.remove(group),
    "group lets them go": lambda user, group, _permission: group.user_set.remove(user),
    "user loses it": lambda user, _group, permission: user.user_permissions.remove(permission),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_of_permissions_is_told_to_the_sockets(
    clerk: User, group: Group, permission: Permission, change: Callable[[User, Group, Permission], object]
) -> None:
    change(clerk, group, permission)

    assert rechecked(groups.user(clerk.pk))
    assert set(Event.objects.values_list("group", flat=True)) == {groups.user(clerk.pk)}


def _remove_second_factor(user: User) -> None:
    Authenticator.objects.filter(user=user).delete()


def test_second_factor_that_comes_or_goes_is_told_to_the_sockets(clerk: User) -> None:
    for change in (give_second_factor, _remove_second_factor):
        change(clerk)
        assert set(Event.objects.values_list("group", flat=True)) == {groups.user(clerk.pk)}
        Event.objects.all().delete()


@pytest.mark.parametrize("demanded", [True, False])
def test_demand_that_begins_or_ends_is_told_to_all_staff(clerk: User, demanded: bool) -> None:
    ServiceSettings.objects.create(pk=1, staff_second_factor=not demanded)
    PassengerFactory()
    Event.objects.all().delete()
    settings = ServiceSettings.current()
    settings.save()
    assert not Event.objects.exists()

    settings.staff_second_factor = demanded
    settings.save()

    staff = User.objects.filter(is_staff=True)
    assert set(Event.objects.values_list("group", flat=True)) == {groups.user(one.pk) for one in staff}
    assert len(staff) == 2
