"""What a first visit loads."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browsing import PHONE
from tests.factories import OfferFactory

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

FONTS_MAX_BYTES = 70_000
_FONTS = """async () => {
  await document.fonts.ready;
  const files = performance.getEntriesByType("resource").filter((entry) => entry.name.endsWith(".woff2"));
  return files.map((entry) => [new URL(entry.name).pathname, entry.encodedBodySize]);
}"""


def test_first_visit_loads_three_small_fonts(open_as: Callable[..., Page]) -> None:
    page = open_as(OfferFactory.create().driver.user, "/driver/", viewport=PHONE, locale="ru-RU")
    expect(page.get_by_test_id("offer-card")).to_be_visible()
    fonts = dict(page.evaluate(_FONTS))
    assert sorted(fonts) == [f"/static/fonts/Inter-{weight}.woff2" for weight in (400, 600, 700)]
    # Without the bytes that were counted the sum would say nothing.
    assert all(fonts.values())
    assert sum(fonts.values()) <= FONTS_MAX_BYTES
    states = "[...document.fonts].map((font) => `${font.weight} ${font.status}`).sort()"
    assert page.evaluate(states) == ["400 loaded", "600 loaded", "700 loaded"]
