"""Streets and house numbers on the booking page: found by a geocoder, and when that fails."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.factories import PassengerFactory
from tests.geocoder import DOSTYK, Geocoder, feature, photon, running_geocoder
from tests.live import LiveServer
from trips.models import Trip

# What the page does; which database is behind it plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]


@pytest.fixture
def geocoder() -> Iterator[Geocoder]:
    with running_geocoder() as running:
        yield running


@pytest.fixture
def live(geocoder: Geocoder, start_server: Callable[..., LiveServer]) -> LiveServer:
    return start_server(GEOCODER_URL=f"photon+{geocoder.url}")


def test_house_is_chosen_and_a_failing_geocoder_leaves_the_words_and_the_map(
    geocoder: Geocoder, live: LiveServer, open_as: Callable[..., Page]
) -> None:
    geocoder.answer = photon(feature(DOSTYK, 43.2330, 76.9570))
    page = open_as(PassengerFactory(), "/book/")
    page.get_by_test_id("pickup-input").fill("Dostyk 85")
    page.get_by_test_id("place-option").get_by_text("Dostyk Avenue 85", exact=True).click()
    expect(page.get_by_test_id("pickup-input")).to_have_value("Dostyk Avenue 85")

    geocoder.answer = lambda _server, _path, _query: (500, b"", {})
    dropoff = page.get_by_test_id("dropoff-input")
    dropoff.fill("Medeu")
    expect(page.get_by_test_id("place-option").first).to_contain_text("Medeu")
    expect(page.get_by_test_id("place-note")).to_contain_text("Streets cannot be searched")
    dropoff.fill("Abay 10")
    expect(page.get_by_test_id("place-none")).to_contain_text("Streets cannot be searched")
    box = page.locator("#booking-map").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    expect(page.get_by_test_id("quote-total")).to_be_visible()
    page.get_by_test_id("book-submit").click()
    page.wait_for_url("**/trips/*/")
    trip = Trip.objects.get()
    assert (trip.pickup_name, trip.pickup_address) == ("Dostyk Avenue 85", "Almaty")
    assert (trip.pickup_lat, trip.pickup_lng) == (43.2330, 76.9570)
    assert trip.dropoff_name == "Abay 10"
