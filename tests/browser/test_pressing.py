"""What is drawn anew while it is pressed is clicked nevertheless."""

from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from realtime.delivery.notifications import notify
from tests.browsing import DESKTOP, PHONE, is_live, is_settled
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from trips import changes
from trips.models import Trip
from trips.states import TripStatus

# What the pages do; which database is behind them plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]

# Resolves when the server has told that something changed.
HEAR = """window.heard = new Promise((done) => addEventListener(
  "htmx:wsBeforeMessage", ({ detail }) => detail.message.includes("ADDRESS") && done(), true))"""

# Resolves when the page has fetched something.
FETCHED = "() => void (window.fetched = new Promise((done) => addEventListener('htmx:afterOnLoad', done, true)))"


def press_while_the_trip_changes(button: Locator, trip: Trip, address: str) -> None:
    page = button.page
    page.evaluate(f"() => void ({HEAR.replace('ADDRESS', address)})")
    button.hover()
    page.mouse.down()
    changes.change(trip.pk, trip.organiser, {"pickup_address": address})
    page.evaluate("async () => void (await window.heard)")
    page.mouse.up()


def test_next_step_is_taken_although_the_trip_changes_while_it_is_pressed(open_as: Open) -> None:
    driver = DriverFactory(at=ALMATY)
    trip: Trip = TripFactory(driver=driver, status=TripStatus.ACCEPTED)
    page = is_settled(open_as(driver.user, "/driver/", viewport=PHONE))
    card = page.get_by_test_id("active-trip")
    press_while_the_trip_changes(card.get_by_test_id("trip-next-step"), trip, "Gate 2")
    expect(card).to_have_attribute("data-status", TripStatus.EN_ROUTE)
    expect(card).to_contain_text("Gate 2")


def test_who_holds_a_button_down_sees_what_changes(open_as: Open) -> None:
    driver = DriverFactory(at=ALMATY)
    trip: Trip = TripFactory(driver=driver, status=TripStatus.ACCEPTED)
    page = is_settled(open_as(driver.user, "/driver/", viewport=PHONE))
    page.get_by_test_id("trip-next-step").hover()
    page.mouse.down()
    changes.change(trip.pk, trip.organiser, {"pickup_address": "Gate 2"})
    expect(page.get_by_test_id("active-trip")).to_contain_text("Gate 2")


def test_question_of_cancelling_opens_although_the_trip_changes_while_it_is_asked_for(open_as: Open) -> None:
    trip: Trip = TripFactory(driver=DriverFactory(at=ALMATY), status=TripStatus.ACCEPTED)
    page = open_as(trip.organiser, f"/trips/{trip.pk}/", viewport=PHONE)
    is_live(page)
    press_while_the_trip_changes(page.locator("[data-dialog=cancel-dialog]"), trip, "Gate 2")
    expect(page.locator("#cancel-dialog")).to_be_visible()
    expect(page.locator("#trip-panel")).to_contain_text("Gate 2")


def test_notification_is_read_although_the_list_is_fetched_while_it_is_pressed(open_as: Open) -> None:
    user = PassengerFactory()
    notify(user, "Old trip", audience="passenger", category="trip")
    page = open_as(user, "/notifications/", viewport=PHONE)
    is_live(page)
    page.wait_for_load_state("networkidle")
    page.evaluate(FETCHED)
    page.get_by_test_id("notification").hover()
    page.mouse.down()
    notify(user, "New booking", audience="passenger", category="booking")
    page.evaluate("async () => void (await window.fetched)")
    page.mouse.up()
    expect(page.get_by_test_id("notification")).to_have_count(2)
    unread = page.locator(".notice--unread")
    expect(unread).to_have_count(1)
    expect(unread).to_contain_text("New booking")


def test_button_of_the_queue_is_clicked_although_the_queue_changes_while_it_is_pressed(open_as: Open) -> None:
    waiting = {"status": "unfilled", "escalated_at": timezone.now(), "next_look_at": None}
    TripFactory.create(**waiting)
    page = open_as(StaffFactory.create(), "/ops/", viewport=DESKTOP)
    is_live(page)
    page.wait_for_load_state("networkidle")
    box = page.get_by_test_id("ops-claim").bounding_box()
    assert box is not None
    page.evaluate(FETCHED)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    TripFactory.create(**waiting)
    page.evaluate("async () => void (await window.fetched)")
    page.mouse.up()
    expect(page.get_by_test_id("ops-claimed")).to_contain_text("Yours since")
    expect(page.get_by_test_id("ops-queue-item")).to_have_count(2)
