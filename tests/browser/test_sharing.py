"""A trip shared with family: the link made on a phone, opened in a clean browser, watched, ended."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browsing import PHONE, is_live
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory, place
from tests.live import LiveServer
from trips import assignment, driving
from trips.models import Trip

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def _shared_trip() -> Trip:
    driver = DriverFactory(at=ALMATY, user__name="Aigerim Sadykova")
    trip: Trip = TripFactory(status="en_route", driver=driver)
    place(driver, trip.pickup_lat, trip.pickup_lng - 0.0617)
    return trip


def _make_link(page: Page) -> str:
    page.get_by_test_id("share-create").click()
    return page.get_by_test_id("share-link").input_value()


def test_link_is_opened_watched_ended_and_dead(live: LiveServer, open_as: Open) -> None:
    trip = _shared_trip()
    assert trip.driver
    sharing = open_as(trip.organiser, f"/trips/{trip.pk}/", viewport=PHONE)
    is_live(sharing)
    link = _make_link(sharing)
    assert link.startswith(live.url)
    watching = open_as(None, link, viewport=PHONE)
    is_live(watching)
    expect(watching.get_by_test_id("trip-status")).to_have_text("Aigerim is on the way to the pickup")
    expect(watching.get_by_test_id("trip-eta")).to_have_text("9 min")
    expect(watching.locator(".vehicle")).to_be_visible()

    place(trip.driver, trip.pickup_lat, trip.pickup_lng)
    driving.update_status(trip.driver.pk, trip.pk, status="driver_arrived")
    expect(watching.get_by_test_id("trip-status")).to_have_text("Aigerim is at the pickup")

    sharing.reload()
    is_live(sharing)
    sharing.get_by_test_id("share-revoke").click()
    expect(sharing.get_by_test_id("share-revoke")).to_have_count(0)
    expect(watching.locator("#trip-panel")).to_contain_text("This link does not work any more")
    expect(watching.locator(".vehicle")).to_have_count(0)
    watching.reload()
    expect(watching.get_by_test_id("share-ended")).to_be_visible()


def test_marker_of_the_driver_before_goes_with_them(live: LiveServer, open_as: Open) -> None:
    trip = _shared_trip()
    sharing = open_as(trip.organiser, f"/trips/{trip.pk}/")
    is_live(sharing)
    watching = open_as(None, _make_link(sharing))
    is_live(watching)
    expect(watching.get_by_test_id("driver-marker")).to_be_visible()

    # No position of the new driver is known.
    other = DriverFactory(user__name="Daniyar Seitkali")
    assignment.reassign(trip.pk, other.pk, StaffFactory(), "the first car broke down")

    expect(watching.locator("#trip-panel")).to_contain_text("Daniyar")
    expect(watching.get_by_test_id("driver-marker")).to_have_count(0)


def test_watcher_sees_the_end_of_the_trip(live: LiveServer, open_as: Open) -> None:
    trip = _shared_trip()
    assert trip.driver
    sharing = open_as(trip.organiser, f"/trips/{trip.pk}/")
    is_live(sharing)
    watching = open_as(None, _make_link(sharing))
    is_live(watching)
    Trip.objects.update(status="arrived")

    driving.update_status(trip.driver.pk, trip.pk, status="completed")
    # Nothing more comes, so no connection is missed.
    expect(watching.get_by_test_id("connection-state")).to_be_hidden()

    expect(watching.get_by_test_id("trip-status")).to_contain_text("This trip is over.")
    expect(sharing.locator("#trip-share")).to_have_count(0)
    watching.reload()
    expect(watching.get_by_test_id("share-ended")).to_be_visible()
