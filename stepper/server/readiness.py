"""What a process needs before it can work: the data directory, the database with its migrations, Redis.

Commands require it when they start, so that they end with one line that says what is wrong; `/health/ready/` asks again
with each probe.
"""

import functools
import logging
import shlex
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis
from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from stepper.time_zones import HOME

logger = logging.getLogger("stepper.server.readiness")

TRY_S = 5
PROBE_S = 1


class NotReady(Exception):
    """Something that a process needs cannot be used; the message says what, and what to do."""


def require_services() -> None:
    """Raise NotReady where the data directory, the database or Redis cannot be used."""
    require_data_directory()
    require_database()
    if settings.REDIS_URL:
        require_redis()


def require_data_directory() -> None:
    """Raise NotReady where nothing can be written into DATA_DIR, which only the embedded set-up does while it runs."""
    if not settings.EMBEDDED:
        return
    try:
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.DATA_DIR):
            pass
    except OSError as error:
        raise NotReady(f"DATA_DIR {settings.DATA_DIR} cannot be written to: {error.strerror}.") from error


def require_database() -> None:
    """Raise NotReady where the database cannot be opened."""
    try:
        if connection.vendor == "postgresql":
            # Not by way of the pool, which goes on trying and does not say what is wrong.
            with psycopg.connect(**connection.get_connection_params()) as one:
                _warn_of_old_time_zones(one)
        else:
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM sqlite_master")
    except (DatabaseError, psycopg.Error) as error:
        raise NotReady(f"The database {describe_database()} cannot be used: {_reason(error)}.") from error


def _warn_of_old_time_zones(one: psycopg.Connection) -> None:
    """Warn where PostgreSQL reckons Almaty's time by data of before 2024; it cuts the admin's lists into days."""
    hour = one.execute("SELECT extract(hour FROM timestamptz '2024-03-02 00:00+00' AT TIME ZONE %s)", [HOME]).fetchone()
    if hour != (5,):
        logger.warning(
            "PostgreSQL's time zones are older than March 2024, when Asia/Almaty changed to +05:00: filters by day in "
            "the administration are an hour off. Update the package tzdata on its machine."
        )


def require_migrations() -> None:
    """Raise NotReady where the database lacks migrations of this release."""
    missing = missing_migrations()
    if missing:
        raise NotReady(
            f"The database {describe_database()} lacks {len(missing)} migrations of this release, {missing[0]} the "
            f"first. Run: {command_line('prepare')}"
        )


def are_static_files_missing() -> bool:
    """Say whether pages could not name their style sheets, so that each would be answered with 500."""
    # None: a storage that names files as they are.
    manifest = getattr(staticfiles_storage, "manifest_name", None)
    return manifest is not None and not staticfiles_storage.exists(manifest)


def missing_migrations() -> list[str]:
    """List the migrations of this release that the database has not had. Raises DatabaseError."""
    applied = MigrationRecorder(connection).applied_migrations()
    return [f"{app}.{name}" for app, name in _known_migrations() if (app, name) not in applied]


@functools.cache
def _known_migrations() -> tuple[tuple[str, str], ...]:
    """Return the release's migrations in order; reading them takes a tenth of a second, once a process."""
    loader = MigrationLoader(None)
    plan: dict[tuple[str, str], None] = {}
    for target in loader.graph.leaf_nodes():
        plan |= dict.fromkeys(loader.graph.forwards_plan(target))
    return tuple(plan)


def require_redis(timeout_s: float = TRY_S) -> None:
    """Raise NotReady where Redis does not answer."""
    parts = urlsplit(settings.REDIS_URL)
    place = f"{parts.hostname or ''}:{parts.port or 6379}{parts.path}"
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=timeout_s, socket_timeout=timeout_s, retry=None
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise NotReady(f"Redis at {place} (REDIS_URL) cannot be used: {_reason(error)}.") from error


def describe_database() -> str:
    """Name the database as its settings do, without the password."""
    database = connection.settings_dict
    if connection.vendor != "postgresql":
        return str(database["NAME"])
    person = f"{database['USER']}@" if database["USER"] else ""
    return f"{person}{database['HOST'] or 'localhost'}:{database['PORT'] or 5432}/{database['NAME']} (DATABASE_URL)"


def _reason(error: Exception) -> str:
    """Return what an error says, on one line and without the address that libpq repeats."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    reason = lines[0].rpartition("failed: ")[2].removeprefix("FATAL:").strip()
    return reason.rstrip(".")


def command_line(*arguments: str) -> str:
    """Return the line of a shell that runs a command of manage.py on this process's data."""
    here = Path.cwd()
    words = [str(path.relative_to(here)) if path.is_relative_to(here) else str(path) for path in _program()]
    data = "" if settings.DATA_DIR == settings.BASE_DIR / "var" else f"DATA_DIR={shlex.quote(str(settings.DATA_DIR))} "
    return data + shlex.join([*words, *arguments])


def _program() -> tuple[Path, Path]:
    return Path(sys.executable), settings.BASE_DIR / "manage.py"
