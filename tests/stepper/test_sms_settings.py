"""The SMS provider's settings: a template filled in with everything escaped, and what cannot work refused at start."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured

from stepper.sms.configuration import Provider, read_sms

# No database or Redis plays a part.
pytestmark = pytest.mark.embedded_only

URL = "https://sms.example.test/send"
PHONE = "+77471234567"
HOSTILE = 'Код "1" & {phone}={secret}\n+7%20\\'


def read(**changes: Any) -> Provider:
    found = read_sms(**{"url": URL, "body": "to={digits}&text={text}", "debug": False, **changes})
    assert found is not None
    return found


def test_form_is_escaped() -> None:
    made = read(body="to={digits}&text={text}&key={secret}&type=1", secret="a&b=c").request(PHONE, HOSTILE)
    assert parse_qs(made.body.decode()) == {"to": ["77471234567"], "text": [HOSTILE], "key": ["a&b=c"], "type": ["1"]}
    assert made.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert (made.method, made.url) == ("POST", URL)


def test_json_is_escaped() -> None:
    body = '{"messages": [{"to": "{phone}", "text": "{text}", "flash": false}], "n": 1}'
    made = read(body=body).request(PHONE, HOSTILE)
    assert json.loads(made.body) == {"messages": [{"to": PHONE, "text": HOSTILE, "flash": False}], "n": 1}
    assert made.headers == {"Content-Type": "application/json"}


def test_address_is_escaped() -> None:
    made = read(url=f"{URL}/{{digits}}?t={{text}}&p={{phone}}", body="", method="get").request(PHONE, HOSTILE)
    parts = urlsplit(made.url)
    assert (made.method, made.body, parts.path) == ("GET", b"", "/send/77471234567")
    assert parse_qs(parts.query) == {"t": [HOSTILE], "p": [PHONE]}


def test_secret_goes_into_a_header_and_is_not_shown() -> None:
    provider = read(headers='{"Authorization": "Bearer {secret}"}', secret="hush-hush")
    assert provider.request(PHONE, "1").headers["Authorization"] == "Bearer hush-hush"
    assert "hush-hush" not in repr(provider)


@pytest.mark.parametrize(
    ("success", "answer", "is_success"),
    [
        ("code=0", {"code": 0}, True),
        ("code=0", {"code": "0"}, True),
        ("code=0", {"code": 1}, False),
        ("code=0", {}, False),
        ("code=0", None, False),
        ("ok=true", {"ok": True}, True),
        ("messages.0.status=queued", {"messages": [{"status": "queued"}]}, True),
        ("messages.0.status=queued", {"messages": []}, False),
    ],
)
def test_field_of_the_answer_decides(success: str, answer: Any, is_success: bool) -> None:
    assert read(success=success).is_success(answer) is is_success


def test_without_a_provider_debug_prints_and_nobody_else_sends() -> None:
    printed = read_sms(url="", debug=True)
    assert printed is not None
    assert printed.is_console
    assert read_sms(url="", debug=False) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": "console://", "body": ""}, "for DEBUG"),
        ({"url": ""}, "SMS_URL is missing"),
        ({"url": "http://sms.example.test/"}, "unencrypted"),
        ({"url": "https://user:hush-hush@sms.example.test/"}, "without user"),
        ({"url": "https://{phone}.example.test/"}, "its host"),
        ({"url": "ftp://sms.example.test/"}, "https address"),
        ({"method": "DELETE"}, "GET, POST or PUT"),
        ({"method": "GET"}, "SMS_BODY needs"),
        ({"body": "hush-hush"}, "a form"),
        ({"body": '{"to": "{phone}", "text": {text}}'}, "JSON"),
        ({"body": "to={digits}"}, "{text}"),
        ({"body": "text={text}"}, "{phone}"),
        ({"body": "to={number}&text={text}"}, "'number'"),
        ({"headers": "X: y"}, "JSON object"),
        ({"headers": '{"X": "a\\r\\nb"}'}, "JSON object"),
        ({"headers": '{"X": "{text}"}'}, "no other placeholder"),
        ({"secret": "hush-hush"}, "need each other"),
        ({"body": "to={digits}&text={text}&key={secret}"}, "need each other"),
        ({"success": "code"}, "its value"),
    ],
)
def test_what_cannot_work_is_an_error_at_start(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        read(**changes)
    assert says in str(error.value)
    assert "hush-hush" not in str(error.value)
