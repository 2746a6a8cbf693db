"""`manage.py dispatcher`: the dispatcher in a process of its own, for `DISPATCHER=external`."""

import asyncio
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from realtime.outbox import publisher
from stepper.management.starting import require, warn_of_root
from stepper.monitoring.exposition import metrics_port
from stepper.monitoring.processes import processes
from stepper.server.dispatcher import Dispatcher


class Command(BaseCommand):
    help = "Runs the dispatcher alone; start as many as you like. Stops on SIGINT and SIGTERM."

    def handle(self, *, verbosity: int, **options: Any) -> None:
        require(services=True, migrations=True)
        if verbosity:
            warn_of_root(self.stderr)
        asyncio.run(self._run())

    async def _run(self) -> None:
        dispatcher = Dispatcher()
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        if settings.REDIS_URL:
            # Its events reach the servers at once; without a bus their sweep takes them.
            await publisher.open()
        metrics_port.open()
        processes.open("dispatcher")
        dispatcher.start()
        await stopped.wait()
        await dispatcher.stop()
        metrics_port.close()
        await processes.close()
        await publisher.close()
