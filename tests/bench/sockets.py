"""`make bench-sockets`: ten thousand signed-in sockets in their user's, driver's and trip's groups, beside Socket.IO's.

Memory of each above the idle process, connections a second (ours with the token checked and the state sent), CPU while
nothing happens, and how long a driver's position takes to the first and the last of a thousand sockets on one trip.
Both servers run at once, on one core, and are asked in turn.
"""

import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import harness, relay
from tests.bench.harness import Load, Process

# So many passengers of one vehicle, with so many tabs each.
PASSENGERS, TABS = 100, 10
GROUP = PASSENGERS * TABS
AT = (43.2, 76.9286)
# Opened and closed before the idle process is weighed: what is loaded when it is first used is not a socket's.
FIRST = 20
# The group's first events are slower in every server.
WARMING = 3

Line = Sequence[str | int]


class Side(NamedTuple):
    name: str
    dialect: str
    template: str
    server: Process
    lines: list[Line]

    def load(self, home: Path, mode: str, value: float, lines: list[Line]) -> Load:
        return Load(home, self.server.port, self.dialect, mode, value, 0, self.template, lines)


class Weighed(NamedTuple):
    load: Load
    kib_per_socket: float
    connected_per_s: float
    idle_cpu_percent: float


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=21)
    parser.add_argument("--idle", type=float, default=30, help="seconds in which nothing happens; a heartbeat is 30")
    options = parser.parse_args()
    with harness.folder() as home, harness.scratch(home):
        lines = our_lines(options.sockets)
        servers = [
            harness.uvicorn("ours", home, environ=relay.UNLIMITED),
            harness.socketio("socketio", home, "full"),
        ]
        try:
            sides = [
                Side("ours, uvicorn", "ws", relay.COMMAND, servers[0], lines),
                Side("Socket.IO", "sio", relay.EMITTED["full"], servers[1], their_lines(len(lines))),
            ]
            run(home, sides, options.events, options.idle)
        finally:
            for server in servers:
                server.stop()


def our_lines(count: int) -> list[Line]:
    """A driver and the passengers of one trip, then drivers and passengers of a trip each, `count` in all."""
    from stepper.models import User
    from tests.bench import people

    group = people.rides(1, AT, PASSENGERS)[0]
    pairs = people.rides((count - GROUP) // 2, AT)
    lines: list[Line] = []

    def add(role: str, user: User) -> None:
        lines.append((role, 0, "/ws/", people.subprotocols(user), "-", "connection.established"))

    for passenger in people.aboard(group) * TABS:
        add("w", passenger)
    for trip in pairs:
        add("i", trip.driver.user)
        add("i", trip.organiser)
    add("s", group.driver.user)
    return lines


def their_lines(count: int) -> list[Line]:
    """The same rooms as ours."""

    def line(role: str, number: int, trip: str, rooms: str) -> Line:
        kind = "watcher" if role != "s" else "sender"
        hello = f'40{{"role":"{kind}","trip":"{trip}","rooms":["user.{number}"{rooms}]}}'
        return (role, 0, "/socket.io/?EIO=4&transport=websocket", "-", hello, '42["ready"]')

    def everybody() -> Iterator[Line]:
        for number in range(GROUP):
            yield line("w", number, "trip.0", "")
        for number in range(GROUP, count - 1):
            yield line("i", number, f"trip.{number // 2}", f',"driver.{number}"' if number % 2 else "")
        yield line("s", count, "trip.0", ',"driver.0"')

    return list(everybody())


def run(home: Path, sides: list[Side], events: int, idle_s: float) -> None:
    weighed = [weigh(home, side, WARMING + events, idle_s) for side in sides]
    for _event in range(WARMING + events):
        for one in weighed:
            one.load.reach()
            time.sleep(0.1)
    reached = [one.load.result() for one in weighed]
    rows = [
        (
            side.name,
            f"{len(side.lines):,}",
            f"{one.kib_per_socket:.1f}",
            f"{one.connected_per_s:,.0f}",
            f"{one.idle_cpu_percent:.1f}",
            f"{group['first_ms']:.2f}",
            f"{group['last_ms']:.2f}",
        )
        for side, one, group in zip(sides, weighed, reached, strict=True)
    ]
    head = ["Server", "sockets", "KiB each", "connected/s", "idle CPU, %", "first, ms", "last, ms"]
    harness.table(f"Sockets on one core; an event to {GROUP:,} of them, median of {events}", head, rows)
    ours, theirs = weighed
    harness.finish(
        {
            "sockets": len(sides[0].lines),
            "kib_per_socket": round(ours.kib_per_socket, 2),
            "socketio_kib_per_socket": round(theirs.kib_per_socket, 2),
            "group_vs_socketio": round(reached[0]["last_ms"] / reached[1]["last_ms"], 3),
        },
        [side.server for side in sides],
    )


def weigh(home: Path, side: Side, events: int, idle_s: float) -> Weighed:
    first = side.load(home, "idle", 0, [("i", *line[1:]) for line in side.lines[:FIRST]]).ready()
    first.go()
    time.sleep(1)
    server = side.server
    before = server.memory_kib()
    load = side.load(home, "group", events, side.lines).ready()
    used, started = server.cpu_s(), time.monotonic()
    time.sleep(idle_s)
    idle = (server.cpu_s() - used) / (time.monotonic() - started) * 100
    kib = (server.memory_kib() - before) / len(side.lines)
    return Weighed(load, kib, len(side.lines) / load.connect_s, idle)


if __name__ == "__main__":
    main()
