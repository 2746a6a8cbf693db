"""A stranger books, signs up with a code by SMS, which the console provider prints, and watches, at 390 px."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from stepper.models import User
from tests.browsing import PHONE
from tests.factories import ALMATY, DriverFactory
from tests.live import LiveServer

pytestmark = pytest.mark.browser


def printed_code(page: Page, live: LiveServer, number: str) -> str:
    """The last code that the server's console printed for a number."""
    for _attempt in range(100):
        if found := re.findall(rf"SMS to \{number}: \D*(\d{{6}})", live.log_text()):
            return str(found[-1])
        page.wait_for_timeout(100)
    raise AssertionError(live.log_text())


# What is pressed, and which pages are loaded.
COUNT_STEPS = """
sessionStorage.pages = `${sessionStorage.pages ?? ""} ${location.pathname}`;
addEventListener("click", (event) => {
  // Of a finger: what Enter presses has no detail.
  if (event.isTrusted && event.detail) sessionStorage.taps = Number(sessionStorage.taps ?? 0) + 1;
}, true);
"""


def test_stranger_books_and_watches_within_eight_taps(live: LiveServer, open_as: Callable[..., Page]) -> None:
    driver = DriverFactory(at=ALMATY, user__name="Aigerim Sadykova")
    driving = open_as(driver.user, "/driver/", viewport=PHONE)
    page = open_as(None, "/", viewport=PHONE)
    page.context.add_init_script(COUNT_STEPS)
    page.reload()
    page.get_by_role("link", name="Book a trip").click()
    for side, place in (("pickup", "Almaty"), ("dropoff", "Medeu")):
        page.get_by_test_id(f"{side}-input").fill(place)
        page.locator(f"#{side}-options [role=option]").first.click()
    page.get_by_test_id("book-submit").click()

    expect(page.get_by_test_id("book-waits")).to_be_visible()
    page.get_by_test_id("phone-input").fill("8 (747) 765-43-21")
    page.get_by_role("button", name="Send the code").click()
    code = page.get_by_test_id("code-input")
    expect(code).to_have_attribute("autocomplete", "one-time-code")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    code.fill(printed_code(page, live, "+77477654321"))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_test_id("name-input").fill("Asel Omarova")
    page.get_by_role("button", name="Create an account").click()
    expect(page.get_by_test_id("restored")).to_be_visible()
    page.get_by_test_id("book-submit").click()

    page.wait_for_url(re.compile(r"/trips/\d+/$"))
    expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")
    driving.get_by_test_id("offer-accept").click()
    expect(page.get_by_test_id("trip-status")).to_have_attribute("data-status", "accepted")
    expect(page.locator("#trip-panel .person__name")).to_have_text("Aigerim S.")
    assert page.evaluate("Number(sessionStorage.taps)") <= 8
    # The number, the code and the name are three pages.
    phone_pages = ["/accounts/sign-in/phone/"] * 3
    pages = page.evaluate("sessionStorage.pages").split()
    assert pages == ["/", "/book/", *phone_pages, "/book/", urlsplit(page.url).path]
    assert User.objects.get(phone="+77477654321").has_verified_phone
