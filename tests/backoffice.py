"""How tests use the admin: sign in with exactly these permissions, run an action from the list or the page."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.db.models import Model
from django.test import Client, TestCase
from django.urls import reverse

from stepper.models import User
from tests.factories import StaffFactory


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def staff_with(*codenames: str) -> User:
    """Return staff without a superuser's rights: only the permissions given, by their names without the app."""
    user: User = StaffFactory.create(is_superuser=False)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def member_of_staff(*permissions: str) -> Client:
    """Staff without a superuser's rights: only `app.codename`s given."""
    user = StaffFactory.create(is_superuser=False)
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return signed_in(user)


def list_url(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def page_url(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def action_url(row: Model, action: str) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{action}", args=[row.pk])


def run_on_list(client: Client, action: str, rows: Iterable[Model], **data: Any) -> Any:
    rows = list(rows)
    form = {"action": action, "_selected_action": [row.pk for row in rows], **data}
    return client.post(list_url(type(rows[0])), form)


def said(response: Any) -> list[str]:
    """The messages that the next page will show, each as `level: text`."""
    return [f"{message.level_tag}: {message.message}" for message in get_messages(response.wsgi_request)]


def queries_of(client: Client, url: str, count: Any) -> None:
    """Asks once to warm the caches of content types, templates and looks, then within `count`."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        assert client.get(url).status_code == 200
    with count:
        assert client.get(url).status_code == 200
