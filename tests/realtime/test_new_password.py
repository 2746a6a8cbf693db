"""A new password, wherever it is set, closes the sockets that the old one opened; so does all that ends an account."""

import getpass
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from channels.db import database_sync_to_async
from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.test import Client

from realtime import groups
from realtime.models import Event
from realtime.outbox import PERMISSIONS_REFRESH
from stepper.management.commands.prepare import Command as Prepare
from stepper.models import User
from stepper.simulator.people import DEMO_DOMAIN
from tests.factories import PASSWORD, StaffFactory

from .conftest import Connect

run = database_sync_to_async
NEW = "a whole new battery"


def _signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def _by_themselves_in_the_administration(user: User) -> None:
    new = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    assert _signed_in(user).post("/admin/password_change/", new).status_code == 302


def _by_themselves(user: User) -> None:
    new = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    assert _signed_in(user).post("/accounts/password/change/", new).status_code == 302


def link_of(user: User) -> str:
    """The path of the link that a mail would bring them."""
    return f"/accounts/password/reset/key/{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}/"


def _by_a_link(user: User) -> None:
    client = Client()
    form: Any = client.get(link_of(user))
    assert client.post(form["Location"], {"password1": NEW, "password2": NEW}).status_code == 302


def _by_staff(user: User) -> None:
    new = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    path = f"/admin/stepper/user/{user.pk}/password/"
    assert _signed_in(StaffFactory.create()).post(path, new).status_code == 302


def _taken_away_by_staff(user: User) -> None:
    path = f"/admin/stepper/user/{user.pk}/password/"
    form = {"usable_password": "false", "unset-password": ""}
    assert _signed_in(StaffFactory.create()).post(path, form).status_code == 302
    assert not User.objects.get(pk=user.pk).has_usable_password()


def _closed_by_staff(user: User) -> None:
    form = {"name": user.name, "email": str(user.email), "phone": str(user.phone), "language": "en"}
    path = f"/admin/stepper/user/{user.pk}/change/"
    assert _signed_in(StaffFactory.create()).post(path, form).status_code == 302
    assert not User.objects.get(pk=user.pk).is_active


def _by_command(user: User) -> None:
    call_command("changepassword", str(user.email), verbosity=0)


def _saved(user: User) -> None:
    user.set_password(NEW)
    user.save()


def _made_unusable(user: User) -> None:
    user.set_unusable_password()
    user.save(update_fields=["password"])


def _updated_in_bulk(user: User) -> None:
    user.password = make_password(NEW)
    User.objects.bulk_update([user], ["password"])


def _demo_is_locked(user: User) -> None:
    User.objects.filter(pk=user.pk).update(email=f"driver1@{DEMO_DOMAIN}")
    Prepare()._lock_demo()


def _rechecked() -> set[str]:
    """The groups whose sockets were told to check again."""
    return set(Event.objects.filter(type=PERMISSIONS_REFRESH).values_list("group", flat=True))


WAYS: dict[str, Callable[[User], object]] = {
    "/admin/password_change/": _by_themselves_in_the_administration,
    "/accounts/password/change/": _by_themselves,
    "a link from a mail": _by_a_link,
    "staff set one": _by_staff,
    "staff take it away": _taken_away_by_staff,
    "staff close the account": _closed_by_staff,
    "manage.py changepassword": _by_command,
    "save": _saved,
    "set_unusable_password": _made_unusable,
    "update": lambda user: User.objects.filter(pk=user.pk).update(password=make_password(NEW)),
    "bulk_update": _updated_in_bulk,
    "demo accounts are locked": _demo_is_locked,
    "the account is deleted": lambda user: User.objects.filter(pk=user.pk).delete(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_socket_of_the_old_password_is_closed(
    connect: Connect, way: Callable[[User], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda prompt: NEW)
    user = await run(StaffFactory.create)(is_superuser=False)
    client = await connect(user)

    await run(way)(user)

    assert await client.closed_with() == 4401
    # Staff who set it get a session of a new name, whose sockets look again as well.
    assert groups.user(user.pk) in await run(_rechecked)()


async def test_socket_stays_open_when_the_hash_is_upgraded(connect: Connect) -> None:
    user = await run(StaffFactory.create)(password=make_password(PASSWORD, hasher="pbkdf2_sha256"))
    client = await connect(user)

    assert await run(user.check_password)(PASSWORD)

    assert (await run(User.objects.get)(pk=user.pk)).password.startswith("argon2")
    assert await run(_rechecked)() == set()
    await client.send(type="ping", ref="still")
    await client.until("heartbeat", ref="still")
