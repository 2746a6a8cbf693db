"""Mails over a real server with STARTTLS; failures that say nothing; links in no row and no log."""

import logging
import smtplib
import threading
from urllib.parse import quote

import httpx
import pytest
from allauth.core import context
from django.core import mail as django_mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.db import transaction
from django.test import RequestFactory, override_settings
from django_tasks_db.models import DBTaskResult

from stepper.accounts.adapter import AccountAdapter
from stepper.accounts.passwords import request_reset
from stepper.mail import sending
from stepper.mail.configuration import read_email_url
from stepper.tasks.sealing import unseal
from stepper.tasks.worker import MAIL, QueueWorker
from tests.factories import PassengerFactory
from tests.smtp import PASSWORD, USER, mail_server

pytestmark = pytest.mark.django_db

CODE = {"user": {"name": "Aigerim"}, "code": "123456"}


@pytest.fixture
def server(tmp_path):
    with mail_server(tmp_path) as running:
        yield running


def url_of(server):
    return f"submission://{quote(USER)}:{quote(PASSWORD, safe='')}@localhost:{server.port}"


def configured(server):
    return override_settings(**read_email_url(url_of(server), debug=False))


def deliver(to="aigerim@example.test"):
    sending.send("address_code", to, language="en", context=CODE)
    QueueWorker(MAIL).run_ready()


