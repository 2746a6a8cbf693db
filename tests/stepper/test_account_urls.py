"""Which of allauth's pages are routed: those in use, and no other of its addresses answers."""

import re

import allauth.account.urls
import allauth.headless.urls
import allauth.urls
import pytest
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from stepper.accounts import urls
from tests.factories import StaffFactory

pytestmark = pytest.mark.django_db

IN_USE = {
    "account_signup",
    "account_login",
    "mfa_authenticate",
    "account_logout",
    "account_inactive",
    "account_change_password",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
}


def walk(patterns, prefix=""):
    """(name, an address it matches) of every route, however deep."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$")
        if isinstance(pattern, URLResolver):
            yield from walk(pattern.url_patterns, route)
        else:
            assert isinstance(pattern, URLPattern)
            yield pattern.name, re.sub(r"<[^>]*>|\(\?P<\w+>[^)]*\)", "x1", route).replace("(?P", "")


ALLAUTH = [
    *((name, f"/accounts/{route}") for name, route in walk(allauth.urls.urlpatterns)),
    *((name, f"/_allauth/{route}") for name, route in walk(allauth.headless.urls.urlpatterns)),
    # Routed by allauth where a setting says so.
    *((None, f"/accounts/{path}") for path in ["login/code/", "password/reset/confirm/", "signup/passkey/", "2fa/"]),
]
OTHERS = [(name, path) for name, path in ALLAUTH if name not in IN_USE]


def test_table_is_what_is_in_use():
    assert {pattern.name for pattern in urls.urlpatterns} == IN_USE
    assert {name for name, _path in ALLAUTH} >= IN_USE
    assert len(OTHERS) > 20


@pytest.mark.parametrize("path", [path for _name, path in OTHERS])
def test_no_other_page_of_allauth_answers(path):
    client = Client()
    client.force_login(StaffFactory())
    for answer in (client.get(path), client.post(path), Client().get(path)):
        assert answer.status_code == 404


def test_nothing_of_allauth_is_routed_beside_the_table():
    """By who wrote the view: whatever includes it."""
    table = {pattern.callback for pattern in urls.urlpatterns}
    routed = list(views(get_resolver().url_patterns))
    assert len(routed) > 50
    assert [view for view in routed if view.__module__.startswith("allauth") and view not in table] == []


def views(patterns):
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from views(pattern.url_patterns)
        else:
            yield pattern.callback


def test_addresses_have_no_page_of_their_own_in_the_admin():
    assert EmailAddress not in admin.site._registry
