"""Roles of staff: their groups, who gives them, and what stops somebody from getting at rights that they lack."""

import io
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from realtime import groups
from realtime.models import Event
from stepper import roles
from stepper.accounts import staff as staff_accounts
from stepper.errors import InvalidInput, NotFound, NotPermitted
from stepper.models import SecurityEvent, ServiceSettings, User
from tests.backoffice import action_url, list_url, page_url, signed_in
from tests.factories import PassengerFactory, StaffFactory
from tests.factors import give_second_factor
from tests.outbox import rechecked
from tests.role_matrix import STAFF, give_role
from tests.stepper.test_confirmation import LONG_AGO, leads_to_form
from tests.stepper.test_sessions import age

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _groups() -> None:
    roles.make_groups()


def person(*held: str, **fields: Any) -> User:
    """Somebody with these roles."""
    user: User = PassengerFactory.create(is_staff=bool(held), **fields)
    for key in held:
        give_role(user, key)
    return user


def edit(user: User, *, held: list[str], **changes: Any) -> dict[str, Any]:
    form = {"name": user.name, "email": user.email, "phone": str(user.phone), "language": "en", "is_active": "on"}
    return {**form, "is_staff": "on", "roles": held, **changes}


def _from(client: Client, page: str, form: dict[str, Any]) -> Any:
    """Send a page's own form, as a browser does that says which page it is on."""
    return client.post(page, form, headers={"referer": f"http://testserver{page}"})


def held_by(user: User) -> list[str]:
    return staff_accounts.roles_of(User.objects.get(pk=user.pk))


# The groups


def _rights() -> dict[str, set[str]]:
    return {
        group.name: set(group.permissions.values_list("codename", flat=True))
        for group in Group.objects.filter(name__startswith="role:")
    }


def test_groups_have_exactly_the_permissions_of_the_table() -> None:
    existing = {
        f"{one.content_type.app_label}.{one.codename}" for one in Permission.objects.select_related("content_type")
    }
    for role in roles.ROLES:
        rows = Group.objects.get(name=role.group_name).permissions.select_related("content_type")
        assert {f"{one.content_type.app_label}.{one.codename}" for one in rows} == existing & role.permissions.keys()


def test_release_adds_what_is_new_and_takes_away_what_is_too_much_and_tells_members() -> None:
    """Whoever wants other rights for somebody makes a group of their own."""
    before = _rights()
    clerk = person("support")
    group = Group.objects.get(name="role:support")
    group.permissions.remove(Permission.objects.get(codename="view_user"))
    group.permissions.add(Permission.objects.get(codename="delete_user"))
    Event.objects.all().delete()
    assert roles.make_groups() == []
    assert _rights() == before
    assert rechecked(groups.user(clerk.pk))
    assert SecurityEvent.objects.filter(event="group.changed", details__contains="- stepper.delete_user").exists()


def test_repeating_it_changes_nothing() -> None:
    SecurityEvent.objects.all().delete()
    Event.objects.all().delete()
    assert roles.make_groups() == []
    assert not SecurityEvent.objects.exists()
    assert not Event.objects.exists()


def test_group_that_staff_made_is_left_alone() -> None:
    own = Group.objects.create(name="Support")
    roles.make_groups()
    assert not own.permissions.exists()


def test_finance_sees_nobodys_whereabouts() -> None:
    clerk = User.objects.get(pk=person("finance").pk)
    assert not clerk.may_see_trips
    assert not {"drivers.view_driverposition", "drivers.view_trailpoint"} & clerk.get_all_permissions()


@pytest.mark.parametrize("key", STAFF)
def test_no_role_may_what_a_superuser_alone_may(key: str) -> None:
    alone = {"auth.add_group", "auth.change_group", "auth.delete_group", "stepper.delete_user"}
    assert not alone & roles.BY_KEY[key].permissions.keys()


# The first start in real use


@pytest.fixture
def _prepared_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepper.management.commands.prepare.call_command", lambda *_args, **_options: None)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    Group.objects.filter(name__startswith=roles.PREFIX).delete()


