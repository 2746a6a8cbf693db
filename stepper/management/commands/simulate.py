"""Let virtual drivers and passengers live around a running server until stopped (`manage.py simulate`)."""

import asyncio
import signal
from argparse import ArgumentParser
from random import Random
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from stepper.models import ServiceSettings, User
from stepper.simulator import people
from stepper.simulator.client import Refused
from stepper.simulator.clock import DRIVING_KMH, Clock
from stepper.simulator.simulation import Simulation

from .replay import positive, speed

GROUP = "simulated"


class Command(BaseCommand):
    help = (
        "Virtual drivers and passengers around Almaty, as clients of a running server. They sign in as the demo's "
        "driver2 to driver30 and passenger2; driver1, passenger1 and staff are left to you. More people than that are "
        "made in the database of this environment. Ends on Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (http://127.0.0.1:8000)")
        parser.add_argument("--drivers", type=positive, default=len(people.DEMO_DRIVERS), help="virtual drivers (29)")
        parser.add_argument("--passengers", type=positive, default=6, help="virtual passengers (6)")
        parser.add_argument("--speed", type=speed, default=4.0, help="times as fast as life (4)")
        parser.add_argument("--seed", type=int, help="the same seed makes the same people and wishes")
        parser.add_argument("--yes", action="store_true", help="make further accounts although DEBUG is off")

    def handle(self, *args: Any, **options: Any) -> None:
        crowd, persons = self._crowd(options)
        fastest = ServiceSettings().max_speed_kmh / DRIVING_KMH
        if options["speed"] > fastest:
            self.stderr.write(
                f"At that speed vehicles are faster than a server believes (max_speed_kmh): up to --speed {fastest:g}, "
                "or raise the setting there."
            )
        try:
            simulation = Simulation(
                options["url"],
                crowd,
                persons=persons,
                clock=Clock(options["speed"]),
                rng=Random(options["seed"]),
                say=self.stdout.write,
            )
            asyncio.run(self._run(simulation))
        except Refused as refusal:
            raise CommandError(f"{options['url']} does not let a virtual person in: {refusal}") from refusal
        except ValueError as error:
            raise CommandError(str(error)) from error

    async def _run(self, simulation: Simulation) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await simulation.run(stop)

    def _crowd(self, options: dict[str, Any]) -> tuple[people.People, people.Persons | None]:
        drivers = list(people.DEMO_DRIVERS[: options["drivers"]])
        passengers = list(people.DEMO_PASSENGERS[: options["passengers"]])
        more_drivers = options["drivers"] - len(drivers)
        more_passengers = options["passengers"] - len(passengers)
        crowd = people.People(drivers, passengers, people.DEMO_PASSWORD)
        if not self._is_our_database(options["url"]):
            if more_drivers or more_passengers:
                self.stderr.write(
                    f"That server's database is not this one, so there are only the demo's {len(drivers)} drivers and "
                    f"{len(passengers)} passenger."
                )
            return crowd, None
        if more_drivers or more_passengers:
            if not (settings.DEBUG or options["yes"]):
                raise CommandError("DEBUG is off: this would make accounts in the real database. --yes does it.")
            crowd = crowd.joined_by(people.create_accounts(GROUP, more_drivers, passengers=more_passengers))
        return crowd, people.Persons(frozenset([*crowd.drivers, *crowd.passengers, *people.DEMO_DRIVERS]))

    def _is_our_database(self, url: str) -> bool:
        """Return whether it is on this machine, and this database has the demo's people."""
        if urlsplit(url).hostname not in {"127.0.0.1", "localhost", "::1"}:
            return False
        try:
            return User.objects.filter(email=people.DEMO_DRIVERS[0]).exists()
        except DatabaseError:
            return False
