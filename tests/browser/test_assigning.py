"""Staff give a trip to a driver who is not asked, move it to another, and both drivers see it at once."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from drivers.models import Driver
from tests.browsing import ADMIN_THEME, DESKTOP, PHONE, assert_accessible
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory
from tests.live import LiveServer
from trips.models import Trip

# What the pages do; which database is behind them plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]


def there(km: float, name: str, **fields: Any) -> Driver:
    driver: Driver = DriverFactory(at=(ALMATY[0] + km / 111.195, ALMATY[1]), user__name=name, **fields)
    return driver


def test_a_trip_is_given_to_a_driver_and_moved_to_another(live: LiveServer, open_as: Open) -> None:
    # Not the running dispatcher's: nobody is asked.
    trip: Trip = TripFactory(status="unfilled", vehicle_class="suv", next_look_at=None)
    aida, berik = there(1, "Aida Nurlan"), there(2, "Berik Omarov")
    DriverFactory(user__name="Dana Serik", licence_expires_on="2020-01-01")
    boards = {one: open_as(one.user, "/driver/", viewport=PHONE) for one in (aida, berik)}
    page = open_as(StaffFactory(is_superuser=True), f"/admin/trips/trip/{trip.pk}/assign/", viewport=DESKTOP)

    candidates = page.get_by_test_id("assign-candidate")
    expect(candidates).to_have_count(3)
    expect(candidates.first).to_contain_text("1.0 km")
    expect(candidates.first.get_by_test_id("assign-warning")).to_have_text("smaller vehicle class")
    expect(candidates.last.get_by_role("radio")).to_be_disabled()
    assert_accessible(page, besides=ADMIN_THEME)
    page.set_viewport_size(PHONE)
    assert_accessible(page, besides=ADMIN_THEME)

    candidates.first.click()
    page.get_by_role("button", name="Assign a driver").click()
    expect(page.get_by_text("Say why this driver drives it all the same: smaller vehicle class.")).to_be_visible()
    page.get_by_label("Reason").fill("the passenger agrees")
    page.get_by_role("button", name="Assign a driver").click()
    expect(page.get_by_text("1 assigned")).to_be_visible()
    expect(boards[aida].locator(f"#trip-{trip.pk}")).to_be_attached()

    page.goto(page.get_by_test_id("reassign").first.get_attribute("href") or "")
    page.get_by_test_id("assign-candidate").filter(has_text="Berik").click()
    page.get_by_label("Reason").fill("nearer")
    page.get_by_role("button", name="Move to another driver").click()
    expect(page.get_by_text("1 moved to another driver")).to_be_visible()
    expect(boards[berik].locator(f"#trip-{trip.pk}")).to_be_attached()
    expect(boards[aida].locator(f"#trip-{trip.pk}")).to_have_count(0)
