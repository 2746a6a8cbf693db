"""What the tests of codes by SMS share: reading a code from the provider's task, and signing in with it."""

import re
from typing import Any

from django.test import Client, RequestFactory
from django_tasks_db.models import DBTaskResult

from stepper.tasks.sealing import unseal

SIGN_IN = "/accounts/sign-in/phone/"
PHONE = "+77471234567"
# The same number, as people type it.
SPELLINGS = ["+7 747 123 45 67", "8 (747) 123-45-67", "77471234567", "+77471234567", "8747-123-4567"]


def texts() -> list[tuple[str, str]]:
    """Number and text of the SMS that wait to be sent, the latest last."""
    rows = DBTaskResult.objects.filter(queue_name="sms").order_by("enqueued_at", "id")
    sealed = [row.args_kwargs["kwargs"]["sealed"] for row in rows if row.args_kwargs["kwargs"]]
    return [(data["phone"], data["text"]) for data in map(unseal, sealed)]


def last_code(phone: str = PHONE) -> str:
    codes = [re.findall(r"\b\d{6}\b", text) for to, text in texts() if to == phone]
    [code] = codes[-1]
    return str(code)


def wrong(code: str) -> str:
    """Another code than this one."""
    return f"{(int(code) + 1) % 1_000_000:06}"


def request_from(address: str = "203.0.113.7") -> Any:
    return RequestFactory().post("/", REMOTE_ADDR=address)


def ask(client: Client, phone: str = PHONE, **more: Any) -> Any:
    """Enter a number on the page."""
    return client.post(SIGN_IN, {"step": "phone", "phone": phone, **more})


def enter(client: Client, code: str) -> Any:
    """Enter a code on the page."""
    return client.post(SIGN_IN, {"step": "code", "code": code})


def sign_in(client: Client, phone: str = PHONE) -> Any:
    """Sign in to an account that exists."""
    assert ask(client, phone).status_code == 302
    return enter(client, last_code(phone))
