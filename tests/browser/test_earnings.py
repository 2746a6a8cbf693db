"""The earnings page in a browser: it follows a trip that is completed, is accessible, and gives its files."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from drivers.models import Driver
from tests.browsing import DESKTOP, PHONE, assert_accessible
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory
from tests.live import LiveServer
from trips import steering
from trips.states import TripStatus

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

MONEY = {"fare": 2000, "platform_fee": 300, "driver_earnings": 1700}


def test_page_follows_a_completed_trip_and_gives_the_statement(live: LiveServer, open_as: Callable[..., Page]) -> None:
    driver: Driver = DriverFactory(at=ALMATY)
    TripFactory(status=TripStatus.COMPLETED, driver=driver, **MONEY)
    under_way = TripFactory(status=TripStatus.ARRIVED, driver=driver, pickup_name="Medeu", **MONEY)
    page = open_as(driver.user, "/driver/earnings/?month=", at=ALMATY, viewport=PHONE)
    total, table = page.get_by_test_id("earnings-total"), page.get_by_test_id("earnings-table")
    expect(page.get_by_test_id("connection-state")).to_contain_text("Live")
    expect(total).to_have_text("₸1\u202f700")
    page.get_by_text("As a table").click()
    expect(table.locator("tfoot")).to_contain_text("₸1\u202f700")

    steering.complete(under_way.pk, StaffFactory(), "phone dead")
    expect(total).to_have_text("₸3\u202f400")
    expect(page.get_by_test_id("earned-trip").first).to_contain_text("Medeu")
    expect(page.get_by_test_id("availability-toggle")).to_have_text("Online")
    # Still open, with the new sums.
    expect(table.locator("tfoot")).to_contain_text("₸3\u202f400")
    expect(page.get_by_test_id("earnings-chart").locator("rect")).to_have_count(1)

    for viewport in (PHONE, DESKTOP):
        page.set_viewport_size(viewport)
        assert_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for name in ("csv", "pdf"):
        with page.expect_download() as started:
            page.get_by_test_id(f"statement-{name}").click()
        assert started.value.suggested_filename.endswith(f".{name}")
