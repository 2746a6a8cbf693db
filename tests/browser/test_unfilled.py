"""A trip that nobody takes or a driver gives back, on the passenger's open page, without reloading."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from drivers import availability
from tests.browsing import DESKTOP, PHONE, assert_accessible, is_live
from tests.factories import ALMATY, DriverFactory, OfferFactory, TripFactory
from tests.live import LiveServer
from trips import accepting, assignment
from trips.models import Trip

# What the page does; which database is behind it plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_search_farther_and_go_later(live: LiveServer, open_as: Callable[..., Page], viewport: Any) -> None:
    trip: Trip = TripFactory(status="unfilled", next_look_at=None)
    page = open_as(trip.organiser, f"/trips/{trip.pk}/", viewport=viewport)
    expect(page.get_by_test_id("connection-state")).to_contain_text("Live")
    choices = page.get_by_test_id("unfilled-choices")
    expect(choices).to_contain_text("Search farther, up to 100 km")
    assert_accessible(page)

    page.get_by_test_id("widen").focus()
    page.keyboard.press("Enter")
    expect(choices).to_contain_text("Search farther, up to 200 km")

    # Later; and then somebody comes online.
    before = trip.departure_at
    with page.expect_response("**/postpone/") as later:
        page.get_by_test_id("postpone-2").click()
    assert later.value.ok
    trip.refresh_from_db()
    assert trip.departure_at > before
    assert not trip.is_now
    availability.set_online(DriverFactory(at=ALMATY, is_online=False).pk, True)
    expect(page.get_by_test_id("trip-status")).to_have_text("Asking 1 driver nearby")
    expect(choices).to_have_count(0)


def test_trip_that_its_driver_gives_back_says_so_and_who_is_asked_now(
    live: LiveServer, open_as: Callable[..., Page]
) -> None:
    driver = DriverFactory(at=ALMATY, user__name="Aigerim Sadykova")
    offer = OfferFactory(driver=driver)
    page = open_as(offer.trip.organiser, f"/trips/{offer.trip.pk}/", viewport=PHONE)
    is_live(page)
    page.evaluate("() => { window.isSamePage = true; }")
    accepting.accept(driver.pk, offer.pk)
    expect(page.get_by_test_id("trip-status")).to_have_attribute("data-status", "accepted")
    expect(page.get_by_test_id("given-back")).to_have_count(0)
    DriverFactory.create_batch(2, at=ALMATY)

    assignment.release(driver.pk, offer.trip.pk, "flat tyre")

    expect(page.get_by_test_id("trip-status")).to_have_text("Asking 2 drivers nearby")
    expect(page.get_by_test_id("given-back")).to_contain_text("Aigerim had to give the trip back at")
    happened = page.locator(
        ".timeline__item:is([data-state=done], [data-state=given-back], [data-state=now]) > span:not(.timeline__time)"
    )
    expect(happened).to_have_text(["Booked", "Aigerim accepted", "Aigerim gave the trip back", "Looking for a driver"])
    expect(page.locator("#trip-panel .person")).to_have_count(0)
    assert page.evaluate("window.isSamePage")
