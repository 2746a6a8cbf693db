"""The boarding code on both phones: read, entered wrong, right, and without a network."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from stepper.models import ServiceSettings
from tests.browsing import PHONE, is_live, is_settled
from tests.factories import ALMATY, DriverFactory, TripFactory
from trips.models import Trip

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]


def test_passenger_says_the_code_and_the_driver_boards_with_it(open_as: Open) -> None:
    ServiceSettings.objects.create(pk=1, boarding_code=True)
    driver = DriverFactory(at=ALMATY)
    trip = TripFactory(status="en_route", driver=driver, boarding_code="4821")
    riding = open_as(trip.organiser, f"/trips/{trip.pk}/", viewport=PHONE)
    driving = open_as(driver.user, "/driver/", at=ALMATY, viewport=PHONE)
    is_live(riding)
    is_settled(driving)
    code = riding.get_by_test_id("boarding-code").inner_text()
    field, step = driving.get_by_test_id("boarding-code-input"), driving.get_by_test_id("trip-next-step")

    # Not before the pickup, which is reached without a network here.
    expect(field).to_be_hidden()
    driving.context.set_offline(True)
    expect(driving.get_by_test_id("offline-banner")).to_be_visible()
    step.click()
    expect(field).to_be_visible()
    driving.context.set_offline(False)
    expect(riding.get_by_test_id("trip-status")).to_have_attribute("data-status", "driver_arrived")

    expect(field).to_be_visible()
    expect(step).to_have_attribute("data-next", "in_transit")
    field.fill("0000")
    step.click()
    expect(driving.get_by_test_id("trip-error")).to_contain_text("not the code of this trip")
    assert Trip.objects.get().wrong_codes == 1
    field.fill(code)
    step.click()
    expect(riding.get_by_test_id("trip-status")).to_have_attribute("data-status", "in_transit")
    expect(riding.get_by_test_id("boarding-code")).to_have_count(0)
    expect(field).to_have_count(0)
