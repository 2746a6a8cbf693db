"""Limits of signing in: the same on the page and over REST, by account and address, with a count of each device."""

from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.contrib.auth.hashers import MD5PasswordHasher, PBKDF2PasswordHasher, make_password
from django.test import Client
from django.urls import reverse

from stepper.accounts import sign_in
from stepper.api.base import authenticate_token
from stepper.api.tokens import sign_in as open_session
from stepper.models import User
from tests.factories import PASSWORD, PassengerFactory, StaffFactory

pytestmark = pytest.mark.django_db

EMAIL, PHONE = "aigerim@example.test", "+77012345678"
ELSEWHERE: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.7"}


@pytest.fixture(autouse=True)
def _cheap_hashes(settings: Any) -> None:
    """What is counted does not depend on what it costs."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


def person(make: Any = PassengerFactory, password: str | None = PASSWORD, **fields: Any) -> User:
    made: User = make.create(password=make_password(password), **fields)
    return made


@pytest.fixture
def user() -> User:
    return person(email=EMAIL, phone=PHONE)


def on_page(login: str, password: str = PASSWORD, client: Client | None = None, **more: Any) -> Any:
    return (client or Client()).post("/accounts/login/", {"login": login, "password": password}, **more)


def over_rest(login: str, password: str = PASSWORD, client: Client | None = None, **more: Any) -> Any:
    who = {"email" if "@" in login else "phone": login}
    body = {**who, "password": password}
    return (client or Client()).post("/api/token", body, content_type="application/json", **more)


Way = Callable[..., Any]
ways = pytest.mark.parametrize("way", [on_page, over_rest])


def is_signed_in(response: Any) -> bool:
    return bool(response.status_code == 302 or "access" in response.content.decode())


def lock(login: str = EMAIL, **more: Any) -> None:
    for _attempt in range(5):
        assert over_rest(login, "wrong", **more).status_code == 401


# By account


@ways
def test_fifth_failure_locks_the_account(user: User, way: Way) -> None:
    for _attempt in range(5):
        assert way(EMAIL, "wrong").status_code != 429

    refused = way(EMAIL)
    assert (refused.status_code, refused["Retry-After"]) == (429, "60")
    assert "Try again in 1 minute." in refused.content.decode()


def test_page_that_refuses_keeps_the_form(user: User) -> None:
    lock()
    refused = on_page(EMAIL)
    assert refused.context["form"].non_field_errors() == ["Too many attempts to sign in. Try again in 1 minute."]
    assert refused.context["form"]["login"].value() == EMAIL


def test_rest_refuses_with_a_code(user: User) -> None:
    lock()
    assert over_rest(EMAIL).json()["code"] == "rate.limited"


@ways
@pytest.mark.parametrize("login", [EMAIL, "Aigerim@EXAMPLE.test", f" {EMAIL} ", PHONE, "8 (701) 234-56-78"])
def test_account_is_locked_under_all_its_names_and_hosts(user: User, way: Way, login: str) -> None:
    for attempt, name in enumerate([EMAIL, PHONE, EMAIL.upper(), "8 701 234 56 78", EMAIL]):
        over_rest(name, "wrong", HTTP_HOST=f"localhost:{8000 + attempt}", REMOTE_ADDR=f"192.0.2.{attempt}")

    assert way(login, HTTP_HOST="127.0.0.1:81", **ELSEWHERE).status_code == 429


@ways
def test_unknown_account_is_answered_like_a_known_one(user: User, way: Way) -> None:
    def answers(login: str) -> list[tuple[int, str | None]]:
        told = [way(login, "wrong") for _attempt in range(7)]
        return [(answer.status_code, answer.headers.get("Retry-After")) for answer in told]

    assert answers("nobody@example.test") == answers(EMAIL)


@pytest.mark.parametrize("login", [EMAIL, "nobody@example.test", "+77019999999", "gone@a.test", "new@a.test"])
def test_each_attempt_costs_one_hash(user: User, login: str, monkeypatch: pytest.MonkeyPatch) -> None:
    person(email="gone@a.test", is_active=False)
    person(password=None, email="new@a.test")
    hashed = []
    encode = MD5PasswordHasher.encode

    def counted(self: MD5PasswordHasher, password: str, salt: str) -> str:
        hashed.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    on_page(login, "wrong")
    assert len(hashed) == 1


def test_locked_account_costs_no_hash(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    lock()
    monkeypatch.setattr(MD5PasswordHasher, "verify", lambda *_args: pytest.fail("hashed"))
    assert over_rest(EMAIL).status_code == 429


def test_lockouts_grow_to_an_hour(user: User, time_machine: Any) -> None:
    waits = []
    now = 1_800_000_000
    for _lockout in range(8):
        time_machine.move_to(now, tick=False)
        lock()
        waits.append(int(over_rest(EMAIL)["Retry-After"]))
        now += waits[-1] + 1

    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_asking_while_locked_changes_nothing(user: User, time_machine: Any) -> None:
    time_machine.move_to(1_800_000_000, tick=False)
    lock()
    time_machine.shift(45)
    assert [over_rest(EMAIL, "wrong")["Retry-After"] for _attempt in range(8)] == ["15"] * 8
    time_machine.shift(16)
    assert is_signed_in(over_rest(EMAIL))


def test_failures_of_one_account_do_not_lock_another(user: User) -> None:
    person(email="daniyar@example.test")
    lock()
    assert is_signed_in(over_rest("daniyar@example.test"))


def test_successes_neither_count_as_failures_nor_make_up_for_them(user: User) -> None:
    for _attempt in range(5):
        assert is_signed_in(over_rest(EMAIL))
        assert is_signed_in(over_rest(EMAIL))
        assert over_rest(EMAIL, "wrong").status_code == 401
    assert over_rest(EMAIL).status_code == 429


@pytest.mark.parametrize("way", ["staff", "model"])
def test_new_password_opens_a_locked_account(
    user: User, way: str, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    lock()
    with django_capture_on_commit_callbacks(execute=True):
        if way == "staff":
            staff = Client()
            staff.force_login(person(StaffFactory))
            new = {"password1": "a whole new battery", "password2": "a whole new battery", "usable_password": "true"}
            staff.post(f"/admin/stepper/user/{user.pk}/password/", new)
        else:
            user.set_password("a whole new battery")
            user.save()
    assert is_signed_in(over_rest(EMAIL, "a whole new battery"))


# By address


@ways
def test_sixty_failures_lock_the_address(user: User, way: Way) -> None:
    for attempt in range(60):
        assert over_rest(f"guess{attempt}@example.test", "wrong").status_code == 401

    refused = way("guess60@example.test", "wrong")
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert over_rest("guess60@example.test", "wrong", **ELSEWHERE).status_code == 401


def test_refused_attempts_do_not_lock_the_address(user: User, settings: Any) -> None:
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 6
    lock()
    for _attempt in range(10):
        assert over_rest(EMAIL, "wrong").status_code == 429
    assert over_rest("nobody@example.test", "wrong").status_code == 401


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("2001:db8::1", "2001:db8::ffff:1:2:3", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ],
)
def test_addresses_of_one_customer_are_one(rf: Any, one: str, other: str, is_one: bool) -> None:
    addresses = {sign_in.client_address(rf.get("/", REMOTE_ADDR=text)) for text in (one, other)}
    assert (len(addresses) == 1) == is_one


# Devices


@pytest.fixture
def owner(user: User) -> Client:
    """A browser that has signed in to the account, and out."""
    client = Client()
    assert is_signed_in(on_page(EMAIL, client=client))
    client.post("/accounts/logout/")
    return client


def test_stranger_does_not_lock_the_owner_out(owner: Client) -> None:
    lock()
    assert on_page(EMAIL).status_code == 429
    assert is_signed_in(on_page(EMAIL, client=owner))


def test_owner_is_not_locked_out_by_others_at_their_address(owner: Client, settings: Any) -> None:
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 2
    for _attempt in range(3):
        over_rest("nobody@example.test", "wrong")
    assert on_page(EMAIL).status_code == 429
    assert is_signed_in(on_page(EMAIL, client=owner))


def test_known_device_is_locked_by_its_own_failures_alone(owner: Client) -> None:
    for _attempt in range(5):
        on_page(EMAIL, "wrong", client=owner)
    assert on_page(EMAIL, client=owner).status_code == 429
    assert is_signed_in(on_page(EMAIL))


def test_device_of_one_account_is_a_stranger_to_another(owner: Client) -> None:
    person(email="daniyar@example.test")
    lock("daniyar@example.test")
    assert on_page("daniyar@example.test", client=owner).status_code == 429


def test_device_is_known_to_several_accounts(owner: Client, user: User) -> None:
    person(email="daniyar@example.test")
    on_page("daniyar@example.test", client=owner)
    owner.post("/accounts/logout/")
    lock()
    assert is_signed_in(on_page(EMAIL, client=owner))


def test_device_is_unknown_after_a_new_password(owner: Client, user: User) -> None:
    user.set_password("a whole new battery")
    user.save()
    lock()
    assert on_page(EMAIL, "a whole new battery", client=owner).status_code == 429


@pytest.mark.parametrize("also_signs_others_out", [False, True])
def test_browser_that_sets_the_new_password_stays_known(user: User, also_signs_others_out: bool) -> None:
    client = Client()
    on_page(EMAIL, client=client)
    new = "a whole new battery"
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    assert client.post("/accounts/password/change/", form).status_code == 302
    if also_signs_others_out:
        client.post(reverse("stepper:sessions-end-others"))
    client.post("/accounts/logout/")
    lock()
    assert is_signed_in(on_page(EMAIL, new, client=client))


def test_forged_device_is_a_stranger(user: User) -> None:
    lock()
    client = Client()
    client.cookies[sign_in.DEVICE_COOKIE] = f'[[{user.pk},"x","y"]]:forged:signature'
    assert on_page(EMAIL, client=client).status_code == 429


def test_device_cookie_is_for_the_server_only(owner: Client) -> None:
    cookie = owner.cookies[sign_in.DEVICE_COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


# Successes


@ways
def test_successes_of_an_account_are_limited(user: User, way: Way, settings: Any) -> None:
    settings.SIGN_INS_PER_ACCOUNT = 2
    assert is_signed_in(way(EMAIL))
    assert is_signed_in(way(PHONE))
    refused = way(EMAIL, **ELSEWHERE)
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60


def test_successes_from_an_address_are_limited(user: User, settings: Any) -> None:
    settings.SIGN_INS_PER_ADDRESS = 1
    person(email="daniyar@example.test")
    assert is_signed_in(over_rest(EMAIL))
    assert over_rest("daniyar@example.test").status_code == 429
    assert is_signed_in(over_rest("daniyar@example.test", **ELSEWHERE))


def test_sign_ups_from_an_address_are_limited(settings: Any) -> None:
    settings.SIGN_UPS_PER_ADDRESS = 1
    new = {"name": "Aigerim", "phone": PHONE, "email": "", "password1": "a long walk home"}
    assert Client().post("/accounts/signup/", new).status_code == 302
    refused = Client().post("/accounts/signup/", {**new, "phone": "+77012345679"})
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert User.objects.count() == 1


# Every way in


def test_administration_signs_nobody_in_by_itself(user: User) -> None:
    staff = person(StaffFactory)
    client = Client()
    guess = {"username": staff.email, "password": PASSWORD}
    assert client.post("/admin/login/", guess)["Location"] == "/accounts/login/?next=/admin/"
    assert client.get("/admin/stepper/user/")["Location"] == "/admin/login/?next=/admin/stepper/user/"
    assert (
        client.get("/admin/login/?next=/admin/stepper/user/")["Location"]
        == "/accounts/login/?next=/admin/stepper/user/"
    )
    assert "_auth_user_id" not in client.session


def test_staff_cannot_try_passwords_at_the_administrations_door(user: User) -> None:
    """Signed-in staff reached its own form, which has no limits."""
    client = Client()
    client.force_login(person(StaffFactory, email="first@example.test"))
    boss = person(StaffFactory, email="boss@example.test")
    assert client.post("/admin/login/", {"username": boss.email, "password": PASSWORD})["Location"] == "/admin/"
    assert client.session["_auth_user_id"] != str(boss.pk)
    client.force_login(user)
    assert client.post("/admin/login/", {"username": boss.email, "password": PASSWORD}).status_code == 403


AGAIN = {
    "/admin/password_change/": lambda old: {
        "old_password": old,
        "new_password1": "a whole new battery",
        "new_password2": "a whole new battery",
    },
    "/accounts/password/change/": lambda old: {
        "oldpassword": old,
        "password1": "a whole new battery",
        "password2": "a whole new battery",
    },
}


@pytest.mark.parametrize("path", AGAIN)
def test_stolen_session_cannot_try_passwords(path: str) -> None:
    staff = person(StaffFactory, email=EMAIL)
    client = Client()
    client.force_login(staff)
    for _attempt in range(5):
        assert client.post(path, AGAIN[path]("wrong")).status_code == 200
    refused = client.post(path, AGAIN[path](PASSWORD))
    assert (refused.status_code, refused["Retry-After"]) == (429, "60")
    assert over_rest(EMAIL).status_code == 429
    assert User.objects.get(pk=staff.pk).check_password(PASSWORD)


@pytest.mark.parametrize("path", AGAIN)
def test_password_is_changed_with_the_old_one(path: str) -> None:
    staff = person(StaffFactory)
    client = Client()
    client.force_login(staff)
    assert client.post(path, AGAIN[path](PASSWORD)).status_code == 302
    assert User.objects.get(pk=staff.pk).check_password("a whole new battery")


# Without counters


@ways
def test_nobody_signs_in_while_the_counters_are_away(user: User, way: Way, settings: Any) -> None:
    # Nobody listens on port 1.
    away = {"BACKEND": "stepper.redis_cache.CountingRedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {"default": away}
    assert way(EMAIL).status_code == 503


# The stored hash


def weaker(password: str) -> str:
    hasher = PBKDF2PasswordHasher()
    return hasher.encode(password, hasher.salt(), 1000)


def test_upgraded_hash_ends_no_session(user: User) -> None:
    User.objects.filter(pk=user.pk).update(password=weaker(PASSWORD))
    before = User.objects.get(pk=user.pk)
    access = open_session(before)["access"]
    browser = Client()
    browser.force_login(before)

    assert is_signed_in(over_rest(EMAIL))

    assert User.objects.get(pk=user.pk).password.startswith("md5")
    assert authenticate_token(access) == user
    assert browser.get("/trips/").status_code == 200


@pytest.mark.parametrize("way", ["save", "update"])
def test_new_password_after_an_upgrade_ends_sessions(user: User, way: str) -> None:
    User.objects.filter(pk=user.pk).update(password=weaker(PASSWORD))
    access = open_session(User.objects.get(pk=user.pk))["access"]
    over_rest(EMAIL)
    if way == "save":
        changed = User.objects.get(pk=user.pk)
        changed.set_password("a whole new battery")
        changed.save()
    else:
        User.objects.filter(pk=user.pk).update(password=make_password("a whole new battery"))
    assert authenticate_token(access) is None


def test_upgrade_does_not_undo_a_new_password(user: User) -> None:
    User.objects.filter(pk=user.pk).update(password=weaker(PASSWORD))
    stale = User.objects.get(pk=user.pk)
    user.set_password("a whole new battery")
    user.save()

    assert stale.check_password(PASSWORD)

    assert User.objects.get(pk=user.pk).check_password("a whole new battery")
    access = open_session(stale)["access"]
    assert authenticate_token(access) is None


def test_password_that_was_changed_meanwhile_is_not_changed_again(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link from a mail used twice at once: both pass the check of the link, one sets its password."""
    link = reverse(
        "account_reset_password_from_key",
        kwargs={"uidb36": user_pk_to_url_str(user), "key": default_token_generator.make_token(user)},
    )
    clients = [Client(), Client()]
    forms = [client.get(link)["Location"] for client in clients]
    hashing = User.set_password

    def overtaken(self: User, password: str | None) -> None:
        monkeypatch.setattr(User, "set_password", hashing)
        second = clients[1].post(forms[1], {"password1": "the second battery", "password2": "the second battery"})
        assert second.status_code == 302
        hashing(self, password)

    monkeypatch.setattr(User, "set_password", overtaken)
    first = clients[0].post(forms[0], {"password1": "the first battery", "password2": "the first battery"}, follow=True)
    assert first.context["token_fail"]
    assert User.objects.get(pk=user.pk).check_password("the second battery")
