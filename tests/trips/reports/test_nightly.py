"""The mail of a night: what it says, to whom, once, by a real mail server."""

import datetime as dt
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.test import override_settings

from stepper.mail import sending
from stepper.mail.configuration import read_email_url
from stepper.models import ServiceSettings
from stepper.tasks.worker import MAIL, QueueWorker
from tests import smtp
from tests.factories import StaffFactory
from tests.trips.reports.generated import HOME, Company, count, spec
from trips.models import ReportState
from trips.reports import nightly

MORNING = dt.datetime(2026, 11, 24, 6, 5, tzinfo=HOME)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The mails that are written, in place of the queue."""
    found: list[Any] = []
    monkeypatch.setattr(sending, "is_offered", lambda: True)
    monkeypatch.setattr(sending, "send_written", found.append)
    return found


def send(at: dt.datetime = MORNING) -> bool:
    with time_machine.travel(at, tick=False):
        return nightly.send_due()


def prepare(recipients: str = "boss@example.test; desk@example.test") -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults={"report_recipients": recipients})
    company = Company()
    company.add(spec())
    company.add(spec(end="given_up"))
    count(MORNING)


@pytest.mark.django_db
def test_figures_of_the_day_before_are_sent_once_each_morning(written: list[Any]) -> None:
    prepare()
    assert send()
    assert [message.to for message in written] == [["boss@example.test"], ["desk@example.test"]]
    for part in ("Trips: 2", "Completed: 1 (50 %)", "No driver: 1", "Fares: ₸1", "from=2026-11-23&to=2026-11-23"):
        assert part in written[0].body
    # The other servers come a little later.
    assert not send()
    assert not send(MORNING + dt.timedelta(hours=10))
    assert len(written) == 2
    count(MORNING + dt.timedelta(days=1))
    assert send(MORNING + dt.timedelta(days=1))


@pytest.mark.django_db
@pytest.mark.embedded_only
def test_mail_waits_for_the_morning_and_for_the_day_to_be_counted(written: list[Any]) -> None:
    prepare()
    assert not send(MORNING - dt.timedelta(minutes=10))
    ReportState.objects.update(counted_at=MORNING - dt.timedelta(hours=8))
    assert not send()
    count(MORNING)
    assert send()


@pytest.mark.django_db
@pytest.mark.embedded_only
def test_mail_is_in_the_language_of_whose_address_it_is(written: list[Any]) -> None:
    StaffFactory(email="boss@example.test", language="ru")
    prepare("Boss@example.test")
    assert send()
    assert "Trips: 2" not in written[0].body


@pytest.mark.django_db
@pytest.mark.embedded_only
def test_nobody_gets_it_where_nobody_is_named(written: list[Any]) -> None:
    prepare("")
    assert not send()
    assert written == []


@pytest.mark.embedded_only
@pytest.mark.parametrize("text", ["boss", "boss@example.test, desk", ", ".join(f"a{n}@b.test" for n in range(21))])
def test_recipients_are_addresses(text: str) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings(report_recipients=text).clean_fields()


@pytest.mark.django_db
@pytest.mark.embedded_only
def test_mail_arrives_by_a_mail_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare("boss@example.test")
    monkeypatch.setattr(sending, "is_offered", lambda: True)
    with smtp.mail_server(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        url = f"submission://{quote(smtp.USER)}:{quote(smtp.PASSWORD, safe='')}@localhost:{server.port}"
        with override_settings(**read_email_url(url, debug=False)):
            assert send()
            QueueWorker(MAIL).run_ready()
    (received,) = server.received
    assert received.recipients == ["boss@example.test"]
    assert received.tls
    assert "Trips: 2" in received.text
