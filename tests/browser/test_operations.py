"""A day of the operations room, each in their own role: dispatchers, support and finance, on the product's pages."""

import csv
import datetime as dt
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Page, expect

from drivers.models import Driver
from stepper.models import User
from stepper.roles import make_groups
from tests.browsing import COUNT_KEYS, PHONE, is_live, is_settled, keys_pressed
from tests.drives import step_there
from tests.factories import AIRPORT, ALMATY, DriverFactory, OfferFactory, PassengerFactory, TripFactory, UserFactory
from tests.live import LiveServer
from tests.role_matrix import give_role
from trips.models import Trip

# What the pages do; which database is behind them plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only, pytest.mark.long]

Open = Callable[..., Page]
# What issue 15 allows for a call, besides the words.
MOST_KEYS = 25


def mark(page: Page, name: str) -> Any:
    return page.get_by_test_id(name)


def at_work(role: str, name: str) -> User:
    make_groups()
    staff: User = give_role(UserFactory.create(name=name), role)
    return staff


def beside(place: tuple[float, float], km: float, name: str) -> Driver:
    driver: Driver = DriverFactory.create(at=(place[0] + km / 111.195, place[1]), user__name=name)
    return driver


def tenge(words: str) -> int:
    return int(re.sub(r"\D", "", words))


# Dispatchers


def test_dispatchers_book_a_caller_watch_the_map_and_steer_a_trip_that_nobody_takes(
    live: LiveServer, open_as: Open
) -> None:
    caller = PassengerFactory.create(phone="+77471234567", name="Aliya Omarova")
    daniyar = beside(ALMATY, 0, "Daniyar Seitkali")
    aida, berik = beside(AIRPORT, 1, "Aida Nurlan"), beside(AIRPORT, 2, "Berik Omarov")
    boards = {one: open_as(one.user, "/driver/", viewport=PHONE) for one in (daniyar, aida, berik)}
    for board in boards.values():
        is_settled(board)
    second = open_as(at_work("dispatcher", "Asem Bekova"), "/ops/")
    is_live(second)
    page = open_as(at_work("dispatcher", "Saule Akhmet"), "/ops/call/")

    called = _take_call(page, caller)
    _watch(page, second, called, boards[daniyar])
    trip = _find_unfilled(page, second)
    _assign_nearest(page, second, trip, boards[aida])
    _hand_over(page, trip, boards[aida], boards[berik])


def _take_call(page: Page, caller: User) -> Trip:
    """Booked by the keyboard alone; the pointer is not touched."""
    page.context.add_init_script(COUNT_KEYS)
    page.reload()
    expect(mark(page, "call-phone")).to_be_focused()
    page.keyboard.type("8 747 123 45 67")
    expect(mark(page, "call-caller")).to_contain_text("Aliya Omarova")
    page.keyboard.press("Enter")
    page.keyboard.type("Almaty")
    page.keyboard.press("Enter")
    expect(mark(page, "dropoff-input")).to_be_focused()
    page.keyboard.type("Medeu")
    page.keyboard.press("Enter")
    expect(mark(page, "call-say")).to_contain_text("₸")
    page.keyboard.press("Alt+Enter")
    expect(mark(page, "call-booked")).to_contain_text("Almaty → Medeu")
    assert keys_pressed(page) <= MOST_KEYS
    trip = Trip.objects.get()
    assert trip.organiser == caller
    return trip


def _watch(page: Page, second: Page, trip: Trip, board: Page) -> None:
    """The trip on the map of both dispatchers, from asking drivers to the driver on the way, without reloading."""
    page.goto("/ops/")
    for one in (page, second):
        is_live(one)
        expect(mark(one, "ops-counter-online")).to_have_text("3")
        expect(mark(one, "ops-counter-looking")).to_have_text("1")
        expect(one.locator("#ops-map-words")).to_contain_text("1 trips")
    _listed(page, trip, "Asking drivers")

    mark(board, "offer-accept").click()
    for one in (page, second):
        expect(mark(one, "ops-counter-looking")).to_have_text("0")
        expect(mark(one, "ops-counter-taken")).to_have_text("1")
    mark(board, "trip-next-step").click()
    for one in (page, second):
        expect(mark(one, "ops-counter-coming")).to_have_text("1")
        expect(mark(one, "ops-counter-taken")).to_have_text("0")
    _listed(page, trip, "Driver on the way")


