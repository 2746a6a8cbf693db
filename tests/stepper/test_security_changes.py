"""The security log names every change of accounts, rights and settings, however it was made."""

from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission
from django.test import Client

from drivers import approvals
from stepper.models import SecurityEvent, ServiceSettings, User
from tests.backoffice import page_url, signed_in
from tests.factories import PASSWORD, DriverFactory, PassengerFactory, StaffFactory
from trips.models import DispatchRule

pytestmark = pytest.mark.django_db

NEW = "a whole new battery"


@pytest.fixture(autouse=True)
def _cheap_hashes(settings: Any) -> None:
    # The factories hash their password once for all tests: not with this one, which no server knows.
    PassengerFactory.build()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


@pytest.fixture
def user() -> User:
    made: User = PassengerFactory.create(email="old@example.test", password=make_password(PASSWORD))
    return made


def events(*names: str) -> list[tuple[Any, ...]]:
    """The rows so far but those of signing in, oldest first."""
    rows = SecurityEvent.objects.exclude(event__startswith="sign_").order_by("pk")
    return list(rows.values_list("event", *names))


def by_save(user: User, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(user, name, value)
    user.save()


def by_update(user: User, **fields: Any) -> None:
    User.objects.filter(pk=user.pk).update(**fields)


CHANGES = [
    ({"is_active": False}, ("account.deactivated", "")),
    ({"is_staff": True}, ("rights.changed", "is_staff: False → True")),
    (
        {"is_staff": True, "is_superuser": True},
        ("rights.changed", "is_staff: False → True; is_superuser: False → True"),
    ),
    ({"email": "new@example.test"}, ("email.changed", "email: old@example.test → new@example.test")),
    ({"phone": "+77771234567"}, ("phone.changed", "phone: +77010000000 → +77771234567")),
    ({"max_overlapping_trips": 9}, ("limit.changed", "max_overlapping_trips: – → 9")),
    ({"password": "md5$x$y"}, ("password.changed", "")),
]


@pytest.mark.parametrize("way", [by_save, by_update])
@pytest.mark.parametrize(("fields", "row"), CHANGES, ids=lambda one: "-".join(one) if isinstance(one, dict) else "")
def test_change_of_an_account_is_logged(way: Callable[..., None], fields: dict[str, Any], row: tuple[str, str]) -> None:
    user = PassengerFactory.create(email="old@example.test", phone="+77010000000")
    way(user, **fields)
    assert events("subject", "details", "transport") == [(row[0], user.pk, row[1], "server")]


@pytest.mark.parametrize("way", [by_save, by_update])
def test_what_stays_the_same_is_not_logged(user: User, way: Callable[..., None]) -> None:
    way(user, email=user.email, is_active=True, name="Somebody")
    assert events() == []


def test_change_by_staff_names_who_and_how(user: User) -> None:
    staff = StaffFactory.create()
    client = signed_in(staff)
    SecurityEvent.objects.all().delete()
    form = {"name": user.name, "email": "new@example.test", "phone": str(user.phone), "language": "en"}
    assert client.post(page_url(user), form).status_code == 302  # is_active is not ticked
    assert events("subject", "actor", "transport", "address") == [
        ("account.deactivated", user.pk, staff.pk, "admin", "127.0.0.1"),
        ("email.changed", user.pk, staff.pk, "admin", "127.0.0.1"),
    ]


def test_groups_and_permissions_of_a_user_are_logged(user: User) -> None:
    group = Group.objects.create(name="Dispatch")
    permission = Permission.objects.get(codename="change_trip")
    user.groups.add(group)
    user.groups.clear()
    group.user_set.add(user)
    user.groups.remove(group)
    user.user_permissions.set([permission])
    user.user_permissions.clear()
    assert events("subject", "details") == [
        ("groups.changed", user.pk, "+ Dispatch"),
        ("groups.changed", user.pk, "- all"),
        ("groups.changed", user.pk, "+ Dispatch"),
        ("groups.changed", user.pk, "- Dispatch"),
        ("permissions.changed", user.pk, "+ trips.change_trip"),
        ("permissions.changed", user.pk, "- all"),
    ]


def test_permissions_and_deletion_of_a_group_are_logged(user: User) -> None:
    group = Group.objects.create(name="Dispatch")
    user.groups.add(group)
    group.permissions.add(Permission.objects.get(codename="change_trip"))
    group.delete()
    assert events("details")[1:] == [
        ("group.changed", "Dispatch: + trips.change_trip"),
        ("group.deleted", "Dispatch (1 members)"),
    ]


def test_superuser_made_by_a_command_is_logged() -> None:
    made = User.objects.create_superuser("boss@example.test", NEW, name="Boss")
    assert events("subject", "details") == [("rights.changed", made.pk, "new account: is_staff, is_superuser")]


def test_deleted_account_is_logged(user: User) -> None:
    pk = user.pk
    user.delete()
    assert events("subject_id") == [("account.deleted", pk)]


def test_password_by_the_link_of_a_mail_is_a_reset(user: User, settings: Any) -> None:
    settings.MAIL_OFFERED = True
    client = Client()
    path = f"/accounts/password/reset/key/{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}/"
    form = client.get(path, follow=True).redirect_chain[-1][0]
    client.post(form, {"password1": NEW, "password2": NEW})
    assert events("subject", "actor", "transport") == [("password.reset", user.pk, None, "page")]


def test_password_changed_by_its_owner_is_logged(user: User) -> None:
    client = signed_in(user)
    form = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    client.post("/accounts/password/change/", form)
    assert events("subject", "actor")[-1] == ("password.changed", user.pk, user.pk)


def test_upgraded_hash_is_no_changed_password(user: User) -> None:
    user.password = make_password(PASSWORD, hasher="pbkdf2_sha256")
    user.save()
    SecurityEvent.objects.all().delete()
    assert user.check_password(PASSWORD)
    assert events() == []


def test_changed_settings_are_logged_with_old_and_new() -> None:
    settings = ServiceSettings(pk=1, max_speed_kmh=300)
    settings.save()
    settings.free_cancel_min = 60
    settings.save()
    settings.save()
    assert events("details") == [
        ("settings.changed", "servicesettings: max_speed_kmh: 250 → 300"),
        ("settings.changed", "servicesettings: free_cancel_min: 120 → 60"),
    ]


def test_dispatch_rules_are_settings_too() -> None:
    rule = DispatchRule.objects.create(urgency="high", mode="targeted")
    rule.mode = "broadcast"
    rule.save()
    name = f"dispatchrule {rule.pk}"
    rule.delete()
    assert events("details") == [
        ("settings.changed", f"{name}: new"),
        ("settings.changed", f"{name}: mode: targeted → broadcast"),
        ("settings.changed", f"{name}: deleted"),
    ]


def test_suspension_of_a_driver_is_logged() -> None:
    driver, staff = DriverFactory.create(), StaffFactory.create()
    SecurityEvent.objects.all().delete()
    approvals.suspend(driver.pk, staff, "no licence")
    approvals.reinstate(driver.pk, staff)
    assert events("subject", "actor", "details") == [
        ("driver.decided", driver.user_id, staff.pk, "approval: approved → suspended (no licence)"),
        ("driver.decided", driver.user_id, staff.pk, "approval: suspended → approved"),
    ]
