"""Play real pick-ups as bookings for now, and report what became of them (`manage.py replay FILE`)."""

import asyncio
import datetime as dt
import json
import secrets
import signal
import statistics
import tempfile
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import psycopg
import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, connections
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from stepper.models import DispatchMode, ServiceSettings
from stepper.simulator import agreement, chart, optimum, people, pickups, report, servers
from stepper.simulator.clock import Clock, Spot
from stepper.simulator.playback import AWAY_S, NotServed, Playback, Progress
from trips.models import Trip
from trips.states import TripStatus

# Limits that a city running faster than life would meet without anybody misbehaving.
PACED = (
    "api_per_min",
    "status_per_min",
    "bookings_per_min",
    "changes_per_min",
    "answers_per_min",
    "max_speed_kmh",
)
PASSENGERS_PER_TRIP = 3
SCRATCH = "replay"

T = TypeVar("T")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("must be 1 or more")
    return number


def speed(text: str) -> float:
    number = float(text)
    if not 0.1 <= number <= 1000:
        raise ArgumentTypeError("must be 0.1 to 1000")
    return number


@dataclass
class Stage:
    """Where a replay takes place: the servers, and the database they use under its alias here."""

    urls: list[str]
    using: str
    processes: servers.Processes | None = None
    ended: list[str] = field(default_factory=list)

    def trouble(self) -> Counter[str]:
        if self.processes is None:
            return Counter()
        found = self.processes.trouble()
        found.update(f"{name} ended by itself" for name in self.ended)
        return found


class Played(NamedTuple):
    """What became of the trips, and where the drivers began."""

    report: report.Report
    homes: list[Spot]


