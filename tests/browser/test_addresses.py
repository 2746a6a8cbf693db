"""Streets and house numbers on the booking page: found by a geocoder, and when that is slow, wrong or absent."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.factories import PassengerFactory
from tests.geocoder import (
    STREETS,
    Answer,
    address_where_nothing_listens,
    malformed,
    never,
    photon,
    running_geocoder,
)
from tests.live import LiveServer
from trips.models import Trip

# What the page does; which database is behind it plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]


@pytest.fixture
def geocoder_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a geocoder that answers as the test's parameter says; None: nothing listens there."""
    answer: Answer | None = getattr(request, "param", photon(*STREETS))
    if answer is None:
        with address_where_nothing_listens() as url:
            yield url
    else:
        with running_geocoder() as running:
            running.answer = answer
            yield running.url


@pytest.fixture
def live(geocoder_url: str, start_server: Callable[..., LiveServer]) -> LiveServer:
    return start_server(GEOCODER_URL=f"photon+{geocoder_url}")


def press_map(page: Page) -> None:
    box = page.locator("#booking-map").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)


def test_house_is_found_and_booked(live: LiveServer, open_as: Open) -> None:
    page = open_as(PassengerFactory(), "/book/")
    for side, typed, name in (
        ("pickup", "Dostyk 85", "Dostyk Avenue 85"),
        ("dropoff", "Abay Avenue 10", "Abay Avenue 10"),
    ):
        page.get_by_test_id(f"{side}-input").fill(typed)
        page.get_by_test_id("place-option").filter(has_text="Almaty").get_by_text(name, exact=True).click()
        expect(page.get_by_test_id(f"{side}-input")).to_have_value(name)
    expect(page.get_by_test_id("quote-total")).to_be_visible()
    page.get_by_test_id("book-submit").click()
    page.wait_for_url("**/trips/*/")
    trip = Trip.objects.get()
    assert (trip.pickup_name, trip.pickup_address) == ("Dostyk Avenue 85", "Almaty")
    assert (trip.pickup_lat, trip.pickup_lng) == (43.2330, 76.9570)
    assert (trip.dropoff_name, trip.dropoff_lat) == ("Abay Avenue 10", 43.2407)


@pytest.mark.parametrize("geocoder_url", [never, malformed, None], ids=["slow", "wrong", "absent"], indirect=True)
def test_without_a_geocoders_answer_words_stay_and_the_map_asks_for_the_point(live: LiveServer, open_as: Open) -> None:
    page = open_as(PassengerFactory(), "/book/")
    pickup, dropoff = page.get_by_test_id("pickup-input"), page.get_by_test_id("dropoff-input")
    # What is known without it is found all the same, and the list says what is missing.
    pickup.fill("Medeu")
    expect(page.get_by_test_id("place-note")).to_contain_text("Streets cannot be searched")
    page.get_by_test_id("place-option").get_by_text("Medeu", exact=True).click()

    dropoff.fill("Abay Avenue 10")
    expect(page.get_by_test_id("place-none")).to_contain_text("Streets cannot be searched")
    expect(page.get_by_test_id("place-none")).to_contain_text("Press the map to choose the point")
    press_map(page)
    expect(page.locator("[name=dropoff_lat]")).not_to_have_value("")
    expect(dropoff).to_have_value("Abay Avenue 10")
    expect(page.get_by_test_id("quote-total")).to_be_visible()
    page.get_by_test_id("book-submit").click()
    page.wait_for_url("**/trips/*/")
    trip = Trip.objects.get()
    assert (trip.pickup_name, trip.dropoff_name) == ("Medeu", "Abay Avenue 10")
    assert trip.dropoff_address.startswith(f"{trip.dropoff_lat:.5f}, ")
