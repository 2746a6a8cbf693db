"""Mails over a real server with STARTTLS; failures that say nothing; a queue that holds nobody up."""

import functools
import logging
import threading
from urllib.parse import quote

import httpx
import pytest
from allauth.core import context
from django.core import mail as django_mail
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import RequestFactory, override_settings

from stepper.accounts.adapter import AccountAdapter
from stepper.mail import sending
from stepper.mail.configuration import read_email_url
from stepper.mail.sending import MailQueue
from tests.factories import PassengerFactory
from tests.smtp import PASSWORD, USER, mail_server

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
    message = sending.write("address_code", to, language="en", context=CODE)
    MailQueue().add(lambda: sending._deliver(message))


def test_mail_goes_over_starttls_with_the_password(server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    with configured(server):
        deliver()
    [received] = server.received
    assert (received.recipients, received.tls, received.user) == (["aigerim@example.test"], True, USER)
    assert "123456" in received.text
    assert "Auto-Submitted: auto-generated" in received.text


def test_mail_server_with_an_unknown_certificate_gets_neither_password_nor_mail(server, caplog):
    with caplog.at_level(logging.WARNING, "stepper.mail.sending"), configured(server):
        deliver()
    assert server.received == []
    assert "SSLCertVerificationError" in caplog.text


@pytest.mark.parametrize("text", ["to aigerim@example.test", "https://go.example.test/secret"])
def test_failure_is_logged_without_its_text(caplog, text):
    def fail():
        raise ValueError(text)

    with caplog.at_level(logging.WARNING, "stepper.mail.sending"):
        MailQueue().add(fail)
    assert "a mail was not sent: ValueError" in caplog.text
    assert text not in caplog.text


def test_recipient_that_is_refused_is_not_named_in_the_log(server, monkeypatch, caplog):
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    server.refused = {"aigerim@example.test"}
    with caplog.at_level(logging.WARNING, "stepper.mail.sending"), configured(server):
        deliver()
    [line] = [record.getMessage() for record in caplog.records if record.name == "stepper.mail.sending"]
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


def test_queue_does_not_hold_up_who_adds_and_is_emptied_at_the_end():
    queue, blocked, sent = MailQueue(), threading.Event(), []
    queue.open()

    def send(number):
        assert blocked.wait(10)
        sent.append(number)

    for number in range(5):
        queue.add(functools.partial(send, number))
    assert sent == []
    blocked.set()
    queue.close(within_s=10)
    assert sorted(sent) == [0, 1, 2, 3, 4]
    queue.add(lambda: sent.append("at once"))
    assert sent[-1] == "at once"


def test_closing_does_not_wait_for_a_mail_server_that_hangs(caplog):
    queue, blocked = MailQueue(), threading.Event()
    queue.open()
    threads = list(queue._threads)
    for _job in range(4):
        queue.add(lambda: blocked.wait(10))
    with caplog.at_level(logging.ERROR, "stepper.mail.sending"):
        queue.close(within_s=0)
    assert "4 mails were not sent before the server stopped" in caplog.text
    assert all(thread.daemon for thread in threads)
    blocked.set()


def test_queue_is_bounded(monkeypatch, caplog):
    monkeypatch.setattr(sending, "MOST_WAITING", 1)
    queue, blocked, started, sent = MailQueue(), threading.Event(), threading.Semaphore(0), []
    queue.open()

    def hang():
        started.release()
        blocked.wait(10)

    for _thread in queue._threads:
        queue.add(hang)
        assert started.acquire(timeout=10)
    queue.add(lambda: sent.append("waits"))
    with caplog.at_level(logging.ERROR, "stepper.mail.sending"):
        queue.add(lambda: sent.append("one too many"))
    assert "1 wait already" in caplog.text
    blocked.set()
    queue.close(within_s=10)
    assert sent == ["waits"]


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
