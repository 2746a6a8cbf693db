"""A passenger changes a booked trip before and after a driver accepts, and cancels one before and after the limit."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from stepper.templatetags.units import money
from tests.browsing import PHONE, assert_accessible, is_live, is_settled
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, TripFactory
from tests.live import LiveServer
from trips import accepting
from trips.models import Trip

# What the pages do; which database is behind them plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]
HOUR = dt.timedelta(hours=1)


def test_change_before_a_driver_accepts_and_afterwards(live: LiveServer, open_as: Open) -> None:
    driver = DriverFactory(at=ALMATY)
    offer = OfferFactory(driver=driver, trip__in_=3 * HOUR, expires_at=timezone.now() + HOUR)
    trip: Trip = offer.trip
    driving = is_settled(open_as(driver.user, "/driver/"))
    expect(driving.get_by_test_id("offer-card")).to_be_visible()
    watching = open_as(trip.organiser, f"/trips/{trip.pk}/")
    is_live(watching)
    page = open_as(trip.organiser, f"/trips/{trip.pk}/", viewport=PHONE)
    is_live(page)

    page.get_by_test_id("trip-change").click()
    expect(page.get_by_test_id("price-before")).to_have_text("as before")
    assert_accessible(page)
    page.get_by_role("combobox", name="Dropoff").fill("Medeu")
    page.get_by_role("option").first.click()
    expect(page.get_by_test_id("price-before")).to_have_text(f"instead of {money(trip.fare)}")
    price = page.get_by_test_id("quote-total").inner_text()
    page.get_by_test_id("change-submit").click()

    expect(page.locator(".timeline")).to_contain_text("Changed by you: dropoff Almaty airport → Medeu, price")
    # Another tab of the passenger, and the driver, who is asked anew.
    expect(watching.locator("#trip-panel")).to_contain_text(price)
    expect(watching.locator("h1")).to_contain_text("Medeu")
    expect(watching.get_by_role("img", name="Dropoff: Medeu")).to_have_count(1)
    expect(driving.get_by_test_id("offer-card")).to_contain_text("Medeu")
    anew = trip.offers.get(status="pending")
    assert anew.pk != offer.pk

    # The form is open while the driver accepts.
    page.get_by_test_id("trip-change").click()
    page.get_by_label("Bags").fill("3")
    page.locator("[name=note]").fill("Blue coat")
    watching.locator("[data-dialog=cancel-dialog]").click()
    watching.get_by_label("Found another way").check()
    watching.get_by_label("In your words").fill("My brother drives")
    accepting.accept(driver.pk, anew.pk)
    page.get_by_test_id("change-submit").click()
    expect(page.get_by_test_id("change-refused")).to_contain_text("A driver has accepted the trip as it is")
    assert_accessible(page)
    # What cancelling does has changed under the open question; what was said in it stays.
    expect(watching.get_by_test_id("cancel-terms")).to_contain_text("is told at once and will not come")
    expect(watching.get_by_label("Found another way")).to_be_checked()
    expect(watching.get_by_label("In your words")).to_have_value("My brother drives")
    page.get_by_label("Where exactly at the pickup").fill("Gate 2, by the fountain")
    expect(page.get_by_label("Note to the driver")).to_have_value("Blue coat")
    page.get_by_test_id("change-submit").click()

    expect(page.locator(".timeline")).to_contain_text("Changed by you: pickup: Gate 2, by the fountain, the note")
    driving.goto("/driver/tab/active/")
    card = driving.get_by_test_id("active-trip")
    expect(card).to_contain_text("Blue coat")
    expect(card).to_contain_text("Gate 2, by the fountain")
    is_settled(driving)
    page.get_by_test_id("trip-change").click()
    page.get_by_label("Note to the driver").fill("Blue coat, red bag")
    page.get_by_test_id("change-submit").click()
    expect(card).to_contain_text("Blue coat, red bag")


def test_cancel_before_and_after_the_limit(live: LiveServer, open_as: Open) -> None:
    passenger = PassengerFactory()
    driver = DriverFactory(at=ALMATY, user__name="Daniyar Seitkali")
    trip = TripFactory(organiser=passenger, driver=driver, status="accepted", in_=30 * HOUR)
    late = TripFactory(organiser=passenger, status="accepted", in_=HOUR)
    page = open_as(passenger, f"/trips/{trip.pk}/", viewport=PHONE)
    is_live(page)

    page.locator("[data-dialog=cancel-dialog]").click()
    expect(page.get_by_test_id("cancel-terms")).to_contain_text("You can cancel here until")
    expect(page.get_by_test_id("cancel-terms")).to_contain_text("cannot book")
    assert_accessible(page)
    page.locator("#trip-side").evaluate("side => side.scrollTo(0, side.scrollHeight)")
    expect(page.get_by_test_id("trip-status")).not_to_be_in_viewport()
    page.get_by_label("Found another way").check()
    page.get_by_test_id("cancel-confirm").click()

    expect(page.get_by_test_id("trip-status")).to_have_text("This trip does not take place")
    expect(page.locator("#trip-line")).to_contain_text("Found another way")
    expect(page.get_by_test_id("trip-status")).to_be_in_viewport()
    trip.refresh_from_db()
    assert (trip.status, trip.cancel_code) == ("cancelled", "other_way")

    page.goto(f"/trips/{late.pk}/")
    expect(page.get_by_test_id("cancel-help")).to_contain_text("Cancelling is free until 2 h before departure")
    expect(page.locator("[data-dialog=cancel-dialog]")).to_have_count(0)
    # Somebody had the question open when the limit passed.
    page.goto(f"/trips/{late.pk}/cancel/")
    expect(page.locator("main")).to_contain_text("It is too late to cancel here")
    expect(page.get_by_test_id("cancel-confirm")).to_have_count(0)
