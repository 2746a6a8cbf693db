"""`make bench-abuse`: how long others wait while one account floods a costly verb.

Somebody else looks at a page, asks for a price, pings over a socket and accepts an offer, without the flood and with it
in turn; the flood (of the tests' own table, `tests.faults.floods`) comes from a process of its own, over four
connections without a pause. It begins with what the account may do in a minute, all at once, and is measured for longer
than that takes. Medians in milliseconds, and how many times longer it took. More than three times is too much. It fails
only where a server failed.
"""

import argparse
import asyncio
import contextlib
import datetime as dt
import itertools
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import django
import httpx
import websockets
from channels.db import database_sync_to_async
from django.core.management import call_command

from tests.bench import harness, parts

TOO_MUCH = 3.0
OPERATIONS = ("page", "quote", "ping", "accept")
ALMATY = (43.222, 76.8512)
ELSEWHERE = (51.1694, 71.4491)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, default=24, help="of each operation, without and with the flood")
    options.add_argument("--rounds", type=int, default=1, help="times that both are measured in turn")
    options.add_argument("--verb", default="", help="only verbs whose name contains this")
    options.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    options.add_argument("--flood", metavar="URL", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.flood:
        django.setup()
        # It shares a core with those it floods: only what the server is late with is measured.
        os.nice(19)
        asyncio.run(_flood_when_told(chosen.flood))
        return
    with harness.folder() as home, harness.scratch(home, database=chosen.database):
        # Pages name their static files by what is collected.
        call_command("collectstatic", verbosity=0, interactive=False)
        server = harness.daphne("ours", home, {})
        try:
            _run(server, chosen)
        finally:
            server.stop()


def _run(server: harness.Process, chosen: argparse.Namespace) -> None:
    from tests.faults.floods import VERBS

    url = f"http://127.0.0.1:{server.port}"
    # Neither side of the load takes the server's core.
    os.sched_setaffinity(0, {harness.LOAD_CORE})
    flooding = parts.start(__spec__.name, "--flood", url)
    rows, figures = [], {}
    for number, verb in enumerate(VERBS):
        if chosen.verb in verb.name:
            measured = asyncio.run(_measure(url, flooding, number, chosen.samples, chosen.rounds))
            ratios = {name: round(measured.loud[name] / measured.quiet[name], 2) for name in OPERATIONS}
            figures[verb.name] = ratios
            cells = (
                f"{measured.quiet[name]:.1f} → {measured.loud[name]:.1f} ({ratios[name]:.1f})" for name in OPERATIONS
            )
            rows.append((verb.name, *cells, "slow" if max(ratios.values()) > TOO_MUCH else ""))
    flooding.communicate()
    harness.table("Others' medians without and with a flood, ms (times)", ["Flood of", *OPERATIONS, ""], rows)
    slow = [name for name, ratios in figures.items() if max(ratios.values()) > TOO_MUCH]
    print(f"More than {TOO_MUCH:g} times: {'; '.join(slow) or 'none'}")
    harness.finish(
        {"worst": max((max(one.values()) for one in figures.values()), default=0), "ratios": figures}, [server]
    )


# The bystanders


class Medians(NamedTuple):
    """Of each operation, in milliseconds."""

    quiet: dict[str, float]
    loud: dict[str, float]


class Bystander:
    """A passenger and a driver who do nothing out of the ordinary."""

    def __init__(self, url: str, offers: int) -> None:
        from django.conf import settings

        from stepper.api.tokens import sign_in
        from tests.browsing import session_cookie
        from tests.factories import DriverFactory, OfferFactory, PassengerFactory

        self.url = url
        passenger, driver = PassengerFactory.create(), DriverFactory.create(at=ALMATY)
        self._cookie = {settings.SESSION_COOKIE_NAME: session_cookie(passenger, url)["value"]}
        self._bearer = {"Authorization": f"Bearer {sign_in(passenger)['access']}"}
        self._driver_token = sign_in(driver.user)["access"]
        # Each leaves so long after the one before that the driver can take them all.
        self._trips = [
            OfferFactory.create(driver=driver, trip__in_=dt.timedelta(hours=10 * (number + 1))).trip_id
            for number in range(offers)
        ]

    @contextlib.asynccontextmanager
    async def online(self) -> AsyncIterator["Bystander"]:
        protocols: Any = ["stepper.v1", f"bearer.{self._driver_token}"]
        async with (
            httpx.AsyncClient(base_url=self.url, timeout=60) as self._client,
            websockets.connect(f"{self.url.replace('http', 'ws', 1)}/ws/", subprotocols=protocols) as self._socket,
        ):
            yield self

    async def sample(self) -> dict[str, float]:
        """Each operation once: how long it took, in milliseconds."""
        calls: dict[str, Callable[[], Awaitable[None]]] = {
            "page": self._page,
            "quote": self._quote,
            "ping": self._ping,
            "accept": self._accept,
        }
        taken = {}
        for name, call in calls.items():
            started = time.perf_counter()
            await call()
            taken[name] = (time.perf_counter() - started) * 1000
        return taken

    async def _page(self) -> None:
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookie.items())
        _require(await self._client.get("/trips/", headers={"Cookie": cookie}))

    async def _quote(self) -> None:
        places = [{"name": "A", "lat": lat, "lng": 76.9} for lat in (43.2, 43.3)]
        body = {"pickup": places[0], "dropoff": places[1]}
        _require(await self._client.post("/api/trips/quote", json=body, headers=self._bearer))

    async def _ping(self) -> None:
        await self._socket.send('{"type": "ping", "ref": "bystander"}')
        while '"ref":"bystander"' not in str(await self._socket.recv()):
            pass

    async def _accept(self) -> None:
        headers = {"Authorization": f"Bearer {self._driver_token}"}
        _require(await self._client.post(f"/api/drivers/trips/accept/{self._trips.pop()}", headers=headers))


