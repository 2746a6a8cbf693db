"""Three stops in browsers: added, removed and booked on a phone, on the driver's card, marked one by one, watched."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from stepper.models import ServiceSettings
from tests.browsing import PHONE, is_in_view, is_live
from tests.factories import ALMATY, DriverFactory, PassengerFactory
from trips.models import Trip, Wish

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]


def choose(page: Page, field: Locator, name: str) -> None:
    field.fill(name)
    page.get_by_role("option").get_by_text(name, exact=True).first.click()


def test_three_stops_from_the_form_to_the_watched_trip(open_as: Open) -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults={"arrival_radius_m": 5000})
    Wish.objects.update_or_create(code="pet", defaults={"name_en": "Travelling with a pet"})
    driver = DriverFactory(at=ALMATY)
    driving = open_as(driver.user, "/driver/", at=ALMATY, viewport=PHONE)
    is_live(driving)
    page = open_as(PassengerFactory(), "/book/?from=Almaty&to=Almaty+airport", viewport=PHONE)
    total = page.get_by_test_id("quote-total")
    direct = total.inner_text()
    expect(page.get_by_test_id("quote-kept")).to_contain_text(re.compile(r"Price kept until \d\d:\d\d"))

    # Added by the keyboard, each has the focus at once; after the third there is no more to add.
    inputs, add = page.get_by_test_id("stop-input"), page.get_by_test_id("stop-add")
    for number, name in enumerate(("Medeu", "Kok-Tobe", "Shymbulak")):
        add.press("Enter")
        expect(inputs.nth(number)).to_be_focused()
        choose(page, inputs.nth(number), name)
    expect(add).to_be_hidden()
    expect(total).not_to_have_text(direct)
    expect(page.locator(".pin--stop3")).to_be_visible()

    # The first is taken away: those behind it move up, and the price falls.
    with_three = total.inner_text()
    page.get_by_test_id("stop-remove").first.press("Enter")
    expect(inputs.nth(0)).to_have_value("Kok-Tobe")
    expect(inputs.nth(1)).to_have_value("Shymbulak")
    expect(inputs.nth(2)).to_be_hidden()
    expect(page.locator(".pin--stop3")).to_have_count(0)
    expect(total).not_to_have_text(with_three)
    add.click()
    # The same place twice in a row is said where the price is, and at its field once it is sent.
    choose(page, inputs.nth(2), "Shymbulak")
    expect(page.locator("#quote")).to_contain_text("the same place as the one before")
    choose(page, inputs.nth(2), "Medeu")
    expect(total).to_be_visible()

    page.get_by_test_id("wishes").locator("summary").click()
    page.get_by_label("Travelling with a pet").check()
    assert is_in_view(page.get_by_test_id("book-submit"))
    assert is_in_view(total)
    page.get_by_test_id("book-submit").click()
    page.wait_for_url(re.compile(r"/trips/\d+/$"))
    is_live(page)

    card = driving.get_by_test_id("offer-card")
    expect(card.get_by_test_id("offer-stop")).to_have_count(3)
    expect(card).to_contain_text("stop 1 of 3")
    expect(card.get_by_test_id("offer-wish")).to_have_text("Travelling with a pet")
    card.get_by_test_id("offer-accept").click()
    for status in ("en_route", "driver_arrived", "in_transit"):
        driving.locator(f"[data-testid=trip-next-step][data-next={status}]").click()
        expect(page.get_by_test_id("trip-status")).to_have_attribute("data-status", status)

    reached = driving.get_by_test_id("stop-reached")
    timeline = page.get_by_role("list", name="Timeline")
    for number, name in enumerate(("Kok-Tobe", "Shymbulak", "Medeu"), 1):
        expect(page.get_by_test_id("trip-status")).to_contain_text(f"on the way to {name}")
        expect(reached).to_contain_text(name)
        navigate = driving.get_by_test_id("trip-navigate").get_attribute("href")
        reached.click()
        line = timeline.get_by_role("listitem").filter(has_text=f"Stop {number}: {name}")
        expect(line).to_have_attribute("data-state", "done")
        expect(driving.get_by_test_id("trip-navigate")).not_to_have_attribute("href", navigate or "")
    expect(reached).to_have_count(0)
    expect(page.get_by_test_id("trip-status")).to_contain_text("on the way to Almaty airport")
    assert Trip.objects.get().stops_reached == 3


def test_changed_price_is_said_and_nothing_is_lost(open_as: Open) -> None:
    page = open_as(PassengerFactory(), "/book/?from=Almaty&to=Medeu&via=Kok-Tobe", viewport=PHONE)
    page.locator("[name=note]").fill("By the gate")
    ServiceSettings.objects.update_or_create(pk=1, defaults={"base_fare": 5000})
    # As if the page had lain open for longer than the price is kept.
    page.locator("[name=quote]").evaluate("field => { field.value = 'over'; }")
    page.get_by_test_id("book-submit").click()

    expect(page.get_by_role("alert")).to_contain_text("The price is now")
    expect(page.locator("[name=note]")).to_have_value("By the gate")
    expect(page.get_by_test_id("stop-input").first).to_have_value("Kok-Tobe")
    shown = page.get_by_test_id("quote-total").inner_text()
    page.get_by_test_id("book-submit").click()
    page.wait_for_url(re.compile(r"/trips/\d+/$"))
    assert Trip.objects.get().fare > 5000
    expect(page.locator("#trip-panel")).to_contain_text(shown)
