"""Signing in and up with a code by SMS: one page for everybody, the same until the code is right; and over REST."""

import datetime as dt
import re

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from stepper.accounts.sign_in import DEVICE_COOKIE
from stepper.models import SecurityEvent, User
from tests.factories import PASSWORD, PassengerFactory, StaffFactory
from tests.factors import code_now, give_second_factor
from tests.phones import PHONE, SIGN_IN, SPELLINGS, ask, enter, last_code, sign_in, texts, wrong

pytestmark = pytest.mark.django_db


def who(client: Client) -> int | None:
    found = client.session.get("_auth_user_id")
    return int(found) if found is not None else None


def code_for(client: APIClient, phone: str = PHONE) -> dict[str, str]:
    answer = client.post("/api/phone/code", {"phone": phone}, format="json")
    assert answer.status_code == 202
    assert answer.json()["expires_in"] == 600
    return {"phone": phone, "request": answer.json()["request"], "code": last_code()}


def token(client: APIClient, body: dict[str, str]) -> tuple[int, str]:
    answer = client.post("/api/token", body, format="json")
    return answer.status_code, answer.json().get("code", "")


# Pages


def test_stranger_gets_an_account_with_number_code_and_name() -> None:
    client = Client()
    assert ask(client, SPELLINGS[1], next="/trips/new/")["Location"] == SIGN_IN
    assert 'data-testid="code-input"' in client.get(SIGN_IN).content.decode()
    assert enter(client, f"{last_code()[:3]} {last_code()[3:]}")["Location"] == SIGN_IN
    assert 'data-testid="name-input"' in client.get(SIGN_IN).content.decode()
    assert not User.objects.filter(phone=PHONE).exists()
    done = client.post(SIGN_IN, {"step": "name", "name": "  Asel   Omarova "})
    assert done["Location"] == "/trips/new/"
    user = User.objects.get(phone=PHONE)
    assert (user.name, user.email, user.has_verified_phone, user.has_usable_password()) == (
        "Asel Omarova",
        None,
        True,
        False,
    )
    assert who(client) == user.pk
    events = set(SecurityEvent.objects.filter(subject=user).values_list("event", flat=True))
    assert {"account.created", "sign_in.succeeded"} <= events


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_owner_signs_in_however_the_number_is_typed(spelling: str) -> None:
    user = PassengerFactory(phone=PHONE)
    client = Client()
    ask(client, spelling)
    assert enter(client, last_code()).status_code == 302
    assert who(client) == user.pk
    user.refresh_from_db()
    assert user.has_usable_password()
    assert user.email is not None


def test_page_is_the_same_for_known_and_unknown_numbers(django_assert_num_queries) -> None:
    """The same words, and as many statements: nothing is looked up."""
    PassengerFactory(phone=PHONE)
    StaffFactory(phone="+77471234568")
    # The first one of a day makes the counts of network and total.
    ask(Client(), "+77471234560")
    answers = []
    for phone in (PHONE, "+77471234568", "+77471234569"):
        client = Client()
        with django_assert_num_queries(21) as counted:
            answer = ask(client, phone)
        page = re.sub(
            r'name="csrfmiddlewaretoken" value="\w+"|hx-headers=\S+ \S+', "", client.get(SIGN_IN).content.decode()
        )
        page = re.sub(
            r'data-now="[^"]*"|data-expires-at="[^"]*"|data-server-time="[^"]*"', "", page.replace(phone, "PHONE")
        )
        answers.append((answer.status_code, answer["Location"], len(counted.captured_queries), page))
    assert answers[0][:3] == answers[1][:3] == answers[2][:3]
    assert answers[0][3] == answers[1][3] == answers[2][3]
    assert [to for to, _text in texts()[1:]] == [PHONE, "+77471234568", "+77471234569"]


def test_wrong_code_says_the_same_for_known_and_unknown_numbers() -> None:
    PassengerFactory(phone=PHONE)
    answers = []
    for phone in (PHONE, "+77471234569"):
        client = Client()
        ask(client, phone)
        page = enter(client, wrong(last_code(phone)))
        answers.append((page.status_code, "This code is wrong" in page.content.decode()))
    assert answers == [(400, True), (400, True)]


