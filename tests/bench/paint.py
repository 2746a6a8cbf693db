"""`make bench-paint`: how long after an offer was written to the database a driver sees its card, in Chromium.

The driver's dashboard is open on a phone-sized page of a server as in real use. A passenger books over REST and cancels
once the card is there: half of the offers while 200 other people's sockets are connected to the same server, half
without them, in turn. The page takes the time of the first frame with the card, the offer's row says when it was
written; both clocks are this machine's. At last the page is frozen for a minute, as a phone freezes what is in the
background, and the countdown of an offer is read a second after it wakes.
"""

import os
import statistics
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, cast

import httpx

from tests.bench import harness
from tests.bench.harness import Load, Process

# The others drive in Almaty; the driver who is looked at is in Astana, where nobody else is.
ELSEWHERE, PICKUP, DROPOFF = (43.2, 76.9286), (51.1694, 71.4491), (51.1306, 71.4266)
PHONE = {"width": 390, "height": 844}
PAINTED_WITHIN_S = 10
# Chromium's first cards are slower: nothing is compiled and cached yet.
WARMING = 3
ASLEEP_S = 60

# The frame in which a card is first shown has been handed over when the next one begins.
_WATCH = """() => {
  window.painted = {};
  new MutationObserver(() => {
    for (const card of document.querySelectorAll("[data-testid=offer-card]")) {
      if (card.id in window.painted) continue;
      window.painted[card.id] = null;
      requestAnimationFrame(() => requestAnimationFrame(() => {
        window.painted[card.id] = performance.timeOrigin + performance.now();
      }));
    }
  }).observe(document.querySelector("#main"), { childList: true, subtree: true });
}"""

# By how many seconds the shown countdown is off.
_OFF_BY_S = """() => {
  const card = document.querySelector("[data-testid=offer-card]");
  const [minutes, seconds] = card.querySelector("[data-testid=offer-countdown]").textContent.split(":").map(Number);
  return Math.abs(minutes * 60 + seconds - Math.ceil((Date.parse(card.dataset.expiresAt) - Date.now()) / 1000));
}"""


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--offers", type=int, default=40, help="offers with the other sockets and as many without (40)")
    parser.add_argument("--sockets", type=int, default=200, help="other people's sockets (200)")
    options = parser.parse_args()
    with harness.folder() as home, harness.scratch(home):
        from django.core.management import call_command

        call_command("collectstatic", interactive=False, verbosity=0)
        server = harness.uvicorn("server", home, core=None)
        try:
            run(home, server, options.offers, options.sockets)
        finally:
            server.stop()