def _listed(page: Page, trip: Trip, status: str) -> None:
    """What the map says in words, which is read anew when it is opened."""
    page.locator("#ops-in-view summary").click()
    row = page.locator("#ops-list li", has_text=trip.title)
    expect(row).to_contain_text(status)
    page.locator("#ops-in-view summary").click()


def _find_unfilled(page: Page, second: Page) -> Trip:
    """A trip that the server's dispatcher looks for a driver for, finds none, and tells staff of."""
    long_ago = timezone.now() - dt.timedelta(minutes=20)
    trip: Trip = TripFactory.create(
        status="published",
        pickup=AIRPORT,
        dropoff=ALMATY,
        pickup_name="Arrivals",
        dropoff_name="Samal",
        vehicle_class="suv",
    )
    Trip.objects.filter(pk=trip.pk).update(created_at=long_ago)
    for one in (page, second):
        expect(mark(one, "ops-queue-item")).to_contain_text("Nobody takes it")
        expect(mark(one, "ops-queue-item")).to_contain_text(trip.title)
        expect(mark(one, "ops-counter-unfilled")).to_have_text("1")
    mark(page, "ops-claim").click()
    expect(mark(page, "ops-claimed")).to_contain_text("Yours since")
    expect(mark(second, "ops-claimed")).to_contain_text("Saule Akhmet since")
    return trip


def _assign_nearest(page: Page, second: Page, trip: Trip, board: Page) -> None:
    """On its page: why nobody took it, and who is nearest; the driver's open page has it at once."""
    mark(page, "ops-queue-item").get_by_role("link", name=trip.title).click()
    is_live(page)
    wave = mark(page, "ops-entry").filter(has_text="wave 1")
    expect(wave).to_contain_text("smaller vehicle class")
    wave.get_by_text("Drivers of this wave").click()
    expect(wave.get_by_role("link", name="Aida Nurlan")).to_be_visible()

    page.keyboard.press("a")
    nearest = mark(page, "assign-candidate").first
    expect(nearest).to_contain_text("Aida Nurlan")
    expect(nearest).to_contain_text("1.0 km")
    expect(nearest.get_by_test_id("assign-warning")).to_have_text("smaller vehicle class")
    nearest.get_by_role("radio").check()
    page.get_by_label("Reason").fill("the passenger agrees")
    mark(page, "pick-submit").click()
    expect(board.locator(f"#trip-{trip.pk}")).to_be_attached()
    expect(mark(page, "ops-status")).to_have_text("Driver found")
    expect(mark(second, "ops-queue-item")).to_have_count(0)


def _hand_over(page: Page, trip: Trip, board: Page, next_board: Page) -> None:
    """With the passenger on board, from one driver's open page to the other's."""
    for status in ("en_route", "driver_arrived", "passengers_boarded", "in_transit"):
        step_there(trip.pk, status)
    expect(mark(page, "ops-status")).to_have_attribute("data-status", "in_transit")
    mark(page, "reassign").click()
    mark(page, "assign-candidate").filter(has_text="Berik").get_by_role("radio").check()
    page.get_by_label("Reason").fill("engine")
    mark(page, "pick-submit").click()
    expect(next_board.locator(f"#trip-{trip.pk}")).to_be_attached()
    expect(board.locator(f"#trip-{trip.pk}")).to_have_count(0)
    expect(mark(page, "ops-driver")).to_contain_text("Berik Omarov")
    expect(page.get_by_label("Parts of the drivers")).to_contain_text("Aida Nurlan")


# Support


