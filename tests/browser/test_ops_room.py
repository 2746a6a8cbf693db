"""The operations room in Chromium: a driver moves on the map, an unfilled trip is claimed and the others see it."""

from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from tests.browsing import DESKTOP, PHONE, assert_accessible, is_live
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory, place
from tests.live import LiveServer
from trips.models import Trip

# What the pages do; which database is behind them plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]


def color_of(page: Page, token: str) -> str:
    """Return a colour of the style sheet as a computed style writes it."""
    return str(
        page.evaluate(
            """token => {
              const probe = document.body.appendChild(document.createElement("i"));
              probe.style.color = `var(${token})`;
              const color = getComputedStyle(probe).color;
              probe.remove();
              return color;
            }""",
            token,
        )
    )


def in_lower_half(element: Locator, box: Locator) -> bool:
    """Say whether an element leaves the upper corners of the map to its attribution, which tests have no tiles for."""
    inner, outer = element.bounding_box(), box.bounding_box()
    assert inner is not None
    assert outer is not None
    bottom = outer["y"] + outer["height"]
    return bottom >= inner["y"] + inner["height"] and inner["y"] > outer["y"] + outer["height"] / 2


def test_two_dispatchers_share_the_queue_and_watch_the_map(live: LiveServer, open_as: Open) -> None:
    driver = DriverFactory.create(at=ALMATY, user__name="Daniyar Seitkali")
    first = open_as(StaffFactory.create(name="Saule"), "/ops/", viewport=DESKTOP)
    second = open_as(StaffFactory.create(name="Asem"), "/ops/", viewport=PHONE)
    for page in (first, second):
        is_live(page)
        expect(page.get_by_test_id("ops-counter-online")).to_have_text("1")
        expect(page.get_by_test_id("ops-counter-unfilled")).to_have_text("0")
        expect(page.locator("#ops-map-words")).to_contain_text("1 drivers")
        expect(page.get_by_test_id("ops-counter-unfilled")).to_have_css("color", color_of(page, "--ink"))
        assert in_lower_half(page.locator("#ops-all"), page.locator("#ops-map"))

    # An unfilled trip appears by itself, as news.
    trip: Trip = TripFactory.create(status="unfilled", escalated_at=timezone.now(), next_look_at=None)
    for page in (first, second):
        expect(page.get_by_test_id("ops-queue-item")).to_contain_text("Nobody takes it")
        expect(page.get_by_test_id("ops-counter-unfilled")).to_have_text("1")
        expect(page.get_by_test_id("ops-counter-unfilled")).to_have_css("color", color_of(page, "--urgent"))
        expect(page.locator("#ops-news")).to_contain_text("Almaty airport")
        expect(page).to_have_title("(1) Operations · StepperGO")
        assert_accessible(page)

    # Who claims it has it; the other sees who at once, and takes it over when asked.
    first.keyboard.press("j")
    first.keyboard.press("c")
    expect(first.get_by_test_id("ops-claimed")).to_contain_text("Yours since")
    expect(second.get_by_test_id("ops-claimed")).to_contain_text("Saule since")
    second.get_by_test_id("ops-claim").click()
    assert_accessible(second)
    second.get_by_role("button", name="Take over").last.click()
    expect(second.get_by_test_id("ops-claimed")).to_contain_text("Yours since")
    expect(first.get_by_test_id("ops-claimed")).to_contain_text("Asem since")
    Trip.objects.filter(pk=trip.pk).update(status="cancelled")
    for page in (first, second):
        expect(page.get_by_test_id("ops-queue-item")).to_have_count(0)
        expect(page).to_have_title("Operations · StepperGO")

    # The map moves, and says the same in words; a driver on it is a press away.
    first.evaluate("localStorage.setItem('stepper:ops-view', JSON.stringify({ lat: 43.222, lng: 76.8512, zoom: 14 }))")
    first.reload()
    expect(first.locator("#ops-map-words")).to_contain_text("1 drivers")
    box = first.get_by_test_id("ops-map").bounding_box()
    assert box is not None
    first.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(first.locator("#ops-card")).to_contain_text("Daniyar Seitkali")
    first.keyboard.press("Escape")
    expect(first.locator("#ops-card")).to_be_hidden()
    place(driver, ALMATY[0] + 1, ALMATY[1])
    expect(first.locator("#ops-map-words")).to_contain_text("0 drivers")
    first.locator("#ops-in-view summary").click()
    expect(first.locator("#ops-list")).to_contain_text("No driver in this part of the map.")

    # Search by keys alone.
    first.keyboard.press("/")
    first.keyboard.type("daniyar")
    expect(first.locator("#ops-found a")).to_have_count(1)
    assert_accessible(first)
    first.keyboard.press("ArrowDown")
    expect(first.locator("#ops-found [aria-selected=true]")).to_contain_text("Daniyar Seitkali")
    # Where it leads plays no part here.
    first.route("**/ops/drivers/*/", lambda route: route.abort())
    with first.expect_request(f"**/ops/drivers/{driver.pk}/"):
        first.keyboard.press("Enter")

    # Without a connection the page says since when.
    second.context.set_offline(True)
    expect(second.locator("#ops-note")).to_contain_text("No connection since")
