"""The booking form in a browser: what stays in view, errors that end, "later", a stranger's way to a booked trip."""

import re
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from stepper.models import ServiceSettings
from tests.browsing import DESKTOP, PHONE, is_in_view
from tests.factories import ALMATY, DriverFactory, PassengerFactory
from trips.models import Trip

# What the page does; which database is behind it plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]
NARROW: ViewportSize = {"width": 320, "height": 640}
# Both ends by name, as a hotel's link has them.
FILLED = "/book/?from=Almaty&to=Medeu"


@pytest.mark.parametrize("path", ["/book/", FILLED])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP, NARROW], ids=["phone", "desktop", "narrow"])
def test_price_wait_and_button_stay_in_view(open_as: Open, viewport: ViewportSize, path: str) -> None:
    DriverFactory(at=ALMATY)
    page = open_as(PassengerFactory(), path, viewport=viewport)
    marks = ["book-submit"] + (["quote-total", "quote-wait"] if path == FILLED else [])
    assert _hidden_on_the_way_down(page, marks) == []


def _hidden_on_the_way_down(page: Page, marks: list[str]) -> list[tuple[str, str]]:
    """What cannot be seen of `marks` at the top, in the middle and at the end of the form."""
    hidden = []
    for name in ("h1", "[name=seats]", "[name=note]"):
        page.locator(name).first.scroll_into_view_if_needed()
        hidden += [(name, mark) for mark in marks if not is_in_view(page.get_by_test_id(mark))]
    return hidden


@pytest.mark.parametrize("language", ["ru", "kk"])
def test_price_wait_and_button_stay_in_view_in_longer_words(open_as: Open, language: str) -> None:
    DriverFactory(at=ALMATY)
    page = open_as(PassengerFactory(language=language), FILLED)
    expect(page.locator("html")).to_have_attribute("lang", language)
    for viewport in (PHONE, DESKTOP, NARROW):
        page.set_viewport_size(viewport)
        assert _hidden_on_the_way_down(page, ["book-submit", "quote-total", "quote-wait"]) == [], viewport


def test_field_that_has_the_focus_is_not_behind_the_bar(open_as: Open) -> None:
    page = open_as(PassengerFactory(), FILLED, viewport=PHONE)
    page.locator("[name=seats]").focus()

    assert is_in_view(page.locator("[name=seats]"))


def test_classes_stand_side_by_side_with_their_prices(open_as: Open) -> None:
    ServiceSettings.objects.create(pk=1, multiplier_suv=1.0)
    page = open_as(None, FILLED, viewport=PHONE)
    options = page.get_by_test_id("class-option")

    expect(options).to_have_count(4)
    tops = {round(options.nth(number).bounding_box()["y"]) for number in range(4)}  # type: ignore[index]
    assert len(tops) == 1
    expect(options.nth(0)).to_contain_text("₸")
    expect(options.nth(1)).to_contain_text("same price")
    with page.expect_request("**/trips/quote/"):
        options.nth(3).click()
    price = options.nth(3).locator(".num").inner_text()
    expect(page.get_by_test_id("quote-total")).to_have_text(price)


def test_price_follows_while_seats_are_typed_and_nine_keep_it(open_as: Open) -> None:
    page = open_as(None, FILLED, viewport=PHONE)
    seats = page.locator("[name=seats]")
    total = page.get_by_test_id("quote-total").inner_text()
    asked: list[Any] = []
    page.on("request", lambda request: asked.append(request) if "/trips/quote/" in request.url else None)

    seats.fill("")
    seats.press_sequentially("12", delay=30)
    expect(page.locator("#quote")).to_contain_text("1 to 4 seats")
    expect(page.get_by_test_id("quote-total")).to_have_text(total)
    expect(page.locator("#quote")).not_to_contain_text("Choose pickup")
    # Three keys, one question.
    assert len(asked) == 1
    seats.fill("2")
    expect(page.locator("#quote")).not_to_contain_text("1 to 4 seats")


def test_corrected_field_loses_its_error(open_as: Open) -> None:
    page = open_as(PassengerFactory(), f"{FILLED}&seats=9", viewport=PHONE)
    error = page.locator(".field:has([name=seats]) .field__error")
    expect(error).to_be_visible()
    page.locator("[name=seats]").fill("2")
    expect(error).to_have_count(0)
    expect(page.locator("[name=seats]")).not_to_have_attribute("aria-invalid", "true")


def test_same_place_is_said_once_and_ends_when_the_other_end_is_corrected(open_as: Open) -> None:
    page = open_as(PassengerFactory(), "/book/?from=Medeu&to=Medeu", viewport=PHONE)
    said = page.get_by_text("are the same place")
    expect(said).to_have_count(1)
    page.locator("[name=pickup_name]").fill("Kok-Tobe")
    page.locator("#pickup-options [role=option]").first.click()
    expect(page.get_by_test_id("quote-total")).to_be_visible()
    expect(said).to_have_count(0)


