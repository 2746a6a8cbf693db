"""SQLite backend in which the threads of a process queue for the one write lock instead of polling for it.

SQLite lets one connection write at a time and the others poll with growing pauses until their time-out, which is
unfair: with 200 threads some starve. Here whoever starts an outermost write transaction first waits for a lock of
this process, so inside one process nobody ever polls.

Threads keep their connections, so another file must not take the place of the one that is open: its log would be
applied to the new one. A process that sees this closes its connections and opens none to that place again.

Lookups without case fold the letters of every alphabet (stepper.db.letters).
"""

import contextlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.operations import DatabaseOperations as SQLiteOperations

from stepper.db.letters import LOOKUPS, fold_case

logger = logging.getLogger("stepper.db.sqlite")

_write_lock = threading.Lock()
# Places at which there is another file than this process had open.
_replaced: set[str] = set()
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def _identify(place: str) -> tuple[int, int] | None:
    try:
        found = Path(place).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class CursorWrapper(base.SQLiteCursorWrapper):
    connection_wrapper: "DatabaseWrapper"

    def _run(self, method: Any, query: str, params: Any) -> Any:
        wrapper = self.connection_wrapper
        if wrapper.holds_write_lock or not query.lstrip()[:7].upper().startswith(_WRITES):
            return method(query) if params is None else method(query, params)
        with _write_lock:
            return method(query) if params is None else method(query, params)

    def execute(self, query: str, params: Any = None) -> Any:
        return self._run(super().execute, query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        return self._run(super().executemany, query, param_list)


class DatabaseOperations(SQLiteOperations):
    compiler_module = "stepper.db.sqlite.compiler"

    def lookup_cast(self, lookup_type: str, internal_type: str | None = None) -> str:
        cast: str = super().lookup_cast(lookup_type, internal_type)
        return f"FOLD_CASE({cast})" if lookup_type in LOOKUPS else cast


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations
    holds_write_lock = False
    # Which file is open: its place, device and number.
    _opened: tuple[str, tuple[int, int] | None] = "", None
    # The value, and a column that is compared with another one.
    operators = base.DatabaseWrapper.operators | dict.fromkeys(LOOKUPS, r"LIKE FOLD_CASE(%s) ESCAPE '\'")
    pattern_ops = base.DatabaseWrapper.pattern_ops | {
        name: base.DatabaseWrapper.pattern_ops[name].replace("UPPER", "FOLD_CASE") for name in LOOKUPS
    }

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Open the database; its file is made for its owner only, and so are SQLite's own ones beside it.

        Raises OperationalError where the file was replaced since this process opened one there.
        """
        place = str(conn_params["database"])
        if place in _replaced:
            raise OperationalError(f"{place} is another file than this process had open; start it again")
        if not place.startswith((":memory:", "file:")):
            with contextlib.suppress(OSError):
                os.close(os.open(place, os.O_CREAT | os.O_EXCL, 0o600))
        # Before it is opened: a file that comes between the two is noticed later.
        self._opened = place, _identify(place)
        connection = super().get_new_connection(conn_params)
        connection.create_function("FOLD_CASE", 1, fold_case, deterministic=True)
        return connection

    def close_if_unusable_or_obsolete(self) -> None:
        """Close the connection as Django does, also where the settings name another file, or one is in its place."""
        if self.connection is None or self.in_atomic_block:
            return
        place, identity = self._opened
        is_replaced = _identify(place) != identity
        if is_replaced and place not in _replaced:
            _replaced.add(place)
            logger.critical("%s was replaced while it was open; start this process again", place)
        is_old = self.close_at is not None and time.monotonic() >= self.close_at
        is_odd = self.errors_occurred or self.autocommit != self.settings_dict["AUTOCOMMIT"]
        if is_replaced or is_old or is_odd or str(self.settings_dict["NAME"]) != place:
            self.close()

    def create_cursor(self, name: str | None = None) -> CursorWrapper:
        cursor = self.connection.cursor(factory=CursorWrapper)
        cursor.connection_wrapper = self
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        if self.transaction_mode == "DEFERRED" or self.transaction_mode is None:
            super()._start_transaction_under_autocommit()
            return
        if not _write_lock.acquire(timeout=self.settings_dict["OPTIONS"].get("timeout", 30)):
            raise OperationalError("database is locked by another thread of this process")
        self.holds_write_lock = True
        try:
            super()._start_transaction_under_autocommit()
        except BaseException:
            self._release_write_lock()
            raise

    def _release_write_lock(self) -> None:
        if self.holds_write_lock:
            self.holds_write_lock = False
            _write_lock.release()

    def _commit(self) -> None:
        super()._commit()
        self._release_write_lock()

    def _rollback(self) -> None:
        try:
            super()._rollback()
        finally:
            self._release_write_lock()

    def _close(self) -> None:
        try:
            super()._close()
        finally:
            self._release_write_lock()
