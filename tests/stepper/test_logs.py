"""What a request that failed leaves in the log: where, but no link that sets a password or confirms an address."""

import io
import logging
import re

import pytest
from django.db import connection
from django.test import Client

from tests.factories import PassengerFactory

pytestmark = pytest.mark.django_db


def written(records):
    """The lines as the process's own handler writes them."""
    [formatter] = {
        handler.formatter for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler
    }
    return "\n".join(formatter.format(record) for record in records)


def break_down(run, sql, params, many, context):
    """A fault of ours, in whatever the request asks the database first."""
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "path", ["/accounts/password/reset/key/1-secret-key/", "/accounts/e-mail/secret-token/", "/t/secret-token/"]
)
def test_link_of_a_request_that_failed_is_not_in_the_log(caplog, path):
    client = Client(raise_request_exception=False)
    client.force_login(PassengerFactory())
    with connection.execute_wrapper(break_down):
        assert client.get(path).status_code == 500
    log = written(caplog.records)
    assert path.partition("secret")[0].removesuffix("1-") in log
    assert "secret" not in log


@pytest.mark.parametrize(
    "link",
    [
        "https://go.example.kz/accounts/password/reset/key/1-secret-key/",
        "https://go.example.kz/accounts/e-mail/secret-key_1/",
        "https://go.example.kz/t/secret-key_1/",
        "wss://go.example.kz/ws/shared/kk/secret-key_1/",
        # Whatever the route takes for a language.
        "wss://go.example.kz/ws/shared/pt-br/secret-key_1/",
        "/ws/shared/pt_br-1/-secret_key/",
    ],
)
def test_link_in_a_message_or_traceback_is_not_in_the_log(caplog, link):
    try:
        raise ValueError(f"'{link}' went wrong")
    except ValueError:
        logging.getLogger("stepper").exception("failed at %s of a socket", link)
    log = written(caplog.records)
    before = re.split("1-secret|-?secret", link)[0]
    assert f"failed at {before}…/ of a socket" in log
    assert f"'{before}…/' went wrong" in log
    assert "secret" not in log


def handler(name):
    """The process's own handler of that name."""
    found = [logging.getLogger("django.security"), logging.getLogger()][name == "stderr"].handlers
    return next(one for one in found if type(one) is logging.StreamHandler)


def test_lines_begin_with_the_time_in_utc_and_its_offset(monkeypatch):
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": "done", "created": 1_800_000_000.25})
    assert written([record]) == "2027-01-15T08:00:00.250+00:00 INFO x: done"


@pytest.mark.parametrize("text", ["a\nb", "a\r\n2027-01-15 INFO x: forged", "\x1b[2K", "\u202egpj", "\x85"])
def test_message_is_one_line_whatever_a_client_sent(text):
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": "of %s", "args": (text,)})
    assert written([record]).isprintable()


def test_traceback_keeps_its_lines(caplog):
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("stepper").exception("failed")
    assert "\nTraceback" in written(caplog.records)


def refused_lines(monkeypatch, requests):
    """Send requests and return the lines that the handler of refusals writes."""
    stream = io.StringIO()
    monkeypatch.setattr(handler("refusals"), "stream", stream)
    # A minute of its own: what other tests had refused is not this one's.
    [only] = handler("refusals").filters
    only._minutes.clear()
    for sent in requests:
        Client().get("/", **sent)
    return stream.getvalue().splitlines()


def test_refused_host_leaves_one_short_line_without_a_traceback(monkeypatch):
    [line] = refused_lines(monkeypatch, [{"HTTP_HOST": "elsewhere.example" + "x" * 5000}])
    assert " WARNING django.security.DisallowedHost: Invalid HTTP_HOST header: 'elsewhere.example" in line
    assert len(line) < 400


def test_flood_of_refused_hosts_leaves_few_lines_and_their_number(monkeypatch, time_machine):
    time_machine.move_to(1_800_000_000, tick=False)
    hosts = [{"HTTP_HOST": f"h{number}.example"} for number in range(50)]
    assert len(refused_lines(monkeypatch, hosts)) == 20
    stream = io.StringIO()
    monkeypatch.setattr(handler("refusals"), "stream", stream)
    [only] = handler("refusals").filters
    only._minutes = {name: (0.0, number) for name, (_ends_at, number) in only._minutes.items()}
    Client().get("/", HTTP_HOST="again.example")
    assert stream.getvalue().endswith("(30 more before)\n")


@pytest.mark.parametrize(
    "name", ["uvicorn.access", "uvicorn.error", "django.server", "daphne.server", "django.request"]
)
def test_every_logger_writes_through_our_format(name):
    """A server that is started by its own command brings handlers of its own, with another form of time."""
    logger, handlers = logging.getLogger(name), list(logging.getLogger(name).handlers)
    while logger.propagate and logger.parent is not None:
        logger = logger.parent
        handlers += logger.handlers
    plain = [one for one in handlers if type(one) is logging.StreamHandler]
    assert [type(one.formatter).__name__ for one in plain] == ["LineFormatter"]
