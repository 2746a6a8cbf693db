"""The app as a phone has it: asleep in the background, installed by drivers and passengers, in their language."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from django.utils.translation import override
from playwright.sync_api import BrowserContext, BrowserType, Page, expect

from stepper.models import ServiceSettings
from stepper.templatetags.units import clock
from tests.browser.test_offline import OFF_BY_S
from tests.browser.test_service_worker import CONTROLLED, KEPT
from tests.browsing import PHONE, chromium, session_cookie
from tests.factories import ALMATY, DriverFactory, TripFactory
from tests.live import LiveServer
from tests.push_service import SUBSCRIBE, PushService
from trips import dispatch
from trips.models import Offer

# What the pages do; which database is behind them plays no part.
pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]

# Each month by its own words, this year and an earlier one; and now, which has none.
NOW = timezone.now()
INSTANTS = [NOW, *(NOW.replace(year=year, month=month, day=5) for month in range(1, 13) for year in (2024, NOW.year))]
ZONES = ["Asia/Almaty", "America/New_York"]
_TIMES_OF_DAY = """async ([instants, zones]) => {
  const { timeOfDay } = await import("/static/js/clock.js");
  return instants.flatMap((instant) => zones.map((zone) => timeOfDay(Date.parse(instant), zone)));
}"""

# The locks that the page was given, by the browser's own API.
_LOCKS = """window.locks = [];
const request = navigator.wakeLock.request.bind(navigator.wakeLock);
navigator.wakeLock.request = async (kind) => {
  const lock = await request(kind);
  window.locks.push(lock);
  return lock;
};"""
# A receiver that finds where it is when a watch begins, and nothing new while it stands still.
_STANDING = """let watches = 0;
navigator.geolocation.watchPosition = (found) => {
  watches += 1;
  document.documentElement.dataset.watches = watches;
  const coords = { latitude: 43.222, longitude: 76.8512, heading: null, speed: 0, accuracy: 5 };
  found({ timestamp: Date.now(), coords });
  return watches;
};"""
_HELD = "window.locks.filter((lock) => !lock.released).length"


@pytest.fixture
def installed(
    live: LiveServer, tmp_path: Path, browser_type: BrowserType, browser_type_launch_args: dict[str, Any]
) -> Iterator[BrowserContext]:
    """A browser with a profile of its own, as the one that an app is installed in; at the pickups."""
    context = browser_type.launch_persistent_context(
        tmp_path / "profile",
        **browser_type_launch_args | {"executable_path": chromium()},
        viewport=PHONE,
        base_url=live.url,
        permissions=["geolocation"],
        geolocation={"latitude": ALMATY[0], "longitude": ALMATY[1]},
    )
    yield context
    context.close()


def test_offer_while_the_tab_sleeps_is_pushed_and_can_be_accepted_when_it_wakes(
    service: PushService, open_as: Open
) -> None:
    driver = DriverFactory.create(at=ALMATY)
    page = open_as(driver.user, "/driver/", at=ALMATY, viewport=PHONE)
    expect(page.get_by_test_id("connection-state")).to_contain_text("Live")
    assert page.evaluate(SUBSCRIBE, service.subscribe()) == 201
    tools = page.context.new_cdp_session(page)
    tools.send("Page.setWebLifecycleState", {"state": "frozen"})

    dispatch.start_round(TripFactory.create(status="published").pk)
    offer = Offer.objects.get()
    [received] = service.wait_for(1)
    assert received.payload["url"] == f"/driver/#offer-{offer.pk}"

    tools.send("Page.setWebLifecycleState", {"state": "active"})
    expect(page.get_by_test_id("offer-card")).to_be_visible()
    assert page.evaluate(OFF_BY_S, 0) <= 1
    accept = page.get_by_test_id("offer-accept")
    expect(accept).not_to_have_attribute("aria-disabled", "true")
    accept.click()
    expect(page.get_by_test_id("active-trip")).to_be_visible()
    offer.refresh_from_db()
    assert offer.status == "accepted"


def test_installed_app_keeps_the_screen_on_while_online(live: LiveServer, installed: BrowserContext) -> None:
    driver = DriverFactory.create(at=ALMATY)
    installed.add_cookies([session_cookie(driver.user, live.url)])
    installed.add_init_script(_LOCKS)
    page = installed.pages[0]
    tools = installed.new_cdp_session(page)
    tools.send("Browser.grantPermissions", {"permissions": ["wakeLockScreen", "geolocation"]})
    page.goto("/driver/")
    expect(page.get_by_test_id("screen-on")).to_be_visible()
    assert page.evaluate(_HELD) == 1
    page.get_by_test_id("availability-toggle").click()
    expect(page.get_by_test_id("screen-on")).to_be_hidden()
    assert page.evaluate(_HELD) == 0

    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    assert tools.send("Page.getInstallabilityErrors")["installabilityErrors"] == []


def test_trip_page_can_be_installed_and_leaves_nothing_of_its_passenger(
    live: LiveServer, installed: BrowserContext
) -> None:
    trip = TripFactory.create(status="accepted", organiser__name="Dana Akhmetova")
    installed.add_cookies([session_cookie(trip.organiser, live.url)])
    page, address = installed.pages[0], f"/trips/{trip.pk}/"
    page.goto(address)
    expect(page.locator("link[rel=manifest]")).to_have_attribute("href", "/manifest.webmanifest")
    assert page.evaluate(CONTROLLED)
    assert installed.new_cdp_session(page).send("Page.getInstallabilityErrors")["installabilityErrors"] == []
    # Under the worker, too: it keeps no page.
    page.goto(address)
    expect(page.locator("#trip-panel")).to_be_visible()
    kept = page.evaluate(KEPT)
    assert "/offline/" in kept
    assert [path for path in kept if path != "/offline/" and not path.startswith("/static/")] == []

    installed.set_offline(True)
    page.goto(address)
    expect(page.get_by_role("heading", name="No connection to StepperGO")).to_be_visible()
    expect(page.locator("#trip-panel")).to_have_count(0)
    installed.set_offline(False)
    expect(page.locator("#trip-panel")).to_be_visible()

    page.locator(".menu > summary").last.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    left = page.evaluate(KEPT)
    assert [path for path in left if path != "/offline/" and not path.startswith("/static/")] == []


def test_language_is_the_browsers_until_one_is_chosen_then_it_goes_with_the_account(open_as: Open) -> None:
    expect(open_as(None, "/", locale="ru-RU").locator("html")).to_have_attribute("lang", "ru")
    driver = DriverFactory.create(at=ALMATY)
    page = open_as(driver.user, "/driver/", at=ALMATY)
    heading, html = page.get_by_role("heading", level=1), page.locator("html")
    for name, code, words, accept in (
        ("Қазақша", "kk", "Жүргізуші панелі", "Қабылдау"),
        ("English", "en", "Driver dashboard", "Accept"),
        ("Русский", "ru", "Панель водителя", "Принять"),
    ):
        page.get_by_role("banner").locator("details.menu summary").last.click()
        page.get_by_test_id("language-switch").get_by_role("button", name=name).click()
        expect(html).to_have_attribute("lang", code)
        expect(heading).to_have_text(words)
        # What scripts write is written as the server does: whatever month it is, and however far back.
        with override(code):
            times = [clock(instant, zone) for instant in INSTANTS for zone in ZONES]
        assert page.evaluate(_TIMES_OF_DAY, [[at.isoformat() for at in INSTANTS], ZONES]) == times
        # What comes over the socket speaks it, too.
        expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")
        dispatch.start_round(TripFactory.create(status="published").pk)
        expect(page.get_by_test_id("offer-accept").first).to_have_text(accept)
        Offer.objects.all().delete()
    expect(open_as(driver.user, "/driver/", locale="kk-KZ").locator("html")).to_have_attribute("lang", "ru")


def test_vehicle_that_stands_still_goes_on_being_seen(open_as: Open) -> None:
    ServiceSettings.objects.create(pk=1, position_idle_s=1)
    driver = DriverFactory.create(at=ALMATY)
    page = open_as(driver.user, "/driver/", at=ALMATY, viewport=PHONE)
    page.add_init_script(_STANDING)
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-watches", re.compile(r"^([3-9]|\d\d+)$"))
    assert page.locator("[data-position-notice]:visible").count() == 0
