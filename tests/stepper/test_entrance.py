"""What holds for every way in: fresh session keys, no way to other hosts, passwords exactly as they are typed."""

import re

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from stepper.models import User
from tests.factories import PASSWORD, PassengerFactory, StaffFactory

pytestmark = pytest.mark.django_db


def _sign_in(client: Client, user: User, password: str = PASSWORD, **query: str) -> int:
    form = {"login": user.email, "password": password}
    return client.post("/accounts/login/", form, query_params=query).status_code


def _session_of(client: Client) -> str:
    return client.cookies[settings.SESSION_COOKIE_NAME].value


# Sessions


def test_signing_in_never_keeps_the_session_key_it_finds() -> None:
    """Whoever planted a key, or knows one of before, has none of the account."""
    user, client = PassengerFactory.create(), Client()
    client.session.save()
    planted = str(client.session.session_key)
    client.cookies[settings.SESSION_COOKIE_NAME] = planted
    assert _sign_in(client, user) == 302
    assert _session_of(client) != planted
    other = Client()
    other.cookies[settings.SESSION_COOKIE_NAME] = planted
    assert other.get("/trips/").status_code == 302


def test_signing_in_as_somebody_else_ends_the_session_there_was() -> None:
    client = Client()
    _sign_in(client, PassengerFactory.create())
    first = _session_of(client)
    client.post("/accounts/logout/")
    _sign_in(client, PassengerFactory.create())
    assert _session_of(client) != first
    assert not Session.objects.filter(session_key=first).exists()


def test_cookie_of_before_signing_out_opens_nothing() -> None:
    client = Client()
    _sign_in(client, PassengerFactory.create())
    kept = _session_of(client)
    assert client.get("/trips/").status_code == 200
    client.post("/accounts/logout/")
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = kept
    assert thief.get("/trips/").status_code == 302


# Where a way in leads to

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example/",
    "https:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "\thttps://evil.example/",
]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_signing_in_leads_to_no_other_host(target: str) -> None:
    form = {"login": PassengerFactory.create().email, "password": PASSWORD, "next": target}
    assert Client().post("/accounts/login/", form).headers["Location"] == "/"


@pytest.mark.parametrize("target", ELSEWHERE)
def test_signing_up_and_out_lead_to_no_other_host(target: str) -> None:
    client = Client()
    form = {"name": "Aigerim", "phone": "8 701 234 56 78", "password1": "a long walk home", "next": target}
    assert client.post("/accounts/signup/", form).headers["Location"] == "/book/?welcome"
    assert client.post("/accounts/logout/", {"next": target}).headers["Location"] == "/"


@pytest.mark.parametrize("target", ELSEWHERE)
def test_the_administrations_door_leads_to_no_other_host(target: str) -> None:
    """It passes on where one was going; who signs in there stays on this host."""
    client, staff = Client(), StaffFactory.create()
    door = client.get("/admin/login/", {"next": target})
    assert door.headers["Location"].startswith("/accounts/login/?next=")
    answer = client.post(door.headers["Location"], {"login": staff.email, "password": PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


# Passwords


@pytest.mark.parametrize(
    "password",
    [
        "  spaces at both ends  ",
        "decomposed e\u0301\u200d and joined",
        "кириллица и пробел",
        "x" * 63 + "y",
        "a long walk home " * 8,
        "emoji 🚕🚕🚕🚕🚕🚕",
    ],
    ids=["spaces", "invisible", "cyrillic", "64", "136", "emoji"],
)
def test_password_counts_exactly_as_it_was_typed(password: str) -> None:
    """Whatever is in it, however long: not cut, not trimmed, not in another case."""
    form = {"name": "Aigerim", "email": "aigerim@example.test", "password1": password}
    assert Client().post("/accounts/signup/", form).status_code == 302
    user = User.objects.get()
    assert _sign_in(Client(), user, password) == 302
    assert [_sign_in(Client(), user, wrong) for wrong in (password[:-1], password.upper(), password + " ")] == [200] * 3
    token = {"email": user.email, "password": password}
    assert Client().post("/api/token", token, content_type="application/json").status_code == 200


@pytest.mark.parametrize("path", ["login", "signup", "password/change"])
def test_password_field_hides_what_is_typed_and_lets_managers_fill_it(path: str) -> None:
    client = Client()
    if path == "password/change":
        client.force_login(PassengerFactory.create())
    form = client.get(f"/accounts/{path}/").context["form"]
    fields = [field for name, field in form.fields.items() if "password" in name]
    assert fields
    for field in fields:
        attributes = field.widget.attrs
        assert field.widget.input_type == "password"
        assert attributes.get("autocomplete") in {"current-password", "new-password"}
        assert not {"onpaste", "maxlength", "pattern"} & set(attributes)


@pytest.mark.parametrize("entry", ["login", "signup"])
def test_every_way_in_leads_back_to_the_application(entry):
    html = Client().get(f"/accounts/{entry}/?next=/drivers/apply/").content.decode()
    other = {"login": "signup", "signup": "login"}[entry]
    links = re.findall(rf'href="(/accounts/{other}/[^"]*)"', html)
    assert links == [f"/accounts/{other}/?next=/drivers/apply/"] * 2
    assert ("To apply as a driver" in html) is (entry == "login")
