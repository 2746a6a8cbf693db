"""`make bench-relay`: positions a second from drivers' sockets to one watcher each, ours and Socket.IO's.

Bare: the channel layer and the consumer, the bus attached to Redis as in production. Full: the real application, signed
in, with validation, limits, ETA and trail, against a Socket.IO server that does the same checks and ETA. Everybody in
turn, one server's core and one for the generator.
"""

import os
import statistics
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests import servers
from tests.bench import harness
from tests.bench.harness import Load, Process

PAIRS = 256
# Frames under way for each pair at saturation: a driver sends one fix at a time, so many sockets carry one frame each.
WINDOW = 1
TWO_PROCESS_RATE = 3000
POINT = '{"lat":@,"lng":76.9286,"heading_deg":90.5,"speed_kmh":41.5,"accuracy_m":8.0}'
COMMAND = f'{{"type":"driver.location.update","points":[{POINT}]}}'
EMITTED = {"bare": f'42["position",{POINT}]', "full": f'42["position",{{"points":[{POINT}]}}]'}
# Limits of one socket would bite a generator that is a whole city in one connection.
UNLIMITED = {
    "SOCKET_RATE": "1000000",
    "SOCKET_BURST": "1000000",
    "SOCKETS_PER_USER": "100000",
    "SOCKET_COMMANDS_PER_MIN": "1000000",
    "SOCKETS_OPENED_PER_MIN": "1000000",
    "OPENING_SOCKETS_PER_ADDRESS": "100000",
}


class Contestant(NamedTuple):
    name: str
    dialect: str
    template: str
    connections: list[Sequence[str | int]]
    processes: list[Process]

    def load(self, home: Path, mode: str, value: float, seconds: float) -> Load:
        port = self.processes[0].port
        return Load(home, port, self.dialect, mode, value, seconds, self.template, self.connections).ready()


def socketio_connections(ports: tuple[int, int]) -> list[Sequence[str | int]]:
    path = "/socket.io/?EIO=4&transport=websocket"
    found: list[Sequence[str | int]] = []
    for pair in range(PAIRS):
        for role, kind, port in (("w", "watcher", ports[1]), ("s", "sender", ports[0])):
            found.append((role, pair, path, "-", f'40{{"role":"{kind}","trip":"trip.{pair}"}}', '42["ready"]', port))
    return found


def bare_connections(port: int) -> list[Sequence[str | int]]:
    ready = "connection.established"
    return [(role, pair, f"/trip.{pair}/{role}", "-", "-", ready, port) for pair in range(PAIRS) for role in "ws"]


def full_connections(tokens: list[tuple[str, str]], ports: tuple[int, int]) -> list[Sequence[str | int]]:
    found: list[Sequence[str | int]] = []
    for pair, (driver, passenger) in enumerate(tokens):
        for role, token, port in (("w", passenger, ports[1]), ("s", driver, ports[0])):
            found.append((role, pair, "/ws/", f"stepper.v1, bearer.{token}", "-", "connection.established", port))
    return found


def people() -> list[tuple[str, str]]:
    """Access tokens of drivers on the way to a pickup and of the passengers who watch them."""
    from drivers.models import DriverPosition
    from stepper.api.tokens import sign_in
    from tests.factories import TripFactory

    trips: list[Any] = [TripFactory(status="en_route") for _ in range(PAIRS)]
    # Where the generator's first fix is: one from elsewhere would be kept aside as a jump.
    DriverPosition.objects.update(lat=43.2, lng=76.9286)
    return [(sign_in(trip.driver.user)["access"], sign_in(trip.organiser)["access"]) for trip in trips]


def contestants(home: Path, tokens: list[tuple[str, str]]) -> tuple[dict[str, Contestant], dict[str, Contestant]]:
    """Those of one process, and those of two (drivers on the first, watchers on the second)."""
    redis_url = os.environ["REDIS_URL"]
    ours, bare = "stepper.asgi:application", "tests.bench.bare:application"

    def sio(name: str, kind: str, redis: str = "") -> Contestant:
        server = harness.socketio(name, home, kind, redis)
        return Contestant(name, "sio", EMITTED[kind], socketio_connections((server.port, server.port)), [server])

    bare_uvicorn = harness.uvicorn("bare-uvicorn", home, bare, UNLIMITED)
    port = str(servers.free_port())
    command = [sys.executable, "-m", "tests.bench.bare", "--port", port]
    bare_daphne = Process("bare-daphne", home, command, UNLIMITED).wait(harness.answers_http)
    full_uvicorn = harness.uvicorn("full-uvicorn", home, ours, UNLIMITED)
    full_daphne = harness.daphne("full-daphne", home, UNLIMITED)
    one = {
        "socketio": sio("socketio", "bare"),
        "socketio_redis": sio("socketio-redis", "bare", redis_url),
        "bare_uvicorn": Contestant("bare", "ws", COMMAND, bare_connections(bare_uvicorn.port), [bare_uvicorn]),
        "bare_daphne": Contestant("bare", "ws", COMMAND, bare_connections(bare_daphne.port), [bare_daphne]),
        "full_socketio": sio("full-socketio", "full"),
        "full_socketio_redis": sio("full-socketio-redis", "full", redis_url),
        "full_uvicorn": _full([full_uvicorn], tokens),
        "full_daphne": _full([full_daphne], tokens),
    }
    pair = [harness.uvicorn(f"full-uvicorn-{n}", home, ours, UNLIMITED) for n in "ab"]
    peers = [harness.socketio(f"full-socketio-{n}", home, "full", redis_url) for n in "ab"]
    ports = (peers[0].port, peers[1].port)
    two = {
        "ours": _full(pair, tokens),
        "socketio_redis": Contestant("socketio", "sio", EMITTED["full"], socketio_connections(ports), peers),
    }
    return one, two


