"""What every test gets: an environment of its own, a fixed cast, a real server, real Chromium.

`STEPPER_SUITE` says which suite this is: `embedded` (SQLite, the default) or `scaled` (PostgreSQL and Redis);
`STEPPER_LAYER=channels_redis` has the scaled suite's sockets on the stock channel layer. The environment is settled
here, before Django reads it: each process of a run has its own data directory, databases and Redis database, so runs
and xdist workers never meet.
"""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from tests import servers

# What is imported and collected from here on stays: looking through it for garbage is a fifth of collecting.
gc.disable()

SUITE = os.environ.setdefault("STEPPER_SUITE", "embedded")
if SUITE not in {"embedded", "scaled"}:
    raise pytest.UsageError(f"STEPPER_SUITE is embedded or scaled, not {SUITE!r}")
if settings.configured:
    raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: the tests choose the environment, then load the settings.")

DATA_DIR = Path(tempfile.mkdtemp(prefix="stepper-tests-"))
# Where `collectstatic` would have put the files; WhiteNoise warns when it is missing.
(DATA_DIR / "static").mkdir()
IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
# That of the process which starts the workers; they inherit the variable.
RUN_DIR = Path(os.environ["STEPPER_TEST_RUN"]) if IS_WORKER else DATA_DIR
os.environ["STEPPER_TEST_RUN"] = str(RUN_DIR)


def _environment() -> dict[str, str]:
    """What decides how the project runs, all of it set, so that neither the user's environment nor .env does."""
    chosen = {
        "DATA_DIR": str(DATA_DIR),
        # Static files unhashed, straight from their sources; pytest-django turns the rest of DEBUG off.
        "DEBUG": "1",
        "SECRET_KEY": "of the tests, long enough for a signature",
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "DISPATCHER": "inside",
        "CHANNEL_LAYER": os.environ.get("STEPPER_LAYER", "stepper"),
        "HTTPS": "0",
        "LOG_LEVEL": "INFO",
        "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
        "TILE_URL": "",
        "EMAIL_URL": "",
        "PUBLIC_URL": "https://go.example.test",
        # Three workers with a server and a client or two each stay below PostgreSQL's usual hundred connections.
        "DATABASE_POOL": "10",
    }
    if SUITE == "scaled":
        servers.provide(os.environ)
        chosen["DATABASE_URL"] = f"{os.environ[servers.POSTGRESQL]}/stepper_{os.getpid()}"
        chosen["REDIS_URL"] = servers.claim_redis_database(os.environ[servers.REDIS])
    return chosen


def _set_up_django() -> None:
    import django

    os.environ.update(_environment())
    # Only while it is read: a worker that inherited it would load the settings before it has its own environment.
    os.environ["DJANGO_SETTINGS_MODULE"] = "stepper.settings"
    django.setup()
    del os.environ["DJANGO_SETTINGS_MODULE"]


_set_up_django()
# A test run that is told to end, as by a time-out, clears away its databases as it does on Ctrl-C.
signal.signal(signal.SIGTERM, signal.default_int_handler)

# These import models, so they come after.
from tests import flushing, rendering, signing_in  # noqa: E402
from tests.browsing import (  # noqa: E402
    browser_context_args,
    browser_type_launch_args,
    open_as,
)
from tests.live import live, start_server  # noqa: E402
from tests.scheduling import Scheduling  # noqa: E402
from tests.template import Template  # noqa: E402

__all__ = ["browser_context_args", "browser_type_launch_args", "live", "open_as", "start_server"]


def pytest_configure() -> None:
    """A conftest named on the command line imported `stepper.asgi`, which has set what workers must not inherit."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    flushing.install()
    signing_in.install()
    rendering.install()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


def pytest_report_header() -> str:
    if SUITE == "scaled":
        return f"suite: scaled, on {os.environ[servers.HEADER]}; tests marked embedded_only are left to the other suite"
    import sqlite3

    return (
        f"suite: embedded, on SQLite {sqlite3.sqlite_version} in one process; tests marked scaled_only are left to "
        "the other suite"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    other = "scaled_only" if SUITE == "embedded" else "embedded_only"
    elsewhere = [item for item in items if item.get_closest_marker(other)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if not item.get_closest_marker(other)]
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    # Playwright leaves its event loop running in the main thread, where no other test can start one: so it is last.
    # What takes a minute comes before the rest, or one worker would go on with it when the others are done.
    items.sort(key=lambda item: (bool(item.get_closest_marker("browser")), not item.get_closest_marker("long")))


def pytest_collection_finish() -> None:
    """Look for garbage from here on, but never again in what the tests found there.

    Thirty times as seldom as usual: of what a test makes little is garbage that refers to itself.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


def pytest_unconfigure() -> None:
    if not IS_WORKER:
        Template(RUN_DIR).drop()
    if settings.REDIS_URL:
        servers.release_redis_database(settings.REDIS_URL)
    shutil.rmtree(DATA_DIR, ignore_errors=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """On SQLite the tests' database is the very file that a server started with this environment opens."""
    database = settings.DATABASES["default"]
    if database["ENGINE"] == "stepper.db.sqlite":
        database["TEST"]["NAME"] = database["NAME"]


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The database of a worker may be there already, as a copy of the template."""
    return IS_WORKER


@pytest.fixture(scope="session")
def django_db_setup(request: pytest.FixtureRequest, django_db_modify_db_settings: None, django_db_blocker: Any) -> None:
    """Set the database up as pytest-django does; of several workers only the first one has to migrate."""
    if not IS_WORKER:
        request.getfixturevalue("django_db_setup")
        return
    template, database = Template(RUN_DIR), str(settings.DATABASES["default"]["TEST"]["NAME"])
    with template.locked():
        is_copied = template.copy_to(database)
        if not is_copied:
            request.getfixturevalue("django_db_setup")
            with django_db_blocker.unblock():
                template.publish(database)
    if is_copied:
        request.getfixturevalue("django_db_setup")


@pytest.fixture(scope="session", autouse=True)
def _leave_the_database(django_db_setup: None) -> Iterator[None]:
    """PostgreSQL drops no database that somebody is connected to, and a thread of a test may still be."""
    yield
    from django.db import connection

    if connection.vendor == "postgresql":
        connection.close()
        # By way of another one: a run of tests that need none has not made it.
        with psycopg.connect(f"{os.environ[servers.POSTGRESQL]}/postgres", autocommit=True) as everybodys:
            everybodys.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [connection.settings_dict["NAME"]],
            )
            if IS_WORKER:
                everybodys.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(connection.settings_dict["NAME"])))


@pytest.fixture(autouse=True)
def _clean_process() -> None:
    """Throttles, sign-in failures, positions and the language of one test's last page are not the next one's."""
    from django.core.cache import cache
    from django.utils import translation

    from drivers.positions import buffer
    from stepper.db import clock

    cache.clear()
    translation.deactivate()
    clock.forget()
    buffer.buffer._last.clear()


@pytest.fixture
def suite() -> str:
    """`embedded` or `scaled`."""
    return SUITE


@pytest.fixture
def query_count(django_assert_num_queries: Any) -> Callable[[int, int], Any]:
    """`with query_count(embedded, scaled):` the literal number of queries on each database."""

    def asserting(embedded: int, scaled: int) -> Any:
        return django_assert_num_queries(embedded if SUITE == "embedded" else scaled)

    return asserting
