"""Choosing where a trip begins, in a browser."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.factories import PassengerFactory
from tests.live import LiveServer
from trips.models import Trip

# What the page does; which database is behind it plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]


def test_own_position_stays_where_it_is_and_borrows_a_name(live: LiveServer, open_as: Callable[..., Page]) -> None:
    """The driver is led to the point; a place 200 m away is only what people call it."""
    page = open_as(PassengerFactory(), "/book/", at=(43.2412, 76.9577))

    page.get_by_role("button", name="Use my position").click()

    expect(page.get_by_role("combobox", name="Pickup")).to_have_value("Abay Square")
    page.get_by_role("combobox", name="Dropoff").fill("airport")
    page.get_by_role("option").first.click()
    page.get_by_role("button", name="Book").click()
    page.wait_for_url("**/trips/*/")
    trip = Trip.objects.get()
    assert (trip.pickup_name, trip.pickup_lat, trip.pickup_lng) == ("Abay Square", 43.2412, 76.9577)
