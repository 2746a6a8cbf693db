"""Sign-in for programs: tokens, their limits, and what ends them."""

import base64
import datetime as dt
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from allauth.headless.tokens.strategies.jwt import internal
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from realtime import groups
from realtime.models import Event
from realtime.outbox import PERMISSIONS_REFRESH
from stepper.api.base import authenticate_token
from stepper.models import User

pytestmark = pytest.mark.django_db

PASSWORD = "correct-horse-battery"


@pytest.fixture
def user():
    return User.objects.create_user("aigerim@example.test", PASSWORD, name="Aigerim K", phone="+77012345678")


@pytest.fixture
def client():
    return APIClient()


def sign_in(client, **body):
    return client.post("/api/token", body, format="json")


def bearer(access):
    return {"Authorization": f"Bearer {access}"}


@pytest.fixture
def tokens(client, user):
    return sign_in(client, email=user.email, password=PASSWORD).json()


@pytest.mark.parametrize("address", ["/api/token", "/api/token/"])
@pytest.mark.parametrize(
    "who",
    [
        {"email": "aigerim@example.test"},
        {"email": "Aigerim@Example.TEST"},
        {"phone": "+77012345678"},
        {"phone": "8 701 234 56 78"},
    ],
)
def test_token_signs_in_by_email_and_phone(client, user, address, who):
    response = client.post(address, {**who, "password": PASSWORD}, format="json")

    assert response.status_code == 200
    assert set(response.json()) == {"access", "refresh", "expires_in"}
    assert response.json()["expires_in"] == 3600
    assert authenticate_token(response.json()["access"]) == user


def test_token_touches_no_cookies(client, user):
    assert not sign_in(client, email=user.email, password=PASSWORD).cookies


def test_token_opens_the_api(client, user, tokens):
    me = client.get("/api/me", headers=bearer(tokens["access"]))

    assert me.status_code == 200
    assert me.json()["id"] == user.pk


def test_token_gives_one_answer_to_whatever_is_wrong(client, user):
    User.objects.create_user("gone@example.test", PASSWORD, name="Gone", is_active=False)
    refusals = [
        sign_in(client, email=user.email, password="wrong"),
        sign_in(client, email="nobody@example.test", password=PASSWORD),
        sign_in(client, email="gone@example.test", password=PASSWORD),
        sign_in(client, phone="+77019999999", password=PASSWORD),
        sign_in(client, phone="not a phone", password=PASSWORD),
    ]

    assert {response.status_code for response in refusals} == {401}
    assert len({response.content for response in refusals}) == 1
    assert refusals[0].json()["code"] == "auth.invalid_credentials"
    assert refusals[0].headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "password"),
        ({"email": "a@example.test"}, "password"),
        ({"password": "x"}, "email"),
        ({"email": "a@example.test", "phone": "+77012345678", "password": "x"}, "email"),
        ({"email": ["a"], "password": "x"}, "email"),
        ({"email": "a\x00@example.test", "password": "x"}, "email"),
        ({"email": "a@example.test", "password": 12345678}, "password"),
        ({"email": "a@example.test", "password": "x" * 2000}, "password"),
    ],
)
def test_token_names_the_wrong_field(client, user, body, field):
    response = client.post("/api/token", body, format="json")

    assert response.status_code == 400
    assert response.json()["code"] == "input.invalid"
    assert field in response.json()["fields"]


def test_token_by_get_is_refused(client):
    response = client.get("/api/token")

    assert response.status_code == 405
    assert response.json()["code"] == "method.not_allowed"
    assert response.headers["Allow"] == "POST, OPTIONS"


def test_refresh_gives_a_new_pair_and_uses_up_the_old(client, user, tokens):
    renewed = client.post("/api/token/refresh/", {"refresh": tokens["refresh"]}, format="json")

    assert renewed.status_code == 200
    assert set(renewed.json()) == {"access", "refresh", "expires_in"}
    assert authenticate_token(renewed.json()["access"]) == user
    again = client.post("/api/token/refresh", {"refresh": tokens["refresh"]}, format="json")
    assert (again.status_code, again.json()["code"]) == (401, "auth.token_invalid")


