"""People look where they are signed in, and sign out there, in a real browser on a real server."""

from collections.abc import Callable

import pytest
from django.contrib.sessions.backends.db import SessionStore
from playwright.sync_api import Page, expect

from stepper.accounts.confirmation import CONFIRMED_AT
from stepper.models import AccountSession
from tests.browsing import DESKTOP, PHONE, assert_accessible
from tests.factories import PASSWORD, PassengerFactory

# What the page does; which database is behind it plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]


def _sign_in(page: Page, login: str) -> None:
    page.locator("[name=login]").fill(login)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[name=password]").press("Enter")
    expect(page).to_have_url("/trips/")


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_other_device_is_signed_out_by_keyboard_after_the_password(
    open_as: Callable[..., Page], viewport: object
) -> None:
    passenger = PassengerFactory()
    other = open_as(None, "/accounts/login/")
    _sign_in(other, passenger.email)
    page = open_as(None, "/accounts/login/", viewport=viewport)
    _sign_in(page, passenger.email)
    for row in AccountSession.objects.filter(user=passenger):
        session = SessionStore(row.session_id)
        session[CONFIRMED_AT] = 1
        session.save()

    page.goto("/account/")
    page.get_by_role("link", name="Where you are signed in").press("Enter")
    expect(page.get_by_test_id("session-here")).to_contain_text("on Linux")
    assert_accessible(page)
    page.get_by_role("button", name="Sign out there").press("Enter")
    expect(page.get_by_role("heading", name="Confirm that it is you")).to_be_visible()
    assert_accessible(page)
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("Your password").press("Enter")
    expect(page).to_have_url("/accounts/sessions/")
    page.get_by_role("button", name="Sign out there").press("Enter")

    expect(page.get_by_text("Signed out there.")).to_be_visible()
    expect(page.get_by_text("Nowhere. Another browser")).to_be_visible()
    # Its socket is closed; the page of a session that has ended leads to signing in.
    expect(other).to_have_url("/accounts/login/?next=/trips/")


def test_signing_out_forgets_storage_and_leaves_a_page_that_works(open_as: Callable[..., Page]) -> None:
    passenger = PassengerFactory()
    page = open_as(None, "/accounts/login/")
    _sign_in(page, passenger.email)
    page.evaluate("sessionStorage.setItem('left', '1'); localStorage.setItem('left', '1')")
    page.goto("/accounts/logout/")
    page.get_by_role("main").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Create an account")).to_be_visible()
    assert page.evaluate("localStorage.getItem('left')") is None
    page.goto("/accounts/login/")
    _sign_in(page, passenger.email)


def test_password_can_be_pasted(open_as: Callable[..., Page]) -> None:
    page = open_as(None, "/accounts/signup/", permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('a long walk home')")
    page.get_by_label("Password").press("Control+v")
    expect(page.get_by_label("Password")).to_have_value("a long walk home")
