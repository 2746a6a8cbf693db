"""From the account page to one's data and to erasing the account, on a phone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from stepper.models import User
from tests.browsing import PHONE, assert_accessible
from tests.factories import PassengerFactory, TripFactory
from trips.models import SavedPlace, Trip
from trips.states import TripStatus

# What the pages do; which database is behind them plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]


def test_passenger_keeps_home_books_from_it_takes_the_data_and_goes(open_as: Callable[..., Page]) -> None:
    passenger = PassengerFactory.create(name="Aigul Serik")
    trip = TripFactory.create(organiser=passenger, status=TripStatus.COMPLETED, pickup_name="Dostyk 85")
    page = open_as(passenger, "/account/", viewport=PHONE)
    assert_accessible(page)

    page.get_by_test_id("account-places").click()
    # Its script runs: the field finds places.
    expect(page.locator("#place-map .leaflet-container")).to_be_visible()
    page.get_by_test_id("place-input").fill("Medeu")
    page.locator("#place-options [role=option]").first.click()
    page.get_by_test_id("place-save").click()
    expect(page.get_by_test_id("saved-place")).to_contain_text("Home")
    assert_accessible(page)
    assert SavedPlace.objects.get().kind == "home"

    page.goto("/book/")
    page.get_by_test_id("pickup-input").click()
    first = page.locator("#pickup-options [role=option]").first
    expect(first).to_contain_text("Home")
    first.click()
    expect(page.get_by_test_id("pickup-input")).to_have_value(SavedPlace.objects.get().place_name)

    page.goto("/account/")
    page.get_by_role("link", name="Export my data").click()
    with page.expect_download() as caught:
        page.get_by_test_id("account-export").click()
    data = json.loads(Path(caught.value.path()).read_text())
    assert [one["id"] for one in data["trips_booked"]] == [trip.pk]

    page.get_by_role("link", name="Back to your account").click()
    page.get_by_role("link", name="Delete my account").click()
    assert_accessible(page)
    page.get_by_test_id("account-erase").click()
    expect(page.get_by_text("Your account is deleted.")).to_be_visible()
    assert User.objects.get(pk=passenger.pk).name == "–"
    assert Trip.objects.get(pk=trip.pk).pickup_name != "Dostyk 85"
