"""Signing in with a second factor: the code after the password, with the limits of signing in, on the page and REST."""

from typing import Any

import pytest
from allauth.account.utils import user_pk_to_url_str
from django.contrib.sessions.models import Session
from django.test import Client
from redis.exceptions import RedisError

from stepper.accounts import sign_in
from stepper.accounts.reset_tokens import reset_tokens
from stepper.api.base import authenticate_token
from stepper.models import AccountSession, SecurityEvent, User
from tests.factories import PASSWORD, StaffFactory
from tests.factors import code_now, give_second_factor
from tests.stepper.test_sessions import is_signed_in
from tests.stepper.test_sign_in import person

pytestmark = pytest.mark.django_db

LOGIN, CODE = "/accounts/login/", "/accounts/login/second-step/"
ELSEWHERE: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.7"}


@pytest.fixture(autouse=True)
def _cheap_hashes(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


@pytest.fixture
def user() -> User:
    made = person(email="a@example.test", phone="+77012345678")
    give_second_factor(made)
    return made


def after_password(user: User, **address: Any) -> Client:
    """A browser in which the password was entered, and no code."""
    client = Client(**address)
    response = client.post(LOGIN, {"login": user.email, "password": PASSWORD})
    assert response["Location"] == CODE
    return client


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


def on_page(user: User, code: str, **address: Any) -> Any:
    return after_password(user, **address).post(CODE, {"code": code})


def over_rest(user: User, code: str | None, password: str = PASSWORD, **address: Any) -> Any:
    body = {"email": user.email, "password": password} | ({"code": code} if code is not None else {})
    return Client(**address).post("/api/token", body, content_type="application/json")


ways = pytest.mark.parametrize("way", [on_page, over_rest])


def failed(response: Any) -> bool:
    """Whether the code was said to be wrong."""
    return response.status_code in (401, 422) and "wrong or was used" in response.content.decode()


def events(user: User) -> list[tuple[str, str]]:
    return list(SecurityEvent.objects.filter(subject=user).order_by("pk").values_list("event", "details"))


# The page


def test_session_exists_only_after_the_code(user):
    client = after_password(user)
    assert client.get("/trips/").status_code == 302
    assert client.get("/api/me").status_code == 401
    assert not AccountSession.objects.filter(user=user).exists()
    assert ("sign_in.succeeded", "") not in events(user)
    assert sign_in.DEVICE_COOKIE not in client.cookies
    before = client.session.session_key

    response = client.post(CODE, {"code": code_now()})

    assert response["Location"] == "/"
    assert is_signed_in(client)
    assert client.session.session_key != before
    assert AccountSession.objects.filter(user=user).count() == 1
    assert ("sign_in.succeeded", "") in events(user)
    assert sign_in.find_device_id(response.wsgi_request, user) is None
    assert sign_in.DEVICE_COOKIE in client.cookies


def test_code_page_says_what_it_wants_and_is_not_stored(user):
    response = after_password(user).get(CODE)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert 'autocomplete="one-time-code"' in response.content.decode()


def test_sign_in_leads_where_it_was_wanted(user):
    client = Client()
    client.post(f"{LOGIN}?next=/notifications/", {"login": user.email, "password": PASSWORD, "next": "/notifications/"})
    assert client.post(CODE, {"code": code_now()})["Location"] == "/notifications/"


def test_code_without_a_password_leads_to_signing_in():
    for method in ("get", "post"):
        assert getattr(Client(), method)(CODE, {"code": "123456"})["Location"] == LOGIN


def test_wrong_password_gives_no_chance_to_enter_a_code(user):
    client = Client()
    client.post(LOGIN, {"login": user.email, "password": "wrong"})
    assert client.post(CODE, {"code": code_now()})["Location"] == LOGIN


def test_another_account_can_be_chosen_instead(user):
    client = after_password(user)
    assert client.post(CODE, {"cancel": "1"})["Location"] == LOGIN
    assert client.get(LOGIN).status_code == 200
    assert client.post(CODE, {"code": code_now()})["Location"] == LOGIN


@pytest.mark.parametrize("what", ["password", "deactivated"])
def test_what_ends_sessions_ends_a_sign_in_under_way(user, what):
    client = after_password(user)
    if what == "password":
        user.set_password("another long password")
    else:
        user.is_active = False
    user.save()
    assert client.post(CODE, {"code": code_now()})["Location"] == LOGIN
    assert not is_signed_in(client)


def test_sign_in_under_way_ends_after_a_quarter_of_an_hour(user, monkeypatch):
    client = after_password(user)
    session = client.session
    session["account_login"]["initiated_at"] -= 15 * 60 + 1
    session.save()
    assert client.post(CODE, {"code": code_now()})["Location"] == LOGIN


def test_staff_sign_in_to_the_administration_by_the_same_two_steps():
    staff = person(StaffFactory)
    give_second_factor(staff)
    client = Client()
    path = client.get("/admin/", follow=True).redirect_chain[-1][0]
    client.post(path, {"login": staff.email, "password": PASSWORD, "next": "/admin/"})
    assert client.get("/admin/").status_code == 302
    assert client.post(CODE, {"code": code_now()})["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


# REST


def test_token_asks_for_the_code_after_the_right_password_only(user):
    missing = over_rest(user, None)
    assert (missing.status_code, missing.json()["code"]) == (401, "auth.code_required")
    guessed = over_rest(user, None, password="wrong")
    assert (guessed.status_code, guessed.json()["code"]) == (401, "auth.invalid_credentials")
    # Also with the right code: whether the password was wrong must not depend on it.
    assert over_rest(user, code_now(), password="wrong").json()["code"] == "auth.invalid_credentials"
    assert over_rest(user, code_now()).status_code == 200


def test_token_refuses_a_wrong_code_by_its_own_error(user):
    response = over_rest(user, wrong(code_now()))
    assert (response.status_code, response.json()["code"]) == (401, "auth.code_invalid")


def test_token_with_a_code_works(user):
    access = over_rest(user, code_now()).json()["access"]
    assert authenticate_token(access) == user


def test_token_of_an_account_without_a_second_factor_ignores_a_code():
    assert over_rest(person(), "123456").status_code == 200


# Both


@ways
def test_code_used_twice_is_refused(user, way):
    code = code_now()
    assert not failed(way(user, code))
    assert failed(way(user, code))


@ways
def test_code_used_by_one_way_is_refused_by_the_other(user, way):
    code = code_now()
    other = over_rest if way is on_page else on_page
    assert not failed(other(user, code))
    assert failed(way(user, code))


@ways
def test_recovery_code_signs_in_once(user, way):
    recovery = give_second_factor(made := person())[0]
    assert not failed(way(made, recovery))
    assert ("recovery_code.used", "") in events(made)
    assert failed(way(made, recovery))


@ways
def test_wrong_codes_are_failed_sign_ins_and_lock_the_account(user, way):
    for _attempt in range(5):
        assert failed(way(user, wrong(code_now())))
    refused = over_rest(user, code_now())
    assert (refused.status_code, refused["Retry-After"]) == (429, "60")
    # Also from elsewhere, and for the password alone.
    assert over_rest(user, None, **ELSEWHERE).status_code == 429
    assert ("sign_in.failed", "wrong code") in events(user)
    assert ("sign_in.locked", "") in events(user)


def test_locked_account_is_told_on_the_code_page(user):
    client = after_password(user)
    for _attempt in range(5):
        client.post(CODE, {"code": wrong(code_now())})
    response = client.post(CODE, {"code": code_now()})
    assert (response.status_code, response["Retry-After"]) == (429, "60")
    assert "Try again in 1 minute." in response.content.decode()
    assert not is_signed_in(client)


def test_right_passwords_do_not_take_back_wrong_codes(user):
    for _attempt in range(5):
        over_rest(user, wrong(code_now()))
        over_rest(user, None)
    assert over_rest(user, code_now()).status_code == 429


def test_codes_are_limited_by_address_too(settings):
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 3
    for _attempt in range(3):
        give_second_factor(user := person())
        assert failed(over_rest(user, wrong(code_now())))
    give_second_factor(user := person())
    assert over_rest(user, code_now()).status_code == 429
    assert over_rest(user, code_now(), **ELSEWHERE).status_code == 200


def test_new_password_lets_nobody_to_more_codes(user, django_capture_on_commit_callbacks):
    """Whoever reads somebody's mail can set it, as often as a link is sent."""
    for _attempt in range(5):
        over_rest(user, wrong(code_now()))
    with django_capture_on_commit_callbacks(execute=True):
        user.set_password(PASSWORD)
        user.save()
    assert over_rest(user, None).json()["code"] == "auth.code_required"
    assert over_rest(user, code_now()).status_code == 429


def test_browser_that_signed_in_before_is_not_locked_out_by_strangers_codes(user):
    known = after_password(user)
    known.post(CODE, {"code": code_now()})
    known.post("/accounts/logout/")
    for _attempt in range(5):
        over_rest(user, wrong(code_now()), **ELSEWHERE)
    known.post(LOGIN, {"login": user.email, "password": PASSWORD})
    assert known.post(CODE, {"code": code_now(steps=1)})["Location"] == "/"


def test_nobody_gets_past_the_code_while_the_counters_are_away(user, monkeypatch):
    client = after_password(user)

    def away(*_args: Any, **_more: Any) -> None:
        raise RedisError

    monkeypatch.setattr("stepper.accounts.sign_in.Window.increment", away)
    assert client.post(CODE, {"code": code_now()}).status_code == 503
    assert not is_signed_in(client)


# Ways round it


def test_password_reset_does_not_go_round_it(user, client, settings):
    settings.MAIL_OFFERED = True
    link = f"/accounts/password/reset/key/{user_pk_to_url_str(user)}-{reset_tokens.make_token(user)}/"
    form = client.get(link, follow=True).redirect_chain[-1][0]
    new = "a whole new battery"
    assert client.post(form, {"password1": new, "password2": new}).status_code == 302
    assert client.get("/trips/").status_code == 302
    user.refresh_from_db()
    assert user.check_password(new)
    assert client.post(LOGIN, {"login": user.email, "password": new})["Location"] == CODE
    assert client.get("/trips/").status_code == 302


def test_account_without_a_second_factor_signs_in_as_before():
    user = person()
    client = Client()
    assert client.post(LOGIN, {"login": user.email, "password": PASSWORD})["Location"] == "/"
    assert is_signed_in(client)


def test_sign_in_under_way_is_no_session_of_anybody(user):
    after_password(user)
    assert ["_auth_user_id" in row.get_decoded() for row in Session.objects.all()] == [False]
