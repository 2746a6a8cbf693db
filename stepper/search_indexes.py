"""Indexes by which PostgreSQL finds people by a part of their name, e-mail or phone (stepper.admin.searching).

They are of PostgreSQL's extension pg_trgm: three letters after each other. Who may create tables in the database may
nearly always create it. Where anything of it is refused a search finds the same, but reads every account. So these
indexes are no migration, which either was applied or was not: they are looked for after each, and nothing fails by it.
"""

import logging
from typing import Any

from django.db import DatabaseError, connections, transaction

logger = logging.getLogger("stepper.search")

# Index -> its column, and the lookup that it answers: it is of what that makes of the column.
INDEXES = {
    "stepper_user_name_parts": ("name", "icontains"),
    "stepper_user_email_parts": ("email", "icontains"),
    "stepper_user_phone_parts": ("phone", "contains"),
}
# Another process makes them: dropping what it has not finished would end both in a deadlock.
LOCK = "hashtext('stepper search indexes')"
# For older transactions, such as that of a backup. Nobody waits behind this, but whoever starts the server.
_LOCK_TIMEOUT = "60s"
_MISSING = """
SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass('stepper_user') IS NOT NULL
AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(name) AND indisvalid)
"""
_SCHEMA = (
    "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ns ON ns.oid = extnamespace WHERE extname = %s"
)


def create_search_indexes(using: str, **_signal: Any) -> None:
    """Create those that are not there, while others write to the table; the receiver of `post_migrate`."""
    connection: Any = connections[using]
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        if not _find_missing(cursor):
            return
        cursor.execute(f"SELECT pg_try_advisory_lock({LOCK})")
        if not cursor.fetchone()[0]:
            return
        try:
            schema = _make_extension(using, cursor)
            cursor.execute(f"SET statement_timeout = 0; SET lock_timeout = '{_LOCK_TIMEOUT}'")
            for name in _find_missing(cursor):
                # What an interrupted try left is used by nothing.
                cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
                column, lookup = INDEXES[name]
                compared = connection.ops.lookup_cast(lookup) % column
                cursor.execute(
                    f"CREATE INDEX CONCURRENTLY {name} ON stepper_user USING gin (({compared}) {schema}.gin_trgm_ops)"
                )
        except DatabaseError as refused:
            logger.warning(
                "Search for people reads every account, without indexes of pg_trgm: %s", str(refused).strip()
            )
        finally:
            cursor.execute("RESET statement_timeout; RESET lock_timeout")
            cursor.execute(f"SELECT pg_advisory_unlock({LOCK})")


def _find_missing(cursor: Any) -> list[str]:
    cursor.execute(_MISSING, [list(INDEXES)])
    return [name for (name,) in cursor.fetchall()]


def _make_extension(using: str, cursor: Any) -> str:
    """Create the extension where it is not there; return its schema, which need not be one that is searched."""
    with transaction.atomic(using=using):
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        cursor.execute(_SCHEMA, ["pg_trgm"])
        schema: str = cursor.fetchone()[0]
        return schema
