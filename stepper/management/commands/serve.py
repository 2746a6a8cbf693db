"""`manage.py serve`: the server, with everything in one process."""

import asyncio
import logging
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from stepper.lock import AlreadyRunning, claim_data_directory

logger = logging.getLogger("stepper.serve")


class Command(BaseCommand):
    help = "Runs the web server with its dispatcher. Stops on SIGINT and SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *, host: str, port: int, **options: Any) -> None:
        try:
            lock = claim_data_directory()
        except AlreadyRunning as error:
            raise CommandError(str(error)) from error
        # Imported here: it installs the event loop that everything in this process runs on.
        from daphne.endpoints import build_endpoint_description_strings
        from twisted.internet import defer, reactor

        from stepper import life, websocket
        from stepper.asgi import application

        websocket.install()

        server = websocket.SocketServer(
            application=application,
            endpoints=build_endpoint_description_strings(host=host, port=port),
            # A handshake waits for a database thread; a crowd that comes back at once must not be turned away.
            websocket_handshake_timeout=30,
            ready_callable=lambda: asyncio.get_event_loop().create_task(life.start()),
            server_name="stepper",
        )
        reactor.addSystemEventTrigger(
            "before",
            "shutdown",  # type: ignore[arg-type]
            lambda: defer.Deferred.fromFuture(asyncio.ensure_future(life.stop())),
        )
        server.run()
        if lock is not None:
            lock.close()
        if not server.listening_addresses:
            raise CommandError(f"Could not listen on {host}:{port}; is another server running there?")
