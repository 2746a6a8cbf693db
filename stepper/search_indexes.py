"""Indexes by which PostgreSQL finds people by a part of their name, e-mail or phone (stepper.admin.searching).

They are of PostgreSQL's extension pg_trgm: three letters after each other. The extension comes with the server, and who
may create tables in the database may nearly always create it. Where that is refused a search finds the same, but reads
every account. So these indexes are no migration, which either was applied or was not: they are looked for after each.
"""

import logging
from typing import Any

from django.db import DatabaseError, connections, transaction

logger = logging.getLogger("stepper.search")

# As the lookups of stepper.db.postgresql write a column: an index answers exactly what it is of.
FOLDED = "TRANSLATE(UPPER({column}::text), 'Ё', 'Е')"
EXPRESSIONS = {
    "stepper_user_name_parts": FOLDED.format(column="name"),
    "stepper_user_email_parts": FOLDED.format(column="email"),
    "stepper_user_phone_parts": "(phone::text)",
}
_MISSING = """
SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass('stepper_user') IS NOT NULL
AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(name) AND indisvalid)
"""


def create_search_indexes(using: str, **_signal: Any) -> None:
    """Create those that are not there, while others write to the table; the receiver of `post_migrate`."""
    connection: Any = connections[using]
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, [list(EXPRESSIONS)])
        missing = [name for (name,) in cursor.fetchall()]
        if not missing or not _has_extension(connection, cursor):
            return
        for name in missing:
            # What an interrupted try left is used by nothing.
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            cursor.execute(
                f"CREATE INDEX CONCURRENTLY {name} ON stepper_user USING gin ({EXPRESSIONS[name]} gin_trgm_ops)"
            )


def _has_extension(connection: Any, cursor: Any) -> bool:
    try:
        with transaction.atomic(using=connection.alias):
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except DatabaseError as refused:
        logger.warning("Search for people reads every account: no extension pg_trgm: %s", str(refused).strip())
        return False
    return True
