"""A trip that nobody takes, on the passenger's open page: searched farther for, put off, without reloading."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from drivers import availability
from tests.browsing import DESKTOP, PHONE, assert_accessible
from tests.factories import ALMATY, DriverFactory, TripFactory
from tests.live import LiveServer
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
