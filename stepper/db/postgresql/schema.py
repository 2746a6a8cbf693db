"""Schema editor of PostgreSQL that does not wait long for a lock.

ALTER TABLE waits for everybody who uses the table, and whoever comes after it waits behind it: one long transaction
would stop all servers for its length. So a migration gives up after `lock_timeout_ms` and is tried again
(`stepper.db.locks`).
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError
from django.db.backends.postgresql import schema


class DatabaseSchemaEditor(schema.DatabaseSchemaEditor):
    # Longer than the second after which PostgreSQL has autovacuum give way, shorter than a request waits for anything.
    lock_timeout_ms = 2000

    def __enter__(self) -> "DatabaseSchemaEditor":
        super().__enter__()
        if not self.collect_sql:
            self._set_lock_timeout(self.lock_timeout_ms)
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        try:
            super().__exit__(exc_type, exc_value, traceback)
        finally:
            if not self.atomic_migration and not self.collect_sql:
                with contextlib.suppress(DatabaseError):  # the connection may be what failed
                    self._set_lock_timeout(0)

    @contextlib.contextmanager
    def unlimited_lock_wait(self) -> Iterator[None]:
        """Wait as long as it takes, for statements that nobody queues behind. Outside of a transaction only."""
        self._set_lock_timeout(0)
        try:
            yield
        finally:
            with contextlib.suppress(DatabaseError):
                self._set_lock_timeout(self.lock_timeout_ms)

    def _set_lock_timeout(self, ms: int) -> None:
        scope = "LOCAL " if self.atomic_migration else ""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SET {scope}lock_timeout = {ms}")
