"""`make bench-load`: a city at work for two minutes, over ten thousand sockets, two server processes and one bus.

4,800 drivers on their way send 2,000 positions a second, each to a passenger who watches; 200 more drivers are offered
the trips that 200 more passengers book, accept them and drive them. Half of what one process hears is watched on the
other. Afterwards every durable event in the database must have reached those whom it was for. A bare echo server that
the same machine runs at the same time shows what the machine alone takes.
"""

import asyncio
import itertools
import json
import random
import secrets
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from django.db import connection
from django.db.models import Max
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.bench import harness, relay
from tests.bench.harness import Load, Process

RIDES, TAXIS = 4800, 200
# On their way in Almaty; booking in Astana, where nobody else is.
AT, PICKUP, DROPOFF = (43.2, 76.9286), (51.1694, 71.4491), (51.1306, 71.4266)
BOOKED_EVERY_S = 0.5
STEPS = ("en_route", "driver_arrived", "passengers_boarded", "in_transit", "arrived", "completed")
STEP_S = 1.0
# How long after the end what is under way may take.
SETTLES_S = 30.0
MEMORY_FROM_S = 30.0
ECHOES = 100
FIRST_FIX = relay.COMMAND.replace("@", "43.2")

Line = Sequence[str | int]


class Crowd(NamedTuple):
    lines: list[Line]
    # (user id, token): of taxi drivers by driver id, of passengers who book.
    taxis: dict[int, tuple[int, str]]
    bookers: list[tuple[int, str]]


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--rate", type=float, default=2000, help="positions a second")
    parser.add_argument("--rides", type=int, default=RIDES)
    parser.add_argument("--taxis", type=int, default=TAXIS)
    options = parser.parse_args()
    with harness.folder() as home, harness.scratch(home):
        processes = [harness.uvicorn(f"server-{letter}", home, core=None) for letter in "ab"]
        processes.append(harness.echo(home))
        try:
            crowd = gather([process.port for process in processes[:2]], options)
            run(home, processes, crowd, options)
        finally:
            for process in processes:
                process.stop()