@pytest.mark.parametrize("kind", ["access", "garbage"])
def test_refresh_with_another_token_is_refused(client, tokens, kind):
    refresh = {**tokens, "garbage": "a.b.c"}[kind]
    response = client.post("/api/token/refresh", {"refresh": refresh}, format="json")

    assert (response.status_code, response.json()["code"]) == (401, "auth.token_invalid")


def test_revoke_ends_the_session_and_its_tokens(client, user, tokens):
    response = client.post("/api/token/revoke", headers=bearer(tokens["access"]))

    assert response.status_code == 204
    assert not Session.objects.exists()
    assert authenticate_token(tokens["access"]) is None
    refused = client.get("/api/me", headers=bearer(tokens["access"]))
    assert (refused.status_code, refused.json()["code"]) == (401, "auth.token_invalid")
    assert client.post("/api/token/refresh", {"refresh": tokens["refresh"]}, format="json").status_code == 401
    assert client.post("/api/token/revoke", headers=bearer(tokens["access"])).status_code == 401


def test_revoke_has_the_users_sockets_looked_at(client, user, tokens):
    client.post("/api/token/revoke", headers=bearer(tokens["access"]))

    assert Event.objects.filter(group=groups.user(user.pk), type=PERMISSIONS_REFRESH).count() == 1


def test_signing_out_on_the_site_has_the_users_sockets_looked_at(user):
    browser = Client()
    browser.force_login(user)
    browser.post("/accounts/logout/")

    assert not Session.objects.exists()
    assert Event.objects.filter(group=groups.user(user.pk), type=PERMISSIONS_REFRESH).count() == 1


def test_revoke_by_refresh_token(client, tokens):
    assert client.post("/api/token/revoke", {"refresh": tokens["refresh"]}, format="json").status_code == 204
    assert authenticate_token(tokens["access"]) is None


def test_revoke_leaves_other_sessions(client, user, tokens):
    other = sign_in(client, email=user.email, password=PASSWORD).json()
    client.post("/api/token/revoke", headers=bearer(tokens["access"]))

    assert authenticate_token(other["access"]) == user


def test_revoke_without_a_token_is_refused(client):
    response = client.post("/api/token/revoke")

    assert response.status_code == 400
    assert response.json()["fields"] == {"refresh": ["This field is required."]}


def test_deactivating_ends_tokens_at_once(client, user, tokens):
    User.objects.filter(pk=user.pk).update(is_active=False)

    assert authenticate_token(tokens["access"]) is None
    assert client.get("/api/me", headers=bearer(tokens["access"])).status_code == 401


def test_a_new_password_ends_tokens_at_once(user, tokens):
    user.set_password("another-horse-battery")
    user.save()

    assert authenticate_token(tokens["access"]) is None


def test_an_expired_token_is_refused(client, user, tokens, time_machine):
    time_machine.move_to(timezone.now() + dt.timedelta(seconds=3601))

    refused = client.get("/api/me", headers=bearer(tokens["access"]))
    assert (refused.status_code, refused.json()["code"]) == (401, "auth.token_invalid")


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer a b", "Bearer nonsense", "Bearer a.b.c", "Bearer \u00ff.\u00ff.\u00ff"]
)
def test_a_wrong_token_is_refused(client, header):
    response = client.get("/api/me", headers={"Authorization": header})

    assert (response.status_code, response.json()["code"]) == (401, "auth.token_invalid")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("none", ""), ("HS256", "a key of somebody else, long enough"), ("HS512", None)],
    ids=["unsigned", "other key", "other algorithm"],
)
def test_a_forged_token_is_refused(client, tokens, settings, algorithm, key):
    """What it says is right, who signed it or how is not."""
    claims = jwt.decode(tokens["access"], options={"verify_signature": False})
    forged = jwt.encode(claims, settings.SECRET_KEY * 2 if key is None else key, algorithm=algorithm)
    assert jwt.decode(forged, options={"verify_signature": False}) == claims
    assert client.get("/api/me", headers=bearer(forged)).status_code == 401
    assert client.post("/api/token/revoke", headers=bearer(forged)).status_code == 401


def test_a_token_that_was_changed_is_refused(client, tokens):
    head, claims, signature = tokens["access"].split(".")
    as_somebody_else = {**json.loads(base64.urlsafe_b64decode(claims + "==")), "sub": "1"}
    changed = base64.urlsafe_b64encode(json.dumps(as_somebody_else).encode()).decode().rstrip("=")
    assert client.get("/api/me", headers=bearer(tokens["access"])).status_code == 200
    assert client.get("/api/me", headers=bearer(f"{head}.{changed}.{signature}")).status_code == 401


