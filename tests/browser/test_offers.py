"""Open offers on the driver's page: the best first, none moves under the thumb, none stays that the driver cannot take.

Several pages on one server: each takes seconds to start.
"""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from drivers import working_time
from drivers.models import Driver
from realtime import groups
from realtime.outbox import publish
from tests.browsing import DESKTOP, PHONE, is_settled
from tests.factories import ALMATY, DriverFactory, OfferFactory
from tests.live import LiveServer
from trips import accepting
from trips.cards import offer_card
from trips.models import Offer, Trip

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]


# Notes the ids of what the socket's messages swap into the page.
NOTE_SWAPS = """
window.states = 0;
window.swapped = [];
document.addEventListener("htmx:oobAfterSwap", (event) => window.swapped.push(event.detail.target.id));
let isState;
document.addEventListener("htmx:wsBeforeMessage", ({ detail }) => { isState = detail.message.includes("swap-oob"); });
document.addEventListener("htmx:wsAfterMessage", () => { window.states += isState; });
"""


def ask(driver: Driver, km: float) -> Offer:
    offer: Offer = OfferFactory(driver=driver, distance_km=km)
    offer.refresh_from_db()
    publish(offer_card(offer, offer.trip, vehicle_seats=4), groups.driver(driver.pk))
    return offer


def beyond(km: float) -> tuple[float, float]:
    """A place so far from the driver, so that the dispatcher finds what the card says."""
    return ALMATY[0] + km / 111.195, ALMATY[1]


def top(page: Page, offer: Offer) -> float:
    box = page.locator(f"#offer-{offer.pk}").bounding_box()
    assert box is not None
    return box["y"]


def order(page: Page) -> list[str]:
    return [str(card.get_attribute("id")) for card in page.get_by_test_id("offer-card").all()]


def ids(*offers: Offer) -> list[str]:
    return [f"offer-{offer.pk}" for offer in offers]


def test_new_card_never_moves_the_one_being_read_or_pressed(live: LiveServer, open_as: Open) -> None:
    for viewport in (PHONE, DESKTOP):
        watch_cards_arrive(open_as, viewport)


def watch_cards_arrive(open_as: Open, viewport: Any) -> None:
    driver = DriverFactory(at=ALMATY)
    read = OfferFactory(driver=driver, distance_km=9)
    page = open_as(driver.user, "/offline/", viewport=viewport)
    page.add_init_script(NOTE_SWAPS)
    page.goto("/driver/")
    # The socket's first state says what the page that was just loaded shows, so nothing of it is drawn again.
    page.wait_for_function("() => window.states")
    assert page.evaluate("window.swapped") == []
    is_settled(page)
    cards = page.get_by_test_id("offer-card")
    place = top(page, read)

    better = ask(driver, 3)
    expect(cards).to_have_count(2)
    expect(page.locator("#offers-live")).to_contain_text("New offer: ")
    if viewport is PHONE:
        page.get_by_test_id("offer-fullscreen").locator("[data-sheet-close]").click()
    assert order(page) == ids(better, read)
    assert top(page, read) == pytest.approx(place, abs=1)

    # A press takes as long as a thumb does, and an even better offer comes in its middle.
    button = page.locator(f"#offer-{read.pk}").get_by_test_id("offer-accept")
    button.scroll_into_view_if_needed()
    button.hover()
    page.mouse.down()
    place = top(page, read)
    best, worst = ask(driver, 1), ask(driver, 20)
    expect(cards).to_have_count(4)
    assert order(page) == ids(best, better, read, worst)
    assert top(page, read) == pytest.approx(place, abs=1)
    page.mouse.up()
    expect(page.locator("#active-list > *").first).to_be_visible()
    read.refresh_from_db()
    assert read.status == "accepted"
    # Whoever reads the page later finds no offer in it that has ended.
    Offer.objects.filter(pk__in=[better.pk, best.pk, worst.pk]).update(status="expired")
    expect(page.locator("#offers-live")).to_be_empty()
    # Else the dispatcher asks the driver of the next page for them.
    Trip.objects.filter(offers__in=[better, best, worst]).update(status="expired")


def test_offers_go_from_every_page_with_the_right_to_them(live: LiveServer, open_as: Open) -> None:
    driver = DriverFactory(at=ALMATY)
    far, near = (OfferFactory(driver=driver, distance_km=km, trip__pickup=beyond(km)) for km in (2.6, 0.8))
    page, other = (is_settled(open_as(driver.user, "/driver/", viewport=DESKTOP)) for _page in range(2))
    expect(page.get_by_test_id("offer-card")).to_have_count(2)

    page.get_by_test_id("filters").locator("summary").click()
    page.locator("#id_max_distance_km").fill("1")
    page.locator("#filters-form").get_by_role("button", name="Save").click()
    for shown in (page, other):
        expect(shown.get_by_test_id("offer-gone")).to_have_text("This trip is not offered to you any more.")
        assert order(shown) == ids(near)

    page.get_by_test_id("availability-toggle").click()
    for shown in (page, other):
        expect(shown.get_by_test_id("offer-accept")).to_have_count(0)
        expect(shown.get_by_role("heading", name="You are offline")).to_be_visible()
    for offer in (far, near):
        offer.refresh_from_db()
        assert (offer.status, offer.reason) == ("withdrawn", "no_longer_eligible")

    # Nobody at a page did it: the dispatcher, by a break that had been planned.
    Driver.objects.filter(pk=driver.pk).update(is_online=True, availability="available", max_distance_km=None)
    last = ask(driver, 2)
    expect(page.locator(f"#offer-{last.pk}")).to_be_visible()
    working_time.take_break(driver.pk, 30)
    for shown in (page, other):
        expect(shown.get_by_test_id("offer-accept")).to_have_count(0)


CARDS_AS_DRAWN = """async () => new DOMParser().parseFromString(await (await fetch("/driver/")).text(), "text/html")
  .getElementById("offers-list").innerHTML"""


# A card that is about to go stays until something replaces it, however slow this machine is.
STAY = """() => {
  const usual = window.setTimeout;
  window.setTimeout = (done, ms, ...rest) => (ms === 1500 ? 0 : usual(done, ms, ...rest));
}"""


def draw_list(page: Page, cards: str = "") -> None:
    """Draw the list of offers on the page, as an event does that is about something else."""
    page.evaluate(
        """(html) => htmx.swap("#main", html, { swapStyle: "none" })""",
        f'<div id="offers-list" data-keyed="all" hx-swap-oob="true">{cards}</div>',
    )


def test_loser_sees_why_although_the_list_was_drawn_without_the_card(open_as: Open) -> None:
    offer = OfferFactory()
    other = OfferFactory(trip=offer.trip)
    page = is_settled(open_as(offer.driver.user, "/driver/", viewport=PHONE))
    page.evaluate(STAY)
    draw_list(page)
    expect(page.get_by_test_id("offer-accept")).to_be_disabled()
    accepting.accept(other.driver.pk, other.pk)
    expect(page.get_by_text("Another driver was faster")).to_be_visible()
    expect(page.get_by_test_id("offer-accept")).to_have_count(0)


def test_card_of_which_no_event_says_why_goes_but_may_come_back(open_as: Open) -> None:
    page = is_settled(open_as(OfferFactory().driver.user, "/driver/", viewport=PHONE))
    cards = page.evaluate(CARDS_AS_DRAWN)
    for _repeated in range(2):
        draw_list(page)
    draw_list(page, cards)
    expect(page.get_by_test_id("offer-accept")).to_be_enabled()
    draw_list(page)
    expect(page.get_by_test_id("offer-card")).to_have_count(0)
