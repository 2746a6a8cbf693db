"""The whole job in two browsers: booked, offered, accepted, driven, completed, rated; the server killed in between."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from drivers.models import Driver
from stepper.models import ServiceSettings, User
from tests.browsing import PHONE, is_live, is_settled
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, TripFactory
from tests.live import LiveServer
from trips import accepting
from trips.models import Trip
from trips.states import TripStatus

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
# What the issue promises for news on an open page; the page's own clock measures it.
SOON_MS = 1000
# Boarding and driving off are one button.
STEPS = ["driver_arrived", "in_transit", "arrived", "completed"]


def mark(page: Page, name: str) -> Any:
    return page.get_by_test_id(name)


def book(page: Page, pickup: str = "Almaty", dropoff: str = "Medeu") -> None:
    for side, place in (("pickup", pickup), ("dropoff", dropoff)):
        field = page.locator(f"[name={side}_name]")
        field.fill(place)
        page.locator(f"#{side}-options [role=option]").locator(".strong").get_by_text(place, exact=True).click()
    expect(mark(page, "quote-total")).to_be_visible()


def test_trip_from_booking_to_rating_with_a_killed_server(live: LiveServer, open_as: Open) -> None:
    # The marker below is moved away from the pickup faster than anybody drives back.
    ServiceSettings.objects.create(pk=1, arrival_radius_m=5000)
    driver = DriverFactory(at=ALMATY)
    passenger = PassengerFactory()
    driving = open_as(driver.user, "/driver/", at=ALMATY, viewport=PHONE)
    riding = open_as(passenger, "/book/")
    is_live(driving)

    book(riding)
    mark(riding, "book-submit").click()
    # The trip's page opens when the booking is answered, so the card is at most a second behind it.
    riding.wait_for_url(re.compile(r"/trips/\d+/$"))
    expect(mark(driving, "offer-card")).to_be_visible(timeout=SOON_MS)
    first = mark(driving, "offer-countdown").inner_text()
    expect(mark(driving, "offer-countdown")).not_to_have_text(first)
    assert driving.title().startswith("(1)")

    mark(driving, "offer-accept").click()
    expect(mark(driving, "offer-card")).to_have_count(0)
    expect(riding.get_by_text(driver.user.short_name, exact=True)).to_be_visible()
    expect(riding.get_by_text(driver.vehicle.plate_text)).to_be_visible()

    mark(driving, "trip-next-step").click()
    expect(mark(riding, "trip-status")).to_have_attribute("data-status", "en_route")
    _marker_follows(driving, riding)

    live.kill()
    expect(mark(driving, "connection-state")).not_to_contain_text("Live")
    live.start()
    is_live(driving)
    is_live(riding)

    trip = Trip.objects.get()
    for status in STEPS:
        button = driving.locator(f"[data-testid=trip-next-step][data-next={status}]")
        button.click()
        expect(mark(riding, "trip-status")).to_have_attribute("data-status", status)

    riding.get_by_role("group", name="How was the trip").get_by_label("5 stars").check(force=True)
    riding.get_by_role("button", name="Send the rating").click()
    expect(riding.get_by_text("You gave 5 stars")).to_be_visible()
    mark(driving, "rate-card").get_by_label("4 stars").check(force=True)
    mark(driving, "rate-send").first.click()
    expect(mark(driving, "rate-card")).to_have_count(0)

    mark(driving, "tab-history").click()
    expect(mark(driving, "history-item")).to_contain_text("Medeu")
    earned = f"₸{trip.driver_earnings:,}".replace(",", "\u202f")
    expect(mark(driving, "history-earnings")).to_have_text(earned)
    expect(mark(driving, "stat-today")).to_contain_text(earned)
    _assert_rated(driver, passenger)

    riding.get_by_role("link", name="Receipt").click()
    expect(mark(riding, "receipt-total")).to_have_text(f"₸{trip.fare:,}".replace(",", "\u202f"))
    with riding.expect_download() as download:
        mark(riding, "receipt-pdf").click()
    assert download.value.path().read_bytes().startswith(b"%PDF")


def _marker_follows(driving: Page, riding: Page) -> None:
    marker = mark(riding, "driver-marker")
    expect(marker).to_be_visible()
    driving.context.set_geolocation({"latitude": ALMATY[0] + 0.001, "longitude": ALMATY[1]})
    expect(marker).to_have_attribute("data-lat", re.compile(r"^43\.223"))
    driving.context.set_geolocation({"latitude": ALMATY[0] + 0.002, "longitude": ALMATY[1]})
    expect(marker).to_have_attribute("data-lat", re.compile(r"^43\.224"))
    expect(mark(riding, "trip-eta")).to_contain_text("min")


def _assert_rated(driver: Driver, passenger: User) -> None:
    driver.refresh_from_db()
    passenger.refresh_from_db()
    assert (driver.rating, passenger.rating) == (5.0, 4.0)


def test_change_from_another_process_is_on_the_pages(live: LiveServer, open_as: Open) -> None:
    """This process has no sockets: as a management command or a shell."""
    trip = TripFactory(status=TripStatus.ACCEPTED)
    driving, riding = open_as(trip.driver.user, "/driver/"), open_as(trip.organiser, f"/trips/{trip.pk}/")
    is_live(driving)
    is_live(riding)
    trip.move(TripStatus.EN_ROUTE, "driver")
    expect(mark(riding, "trip-status")).to_have_attribute("data-status", "en_route", timeout=SOON_MS)
    expect(driving.locator("[data-testid=trip-next-step][data-next=driver_arrived]")).to_be_attached(timeout=SOON_MS)


def test_loser_sees_why_the_card_went(live: LiveServer, open_as: Open) -> None:
    offer = OfferFactory()
    other = OfferFactory(trip=offer.trip)
    page = open_as(offer.driver.user, "/driver/", viewport=PHONE)
    # What the socket begins with says nothing of a card that has just gone.
    is_settled(page)
    expect(mark(page, "offer-card")).to_be_visible()
    accepting.accept(other.driver.pk, other.pk)
    expect(page.get_by_text("Another driver was faster")).to_be_visible()
    expect(mark(page, "offer-accept")).to_have_count(0)


def test_declined_card_is_gone_on_every_tab(live: LiveServer, open_as: Open) -> None:
    offer = OfferFactory()
    tabs = [open_as(offer.driver.user, "/driver/", viewport=PHONE) for _ in range(2)]
    for tab in tabs:
        is_live(tab)
        expect(mark(tab, "offer-card")).to_be_visible()
    mark(tabs[0], "offer-decline").click()
    for tab in tabs:
        expect(mark(tab, "offer-card")).to_have_count(0)


@pytest.mark.embedded_only
def test_booking_form_points_at_what_is_missing(open_as: Open) -> None:
    page = open_as(PassengerFactory(), "/book/", viewport=PHONE)
    mark(page, "book-submit").click()
    expect(page.locator("#pickup-error")).to_be_visible()
    expect(page.locator("#dropoff-error")).to_be_visible()