@pytest.mark.parametrize("code", ["12345", "1234567", "abcdef", "１２３４５６", ""])
def test_what_is_no_code_is_not_counted(code: str) -> None:
    client = Client()
    ask(client)
    assert enter(client, code).status_code == 422
    assert not SecurityEvent.objects.filter(event="sign_in.failed").exists()


@pytest.mark.parametrize("phone", ["", "123", "not a number"])
def test_what_is_no_number_gets_no_code(phone: str) -> None:
    page = ask(Client(), phone)
    assert page.status_code in {400, 422}
    assert "field__error" in page.content.decode()
    assert texts() == []


def test_another_code_can_be_asked_for_and_another_number_entered() -> None:
    PassengerFactory(phone=PHONE)
    client = Client()
    ask(client, next="/trips/new/")
    first = last_code()
    client.post(SIGN_IN, {"step": "again"})
    assert len(texts()) == 2
    if first != last_code():
        assert enter(client, first).status_code == 400
    assert enter(client, last_code())["Location"] == "/trips/new/"
    other = Client()
    ask(other)
    other.post(SIGN_IN, {"step": "other"})
    assert 'data-testid="phone-input"' in other.get(SIGN_IN).content.decode()


def test_code_works_in_no_other_session() -> None:
    PassengerFactory(phone=PHONE)
    mine, theirs = Client(), Client()
    ask(mine)
    code = last_code()
    ask(theirs)
    if code != last_code():
        assert enter(theirs, code).status_code == 400
    assert enter(Client(), code).status_code == 200
    assert enter(mine, code).status_code == 302


def test_name_without_a_code_makes_no_account() -> None:
    client = Client()
    ask(client)
    client.post(SIGN_IN, {"step": "name", "name": "Asel"})
    assert not User.objects.filter(phone=PHONE).exists()


def test_account_made_meanwhile_is_signed_in_to() -> None:
    client = Client()
    ask(client)
    enter(client, last_code())
    user = PassengerFactory(phone=PHONE, name="Asel")
    client.post(SIGN_IN, {"step": "name", "name": "Somebody"})
    assert who(client) == user.pk
    user.refresh_from_db()
    assert user.name == "Asel"


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_way_back_is_ours(wanted: str) -> None:
    PassengerFactory(phone=PHONE)
    client = Client()
    ask(client, next=wanted)
    assert enter(client, last_code())["Location"] == "/"


@pytest.mark.parametrize("is_verified", [True, False])
@pytest.mark.parametrize(
    "rights", [{"is_staff": True, "is_superuser": False}, {"is_staff": False, "is_superuser": True}]
)
def test_staff_do_not_sign_in_by_sms(rights: dict[str, bool], is_verified: bool) -> None:
    more = {} if is_verified else {"phone_verified_at": None}
    staff = StaffFactory(phone=PHONE, **rights, **more)
    client, program = Client(), APIClient()
    ask(client)
    page = enter(client, last_code())
    assert page["Location"] == "/accounts/login/"
    assert "not by SMS" in client.get(page["Location"]).content.decode()
    assert who(client) is None
    assert token(program, code_for(program)) == (403, "auth.staff_by_password")
    staff.refresh_from_db()
    assert staff.check_password(PASSWORD)
    assert (staff.email is not None, staff.has_verified_phone) == (True, is_verified)
    assert SecurityEvent.objects.filter(subject=staff, event="sign_in.failed").exists()


@pytest.mark.parametrize("more", [{}, {"phone_verified_at": None}])
def test_deactivated_account_is_not_opened(more) -> None:
    user = PassengerFactory(phone=PHONE, is_active=False, **more)
    client, program = Client(), APIClient()
    assert sign_in(client)["Location"] == "/accounts/inactive/"
    assert who(client) is None
    assert token(program, code_for(program)) == (401, "auth.invalid_credentials")
    user.refresh_from_db()
    assert user.has_usable_password()