def test_mail_goes_over_starttls_with_the_password(server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    with configured(server):
        deliver()
    [received] = server.received
    assert (received.recipients, received.tls, received.user) == (["aigerim@example.test"], True, USER)
    assert "123456" in received.text
    assert "Auto-Submitted: auto-generated" in received.text


def test_mail_server_with_an_unknown_certificate_gets_neither_password_nor_mail(server, caplog):
    with caplog.at_level(logging.WARNING, "stepper.tasks.worker"), configured(server):
        deliver()
    assert server.received == []
    assert "SSLCertVerificationError" in caplog.text


def test_recipient_that_is_refused_is_not_named_in_the_log(server, monkeypatch, caplog):
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    server.refused = {"aigerim@example.test"}
    with caplog.at_level(logging.WARNING, "stepper.tasks.worker"), configured(server):
        deliver()
    [line] = [record.getMessage() for record in caplog.records if record.name == "stepper.tasks.worker"]
    assert line.startswith("a mail was not sent: SMTPRecipientsRefused")
    assert "aigerim" not in line
    assert server.received == []


@pytest.mark.django_db(transaction=True)
def test_mail_is_sent_after_the_commit_only():
    with transaction.atomic():
        sending.send("address_code", "a@example.test", language="en", context=CODE)
        transaction.set_rollback(True)
    with transaction.atomic():
        sending.send("address_code", "b@example.test", language="en", context=CODE)
        assert django_mail.outbox == []
    assert [message.to for message in django_mail.outbox] == [["b@example.test"]]


def test_queue_is_bounded(monkeypatch, caplog):
    monkeypatch.setattr(sending, "MOST_WAITING", 1)
    sending.send("address_code", "a@example.test", language="en", context=CODE)
    with caplog.at_level(logging.ERROR, "stepper.mail.sending"):
        sending.send("address_code", "b@example.test", language="en", context=CODE)
    assert "1 wait already" in caplog.text
    QueueWorker(MAIL).run_ready()
    assert [message.to for message in django_mail.outbox] == [["a@example.test"]]


@pytest.mark.parametrize(
    ("error", "is_permanent"),
    [
        (ConnectionRefusedError(), False),
        (smtplib.SMTPResponseException(451, b"later"), False),
        (smtplib.SMTPResponseException(550, b"no"), True),
        (smtplib.SMTPRecipientsRefused({"a@example.test": (450, b"later")}), False),
        (smtplib.SMTPRecipientsRefused({"a@example.test": (550, b"no")}), True),
    ],
)
def test_mail_is_tried_again_unless_the_server_says_no(monkeypatch, error, is_permanent):
    def fail(_message):
        raise error

    monkeypatch.setattr(EmailMessage, "send", fail)
    deliver()
    [row] = DBTaskResult.objects.all()
    assert row.status == ("FAILED" if is_permanent else "READY")


def test_link_that_sets_a_password_is_in_no_row():
    user = PassengerFactory(email="aigerim@example.test")
    request_reset("aigerim@example.test", base_url="https://go.example.test")
    [row] = DBTaskResult.objects.all()
    assert unseal(row.args_kwargs["kwargs"]["sealed"]) == {
        "email": user.email,
        "base_url": "https://go.example.test",
    }
    assert "aigerim" not in str(row.args_kwargs)
    QueueWorker(MAIL).run_ready()
    assert "/accounts/password/reset/key/" in django_mail.outbox[0].body
    row.refresh_from_db()
    assert (row.status, row.args_kwargs) == ("SUCCESSFUL", {"args": [], "kwargs": {}})


# The public address


def test_links_begin_with_the_public_address_whatever_the_host():
    request = RequestFactory().get("/", headers={"host": "localhost:81"})
    assert sending.base_url(request) == "https://go.example.test"


@override_settings(PUBLIC_URL="", DEBUG=True)
def test_links_begin_with_the_requests_address_on_a_developers_machine():
    assert sending.base_url(RequestFactory().get("/", headers={"host": "localhost:8001"})) == "http://localhost:8001"


@override_settings(PUBLIC_URL="")
def test_without_a_public_address_no_link_is_made_elsewhere():
    with pytest.raises(ImproperlyConfigured, match="PUBLIC_URL"):
        sending.base_url(RequestFactory().get("/"))


@pytest.mark.django_db(transaction=True)
def test_what_allauth_sends_names_the_public_address_only():
    request = RequestFactory().get("/", headers={"host": "testserver:81"})
    links = {"signup_url": "http://testserver:81/accounts/signup/"}
    with context.request_context(request):
        AccountAdapter(request).send_mail("account/email/unknown_account", "a@example.test", links)
    [message] = django_mail.outbox
    assert "https://go.example.test/accounts/signup/" in message.body
    assert "testserver" not in f"{message.body}{message.subject}"


# A real server with a real mail server


def test_server_answers_before_it_sends_and_sends_before_it_stops(server, start_server):
    user = PassengerFactory(email="aigerim@example.test")
    answered = threading.Event()
    server.on_mail = lambda: answered.wait(10)
    site = start_server(EMAIL_URL=url_of(server), SSL_CERT_FILE=str(server.certificate))
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        client.get("/accounts/password/reset/")
        form = {"email": user.email, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        response = client.post("/accounts/password/reset/", data=form, headers={"Host": "localhost:81"})
        assert (response.status_code, response.headers["Location"]) == (302, "/accounts/password/reset/done/")
        assert server.received == []
        answered.set()
        site.stop()
        [received] = server.received
        assert (received.recipients, received.tls) == ([user.email], True)
        assert "https://go.example.test/accounts/password/reset/key/" in received.text.replace("=\r\n", "")
        assert "localhost" not in received.text.partition("\r\n\r\n")[2]
    assert "/accounts/password/reset/key/" not in site.log_text()
    assert user.email not in site.log_text()


@pytest.mark.embedded_only
def test_mail_of_a_server_that_is_killed_is_sent_by_the_next(server, start_server):
    user = PassengerFactory(email="aigerim@example.test")
    arrived, killed = threading.Event(), threading.Event()

    def hang():
        arrived.set()
        killed.wait(10)

    server.on_mail = hang
    site = start_server(EMAIL_URL=url_of(server), SSL_CERT_FILE=str(server.certificate))
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        client.get("/accounts/password/reset/")
        form = {"email": user.email, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        client.post("/accounts/password/reset/", data=form)
    assert arrived.wait(10)
    site.kill()
    server.received.clear()
    server.on_mail = arrived.set
    arrived.clear()
    site.start()
    killed.set()
    assert arrived.wait(10)
    site.stop()
    assert [user.email] in [received.recipients for received in server.received]