def run(home: Path, server: Process, offers: int, sockets: int) -> None:
    from playwright.sync_api import ViewportSize, sync_playwright

    # Playwright's loop stays set in this thread: Django would refuse to query beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    from stepper.models import ServiceSettings, User
    from tests.bench import people
    from tests.browsing import CHROMIUM_ARGUMENTS, chromium, session_cookie

    # Somebody who books and cancels all the time is stopped in real use.
    unlimited = ("api_per_min", "bookings_per_min", "changes_per_min")
    # An offer is still open after the page has slept.
    lasting = ("offer_urgent_s", "offer_high_s", "offer_normal_s")
    chosen = dict.fromkeys(unlimited, 1000) | dict.fromkeys(lasting, 5 * ASLEEP_S)
    ServiceSettings.objects.update_or_create(pk=1, defaults=chosen)
    driver = people.drivers(1, PICKUP)[0]
    crowd = [user for trip in people.rides(sockets // 2, ELSEWHERE) for user in (trip.driver.user, trip.organiser)]
    lines = [("i", 0, "/ws/", people.subprotocols(user), "-", "connection.established") for user in crowd]
    passenger: User = people.passengers(1)[0]
    url = f"http://127.0.0.1:{server.port}"
    found: dict[str, list[float]] = {"alone": [], "beside": []}
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS) as browser,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {people.token(passenger)}"}) as http,
    ):
        context = browser.new_context(
            viewport=cast("ViewportSize", PHONE),
            permissions=["geolocation"],
            geolocation={"latitude": PICKUP[0], "longitude": PICKUP[1]},
            base_url=url,
        )
        context.add_cookies([session_cookie(driver.user, url)])
        page = context.new_page()
        page.goto("/driver/")
        page.wait_for_function("document.querySelector('[data-testid=connection-state]')?.textContent.includes('Live')")
        page.evaluate(_WATCH)
        for _offer in range(WARMING):
            measure(page, http)
        # In turn, so that what else the machine does meets both.
        for _part in range(4):
            found["alone"] += [measure(page, http) for _offer in range(offers // 4)]
            others = Load(home, server.port, "ws", "idle", 0, 0, "", lines).ready()
            others.start()
            found["beside"] += [measure(page, http) for _offer in range(offers // 4)]
            others.end()
        off_by_s = sleep(page, http)
        context.close()
    report(found, sockets, off_by_s, server)


def measure(page: Any, http: httpx.Client) -> float:
    """Book a trip, wait for its card on the page, cancel it; return the ms from the offer's row to the card's frame."""
    offer = book(http)
    card = f"offer-{offer.pk}"
    page.wait_for_function("id => window.painted[id]", arg=card, timeout=PAINTED_WITHIN_S * 1000)
    painted = float(page.evaluate("id => window.painted[id]", card))
    http.post(f"/api/trips/{offer.trip_id}/cancel", json={}).raise_for_status()
    page.wait_for_function("id => !document.getElementById(id)", arg=card, timeout=PAINTED_WITHIN_S * 1000)
    # Commands of one person arrive at a person's pace.
    time.sleep(0.2)
    return painted - offer.created_at.timestamp() * 1000


def sleep(page: Any, http: httpx.Client) -> int:
    """Freeze the page with an offer on it for ASLEEP_S; return by how many seconds its countdown is off then."""
    book(http)
    page.wait_for_selector("[data-testid=offer-card]")
    tools = page.context.new_cdp_session(page)
    tools.send("Page.setWebLifecycleState", {"state": "frozen"})
    time.sleep(ASLEEP_S)
    tools.send("Page.setWebLifecycleState", {"state": "active"})
    time.sleep(1)
    return int(page.evaluate(_OFF_BY_S))


def book(http: httpx.Client) -> Any:
    """Book a trip, and return the driver's offer."""
    from trips.models import Offer

    place = {"name": "Astana"}
    trip = {
        "pickup": place | {"lat": PICKUP[0], "lng": PICKUP[1]},
        "dropoff": place | {"lat": DROPOFF[0], "lng": DROPOFF[1]},
    }
    booked = http.post("/api/trips", json=trip)
    if booked.status_code != 201:
        raise harness.Failed(f"a booking was answered with {booked.status_code}: {booked.text[:300]}")
    return Offer.objects.get(trip_id=booked.json()["id"])


def report(found: dict[str, list[float]], sockets: int, off_by_s: int, server: Process) -> None:
    names = {"alone": "the driver's alone", "beside": f"and {sockets} others"}
    rows = [
        (
            names[key],
            len(values),
            f"{statistics.median(values):.0f}",
            f"{statistics.quantiles(values, n=20, method='inclusive')[-1]:.0f}",
            f"{max(values):.0f}",
        )
        for key, values in found.items()
    ]
    head = ["Sockets", "offers", "median, ms", "95 %, ms", "most, ms"]
    harness.table("From an offer's row to its card's frame in Chromium", head, rows)
    harness.finish(
        {
            "sockets": sockets,
            "countdown_off_by_s": off_by_s,
            "painted_ms": round(statistics.median(found["beside"]), 1),
            "beside_vs_alone": round(statistics.median(found["beside"]) / statistics.median(found["alone"]), 3),
        },
        [server],
    )


if __name__ == "__main__":
    main()
