"""`make bench-marker`: how long after a driver's fix left their browser its move is painted on the passenger's.

The driver's dashboard and the passenger's trip page are open in two Chromiums of a phone's size. The driver's device
moves; their page takes the time at which it hands the frame to its socket, the passenger's that of the first frame in
which the marker has moved on the screen. Embedded: one server on SQLite. Scaled: PostgreSQL and Redis, the driver at
one server and the passenger at another. Both clocks are this machine's.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser
from typing import Any, cast

from tests.bench import harness
from tests.bench.harness import Process

PHONE = {"width": 390, "height": 844}
WANTED_MS = 500
# Chromium's first moves are slower: nothing is compiled and cached yet.
WARMING = 3
# Each fix is so much farther north: about 110 m, what a car drives between two of its fixes.
STEP_DEG = 0.001
PAUSE_S = 1.5

# When each fix left: its latitude -> ms of Unix time.
_NOTE_SENT = """
  window.left = {};
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (text) {
    if (typeof text === "string" && text.includes("driver.location.update")) {
      for (const { lat } of JSON.parse(text).points) window.left[lat] = performance.timeOrigin + performance.now();
    }
    return send.call(this, text);
  };
"""

# When the marker was first seen elsewhere after each fix. A frame has been handed over when the next one begins.
_NOTE_PAINTED = """() => {
  window.painted = {};
  const body = document.querySelector("[data-testid=driver-marker]");
  const icon = body.closest(".leaflet-marker-icon");
  new MutationObserver(() => {
    const lat = body.dataset.lat, before = icon.style.transform;
    const look = () => {
      if (icon.style.transform === before) return requestAnimationFrame(look);
      requestAnimationFrame(() => { window.painted[lat] = performance.timeOrigin + performance.now(); });
    };
    requestAnimationFrame(look);
  }).observe(body, { attributeFilter: ["data-lat"] });
}"""

_WAIT = """lat => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error(`the marker did not move to ${lat}`)), 10_000);
  const look = () => (lat in window.painted ? resolve(window.painted[lat]) : setTimeout(look, 10));
  look();
})"""


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--fixes", type=int, default=40, help="fixes on each set-up (40)")
    parser.add_argument("--on", choices=["embedded", "scaled"], help="one set-up alone")
    options = parser.parse_args()
    if options.on is not None:
        print(json.dumps(measure_on(options.on, options.fixes)))
        return
    found = {name: _measure_apart(name, options.fixes) for name in ("embedded", "scaled")}
    rows = [
        (name, len(values), *(f"{value:.0f}" for value in (statistics.median(values), _most_of(values), max(values))))
        for name, values in found.items()
    ]
    head = ["Set-up", "fixes", "median, ms", "95 %, ms", "most, ms"]
    harness.table("From a fix's leaving the driver's browser to the marker's move on the passenger's", head, rows)
    medians = {name: round(statistics.median(values), 1) for name, values in found.items()}
    harness.finish(
        {"marker_ms": medians, "marker_p95_ms": {name: round(_most_of(one), 1) for name, one in found.items()}}
    )
    if max(medians.values()) > WANTED_MS:
        raise harness.Failed(f"The median is above {WANTED_MS} ms.")


def _most_of(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def _measure_apart(name: str, fixes: int) -> list[float]:
    """Measure in a process of its own: a process has one database."""
    command = [sys.executable, "-m", "tests.bench.marker", "--on", name, "--fixes", str(fixes)]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    values: list[float] = json.loads(told.stdout.splitlines()[-1])
    return values


def measure_on(name: str, fixes: int) -> list[float]:
    """Return the milliseconds of each fix on a set-up."""
    with harness.folder() as home, harness.scratch(home, "postgresql" if name == "scaled" else "sqlite"):
        from django.core.management import call_command

        call_command("collectstatic", interactive=False, verbosity=0)
        if name == "scaled":
            servers = [harness.uvicorn("driver", home, core=None), harness.uvicorn("passenger", home, core=None)]
        else:
            servers = [harness.daphne("server", home, {})]
        try:
            found = run(servers[0], servers[-1], fixes)
        finally:
            for server in servers:
                server.stop()
        for server in servers:
            if server.trouble():
                raise harness.Failed(f"{server.name}:\n{server.trouble()}")
        return found


def run(driver_at: Process, passenger_at: Process, fixes: int) -> list[float]:
    from playwright.sync_api import ViewportSize, sync_playwright

    # Playwright's loop stays set in this thread: Django would refuse to query beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    from stepper.models import ServiceSettings
    from tests.browsing import CHROMIUM_ARGUMENTS, chromium, is_live, session_cookie
    from tests.factories import ALMATY, DriverFactory, TripFactory

    # Faster than a car, so that forty fixes take a minute.
    ServiceSettings.objects.update_or_create(pk=1, defaults={"max_speed_kmh": 400})
    lat, lng = ALMATY[0] - 0.06, ALMATY[1]
    trip: Any = TripFactory.create(status="en_route", driver=DriverFactory.create(at=(lat, lng)))
    viewport = cast("ViewportSize", PHONE)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS) as drivers_browser,
        playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS) as passengers_browser,
    ):
        urls = [f"http://127.0.0.1:{server.port}" for server in (driver_at, passenger_at)]
        driving = drivers_browser.new_context(
            viewport=viewport,
            base_url=urls[0],
            permissions=["geolocation"],
            geolocation={"latitude": lat, "longitude": lng},
        )
        riding = passengers_browser.new_context(viewport=viewport, base_url=urls[1])
        driving.add_cookies([session_cookie(trip.driver.user, urls[0])])
        riding.add_cookies([session_cookie(trip.organiser, urls[1])])
        driving.add_init_script(_NOTE_SENT)
        driver_page, passenger_page = driving.new_page(), riding.new_page()
        driver_page.goto("/driver/")
        passenger_page.goto(f"/trips/{trip.pk}/")
        is_live(driver_page)
        is_live(passenger_page)
        passenger_page.wait_for_selector("[data-testid=driver-marker]")
        passenger_page.evaluate(_NOTE_PAINTED)
        found = []
        for _fix in range(WARMING + fixes):
            # Positions of one device arrive at a car's pace.
            time.sleep(PAUSE_S)
            lat = round(lat + STEP_DEG, 6)
            driving.set_geolocation({"latitude": lat, "longitude": lng})
            painted = float(passenger_page.evaluate(_WAIT, lat))
            found.append(painted - float(driver_page.evaluate("lat => window.left[lat]", lat)))
        return found[WARMING:]


if __name__ == "__main__":
    main()
