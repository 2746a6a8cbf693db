"""Notifications in two tabs: what comes or is read in one shows in the other, list, badge and all."""

import re
from collections.abc import Callable

import pytest
from django.db import transaction
from django.utils import timezone
from playwright.sync_api import APIResponse, Page, Route, expect

from realtime.delivery.notifications import notify
from realtime.models import Notification
from tests.browsing import PHONE, is_settled
from tests.factories import ALMATY, DriverFactory, PassengerFactory
from tests.live import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]


def test_list_and_badge_are_live_in_every_tab(live: LiveServer, open_as: Callable[..., Page]) -> None:
    user = PassengerFactory()
    notify(user, "Old trip", audience="passenger", category="trip")
    tab = open_as(user, "/notifications/", viewport=PHONE)
    other = tab.context.new_page()
    other.goto("/trips/")
    for page in (tab, other):
        expect(page.get_by_test_id("connection-state")).to_contain_text("Live")
    rows, unread = (
        tab.get_by_test_id("notification"),
        [page.get_by_test_id("notification-badge") for page in (tab, other)],
    )

    notify(user, "New booking", audience="passenger", category="booking")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("New booking")
    for badge in unread:
        expect(badge).to_have_text(re.compile("^2"))

    tab.get_by_role("navigation", name="Categories").get_by_role("link", name="Booking").click()
    expect(rows).to_have_count(1)
    rows.first.click()
    for badge in unread:
        expect(badge).to_have_text(re.compile("^1"))
    # The chosen category stays when something comes.
    notify(user, "Another trip", audience="passenger", category="trip")
    for badge in unread:
        expect(badge).to_have_text(re.compile("^2"))
    expect(rows).to_have_count(1)

    # As many are unread as before: one was read on another device and one came, at once.
    tab.get_by_role("navigation", name="Categories").get_by_role("link", name="All").click()
    expect(rows).to_have_count(3)
    with transaction.atomic():
        Notification.objects.filter(user=user, title="Old trip").update(read_at=timezone.now())
        notify(user, "Newest trip", audience="passenger", category="trip")
    expect(rows).to_have_count(4)
    for badge in unread:
        expect(badge).to_have_text(re.compile("^2"))

    # The other tab reads all behind its bell; this one has only its socket.
    other.locator(".bell summary").click()
    other.locator("#notifications").get_by_role("button", name="Mark all read").click()
    for badge in unread:
        expect(badge).to_be_hidden()
    expect(rows).to_have_count(4)
    expect(tab.locator(".notice--unread")).to_have_count(0)


# Resolves when the answer to what was posted has been put on the page, or not.
ANSWERED = """() => void (window.answered = new Promise((done) => addEventListener("htmx:beforeSwap",
  ({ detail }) => detail.requestConfig.verb === "post" && setTimeout(done), true)))"""


@pytest.mark.parametrize("address", ["/notifications/", "/driver/"])
def test_answer_that_comes_late_takes_back_nothing_that_the_socket_brought(
    open_as: Callable[..., Page], address: str
) -> None:
    """Also where the dashboard's script puts what it knows of an answer on the page (merge.js)."""
    user = DriverFactory(at=ALMATY).user
    for title in ("Old trip", "Older trip"):
        notify(user, title, audience="driver", category="trip")
    page = is_settled(open_as(user, address, viewport=PHONE))
    rows, badge = page.get_by_test_id("notification"), page.get_by_test_id("notification-badge")
    if address == "/driver/":
        page.locator(".bell summary").click()
    expect(rows).to_have_count(2)
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/read/", lambda route: held.append((route, route.fetch())))
    rows.first.click()
    expect(badge).to_have_text(re.compile("^1"))
    notify(user, "New trip", audience="driver", category="trip")
    expect(badge).to_have_text(re.compile("^2"))
    expect(rows).to_have_count(3)
    page.evaluate(ANSWERED)
    [(route, answer)] = held
    route.fulfill(response=answer)
    page.evaluate("async () => void (await window.answered)")
    expect(badge).to_have_text(re.compile("^2"))
    expect(rows).to_have_count(3)
