"""A driver's page without a network: what it keeps, what it says, and what the server has when the network is back."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from drivers.models import TrailPoint
from tests.browsing import PHONE, is_live, is_settled, session_cookie
from tests.factories import ALMATY, DriverFactory, OfferFactory, TripFactory, place
from tests.live import LiveServer
from trips.models import AppliedCommand, Trip, TripTransition
from trips.states import OfferStatus, TripStatus

pytestmark = [pytest.mark.browser, pytest.mark.embedded_only]

Open = Callable[..., Page]
MINUTE = dt.timedelta(minutes=1)
SECOND = dt.timedelta(seconds=1)
# The device's receiver: `fix(lat, lng, ageMs)` is a position that it found so long ago.
RECEIVER = """
  let found = () => {};
  navigator.geolocation.watchPosition = (callback) => { found = callback; return 1; };
  window.fix = (latitude, longitude, ageMs) => found({
    timestamp: Date.now() - ageMs, coords: { latitude, longitude, heading: null, speed: null, accuracy: 5 } });
"""
# How many rows are in IndexedDB; no database is none.
KEPT = """async () => {
  if (!(await indexedDB.databases()).some(({ name }) => name === "stepper")) return 0;
  const database = await new Promise((resolve) => {
    const request = indexedDB.open("stepper");
    // It was deleted at this moment: opening would make an empty one.
    request.onupgradeneeded = () => request.transaction.abort();
    request.onerror = () => resolve(null);
    request.onsuccess = () => resolve(request.result);
  });
  if (!database) return 0;
  const count = await new Promise((resolve) => {
    database.transaction("queue").objectStore("queue").count().onsuccess = (event) => resolve(event.target.result);
  });
  database.close();
  return count;
}"""
# Milliseconds from the network's return until the page is connected anew.
BACK_MS = """() => addEventListener("online", () => {
  const since = performance.now();
  document.addEventListener("stepper:frame", ({ detail: frame }) => {
    if (frame.type === "connection.established") window.backMs ??= performance.now() - since;
  });
})"""
# Sets the phone's clock, and returns by how many seconds the countdown is off at most in the next second and a half.
OFF_BY_S = """async (changeMs) => {
  const { serverNow } = await import("/static/js/clock.js");
  const real = window.realNow ??= Date.now.bind(Date);
  // What the server says now, not when the page was busy with loading.
  await new Promise((resolve) => {
    document.addEventListener("stepper:proven", resolve, { once: true });
    document.dispatchEvent(new CustomEvent("stepper:clock"));
  });
  const ahead = serverNow() - real();
  Date.now = () => real() + changeMs;
  const card = document.querySelector("[data-testid=offer-card]");
  const label = card.querySelector("[data-testid=offer-countdown]");
  let worst = 0;
  for (let time = 0; time < 15; time += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    // However late the page's timers are on a busy machine.
    document.dispatchEvent(new CustomEvent("htmx:wsAfterMessage", { detail: { message: "" } }));
    const [minutes, seconds] = label.textContent.split(":").map(Number);
    const left = Math.ceil((Date.parse(card.dataset.expiresAt) - real() - ahead) / 1000);
    worst = Math.max(worst, Math.abs(minutes * 60 + seconds - left));
  }
  return worst;
}"""

# IndexedDB as phones have it: the connection that the page has is dead; it cannot be opened the first time; not at all.
DEAD_CONNECTION = """
  let dead = null;
  const { transaction } = IDBDatabase.prototype;
  window.breakStorage = () => { IDBDatabase.prototype.transaction = function (...given) {
    dead ??= this;
    if (this === dead) throw new DOMException("", "InvalidStateError");
    return transaction.apply(this, given);
  }; };
"""
OPENS_AT_THE_SECOND_TRY = """
  let failures = 1;
  const { open } = IDBFactory.prototype;
  IDBFactory.prototype.open = function (...given) {
    if (failures-- > 0) throw new DOMException("", "UnknownError");
    return open.apply(this, given);
  };
  window.breakStorage = () => {};
"""
NO_STORAGE = """
  window.breakStorage = () => { IDBDatabase.prototype.transaction = () => {
    throw new DOMException("", "InvalidStateError");
  }; };
