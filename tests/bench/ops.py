"""`make bench-ops`: what the live map of the operations room costs its viewer, in Chromium.

5,000 drivers of one city all move every second, ten times as often as phones report, among 500 trips. A page of the
room is open at a server as in real use: once with the whole city in view, where cells with counts are sent, once close,
where single drivers are. Measured are the work of the page's main thread for each update (all tasks of the second that
follows a message, from Chromium's trace, and the page's own script alone), messages and bytes, whether something was
sent that is not in view, and the memory of the page before and after `--minutes`.
"""

import itertools
import json
import os
import statistics
import threading
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NamedTuple, cast

from tests.bench import harness
from tests.bench.harness import Process

DESKTOP = {"width": 1440, "height": 900}
WORK_MS, MESSAGES, BYTES, GROWTH_MIB = 16, 1.0, 64 * 1024, 4.0
# Zooms at which all of the city and a few streets of it are seen.
VIEWS = {"all of the city": 11, "close": 15}
CITY = (43.2220, 76.8512)
E5 = 100_000

_OBSERVE = """
  window.updates = [];
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (one.name === "ops-update") window.updates.push(one.duration);
  }).observe({ type: "measure" });
"""


class Viewed(NamedTuple):
    """What was measured of one view; milliseconds, and numbers a second."""

    tasks: list[float]
    scripts: list[float]
    messages: float
    bytes: float
    shown: int
    outside: int
    is_clustered: bool


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--drivers", type=int, default=5000, help="moving drivers (5,000)")
    parser.add_argument("--trips", type=int, default=500, help="trips (500)")
    parser.add_argument("--seconds", type=int, default=60, help="seconds at each view (60)")
    parser.add_argument("--minutes", type=float, default=5.0, help="minutes over which memory is watched (5)")
    options = parser.parse_args()
    with harness.folder() as home, harness.scratch(home, DISPATCHER="external"):
        from django.core.management import call_command

        call_command("collectstatic", interactive=False, verbosity=0)
        fill(options.drivers, options.trips)
        server = harness.uvicorn("server", home, core=None)
        stop = threading.Event()
        mover = threading.Thread(target=move, args=(stop,))
        mover.start()
        try:
            found, memory = run(server, options.seconds, options.minutes)
            report(found, memory, server, options.minutes)
        finally:
            stop.set()
            mover.join()
            server.stop()


def fill(drivers: int, trips: int) -> None:
    """Put drivers and trips into the city."""
    from tests.bench import population
    from tests.factories import TripFactory
    from trips.states import TripStatus

    # Within 15 km, so that all are in view.
    town = population.Town(*CITY, 5.0, 1.0)
    population.add_drivers(1, drivers, population.points(drivers, 1, [town]))
    places = list(population.points(trips, 2, [town]))
    for number, place in enumerate(places):
        # Nobody looks for drivers here: a search for hundreds of trips at once would be measured with the map.
        status = TripStatus.UNFILLED if number % 5 == 0 else TripStatus.OFFERED
        TripFactory.create(pickup=place, status=status, next_look_at=None)
    population.analyse()


def move(stop: threading.Event) -> None:
    """Move every driver by some metres every second, as their phones' reports do."""
    from django.db import connection

    moves = (
        "UPDATE drivers_driverposition SET lat = lat + 0.0001 * (driver_id %% 3 - 1), "
        "lng = lng + 0.0001 * (driver_id %% 5 - 2) * %s, recorded_at = now(), received_at = now() "
        "WHERE driver_id < 1000000000"
    )
    way = 1
    while not stop.wait(1.0):
        # To and fro, so that nobody leaves the city.
        way = -way if int(time.monotonic()) % 20 == 0 else way
        with connection.cursor() as cursor:
            cursor.execute(moves, [way])
    connection.close()


