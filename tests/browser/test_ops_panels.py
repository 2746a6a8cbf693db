"""A dispatcher finds a trip that nobody takes, reads why, gives it to the nearest driver, hands it over mid-ride."""

import datetime as dt
from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from drivers.models import Driver, TrailPoint
from stepper.templatetags.units import clock
from tests.browsing import DESKTOP, PHONE
from tests.drives import step_there
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory
from tests.live import LiveServer
from trips.models import DispatchRound, Trip

# What the pages do; which database is behind them plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]


def near(km: float, name: str, **fields: object) -> Driver:
    driver: Driver = DriverFactory(at=(ALMATY[0] + km / 111.195, ALMATY[1]), user__name=name, **fields)
    return driver


def below_header(page: Page, element: Locator) -> None:
    """Fail where an element is out of view, or under the header that stays at the top."""
    expect(element).to_be_in_viewport(ratio=0.9)
    header, box = page.locator("header.bar").bounding_box(), element.bounding_box()
    assert header is not None
    assert box is not None
    assert box["y"] >= header["y"] + header["height"]


def test_an_unfilled_trip_is_explained_assigned_by_keyboard_and_handed_over(live: LiveServer, open_as: Open) -> None:
    aida, berik = near(1, "Aida Nurlan"), near(2, "Berik Omarov")
    # More than fit into the window.
    for number in range(3, 11):
        near(number, f"Driver {number}")
    # Not the running dispatcher's: nobody is asked.
    trip: Trip = TripFactory(status="unfilled", next_look_at=None, escalated_at=None, round_number=1)
    DispatchRound.objects.create(
        trip=trip,
        number=1,
        considered=1,
        looked_km=50,
        verdicts=[[aida.pk, 1.0, "too_far", None]],
        reasons={"too_far": 1},
    )
    boards = {one: open_as(one.user, "/driver/", viewport=PHONE) for one in (aida, berik)}
    page = open_as(StaffFactory(is_superuser=True), "/ops/trips/", viewport=DESKTOP)

    page.get_by_label("Status").select_option("open")
    page.get_by_role("button", name="Show").click()
    page.get_by_test_id("ops-trip-row").filter(has_text=trip.title).get_by_role("link").click()
    expect(page.get_by_test_id("connection-state")).to_have_text("Live")
    expect(page.get_by_test_id("ops-entry").filter(has_text="Round 1, wave 1")).to_contain_text("1 considered")
    page.get_by_text("Drivers of this wave").click()
    expect(page.get_by_role("link", name="Aida Nurlan")).to_be_visible()

    # By keyboard alone: A opens the picker on the nearest driver, Enter gives the trip to them.
    page.set_viewport_size({"width": 1280, "height": 640})
    page.evaluate("scrollTo(0, 300)")
    page.keyboard.press("a")
    expect(page.get_by_test_id("assign-candidate").first).to_contain_text("Aida Nurlan")
    expect(page.get_by_test_id("assign-candidate").first.get_by_role("radio")).to_be_focused()
    below_header(page, page.locator("#ops-form-title"))
    below_header(page, page.locator(":focus"))
    # A refusal leads to the field that it is about.
    page.get_by_test_id("assign-candidate").nth(1).get_by_role("radio").check()
    page.evaluate("document.querySelector('#pick-form [name=reason]').maxLength = 5000")
    page.get_by_label("Reason").fill("long " * 200)
    page.evaluate("scrollTo(0, 300)")
    page.get_by_test_id("pick-submit").click()
    expect(page.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Reason")).to_be_focused()
    below_header(page, page.locator(":focus"))
    page.get_by_test_id("assign-candidate").first.get_by_role("radio").check()
    page.get_by_label("Reason").fill("")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("ops-status")).to_have_text("Driver found")
    expect(boards[aida].locator(f"#trip-{trip.pk}")).to_be_attached()
    expect(page.get_by_test_id("ops-work")).to_be_empty()
    expect(page.get_by_text("Drivers of this wave").locator("xpath=..")).to_have_attribute("open", "")

    for status in ("en_route", "driver_arrived", "passengers_boarded", "in_transit"):
        step_there(trip.pk, status)
    expect(page.get_by_test_id("ops-status")).to_have_text("On the road")
    page.get_by_test_id("reassign").click()
    page.get_by_test_id("assign-candidate").filter(has_text="Berik").get_by_role("radio").check()
    page.get_by_label("Part of the fare").fill("500")
    page.get_by_label("Reason").fill("engine")
    page.get_by_test_id("pick-submit").click()
    expect(boards[berik].locator(f"#trip-{trip.pk}")).to_be_attached()
    expect(boards[aida].locator(f"#trip-{trip.pk}")).to_have_count(0)
    expect(page.get_by_label("Parts of the drivers")).to_contain_text("Berik Omarov")

    # The former driver's car is not taken for theirs, however much later its last position is.
    expect(page.get_by_test_id("ops-vehicle")).to_have_attribute("data-lat", str(berik.position.lat))
    TrailPoint.objects.create(
        trip=trip, driver=aida, lat=ALMATY[0] + 0.5, lng=ALMATY[1], recorded_at=timezone.now() + dt.timedelta(minutes=1)
    )
    page.reload()
    expect(page.get_by_test_id("trail-time")).to_contain_text("last position")
    expect(page.get_by_test_id("ops-vehicle")).to_have_attribute("data-lat", str(berik.position.lat))


def test_a_driver_is_dragged_onto_the_trip_and_the_slider_leads_back_in_time(live: LiveServer, open_as: Open) -> None:
    driver = near(1, "Aida Nurlan")
    trip: Trip = TripFactory(status="unfilled", next_look_at=None)
    page = open_as(StaffFactory(is_superuser=True), f"/ops/trips/{trip.pk}/", viewport=DESKTOP)
    page.get_by_test_id("assign").click()
    page.get_by_test_id("assign-candidate").first.drag_to(page.locator("#ops-title"))
    expect(page.get_by_test_id("ops-driver")).to_contain_text("Aida Nurlan")

    # Later than the position that the driver began with, also to the second.
    at = timezone.now() + dt.timedelta(seconds=1)
    for minutes in (20, 10, 0):
        TrailPoint.objects.create(
            trip=trip,
            driver=driver,
            lat=ALMATY[0] + minutes / 1000,
            lng=ALMATY[1],
            recorded_at=at - dt.timedelta(minutes=minutes),
        )
    page.reload()
    slider, time, marker = (
        page.get_by_test_id("trail-slider"),
        page.get_by_test_id("trail-time"),
        "[data-testid=ops-vehicle]",
    )
    expect(page.locator(marker)).to_have_attribute("data-lat", str(ALMATY[0]))
    slider.focus()
    page.keyboard.press("Home")
    expect(time).to_have_text(clock(at - dt.timedelta(minutes=20), trip.timezone))
    expect(page.locator(marker)).to_have_attribute("data-lat", str(round(ALMATY[0] + 0.02, 6)))
    page.keyboard.press("ArrowRight")
    expect(time).to_have_text(clock(at - dt.timedelta(minutes=10), trip.timezone))