"""


def mark(page: Page, name: str) -> Any:
    return page.get_by_test_id(name)


def open_dashboard(open_as: Open, trip: Trip, *scripts: str) -> Page:
    page = open_as(trip.driver.user, "/driver/tab/active/", viewport=PHONE)
    for script in (RECEIVER, *scripts):
        page.context.add_init_script(script)
    page.reload()
    # What it has asked is answered: a later answer would show that what was sent has arrived.
    is_settled(page)
    return page


def trip_on_the_road() -> Trip:
    driver = DriverFactory(is_online=True)
    place(driver, *ALMATY, age=5 * MINUTE)
    trip: Trip = TripFactory(
        status=TripStatus.PASSENGERS_BOARDED, driver=driver, accepted_at=timezone.now() - 10 * MINUTE
    )
    return trip


def steps_of(trip: Trip) -> list[str]:
    return list(TripTransition.objects.filter(trip=trip).order_by("pk").values_list("to_status", flat=True))


def test_twenty_positions_and_two_steps_without_a_network_are_each_applied_once(open_as: Open) -> None:
    trip = trip_on_the_road()
    page = open_dashboard(open_as, trip)
    # This one is sent, and nothing shows that it has arrived.
    page.evaluate("([lat, lng, ageMs]) => fix(lat, lng, ageMs)", [ALMATY[0] - 1 / 3000, ALMATY[1], 90_000])
    page.context.set_offline(True)
    expect(mark(page, "offline-banner")).to_contain_text("Offline since")
    for number in range(20):
        fix = [ALMATY[0] + number / 3000, ALMATY[1], 80_000 - 4000 * number]
        page.evaluate("([lat, lng, ageMs]) => fix(lat, lng, ageMs)", fix)
    for _step in range(2):
        mark(page, "trip-next-step").click()
    expect(mark(page, "queued-count")).to_have_text("23")
    expect(mark(page, "queued-steps")).to_contain_text("Start driving")
    expect(mark(page, "trip-next-step")).to_contain_text("Complete trip")
    assert steps_of(trip) == []

    page.evaluate(BACK_MS)
    page.context.set_offline(False)
    back_ms = page.wait_for_function("() => window.backMs").json_value()
    expect(mark(page, "offline-banner")).to_be_hidden()

    assert back_ms < 1000
    expect(mark(page, "trip-status")).to_have_text("At the destination")
    expect(mark(page, "queued-steps")).to_have_count(0)
    # With the next step, of a page that is live, the second is over in which the server writes positions.
    mark(page, "trip-next-step").click()
    expect(mark(page, "rate-card")).to_be_visible()
    page.wait_for_function("() => document.querySelector('[data-testid=connection-state]').dataset.state === 'live'")
    assert steps_of(trip) == ["in_transit", "arrived", "completed"]
    assert page.evaluate(KEPT) == 0
    _await_trail(page, trip, 21)


def _await_nothing_kept(page: Page) -> None:
    for _tick in range(100):
        if page.evaluate(KEPT) == 0:
            return
        page.wait_for_timeout(100)
    raise AssertionError("It is still kept")


def _await_trail(page: Page, trip: Trip, points: int) -> None:
    """The server writes positions once a second."""
    for _tick in range(50):
        if TrailPoint.objects.filter(trip=trip).count() >= points:
            break
        page.wait_for_timeout(100)
    times = TrailPoint.objects.filter(trip=trip).values_list("recorded_at", flat=True)
    assert (len(times), len(set(times))) == (points, points)


def test_two_tabs_send_an_answer_once_and_say_which_came_too_late(open_as: Open) -> None:
    driver = DriverFactory(at=ALMATY, is_online=True)
    taken = OfferFactory(driver=driver, expires_at=timezone.now() + 5 * MINUTE)
    late = OfferFactory(driver=driver, expires_at=timezone.now() + 2 * MINUTE)
    pages = [open_as(driver.user, "/driver/", viewport=PHONE)]
    pages.append(pages[0].context.new_page())
    pages[1].goto("/driver/")
    sent: list[str] = []
    for page in pages:
        is_live(page)
        page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    for change_ms in (600_000, -600_000):
        assert pages[0].evaluate(OFF_BY_S, change_ms) <= 1
    pages[0].evaluate("() => { Date.now = realNow; }")

    pages[0].context.set_offline(True)
    for offer in (taken, late):
        pages[0].locator(f"#offer-{offer.pk}").get_by_test_id("offer-accept").click()
    for page in pages:
        expect(mark(page, "queued-count")).to_have_text("2")
    # Its deadline passes while there is no network; the page is told, as waiting for it would take two minutes.
    pages[0].evaluate(
        "() => { const real = performance.now.bind(performance), now = Date.now;"
        " performance.now = () => real() + 180_000; Date.now = () => now() + 180_000; }"
    )
    expect(mark(pages[0], "queued-refused")).to_contain_text("Time ran out")
    expect(mark(pages[1], "queued-refused")).to_contain_text("Time ran out")
    pages[0].context.set_offline(False)
    for page in pages:
        expect(mark(page, "active-trip")).to_be_attached()
        expect(mark(page, "queued-steps")).to_have_count(0)

    assert len([frame for frame in sent if "trip.offer.accept" in frame]) == 1
    assert AppliedCommand.objects.get().about == f"accept {taken.pk}"
    late.refresh_from_db()
    assert late.status != OfferStatus.ACCEPTED


def test_answer_that_was_lost_on_the_way_is_asked_for_again(open_as: Open) -> None:
    """The server has taken the step; a network that breaks now must not have the page say that it did not."""
    trip = trip_on_the_road()
    page = open_dashboard(open_as, trip)

    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/status/", lose, times=1)
    mark(page, "trip-next-step").click()
    expect(page.locator("[data-testid=trip-next-step][data-next=arrived]")).to_be_visible()
    expect(mark(page, "offline-banner")).to_be_hidden()
    expect(page.locator(".toast")).to_have_count(0)
    assert steps_of(trip) == ["in_transit"]


@pytest.mark.parametrize("fault", [DEAD_CONNECTION, OPENS_AT_THE_SECOND_TRY])
def test_tap_is_kept_although_the_storage_failed_once(open_as: Open, fault: str) -> None:
    trip = trip_on_the_road()
    page = open_dashboard(open_as, trip, fault)
    page.evaluate("breakStorage()")
    page.context.set_offline(True)
    mark(page, "trip-next-step").click()
    expect(mark(page, "queued-count")).to_have_text("1")

    page.context.set_offline(False)
    expect(mark(page, "queued-steps")).to_have_count(0)
    expect(page.locator("[data-testid=trip-next-step][data-next=arrived]")).to_be_visible()
    assert steps_of(trip) == ["in_transit"]


def test_tap_that_cannot_be_kept_is_said_and_positions_are_sent_on_return(open_as: Open) -> None:
    trip = trip_on_the_road()
    page = open_dashboard(open_as, trip, NO_STORAGE)
    page.evaluate("breakStorage()")
    page.context.set_offline(True)
    mark(page, "trip-next-step").click()
    expect(page.locator(".toast--error")).to_have_text("This device could not keep that step. Try again.")
    page.evaluate("([lat, lng, ageMs]) => fix(lat, lng, ageMs)", [*ALMATY, 8000])

    page.context.set_offline(False)
    is_live(page)
    mark(page, "trip-next-step").click()
    expect(page.locator("[data-testid=trip-next-step][data-next=arrived]")).to_be_visible()
    assert steps_of(trip) == ["in_transit"]
    _await_trail(page, trip, 1)


def test_what_one_account_left_is_not_sent_as_another_and_waits_for_a_sign_in(live: LiveServer, open_as: Open) -> None:
    trip, other = trip_on_the_road(), trip_on_the_road()
    page = open_dashboard(open_as, trip)
    page.context.set_offline(True)
    mark(page, "trip-next-step").click()
    expect(mark(page, "queued-count")).to_have_text("1")
    page.context.clear_cookies()
    page.context.add_cookies([session_cookie(other.driver.user, live.url)])

    page.context.set_offline(False)
    expect(page.locator(f"html[data-account='{other.driver.user_id}']")).to_be_attached()
    is_live(page)
    assert page.evaluate(KEPT) == 0
    assert steps_of(trip) == steps_of(other) == []

    page.context.set_offline(True)
    mark(page, "trip-next-step").click()
    expect(mark(page, "queued-count")).to_have_text("1")
    page.context.clear_cookies()
    page.context.set_offline(False)
    # The session ended without anybody signing out.
    page.wait_for_url("**/accounts/login/**")
    expect(mark(page, "sign-in-waits")).to_be_visible()
    assert page.evaluate(KEPT) == 1
    assert steps_of(other) == []

    page.context.add_cookies([session_cookie(other.driver.user, live.url)])
    page.goto("/driver/tab/active/")
    expect(page.locator("[data-testid=trip-next-step][data-next=arrived]")).to_be_visible()
    _await_nothing_kept(page)
    assert steps_of(other) == ["in_transit"]


def test_what_waits_goes_with_the_sign_out_also_where_the_server_cannot_ask_for_it(open_as: Open) -> None:
    """As in a browser that does not know Clear-Site-Data."""
    trip = trip_on_the_road()
    page = open_dashboard(open_as, trip)
    page.context.set_offline(True)
    mark(page, "trip-next-step").click()
    expect(mark(page, "queued-count")).to_have_text("1")

    def leave_out(route: Any) -> None:
        answer = route.fetch(max_redirects=0)
        headers = {name: value for name, value in answer.headers.items() if name != "clear-site-data"}
        route.fulfill(status=answer.status, headers=headers)

    page.context.route("**/accounts/logout/", leave_out)
    # The page must not send it first.
    page.goto("about:blank")
    page.context.set_offline(False)
    page.goto("/trips/")
    page.evaluate("document.querySelector('form[data-signs-out]').requestSubmit()")
    expect(page.locator("html[data-account='0']")).to_be_attached()
    _await_nothing_kept(page)
    assert steps_of(trip) == []


def test_socket_of_a_network_that_went_away_proves_nothing_any_more(open_as: Open) -> None:
    """A frame that was still on its way made the page live again, until the next heartbeat was missed."""
    page = open_dashboard(open_as, trip_on_the_road())
    with page.expect_event("websocket") as opened:
        page.evaluate("void window.dispatchEvent(new Event('offline'))")
    assert "/ws/dashboard/driver/" in opened.value.url
    is_live(page)