class Command(BaseCommand):
    help = (
        "Plays real pick-ups (a CSV file with time, lat, lng) as bookings for now, with virtual drivers and passengers "
        "on servers and a scratch database of its own, the embedded default unless told otherwise. "
        "Exit status 0: no trip with two drivers, no overlaps, no errors, at least 90 % completed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--limit", type=positive, default=300, help="pick-ups to play (300)")
        parser.add_argument("--drivers", type=positive, default=100, help="virtual drivers (100)")
        parser.add_argument("--speed", type=speed, default=60.0, help="times as fast as life (60); deadlines stay real")
        parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same dropoffs and people")
        parser.add_argument("--url", help="use this running server, which must use the database of this environment")
        parser.add_argument("--database-url", default="", help="PostgreSQL server for the scratch database")
        parser.add_argument("--redis-url", default="", help="Redis between the processes")
        parser.add_argument("--processes", type=positive, default=1, help="server processes (1)")
        parser.add_argument(
            "--dispatchers", type=int, default=0, help="dispatchers of their own (0: inside the servers)"
        )
        parser.add_argument("--mode", choices=DispatchMode.values, help="how trips are dispatched (broadcast)")
        parser.add_argument("--compare", action="store_true", help="every mode one after the other, and the optimum")
        parser.add_argument("--svg", type=Path, help="with --compare: draws it into this file")
        parser.add_argument("--yes", action="store_true", help="with --url: make accounts although DEBUG is off")

    def handle(self, *args: Any, **options: Any) -> None:
        self._check(options)
        rides = self._rides(options)
        console = Console(file=self.stdout, soft_wrap=True)  # type: ignore[arg-type]
        # A service manager's or a script's way to say Ctrl-C: what was started is stopped, what was made is dropped.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            played = self._play_modes(rides, options)
        except (servers.CannotStart, NotServed) as error:
            raise CommandError(str(error)) from error
        except (psycopg.OperationalError, redis.ConnectionError) as error:
            raise CommandError(f"Not reachable: {error}") from error
        except KeyboardInterrupt:
            self.stderr.write("Stopped.")
            raise SystemExit(130) from None
        for mode, one in played.items():
            console.print(self._table(one.report, f"Replay, {mode}" if mode else "Replay"))
        found: dict[str, Any] = {
            name: {**one.report.as_json(), "figures": one.report.figures, "differ": one.report.differences}
            for name, one in played.items()
        }
        if options["compare"]:
            found |= self._compare(console, played, rides=rides, options=options)
        self.stdout.write(json.dumps(found if options["compare"] else next(iter(found.values()))))
        if not all(one.report.passed for one in played.values()):
            raise SystemExit(1)

    def _play_modes(self, rides: list[pickups.Ride], options: dict[str, Any]) -> dict[str, Played]:
        """Play the rides once, or with --compare in each mode, each from a copy of one migrated database."""
        if not options["compare"]:
            with ExitStack() as stack:
                return {options["mode"]: self._play(self._stage(stack, options, options["mode"]), rides, options)}
        played: dict[str, Played] = {}
        with ExitStack() as kept:
            template = _scratch(kept, options)
            _processes(template, options).run("migrate", "--verbosity", "0")
            for mode in DispatchMode.values:
                with ExitStack() as stack:
                    played[mode] = self._play(self._stage(stack, options, mode, template), rides, options)
        return played

    def _compare(
        self, console: Console, played: dict[str, Played], *, rides: list[pickups.Ride], options: dict[str, Any]
    ) -> dict[str, Any]:
        """Print the modes beside each other, and the optimum of the same rides and drivers, as table and figures."""
        homes = next(iter(played.values())).homes
        patience = dt.timedelta(minutes=ServiceSettings().patience_min) * options["speed"]
        best = [km for km in optimum.pickup_km(rides, homes, patience=patience) if km is not None]
        bars = [
            _bars(mode, one.report.accepted / one.report.trips, one.report.pickup_km) for mode, one in played.items()
        ]
        bars.append(_bars("optimum", len(best) / len(rides), best))
        table = Table(title=f"{len(rides)} rides, {len(homes)} drivers")
        for heading in ("mode", "served", "mean km", "p95 km", "of the optimum"):
            table.add_column(heading)
        least = bars[-1].mean_km
        for row in bars:
            ratio = f"{row.mean_km / least:.2f}" if least else "–"
            table.add_row(row.name, f"{row.served:.1%}", f"{row.mean_km:.2f}", f"{row.p95_km:.2f}", ratio)
        console.print(table)
        if options["svg"]:
            title = f"Kilometres to the pickup: {len(rides)} real pick-ups, {len(homes)} drivers"
            options["svg"].write_text(chart.svg(title, bars))
        return {"pickup_km": {row.name: round(row.mean_km, 3) for row in bars}}

    def _check(self, options: dict[str, Any]) -> None:
        own = ("database_url", "redis_url", "dispatchers")
        if options["url"] and (any(options[name] for name in own) or options["processes"] > 1):
            raise CommandError("--url is a server that runs already; it excludes the options for servers of its own.")
        if options["url"] and not (settings.DEBUG or options["yes"]):
            raise CommandError("DEBUG is off: this would make drivers and trips in the real database. --yes does it.")
        scaled = options["database_url"] and options["redis_url"]
        if (options["processes"] > 1 or options["dispatchers"]) and not scaled:
            raise CommandError("Several processes need --database-url and --redis-url.")
        if bool(options["database_url"]) != bool(options["redis_url"]):
            raise CommandError("--database-url and --redis-url go together.")
        if options["url"] and (options["mode"] or options["compare"]):
            raise CommandError("A running server dispatches as its settings say: not with --mode or --compare.")
        if options["mode"] and options["compare"]:
            raise CommandError("--compare plays every mode; --mode is one of them.")
        if options["svg"] and not options["compare"]:
            raise CommandError("--svg draws what --compare found.")

    def _rides(self, options: dict[str, Any]) -> list[pickups.Ride]:
        try:
            found = pickups.read(options["file"])
        except (OSError, pickups.NotPickups) as error:
            raise CommandError(str(error)) from error
        rides = found.rides(options["seed"], options["limit"])
        if found.bad:
            self.stderr.write(f"Left out: {pickups.describe(found)}.")
        if not rides:
            raise CommandError("No pick-up of the file has another one at a distance to drive.")
        return rides

    def _stage(
        self, stack: ExitStack, options: dict[str, Any], mode: str | None, template: servers.Scratch | None = None
    ) -> Stage:
        if options["url"]:
            self.stderr.write("The running server keeps its limits: virtual people wait when they are over them.")
            return Stage([options["url"]], "default")
        scratch = _scratch(stack, options, template)
        redis_url = stack.enter_context(servers.scratch_redis(options["redis_url"])) if options["redis_url"] else ""
        processes = _processes(scratch, options, redis_url)
        stack.callback(processes.stop)
        if template is None:
            processes.run("migrate", "--verbosity", "0")
        servers.attach(SCRATCH, scratch)
        stack.callback(servers.detach, SCRATCH)
        self._set(options["speed"], mode)
        urls = [processes.serve(f"server-{number}") for number in range(1, options["processes"] + 1)]
        for number in range(1, options["dispatchers"] + 1):
            processes.dispatch(f"dispatcher-{number}")
        processes.wait_until_ready(urls)
        return Stage(urls, SCRATCH, processes)

    def _set(self, factor: float, mode: str | None) -> None:
        """Write the scratch service's settings: deadlines stay as they are, limits a minute grow with the pace.

        Trips are collected to be matched for as long as in life, which is shorter then, but a second at least.
        """
        row = ServiceSettings(pk=1)
        row.dispatch_mode = mode or row.dispatch_mode
        if mode == DispatchMode.BATCHED:
            row.match_window_s = max(1, round(row.match_window_s / factor))
        for name in PACED:
            before = getattr(row, name)
            setattr(row, name, max(before, round(before * factor)))
            self.stderr.write(f"Limit for this replay: {name} {before} → {getattr(row, name)} (× {factor:g})")
        row.save(using=SCRATCH)

    def _play(self, stage: Stage, rides: list[pickups.Ride], options: dict[str, Any]) -> Played:
        passengers = max(1, len(rides) // PASSENGERS_PER_TRIP)
        group = f"replay-{secrets.token_hex(3)}"
        crowd = self._with_database(
            stage.using,
            lambda: people.create_accounts(group, options["drivers"], passengers=passengers, using=stage.using),
        )
        with self._bars() as bars:
            task = bars.add_task("signing in", total=len(rides))
            playback = Playback(
                stage.urls,
                crowd,
                rides=rides,
                clock=Clock(options["speed"]),
                seed=options["seed"],
                tick=lambda progress: _show(bars, task, progress),
                say=lambda text: bars.console.print(text, markup=False, highlight=False, soft_wrap=True),
            )
            asyncio.run(playback.play())
        compared: tuple[agreement.Figures, agreement.Differences] = {}, {}
        if stage.processes is not None:
            compared = self._compare_figures(stage, stage.processes, playback)
            stage.ended = stage.processes.ended()
            stage.processes.stop()
        result = self._with_database(
            stage.using,
            lambda: report.read(Trip.objects.using(stage.using).filter(organiser__email__in=crowd.passengers)),
        )
        result.trouble = stage.trouble() + playback.tally.trouble
        result.figures, result.differences = compared
        return Played(result, playback.homes)

    def _compare_figures(
        self, stage: Stage, processes: servers.Processes, playback: Playback
    ) -> tuple[agreement.Figures, agreement.Differences]:
        """Compare the figures of the processes with the database while they run; without one that has ended."""
        if processes.ended():
            return {}, {}
        try:
            return self._with_database(
                stage.using, lambda: agreement.compare(processes.read_figures, stage.using, playback.tally.refused)
            )
        except httpx.HTTPError:
            return {}, {}

    def _with_database(self, using: str, work: Callable[[], T]) -> T:
        """Run work on the database, again while the database is away; so it must be able to run twice."""
        deadline = time.monotonic() + AWAY_S
        is_away = False
        while True:
            try:
                found = work()
            except (OperationalError, InterfaceError) as error:
                connections[using].close()
                if time.monotonic() > deadline:
                    raise NotServed(f"The database was away for {AWAY_S:.0f} s: {error}") from error
                if not is_away:
                    is_away = True
                    self.stderr.write("The database is away; the replay waits for it.")
                time.sleep(1)
            else:
                if is_away:
                    self.stderr.write("The database is back.")
                return found

    def _bars(self) -> Bars:
        columns = (
            TextColumn("{task.description:<40}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        return Bars(*columns, console=Console(file=self.stderr))  # type: ignore[arg-type]

    def _table(self, result: report.Report, title: str) -> Table:
        table = Table(title=title)
        table.add_column("What")
        table.add_column("How much", overflow="fold")
        for what, value in result.rows():
            table.add_row(what, value)
        return table


def _scratch(stack: ExitStack, options: dict[str, Any], template: servers.Scratch | None = None) -> servers.Scratch:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stepper-replay-")))
    return stack.enter_context(servers.scratch_database(folder, options["database_url"], template))


def _processes(scratch: servers.Scratch, options: dict[str, Any], redis_url: str = "") -> servers.Processes:
    environ = servers.environment(scratch, redis_url=redis_url, external_dispatchers=options["dispatchers"] > 0)
    return servers.Processes(scratch.folder, environ)


def _bars(name: str, served: float, km: list[float]) -> chart.Bars:
    return chart.Bars(name, served, statistics.fmean(km) if km else 0.0, report.percentile(km, 95) if km else 0.0)


def _show(bars: Bars, task: TaskID, progress: Progress) -> None:
    counts = progress.counts
    driving = len(progress.statuses) - progress.over - counts[TripStatus.OFFERED] - counts[TripStatus.UNFILLED]
    bars.update(
        task,
        completed=progress.over,
        description=f"{progress.booked} booked, {counts[TripStatus.OFFERED]} offered, {max(0, driving)} on the road",
    )
