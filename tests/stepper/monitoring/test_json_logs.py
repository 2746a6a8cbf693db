"""The log as JSON: one object a line, with ids, without what names a person."""

import json
import logging
import sys

import pytest
from django.db import IntegrityError
from django.test import Client

from stepper.monitoring import log_ids
from stepper.monitoring.json_logs import JsonFormatter
from stepper.monitoring.scrubbing import scrub
from stepper.server.logs import logging_configuration
from tests.factories import DriverFactory

pytestmark = pytest.mark.embedded_only


@pytest.fixture(autouse=True)
def _no_ids() -> None:
    log_ids.begin()


def written(record: logging.LogRecord) -> dict[str, object]:
    line = JsonFormatter().format(record)
    assert "\n" not in line
    return dict(json.loads(line))


def record(message: str, *arguments: object, **more: object) -> logging.LogRecord:
    fields = {"name": "stepper.x", "levelname": "WARNING", "msg": message, "args": arguments}
    return logging.makeLogRecord(fields | {"created": 1_800_000_000.25} | more)


def test_line_has_time_in_utc_level_logger_event_and_ids() -> None:
    with log_ids.noted(request_id="r1", trip_id=7, driver_id=None):
        line = written(record("trip %d waits", 7))
    assert line == {
        "time": "2027-01-15T08:00:00.250+00:00",
        "level": "WARNING",
        "logger": "stepper.x",
        "event": "trip 7 waits",
        "request_id": "r1",
        "trip_id": 7,
    }


def test_traceback_is_one_text_without_what_the_database_quotes() -> None:
    try:
        raise IntegrityError("duplicate key\nDETAIL:  Key (phone)=(+77011234567) already exists.")
    except IntegrityError:
        line = written(record("failed", exc_info=sys.exc_info()))
    assert "Traceback" in str(line["exception"])
    assert "Key (phone)=(…) already exists" in str(line["exception"])
    assert "7701" not in json.dumps(line)


def test_extra_of_a_record_is_left_out() -> None:
    assert "secret" not in json.dumps(written(record("failed", request="secret", user="secret")))


def test_links_are_hidden() -> None:
    assert written(record("GET %s", "/t/secret-token/"))["event"] == "GET /t/…/"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("mail to aigerim.s@example.kz failed", "mail to …@… failed"),
        ("call +7 701 123 45 67 now", "call +… now"),
        ("from 8 (701) 123-45-67", "from +…"),
        ("account 41 from 203.0.113.9 (page)", "account 41 from … (page)"),
        ("from 2001:db8:0:1::7", "from …"),
        ("Failing row contains (7, Aigerim, null).", "Failing row contains (…)."),
        (
            "trip 12345 at 2027-01-15T08:00:00, 40 ms, stepper.x:41",
            "trip 12345 at 2027-01-15T08:00:00, 40 ms, stepper.x:41",
        ),
        ("again in 1.5 s after 12 attempts (OSError 111)", "again in 1.5 s after 12 attempts (OSError 111)"),
        # In addresses signs are encoded, and twice where one address is in another.
        ("GET /ops/call/?phone=%2B77011234567&seats=2", "GET /ops/call/?phone=+…&seats=2"),
        ("/ops/call/?phone=%2b7%20%28701%29%20123-45-67", "/ops/call/?phone=+…"),
        ("/ops/call/?phone=%2B7+701+123+45+67", "/ops/call/?phone=+…"),
        ("/sign-in/?next=%2Fops%2F%3Fphone%3D87011234567", "/sign-in/?next=%2Fops%2F%3Fphone%3D+…"),
        ("/sign-in/?next=%2Fops%2F%3Fphone%3D%252B77011234567%26a", "/sign-in/?next=%2Fops%2F%3Fphone%3D+…%26a"),
        ("/ops/search/?q=aigerim.s%40example.kz&all=1", "/ops/search/?q=…@…&all=1"),
        ("Referer: https://go.kz/ops/?q=a.b%2Bc%40example.kz", "Referer: https://go.kz/ops/?q=…@…"),
        ("/sign-in/?next=%2Fops%2F%3Fq%3Daigerim%2540example.kz", "/sign-in/?next=%2Fops%2F%3Fq%3D…@…"),
        ("?q=%D0%B0%D1%8F%40%D0%BF%D0%BE.kz", "?q=…@…"),
        ("?next=%2Fa%3Fip%3D203.0.113.9", "?next=%2Fa%3Fip%3D…"),
        ("?ip=2001%3Adb8%3A0%3A1%3A%3A7", "?ip=…"),
        (
            "/book/?from=43.2220%2C76.8512&q=%D0%90%D0%BB%D0%BC%D0%B0",
            "/book/?from=43.2220%2C76.8512&q=%D0%90%D0%BB%D0%BC%D0%B0",
        ),
    ],
)
def test_personal_data_is_scrubbed_and_nothing_else(text: str, left: str) -> None:
    assert scrub(text) == left


def test_both_forms_have_the_same_loggers_and_levels() -> None:
    line, as_json = (logging_configuration("WARNING", own_level="INFO", form=form) for form in ("line", "json"))
    assert line["loggers"] == as_json["loggers"]
    assert {one.get("formatter") for one in as_json["handlers"].values()} == {"json", None}


@pytest.mark.django_db
def test_lines_of_a_request_carry_its_id_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the answer does, so that who reports a fault can name it."""
    seen: dict[str, object] = {}
    driver = DriverFactory()
    monkeypatch.setattr(
        "drivers.views.accepting.accept", lambda *_args, **_more: seen.update(log_ids.current()) or 1 / 0
    )
    client = Client(raise_request_exception=False)
    client.force_login(driver.user)
    answer = client.post("/driver/offers/41/accept/", headers={"x-request-id": "a-strangers-words"})
    assert answer.status_code == 500
    assert seen == {"request_id": answer.headers["X-Request-ID"], "offer_id": 41, "driver_id": driver.pk}
    assert answer.headers["X-Request-ID"] != "a-strangers-words"