def run(server: Process, seconds: int, minutes: float) -> tuple[dict[str, Viewed], tuple[float, float]]:
    from playwright.sync_api import ViewportSize, sync_playwright

    # Playwright's loop stays set in this thread: Django would refuse to query beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    from tests.browsing import CHROMIUM_ARGUMENTS, chromium, is_live, session_cookie
    from tests.factories import StaffFactory

    url = f"http://127.0.0.1:{server.port}"
    found: dict[str, Viewed] = {}
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS) as browser,
    ):
        context = browser.new_context(viewport=cast("ViewportSize", DESKTOP), base_url=url)
        context.add_cookies([session_cookie(StaffFactory.create(), url)])
        page = context.new_page()
        page.add_init_script(_OBSERVE)
        socket = Socket(page)
        for name, zoom in VIEWS.items():
            view = {"lat": CITY[0], "lng": CITY[1], "zoom": zoom}
            # From a page that keeps no view of its own.
            page.goto("/help/")
            page.evaluate("view => localStorage.setItem('stepper:ops-view', JSON.stringify(view))", view)
            page.goto("/ops/")
            is_live(page)
            page.wait_for_selector("#ops-map[data-ready]")
            # The first messages have everything, and nothing is compiled yet.
            page.wait_for_timeout(5000)
            found[name] = measure(browser, page, socket, seconds)
        memory = watch_memory(page, minutes)
        context.close()
    return found, memory


class Socket:
    """The frames of the page's socket, as they come."""

    def __init__(self, page: Any) -> None:
        self.frames: list[tuple[float, str]] = []
        self.view: dict[str, float] = {}
        self.views = 0
        page.on("websocket", self._attach)

    def _attach(self, socket: Any) -> None:
        socket.on("framereceived", lambda text: self.frames.append((time.monotonic(), str(text))))
        socket.on("framesent", self._note_sent)

    def _note_sent(self, text: str) -> None:
        command = json.loads(text)
        if command["type"] == "ops.view":
            self.view, self.views = command, self.views + 1

    def take(self) -> list[tuple[float, dict[str, Any], int]]:
        """Return what came of the map since the last time: when, the frame, its bytes."""
        taken, self.frames = self.frames, []
        read = [(at, text, len(text.encode())) for at, text in taken if text.startswith('{"type":"ops.map"')]
        return [(at, json.loads(text), size) for at, text, size in read]


def measure(browser: Any, page: Any, socket: Socket, seconds: int) -> Viewed:
    socket.take()
    page.evaluate("window.updates.length = 0")
    trace = Path(os.environ["DATA_DIR"]) / "trace.json"
    categories = ["toplevel", "disabled-by-default-devtools.timeline", "blink.user_timing"]
    browser.start_tracing(page=page, path=str(trace), categories=categories)
    began = time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    took_s = time.monotonic() - began
    browser.stop_tracing()
    came = socket.take()
    scripts = [float(value) for value in page.evaluate("window.updates")]
    outside = sum(count_outside(frame, socket.view) for _at, frame, _size in came)
    words = str(page.text_content("#ops-map-words"))
    return Viewed(
        tasks=tasks_of(json.loads(trace.read_text())),
        scripts=scripts,
        messages=len(came) / took_s,
        bytes=sum(size for _at, _frame, size in came) / took_s,
        shown=sum(int(number) for number in "".join(one if one.isdigit() else " " for one in words).split()),
        outside=outside,
        is_clustered=any(frame.get("cells") for _at, frame, _size in came),
    )


def count_outside(frame: dict[str, Any], view: dict[str, float]) -> int:
    """Count what of a frame is not in the viewport: points, and cells of which no part is."""
    south, west, north, east = (view[side] * E5 for side in ("south", "west", "north", "east"))
    # Degrees are rounded to whole numbers.
    points = [*frame.get("drivers", []), *frame.get("trips", [])]
    lost = sum(not (south - 1 <= lat <= north + 1 and west - 1 <= lng <= east + 1) for _pk, lat, lng, _state in points)
    for x, _y, lat, _lng, *_counts in frame.get("cells", []):
        width = 360 * E5 / 2 ** frame["zoom"]
        left = x * width - 180 * E5
        lost += left > east or left + width < west or not (south - width <= lat <= north + width)
    return lost


