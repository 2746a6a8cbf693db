"""The trip that a driver works on, on a phone: first on the page, all of it on one screen, nothing over it."""

import datetime as dt
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browsing import PHONE, is_in_view
from tests.factories import ALMATY, DriverFactory, PassengerFactory, TripFactory
from trips.states import TripStatus

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]
HOUR = dt.timedelta(hours=1)
# What driving needs.
NEEDED = (
    "[data-testid=trip-status]",
    ".trip__when",
    ".route__stop--pickup .route__name",
    ".route__stop--pickup .route__address",
    ".route__stop--dropoff .route__name",
    ".person__name",
    "[data-testid=passenger-call]",
    "[data-testid=trip-cash]",
    ".trip__note",
    "[data-testid=trip-next-step]",
    "[data-testid=trip-navigate]",
    "[data-testid=trip-menu] > summary",
)
STEPS = (TripStatus.EN_ROUTE, TripStatus.DRIVER_ARRIVED, TripStatus.PASSENGERS_BOARDED, TripStatus.IN_TRANSIT)


def test_trip_at_hand_fits_the_phone_and_nothing_is_above_it(open_as: Open) -> None:
    driver = DriverFactory.create(at=ALMATY)
    TripFactory.create(status=TripStatus.COMPLETED, driver=driver, in_=-HOUR)
    TripFactory.create(status=TripStatus.ACCEPTED, driver=driver, in_=5 * HOUR)
    trip = TripFactory.create(
        driver=driver,
        status=TripStatus.ACCEPTED,
        organiser=PassengerFactory.create(name="Aleksandra Konstantinopolskaya"),
        pickup_name="Almaty International Airport, domestic arrivals",
        pickup_address="Mailin 2, the second exit, behind the taxi stand",
        dropoff_name="Medeu skating rink",
        dropoff_address="Gornaya 465",
        bags=3,
        note="Gate 3. Two suitcases, a child seat and a dog; please wait beside the flower shop.",
        delay_minutes=15,
    )
    page = open_as(driver.user, "/driver/", at=ALMATY, viewport=PHONE)
    card = page.locator(f"#trip-{trip.pk}")
    expect(page.get_by_test_id("connection-state")).to_contain_text("Live")

    for step in (None, *STEPS):
        if step is not None:
            trip.move(step, "driver")
        expect(card).to_have_attribute("data-status", step or "accepted")
        assert [part for part in NEEDED if not is_in_view(card.locator(part))] == [], step
    # Neither the next trip nor the request to rate the last passenger, the map or the figures come before it.
    mark = page.get_by_test_id
    later = (mark("active-trip").nth(1), mark("rate-card"), page.locator("#driver-map"), mark("stat-today"))
    boxes = [part.bounding_box() for part in (card, *later)]
    tops = [box["y"] for box in boxes if box is not None]
    assert len(tops) == len(boxes)
    assert tops == sorted(tops)
