"""What the dashboard says on a phone: why no offers come, how long to wait, what was done; and nothing in the way."""

import datetime as dt
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from drivers.models import Driver
from realtime.delivery.notifications import notify
from tests.browsing import PHONE, is_live
from tests.factories import ALMATY, DriverFactory, TripFactory
from trips.models import Rating
from trips.states import TripStatus

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]
HOUR = dt.timedelta(hours=1)


def test_dashboard_says_what_is_wrong_and_what_was_done(open_as: Open) -> None:
    idle = DriverFactory.create(at=ALMATY, user__name="Yerlan Idle")
    driver = DriverFactory.create(at=ALMATY)
    Driver.objects.filter(pk=driver.pk).update(rating_sum=33, rating_count=7)
    TripFactory.create(status=TripStatus.COMPLETED, driver=driver, in_=-HOUR)
    at_pickup = TripFactory.create(status=TripStatus.DRIVER_ARRIVED, driver=driver)
    later = TripFactory.create(status=TripStatus.ACCEPTED, driver=driver, in_=5 * HOUR)

    _missing_position_is_said(open_as(idle.user, "/driver/", viewport=PHONE))
    page = open_as(driver.user, "/driver/", at=ALMATY, viewport=PHONE)
    is_live(page)
    expect(page.get_by_test_id("stat-rating")).to_contain_text("4.7 · 7 ratings")
    _toast_leaves_the_step_free(page, driver, page.locator(f"#trip-{at_pickup.pk}"))
    _giving_back_is_confirmed(page, page.locator(f"#trip-{later.pk}"))
    _rating_is_chosen_sent_and_changed(page)
    _header_stays_one_line_high(page)
    _no_show_counts_down(page)


def _missing_position_is_said(page: Page) -> None:
    is_live(page)
    expect(page.get_by_text("Your position is blocked.")).to_be_visible()
    expect(page.get_by_test_id("no-position")).to_be_visible()
    expect(page.get_by_text("No offers right now")).to_be_hidden()
    page.context.set_geolocation({"latitude": ALMATY[0], "longitude": ALMATY[1]})
    page.context.grant_permissions(["geolocation"])
    expect(page.get_by_text("No offers right now")).to_be_visible()
    expect(page.get_by_test_id("no-position")).to_be_hidden()
    expect(page.get_by_text("Your position is blocked.")).to_be_hidden()


def _toast_leaves_the_step_free(page: Page, driver: Driver, card: Locator) -> None:
    for number in range(3):
        notify(driver.user, f"News {number}", message="", audience="driver")
        expect(page.locator("#toasts").get_by_text(f"News {number}")).to_be_visible()
    # Where the step is at the bottom of the screen.
    step = card.get_by_test_id("trip-next-step").bounding_box()
    assert step is not None
    page.set_viewport_size({"width": 390, "height": round(step["y"] + step["height"]) + 8})
    # By their boxes: a toast lets presses through, so what is under it is still found at its place.
    toast = page.locator("#toasts .toast:visible").bounding_box()
    assert toast is not None
    for part in ("[data-testid=trip-next-step]", "[data-testid=trip-status]", "[data-testid=passenger-call]"):
        box = card.locator(part).bounding_box()
        assert box is not None
        assert toast["y"] + toast["height"] <= box["y"] or box["y"] + box["height"] <= toast["y"], part
    page.set_viewport_size(PHONE)


def _giving_back_is_confirmed(page: Page, card: Locator) -> None:
    card.get_by_test_id("trip-menu").locator("> summary").click()
    card.locator("summary").get_by_text("Give the trip back").click()
    card.get_by_role("button", name="Give the trip back").click()
    expect(page.locator("#toasts").get_by_text("You have given the trip back.")).to_be_visible()
    expect(card).to_have_count(0)


def _rating_is_chosen_sent_and_changed(page: Page) -> None:
    card = page.get_by_test_id("rate-card")
    card.get_by_label("1 star").check(force=True)
    card.get_by_label("4 stars").check(force=True)
    assert not Rating.objects.exists()
    card.get_by_test_id("rate-send").click()
    expect(card).to_have_count(0)
    page.get_by_test_id("tab-history").click()
    past = page.get_by_test_id("history-item")
    expect(past).to_contain_text("You gave 4 stars")
    past.get_by_test_id("rating-change").click()
    past.get_by_label("5 stars").check(force=True)
    past.get_by_test_id("rate-send").click()
    expect(past).to_contain_text("You gave 5 stars")
    assert Rating.objects.get().stars == 5


def _header_stays_one_line_high(page: Page) -> None:
    state, switch = page.get_by_test_id("connection-state"), page.get_by_test_id("availability-toggle")
    expect(switch).to_contain_text("On a trip")
    page.context.set_offline(True)
    expect(state).to_contain_text("Offline since")
    for width in (390, 360, 320):
        page.set_viewport_size({"width": width, "height": 844})
        for part in (state, switch, page.get_by_text("Your account")):
            box = part.bounding_box()
            assert box is not None
            assert box["y"] >= 0, (width, box)
            assert box["y"] + box["height"] <= 60, (width, box)
            assert box["x"] + box["width"] <= width, (width, box)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        words, knob = state.bounding_box(), switch.bounding_box()
        assert words is not None
        assert knob is not None
        assert words["x"] + state.evaluate("element => element.scrollWidth") <= knob["x"], width
        assert knob["height"] == 44
        if width == 390:
            assert words["height"] < 24, words
    page.context.set_offline(False)
    page.set_viewport_size(PHONE)
    is_live(page)


def _no_show_counts_down(page: Page) -> None:
    page.clock.install()
    page.goto("/driver/tab/active/")
    is_live(page)
    page.get_by_test_id("trip-menu").locator("> summary").click()
    page.get_by_text("The passenger did not come").click()
    form = page.get_by_test_id("trip-no-show")
    button = form.get_by_role("button", name="Cancel the trip: no-show")
    expect(button).to_be_disabled()
    expect(form.locator("[data-countdown]")).to_contain_text("4:")
    button.click(force=True)
    page.clock.fast_forward("05:00")
    expect(button).to_be_enabled()
    expect(form.locator("[data-countdown]")).to_be_hidden()
    expect(form.get_by_test_id("no-show-from")).to_be_hidden()
    # The press that came too early was not sent.
    expect(page.get_by_test_id("trip-error")).to_have_count(0)
