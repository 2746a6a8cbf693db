"""Codes by SMS: their limits over sessions, spellings, networks and restarts; compared once, for who asked, in time."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client, override_settings
from rest_framework.test import APIClient

from stepper.accounts import phone_codes
from stepper.errors import Conflict, InvalidInput, TooManyRequests
from stepper.models import DayCount, PhoneCode, PhonePurpose, SecurityEvent, ServiceSettings, User
from tests.factories import PassengerFactory
from tests.live import LiveServer
from tests.phones import PHONE, SIGN_IN, SPELLINGS, ask, enter, last_code, request_from, texts, wrong
from tests.sms_service import sms_service

pytestmark = pytest.mark.django_db


def send(phone: str = PHONE, address: str = "203.0.113.7") -> phone_codes.Sent:
    return phone_codes.send(request_from(address), phone, PhonePurpose.SIGN_IN)


def check(sent: phone_codes.Sent, code: str) -> str:
    return phone_codes.check(sent.token, code, PhonePurpose.SIGN_IN)


def refused_code(call: Callable[[], Any]) -> str:
    with pytest.raises((InvalidInput, TooManyRequests)) as error:
        call()
    return error.value.code


def choose(**values: Any) -> None:
    """Change settings, as staff do."""
    ServiceSettings.objects.update_or_create(pk=1, defaults=values)


def numbers(count: int) -> list[str]:
    return [f"+7747765{number:04}" for number in range(count)]


# Sending


@pytest.mark.parametrize("between", ["nothing", "the cache is emptied"])
def test_five_sms_a_day_to_one_number_however_typed_and_from_wherever(between: str) -> None:
    for number, spelling in enumerate(SPELLINGS):
        assert ask(Client(REMOTE_ADDR=f"203.0.113.{number}"), spelling).status_code == 302
    assert {to for to, _text in texts()} == {PHONE}
    if between != "nothing":
        cache.clear()
    page = ask(Client(REMOTE_ADDR="198.51.100.1"), SPELLINGS[1])
    assert page.status_code == 429
    assert 0 < int(page["Retry-After"]) <= 24 * 3600
    program = APIClient(REMOTE_ADDR="198.51.100.2").post("/api/phone/code", {"phone": SPELLINGS[0]}, format="json")
    assert (program.status_code, program.json()["code"]) == (429, "sms.number_limit")
    assert len(texts()) == 5


def test_twenty_sms_a_day_for_one_network() -> None:
    for phone in numbers(20):
        send(phone, "203.0.113.7")
    assert refused_code(lambda: send(PHONE, "203.0.113.7")) == "sms.network_limit"
    send(PHONE, "203.0.113.8")


def test_network_of_ipv6_is_counted_as_one() -> None:
    ServiceSettings.objects.create(pk=1, sms_per_network_day=1)
    send(PHONE, "2001:db8:1:2::1")
    assert refused_code(lambda: send(numbers(1)[0], "2001:db8:1:2::ffff")) == "sms.network_limit"


def test_total_of_a_day() -> None:
    ServiceSettings.objects.create(pk=1, sms_per_day=3)
    for number, phone in enumerate(numbers(3)):
        send(phone, f"203.0.113.{number}")
    assert refused_code(lambda: send(PHONE, "198.51.100.1")) == "sms.daily_limit"


def test_what_is_refused_counts_for_nobody_else() -> None:
    for _time in range(5):
        send()
    before = sorted(DayCount.objects.values_list("name", "number"))
    assert refused_code(send) == "sms.number_limit"
    assert sorted(DayCount.objects.values_list("name", "number")) == before


def test_limit_ends_with_the_day() -> None:
    for _time in range(5):
        send()
    DayCount.objects.update(closes_at=phone_codes.database_now())
    send()


@pytest.mark.parametrize(
    ("phone", "code"), [("+14155552671", "phone.country_refused"), ("+447911123456", "phone.country_refused")]
)
def test_other_countries_get_no_sms(phone: str, code: str) -> None:
    assert refused_code(lambda: send(phone)) == code
    assert texts() == []
    assert DayCount.objects.count() == 0


def test_staff_choose_the_countries() -> None:
    ServiceSettings.objects.create(pk=1, sms_country_codes="+1")
    send("+14155552671")
    assert refused_code(send) == "phone.country_refused"


@override_settings(SMS_PROVIDER=None)
def test_without_a_provider_nothing_is_offered() -> None:
    with pytest.raises(Conflict) as error:
        send()
    assert error.value.code == "phone.not_offered"
    client = Client()
    assert client.get(SIGN_IN).status_code == ask(client).status_code == 404
    for path in ("/accounts/login/", "/accounts/signup/"):
        assert SIGN_IN not in client.get(path).content.decode()
    client.force_login(PassengerFactory())
    assert "/accounts/phone/" not in client.get("/account/").content.decode()
    assert client.get("/accounts/phone/").status_code == client.get("/accounts/phone/code/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_those_who_ask_at_once_do_not_slip_through() -> None:
    def one(number: int) -> bool:
        try:
            send(PHONE, f"203.0.113.{number}")
        except TooManyRequests:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(one, range(12))) == 5


# Entering


def test_code_proves_the_number_once() -> None:
    sent = send()
    code = last_code()
    assert check(sent, code) == PHONE
    assert refused_code(lambda: check(sent, code)) == "phone.code_ended"
    assert PhoneCode.objects.count() == 0


def test_code_has_six_digits_and_is_stored_as_a_digest() -> None:
    sent = send()
    row = str(PhoneCode.objects.values().get())
    assert len(last_code()) == 6
    assert last_code() not in row
    assert sent.token not in row


def test_code_expires_after_ten_minutes() -> None:
    sent = send()
    row = PhoneCode.objects.get()
    assert abs(row.expires_at - phone_codes.database_now() - dt.timedelta(minutes=10)) < dt.timedelta(minutes=1)
    PhoneCode.objects.update(expires_at=phone_codes.database_now())
    assert refused_code(lambda: check(sent, last_code())) == "phone.code_ended"


def test_code_is_of_who_asked_for_it_and_of_its_purpose() -> None:
    mine = send()
    code = last_code()
    theirs = send()
    assert refused_code(lambda: check(theirs, code)) == "phone.code_wrong"
    user = PassengerFactory()
    assert refused_code(lambda: phone_codes.check(mine.token, code, PhonePurpose.OWN, user)) == "phone.code_ended"
    assert check(mine, code) == PHONE


def test_ten_wrong_codes_a_day_over_all_sessions_and_restarts() -> None:
    first, second, third = Client(), Client(), Client()
    for client in (first, second, third):
        ask(client)
    for number in range(10):
        cache.clear()
        page = enter((first, second)[number % 2], wrong(last_code()) if number % 2 else "000000")
        assert page.status_code == 400
    right = last_code()
    for client in (first, third):
        page = enter(client, right)
        assert page.status_code == 429
        assert 0 < int(page["Retry-After"]) <= 24 * 3600
    # Another code changes nothing, from whichever network and in whatever spelling.
    fourth = APIClient(REMOTE_ADDR="198.51.100.1")
    asked = fourth.post("/api/phone/code", {"phone": SPELLINGS[1]}, format="json").json()["request"]
    body = {"phone": SPELLINGS[1], "request": asked, "code": last_code(), "name": "Asel"}
    refused = fourth.post("/api/token", body, format="json")
    assert (refused.status_code, refused.json()["code"]) == (429, "phone.too_many_wrong_codes")
    assert not User.objects.filter(phone=PHONE).exists()


def test_right_codes_are_not_counted() -> None:
    ServiceSettings.objects.create(pk=1, wrong_codes_per_day=1)
    for _time in range(3):
        check(send(), last_code())


@pytest.mark.django_db(transaction=True)
@override_settings(TASK_WORKER="external")  # what is sent stays in the queue
def test_guesses_at_once_are_all_counted() -> None:
    sent = send()
    right = last_code()

    def guess(number: int) -> str:
        try:
            check(sent, f"{(int(right) + 1 + number) % 1_000_000:06}")
        except (InvalidInput, TooManyRequests) as error:
            return error.code
        finally:
            connection.close()
        return "right"

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(guess, range(16)))
    assert (answers.count("phone.code_wrong"), answers.count("phone.too_many_wrong_codes")) == (10, 6)


@pytest.mark.django_db(transaction=True)
@override_settings(TASK_WORKER="external")  # what is sent stays in the queue
def test_code_that_is_sent_twice_at_once_works_once() -> None:
    sent = send()
    right = last_code()

    def use(_number: int) -> bool:
        try:
            check(sent, right)
        except InvalidInput:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(use, range(8))) == 1


def test_wrong_codes_and_refusals_are_in_the_security_log_without_the_code() -> None:
    user = PassengerFactory(phone=PHONE)
    client = Client()
    ask(client)
    guess = wrong(last_code())
    enter(client, guess)
    events = list(SecurityEvent.objects.order_by("pk").values_list("event", "subject_id", "details"))
    assert events == [("phone.code_sent", None, "sign_in"), ("sign_in.failed", user.pk, "code by SMS")]
    assert guess not in str(list(SecurityEvent.objects.values()))


# A real server


@override_settings(TASK_WORKER="external")
def test_limits_hold_over_processes_and_a_killed_server(start_server: Callable[..., LiveServer]) -> None:
    """What is counted before the server is killed, in it and in this process, counts after it; one limit at a time."""
    choose(sms_country_codes="7")
    with sms_service() as service:
        site = start_server(**service.environ)

        def ask_server(phone: str = SPELLINGS[2]) -> tuple[int, str]:
            answer = httpx.post(f"{site.url}/api/phone/code", json={"phone": phone}, trust_env=False)
            assert (0 < int(answer.headers["Retry-After"]) <= 24 * 3600) if answer.status_code == 429 else True
            return answer.status_code, answer.json().get("code", "")

        assert ask_server("+996555123456") == (400, "phone.country_refused")
        assert [ask_server() for _time in range(3)] == [(202, "")] * 3
        send()
        site.restart()
        assert ask_server("+996555123456") == (400, "phone.country_refused")
        assert ask_server() == (202, "")
        # To one number, 5; from the network of the server's client, 4 so far; in all, 5 so far.
        assert ask_server() == (429, "sms.number_limit")
        assert refused_code(send) == "sms.number_limit"
        choose(sms_per_network_day=5)
        fresh = numbers(9)
        assert ask_server(fresh[0]) == (202, "")
        site.restart()
        assert ask_server(fresh[1]) == (429, "sms.network_limit")
        assert refused_code(lambda: send(fresh[1], "127.0.0.1")) == "sms.network_limit"
        send(fresh[1], "203.0.113.8")
        choose(sms_per_network_day=20, sms_per_day=8)
        assert ask_server(fresh[2]) == (202, "")
        site.restart()
        assert ask_server(fresh[3]) == (429, "sms.daily_limit")
        assert refused_code(lambda: send(fresh[3], "203.0.113.9")) == "sms.daily_limit"
        # Settings hold for every process at once, also where they are widened.
        choose(sms_per_day=9, sms_country_codes="996")
        assert ask_server(fresh[3]) == (400, "phone.country_refused")
        assert ask_server("+996555123456") == (202, "")


@override_settings(TASK_WORKER="external")
def test_wrong_codes_are_counted_over_processes_and_a_killed_server(start_server: Callable[..., LiveServer]) -> None:
    ServiceSettings.objects.create(pk=1, wrong_codes_per_day=3)
    with sms_service() as service:
        site = start_server(**service.environ)
        url = f"{site.url}/api"
        asked = httpx.post(f"{url}/phone/code", json={"phone": PHONE}, trust_env=False).json()["request"]
        [received] = service.wait_for(1)
        body = {"phone": PHONE, "request": asked, "name": "Asel"}
        # The server sends what this process has enqueued.
        sent = send()
        second = service.wait_for(2)[-1]
        assert refused_code(lambda: check(sent, wrong(second.code))) == "phone.code_wrong"
        for _time in range(2):
            answer = httpx.post(f"{url}/token", json={**body, "code": wrong(received.code)}, trust_env=False)
            assert answer.json()["code"] == "phone.code_wrong"
            site.restart()
        answer = httpx.post(f"{url}/token", json={**body, "code": received.code}, trust_env=False)
        assert (answer.status_code, answer.json()["code"]) == (429, "phone.too_many_wrong_codes")
        assert 0 < int(answer.headers["Retry-After"]) <= 24 * 3600
        assert refused_code(lambda: check(sent, second.code)) == "phone.too_many_wrong_codes"
