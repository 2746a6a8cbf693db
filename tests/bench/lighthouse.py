"""`make bench-lighthouse`: Lighthouse on pages of a server as in real use, the driver's and the passenger's, on a
phone's profile.

Each page several times; a score is the median. The bytes are those of a first visit, compressed, as the network carried
them. Wanted of each page: performance 95, accessibility 100, best practices 100, at most 250 KB of which 40 KB are the
project's own JavaScript; the last lines name what is short of it. `machine` is Lighthouse's measure of how fast the
processor was meanwhile (its benchmarkIndex), on which performance hangs: figures are compared at the same one.
"""

import datetime as dt
import json
import os
import statistics
import subprocess
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests import servers
from tests.bench import harness

FOLDER = harness.HERE / "lighthouse"
WANTED = {"performance": 95, "accessibility": 100, "best-practices": 100}
MOST_BYTES, MOST_SCRIPT_BYTES = 250_000, 40_000
TRIPS = 30


class Visit(NamedTuple):
    """What Lighthouse found of a page: category -> score of 100, what each falls short by, bytes of the network, and
    the processor's speed.
    """

    scores: dict[str, float]
    short: list[str]
    total: int
    scripts: int
    machine: float


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="visits of each page (5)")
    parser.add_argument("--only", default="", help="pages whose names contain one of these, with commas between")
    options = parser.parse_args()
    with harness.folder() as home, harness.scratch(home, TASK_WORKER="external", TILE_URL=""):
        from django.core.management import call_command

        call_command("collectstatic", interactive=False, verbosity=0)
        server = harness.uvicorn("server", home, core=None)
        try:
            report(visit_all(home, f"http://127.0.0.1:{server.port}", options.times, options.only), server)
        finally:
            server.stop()


def visit_all(home: Path, url: str, times: int, only: str) -> dict[str, list[Visit]]:
    from playwright.sync_api import sync_playwright

    # Playwright's loop stays set in this thread: Django would refuse to query beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    from tests.browsing import CHROMIUM_ARGUMENTS, chromium, session_cookie

    cli = FOLDER / "node_modules" / "lighthouse" / "cli" / "index.js"
    command = [harness.installed(FOLDER, "lighthouse"), str(cli)]
    found: dict[str, list[Visit]] = {}
    with sync_playwright() as playwright:
        for name, (user, path) in pages().items():
            if not any(part in name for part in only.split(",")):
                continue
            # Lighthouse opens its pages in the profile of the browser that it finds at a port.
            port = servers.free_port()
            context = playwright.chromium.launch_persistent_context(
                home / f"profile-{name}",
                executable_path=chromium(),
                args=[*CHROMIUM_ARGUMENTS, f"--remote-debugging-port={port}"],
                permissions=["geolocation", "notifications"],
                geolocation={"latitude": 43.2, "longitude": 76.9286},
            )
            if user is not None:
                context.add_cookies([session_cookie(user, url)])
            found[name] = [visit(command, port, url + path) for _time in range(times)]
            context.close()
    return found


def pages() -> dict[str, tuple[Any, str]]:
    """Return the pages by name: who opens it (None: somebody who is not signed in), and its address."""
    from django.utils import timezone

    from tests.bench import people
    from tests.factories import OfferFactory, TripFactory

    free, offered, earning = people.drivers(3, (43.2, 76.9286))
    OfferFactory.create(driver=offered, expires_at=timezone.now() + dt.timedelta(hours=2))
    for day in range(TRIPS):
        ended = timezone.now() - dt.timedelta(days=day % 7, hours=1)
        TripFactory.create(status="completed", driver=earning, completed_at=ended)
    return {
        "dashboard": (free.user, "/driver/"),
        "offer": (offered.user, "/driver/"),
        "earnings": (earning.user, "/driver/earnings/"),
        "settings": (earning.user, "/driver/settings/"),
    } | _passengers_pages()


