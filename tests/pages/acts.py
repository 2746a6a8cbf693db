"""What people do on a page to bring it to one of its states."""

import secrets
from collections.abc import Callable

from django.utils.translation import gettext as _
from playwright.sync_api import Page, expect

from drivers import fragments
from stepper.errors import Conflict
from tests.factories import PASSWORD


def open_menu(summary: str) -> Callable[[Page], None]:
    return lambda page: page.locator(f"{summary} > summary").click()


def send_empty(form: str) -> Callable[[Page], None]:
    """Send a form with nothing entered, past what the browser itself would say."""

    def act(page: Page) -> None:
        page.locator(form).evaluate("form => { form.noValidate = true; }")
        page.locator(form).locator("button:not([name=cancel], [type=button])").last.click()

    return act


def sign_in_with_password(page: Page) -> None:
    page.locator("[name=login]").fill("two.steps@example.test")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[name=password]").press("Enter")


def enter_wrong_code(page: Page) -> None:
    page.locator("[name=code]").fill("1")
    page.locator("[name=code]").press("Enter")


def ask_for_code(page: Page) -> None:
    # Another number for each visit: five SMS a day go to one.
    page.get_by_test_id("phone-input").fill(f"+7747{secrets.randbelow(10**7):07}")
    page.get_by_test_id("phone-input").press("Enter")


def send_own_code(page: Page) -> None:
    page.locator("main button[value=send]").click()


def renew_codes(page: Page) -> None:
    page.locator("form[action$='recovery-codes/'] button").click()


def price_a_trip(page: Page) -> None:
    for side, words in (("pickup", "airport"), ("dropoff", "Medeu")):
        page.locator(f"[name={side}_name]").fill(words)
        page.locator(f"#{side}-options [role=option]").first.click()
        expect(page.locator(f"#{side}-options")).to_be_hidden()
    expect(page.get_by_test_id("quote-total")).to_be_visible()


def look_for_a_place(page: Page) -> None:
    page.locator("[name=pickup_name]").fill("Almaty")
    expect(page.locator("#pickup-options [role=option]").first).to_be_visible()


def look_for_no_place(page: Page) -> None:
    page.locator("[name=pickup_name]").fill("Достық 85")
    expect(page.get_by_test_id("place-none")).to_be_visible()


def book_nothing(page: Page) -> None:
    page.get_by_test_id("book-submit").click()


def ask_to_cancel(page: Page) -> None:
    page.locator("[data-dialog=cancel-dialog]").click()
    expect(page.locator("#cancel-dialog form[method=post]")).to_be_visible()


def accept_slowly(page: Page) -> None:
    """Press accept; the answer does not come."""
    page.route("**/accept/", lambda route: None)
    page.get_by_test_id("offer-accept").first.click()
    expect(page.locator("[data-testid=offer-accept][aria-busy=true]")).to_be_visible()


def refuse_accept(answer: Callable[[int], str], status: int) -> Callable[[Page], None]:
    """Press accept; the server refuses with this fragment. It stays for three seconds."""

    def act(page: Page) -> None:
        card = page.get_by_test_id("offer-card").first
        body = answer(int(str(card.get_attribute("data-key")).removeprefix("offer-")))
        page.route("**/accept/", lambda route: route.fulfill(status=status, body=body, content_type="text/html"))
        card.get_by_test_id("offer-accept").click()

    return act


def lost(offer_id: int) -> str:
    return fragments.offer_refused(offer_id, Conflict("offer.taken", _("Another driver was faster.")))


def busy(offer_id: int) -> str:
    return fragments.offer_refused(offer_id, Conflict("server.busy", _("Please try again in a moment.")))


def accept_without_network(page: Page) -> None:
    """Press accept; the network is gone, so it is kept until it is back."""
    page.route("**/accept/", lambda route: route.abort())
    page.get_by_test_id("offer-accept").first.click()


def decline(page: Page) -> None:
    """Decline an offer. Nobody is told of it, not even when the page is left: the next visit opens it anew."""
    page.route("**/decline/", lambda route: route.abort())
    page.evaluate("addEventListener('pagehide', event => event.stopImmediatePropagation(), true)")
    page.get_by_test_id("offer-decline").first.click()
    expect(page.locator("[data-undo]:visible")).to_be_visible()


def keep_a_step_offline(page: Page) -> None:
    page.context.set_offline(True)
    expect(page.get_by_test_id("offline-banner")).to_be_visible()
    page.get_by_test_id("trip-next-step").first.click()
    expect(page.locator("[data-testid=queued-count]")).not_to_have_text("0")


def open_trip_menu(page: Page) -> None:
    page.get_by_test_id("trip-menu").first.locator("> summary").click()


def save_wrong_filters(page: Page) -> None:
    page.get_by_test_id("filters").locator("> summary").click()
    page.locator("#id_max_distance_km").fill("-5")
    page.locator("#id_min_earnings").fill("x")
    page.locator("#filters-form button[type=submit]").click()
    expect(page.locator("#max_distance_km-error")).to_be_visible()


def show_keys(page: Page) -> None:
    page.locator("#driver-alerts details > summary").click()
    page.locator("[data-dialog=keys-help]").click()
    expect(page.locator("#keys-help")).to_be_visible()
