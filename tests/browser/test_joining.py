"""Somebody applies as a driver in Chromium, sees what staff decide at once, and changes their settings."""

import re
from collections.abc import Callable

import pytest
from django.conf import settings
from playwright.sync_api import FilePayload, Page, Route, expect

from drivers import approvals, document_review
from drivers.models import Driver, DriverDocument
from realtime import events
from tests.browsing import DESKTOP, PHONE, assert_accessible
from tests.factories import ALMATY, PassengerFactory, StaffFactory
from tests.papers import accept_all, in_days, picture
from trips import bookings
from trips.booking_requests import BookingRequest

# What the pages do; which database is behind them plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

PHOTO: FilePayload = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": picture(size=(900, 600))}


def _press_send(page: Page, kind: str) -> None:
    form = page.locator(f"#document-{kind}")
    form.get_by_test_id("document-upload").set_input_files([PHOTO])
    form.get_by_label("Valid until").fill(in_days(300).isoformat())
    form.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Sent.", exact=True)).to_be_visible()


def _send(page: Page, kind: str) -> None:
    _press_send(page, kind)
    # "Sent." may still be there of another one.
    expect(page.get_by_test_id(f"document-{kind}")).to_have_text("Being checked")


def test_applying_until_the_first_completed_trip(open_as: Callable[..., Page]) -> None:
    user, staff = PassengerFactory(), StaffFactory()
    page = open_as(user, "/drivers/apply/", viewport=PHONE, at=ALMATY)
    state = page.get_by_test_id("apply-state")
    expect(state).to_contain_text("Not sent yet.")
    page.get_by_label("Number of your driving licence").fill("AB 123456")
    assert_accessible(page)
    page.get_by_test_id("apply-next").click()
    for label, text in (("Make", "Toyota"), ("Model", "Camry"), ("Colour", "White"), ("Plate", "777 abk 02")):
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_label("Year it was built").fill("2019")
    page.get_by_test_id("apply-next").click()
    expect(page.get_by_role("heading", name="Your documents")).to_be_visible()
    assert_accessible(page)

    # Left and resumed, on another device.
    page = open_as(user, "/drivers/apply/", viewport=PHONE, at=ALMATY)
    last = page.locator("#document-taxi_licence").get_by_label("Valid until")
    last.fill("2031-05-01")
    for kind in ("licence", "insurance", "inspection"):
        _send(page, kind)
        # What is sent takes nothing away that is filled in on another card, and its own card has the focus.
        expect(last).to_have_value("2031-05-01")
        expect(page.locator(f"#document-{kind} summary")).to_be_focused()
    _send(page, "taxi_licence")
    page.get_by_test_id("apply-next").click()
    page.get_by_label("I agree").check()
    page.get_by_test_id("apply-next").click()
    state = page.get_by_test_id("apply-state")
    expect(state).to_contain_text("Your application is being checked.")
    expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")

    row = DriverDocument.objects.get(owner=user, kind="insurance")
    document_review.reject_document(row.pk, staff, "The plate is cut off")
    expect(state).to_contain_text("Something is missing.")
    expect(page.get_by_text("Our staff: The plate is cut off")).to_be_visible()
    assert_accessible(page)
    page.locator("#document-insurance summary").click()
    _send(page, "insurance")
    expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")
    accept_all(user)
    expect(page.get_by_test_id("document-insurance")).to_have_text("Accepted")
    driver = Driver.objects.get(user=user)
    approvals.approve(driver.pk, staff)
    expect(state).to_contain_text("You are approved.")
    page.get_by_role("link", name="To the dashboard").click()
    page.get_by_test_id("availability-toggle").click()
    expect(page.get_by_test_id("availability-toggle")).to_have_attribute("aria-checked", "true")

    trip = bookings.book(
        PassengerFactory(),
        BookingRequest(events.Place("Almaty", "", *ALMATY), events.Place("Medeu", "", 43.1574, 77.0586)),
    )
    accept = page.get_by_test_id("offer-accept")
    expect(accept).not_to_have_attribute("aria-disabled", "true")
    accept.click()
    for status in ("en_route", "driver_arrived", "in_transit", "arrived", "completed"):
        page.locator(f"[data-testid=trip-next-step][data-next={status}]").click()
    expect(page.get_by_test_id("rate-card")).to_be_visible()
    trip.refresh_from_db()
    assert (trip.status, trip.driver_id) == ("completed", driver.pk)
    page.goto("/driver/earnings/")
    expect(page.get_by_test_id("earnings-total")).to_contain_text(f"{trip.driver_earnings:,}".replace(",", "\u202f"))


def test_document_that_cannot_be_sent_leaves_its_card_and_an_ended_session_leads_to_the_sign_in(
    open_as: Callable[..., Page],
) -> None:
    page = open_as(PassengerFactory(), "/drivers/apply/?step=documents", viewport=PHONE)
    form = page.locator("#document-licence")
    form.get_by_test_id("document-upload").set_input_files([PHOTO])
    answer = {"content_type": "text/html", "body": "<p>no"}
    for status, words in ((413, "The file is too large"), (403, "That did not work"), (404, "That did not work")):
        page.route(
            "**/drivers/documents/licence/",
            lambda route, *, status=status: route.fulfill(status=status, **answer),
        )
        form.get_by_role("button", name="Send").click()
        expect(page.locator("#toasts")).to_contain_text(words)
        page.evaluate("document.getElementById('toasts').replaceChildren()")
        expect(form.get_by_test_id("document-upload")).to_be_visible()
        page.unroute_all()

    page.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)
    form.get_by_role("button", name="Send").click()
    expect(page).to_have_url(re.compile(r"/accounts/login/\?next=/drivers/apply/"))


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_settings_are_saved_and_the_page_changes_its_colours(open_as: Callable[..., Page], viewport: object) -> None:
    user = PassengerFactory()
    driver = Driver.objects.create(
        user=user, approval="approved", licence_number="A1", licence_expires_on=in_days(90), navigation_app="google"
    )
    page = open_as(user, "/driver/settings/", viewport=viewport, color_scheme="light")
    assert_accessible(page)
    body = page.locator("body")
    expect(body).to_have_css("background-color", "rgb(244, 245, 242)")
    page.get_by_label("Colours").select_option("dark")
    page.get_by_label("Navigate with").select_option("2gis")
    page.get_by_test_id("settings-save").click()
    expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
    expect(body).to_have_css("background-color", "rgb(14, 21, 18)")
    assert_accessible(page)
    driver.refresh_from_db()
    assert driver.navigation_app == "2gis"
    photo = page.locator("#document-photo")
    photo.get_by_test_id("document-upload").set_input_files([PHOTO])
    photo.get_by_role("button", name="Send").click()
    expect(page.locator("img.settings__photo")).to_have_js_property("naturalWidth", 900)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_answer_that_comes_after_the_event_takes_nothing_back(open_as: Callable[..., Page]) -> None:
    user = PassengerFactory()
    page = open_as(user, "/drivers/apply/?step=documents", viewport=PHONE)
    expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")

    def answer_late(route: Route) -> None:
        answer = route.fetch()
        accept_all(user)
        expect(page.get_by_test_id("document-insurance")).to_have_text("Accepted")
        route.fulfill(response=answer)

    page.route("**/drivers/documents/insurance/", answer_late)
    _press_send(page, "insurance")
    expect(page.get_by_test_id("document-insurance")).to_have_text("Accepted")
