"""A forgotten password: one answer for everybody, a link to the account's own address, nothing without mail."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.core import mail as django_mail
from django.core.cache import cache
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from stepper.accounts.passwords import RESETS_PER_HOUR, request_reset
from stepper.errors import Conflict, TooManyRequests
from stepper.models import ServiceSettings
from stepper.tasks.worker import MAIL
from tests.factories import PASSWORD, PassengerFactory

pytestmark = pytest.mark.django_db(transaction=True)

BASE = "https://go.example.test"
NEW = "another long walk home"


@pytest.fixture(autouse=True)
def _fresh_counters():
    cache.clear()


def ask(email, host="testserver"):
    return Client(headers={"host": host}).post("/accounts/password/reset/", {"email": email})


def link():
    [message] = django_mail.outbox
    [found] = re.findall(r"https?://\S+", str(message.body))
    return found


def path_of(url):
    assert url.startswith(f"{BASE}/accounts/")
    return url.removeprefix(BASE)


def set_password(path, password=NEW):
    client = Client()
    form = client.get(path, follow=True)
    if form.context.get("token_fail"):
        return False
    where = form.redirect_chain[-1][0]
    return client.post(where, {"password1": password, "password2": password}).status_code == 302


def test_link_sets_a_new_password_once():
    user = PassengerFactory(email="a@example.test")
    assert ask("A@Example.test").url == "/accounts/password/reset/done/"
    path = path_of(link())
    assert django_mail.outbox[0].to == ["a@example.test"]
    assert set_password(path)
    user.refresh_from_db()
    assert user.check_password(NEW)
    assert not set_password(path)


def test_known_unknown_closed_and_phone_only_accounts_answer_alike():
    PassengerFactory(email="known@example.test")
    PassengerFactory(email="closed@example.test", is_active=False)
    PassengerFactory(email=None, phone="+77012345678")
    answers = set()
    for email in ("known@example.test", "unknown@example.test", "closed@example.test"):
        response = ask(email)
        answers.add((response.status_code, response.url, response.content))
    assert len(answers) == 1
    assert [message.to for message in django_mail.outbox] == [["known@example.test"]]


def test_known_and_unknown_cost_the_request_the_same(monkeypatch):
    """What differs happens in the task, which a server's threads run."""
    PassengerFactory(email="known@example.test")
    woken: list[object] = []
    monkeypatch.setattr("stepper.tasks.worker.worker.wake", woken.append)
    counts = set()
    for email in ("known@example.test", "unknown@example.test"):
        with CaptureQueriesContext(connection) as queries:
            ask(email)
        counts.add(len(queries))
    assert len(counts) == 1
    assert woken == [MAIL, MAIL]
    assert django_mail.outbox == []


def test_link_names_the_public_address_whatever_the_host():
    PassengerFactory(email="a@example.test")
    ask("a@example.test", host="localhost:81")
    assert link().startswith(f"{BASE}/accounts/password/reset/key/")
    [message] = django_mail.outbox
    assert "localhost" not in f"{message.subject}{message.body}"


def test_mail_names_the_account():
    PassengerFactory(email="a@example.test", name="Aigerim")
    ask("a@example.test")
    assert "Hello Aigerim," in django_mail.outbox[0].body


@pytest.mark.parametrize("change", ["email", "password"])
def test_link_ends_with_the_address_and_the_password_it_was_made_for(change):
    user = PassengerFactory(email="a@example.test")
    ask("a@example.test")
    if change == "email":
        user.email = "b@example.test"
    else:
        user.set_password("yet another long walk")
    user.save()
    assert not set_password(path_of(link()))


def test_alias_of_a_stranger_gets_no_link():
    stranger, user = PassengerFactory(email="stranger@example.test"), PassengerFactory(email="a@example.test")
    EmailAddress.objects.bulk_create([EmailAddress(user=stranger, email="a@example.test", verified=True)])
    ask("a@example.test")
    set_password(path_of(link()))
    user.refresh_from_db()
    stranger.refresh_from_db()
    assert (user.check_password(NEW), stranger.check_password(PASSWORD)) == (True, True)


def test_address_that_only_looks_alike_is_not_written_to():
    """A Kelvin sign becomes a k in lower case: the mail goes to the account's own address."""
    PassengerFactory(email="kairat@example.test")
    ask("\u212aairat@example.test")
    assert [message.to for message in django_mail.outbox] == [["kairat@example.test"]]


def test_failing_mail_server_is_no_fault():
    PassengerFactory(email="a@example.test")
    with override_settings(
        EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend", EMAIL_HOST="127.0.0.1", EMAIL_PORT=1
    ):
        assert ask("a@example.test").status_code == 302


def test_requests_for_one_address_are_limited_in_the_verb():
    for _request in range(RESETS_PER_HOUR):
        request_reset("a@example.test", base_url=BASE)
    with pytest.raises(TooManyRequests):
        request_reset("a@example.test", base_url=BASE)
    request_reset("b@example.test", base_url=BASE)


@pytest.mark.parametrize("email", ["known@example.test", "unknown@example.test"])
def test_too_many_requests_say_when_to_come_back(email):
    PassengerFactory(email="known@example.test")
    for _request in range(RESETS_PER_HOUR):
        request_reset(email, base_url=BASE)
    response = ask(email)
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= 3600


# Without a mail server


@pytest.fixture
def no_mail(settings):
    settings.MAIL_OFFERED = False
    ServiceSettings(pk=1, support_phone="+77015550000").save()


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/password/reset/",
        "/accounts/password/reset/done/",
        "/accounts/password/reset/key/1-abc/",
        "/accounts/password/reset/key/done/",
    ],
)
def test_without_mail_the_pages_say_whom_to_ask(no_mail, path):
    for response in (Client().get(path), Client().post(path, {"email": "a@example.test"})):
        assert response.status_code == 404
        assert b"Our staff set a new password for you" in response.content


def test_without_mail_signing_in_offers_no_link(no_mail):
    page = Client().get("/accounts/login/").content
    assert b"/accounts/password/reset/" not in page
    assert b"Ask our staff" in page


def test_with_mail_signing_in_offers_the_link():
    assert b"/accounts/password/reset/" in Client().get("/accounts/login/").content


def test_without_mail_the_verb_refuses(no_mail):
    with pytest.raises(Conflict) as refused:
        request_reset("a@example.test", base_url=BASE)
    assert refused.value.code == "mail.not_offered"


# Accounts without a password


@pytest.mark.parametrize(("email", "says"), [("a@example.test", b"Set a password"), (None, b"Our staff set one")])
def test_account_without_a_password_has_none_to_change(settings, email, says):
    settings.SMS_PROVIDER = None
    ServiceSettings(pk=1, support_phone="+77015550000").save()
    user = PassengerFactory(email=email, phone="+77010000001")
    user.set_unusable_password()
    user.save()
    client = Client()
    client.force_login(user)
    response = client.get("/accounts/password/change/")
    assert response.status_code == 409
    assert says in response.content


def test_link_gives_an_account_without_a_password_its_first():
    user = PassengerFactory(email="a@example.test")
    user.set_unusable_password()
    user.save()
    ask("a@example.test")
    assert set_password(path_of(link()))
