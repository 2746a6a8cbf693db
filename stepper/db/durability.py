"""What survives that the machine loses power."""

from django.db import connection


def sync_log() -> None:
    """Move what was committed to SQLite from its log to its file, and have the disk keep it.

    SQLite does so when a thousand pages have gathered, or when the last connection closes, and servers keep theirs.
    What was committed since then survives a killed process, but not a machine that stops. On PostgreSQL, and in a
    transaction, this does nothing.
    """
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