def test_a_refresh_token_opens_nothing(client, tokens):
    assert client.get("/api/me", headers=bearer(tokens["refresh"])).status_code == 401


def test_a_token_carries_neither_the_session_nor_who_it_is(tokens):
    """Anybody who holds a token can read it."""
    key = Session.objects.get().session_key
    for token in (tokens["access"], tokens["refresh"]):
        claims = jwt.decode(token, options={"verify_signature": False})
        assert set(claims) <= {"iat", "exp", "sid", "jti", "token_use", "sub"}
        assert key not in json.dumps(claims)


def test_a_token_of_a_session_that_is_gone_when_it_saves(client, user, tokens, monkeypatch):
    """The session ends between reading the refresh token and saving the new one."""

    def end_meanwhile(*args):
        Session.objects.all().delete()
        return created(*args)

    created = internal.create_refresh_token
    monkeypatch.setattr(internal, "create_refresh_token", end_meanwhile)

    response = client.post("/api/token/refresh", {"refresh": tokens["refresh"]}, format="json")
    assert (response.status_code, response.json()["code"]) == (401, "auth.token_invalid")


# Twice


def test_a_refresh_token_used_again_ends_the_session(client, user, tokens):
    renewed = client.post("/api/token/refresh", {"refresh": tokens["refresh"]}, format="json").json()
    other = sign_in(client, email=user.email, password=PASSWORD).json()

    again = client.post("/api/token/refresh", {"refresh": tokens["refresh"]}, format="json")

    assert (again.status_code, again.json()["code"]) == (401, "auth.token_invalid")
    assert authenticate_token(renewed["access"]) is None
    assert client.post("/api/token/refresh", {"refresh": renewed["refresh"]}, format="json").status_code == 401
    assert Event.objects.filter(group=groups.user(user.pk), type=PERMISSIONS_REFRESH).count() == 1
    assert authenticate_token(other["access"]) == user


def test_revoking_by_a_used_refresh_token_ends_the_session(client, tokens):
    renewed = client.post("/api/token/refresh", {"refresh": tokens["refresh"]}, format="json").json()
    assert client.post("/api/token/revoke", {"refresh": tokens["refresh"]}, format="json").status_code == 401
    assert authenticate_token(renewed["access"]) is None


def at_once(count: int, send: Callable[[], Any]) -> list[Any]:
    """The answers to requests that start together, each in a thread of its own."""
    together = threading.Barrier(count)

    def one(_number: int) -> Any:
        together.wait(10)
        try:
            return send()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def codes(answers: list[Any]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


@pytest.mark.django_db(transaction=True)
def test_of_refreshes_at_once_one_wins(user, tokens):
    refresh = {"refresh": tokens["refresh"]}
    answers = at_once(8, lambda: APIClient().post("/api/token/refresh", refresh, format="json"))

    assert codes(answers) == [200] + [401] * 7
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    # The others used it a second time.
    assert authenticate_token(won["access"]) is None
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_refreshing_and_revoking_at_once_leaves_nothing(user, tokens):
    def refresh() -> Any:
        return APIClient().post("/api/token/refresh", {"refresh": tokens["refresh"]}, format="json")

    def revoke() -> Any:
        return APIClient().post("/api/token/revoke", headers=bearer(tokens["access"]))

    requests = iter([refresh, revoke, revoke])

    def one_of_them() -> Any:
        return next(requests)()

    answers = at_once(3, one_of_them)

    assert {answer.status_code for answer in answers} <= {200, 204, 401}
    assert 204 in codes(answers)
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_signing_in_at_once_gives_each_its_own_session(user):
    answers = at_once(4, lambda: sign_in(APIClient(), email=user.email, password=PASSWORD))

    assert codes(answers) == [200] * 4
    assert {authenticate_token(answer.json()["access"]) for answer in answers} == {user}
    assert Session.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_guesses_at_once_do_not_slip_through(user):
    answers = at_once(12, lambda: sign_in(APIClient(), email=user.email, password="wrong"))

    assert codes(answers) == [401] * 5 + [429] * 7