def _full(processes: list[Process], tokens: list[tuple[str, str]]) -> Contestant:
    ports = (processes[0].port, processes[-1].port)
    return Contestant("full", "ws", COMMAND, full_connections(tokens, ports), processes)


def cpu_per_message(home: Path, contestant: Contestant, seconds: float) -> float:
    """Microseconds of CPU, of all its processes, for a message that arrived."""
    load = contestant.load(home, "rate", TWO_PROCESS_RATE, seconds)
    before = sum(process.cpu_s() for process in contestant.processes)
    measured = load.go()
    used = sum(process.cpu_s() for process in contestant.processes) - before
    if measured["missing"] > 0.02 * measured["sent"]:
        raise harness.Failed(f"{contestant.name}: {measured['missing']:.0f} of {measured['sent']:.0f} never arrived")
    return used / (measured["sent"] - measured["missing"]) * 1e6


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="counted in a round, after one of warming up")
    parser.add_argument("--only", nargs="*", default=[], help="these contestants only: nothing but their rates")
    options = parser.parse_args()
    with harness.folder() as home, harness.scratch(home):
        one, two = contestants(home, people())
        everybody = [process for each in (*one.values(), *two.values()) for process in each.processes]
        try:
            run(home, one, two, options)
        finally:
            for process in everybody:
                process.stop()


def run(home: Path, one: dict[str, Contestant], two: dict[str, Contestant], options: Any) -> None:
    asked = {name: each for name, each in one.items() if not options.only or name in options.only}
    rates: dict[str, list[float]] = {name: [] for name in asked}
    coalesced: dict[str, float] = dict.fromkeys(asked, 0.0)
    for _round in range(options.rounds):
        for name, contestant in asked.items():
            measured = contestant.load(home, "window", WINDOW, options.seconds).go()
            rates[name].append(measured["received"] / measured["seconds"])
            coalesced[name] += measured["skipped"]
    halves = {}
    for name, contestant in asked.items():
        halves[name] = contestant.load(home, "rate", statistics.median(rates[name]) / 2, options.seconds).go()
    echo = harness.echo(home)
    pairs: list[Sequence[str | int]] = [("b", pair, "/", "-", "-", "-") for pair in range(PAIRS)]
    ceiling = Load(home, echo.port, "ws", "window", WINDOW, options.seconds, COMMAND, pairs).ready().go()
    echo.stop()
    harness.table(
        f"Relaying positions, {PAIRS} drivers to a watcher each, one core; the generator's own ceiling: "
        f"{ceiling['received'] / ceiling['seconds']:,.0f} a second",
        ["Server", "messages a second", "of Socket.IO", "p50 at half, ms", "p99 at half, ms", "coalesced"],
        [
            (
                name,
                harness.spread(rates[name]),
                harness.ratio(rates[name], rates["socketio"]) if "socketio" in rates else "–",
                f"{halves[name]['p50_ms']:.2f}",
                f"{halves[name]['p99_ms']:.2f}",
                f"{coalesced[name]:.0f}",
            )
            for name in asked
        ],
    )
    print(f"Raised for every server of ours: {', '.join(UNLIMITED)}")
    if options.only:
        return
    cpu: dict[str, list[float]] = {name: [] for name in two}
    for _round in range(options.rounds):
        for name, contestant in two.items():
            cpu[name].append(cpu_per_message(home, contestant, options.seconds))
    harness.table(
        f"Drivers on one process, watchers on another, {TWO_PROCESS_RATE:,} positions a second",
        ["Servers", "CPU a message, µs"],
        [(name, harness.spread(values)) for name, values in cpu.items()],
    )
    compare: Callable[[str, str], float] = lambda ours, theirs: harness.ratio(rates[ours], rates[theirs])  # noqa: E731
    figures = {
        "bare_vs_socketio": compare("bare_uvicorn", "socketio"),
        "bare_vs_socketio_redis": compare("bare_uvicorn", "socketio_redis"),
        "daphne_vs_socketio_redis": compare("bare_daphne", "socketio_redis"),
        "full_vs_socketio": compare("full_uvicorn", "full_socketio"),
        "full_vs_socketio_redis": compare("full_uvicorn", "full_socketio_redis"),
        "two_process_cpu_vs_socketio_redis": harness.ratio(cpu["ours"], cpu["socketio_redis"]),
    }
    harness.finish(figures, [process for each in (*one.values(), *two.values()) for process in each.processes])


if __name__ == "__main__":
    main()
