"""`manage.py replay FILE`: plays real pick-ups as bookings for now, and reports what became of them."""

import asyncio
import json
import secrets
import signal
import tempfile
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from stepper.city import people, picks, report, servers
from stepper.city.clock import Clock
from stepper.city.playback import NotServed, Playback, Progress
from stepper.models import ServiceSettings
from trips.models import Trip
from trips.states import TripStatus

# Limits that a city running faster than life would meet without anybody misbehaving.
PACED = ("api_per_min", "status_per_min")
PASSENGERS_PER_TRIP = 3
SCRATCH = "replay"


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
        parser.add_argument("--yes", action="store_true", help="with --url: make accounts although DEBUG is off")

    def handle(self, *args: Any, **options: Any) -> None:
        self._check(options)
        rides = self._rides(options)
        console = Console(file=self.stdout, soft_wrap=True)  # type: ignore[arg-type]
        # A service manager's or a script's way to say Ctrl-C: what was started is stopped, what was made is dropped.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with ExitStack() as stack:
            try:
                stage = self._stage(stack, options)
                result = self._play(stage, rides, options)
            except (servers.CannotStart, NotServed) as error:
                raise CommandError(str(error)) from error
            except (psycopg.OperationalError, redis.ConnectionError) as error:
                raise CommandError(f"Not reachable: {error}") from error
            except KeyboardInterrupt:
                self.stderr.write("Stopped.")
                raise SystemExit(130) from None
        console.print(self._table(result))
        self.stdout.write(json.dumps(result.as_json()))
        if not result.passed:
            raise SystemExit(1)

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

    def _rides(self, options: dict[str, Any]) -> list[picks.Ride]:
        try:
            found = picks.read(options["file"])
        except (OSError, picks.NotPicks) as error:
            raise CommandError(str(error)) from error
        rides = found.rides(options["seed"], options["limit"])
        if found.bad:
            self.stderr.write(f"Left out: {picks.describe(found.bad)}.")
        if not rides:
            raise CommandError("No pick-up of the file has another one at a distance to drive.")
        return rides

    def _stage(self, stack: ExitStack, options: dict[str, Any]) -> Stage:
        if options["url"]:
            self.stderr.write("The running server keeps its limits: virtual people wait when they are over them.")
            return Stage([options["url"]], "default")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stepper-replay-")))
        database_url = redis_url = ""
        if options["database_url"]:
            database_url = stack.enter_context(servers.scratch_database(options["database_url"]))
            redis_url = stack.enter_context(servers.scratch_redis(options["redis_url"]))
        dispatchers = options["dispatchers"]
        processes = servers.Processes(folder, servers.environment(folder, database_url, redis_url, dispatchers > 0))
        stack.callback(processes.stop)
        processes.run("migrate", "--verbosity", "0")
        servers.attach(SCRATCH, database_url, folder)
        stack.callback(servers.detach, SCRATCH)
        self._raise_limits(options["speed"])
        urls = [processes.serve(f"server-{number}") for number in range(1, options["processes"] + 1)]
        for number in range(1, dispatchers + 1):
            processes.dispatch(f"dispatcher-{number}")
        processes.wait_until_ready(urls)
        return Stage(urls, SCRATCH, processes)

    def _raise_limits(self, factor: float) -> None:
        """Deadlines stay as they are; only what counts people's actions in a minute grows with the pace."""
        row = ServiceSettings(pk=1)
        for name in PACED:
            before = getattr(row, name)
            setattr(row, name, max(before, round(before * factor)))
            self.stderr.write(f"Limit for this replay: {name} {before} → {getattr(row, name)} (× {factor:g})")
        row.save(using=SCRATCH)

    def _play(self, stage: Stage, rides: list[picks.Ride], options: dict[str, Any]) -> report.Report:
        passengers = max(1, len(rides) // PASSENGERS_PER_TRIP)
        group = f"replay-{secrets.token_hex(3)}"
        crowd = people.make(group, options["drivers"], passengers, stage.using)
        with self._bars() as bars:
            task = bars.add_task("signing in", total=len(rides))
            playback = Playback(
                stage.urls,
                crowd,
                rides,
                Clock(options["speed"]),
                options["seed"],
                lambda progress: _show(bars, task, progress),
            )
            asyncio.run(playback.play())
        if stage.processes is not None:
            stage.ended = stage.processes.ended()
            stage.processes.stop()
        result = report.read(Trip.objects.using(stage.using).filter(organiser__email__in=crowd.passengers))
        result.trouble = stage.trouble() + playback.tally.trouble
        return result

    def _bars(self) -> Bars:
        columns = (
            TextColumn("{task.description:<40}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        return Bars(*columns, console=Console(file=self.stderr))  # type: ignore[arg-type]

    def _table(self, result: report.Report) -> Table:
        table = Table(title="Replay")
        table.add_column("What")
        table.add_column("How much", overflow="fold")
        for what, value in result.rows():
            table.add_row(what, value)
        return table


def _show(bars: Bars, task: TaskID, progress: Progress) -> None:
    counts = progress.counts
    driving = len(progress.statuses) - progress.over - counts[TripStatus.OFFERED] - counts[TripStatus.UNFILLED]
    bars.update(
        task,
        completed=progress.over,
        description=f"{progress.booked} booked, {counts[TripStatus.OFFERED]} offered, {max(0, driving)} on the road",
    )