def gather(ports: Sequence[int], options: Namespace) -> Crowd:
    from stepper.models import ServiceSettings
    from tests.bench import people

    # A driver who drives a trip in six seconds says more in a minute than any real one.
    paced = ("status_per_min", "answers_per_min", "bookings_per_min")
    ServiceSettings.objects.update_or_create(pk=1, defaults=dict.fromkeys(paced, 1000))
    lines: list[Line] = []
    for number, trip in enumerate(people.rides(options.rides, AT)):
        for role, user, port, hello in (
            ("w", trip.organiser, ports[number // 2 % 2], "-"),
            ("s", trip.driver.user, ports[number % 2], FIRST_FIX),
        ):
            lines.append((role, number, "/ws/", people.subprotocols(user), hello, "connection.established", port))
    drivers = people.drivers(options.taxis, PICKUP)
    taxis = {driver.pk: (driver.user.pk, people.token(driver.user)) for driver in drivers}
    bookers = [(user.pk, people.token(user)) for user in people.passengers(options.taxis, max_overlapping_trips=1000)]
    return Crowd(lines, taxis, bookers)


class Witness:
    """A signed-in socket of somebody, which keeps what every durable event was called that reached it."""

    def __init__(self, name: str, port: int, token: str) -> None:
        self.name, self.port, self.token = name, port, token
        self.ids: set[str] = set()
        # Trip -> the highest version that it was told of, in an event or a snapshot.
        self.versions: dict[int, int] = {}
        self.frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.refused = Counter[str]()
        self._socket: Any = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        protocols = [Subprotocol("stepper.v1"), Subprotocol(f"bearer.{self.token}")]
        address = f"ws://127.0.0.1:{self.port}/ws/"
        self._socket = await connect(address, subprotocols=protocols, compression=None, ping_interval=None, proxy=None)
        if json.loads(await self._socket.recv())["type"] != "connection.established":
            raise harness.Failed(f"{self.name} was not let in")
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            frame = json.loads(await self._socket.recv())
            if "id" in frame:
                self.ids.add(frame["id"])
            if "version" in frame:
                self.versions[frame["trip_id"]] = max(frame["version"], self.versions.get(frame["trip_id"], 0))
            if frame["type"] == "heartbeat" and not frame.get("ref"):
                await self.say({"type": "ping", "ref": "beat"})
            elif frame["type"] == "error":
                self.refused[frame["code"]] += 1
                self.frames.put_nowait(frame)
            elif frame["type"] in {"trip.offer.created", "ack"}:
                self.frames.put_nowait(frame)

    async def say(self, command: dict[str, Any]) -> None:
        await self._socket.send(json.dumps(command))

    async def close(self) -> None:
        """Raises what ended the socket before."""
        if self._reading is None:
            return
        ended, _pending = self._reading.done(), self._reading.cancel()
        if ended:
            self._reading.result()
        await self._socket.close()


class Taxi(Witness):
    """Accepts what it is offered, whoever is first, and drives it."""

    def __init__(self, driver_id: int, port: int, token: str, chance: random.Random) -> None:
        super().__init__(f"driver.{driver_id}", port, token)
        self.chance = chance

    async def work(self) -> None:
        await self.say({"type": "driver.location.update", "points": [{"lat": PICKUP[0], "lng": PICKUP[1]}]})
        while True:
            frame = await self.frames.get()
            if frame["type"] == "trip.offer.created":
                await asyncio.sleep(self.chance.uniform(0.2, 1.0))
                if await self._ask({"type": "trip.offer.accept", "offer_id": frame["offer_id"]}):
                    for step in STEPS:
                        await asyncio.sleep(STEP_S)
                        await self._ask({"type": "trip.status.update", "trip_id": frame["trip_id"], "status": step})

    async def _ask(self, command: dict[str, Any]) -> bool:
        ref = secrets.token_hex(4)
        await self.say(command | {"ref": ref})
        while (answer := await self.frames.get()).get("ref") != ref:
            pass  # further offers lapse: this driver is busy
        return bool(answer["type"] == "ack")


class Seen(NamedTuple):
    """What a run was like, besides what the generators measured."""

    booked: int
    completed: int
    events: int
    lost: list[str]
    refused: Counter[str]
    memory_kib: list[list[float]]
    commits_per_s: float
    rows_per_s: float
    positions: dict[str, float]
    echoed: dict[str, float]


class City:
    def __init__(self, servers: list[Process], crowd: Crowd) -> None:
        chance = random.Random(1)
        self.servers = servers
        self.taxis = {
            pk: Taxi(pk, servers[number % 2].port, token, chance)
            for number, (pk, (_user, token)) in enumerate(crowd.taxis.items())
        }
        self.user_of_taxi = {pk: user for pk, (user, _token) in crowd.taxis.items()}
        self.bookers = {
            user: Witness(f"user.{user}", servers[number // 2 % 2].port, token)
            for number, (user, token) in enumerate(crowd.bookers)
        }
        self.booked: list[int] = []

    async def work(self, sending: Load, echoing: Load, seconds: float) -> Seen:
        everybody: list[Witness] = [*self.taxis.values(), *self.bookers.values()]
        for start in range(0, len(everybody), 20):
            await asyncio.gather(*(one.open() for one in everybody[start : start + 20]))
        first_event = await asyncio.to_thread(_last_event)
        driving = [asyncio.create_task(taxi.work()) for taxi in self.taxis.values()]
        before = await asyncio.to_thread(_written)
        started = time.monotonic()
        sending.start()
        echoing.start()
        weighing = asyncio.create_task(self._weigh(seconds))
        await self._book(started + seconds)
        after, lasted = await asyncio.to_thread(_written), time.monotonic() - started
        positions = await asyncio.to_thread(sending.result)
        echoed = await asyncio.to_thread(echoing.result)
        memory = await weighing
        # Polled, as the database tells nobody: first until all trips are over, then until their last events are there.
        given_up_at = time.monotonic() + SETTLES_S
        while await asyncio.to_thread(_under_way, self.booked) and time.monotonic() < given_up_at:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        while (lost := await asyncio.to_thread(self._lost, first_event)) and time.monotonic() < given_up_at + SETTLES_S:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        for task in driving:
            if task.done():
                task.result()
            task.cancel()
        for one in everybody:
            await one.close()
        refused = sum((one.refused for one in everybody), Counter[str]())
        return Seen(
            len(self.booked),
            len(self.booked) - await asyncio.to_thread(_under_way, self.booked),
            await asyncio.to_thread(_last_event) - first_event,
            lost,
            refused,
            memory,
            (after[0] - before[0]) / lasted,
            (after[1] - before[1]) / lasted,
            positions,
            echoed,
        )

    async def _book(self, until: float) -> None:
        trip = {
            "pickup": {"name": "Baiterek", "lat": PICKUP[0], "lng": PICKUP[1]},
            "dropoff": {"name": "Khan Shatyr", "lat": DROPOFF[0], "lng": DROPOFF[1]},
        }
        waiting = itertools.cycle(self.bookers.values())
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            while (at := time.monotonic()) < until:
                passenger = next(waiting)
                headers = {"Authorization": f"Bearer {passenger.token}"}
                url = f"http://127.0.0.1:{passenger.port}/api/trips"
                answer = await http.post(url, json=trip, headers=headers)
                if answer.status_code != 201:
                    raise harness.Failed(f"a booking was answered with {answer.status_code}: {answer.text[:200]}")
                self.booked.append(int(answer.json()["id"]))
                await asyncio.sleep(max(0.0, BOOKED_EVERY_S - (time.monotonic() - at)))

    async def _weigh(self, seconds: float) -> list[list[float]]:
        """KiB of each server: at the start, after the first half minute, at the end."""
        found = []
        for pause in (0.0, min(MEMORY_FROM_S, seconds / 4), seconds - min(MEMORY_FROM_S, seconds / 4)):
            await asyncio.sleep(pause)
            found.append([server.memory_kib() for server in self.servers])
        return found

    def _lost(self, first_event: int) -> list[str]:
        """Events of the run that did not reach everybody they were for. In a database thread."""
        from realtime.models import Event
        from realtime.outbox import PERMISSIONS_REFRESH
        from trips.models import Trip

        trips = {trip.pk: trip for trip in Trip.objects.filter(pk__in=self.booked)}
        lost = []
        for event in Event.objects.filter(id__gt=first_event).exclude(type=PERMISSIONS_REFRESH).order_by("id"):
            kind, _dot, number = event.group.partition(".")
            audience: list[Witness] = []
            if kind == "driver" and int(number) in self.taxis:
                audience = [self.taxis[int(number)]]
            elif kind == "user" and int(number) in self.bookers:
                audience = [self.bookers[int(number)]]
            elif kind == "trip" and (trip := trips.get(int(number))) is not None:
                audience = [self.bookers[trip.organiser_id]]
                if trip.driver_id and trip.accepted_at and event.created_at > trip.accepted_at:
                    audience.append(self.taxis[trip.driver_id])
            frame = json.loads(event.frame)
            for witness in audience:
                told = witness.versions.get(frame.get("trip_id", 0), -1) >= frame.get("version", sys.maxsize)
                if event.event_id not in witness.ids and not told:
                    lost.append(f"{event.type} {event.event_id} to {witness.name}")
        return lost


def _last_event() -> int:
    from realtime.models import Event

    return Event.objects.aggregate(last=Max("id"))["last"] or 0


def _under_way(trip_ids: list[int]) -> int:
    from trips.models import Trip

    return Trip.objects.unfinished().filter(pk__in=trip_ids).count()


def _written() -> tuple[int, int]:
    """Commits and rows written in this database so far."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT xact_commit, tup_inserted + tup_updated + tup_deleted FROM pg_stat_database "
            "WHERE datname = current_database()"
        )
        commits, rows = cursor.fetchone()
    return int(commits), int(rows)


def run(home: Path, processes: list[Process], crowd: Crowd, options: Namespace) -> None:
    sending = Load(home, 1, "ws", "rate", options.rate, options.seconds, relay.COMMAND, crowd.lines, core=None).ready()
    echoes: list[Line] = [("b", pair, "/", "-", "-", "-") for pair in range(ECHOES)]
    echo_port = processes[2].port
    echoing = Load(home, echo_port, "ws", "rate", ECHOES, options.seconds, relay.COMMAND, echoes, core=None).ready()
    try:
        city = City(processes[:2], crowd)
        seen = asyncio.run(city.work(sending, echoing, options.seconds))
    finally:
        sending.end()
        echoing.end()
    report(processes, crowd, options.seconds, seen)


def report(processes: list[Process], crowd: Crowd, seconds: float, seen: Seen) -> None:
    positions, echoed = seen.positions, seen.echoed
    sent = int(positions["sent"])
    delivered = int(sent - positions["missing"] - positions["skipped"])
    _start, warm, end = (sum(kib) for kib in seen.memory_kib)
    sockets = len(crowd.lines) + len(crowd.taxis) + len(crowd.bookers)
    head = ["", "p50, ms", "p99, ms", "p99.9, ms", "sent", "delivered"]
    rows = [
        (name, *(f"{one[key]:.2f}" for key in ("p50_ms", "p99_ms", "p999_ms")), f"{int(one['sent']):,}", f"{there:,}")
        for name, one, there in (
            ("positions", positions, delivered),
            ("a bare echo server", echoed, int(echoed["sent"] - echoed["missing"])),
        )
    ]
    harness.table(f"{sockets:,} sockets, two processes, {seconds:g} s", head, rows)
    memory = " → ".join(" + ".join(f"{kib / 1024:.0f}" for kib in each) for each in seen.memory_kib)
    print(f"Memory of the servers, MiB: {memory} (start, after the first half minute, end)")
    print(f"PostgreSQL: {seen.commits_per_s:,.0f} commits and {seen.rows_per_s:,.0f} rows written a second")
    print(f"Trips: {seen.booked} booked, {seen.completed} of them driven to their end, {seen.events} durable events")
    print(f"Refused: {dict(seen.refused) or 'nothing'}")
    for one in seen.lost[:10]:
        print(f"Lost: {one}")
    harness.finish(
        {
            "sockets": sockets,
            "seconds": seconds,
            "sent": sent,
            "delivered": delivered,
            "p50_ms": positions["p50_ms"],
            "p99_ms": positions["p99_ms"],
            "lost": len(seen.lost),
            "memory_growth": round(end / warm - 1, 4),
        },
        processes,
    )
    if seen.lost or not seen.completed:
        raise harness.Failed(f"{len(seen.lost)} events lost, {seen.completed} trips completed")


if __name__ == "__main__":
    main()