@pytest.mark.usefixtures("_prepared_never")
def test_new_installation_in_real_use_demands_a_second_factor_of_staff(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.DEBUG = False
    call_command("prepare")
    assert ServiceSettings.current().staff_second_factor
    assert "Staff need two-step sign-in:" in capsys.readouterr().out
    # Who switches it off finds it off after the next release.
    ServiceSettings.objects.update(staff_second_factor=False)
    call_command("prepare")
    assert not ServiceSettings.current().staff_second_factor


@pytest.mark.usefixtures("_prepared_never")
def test_upgrade_takes_no_rights_from_staff_and_says_what_can_be_demanded(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    StaffFactory.create()
    settings.DEBUG = False
    call_command("prepare")
    assert not ServiceSettings.current().staff_second_factor
    assert "can demand it of all" in capsys.readouterr().err
    call_command("prepare")
    assert "can demand it of all" not in capsys.readouterr().err


@pytest.mark.usefixtures("_prepared_never")
def test_demo_demands_no_second_factor(settings: Settings) -> None:
    settings.DEBUG = True
    call_command("prepare")
    assert not ServiceSettings.current().staff_second_factor
    assert Group.objects.filter(name="role:dispatcher").exists()


# Giving them


@pytest.fixture
def administrator() -> User:
    return person("administrator")


def test_administrator_gives_and_takes_roles_on_the_page_and_it_is_logged(administrator: User) -> None:
    client = signed_in(administrator)
    user = person()
    page = client.get(page_url(user)).content.decode()
    assert "Dispatcher: Live room" in page
    assert client.post(page_url(user), edit(user, held=["dispatcher", "finance"])).status_code == 302
    assert held_by(user) == ["dispatcher", "finance"]
    assert User.objects.get(pk=user.pk).is_staff
    assert client.post(page_url(user), edit(user, held=["finance"])).status_code == 302
    assert held_by(user) == ["finance"]
    logged = SecurityEvent.objects.filter(event="groups.changed", subject=user, actor=administrator)
    assert [one.details for one in logged.order_by("pk")] == ["+ role:dispatcher, role:finance", "- role:dispatcher"]


def test_taking_a_role_away_ends_its_rights_at_once_and_tells_open_sockets(administrator: User) -> None:
    user = person("dispatcher")
    theirs = signed_in(user)
    assert theirs.get("/ops/").status_code == 200
    Event.objects.all().delete()
    staff_accounts.set_roles(user.pk, administrator, roles=[])
    assert rechecked(groups.user(user.pk))
    assert theirs.get("/ops/").status_code == 403


def test_other_groups_of_the_account_stay(administrator: User) -> None:
    user, own = person("support"), Group.objects.create(name="Night shift")
    user.groups.add(own)
    signed_in(administrator).post(page_url(user), edit(user, held=[]))
    assert list(User.objects.get(pk=user.pk).groups.all()) == [own]


def test_superuser_edits_roles_and_other_groups_apart() -> None:
    user, own = person("support"), Group.objects.create(name="Night shift")
    client = signed_in(StaffFactory.create())
    client.post(page_url(user), edit(user, held=["support"], groups=own.pk))
    assert {one.name for one in User.objects.get(pk=user.pk).groups.all()} == {"role:support", "Night shift"}
    client.post(page_url(user), edit(user, held=["finance"], groups=[]))
    assert {one.name for one in User.objects.get(pk=user.pk).groups.all()} == {"role:finance"}


def test_role_without_the_mark_of_staff_is_refused_at_the_field(administrator: User) -> None:
    user = person()
    form = edit(user, held=["support"])
    del form["is_staff"]
    response = signed_in(administrator).post(page_url(user), form)
    assert "Whoever has a role is staff" in response.content.decode()
    assert held_by(user) == []


def test_page_that_was_open_meanwhile_gives_back_no_role(administrator: User) -> None:
    """Its form shows a role that a colleague has taken away since, and nobody touched it."""
    user = person("support")
    form = edit(user, held=["support"], **{"initial-roles": ["support"], "initial-name": user.name, "name": "New"})
    form["initial-is_staff"] = "True"
    staff_accounts.set_roles(user.pk, administrator, roles=[])
    signed_in(administrator).post(page_url(user), form)
    assert User.objects.get(pk=user.pk).name == "New"
    assert held_by(user) == []


def test_giving_roles_needs_the_password_once_more(administrator: User) -> None:
    user = person()
    client = signed_in(administrator)
    age(client, LONG_AGO)
    assert leads_to_form(_from(client, page_url(user), edit(user, held=["support"])), page_url(user))
    assert held_by(user) == []


def test_staff_without_the_right_give_none() -> None:
    user = person()
    client = signed_in(person("support"))
    assert 'name="roles"' not in client.get(page_url(user)).content.decode()
    client.post(page_url(user), edit(user, held=["support"], name="Renamed"))
    stored = User.objects.get(pk=user.pk)
    assert (stored.name, stored.is_staff, held_by(user)) == ("Renamed", False, [])
    with pytest.raises(NotPermitted):
        staff_accounts.set_roles(user.pk, person("support"), roles=["support"])


# Getting at rights that one lacks


def _less_than_support() -> User:
    """Staff who may give roles and change accounts, and lack most of what support may."""
    user = person("finance")
    user.user_permissions.set(Permission.objects.filter(codename__in=["assign_role", "view_user", "change_user"]))
    return user


def test_nobody_gives_rights_that_they_lack() -> None:
    staff, user = _less_than_support(), person()
    response = signed_in(staff).post(page_url(user), edit(user, held=["support"]))
    assert "only give and take rights that you have yourself" in response.content.decode()
    assert held_by(user) == []
    for key in set(STAFF) - {"finance"}:
        with pytest.raises(NotPermitted):
            staff_accounts.set_roles(_staff_without_roles().pk, staff, roles=[key])
    other = _staff_without_roles()
    staff_accounts.set_roles(other.pk, staff, roles=["finance"])
    assert held_by(other) == ["finance"]


def _staff_without_roles() -> User:
    user: User = PassengerFactory.create(is_staff=True)
    return user


def test_nobody_makes_staff_of_an_account_that_has_rights_which_they_lack() -> None:
    """Such as a former colleague's, whose groups were left."""
    user = person("administrator")
    User.objects.filter(pk=user.pk).update(is_staff=False)
    response = signed_in(_less_than_support()).post(page_url(user), edit(user, held=[]))
    assert response.status_code == 200
    assert not User.objects.get(pk=user.pk).is_staff


def _ways_into(client: Client, user: User) -> list[int]:
    """Try everything that opens somebody's account; return the answers."""
    new = {"password1": "stolen battery", "password2": "stolen battery", "usable_password": "true"}
    return [
        client.post(page_url(user), edit(user, held=[], email="mine@example.test")).status_code,
        client.post(f"/admin/stepper/user/{user.pk}/password/", new).status_code,
        client.post(page_url(user).replace("change", "delete"), {"post": "yes"}).status_code,
    ]


@pytest.mark.parametrize("kind", ["superuser", "closed superuser", "closed administrator", "more rights", "oneself"])
def test_account_with_rights_that_one_lacks_is_not_changed(administrator: User, kind: str) -> None:
    staff = administrator
    if kind == "oneself":
        user = staff
    elif kind == "closed administrator":
        # Django says of an account that is not active that it may nothing.
        staff, user = _less_than_support(), person("administrator", is_active=False)
    elif kind == "more rights":
        user = person("support")
        user.user_permissions.add(Permission.objects.get(codename="delete_user"))
    else:
        user = StaffFactory.create(is_active=kind == "superuser")
    give_second_factor(user)
    client = signed_in(staff)
    before = User.objects.filter(pk=user.pk).values().get()
    assert _ways_into(client, user) == [403, 403, 403]
    assert User.objects.filter(pk=user.pk).values().get() == before
    if kind != "oneself":
        for action in ("end_sessions", "remove_second_factor"):
            response = client.post(action_url(user, action), follow=True)
            assert "You may not do this to a colleague" in response.content.decode()
        assert Authenticator.objects.filter(user=user).exists()


def test_administrator_changes_colleagues_with_no_more_rights(administrator: User) -> None:
    user = person("administrator")
    client = signed_in(administrator)
    assert client.post(page_url(user), edit(user, held=["support"], name="Renamed")).status_code == 302
    assert (User.objects.get(pk=user.pk).name, held_by(user)) == ("Renamed", ["support"])
    client.post(action_url(user, "end_sessions"))
    assert SecurityEvent.objects.filter(event="sessions.ended", subject=user).exists()


@pytest.mark.parametrize("name", ["is_superuser", "user_permissions", "groups"])
def test_administrator_makes_no_superuser_and_gives_no_single_permission(administrator: User, name: str) -> None:
    user = person()
    group = Group.objects.create(name="All")
    group.permissions.set(Permission.objects.all())
    value = {"is_superuser": "on", "groups": group.pk}.get(name, Permission.objects.get(codename="delete_user").pk)
    signed_in(administrator).post(page_url(user), edit(user, held=[], **{name: value}))
    stored = User.objects.get(pk=user.pk)
    assert (stored.is_superuser, stored.user_permissions.count(), stored.groups.count()) == (False, 0, 0)


def test_refusals_of_the_verb(administrator: User) -> None:
    with pytest.raises(NotFound):
        staff_accounts.set_roles(2**40, administrator, roles=[])
    with pytest.raises(InvalidInput):
        staff_accounts.set_roles(person().pk, administrator, roles=["emperor"])
    with pytest.raises(InvalidInput):
        staff_accounts.set_roles(person().pk, administrator, roles=["support"])
    with pytest.raises(NotPermitted):
        staff_accounts.set_roles(administrator.pk, administrator, roles=[])


# The groups in the administration


def test_groups_of_roles_are_read_and_not_changed_and_their_names_are_taken() -> None:
    client = signed_in(StaffFactory.create())
    group = Group.objects.get(name="role:support")
    assert "Role: Support" in client.get(list_url(Group)).content.decode()
    assert client.get(page_url(group)).status_code == 200
    assert client.post(page_url(group), {"name": "Mine"}).status_code == 403
    assert client.post(page_url(group).replace("change", "delete"), {"post": "yes"}).status_code == 403
    form = {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"}
    client.post(list_url(Group), form)
    assert Group.objects.filter(pk=group.pk).exists()
    response = client.post(f"{list_url(Group)}add/", {"name": "role:mine"})
    assert "those of roles" in response.content.decode()
    found = client.get("/admin/autocomplete/?term=role&app_label=stepper&model_name=user&field_name=groups").json()[
        "results"
    ]
    assert found == []


# Fares for finance


def _settings_form(client: Client) -> dict[str, Any]:
    form = client.get("/admin/stepper/servicesettings/1/change/").context["adminform"].form
    return {name: form.initial[name] for name in form.fields}


def test_finance_changes_fares_and_fees_and_no_other_setting() -> None:
    ServiceSettings.objects.get_or_create(pk=1)
    client = signed_in(person("finance"))
    form = _settings_form(client)
    assert {"base_fare", "platform_fee_percent"} <= form.keys()
    assert not {"discovery_radius_km", "staff_second_factor", "support_phone"} & form.keys()
    changes = {"platform_fee_percent": 20, "discovery_radius_km": 7, "staff_second_factor": "on"}
    response = client.post("/admin/stepper/servicesettings/1/change/", {**form, **changes})
    assert response.status_code == 302
    stored, before = ServiceSettings.current(), ServiceSettings()
    assert stored.platform_fee_percent == 20
    assert stored.discovery_radius_km == before.discovery_radius_km
    assert not stored.staff_second_factor


def test_fares_need_the_password_once_more() -> None:
    ServiceSettings.objects.get_or_create(pk=1)
    client = signed_in(person("finance"))
    age(client, LONG_AGO)
    page = "/admin/stepper/servicesettings/1/change/"
    assert 'name="base_fare"' not in client.get(page).content.decode()
    assert leads_to_form(_from(client, page, {"base_fare": 1}), page)
