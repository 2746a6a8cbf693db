"""Breaks, hours and the warning on the driver's dashboard, by keyboard and on the phone, and without reloading."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from drivers import availability
from drivers.models import Break, Driver
from realtime.events import Filters
from tests.browsing import PHONE, assert_accessible
from tests.factories import ALMATY, DriverFactory, TripFactory, place
from tests.live import LiveServer
from trips.models import Trip, TripWatch
from trips.states import TripStatus

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def mark(page: Page, name: str) -> Any:
    return page.get_by_test_id(name)


@pytest.fixture
def driver(live: LiveServer) -> Driver:
    driver: Driver = DriverFactory(at=ALMATY)
    return driver


def test_break_hours_and_warning_without_reloading(live: LiveServer, open_as: Open, driver: Driver) -> None:
    page = open_as(driver.user, "/driver/", at=ALMATY, viewport=PHONE)
    expect(mark(page, "connection-state")).to_contain_text("Live")

    panel = mark(page, "hours")
    panel.locator("summary").press("Enter")
    mark(page, "break-30").press("Enter")
    expect(mark(page, "on-break")).to_contain_text("On a break until")
    expect(mark(page, "availability-toggle")).to_have_attribute("aria-checked", "false")

    # The break's time is over: the dispatcher puts the driver back, the open page shows it.
    now = timezone.now()
    Break.objects.update(starts_at=now - dt.timedelta(minutes=31), ends_at=now, due_at=now)
    expect(mark(page, "availability-toggle")).to_have_attribute("aria-checked", "true")
    expect(mark(page, "on-break")).to_have_count(0)

    panel.get_by_label("Monday, from").fill("08:00")
    mark(page, "hours-save").click()
    expect(panel.get_by_text("Enter both times")).to_be_visible()
    # What has to be corrected, and what was said of the last save, outlive a change made elsewhere.
    availability.set_online(driver.pk, False)
    expect(mark(page, "availability-toggle")).to_have_attribute("aria-checked", "false")
    expect(panel.get_by_text("Enter both times")).to_be_visible()
    panel.get_by_label("Monday, until").fill("18:00")
    expect(panel.get_by_text("Enter both times")).to_have_count(0)
    mark(page, "hours-save").click()
    expect(panel.get_by_text("Saved.")).to_be_visible()
    availability.set_online(driver.pk, True)
    expect(mark(page, "availability-toggle")).to_have_attribute("aria-checked", "true")
    expect(panel.get_by_text("Saved.")).to_be_visible()
    expect(mark(page, "hours-state")).to_contain_text("Mon")
    expect(mark(page, "availability-changes")).to_contain_text("your break ended")
    assert_accessible(page)

    # Nothing has happened for long: warned on the open page, and kept online by one press.
    long_ago = timezone.now() - dt.timedelta(minutes=115)
    Driver.objects.update(active_at=long_ago, idle_look_at=long_ago)
    expect(mark(page, "idle-warning")).to_contain_text("You go offline at")
    mark(page, "stay-online").click()
    expect(mark(page, "idle-warning")).to_have_count(0)
    driver.refresh_from_db()
    assert (driver.availability, driver.auto_offline_at) == ("available", None)


def test_open_panel_follows_another_device_until_somebody_types(
    live: LiveServer, open_as: Open, driver: Driver
) -> None:
    page = open_as(driver.user, "/driver/", at=ALMATY, viewport=PHONE)
    expect(mark(page, "connection-state")).to_contain_text("Live")
    panel, least = mark(page, "filters"), page.get_by_label("Least earnings")
    panel.locator("summary").focus()
    availability.set_filters(driver.pk, Filters(min_earnings=600))
    expect(least).to_have_value("600")
    expect(panel.locator("summary")).to_be_focused()

    panel.locator("summary").click()
    availability.set_filters(driver.pk, Filters(min_earnings=700))
    expect(least).to_have_value("700")
    expect(panel.locator("summary")).to_be_focused()

    least.fill("900")
    availability.set_filters(driver.pk, Filters(max_distance_km=9))
    availability.set_online(driver.pk, False)
    expect(mark(page, "availability-toggle")).to_have_attribute("aria-checked", "false")
    expect(least).to_have_value("900")


def test_stall_is_on_the_passengers_page_until_the_driver_moves(live: LiveServer, open_as: Open) -> None:
    trip: Trip = TripFactory(status=TripStatus.EN_ROUTE)
    assert trip.driver is not None
    page = open_as(trip.organiser, f"/trips/{trip.pk}/", viewport=PHONE)
    expect(mark(page, "connection-state")).to_contain_text("Live")

    now = timezone.now()
    long_ago = now - dt.timedelta(minutes=6)
    place(trip.driver, 43.3, 76.85)
    TripWatch.objects.create(
        trip=trip,
        driver=trip.driver,
        due_at=now,
        set_off_at=long_ago,
        anchor_lat=43.3,
        anchor_lng=76.85,
        anchor_at=long_ago,
        least_km=8.7,
        least_at=long_ago,
    )
    expect(mark(page, "trip-stall")).to_contain_text("has been standing still since")

    place(trip.driver, 43.29, 76.85)
    TripWatch.objects.update(due_at=timezone.now())
    expect(mark(page, "trip-stall")).to_have_count(0)
