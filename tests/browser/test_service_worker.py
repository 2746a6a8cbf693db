"""The service worker in Chromium: what it keeps, the page shown offline, a new release, and what signing out leaves."""

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from tests.factories import OfferFactory

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]

KEPT = """async () => {
  const kept = [];
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys()) kept.push(new URL(request.url).pathname);
  }
  return kept;
}"""
_READY = "navigator.serviceWorker.ready.then(({ active }) => active.scriptURL)"
CONTROLLED = """new Promise((resolve) => {
  const { serviceWorker } = navigator;
  if (serviceWorker.controller) resolve(true);
  serviceWorker.addEventListener("controllerchange", () => resolve(true));
})"""


def test_offline_page_instead_of_an_old_one_and_nothing_personal_is_kept(open_as: Open) -> None:
    driver = OfferFactory.create().driver
    page = open_as(driver.user, "/driver/", service_workers="allow")
    assert page.evaluate(CONTROLLED)
    kept = page.evaluate(KEPT)
    assert {"/offline/", "/static/css/base.css", "/static/js/dashboard.js", "/static/fonts/Inter-700.woff2"} <= set(
        kept
    )
    # Under the worker, too: neither pages nor fragments.
    page.goto(reverse("drivers:tab", args=["history"]))
    page.goto("/driver/")
    expect(page.get_by_test_id("offer-card")).to_be_visible()
    assert page.evaluate(KEPT) == kept
    assert [path for path in kept if path != "/offline/" and not path.startswith("/static/")] == []

    page.context.set_offline(True)
    page.goto("/driver/")
    expect(page.get_by_role("heading", name="No connection to StepperGO")).to_be_visible()
    expect(page.get_by_test_id("offer-card")).to_have_count(0)
    # Styled, although nothing can be loaded.
    assert page.evaluate("document.fonts.check('700 16px Inter') && getComputedStyle(document.body).margin") == "0px"
    page.context.set_offline(False)
    expect(page.get_by_test_id("offer-card")).to_be_visible()

    page.locator(".menu > summary").last.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    left = page.evaluate(KEPT)
    assert [path for path in left if path != "/offline/" and not path.startswith("/static/")] == []
    # When the socket was told that the session has ended; which page htmx has shown last.
    assert set(page.evaluate("[...Object.keys(localStorage), ...Object.keys(sessionStorage)]")) <= {
        "stepper:signed-out-at",
        "htmx-current-path-for-history",
    }


def test_new_release_is_offered_and_taken_when_agreed(open_as: Open) -> None:
    page = open_as(OfferFactory.create().driver.user, "/offline/", service_workers="allow")
    # Another address of the same worker passes for an older release of it.
    page.evaluate("navigator.serviceWorker.register('/sw.js?older')")
    page.evaluate(CONTROLLED)
    page.evaluate("caches.open('shell-older')")
    page.goto("/driver/")
    prompt = page.get_by_test_id("update-prompt")
    expect(prompt).to_be_visible()
    assert page.evaluate("navigator.serviceWorker.controller.scriptURL").endswith("?older")
    with page.expect_navigation():
        prompt.get_by_role("button", name="Reload").click()
    expect(page.get_by_test_id("offer-card")).to_be_visible()
    expect(prompt).to_be_hidden()
    assert page.evaluate(_READY).endswith("/sw.js")
    assert "shell-older" not in page.evaluate("caches.keys()")


def test_install_button_shows_where_the_browser_can_install(open_as: Open) -> None:
    page = open_as(OfferFactory.create().driver.user, "/driver/")
    page.locator(".menu > summary").last.click()
    button = page.get_by_test_id("install-app")
    expect(button).to_be_hidden()
    page.evaluate("""() => {
      const event = new Event("beforeinstallprompt", { cancelable: true });
      event.prompt = () => { document.body.dataset.prompted = "yes"; };
      window.dispatchEvent(event);
    }""")
    button.click()
    expect(page.locator("body")).to_have_attribute("data-prompted", "yes")
