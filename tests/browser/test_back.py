"""Going back to a page of somebody signed in: as it is now, and nothing of it once they have signed out."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.factories import DriverFactory, TripFactory
from trips.models import Trip
from trips.states import TripStatus

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]


def test_back_to_a_trip_shows_it_as_it_is_now(open_as: Open) -> None:
    driver = DriverFactory.create()
    trip = TripFactory.create(status=TripStatus.EN_ROUTE, driver=driver)
    page = open_as(trip.organiser, f"/trips/{trip.pk}/")
    status = page.get_by_test_id("trip-status")
    expect(status).to_have_attribute("data-status", "en_route")
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text))

    page.goto("/trips/")
    # Not through the verb: no event tells the page.
    Trip.objects.filter(pk=trip.pk).update(status=TripStatus.DRIVER_ARRIVED)
    page.go_back()

    expect(status).to_have_attribute("data-status", "driver_arrived")
    expect(page.get_by_test_id("connection-state")).to_contain_text("Live")
    assert "; ".join(text for text in warnings if "Permissions-Policy" in text) == ""


def test_back_after_signing_out_shows_nothing(open_as: Open) -> None:
    trip = TripFactory.create()
    page = open_as(trip.organiser, f"/trips/{trip.pk}/")
    expect(page.get_by_test_id("trip-status")).to_be_visible()
    page.goto("/accounts/logout/")
    page.locator("main form button").click()
    page.wait_for_url("**/")

    page.go_back()
    page.go_back()

    expect(page).to_have_url(f"{page.url.split('/accounts')[0]}/accounts/login/?next=/trips/{trip.pk}/")