def _require(response: httpx.Response) -> None:
    if response.status_code != 200:
        raise harness.Failed(f"A bystander got {response.status_code}: {response.text[:300]}")


async def _measure(url: str, flooding: parts.Part, number: int, samples: int, rounds: int) -> Medians:
    from tests.faults.floods import VERBS

    # Two more warm up what is loaded when it is first used.
    bystander = await database_sync_to_async(Bystander)(url, 2 * samples * rounds + 2)
    quiet, loud = [], []
    async with bystander.online():
        for _warming in range(2):
            await bystander.sample()
        for _round in range(rounds):
            quiet += [await bystander.sample() for _ in range(samples)]
            parts.tell(flooding, await database_sync_to_async(_describe)(url, number))
            await asyncio.to_thread(parts.said, flooding)
            loud += [await bystander.sample() for _ in range(samples)]
            parts.tell(flooding, "enough")
            print(f"{VERBS[number]}: {await asyncio.to_thread(parts.said, flooding)}", file=sys.stderr)
    return Medians(
        *({name: statistics.median(one[name] for one in taken) for name in OPERATIONS} for taken in (quiet, loud))
    )


# The flood, in a process of its own


def _describe(url: str, number: int) -> dict[str, Any]:
    """A new flooder for the verb: made here, since factories of two processes would give the same addresses."""
    from tests.faults.floods import VERBS, make_flooder

    made = make_flooder([url], ELSEWHERE, VERBS[number].as_driver)
    described = {name: getattr(made, name) for name in ("token", "refresh", "cookies", "rows")}
    return {"verb": number, "user": made.user.pk, **described}


async def _flood_when_told(url: str) -> None:
    """A line describes a flooder and begins the flood, the next one ends it."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        told = json.loads(line)
        outcomes: Counter[str] = Counter()
        begun, enough = asyncio.Event(), asyncio.Event()
        flooding = asyncio.create_task(_flood(url, told, outcomes, begun=begun, enough=enough))
        await begun.wait()
        print(json.dumps("begun"), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        # Not cancelled: clients wait with `asyncio.wait_for`, which can lose a cancellation (Python 3.11).
        enough.set()
        await flooding
        print(json.dumps(outcomes), flush=True)


async def _flood(
    url: str, told: dict[str, Any], outcomes: Counter[str], *, begun: asyncio.Event, enough: asyncio.Event
) -> None:
    from stepper.models import User
    from tests.faults.floods import VERBS, Flooder, flood

    user = await User.objects.aget(pk=told["user"])
    flooder = Flooder(user, None, [url], told["token"], told["refresh"], told["cookies"], told["rows"], ELSEWHERE)
    async with flooder.online():
        begun.set()
        numbers = itertools.takewhile(lambda _: not enough.is_set(), itertools.count())
        await flood(VERBS[told["verb"]], flooder, numbers, outcomes)


if __name__ == "__main__":
    main()
