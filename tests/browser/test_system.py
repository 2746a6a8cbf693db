"""`/ops/system/` in Chromium: it refreshes itself in place."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.factories import StaffFactory

# The same page on both set-ups.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]


def test_page_shows_anew_what_works_without_being_loaded_again(open_as: Callable[..., Page]) -> None:
    page = open_as(StaffFactory.create(), "/ops/system/")
    dispatcher = page.get_by_test_id("system-checks").get_by_role("row", name="Dispatcher")
    expect(dispatcher).to_contain_text("works")
    page.evaluate("document.body.dataset.same = '1'")
    with page.expect_response(lambda answer: answer.url.endswith("/ops/system/")) as refreshed:
        pass
    assert refreshed.value.request.headers["hx-request"] == "true"
    expect(page.get_by_test_id("system-figures").get_by_role("row", name="Open sockets")).to_contain_text("1")
    assert page.evaluate("document.body.dataset.same") == "1"
