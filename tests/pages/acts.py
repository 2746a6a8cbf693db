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


def open_wishes(page: Page) -> None:
    page.locator("[data-testid=wishes] summary").click()
    page.locator("[data-testid=wish-option] input").first.check()


def send_own_code(page: Page) -> None:
    """Have the code sent; a process of the last visit that waits for its code is the same page."""
    if not page.locator("[name=code]").count():
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
    page.locator("[name=pickup_name]").fill("Достық 99")
    expect(page.get_by_test_id("place-none")).to_be_visible()


def book_nothing(page: Page) -> None:
    page.get_by_test_id("book-submit").click()


def ask_to_cancel(page: Page) -> None:
    page.locator("[data-dialog=cancel-dialog]").click()
    expect(page.locator("#cancel-dialog form[method=post]")).to_be_visible()


def change_to_nobody(page: Page) -> None:
    """Change a trip to one that nobody travels."""
    page.locator("[name=seats]").fill("0")
    page.get_by_test_id("change-submit").click()


def open_messages(page: Page) -> None:
    page.get_by_test_id("message-open").first.click()
    expect(page.locator("#messages-dialog .message").last).to_be_visible()


def write_without_network(page: Page) -> None:
    """Send a message while the network is away: it stays where it was typed."""
    open_messages(page)
    page.route("**/messages/", lambda route: route.abort())
    page.get_by_test_id("message-input").fill("At the left door")
    page.get_by_test_id("message-send").click()
    expect(page.locator("#message-error [data-unsent]")).to_be_visible()


def open_safety(page: Page) -> None:
    page.get_by_test_id("safety-button").click()
    expect(page.get_by_test_id("safety-alert")).to_be_visible()


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
    page.context.set_offline(True)
    expect(page.get_by_test_id("offline-banner")).to_be_visible()
    page.get_by_test_id("offer-accept").first.click()


def decline(page: Page) -> None:
    """Decline an offer. Nobody is told of it, not even when the page is left: the next visit opens it anew."""
    page.route("**/decline/", lambda route: route.abort())
    page.evaluate("void (window.fetch = () => new Promise(() => {}))")
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


# On the card, or in the banner where it had to wait for the connection.
REFUSED = ".trip__error:not(:empty), [data-testid=queued-refused]"


def scroll_to(selector: str) -> Callable[[Page], None]:
    """Look at what is below the fold."""

    def act(page: Page) -> None:
        # In one step: the snapshot that comes with the connection replaces elements.
        page.locator(selector).wait_for()
        page.evaluate("selector => document.querySelector(selector).scrollIntoView()", selector)

    return act


def set_sheet(height: str) -> Callable[[Page], None]:
    """Bring the sheet over a live map to a height; on a wide screen there is none."""

    def act(page: Page) -> None:
        handle = page.get_by_test_id("sheet-handle")
        if handle.is_visible():
            handle.press({"peek": "End", "full": "Home"}[height])
            page.locator(f"[data-sheet={height}]").wait_for()

    return act


def lose_the_connection(page: Page) -> None:
    page.context.set_offline(True)
    expect(page.get_by_test_id("trip-offline")).to_be_visible()


def enter_no_boarding_code(page: Page) -> None:
    """Send a code that is none, past the browser's own check of the form."""
    page.get_by_test_id("boarding-code-input").evaluate("field => { field.form.noValidate = true; field.value = '1'; }")
    page.get_by_test_id("trip-next-step").first.click()
    expect(page.locator(REFUSED).first).to_be_visible()


def try_fares(page: Page) -> None:
    page.get_by_test_id("fares-try").click()