def test_second_factor_of_a_verified_account_is_asked_for() -> None:
    user = PassengerFactory(phone=PHONE)
    give_second_factor(user)
    client, program = Client(), APIClient()
    assert sign_in(client)["Location"] == "/accounts/login/second-step/"
    assert who(client) is None
    assert client.post("/accounts/login/second-step/", {"code": code_now()}).status_code == 302
    assert who(client) == user.pk
    body = code_for(program)
    assert token(program, body) == (401, "auth.code_required")
    assert token(program, {**body, "second_factor": "000000"}) == (401, "auth.code_invalid")
    assert token(program, {**body, "second_factor": code_now(steps=1)}) == (200, "")


def test_browser_is_remembered_as_after_a_password() -> None:
    PassengerFactory(phone=PHONE)
    client = Client()
    sign_in(client)
    assert DEVICE_COOKIE in client.cookies


def test_session_has_neither_code_nor_number_of_digits() -> None:
    client = Client()
    ask(client)
    assert last_code() not in str(dict(client.session))


@pytest.mark.parametrize("path", ["/accounts/login/", "/accounts/signup/"])
def test_password_pages_stay_and_lead_to_the_code(path: str) -> None:
    page = Client().get(f"{path}?next=/trips/new/").content.decode()
    assert f'href="{SIGN_IN}?next=/trips/new/"' in page
    assert "password" in page


def test_who_is_signed_in_is_led_back() -> None:
    client = Client()
    client.force_login(PassengerFactory())
    assert client.get(SIGN_IN)["Location"] == "/"


# REST


def test_program_signs_in_with_a_code() -> None:
    user = PassengerFactory(phone=PHONE)
    program = APIClient()
    answer = program.post("/api/token", code_for(program), format="json")
    assert set(answer.json()) == {"access", "refresh", "expires_in"}
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['access']}")
    assert program.get("/api/me").json()["id"] == user.pk


def test_program_makes_an_account_with_a_name() -> None:
    program = APIClient()
    body = code_for(program)
    assert token(program, body) == (400, "auth.name_required")
    assert token(program, {**body, "name": "Asel"}) == (200, "")
    assert token(program, {**body, "name": "Asel"}) == (400, "phone.code_ended")
    assert User.objects.get(phone=PHONE).has_verified_phone


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"code": "wrong"}, 400, "phone.code_wrong"),
        ({"request": "x"}, 400, "phone.code_ended"),
        ({"phone": "+77471234568"}, 400, "phone.code_ended"),
        ({"phone": "123"}, 400, "input.invalid"),
        ({"password": PASSWORD}, 400, "input.invalid"),
        ({"code": None}, 400, "input.invalid"),
        ({"email": "a@example.test"}, 400, "input.invalid"),
    ],
)
def test_program_with_something_wrong_gets_no_token(changes: dict[str, str | None], status: int, code: str) -> None:
    PassengerFactory(phone=PHONE)
    PassengerFactory(phone="+77471234568")
    program = APIClient()
    body = code_for(program)
    if changes.get("code") == "wrong":
        changes = {"code": wrong(body["code"])}
    sent = {name: value for name, value in {**body, **changes}.items() if value is not None}
    assert token(program, sent) == (status, code)


def test_program_without_password_and_request_is_told_what_is_missing() -> None:
    answer = APIClient().post("/api/token", {"phone": PHONE, "code": "123456"}, format="json")
    assert (answer.status_code, set(answer.json()["fields"])) == (400, {"password"})


def test_page_says_when_another_code_can_be_sent_and_shows_how_numbers_are_written() -> None:
    client = Client()
    for page in ("/accounts/signup/", SIGN_IN):
        assert 'placeholder="+7 701 234 56 78"' in client.get(page).content.decode()
    before = timezone.now()
    ask(client)
    html = client.get(SIGN_IN).content.decode()
    found = re.search(r'class="again" data-expires-at="([^"]+)".*data-countdown.*value="again"', html, re.DOTALL)
    assert found
    wait = dt.datetime.fromisoformat(found[1]) - before
    assert dt.timedelta(seconds=29) < wait < dt.timedelta(seconds=60)
