"""People sign in, in a real browser on a real server."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browsing import PHONE
from tests.factories import PASSWORD, DriverFactory, PassengerFactory
from tests.live import LiveServer
from tests.pages.acts import send_empty

pytestmark = pytest.mark.browser


def _sign_in(page: Page, login: str, password: str) -> None:
    page.locator("[name=login]").fill(login)
    page.locator("[name=password]").fill(password)
    page.locator("[name=password]").press("Enter")


@pytest.mark.embedded_only
@pytest.mark.parametrize("by", ["email", "phone"])
def test_sign_in_by_email_and_by_phone_leads_to_ones_trips(by: str, open_as: Callable[..., Page]) -> None:
    passenger = PassengerFactory()
    page = open_as(None, "/accounts/login/", viewport=PHONE)
    _sign_in(page, str(getattr(passenger, by)), PASSWORD)
    expect(page).to_have_url("/trips/")


@pytest.mark.embedded_only
def test_sign_in_leads_a_driver_to_the_dashboard(open_as: Callable[..., Page]) -> None:
    driver = DriverFactory()
    page = open_as(None, "/accounts/login/")
    _sign_in(page, driver.user.email, PASSWORD)
    expect(page).to_have_url("/driver/")


@pytest.mark.embedded_only
def test_sign_in_with_a_wrong_password_says_so_and_stays(open_as: Callable[..., Page]) -> None:
    passenger = PassengerFactory()
    page = open_as(None, "/accounts/login/")
    _sign_in(page, passenger.email, "something else")
    expect(page).to_have_url("/accounts/login/")
    expect(page.get_by_text("do not belong together")).to_be_visible()
    expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")


@pytest.mark.embedded_only
def test_corrected_field_of_the_sign_up_loses_its_error_and_no_other_does(open_as: Callable[..., Page]) -> None:
    page = open_as(None, "/accounts/signup/", viewport=PHONE)
    send_empty("main form")(page)
    name, phone = (page.locator(f".field:has([name={field}])") for field in ("name", "phone"))
    for field in (name, phone):
        expect(field.locator(".field__error")).to_be_visible()
        expect(field.locator("input")).to_have_attribute("aria-invalid", "true")

    # Its scripts run once it is loaded.
    page.wait_for_load_state()
    phone.locator("input").press_sequentially("8")

    expect(phone.locator(".field__error")).to_have_count(0)
    expect(phone.locator("input")).not_to_have_attribute("aria-invalid", "true")
    expect(name.locator(".field__error")).to_be_visible()
    expect(name.locator("input")).to_have_attribute("aria-invalid", "true")


def test_session_survives_a_killed_server(live: LiveServer, open_as: Callable[..., Page]) -> None:
    page = open_as(PassengerFactory(), "/trips/")
    live.restart()
    page.reload()
    expect(page).to_have_url("/trips/")
