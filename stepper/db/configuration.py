"""Reads the settings of the database from the environment."""

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

_SQLITE = "stepper.db.sqlite"
# Ours for Django's engines.
_OURS = {"django.db.backends.sqlite3": _SQLITE, "django.db.backends.postgresql": "stepper.db.postgresql"}


def read_database(env: Env, url: str, data_dir: Path, *, pool: int) -> dict[str, Any]:
    """Return Django's settings of the database at DATABASE_URL; without one: of a SQLite file in the data directory.

    `pool`: how many connections to PostgreSQL the process opens at most.

    Raises:
        ImproperlyConfigured: the address cannot be read.
    """
    # A password containing % or @ must be percent-encoded, as in every URL.
    try:
        database: dict[str, Any] = (
            env.dj_db_url("DATABASE_URL") if url else {"ENGINE": _SQLITE, "NAME": str(data_dir / "stepper.sqlite3")}
        )
    except EnvError as error:
        # Not the library's words, which repeat the password.
        raise ImproperlyConfigured(
            "DATABASE_URL is not an address like postgresql://user:password@host:5432/name; in user and password "
            "special characters are percent-encoded."
        ) from error
    database["ENGINE"] = _OURS.get(database["ENGINE"], database["ENGINE"])
    if database["ENGINE"] == _SQLITE:
        # A thread keeps its connection. To open one takes longer than most requests, and the loops of an idle server
        # would do it twenty times a second. Each has a cache of its own, so it is smaller than one alone could have.
        database["CONN_MAX_AGE"] = None
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-8000; "
                "PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=67108864;"
            ),
        }
        # A file, not memory: the tests' sockets and threads each open a connection of their own.
        database["TEST"] = {"NAME": str(data_dir / "test.sqlite3")}
        return database
    database["CONN_MAX_AGE"] = 0
    database["OPTIONS"] = {
        # A host that does not even refuse must not hold a thread for minutes.
        "connect_timeout": 5,
        **database.get("OPTIONS", {}),
        "pool": {
            "min_size": 2,
            "max_size": pool,
            # A request that waits longer for a connection is answered with 503.
            "timeout": 5,
            # The pool doubles its pauses between tries for so long, then the next request for a connection is a try:
            # after an outage of any length connections are back within seconds.
            "reconnect_timeout": 3,
        },
    }
    return database
