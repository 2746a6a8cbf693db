"""`manage.py serve`: the server, with everything in one process."""

import asyncio
import contextlib
import logging
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from stepper.lock import AlreadyRunning, claim_data_directory

# Above what the application refuses with a clear error.
MAX_FRAME_BYTES = 1 << 20

logger = logging.getLogger("stepper.serve")


class Command(BaseCommand):
    help = "Runs the web server with its dispatcher. Stops on SIGINT and SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--server", choices=["daphne", "uvicorn"], default="daphne", help="uvicorn carries more (daphne)"
        )

    def handle(self, *, host: str, port: int, server: str, verbosity: int, **options: Any) -> None:
        if settings.HTTPS and not settings.TRUSTED_PROXIES:
            raise CommandError(
                "HTTPS=1 needs a proxy that ends TLS and is believed to have done so: set TRUSTED_PROXIES to 1 or more."
            )
        if verbosity:
            database = "PostgreSQL" if settings.DATABASE_URL else f"SQLite in {settings.DATA_DIR}"
            database += " and Redis" if settings.REDIS_URL else ""
            self.stdout.write(f"StepperGO on http://{host}:{port}/ ({server}, {database}). Ctrl-C stops it.")
            self.stdout.flush()
        if server == "uvicorn":
            self._uvicorn(host, port)
        else:
            self._daphne(host, port)

    def _uvicorn(self, host: str, port: int) -> None:
        """The application's lifespan does what `_daphne` does around its server."""
        import uvicorn

        from stepper.sansio import LeanSansIOProtocol
        from stepper.uvicorn_http import LimitedHttpToolsProtocol

        config = uvicorn.Config(
            "stepper.asgi:application",
            host=host,
            port=port,
            http=LimitedHttpToolsProtocol,
            ws=LeanSansIOProtocol,
            # What proxies say is read by the application: stepper.proxies.
            proxy_headers=False,
            timeout_keep_alive=settings.REQUEST_HEAD_S,
            # Compressing takes longer than sending, and memory for each socket.
            ws_per_message_deflate=False,
            ws_max_size=MAX_FRAME_BYTES,
            lifespan="on",
            access_log=False,
            log_config=None,
            backlog=4096,
            timeout_graceful_shutdown=10,
        )
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt):  # raised again when everything has ended in order
            server.run()
        if not server.started:
            raise CommandError(f"Could not start on {host}:{port}; the log says why.")

    def _daphne(self, host: str, port: int) -> None:
        try:
            lock = claim_data_directory()
        except AlreadyRunning as error:
            raise CommandError(str(error)) from error
        # Imported here and first: it installs the event loop that everything in this process runs on.
        from stepper import websocket

        websocket.install()

        from daphne.endpoints import build_endpoint_description_strings

        from stepper import life
        from stepper.asgi import application

        daphne = websocket.SocketServer(
            application=application,
            endpoints=build_endpoint_description_strings(host=host, port=port),
            # A handshake waits for a database thread; a crowd that comes back at once must not be turned away.
            websocket_handshake_timeout=30,
            ready_callable=lambda: asyncio.get_event_loop().create_task(life.start()),
            server_name="stepper",
        )
        daphne.before_end = life.stop
        daphne.run()
        if lock is not None:
            lock.close()
        if not daphne.listening_addresses:
            raise CommandError(f"Could not listen on {host}:{port}; is another server running there?")
