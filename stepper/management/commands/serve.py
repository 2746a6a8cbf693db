"""`manage.py serve`: the server, with everything in one process."""

from argparse import ArgumentParser
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from stepper.management.starting import require, warn_of_missing_static_files, warn_of_root


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
        require(services=True, migrations=True, address=(host, port))
        if verbosity:
            warn_of_root(self.stderr)
            warn_of_missing_static_files(self.stderr)
        # Imported only once it is chosen: Daphne's module installs the event loop that the whole process runs on.
        import_module(f"stepper.server.{server}").serve(
            host, port, lambda: self._announce(f"http://{host}:{port}/ ({server}", verbosity)
        )

    def _announce(self, address: str, verbosity: int) -> None:
        if verbosity:
            database = "PostgreSQL" if settings.DATABASE_URL else f"SQLite in {settings.DATA_DIR}"
            database += " and Redis" if settings.REDIS_URL else ""
            self.stdout.write(f"StepperGO on {address}, {database}). Ctrl-C stops it.")
            self.stdout.flush()
