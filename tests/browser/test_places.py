"""Choosing places in a browser: found as one types, nothing found, without a network, by the keyboard, on the map."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browsing import PHONE, assert_accessible, is_live
from tests.factories import PassengerFactory, TripFactory
from tests.live import LiveServer
from trips.models import Trip
from trips.states import TripStatus

# What the page does; which database is behind it plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]


def field(page: Page, side: str) -> Locator:
    return page.get_by_test_id(f"{side}-input")


def press_map(page: Page) -> None:
    """Press the map beside its pins, hint and buttons."""
    box = page.locator("#booking-map").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)


def test_place_is_chosen_by_keyboard_and_what_is_not_found_on_the_map(live: LiveServer, open_as: Open) -> None:
    page = open_as(PassengerFactory(language="ru"), "/book/")

    # A slip, in Russian; the options are words for a screen reader, too.
    field(page, "pickup").press_sequentially("Аэропрт алматы")
    expect(page.get_by_test_id("place-option").first).to_contain_text("Аэропорт Алматы")
    assert_accessible(page)
    field(page, "pickup").press("ArrowDown")
    expect(field(page, "pickup")).to_have_attribute("aria-activedescendant", "pickup-option-0")
    field(page, "pickup").press("Enter")
    expect(field(page, "pickup")).to_have_value("Аэропорт Алматы")
    expect(field(page, "pickup")).to_have_attribute("aria-expanded", "false")

    # No such place without a geocoder: the words stay as its name, the map has the point.
    field(page, "dropoff").press_sequentially("Достык 85")
    none = page.get_by_test_id("place-none")
    expect(none).to_contain_text("Достык 85")
    field(page, "dropoff").press("Enter")
    expect(field(page, "dropoff")).to_have_value("Достык 85")
    field(page, "dropoff").press("Escape")
    expect(none).to_be_hidden()
    press_map(page)
    expect(page.locator("[name=dropoff_lat]")).not_to_have_value("")
    expect(field(page, "dropoff")).to_have_value("Достык 85")
    expect(page.get_by_test_id("quote-total")).to_be_visible()
    page.get_by_test_id("book-submit").click()
    page.wait_for_url("**/trips/*/")
    trip = Trip.objects.get()
    assert (trip.pickup_name, trip.pickup_lat, trip.pickup_lng) == ("Аэропорт Алматы", 43.3521, 77.0405)
    assert trip.dropoff_name == "Достык 85"
    assert trip.dropoff_address.startswith(f"{trip.dropoff_lat:.5f}, ")


def test_point_of_the_map_is_named_by_what_is_near(live: LiveServer, open_as: Open) -> None:
    page = open_as(PassengerFactory(), "/book/", viewport=PHONE)
    press_map(page)
    expect(field(page, "pickup")).to_have_value(re.compile(r"^\d+(\.\d)? km \w+ of \w+"))
    assert page.locator("[name=pickup_address]").input_value().count(",") == 1


def test_empty_field_offers_the_last_places(live: LiveServer, open_as: Open) -> None:
    user = PassengerFactory()
    TripFactory(organiser=user, pickup_name="Home", dropoff_name="Work", status=TripStatus.COMPLETED)
    page = open_as(user, "/book/")
    field(page, "pickup").click()
    expect(page.get_by_test_id("place-option")).to_contain_text(["Work", "Home", "Almaty"])
    page.get_by_test_id("place-option").nth(1).click()
    expect(field(page, "pickup")).to_have_value("Home")


def test_name_typed_in_full_is_the_place(live: LiveServer, open_as: Open) -> None:
    page = open_as(PassengerFactory(), "/book/")
    field(page, "pickup").fill("medeu")
    field(page, "dropoff").fill("Almaty airport")
    page.get_by_label("Bags").focus()
    expect(field(page, "pickup")).to_have_value("Medeu")
    expect(page.get_by_test_id("quote-total")).to_be_visible()


def test_without_a_network_the_field_says_what_to_do(live: LiveServer, open_as: Open) -> None:
    page = open_as(PassengerFactory(), "/book/")
    page.context.set_offline(True)
    field(page, "pickup").fill("medeu")
    expect(page.get_by_test_id("place-none")).to_contain_text("without a connection")
    press_map(page)
    expect(page.locator("[name=pickup_lat]")).not_to_have_value("")
    expect(field(page, "pickup")).to_have_value("medeu")
    # Back again: the next search works.
    page.context.set_offline(False)
    is_live(page)
    field(page, "dropoff").fill("medeu")
    expect(page.get_by_test_id("place-option").first).to_contain_text("Medeu")


def test_answer_to_an_older_text_is_not_shown(live: LiveServer, open_as: Open) -> None:
    page = open_as(PassengerFactory(), "/book/")
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if "medeu" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/api/places", hold_the_first)
    with page.expect_request("**/api/places"):
        field(page, "pickup").fill("medeu")
    field(page, "pickup").fill("burabay")
    expect(page.get_by_test_id("place-option").first).to_contain_text("Burabay")
    assert len(held) == 1
