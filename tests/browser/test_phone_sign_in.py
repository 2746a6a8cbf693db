"""A stranger signs up with a code by SMS, which the console provider prints, at 390 px."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from stepper.models import User
from tests.browsing import PHONE
from tests.live import LiveServer

pytestmark = pytest.mark.browser


def printed_code(page: Page, live: LiveServer, number: str) -> str:
    """The last code that the server's console printed for a number."""
    for _attempt in range(100):
        if found := re.findall(rf"SMS to \{number}: \D*(\d{{6}})", live.log_text()):
            return str(found[-1])
        page.wait_for_timeout(100)
    raise AssertionError(live.log_text())


def test_stranger_signs_up_by_phone(live: LiveServer, open_as: Callable[..., Page]) -> None:
    page = open_as(None, "/accounts/login/?next=/book/", viewport=PHONE)
    page.get_by_test_id("phone-sign-in").click()
    page.get_by_test_id("phone-input").fill("8 (747) 765-43-21")
    page.get_by_test_id("phone-input").press("Enter")
    code = page.get_by_test_id("code-input")
    expect(code).to_have_attribute("autocomplete", "one-time-code")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    code.fill(printed_code(page, live, "+77477654321"))
    code.press("Enter")
    page.get_by_test_id("name-input").fill("Asel Omarova")
    page.get_by_test_id("name-input").press("Enter")
    expect(page).to_have_url(re.compile("/book/$"))
    assert User.objects.get(phone="+77477654321").has_verified_phone