def tasks_of(trace: dict[str, Any]) -> list[float]:
    """Return the milliseconds of the main thread for each update: its tasks from one update to the next.

    Of CPU where the trace has them: a thread that waits for a core works no longer for it.
    """
    events = trace["traceEvents"]
    mains = {(one["pid"], one["tid"]) for one in events if one.get("args", {}).get("name") == "CrRendererMain"}
    updates = [one for one in events if one["name"] == "ops-update" and one["ph"] in "bnRIX"]
    mains &= {(one["pid"], one["tid"]) for one in updates} or mains
    starts = sorted(one["ts"] for one in updates)
    tasks = [one for one in events if one["name"] == "RunTask" and (one["pid"], one["tid"]) in mains and "dur" in one]
    found = []
    for begin, end in itertools.pairwise(starts):
        # What comes just before an update's measure belongs to it.
        inside = [one.get("tdur", one["dur"]) for one in tasks if begin - 50_000 <= one["ts"] < end - 50_000]
        found.append(sum(inside) / 1000)
    # Starting the trace is work, too.
    return found[2:]


def watch_memory(page: Any, minutes: float) -> tuple[float, float]:
    """Return the MiB of the page's heap before and after so many minutes, each after a collection."""
    tools = page.context.new_cdp_session(page)
    before = _heap_mib(tools)
    page.wait_for_timeout(minutes * 60_000)
    return before, _heap_mib(tools)


def _heap_mib(tools: Any) -> float:
    tools.send("HeapProfiler.enable")
    for _time in range(3):
        tools.send("HeapProfiler.collectGarbage")
    return float(tools.send("Runtime.getHeapUsage")["usedSize"]) / 2**20


def _most_of(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else sum(values)


def report(found: dict[str, Viewed], memory: tuple[float, float], server: Process, minutes: float) -> None:
    rows = [
        (
            name,
            f"{one.shown:,}{' in cells' if one.is_clustered else ''}",
            f"{_most_of(one.tasks):.1f}",
            f"{_most_of(one.scripts):.1f}",
            f"{one.messages:.2f}",
            f"{one.bytes / 1024:.1f}",
            one.outside,
        )
        for name, one in found.items()
    ]
    head = ["View", "shown", "main thread, ms, 95 %", "its script, ms, 95 %", "messages/s", "KiB/s", "not in view"]
    harness.table("The live map of the operations room for one viewer", head, rows)
    before, after = memory
    print(f"Heap of the page: {before:.1f} MiB, after {minutes:g} min {after:.1f} MiB")
    harness.finish(
        {
            "main_thread_p95_ms": {name: round(_most_of(one.tasks), 1) for name, one in found.items()},
            "script_p95_ms": {name: round(_most_of(one.scripts), 2) for name, one in found.items()},
            "messages_per_s": {name: round(one.messages, 3) for name, one in found.items()},
            "bytes_per_s": {name: round(one.bytes) for name, one in found.items()},
            "heap_mib": [round(before, 2), round(after, 2)],
        },
        [server],
    )
    limits = {
        "work on the main thread": max(_most_of(one.tasks) for one in found.values()) <= WORK_MS,
        "messages": max(one.messages for one in found.values()) <= MESSAGES,
        "bytes": max(one.bytes for one in found.values()) <= BYTES,
        "what is not in view": not any(one.outside for one in found.values()),
        "memory": after - before <= GROWTH_MIB,
    }
    if broken := [name for name, holds in limits.items() if not holds]:
        raise harness.Failed(f"Over the limit: {', '.join(broken)}.")


if __name__ == "__main__":
    main()