def test_support_suspends_a_driver_whose_socket_closes_and_closes_the_account(live: LiveServer, open_as: Open) -> None:
    driver = beside(ALMATY, 0, "Daniyar Seitkali")
    OfferFactory.create(driver=driver)
    board = open_as(driver.user, "/driver/", viewport=PHONE)
    # Else the first one may be caught, which the reloading ends.
    is_live(board)
    with board.expect_websocket() as opened:
        board.reload()
    is_settled(board)
    expect(mark(board, "offer-card")).to_be_visible()
    expect(mark(board, "availability-toggle")).to_have_attribute("aria-checked", "true")

    page = open_as(at_work("support", "Gulnara Ismail"), "/ops/drivers/")
    page.get_by_role("link", name="Daniyar Seitkali").click()
    is_live(page)
    mark(page, "act-suspend").click()
    page.get_by_label("Reason").fill("complaints")
    with opened.value.expect_event("close"), board.expect_websocket() as after:
        mark(page, "act-submit").click()
    expect(mark(page, "ops-approval")).to_have_attribute("data-approval", "suspended")
    expect(mark(board, "approval-notice")).to_contain_text("Your account is suspended.")
    expect(mark(board, "offer-card")).to_have_count(0)
    expect(mark(board, "availability-toggle")).to_be_disabled()

    # It connects again, to read why and finish a trip: not any more once the account is closed.
    is_live(board)
    expect(mark(page, "ops-work")).to_be_empty()
    mark(page, "act-deactivate").click()
    expect(page.get_by_role("heading", name="Close the account")).to_be_visible()
    page.get_by_label("Reason").fill("complaints proven")
    with after.value.expect_event("close"):
        mark(page, "act-submit").click()
    expect(mark(board, "connection-state")).not_to_contain_text("Live")
    # The page goes to the sign-in by itself.
    board.wait_for_url(re.compile("/accounts/login/"))


# Finance


def test_finance_changes_the_fee_and_the_statement_agrees_with_the_trips(live: LiveServer, open_as: Open) -> None:
    driver = beside(ALMATY, 0, "Daniyar Seitkali")
    for dropoff in (AIRPORT, (43.25, 76.95)):
        TripFactory.create(status="completed", driver=driver, dropoff=dropoff)
    board = open_as(driver.user, "/driver/", viewport=PHONE)
    is_settled(board)
    before = _quote(open_as(PassengerFactory.create(), "/book/"))

    page = open_as(at_work("finance", "Marat Tulegen"), "/ops/settings/")
    page.get_by_label("Base fare").fill("700")
    page.get_by_label("Platform fee").fill("20")
    mark(page, "fares-save").click()
    expect(mark(page, "settings-versions")).to_contain_text("15.0 → 20.0")

    riding = open_as(PassengerFactory.create(), "/book/")
    assert _quote(riding) == before + 200
    mark(riding, "book-submit").click()
    riding.wait_for_url(re.compile(r"/trips/\d+/$"))
    mark(board, "offer-accept").click()
    expect(mark(riding, "trip-status")).to_have_attribute("data-status", "accepted")
    trip = Trip.objects.latest("pk")
    assert (trip.fare, trip.platform_fee) == (before + 200, round((before + 200) * 0.2))
    for status in ("en_route", "driver_arrived", "passengers_boarded", "in_transit", "arrived", "completed"):
        step_there(trip.pk, status)

    page.goto("/ops/reports/statements/")
    page.get_by_label("Driver: name, phone or plate").fill("seitkali")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Daniyar Seitkali").click()
    sums = _sums(driver)
    assert sums[0] == 3
    assert tenge(mark(page, "statement-total").inner_text()) == sums[3]
    with page.expect_download() as download:
        mark(page, "report-csv").click()
    rows = list(csv.reader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    total = rows[-1]
    assert [len(rows) - 2, *map(int, total[-4:])] == sums


def _quote(page: Page) -> int:
    """The price of a way, as the booking page says it."""
    for side, place in (("pickup", "Almaty"), ("dropoff", "Medeu")):
        page.locator(f"[name={side}_name]").fill(place)
        page.locator(f"#{side}-options [role=option]").locator(".strong").get_by_text(place, exact=True).click()
    return tenge(mark(page, "quote-total").inner_text())


def _sums(driver: Driver) -> list[int]:
    """By SQL: trips, fares, fees, the driver's share, cash of what the driver completed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*), SUM(t.fare), SUM(t.platform_fee), SUM(t.driver_earnings), SUM(b.amount)"
            " FROM trips_trip t JOIN trips_booking b ON b.trip_id = t.id"
            " WHERE t.driver_id = %s AND t.status = 'completed' AND b.status = 'completed'",
            [driver.pk],
        )
        return [int(value) for value in cursor.fetchone()]