def _passengers_pages() -> dict[str, tuple[Any, str]]:
    from django.urls import reverse
    from django.utils import timezone

    from tests.bench import people
    from tests.factories import ALMATY, TripFactory
    from tests.papers import document, picture
    from trips import shares

    [driving] = people.drivers(1, (ALMATY[0] + 0.02, ALMATY[1] + 0.01), "busy")
    photo = {"content": picture(size=(1500, 2000)), "status": "accepted", "accepted_at": timezone.now()}
    document(driving.user, "photo", expires_on=None, **photo)
    trip = TripFactory.create(status="en_route", driver=driving)
    done = TripFactory.create(status="completed", organiser=trip.organiser)
    return {
        "landing": (None, "/"),
        "booking": (None, reverse("booking:book")),
        "trip": (trip.organiser, f"/trips/{trip.pk}/"),
        "share": (None, f"/t/{shares.create_share(trip.pk, trip.organiser).token}/"),
        "receipt": (done.organiser, f"/trips/{done.pk}/receipt/"),
        "account": (trip.organiser, reverse("stepper:account")),
    }


def visit(command: list[str], port: int, url: str) -> Visit:
    options = [f"--port={port}", "--output=json", "--quiet", f"--only-categories={','.join(WANTED)}"]
    answer = _told([*command, url, *options])
    audits = answer["audits"]
    short = [
        f"{audits[ref['id']]['title']} ({name})"
        for name, category in answer["categories"].items()
        for ref in category["auditRefs"]
        if ref["weight"] and (audits[ref["id"]]["score"] or 0) < 1 and audits[ref["id"]]["score"] is not None
    ]
    requests = [one for one in audits["network-requests"]["details"]["items"] if one["url"].startswith("http")]
    return Visit(
        {name: category["score"] * 100 for name, category in answer["categories"].items()},
        short,
        sum(one["transferSize"] for one in requests),
        sum(one["transferSize"] for one in requests if "/static/js/" in one["url"]),
        answer["environment"]["benchmarkIndex"],
    )


def _told(command: list[str]) -> Mapping[str, Any]:
    """Return what Lighthouse says of a page; where it could not look (Chromium's trace lacks its beginning now and
    then: NO_NAVSTART), it is asked once more.
    """
    for _time in range(2):
        told = subprocess.run(command, capture_output=True, check=False, cwd=FOLDER)
        answer: Mapping[str, Any] = json.loads(told.stdout) if told.returncode == 0 else {}
        if answer and not answer.get("runtimeError"):
            return answer
        fault = answer["runtimeError"]["message"] if answer else told.stderr.decode(errors="replace").strip()
        print(f"Lighthouse could not look at {command[2]}: {fault[-500:]}", flush=True)
    raise harness.Failed("Lighthouse could not look at a page twice")


def report(found: Mapping[str, list[Visit]], server: harness.Process) -> None:
    def median(name: str, category: str) -> float:
        return statistics.median(visit.scores[category] for visit in found[name])

    rows, missed = [], []
    for name, visits in found.items():
        scores = [median(name, category) for category in WANTED]
        total, scripts = max(visit.total for visit in visits), max(visit.scripts for visit in visits)
        machine = f"{statistics.median(visit.machine for visit in visits):.0f}"
        rows.append((name, len(visits), *(f"{score:.0f}" for score in scores), f"{total:,}", f"{scripts:,}", machine))
        is_short = any(score < wanted for score, wanted in zip(scores, WANTED.values(), strict=True))
        if is_short or total > MOST_BYTES or scripts > MOST_SCRIPT_BYTES:
            missed.append(f"{name}: {'; '.join(sorted({text for visit in visits for text in visit.short}))}")
    harness.table(
        "Lighthouse, a phone's profile", ["page", "visits", *WANTED, "bytes", "own JavaScript", "machine"], rows
    )
    for line in missed:
        print(f"Short of what is wanted: {line}")
    harness.finish(
        {name: {category: median(name, category) for category in WANTED} for name in found}
        | {"bytes": max(visit.total for visits in found.values() for visit in visits)},
        [server],
    )


if __name__ == "__main__":
    main()
