"""How an offer reaches a driver and is answered: heard, over the phone's screen, undone, by keys."""

from collections.abc import Callable

import pytest
from django.db import transaction
from playwright.sync_api import Page, expect

from realtime import groups
from realtime.outbox import publish
from tests.browsing import PHONE
from tests.factories import ALMATY, DriverFactory, OfferFactory
from trips.cards import offer_card
from trips.models import Offer

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

# Where a card begins in the page, px, however far it is scrolled.
TOP = "card => Math.round(card.getBoundingClientRect().top + scrollY)"

Open = Callable[..., Page]

# What the page asks of the device; and a press at the very moment when an offer fills the screen.
_DEVICE = """
window.device = [];
const note = (text) => window.device.push(text);
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (at) {
  note(`tone in ${this.context.state} context`);
  return start.call(this, at);
};
navigator.vibrate = (pattern) => note(pattern ? "vibration" : "no vibration");
Object.defineProperty(navigator, "wakeLock", {
  value: {
    request: async (kind) => {
      note(`${kind} on`);
      const lock = new EventTarget();
      lock.release = async () => {
        note(`${kind} off`);
        lock.dispatchEvent(new Event("release"));
      };
      return lock;
    },
  },
});
document.addEventListener(
  "toggle",
  (event) => {
    const button = event.target.querySelector("[data-answer=accept] button");
    if (event.newState !== "open" || !button) return;
    note(`pressed while disabled: ${button.getAttribute("aria-disabled")}`);
    button.click();
  },
  { capture: true },
);
"""


def make_offer(offer: Offer) -> None:
    """Have the server tell of an offer, as a round does."""
    with transaction.atomic():
        publish(offer_card(offer, offer.trip, vehicle_seats=4), groups.driver(offer.driver_id))


def test_offer_is_heard_fills_the_phone_and_declining_it_can_be_undone(open_as: Open) -> None:
    driver = DriverFactory.create(at=ALMATY)
    page = open_as(driver.user, "/driver/", at=ALMATY, viewport=PHONE)
    page.add_init_script(_DEVICE)
    page.reload()
    expect(page.get_by_test_id("connection-state")).to_contain_text("Live")
    expect(page.get_by_test_id("screen-on")).to_be_visible()
    waiting = page.locator("[data-sound-waiting]")
    expect(waiting).to_be_visible()
    page.locator(".alerts summary").click()
    expect(waiting).to_be_hidden()

    offer = OfferFactory.create(driver=driver)
    make_offer(offer)
    sheet, accept = page.get_by_test_id("offer-fullscreen"), page.get_by_test_id("offer-accept")
    expect(sheet).to_be_visible()
    expect(accept).not_to_have_attribute("aria-disabled", "true")
    box = sheet.bounding_box()
    assert box is not None
    assert (box["width"], box["height"]) == (PHONE["width"], PHONE["height"])
    heard = page.evaluate("device")
    assert {"screen on", "vibration", "pressed while disabled: true"} <= set(heard)
    assert heard.count("tone in running context") == 6
    # The press was not one.
    offer.refresh_from_db()
    assert offer.status == "pending"

    page.get_by_test_id("offer-decline").click()
    expect(sheet).to_have_count(0)
    page.get_by_test_id("decline-undo").click()
    expect(page.get_by_test_id("offer-card")).to_be_visible()
    expect(page.get_by_test_id("decline-undo")).to_have_count(0)
    offer.refresh_from_db()
    assert offer.status == "pending"

    page.get_by_test_id("offer-decline").click()
    page.get_by_role("button", name="Too far away").click()
    expect(page.get_by_test_id("decline-undo")).to_have_count(0)
    expect(page.get_by_test_id("offer-card")).to_have_count(0)
    offer.refresh_from_db()
    assert (offer.status, offer.reason) == ("declined", "too_far")

    page.get_by_test_id("availability-toggle").click()
    expect(page.get_by_test_id("screen-on")).to_be_hidden()
    assert page.evaluate("device.at(-1)") == "screen off"


def test_offer_is_answered_by_keys_and_leaving_the_page_declines(open_as: Open) -> None:
    first = OfferFactory.create()
    second = OfferFactory.create(driver=first.driver)
    page = open_as(first.driver.user, "/driver/", at=ALMATY)
    expect(page.get_by_test_id("offer-card")).to_have_count(2)
    expect(page.get_by_test_id("offer-fullscreen")).to_have_count(0)
    cards = page.get_by_test_id("offer-card")
    # What is answered is at the top by now, whatever the order.
    page.keyboard.press("a")
    expect(cards.nth(0).get_by_test_id("offer-accept")).to_be_focused()
    page.keyboard.press("j")
    expect(cards.nth(1).get_by_test_id("offer-accept")).to_be_focused()
    page.keyboard.press("k")
    top = cards.nth(0).evaluate(TOP)
    page.keyboard.press("d")
    expect(page.get_by_test_id("decline-undo")).to_be_focused()
    # The next card is where it stays when the strip has gone.
    assert cards.nth(1).evaluate(TOP) == top
    page.keyboard.press("u")
    expect(cards.nth(0).get_by_test_id("offer-accept")).to_be_focused()
    page.keyboard.press("Shift+Slash")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    assert {row.status for row in Offer.objects.all()} == {"pending"}

    page.keyboard.press("d")
    page.get_by_role("button", name="Wrong direction").click()
    page.goto("/driver/")
    expect(cards).to_have_count(1)
    (declined,) = Offer.objects.filter(status="declined")
    assert declined.reason == "wrong_way"

    # By its place on the keyboard, where the letter is another one.
    page.keyboard.press("a")
    expect(cards.get_by_test_id("offer-accept")).to_be_focused()
    page.keyboard.press("a")
    expect(page.get_by_test_id("active-trip")).to_be_visible()
    first.refresh_from_db()
    second.refresh_from_db()
    assert {first.status, second.status} == {"accepted", "declined"}
