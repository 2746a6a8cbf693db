"""The demo in one command: a database with demo people, a server, and a city of virtual people around it.

The server and the city are child processes in process groups of their own, so that Ctrl-C reaches this process
alone and it can end them in order: the city first, then the server it talks to. A child that outlives its grace is
killed, and on Linux the kernel ends both when this process is killed itself.
"""

import asyncio
import ctypes
import os
import signal
import sys
from argparse import ArgumentParser
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from stepper.management.starting import require
from stepper.simulator.people import DEMO_PASSWORD

from .demo import DRIVER, PASSENGER, STAFF

HOST = "127.0.0.1"
START_S = 60
# Together well within the ten seconds that a person waits after Ctrl-C.
CITY_GRACE_S = 2
SERVER_GRACE_S = 4
PR_SET_PDEATHSIG = 1


class Command(BaseCommand):
    help = "Runs the demo: migrates, creates the demo accounts, starts the server and a simulated city."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--drivers", type=int, default=29, help="simulated drivers (driver1 is left to you)")
        parser.add_argument("--passengers", type=int, default=1, help="simulated passengers (passenger1 is yours)")

    def handle(self, *args: Any, port: int, drivers: int, passengers: int, **options: Any) -> None:
        self.port = port
        require(services=True, address=(HOST, port))
        try:
            call_command("migrate", interactive=False, verbosity=0)
            call_command("demo", verbosity=0)
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        city = ["simulate", "--url", self.url, "--drivers", str(drivers), "--passengers", str(passengers)]
        failed = asyncio.run(self._run_children(city if drivers or passengers else None))
        if failed:
            raise CommandError(failed)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def _run_children(self, city: list[str] | None) -> str | None:
        """Run until a signal comes or the server ends; return what went wrong, None after a signal."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Also where SIGINT was inherited as ignored, as by a background job of a script.
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        stopped = asyncio.create_task(stop.wait())
        children: list[tuple[Process, float]] = []
        try:
            server = await _spawn(
                ["serve", "--host", HOST, "--port", str(self.port), "--verbosity", "0"], public_url=self.url
            )
            children.append((server, SERVER_GRACE_S))
            server_ended = asyncio.create_task(server.wait())
            answered = asyncio.create_task(self._wait_for_answer())
            await asyncio.wait({stopped, server_ended, answered}, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
            answered.cancel()
            if not stop.is_set() and not server_ended.done():
                if not answered.done():
                    return f"The server did not answer within {START_S} s."
                waiting = {stopped, server_ended}
                if city:
                    people = await _spawn(city)
                    children.append((people, CITY_GRACE_S))
                    waiting.add(asyncio.create_task(people.wait()))
                self._print_addresses(with_city=bool(city))
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if not stop.is_set() and not server_ended.done():
                    self.stderr.write("The simulated city ended by itself; the server goes on without it.")
                    await asyncio.wait({stopped, server_ended}, return_when=asyncio.FIRST_COMPLETED)
            return None if stop.is_set() else f"The server ended by itself (status {server.returncode})."
        finally:
            for child, grace_s in reversed(children):
                await _end(child, grace_s)
            stopped.cancel()

    async def _wait_for_answer(self) -> None:
        """Wait until the server answers a request."""
        while True:
            try:
                reader, writer = await asyncio.open_connection(HOST, self.port)
                writer.write(b"GET /health/live/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                status = await reader.readline()
                writer.close()
                if b" 200 " in status:
                    return
            except ConnectionError:
                pass  # not listening yet
            await asyncio.sleep(0.1)

    def _print_addresses(self, *, with_city: bool) -> None:
        lines = [
            "",
            f"StepperGO is running at {self.url}/",
            "",
            f"  passenger   {PASSENGER}",
            f"  driver      {DRIVER}",
            f"  staff       {STAFF}        {self.url}/admin/",
            f"  password    {DEMO_PASSWORD}",
            "",
        ]
        if with_city:
            lines.append("A simulated city lives around Almaty: its people drive and book as you do.")
        lines.append("Use a private window for the second person. Ctrl-C ends everything; the data stays in " + _data())
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def _data() -> str:
    """Name the data directory as the person would."""
    directory, here = Path(settings.DATA_DIR).resolve(), Path.cwd()
    return f"{directory.relative_to(here) if directory.is_relative_to(here) else directory}/."


async def _spawn(arguments: list[str], *, public_url: str = "") -> Process:
    """Start a command. `public_url`: what its links begin with unless settings say; without it no SMS has a link."""
    links = {"PUBLIC_URL": public_url} if public_url and not settings.PUBLIC_URL else {}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        sys.argv[0],
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **links},
        process_group=0,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def _end(child: Process, grace_s: float) -> None:
    if child.returncode is not None:
        return
    child.terminate()
    try:
        await asyncio.wait_for(child.wait(), grace_s)
    except TimeoutError:
        # Kill its whole process group: also what it may have started.
        os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
