"""People set up two-step sign-in, sign in with it and use a recovery code, in a real browser on a real server."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from stepper.models import ServiceSettings
from tests.browsing import DESKTOP, PHONE, assert_accessible
from tests.factories import PASSWORD, PassengerFactory, StaffFactory
from tests.factors import code_now, give_second_factor

# What the page does; which database is behind it plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]


def _enter_password(page: Page, login: str) -> None:
    page.locator("[name=login]").fill(login)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("[name=password]").press("Enter")
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()


@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "dark"), (DESKTOP, "light")], ids=["phone", "desktop"])
def test_set_up_by_keyboard_then_sign_in_with_code_and_recovery_code(
    open_as: Callable[..., Page], viewport: object, scheme: str
) -> None:
    passenger = PassengerFactory()
    page = open_as(passenger, "/account/", viewport=viewport, color_scheme=scheme)
    page.get_by_role("link", name="Two-step sign-in").press("Enter")
    assert_accessible(page)
    page.get_by_role("link", name="Set up").press("Enter")
    picture = page.get_by_role("img", name="QR code")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 0
    assert_accessible(page)
    secret = page.get_by_test_id("secret").inner_text().replace(" ", "")
    page.get_by_label("Code that the app shows now").fill("12345")
    page.get_by_label("Code that the app shows now").press("Enter")
    expect(page.get_by_text("This code is wrong.")).to_be_visible()
    assert_accessible(page)
    page.get_by_label("Code that the app shows now").fill(code_now(secret))
    page.get_by_label("Code that the app shows now").press("Enter")

    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    assert_accessible(page)
    recovery = page.get_by_test_id("recovery-codes").locator("code").all_inner_texts()
    with page.expect_download() as saving:
        page.get_by_role("link", name="Save as a file").press("Enter")
    assert set(recovery) <= set(saving.value.path().read_text().split())
    page.evaluate("window.print = () => { document.title = 'printed' }")
    page.get_by_role("button", name="Print").press("Enter")
    expect(page).to_have_title("printed")
    page.get_by_role("link", name="I have kept them").press("Enter")
    expect(page.get_by_text("10 are left.")).to_be_visible()
    assert_accessible(page)

    other = open_as(None, "/accounts/login/", viewport=viewport, color_scheme=scheme)
    _enter_password(other, passenger.email)
    assert_accessible(other)
    # The next one, which counts already: the present one is used up.
    other.get_by_label("Code").fill(code_now(secret, steps=1))
    other.get_by_label("Code").press("Enter")
    expect(other).to_have_url("/trips/")

    third = open_as(None, "/accounts/login/", viewport=viewport)
    _enter_password(third, passenger.email)
    third.get_by_label("Code").fill(recovery[0])
    third.get_by_label("Code").press("Enter")
    expect(third).to_have_url("/trips/")


def test_staff_without_it_are_led_to_set_it_up(open_as: Callable[..., Page]) -> None:
    staff, having = StaffFactory(), StaffFactory()
    give_second_factor(having)
    ServiceSettings.objects.update_or_create(pk=1, defaults={"staff_second_factor": True})
    page = open_as(staff, "/admin/", viewport=DESKTOP)
    expect(page.get_by_role("heading", name="Two-step sign-in")).to_be_visible()
    expect(page.get_by_text("Set it up, then the administration opens.")).to_be_visible()
    assert_accessible(page)
