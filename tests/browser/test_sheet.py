"""A live trip's map, its gliding marker, and the sheet over it: dragged, by keyboard, what news leaves as it was."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browsing import PHONE, comes_into_view, is_in_view, is_live
from tests.factories import ALMATY, DriverFactory, TripFactory, place
from trips import driving

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]
# How far everything moved that moved without having been pressed or dragged.
SHIFTS = """() => {
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
  }).observe({ type: "layout-shift" });
}"""


def _drag(page: Page, grip: Locator, by: int) -> None:
    box = grip.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for part in range(1, 6):
        page.mouse.move(x, y + by * part / 5)
    page.mouse.up()


# Moves the driver, with the frames of the browser run by hand: where the marker was drawn at first and after each.
_GLIDE = """async ({ trip, lat, lng }) => {
  const marker = document.querySelector("[data-testid=driver-marker]");
  const top = () => marker.getBoundingClientRect().top;
  const { now } = performance;
  const { requestAnimationFrame: request } = window;
  let [time, waiting] = [now.call(performance), []];
  performance.now = () => time;
  window.requestAnimationFrame = (callback) => waiting.push(callback);
  const tops = [top()];
  document.dispatchEvent(new CustomEvent("stepper:frame", { detail: {
    type: "driver.location.updated", trip_id: trip, lat, lng, heading_deg: null,
    recorded_at: new Date(Date.now() + 1000).toISOString(), eta: { pickup_min: 3, dropoff_min: 20 } } }));
  tops.push(top());
  for (let frame = 0; waiting.length && frame < 1000; frame += 1) {
    time += 50;
    waiting.splice(0).forEach((callback) => callback(time));
    tops.push(top());
  }
  Object.assign(window, { requestAnimationFrame: request });
  delete performance.now;
  return tops;
}"""


def test_marker_glides_and_is_there_at_once_for_who_wants_less_motion(open_as: Open) -> None:
    driver = DriverFactory(at=ALMATY)
    trip = TripFactory(status="en_route", driver=driver)
    place(driver, *ALMATY)
    page = open_as(trip.organiser, f"/trips/{trip.pk}/")
    is_live(page)
    # Whoever has touched the map keeps its part: nothing else moves the marker.
    page.locator("#trip-map").dispatch_event("touchstart")
    north = {"trip": trip.pk, "lat": ALMATY[0] + 0.004, "lng": ALMATY[1]}

    before, *tops = page.evaluate(_GLIDE, north)
    there = tops[-1]
    assert there < before
    assert tops[0] == before
    between = [top for top in tops if there < top < before]
    assert len(set(between)) > 5
    assert between == sorted(between, reverse=True)

    page.emulate_media(reduced_motion="reduce")
    start, end = page.evaluate(_GLIDE, north | {"lat": ALMATY[0]})
    assert end - start == before - there


def test_sheet_is_dragged_pressed_and_kept_while_the_trip_goes_on(open_as: Open) -> None:
    driver = DriverFactory(at=ALMATY)
    trip = TripFactory(status="en_route", driver=driver)
    place(driver, trip.pickup_lat, trip.pickup_lng - 0.0617)
    page = open_as(trip.organiser, f"/trips/{trip.pk}/", viewport=PHONE, reduced_motion="reduce")
    is_live(page)
    side, handle = page.locator("#trip-side"), page.get_by_test_id("sheet-handle")

    # Down to its lowest height, where the ETA and the sentence are read all the same.
    expect(side).to_have_attribute("data-sheet", "half")
    _drag(page, handle, 330)
    expect(side).to_have_attribute("data-sheet", "peek")
    expect(handle).to_have_attribute("aria-expanded", "false")
    assert is_in_view(page.get_by_test_id("trip-eta"))
    assert is_in_view(page.get_by_test_id("trip-status"))
    # The marker of the driver is seen above it, and the map is dragged there.
    assert is_in_view(page.get_by_test_id("driver-marker"))
    pane = page.locator(".leaflet-map-pane")
    before = pane.get_attribute("style")
    _drag(page, page.locator("#trip-map .map__canvas"), 60)
    expect(pane).not_to_have_attribute("style", before or "")
    expect(side).to_have_attribute("data-sheet", "peek")

    # By keyboard and by pressing; what has the focus is shown.
    handle.press("Enter")
    expect(side).to_have_attribute("data-sheet", "half")
    handle.press("ArrowUp")
    expect(side).to_have_attribute("data-sheet", "full")
    handle.click()
    expect(side).to_have_attribute("data-sheet", "peek")
    page.get_by_role("link", name="Call").focus()
    expect(side).to_have_attribute("data-sheet", "half")

    side.evaluate("side => { side.scrollTop = 0; }")
    # It scrolls inside; news replaces the panel and moves neither the sheet nor what is read.
    page.mouse.move(195, 700)
    page.mouse.wheel(0, 150)
    expect(side).to_have_js_property("scrollTop", 150)
    page.evaluate(SHIFTS)
    height = side.evaluate("side => side.offsetHeight")
    place(driver, trip.pickup_lat, trip.pickup_lng)
    driving.update_status(driver.pk, trip.pk, status="driver_arrived")
    expect(page.get_by_test_id("trip-status")).to_have_attribute("data-status", "driver_arrived")
    assert side.evaluate("side => [side.offsetHeight, side.scrollTop]") == [height, 150]
    expect(side).to_have_attribute("data-sheet", "half")

    # As it was, for as long as the tab is open.
    handle.press("End")
    page.reload()
    expect(side).to_have_attribute("data-sheet", "peek")
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(handle).to_be_hidden()
    comes_into_view(page, "trip-eta")


def test_connection_that_is_lost_is_said_and_nothing_passes_for_live(open_as: Open) -> None:
    trip = TripFactory(status="en_route")
    page = open_as(trip.organiser, f"/trips/{trip.pk}/", viewport=PHONE)
    is_live(page)
    expect(page.get_by_test_id("trip-offline")).to_be_hidden()
    page.context.set_offline(True)
    expect(page.get_by_test_id("trip-offline")).to_contain_text("No connection since")
    page.context.set_offline(False)
    expect(page.get_by_test_id("trip-offline")).to_be_hidden()
