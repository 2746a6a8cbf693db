"""Passenger and driver write to each other on phones; then the passenger calls the staff for help."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browsing import PHONE, is_live
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory
from tests.live import LiveServer
from trips.models import SafetyAlert, Trip, TripMessage

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def _write(page: Page, text: str) -> None:
    page.get_by_test_id("message-input").fill(text)
    page.get_by_test_id("message-send").click()


def test_messages_go_both_ways_and_unread_ones_are_counted(live: LiveServer, open_as: Open) -> None:
    driver = DriverFactory(at=ALMATY, user__name="Aigerim Sadykova")
    trip: Trip = TripFactory(status="en_route", driver=driver, organiser__name="Dana Akhmetova")
    passenger = open_as(trip.organiser, f"/trips/{trip.pk}/", viewport=PHONE)
    driving = open_as(driver.user, "/driver/tab/active/", viewport=PHONE)
    for page in (passenger, driving):
        is_live(page)
        expect(page.get_by_test_id("message-unread")).to_be_hidden()

    passenger.get_by_test_id("message-open").click()
    _write(passenger, "At the left door")
    expect(passenger.get_by_test_id("message-item")).to_contain_text("At the left door")
    expect(passenger.get_by_test_id("message-input")).to_have_value("")
    expect(passenger.get_by_test_id("message-input")).to_be_focused()
    expect(driving.get_by_test_id("message-unread")).to_contain_text("1")

    driving.get_by_test_id("message-open").click()
    expect(driving.get_by_test_id("message-item")).to_contain_text("At the left door")
    # It is on the screen, so it is read.
    expect(passenger.get_by_test_id("message-item")).to_contain_text("read")
    expect(driving.get_by_test_id("message-unread")).to_be_hidden()

    driving.get_by_test_id("message-input").fill("half a sen")
    driving.get_by_role("button", name="I am at the pickup").click()
    expect(passenger.get_by_test_id("message-item").last).to_contain_text("I am at the pickup")
    # What was begun stays; the dialog of the passenger is open, so nothing is unread.
    expect(driving.get_by_test_id("message-input")).to_have_value("half a sen")
    expect(driving.get_by_test_id("message-item").last).to_contain_text("read")

    # What is said of a message that nobody can read ends with it.
    _write(passenger, "\u200b")
    refused = passenger.locator("#message-error .field__error:not([data-unsent])")
    expect(refused).to_be_visible()
    passenger.get_by_test_id("message-input").fill("Coming")
    expect(refused).to_have_count(0)
    expect(passenger.get_by_test_id("message-input")).not_to_have_attribute("aria-invalid", "true")

    # Without a network what was typed stays, says so, and is sent once when it is there again.
    passenger.context.set_offline(True)
    _write(passenger, "Coming")
    expect(passenger.locator("#message-error [data-unsent]")).to_be_visible()
    expect(passenger.get_by_test_id("message-input")).to_have_value("Coming")
    passenger.context.set_offline(False)
    is_live(passenger)
    # The answer comes late, and what is written meanwhile stays as well.
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    passenger.route("**/messages/", hold)
    with passenger.expect_request("**/messages/"):
        passenger.get_by_test_id("message-send").click()
    passenger.get_by_test_id("message-input").fill("I see you")
    held[0].continue_()
    passenger.unroute("**/messages/")
    expect(driving.get_by_test_id("message-item")).to_have_count(3)
    assert TripMessage.objects.filter(text="Coming").count() == 1
    expect(passenger.get_by_test_id("message-item")).to_have_count(3)
    expect(passenger.get_by_test_id("message-input")).to_have_value("I see you")

    # Not on the screen any more, so not read any more.
    driving.keyboard.press("Escape")
    expect(driving.locator("#messages-dialog")).to_be_hidden()
    passenger.get_by_test_id("message-send").click()
    expect(driving.get_by_test_id("message-unread")).to_contain_text("1")
    passenger.keyboard.press("Escape")
    expect(passenger.locator("#messages-dialog")).to_be_hidden()
    driving.get_by_test_id("message-open").click()
    # All was read but this one.
    driving.get_by_role("button", name="I am at the pickup").click()
    expect(passenger.get_by_test_id("message-unread")).to_be_visible()
    expect(passenger.get_by_test_id("message-unread")).to_contain_text("1")


def test_help_is_called_with_the_position_and_staff_know(live: LiveServer, open_as: Open) -> None:
    StaffFactory()
    trip: Trip = TripFactory(status="in_transit", driver=DriverFactory())
    page = open_as(trip.organiser, f"/trips/{trip.pk}/", viewport=PHONE, at=ALMATY)
    is_live(page)
    page.get_by_test_id("safety-button").click()
    expect(page.get_by_test_id("safety-call")).to_have_attribute("href", "tel:112")
    page.get_by_test_id("safety-alert").click()
    expect(page.get_by_test_id("safety-state")).to_contain_text("Our staff know since")
    alert = SafetyAlert.objects.get()
    assert (alert.lat, alert.lng, alert.position_of) == (*ALMATY, "sender")
