"""What staff do in the admin: why a driver did not get a trip, from both sides; the page of an account fits."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from drivers.models import Driver
from tests.browsing import ADMIN_THEME, DESKTOP, PHONE, assert_accessible
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory
from tests.live import LiveServer
from trips import dispatch
from trips.models import Trip

# What the page does; which database is behind it plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]


def there(km: float, name: str, **fields: Any) -> Driver:
    driver: Driver = DriverFactory(at=(ALMATY[0] + km / 111.195, ALMATY[1]), user__name=name, **fields)
    return driver


def follow(page: Page, name: str) -> None:
    """The link of an action, wherever the width of the page puts it."""
    url = page.get_by_role("link", name=name, include_hidden=True).first.get_attribute("href")
    assert url
    page.goto(url)


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_why_did_this_driver_not_get_it(live: LiveServer, open_as: Open, viewport: Any) -> None:
    # Not the running dispatcher's: the test looks for drivers itself, once.
    trip: Trip = TripFactory(status="published", next_look_at=None)
    there(1, "Aida Nurlan")
    there(12, "Berik Omarov", max_distance_km=5)
    there(14, "Dana Serik")
    dispatch.start_round(trip.pk)
    page = open_as(StaffFactory(is_superuser=True), f"/admin/trips/trip/{trip.pk}/change/", viewport=viewport)

    follow(page, "Why not?")
    expect(page.get_by_text("3 considered: 1 offered, 1 too far for the driver, 1 later")).to_be_visible()
    expect(page.get_by_text("offered: open")).to_be_visible()
    expect(page.get_by_text("asked later, if nobody nearer takes it")).to_be_visible()
    assert_accessible(page, besides=ADMIN_THEME)

    # One driver, searched for by name.
    page.get_by_role("combobox").first.click()
    page.get_by_role("searchbox").last.fill("Berik")
    page.get_by_role("option", name="Berik Omarov").click()
    page.get_by_role("button", name="Why not?").click()
    expect(page.get_by_text("What speaks against it now")).to_be_visible()
    expect(page.get_by_text("too_far", exact=True)).to_be_visible()

    # The same from the driver's side.
    page.get_by_role("link", name="Berik Omarov").first.click()
    follow(page, "Why not a trip?")
    page.get_by_label("Trip number").fill(str(trip.pk))
    page.keyboard.press("Enter")
    expect(page.get_by_text("too_far", exact=True)).to_be_visible()
    expect(page.get_by_text("round 1, wave 1")).to_be_visible()


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_page_of_an_account_is_as_wide_as_the_screen(
    live: LiveServer, open_as: Open, viewport: Any, language: str
) -> None:
    staff = StaffFactory(is_superuser=True, language=language)
    page = open_as(staff, f"/admin/stepper/user/{staff.pk}/change/", viewport=viewport)
    expect(page.locator("[name=roles]").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
