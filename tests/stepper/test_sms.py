"""SMS over a real provider: right, slow, failing, absent, redirecting; codes in no row and no log."""

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from stepper.day_counts import DAY
from stepper.sms import sending
from stepper.sms.configuration import Provider, read_sms
from stepper.tasks.worker import SMS, QueueWorker
from tests.servers import free_port
from tests.sms_service import FORM, SECRET, SmsService, sms_service

pytestmark = pytest.mark.django_db

PHONE = "+77471234567"
TEXT = "Код 123456 & {phone}"


@pytest.fixture
def service() -> Iterator[SmsService]:
    with sms_service() as running:
        yield running


def provider(url: str, **changes: str) -> Provider | None:
    return read_sms(**{"url": url, "secret": SECRET, **FORM, **changes}, debug=False)


def deliver(found: Provider | None) -> DBTaskResult[..., None]:
    with override_settings(SMS_PROVIDER=found):
        sending.send(PHONE, TEXT, until=timezone.now() + DAY)
        QueueWorker(SMS).run_ready()
    [row] = DBTaskResult.objects.all()
    return row


def test_provider_gets_number_and_text(service: SmsService) -> None:
    row = deliver(provider(service.url))
    assert service.refused == []
    assert [tuple(one) for one in service.received] == [("77471234567", TEXT)]
    assert (row.status, row.args_kwargs) == ("SUCCESSFUL", {"args": [], "kwargs": {}})


def test_neither_number_nor_text_can_be_read_in_the_row(service: SmsService) -> None:
    with override_settings(SMS_PROVIDER=provider(service.url)):
        sending.send(PHONE, TEXT, until=timezone.now() + DAY)
    [row] = DBTaskResult.objects.all()
    assert [part for part in ("7471234567", "123456") if part in str(row.args_kwargs)] == []


@pytest.mark.django_db(transaction=True)
def test_sms_is_sent_after_the_commit_only(service: SmsService) -> None:
    with override_settings(SMS_PROVIDER=provider(service.url)):
        with transaction.atomic():
            sending.send(PHONE, "rolled back", until=timezone.now() + DAY)
            transaction.set_rollback(True)
        with transaction.atomic():
            sending.send(PHONE, TEXT, until=timezone.now() + DAY)
            assert service.received == []
    assert [one.text for one in service.received] == [TEXT]


@pytest.mark.parametrize(
    ("status", "answer", "left"),
    [
        (200, {"code": 1, "message": "no money"}, "FAILED"),
        (200, b"not json", "FAILED"),
        (200, b" " * 20_000, "FAILED"),
        (400, {}, "FAILED"),
        (401, {}, "FAILED"),
        (500, {}, "FAILED"),
        (429, {}, "READY"),
        (503, {}, "READY"),
    ],
)
def test_only_what_was_not_sent_for_sure_is_sent_again(
    service: SmsService, caplog: pytest.LogCaptureFixture, status: int, answer: Any, left: str
) -> None:
    service.status, service.answer = status, answer
    with caplog.at_level(logging.DEBUG):
        assert deliver(provider(service.url)).status == left
    assert service.calls == 1
    assert "was not sent" in caplog.text
    assert [part for part in ("123456", "7471234567", SECRET) if part in caplog.text] == []


def test_redirect_is_not_followed(service: SmsService) -> None:
    with sms_service() as elsewhere:
        # One that keeps verb and body, so that the other provider would take it.
        service.status, service.headers = 307, {"Location": elsewhere.url}
        assert deliver(provider(service.url)).status == "FAILED"
        assert elsewhere.calls == 0


def test_provider_that_hangs_is_given_up_and_not_asked_again(
    service: SmsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.3)
    service.goes_on.clear()
    assert deliver(provider(service.url)).status == "FAILED"
    assert service.calls == 1


def test_provider_that_is_away_is_asked_again() -> None:
    assert deliver(provider(f"http://127.0.0.1:{free_port()}/")).status == "READY"


def test_sms_is_not_sent_when_its_code_has_expired(service: SmsService) -> None:
    with override_settings(SMS_PROVIDER=provider(service.url)):
        sending.send(PHONE, TEXT, until=timezone.now())
        QueueWorker(SMS).run_ready()
    assert service.calls == 0


def test_console_prints(capsys: pytest.CaptureFixture[str]) -> None:
    deliver(read_sms(url="console://", debug=True))
    assert capsys.readouterr().out == f"SMS to {PHONE}: {TEXT}\n"


def test_queue_is_bounded(service: SmsService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MOST_WAITING", 1)
    with override_settings(SMS_PROVIDER=provider(service.url)):
        assert sending.send(PHONE, TEXT, until=timezone.now() + DAY)
        assert not sending.send(PHONE, TEXT, until=timezone.now() + DAY)


def test_http_client_logs_no_address_at_any_level() -> None:
    """Its lines hold the address with number and text where a provider is called by GET."""
    from stepper.server.logs import logging_configuration  # noqa: PLC0415 - beside what it is about

    loggers = logging_configuration("DEBUG", own_level="DEBUG")["loggers"]
    assert {loggers[name]["level"] for name in ("httpx", "httpcore")} == {"WARNING"}


# A real server with a real provider


def test_answer_does_not_wait_for_the_provider(service: SmsService, start_server: Any) -> None:
    service.goes_on.clear()
    site = start_server(**service.environ, LOG_LEVEL="DEBUG")
    with httpx.Client(base_url=site.url, trust_env=False) as client:
        answer = client.post("/api/phone/code", json={"phone": "8 (747) 123-45-67"}, timeout=4)
        assert (answer.status_code, set(answer.json())) == (202, {"request", "expires_in"})
        assert service.received == []
        service.goes_on.set()
        [received] = service.wait_for(1)
        body = {"phone": "7747 123 4567", "request": answer.json()["request"], "code": received.code, "name": "Asel"}
        assert client.post("/api/token", json=body).status_code == 200
    site.stop()
    assert received.recipient == "77471234567"
    log = site.log_text()
    assert [part for part in (received.code, "7471234567", SECRET) if part in log] == []
