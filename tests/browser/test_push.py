"""Pushes end to end: what a real push service decrypts, as Chromium's service worker shows and opens it.

Chromium without a screen refuses `subscribe()`, so the subscription is made over REST, with keys of ours.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserType, Page, expect

from tests.browsing import PHONE, chromium, is_live
from tests.factories import ALMATY, DriverFactory, TripFactory
from tests.push_service import SUBSCRIBE, PushService
from trips import dispatch
from trips.models import Offer

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]

# What is shown once `tag` is, and has ended or not; null where it is not within three seconds.
_SHOWN = """async ([tag, ended]) => {
  const registration = await navigator.serviceWorker.ready;
  for (let left = 150; left > 0; left -= 1) {
    const [one] = await registration.getNotifications({ tag });
    if (one && one.data.ended === ended) {
      return { title: one.title, body: one.body, url: one.data.url, actions: one.actions.map(({ action }) => action) };
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return null;
}"""
# How often a push is delivered until it is shown: Chromium drops one whose worker does not start in time.
_DELIVERIES = 5
_TITLES = """navigator.serviceWorker.ready.then((registration) => registration.getNotifications())
  .then((shown) => shown.map(({ title }) => title))"""
# What a press does, with the windows that there are: pages that are open, what is focused, navigated, opened.
_PRESS = """async ([action, open]) => {
  const done = [];
  const page = (url) => ({
    url,
    focus: async () => { done.push(["focus", url]); return page(url); },
    navigate: async (address) => {
      if (url.endsWith("#uncontrolled")) throw new TypeError("Not controlled by this worker");
      done.push(["navigate", address]);
    },
  });
  self.clients.matchAll = async () => open.map((path) => page(new URL(path, location.origin).href));
  self.clients.openWindow = async (address) => { done.push(["open", address]); };
  const [notification] = await self.registration.getNotifications();
  const event = new NotificationEvent("notificationclick", { notification, action });
  const waited = [];
  event.waitUntil = (promise) => waited.push(promise);
  self.dispatchEvent(event);
  await Promise.all(waited);
  const left = (await self.registration.getNotifications()).length;
  return [done.map(([verb, address]) => [verb, address.replace(location.origin, "")]), left];
}"""


@pytest.fixture(scope="module")
def browser(browser_type: BrowserType, browser_type_launch_args: dict[str, Any]) -> Iterator[Browser]:
    """The whole browser: without its window it shows no notifications."""
    with browser_type.launch(**browser_type_launch_args | {"executable_path": chromium()}) as launched:
        yield launched


class Worker:
    """The service worker of a page: delivers pushes to it, by the developer tools."""

    def __init__(self, page: Page) -> None:
        self.page = page
        registrations: list[dict[str, Any]] = []
        self._tools = page.context.new_cdp_session(page)
        self._tools.on(
            "ServiceWorker.workerRegistrationUpdated", lambda event: registrations.extend(event["registrations"])
        )
        self._tools.send("ServiceWorker.enable")
        self.origin = page.evaluate("navigator.serviceWorker.ready.then(() => location.origin)")
        [self._registration] = {one["registrationId"] for one in registrations if not one["isDeleted"]}

    def deliver(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Give it a push, and return what is shown then."""
        data = {"origin": f"{self.origin}/", "registrationId": self._registration, "data": json.dumps(payload)}
        for _delivery in range(_DELIVERIES):
            self._tools.send("ServiceWorker.deliverPushMessage", data)
            shown: dict[str, Any] | None = self.page.evaluate(_SHOWN, [payload["tag"], payload.get("ended", False)])
            if shown is not None:
                return shown
        pytest.fail(f"{payload['tag']} is not shown")

    def press(self, action: str, open_pages: list[str]) -> Any:
        [worker] = self.page.context.service_workers
        return worker.evaluate(_PRESS, [action, open_pages])


def test_offer_without_an_open_dashboard_is_shown_opened_accepted_and_replaced(
    service: PushService, open_as: Open
) -> None:
    driver = DriverFactory.create(at=ALMATY)
    # A page without a socket: nothing but the push says that there is an offer.
    page = open_as(
        driver.user, "/notifications/push/", viewport=PHONE, service_workers="allow", permissions=["notifications"]
    )
    expect(page.get_by_test_id("push-toggle")).to_be_enabled()
    assert page.evaluate(SUBSCRIBE, service.subscribe()) == 201
    page.reload()
    expect(page.get_by_test_id("push-toggle")).to_have_attribute("aria-pressed", "true")
    worker = Worker(page)

    dispatch.start_round(TripFactory.create(status="published").pk)
    offer = Offer.objects.get()
    [received] = service.wait_for(1)
    shown = worker.deliver(received.payload)
    assert shown["actions"] == ["open", "close"]
    assert (shown["title"], shown["url"]) == (received.payload["title"], f"/driver/#offer-{offer.pk}")

    page.goto(shown["url"])
    is_live(page)
    page.get_by_test_id("offer-accept").click()
    expect(page.get_by_test_id("active-trip")).to_be_visible()
    payloads = [one.payload for one in service.wait_for(2)]
    [ended] = [one for one in payloads if one.get("ended")]
    assert worker.deliver(ended)["body"] == "You accepted it."
    # The offer's own push, late: what has ended does not come back, and one notification is all there is.
    worker._tools.send(
        "ServiceWorker.deliverPushMessage",
        {"origin": f"{worker.origin}/", "registrationId": worker._registration, "data": json.dumps(received.payload)},
    )
    other = {"title": "Other", "tag": "other", "url": "https://example.test/x"}
    worker.deliver(other)
    assert sorted(page.evaluate(_TITLES)) == ["Other", "This offer has ended"]


def test_press_focuses_the_page_or_opens_it_and_leads_to_no_other_host(open_as: Open) -> None:
    page = open_as(
        DriverFactory.create().user, "/notifications/", service_workers="allow", permissions=["notifications"]
    )
    worker = Worker(page)
    offer = {"title": "₸9 180", "tag": "offer-1", "url": "/driver/#offer-1"}

    worker.deliver(offer)
    assert worker.press("", []) == [[["open", "/driver/#offer-1"]], 0]
    worker.deliver(offer)
    assert worker.press("open", ["/trips/", "/driver/"]) == [
        [["focus", "/driver/"], ["navigate", "/driver/#offer-1"]],
        0,
    ]
    worker.deliver(offer)
    assert worker.press("open", ["/driver/#offer-1"]) == [[["focus", "/driver/#offer-1"]], 0]
    worker.deliver(offer)
    assert worker.press("open", ["/driver/#uncontrolled"]) == [
        [["focus", "/driver/#uncontrolled"], ["open", "/driver/#offer-1"]],
        0,
    ]
    worker.deliver(offer)
    assert worker.press("close", []) == [[], 0]
    worker.deliver({"title": "x", "tag": "x", "url": "https://example.test/driver/"})
    assert worker.press("", []) == [[["open", "/notifications/"]], 0]


def test_session_that_ended_elsewhere_takes_what_is_shown_with_it(open_as: Open) -> None:
    page = open_as(
        DriverFactory.create().user, "/notifications/", service_workers="allow", permissions=["notifications"]
    )
    Worker(page).deliver({"title": "₸9 180", "tag": "offer-1", "url": "/driver/#offer-1"})
    assert page.evaluate(_TITLES) == ["₸9 180"]

    page.context.clear_cookies()
    page.goto("/accounts/login/")

    page.wait_for_function(f"async () => !(await ({_TITLES})).length")