def test_maps_hint_ends_with_both_places(open_as: Open) -> None:
    page = open_as(None, "/book/?from=Almaty")
    expect(page.locator("#map-hint")).to_be_visible()
    page.locator("[name=dropoff_name]").fill("Medeu")
    page.locator("#dropoff-options [role=option]").first.click()
    expect(page.locator("#map-hint")).to_be_hidden()


def test_later_begins_with_a_time_and_its_fields_do_not_collide(open_as: Open) -> None:
    page = open_as(None, FILLED, viewport=NARROW)
    page.get_by_text("Later", exact=True).click()
    date, time = page.locator("[name=departure_date]"), page.locator("[name=departure_time]")

    expect(date).to_have_value(re.compile(r"\d{4}-\d\d-\d\d"))
    expect(time).to_have_value(re.compile(r"\d\d:\d0"))
    expect(page.get_by_test_id("quote-wait")).to_contain_text("as soon as you book")
    first, second = date.bounding_box(), time.bounding_box()
    assert first is not None
    assert second is not None
    apart = first["x"] + first["width"] <= second["x"] or first["y"] + first["height"] <= second["y"]
    assert apart
    for field in (date, time):
        assert field.evaluate("field => field.scrollWidth <= field.clientWidth")


def test_later_moves_to_the_pickups_clock_unless_chosen(open_as: Open) -> None:
    page = open_as(None, "/book/?from=Almaty", viewport=PHONE)
    page.get_by_text("Later", exact=True).click()
    here = page.locator("[name=departure_time]").input_value()
    page.locator("[name=pickup_name]").fill("Osh")
    page.locator("#pickup-options [role=option]").first.click()
    page.locator("[name=dropoff_name]").fill("Karakol")
    page.locator("#dropoff-options [role=option]").first.click()
    expect(page.locator("[name=departure_time]")).not_to_have_value(here)

    page.locator("[name=departure_time]").fill("23:50")
    page.locator("[name=pickup_name]").fill("Almaty")
    page.locator("#pickup-options [role=option]").first.click()
    expect(page.locator("#quote")).to_contain_text("Drivers are asked")
    expect(page.locator("[name=departure_time]")).to_have_value("23:50")


def test_stranger_books_with_nothing_typed_twice(open_as: Open) -> None:
    page = open_as(None, "/", viewport=PHONE)
    page.get_by_role("link", name="Book a trip").click()
    page.wait_for_url("**/book/")
    for side, place in (("pickup", "Almaty airport"), ("dropoff", "Medeu")):
        page.locator(f"[name={side}_name]").fill(place)
        page.locator(f"#{side}-options [role=option]").first.click()
    page.locator("[name=note]").fill("by the gate")
    page.get_by_test_id("book-submit").click()

    expect(page.get_by_test_id("book-waits")).to_be_visible()
    page.get_by_role("link", name="Sign in with it").click()
    page.locator("main").get_by_role("link", name="Create an account").click()
    expect(page.get_by_test_id("book-waits")).to_be_visible()
    page.locator("[name=name]").fill("Aigerim")
    page.locator("[name=phone]").fill("8 701 234 56 78")
    page.locator("[name=password1]").fill("a long walk home")
    page.get_by_role("button", name="Sign up").click()

    expect(page.get_by_test_id("restored")).to_be_visible()
    expect(page.get_by_test_id("quote-total")).to_be_visible()
    page.get_by_test_id("book-submit").click()
    page.wait_for_url(re.compile(r"/trips/\d+/$"))
    trip = Trip.objects.get()
    assert (trip.note, trip.dropoff_name) == ("by the gate", "Medeu")


def test_trip_for_somebody_else_leaves_later_by_the_clock_of_another_zones_city(open_as: Open) -> None:
    page = open_as(PassengerFactory(), "/book/?from=Bishkek&to=42.4908,78.3936&to_name=Karakol", viewport=PHONE)
    page.get_by_text("Later", exact=True).click()
    day = page.locator("[name=departure_date]").input_value()
    page.locator("[name=departure_time]").fill("23:45")
    page.get_by_test_id("traveller").locator("summary").click()
    page.get_by_test_id("traveller-name").fill("Aida Bekova")
    page.locator("[name=traveller_phone]").fill("8 701 555 12 34")
    page.get_by_test_id("book-submit").click()

    page.wait_for_url(re.compile(r"/trips/\d+/$"))
    trip = Trip.objects.get()
    bishkek = trip.departure_at.astimezone(ZoneInfo("Asia/Bishkek"))
    assert (f"{bishkek:%Y-%m-%d %H:%M}", trip.timezone) == (f"{day} 23:45", "Asia/Bishkek")
    expect(page.get_by_test_id("trip-traveller")).to_contain_text("Aida Bekova, +77015551234")
    expect(page.locator("#trip-panel")).to_contain_text("23:45")
