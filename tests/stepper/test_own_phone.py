"""One's own number: proving it, proving oneself by it, and changing it; and booking, where staff ask for a proof."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test import Client, override_settings
from django_tasks_db.models import DBTaskResult
from rest_framework.test import APIClient

from stepper.accounts import addresses, confirmation, passwords, phone_changes, phone_codes
from stepper.accounts.phone_process import PhoneCodeProcess
from stepper.accounts.session_store import SessionStore
from stepper.api import tokens
from stepper.errors import InvalidInput, NotPermitted
from stepper.models import AccountSession, SecurityEvent, ServiceSettings, User
from stepper.sms import sending
from stepper.tasks.sealing import unseal
from tests.factories import PASSWORD, PassengerFactory, StaffFactory
from tests.factors import code_at, code_now, give_second_factor
from tests.phones import PHONE, SIGN_IN, last_code, request_from, sign_in, texts, wrong
from tests.rest import BOOKING, as_user
from tests.stepper.test_sessions import age, browser

pytestmark = pytest.mark.django_db

CHANGE, CODE = "/accounts/phone/", "/accounts/phone/code/"
NEW = "+77079876543"
PASSWORD_PAGE = "/accounts/password/change/"
LONG_AGO = 31 * 60


def stored(user: User) -> tuple[str, bool]:
    found = User.objects.get(pk=user.pk)
    return str(found.phone), found.has_verified_phone


def without_password(**fields: object) -> User:
    user = PassengerFactory(phone=PHONE, **fields)
    user.set_unusable_password()
    user.save()
    return user


def mails() -> list[str]:
    """The texts of the mails that wait to be sent, the latest last."""
    rows = DBTaskResult.objects.filter(queue_name="mail").order_by("enqueued_at", "id")
    return [unseal(row.args_kwargs["kwargs"]["sealed"])["body"] for row in rows]


# Changing


def test_number_changes_with_a_code_to_the_new_one_and_the_old_one_is_told() -> None:
    user = PassengerFactory(phone=PHONE)
    client = browser(user)
    assert client.post(CHANGE, {"step": "phone", "phone": "8 707 987 65 43"})["Location"] == CHANGE
    assert stored(user) == (PHONE, True)
    assert [to for to, _text in texts()] == [NEW]
    assert client.post(CHANGE, {"step": "code", "code": last_code(NEW)})["Location"] == "/account/"
    assert stored(user) == (NEW, True)
    to, text = texts()[-1]
    assert to == PHONE
    assert "another phone number" in text
    assert NEW[2:] not in text
    assert SecurityEvent.objects.filter(subject=user, event="phone.changed").count() == 1
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_programs_change_the_number_likewise() -> None:
    user = PassengerFactory(phone=PHONE)
    client = as_user(user)
    sent = client.post("/api/account/phone/code", {"phone": NEW}, format="json")
    assert (sent.status_code, sent.json()["expires_in"]) == (202, 600)
    body = {"request": sent.json()["request"], "code": wrong(last_code(NEW))}
    refused = client.post("/api/account/phone", body, format="json")
    assert (refused.status_code, refused.json()["code"], stored(user)) == (400, "phone.code_wrong", (PHONE, True))
    assert client.post("/api/account/phone", body | {"code": last_code(NEW)}, format="json").status_code == 204
    assert stored(user) == (NEW, True)


def refuse_sms(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """A fault at the moment when an SMS is written."""
    if "INSERT" in sql and DBTaskResult._meta.db_table in sql:
        raise ZeroDivisionError
    return execute(sql, params, many, context)


@pytest.mark.parametrize("change", ["number", "first password", "first e-mail"])
def test_nothing_changes_without_the_note_to_the_phone(change: str) -> None:
    """They are written together: whatever ends a server between the two leaves either both or none."""
    user = PassengerFactory(phone=PHONE) if change == "number" else without_password(email=None)
    client = browser(user)
    client.raise_request_exception = False
    path, form = CHANGE, {"step": "code", "code": ""}
    if change == "number":
        client.post(CHANGE, {"step": "phone", "phone": NEW})
        form["code"] = last_code(NEW)
    elif change == "first password":
        path, form = PASSWORD_PAGE, {"password1": "a whole new battery", "password2": "a whole new battery"}
    else:
        client.post("/account/", {"email": "own@example.test"})
        [path] = re.findall(r"/accounts/e-mail/\S+", mails()[-1])
        form = {}
    with connection.execute_wrapper(refuse_sms):
        assert client.post(path, form).status_code == 500
    now = User.objects.get(pk=user.pk)
    assert (str(now.phone), now.email, now.password) == (PHONE, user.email, user.password)


def test_codes_and_sms_that_wait_do_not_keep_the_note_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ServiceSettings.objects.create(pk=1, sms_per_number_day=1, sms_per_day=2)
    user = PassengerFactory(phone=PHONE)
    client = browser(user)
    # A stranger has used up what the number gets, and the rest of the day.
    sign_in_code = Client().post(SIGN_IN, {"step": "phone", "phone": PHONE})
    assert sign_in_code.status_code == 302
    client.post(CHANGE, {"step": "phone", "phone": NEW})
    assert Client().post(SIGN_IN, {"step": "phone", "phone": "+77010000000"}).status_code == 429
    monkeypatch.setattr(sending, "MOST_WAITING", 1)
    client.post(CHANGE, {"step": "code", "code": last_code(NEW)})
    assert stored(user) == (NEW, True)
    assert texts()[-1][0] == PHONE
    assert "another phone number" in texts()[-1][1]


def test_notes_to_one_number_are_bounded_and_what_is_not_sent_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    # Several changes of a day are told of although one code a day is sent.
    ServiceSettings.objects.create(pk=1, sms_per_number_day=1)
    for phone in (*[PHONE] * 6, NEW):
        phone_codes.tell(phone, "changed", language="en")
    assert texts() == [*[(PHONE, "changed")] * 5, (NEW, "changed")]
    assert [record.getMessage() for record in caplog.records] == [
        "a note of security was not sent: its number got 5 in a day"
    ]
    # Codes are counted apart.
    assert Client().post(SIGN_IN, {"step": "phone", "phone": PHONE}).status_code == 302


@pytest.mark.parametrize("contact", ["", "+77272000000"])
def test_note_sends_to_staff_where_they_can_be_reached(contact: str) -> None:
    ServiceSettings.objects.create(pk=1, support_phone=contact, support_hours="08–22")
    client = browser(PassengerFactory(phone=PHONE))
    client.post(CHANGE, {"step": "phone", "phone": NEW})
    client.post(CHANGE, {"step": "code", "code": last_code(NEW)})
    text = "StepperGO: your account has another phone number now."
    more = " Was it not you? Tell our staff at once: +7 7272 00 00 00 (08–22)"
    assert texts()[-1] == (PHONE, text + (more if contact else ""))


def test_wrong_code_changes_nothing() -> None:
    user = PassengerFactory(phone=PHONE)
    client = browser(user)
    client.post(CHANGE, {"step": "phone", "phone": NEW})
    assert client.post(CHANGE, {"step": "code", "code": wrong(last_code(NEW))}).status_code == 400
    assert stored(user) == (PHONE, True)


@pytest.mark.parametrize("step", ["ask", "enter"])
def test_changing_needs_the_password(step: str) -> None:
    user = PassengerFactory(phone=PHONE)
    client = browser(user)
    if step == "enter":
        client.post(CHANGE, {"step": "phone", "phone": NEW})
    age(client, LONG_AGO)
    form = {"step": "phone", "phone": NEW} if step == "ask" else {"step": "code", "code": last_code(NEW)}
    assert client.post(CHANGE, form)["Location"].startswith("/accounts/confirm/?next=")
    assert client.get(CHANGE)["Location"].startswith("/accounts/confirm/?next=")
    assert stored(user) == (PHONE, True)
    assert len(texts()) == (0 if step == "ask" else 1)


def test_verbs_ask_for_the_proof_themselves() -> None:
    user = PassengerFactory(phone=PHONE)
    client = browser(user)
    request, session = request_from(), client.session
    sent = phone_changes.request_change(request, user, session, NEW)
    session[confirmation.CONFIRMED_AT] -= LONG_AGO
    verbs: list[Callable[[], object]] = [
        lambda: phone_changes.request_change(request, user, session, NEW),
        lambda: phone_changes.confirm_change(user, session, sent.token, last_code(NEW)),
        lambda: phone_changes.send_own_code(request, user, session),
        lambda: phone_changes.confirm_own(request, user, session, sent.token, last_code(NEW)),
    ]
    for verb in verbs:
        with pytest.raises(confirmation.ConfirmationRequired):
            verb()
    assert stored(user) == (PHONE, True)


def test_without_a_password_a_fresh_code_to_the_old_number_is_needed() -> None:
    user = without_password()
    client = browser(user)
    age(client, LONG_AGO)
    asked = client.get(CHANGE)
    assert asked["Location"].startswith("/accounts/confirm/?next=")
    form = client.get(client.get(asked["Location"])["Location"])
    assert form.context["next"] == CHANGE
    client.post(CODE, {"step": "send", "next": CHANGE})
    assert client.post(CODE, {"step": "code", "code": wrong(last_code())}).status_code == 400
    assert client.get(CHANGE).status_code == 302
    assert client.post(CODE, {"step": "code", "code": last_code()})["Location"] == CHANGE
    assert client.post(CHANGE, {"step": "phone", "phone": NEW})["Location"] == CHANGE
    client.post(CHANGE, {"step": "code", "code": last_code(NEW)})
    assert stored(user) == (NEW, True)


def test_number_that_nobody_has_proved_is_told_nothing() -> None:
    user = PassengerFactory(phone="+14155550123", phone_verified_at=None)
    client = browser(user)
    client.post(CHANGE, {"step": "phone", "phone": NEW})
    client.post(CHANGE, {"step": "code", "code": last_code(NEW)})
    assert stored(user) == (NEW, True)
    assert {phone for phone, _text in texts()} == {NEW}


def test_code_to_the_new_number_is_no_code_to_the_old_one() -> None:
    user = without_password()
    client = browser(user)
    client.post(CHANGE, {"step": "phone", "phone": NEW})
    age(client, LONG_AGO)
    assert client.post(CODE, {"step": "code", "code": last_code(NEW)}).status_code == 200
    assert client.post(CHANGE, {"step": "code", "code": last_code(NEW)}).status_code == 302
    assert stored(user) == (PHONE, True)


def test_taken_number_is_not_told_before_its_owner_entered_the_code() -> None:
    user, other = PassengerFactory(phone=PHONE), PassengerFactory(phone=NEW)
    client = browser(user)
    assert client.post(CHANGE, {"step": "phone", "phone": NEW})["Location"] == CHANGE
    refused = client.post(CHANGE, {"step": "code", "code": last_code(NEW)})
    assert refused.status_code == 400
    assert "Another account has this number" in refused.content.decode()
    assert (stored(user), stored(other)) == ((PHONE, True), (NEW, True))


@pytest.mark.parametrize("phone", [PHONE, "123", "+14155552671"])
def test_number_that_cannot_be_ones_new_one_gets_no_code(phone: str) -> None:
    client = browser(PassengerFactory(phone=PHONE))
    page = client.post(CHANGE, {"step": "phone", "phone": phone})
    assert page.status_code == 400
    assert "field__error" in page.content.decode()
    assert texts() == []


def test_account_without_a_number_gets_one() -> None:
    user = PassengerFactory(phone=None)
    client = browser(user)
    assert client.get(CODE)["Location"] == CHANGE
    client.post(CHANGE, {"step": "phone", "phone": NEW})
    client.post(CHANGE, {"step": "code", "code": last_code(NEW)})
    assert stored(user) == (NEW, True)
    assert [to for to, _text in texts()] == [NEW]


def test_limits_are_those_of_signing_in() -> None:
    ServiceSettings.objects.create(pk=1, sms_per_number_day=1, wrong_codes_per_day=1)
    client = browser(PassengerFactory(phone=PHONE))
    client.post(CHANGE, {"step": "phone", "phone": NEW})
    cache.clear()
    refused = client.post(CHANGE, {"step": "phone", "phone": NEW})
    assert (refused.status_code, "Retry-After" in refused) == (429, True)
    client.post(CHANGE, {"step": "code", "code": wrong(last_code(NEW))})
    assert client.post(CHANGE, {"step": "code", "code": last_code(NEW)}).status_code == 429


def test_staff_change_numbers_in_the_administration_still() -> None:
    user, staff = PassengerFactory(phone=PHONE), StaffFactory()
    client = browser(staff)
    url = f"/admin/stepper/user/{user.pk}/change/"
    form = client.get(url).context["adminform"].form
    data = {name: value for name, value in form.initial.items() if value not in (None, [])}
    assert client.post(url, {**data, "phone": NEW, "groups": [], "user_permissions": []}).status_code == 302
    assert stored(user) == (NEW, False)


# Proving


def test_who_proves_password_and_number_keeps_everything() -> None:
    user = PassengerFactory(phone=PHONE, phone_verified_at=None)
    client, other = browser(user), browser(user)
    assert CODE in client.get("/account/").content.decode()
    client.post(CODE, {"step": "send", "next": "/trips/new/"})
    assert client.post(CODE, {"step": "code", "code": last_code()})["Location"] == "/trips/new/"
    assert stored(user) == (PHONE, True)
    user.refresh_from_db()
    assert user.check_password(PASSWORD)
    assert user.email is not None
    assert other.get("/trips/").status_code == 200


def program_of(user: User, *, confirmed_s_ago: int = 0) -> APIClient:
    """A program with tokens of its own, whose user confirmed themselves so long ago."""
    program = APIClient()
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.sign_in(user)['access']}")
    key = AccountSession.objects.get(user=user, is_program=True).session_id
    session = SessionStore(key)
    session[confirmation.CONFIRMED_AT] = int(time.time()) - confirmed_s_ago
    session.save()
    return program


def prove_by_program(program: APIClient, change: Callable[[str], str] = str, **more: str) -> tuple[int, str]:
    """Have a code sent to the account's own number and send it back; return the last answer's status and code."""
    asked = program.post("/api/account/phone/own/code")
    if asked.status_code != 202:
        return asked.status_code, asked.json()["code"]
    assert asked.json()["expires_in"] == 600
    body = {"request": asked.json()["request"], "code": change(last_code()), **more}
    answer = program.post("/api/account/phone/own", body, format="json")
    return answer.status_code, answer.json()["code"] if answer.content else ""


def test_program_with_a_password_proves_the_number_and_keeps_everything() -> None:
    demand()
    user = PassengerFactory(phone=PHONE, phone_verified_at=None)
    program, other = program_of(user), browser(user)
    assert program.post("/api/trips", BOOKING, format="json").json()["code"] == "phone.unverified"
    assert prove_by_program(program, wrong)[1] == "phone.code_wrong"
    assert stored(user) == (PHONE, False)
    assert prove_by_program(program) == (204, "")
    assert stored(user) == (PHONE, True)
    kept = User.objects.get(pk=user.pk)
    assert (kept.email, kept.check_password(PASSWORD)) == (user.email, True)
    assert other.get("/trips/").status_code == 200
    assert program.post("/api/trips", BOOKING, format="json").status_code == 201


def test_program_enters_the_password_once_more_where_that_is_long_ago() -> None:
    user = PassengerFactory(phone=PHONE, phone_verified_at=None)
    program = program_of(user, confirmed_s_ago=LONG_AGO)
    assert prove_by_program(program) == (403, "auth.confirmation_required")
    assert texts() == []
    assert program.post("/api/token/confirm", {"password": PASSWORD}, format="json").status_code == 204
    assert prove_by_program(program) == (204, "")


def test_program_without_a_password_is_confirmed_by_the_code() -> None:
    user = without_password()
    program, other = program_of(user, confirmed_s_ago=LONG_AGO), browser(user)
    assert program.post("/api/sessions/end-others").json()["code"] == "auth.confirmation_required"
    assert prove_by_program(program) == (204, "")
    assert program.post("/api/sessions/end-others").status_code == 204
    assert other.get("/account/").status_code == 302


def test_program_without_a_password_ends_what_was_before_the_first_proof_but_itself() -> None:
    user = without_password(phone_verified_at=None, email="x@example.test")
    program, other = program_of(user), browser(user)
    assert prove_by_program(program) == (204, "")
    assert (stored(user), User.objects.get(pk=user.pk).email) == ((PHONE, True), None)
    assert other.get("/account/").status_code == 302
    assert program.get("/api/me").status_code == 200


def test_program_sends_the_second_factor_beside_the_code() -> None:
    user = without_password()
    give_second_factor(user)
    program = program_of(user)
    assert prove_by_program(program) == (400, "auth.code_required")
    assert prove_by_program(program, second_factor="000000") == (400, "auth.code_invalid")
    assert prove_by_program(program, second_factor=code_now()) == (204, "")


def test_program_reads_what_is_wrong_by_the_name_that_it_sent() -> None:
    user = without_password()
    give_second_factor(user)
    program = program_of(user)
    sent = program.post("/api/account/phone/own/code").json()
    answer = program.post("/api/account/phone/own", {"request": sent["request"], "code": last_code()}, format="json")
    assert answer.json()["fields"].keys() == {"second_factor"}


def test_program_without_a_number_or_of_staff_proves_nothing() -> None:
    assert prove_by_program(program_of(PassengerFactory(phone=None))) == (403, "phone.missing")
    staff = StaffFactory(phone=PHONE)
    staff.set_unusable_password()
    staff.save()
    assert prove_by_program(program_of(staff)) == (403, "auth.no_password")
    assert texts() == []


def test_programs_proof_has_the_limits_of_all_codes() -> None:
    ServiceSettings.objects.create(pk=1, sms_per_number_day=2, wrong_codes_per_day=1)
    program = program_of(PassengerFactory(phone=PHONE, phone_verified_at=None))
    asked = program.post("/api/account/phone/own/code").json()["request"]
    for code, refused in ((wrong(last_code()), "phone.code_wrong"), (last_code(), "phone.too_many_wrong_codes")):
        answer = program.post("/api/account/phone/own", {"request": asked, "code": code}, format="json")
        assert answer.json()["code"] == refused
    assert program.post("/api/account/phone/own/code").status_code == 202
    refused_answer = program.post("/api/account/phone/own/code")
    assert (refused_answer.status_code, refused_answer.json()["code"]) == (429, "sms.number_limit")
    assert 0 < int(refused_answer["Retry-After"]) <= 24 * 3600


def test_proving_the_number_alone_needs_the_password_where_there_is_one() -> None:
    user = PassengerFactory(phone=PHONE, phone_verified_at=None)
    client = browser(user)
    client.post(CODE, {"step": "send"})
    age(client, LONG_AGO)
    assert client.post(CODE, {"step": "code", "code": last_code()})["Location"].startswith("/accounts/confirm/")
    assert stored(user) == (PHONE, False)


def test_who_has_no_password_proves_the_number_and_ends_what_was_before() -> None:
    user = without_password(phone_verified_at=None, email="x@example.test")
    client, other = browser(user), browser(user)
    age(client, LONG_AGO)
    client.post(CODE, {"step": "send"})
    assert client.post(CODE, {"step": "code", "code": last_code()}).status_code == 302
    assert stored(user) == (PHONE, True)
    assert client.get("/account/").status_code == 200
    assert other.get("/account/").status_code == 302
    assert User.objects.get(pk=user.pk).email is None


def test_sign_in_by_code_confirms_who_has_no_password() -> None:
    user = without_password()
    client = Client()
    sign_in(client)
    assert confirmation.is_confirmed(client.session, user)
    assert client.post("/accounts/sessions/end-others/")["Location"] == "/accounts/sessions/"
    age(client, LONG_AGO)
    assert not confirmation.is_confirmed(client.session, user)


@pytest.mark.parametrize("kind", ["page", "program"])
def test_sign_in_by_code_does_not_replace_the_password_of_who_has_one(kind: str) -> None:
    user = PassengerFactory(phone=PHONE)
    if kind == "page":
        client = Client()
        sign_in(client)
        assert client.get(CHANGE)["Location"].startswith("/accounts/confirm/?next=")
        client.post("/accounts/confirm/", {"password": PASSWORD, "next": CHANGE})
        assert client.get(CHANGE).status_code == 200
        return
    program = APIClient()
    asked = program.post("/api/phone/code", {"phone": PHONE}, format="json").json()["request"]
    body = {"phone": PHONE, "request": asked, "code": last_code()}
    access = program.post("/api/token", body, format="json").json()["access"]
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    answer = program.post("/api/sessions/end-others")
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.confirmation_required")
    assert user.check_password(PASSWORD)


def test_staff_without_a_password_prove_nothing_by_code() -> None:
    staff = StaffFactory(phone=PHONE)
    staff.set_unusable_password()
    staff.save()
    client = browser(staff)
    assert not confirmation.is_confirmed(client.session, staff)
    assert client.post(CODE, {"step": "send"})["Location"].startswith("/accounts/confirm/")
    assert texts() == []


# Booking


def demand() -> None:
    ServiceSettings.objects.create(pk=1, phones_verified_to_book=True)


def book(user: User) -> tuple[int, str]:
    answer = as_user(user).post("/api/trips", BOOKING, format="json")
    return answer.status_code, answer.json().get("code", "")


@pytest.mark.parametrize("fields", [{"phone_verified_at": None}, {"phone": None}])
def test_unverified_number_cannot_book_where_staff_ask_for_it(fields: dict[str, None]) -> None:
    demand()
    assert book(PassengerFactory(**fields)) == (403, "phone.unverified")


def test_verified_number_can_book_and_so_can_staff() -> None:
    demand()
    assert book(PassengerFactory()) == (201, "")
    assert book(StaffFactory(phone_verified_at=None)) == (201, "")


def test_switch_is_off_by_default_and_without_a_provider() -> None:
    assert book(PassengerFactory(phone_verified_at=None)) == (201, "")
    demand()
    with override_settings(SMS_PROVIDER=None):
        assert book(PassengerFactory(phone_verified_at=None)) == (201, "")


def test_page_leads_to_the_proof() -> None:
    demand()
    client = browser(PassengerFactory(phone_verified_at=None))
    form = client.get("/book/").context["form"]
    places = {"pickup_name": "Hotel", "pickup_lat": "43.2451", "pickup_lng": "76.9577"}
    places |= {"dropoff_name": "Airport", "dropoff_lat": "43.3521", "dropoff_lng": "77.0405"}
    data = {name: field.initial for name, field in form.fields.items() if field.initial is not None}
    page = client.post("/book/", {**data, "seats": 1, "vehicle_class": "sedan", "bags": 0, **places})
    assert page.status_code in {403, 422}
    text = page.content.decode()
    assert "Confirm your phone number first" in text
    assert f'href="{CODE}"' in text


def test_answer_to_programs_has_no_link() -> None:
    demand()
    answer = APIClient()
    answer.force_authenticate(PassengerFactory(phone_verified_at=None))
    assert "href" not in answer.post("/api/trips", BOOKING, format="json").content.decode()


# What an account made by phone gets by it


def account_made_by_phone(**fields: object) -> tuple[User, Client]:
    user = without_password(email=None, **fields)
    client = browser(user)
    age(client, LONG_AGO)
    return user, client


def confirm_by_code(client: Client, back: str = "/account/", **more: object) -> Any:
    client.post(CODE, {"step": "send", "next": back})
    return client.post(CODE, {"step": "code", "code": last_code(), **more})


def events_of(user: User) -> list[str]:
    return list(SecurityEvent.objects.filter(subject=user).order_by("pk").values_list("event", flat=True))


def test_account_made_by_phone_sets_a_password_after_a_code_and_the_phone_is_told() -> None:
    user, client = account_made_by_phone()
    other = browser(user)
    page = client.get("/account/").content.decode()
    assert "Set a password" in page
    assert "Change password" not in page
    new = {"password1": "a whole new battery", "password2": "a whole new battery"}
    assert client.post(PASSWORD_PAGE, new)["Location"].startswith("/accounts/confirm/?next=")
    assert confirm_by_code(client, PASSWORD_PAGE)["Location"] == PASSWORD_PAGE
    assert client.post(PASSWORD_PAGE, {"password1": "1234", "password2": "1234"}).status_code == 422
    assert client.post(PASSWORD_PAGE, new)["Location"] == "/account/"
    user.refresh_from_db()
    assert user.check_password(new["password1"])
    assert client.get("/account/").status_code == 200
    assert other.get("/account/").status_code == 302
    assert "has a password now" in texts()[-1][1]
    assert {"phone.confirmed", "password.changed"} <= set(events_of(user))
    # From now on the password is what is asked for.
    age(client, LONG_AGO)
    assert client.get(CHANGE)["Location"].startswith("/accounts/confirm/?next=")
    assert client.post(CODE, {"step": "send"})["Location"].startswith("/accounts/confirm/?next=")


def test_account_made_by_phone_gets_an_address_after_a_code_and_the_phone_is_told(
    django_capture_on_commit_callbacks: Any,
) -> None:
    user, client = account_made_by_phone()
    assert 'data-testid="email-add"' in client.get("/account/").content.decode()
    assert client.post("/account/", {"email": "own@example.test"})["Location"].startswith("/accounts/confirm/?next=")
    confirm_by_code(client)
    assert 'name="proof"' not in client.get("/account/").content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post("/account/", {"email": "own@example.test"}).status_code == 302
    assert User.objects.filter(pk=user.pk, email=None).exists()
    [url] = re.findall(r"/accounts/e-mail/\S+", str(mail.outbox[-1].body))
    client.post(url)
    user.refresh_from_db()
    assert user.email == "own@example.test"
    assert "has an e-mail now" in texts()[-1][1]
    # An address that is there is changed by a code sent to it, not by SMS.
    assert addresses.proof_of(user) is addresses.Proof.CODE


def test_account_made_by_phone_sets_up_two_steps_and_needs_both_codes_then() -> None:
    _user, client = account_made_by_phone()
    set_up = "/accounts/two-step/set-up/"
    assert client.get(set_up)["Location"].startswith("/accounts/confirm/?next=")
    confirm_by_code(client, set_up)
    secret = client.get(set_up).context["offered"].secret
    at = time.time()
    assert client.post(set_up, {"code": code_at(at, secret)}).status_code == 200
    age(client, LONG_AGO)
    for second in ({}, {"second_code": "000000"}):
        assert confirm_by_code(client, **second).status_code in (400, 422)
        assert client.get("/account/export/")["Location"].startswith("/accounts/confirm/?next=")
    assert confirm_by_code(client, second_code=code_at(at + 30, secret))["Location"] == "/account/"
    assert client.get("/account/export/").status_code == 200


@pytest.mark.parametrize("kind", ["staff", "superuser", "unproven", "other-number"])
def test_code_by_sms_confirms_neither_staff_nor_an_unproven_number(kind: str) -> None:
    user, client = account_made_by_phone()
    client.post(CODE, {"step": "send", "next": "/account/"})
    changes: dict[str, object] = {
        "staff": {"is_staff": True},
        "superuser": {"is_superuser": True},
        "unproven": {"phone_verified_at": None},
        "other-number": {"phone": NEW, "phone_verified_at": None},
    }[kind]  # type: ignore[assignment]
    session = client.session
    if kind == "unproven":
        # A recent sign-in alone is no proof of a number that nobody has proved.
        confirmation.note_confirmed(session)
        session.save()
    else:
        process = PhoneCodeProcess.resume(session, "own")
        assert process is not None
        read_before = User.objects.get(pk=user.pk)
        User.objects.filter(pk=user.pk).update(**changes)
        if kind != "other-number":
            read_before.refresh_from_db()
        with pytest.raises(InvalidInput if kind == "other-number" else NotPermitted):
            phone_changes.confirm_own(request_from(), read_before, session, process.token, last_code())
    User.objects.filter(pk=user.pk).update(**changes)
    user.refresh_from_db()
    with pytest.raises(NotPermitted):
        confirmation.require_confirmed(session, user)
    with pytest.raises(NotPermitted):
        passwords.set_first(user, session, "a whole new battery")
    user.refresh_from_db()
    assert not user.has_usable_password()
    if kind in ("staff", "superuser"):
        assert addresses.proof_of(user) is addresses.Proof.NONE
