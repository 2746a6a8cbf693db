"""`manage.py db_worker`: works off the queues in a process of its own, for `TASK_WORKER=external`.

It stands in for django-tasks' own command, which knows neither several threads nor limits for a host.
"""

import asyncio
import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from stepper.management.starting import require, warn_of_root
from stepper.monitoring.exposition import metrics_port
from stepper.monitoring.processes import processes
from stepper.tasks.worker import QUEUES, worker


class Command(BaseCommand):
    help = "Sends mails and pushes; start as many as you like. Stops on SIGINT and SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        names = [queue.name for queue in QUEUES]
        parser.add_argument("--queue-name", choices=names, action="append", help="only this one; may be repeated (all)")

    def handle(self, *, queue_name: list[str] | None, verbosity: int, **options: Any) -> None:
        require(services=True, migrations=True)
        if verbosity:
            warn_of_root(self.stderr)
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        worker.open(tuple(queue for queue in QUEUES if queue_name is None or queue.name in queue_name))
        metrics_port.open()
        asyncio.run(self._report_until(stopped))
        metrics_port.close()
        worker.close()

    async def _report_until(self, stopped: threading.Event) -> None:
        """Show the figures of this process to the others until it is stopped."""
        processes.open("db_worker")
        await asyncio.to_thread(stopped.wait)
        await processes.close()
