"""Empties the database after a test that committed, in a fraction of what Django's `flush` takes.

`flush` truncates every table and makes all content types and permissions anew: most of such a test's time, above all on
PostgreSQL, which makes new files for each table. Here the tables with rows are emptied, and what `flush` would have
made anew stays, unless a test changed it.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction
from django.test import TransactionTestCase

AUDIT = "stepper_auditentry"
Rows = list[tuple[Any, ...]]

# Table -> what stands in it after a flush.
_initial: dict[str, Rows] = {}
# The stubs lack what a test case does after a test.
_cases: Any = TransactionTestCase
_flush = _cases._fixture_teardown


def install() -> None:
    """Have every test case that commits do this in the place of `flush`."""
    _cases._fixture_teardown = empty_tables


def empty_tables(case: TransactionTestCase) -> None:
    """Empty the tables with rows, and flush where what a flush would make anew was changed, or is not known yet."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    with transaction.atomic(), connection.cursor() as cursor:
        _wait_for_writers(cursor, tables)
        filled = _filled(cursor, tables)
        if _initial and all(_rows(cursor, table) == rows for table, rows in _initial.items()):
            with without_triggers(cursor, AUDIT in filled):
                for table in filled - _initial.keys():
                    cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
            return
    with connection.cursor() as cursor, without_triggers(cursor, AUDIT in tables):
        _flush(case)
    with connection.cursor() as cursor:
        _initial.clear()
        _initial.update({table: _rows(cursor, table) for table in _filled(cursor, tables)})


@contextlib.contextmanager
def without_triggers(cursor: Any, wanted: bool) -> Iterator[None]:
    """Let the audit log be emptied, which the database refuses the product."""
    if not wanted:
        yield
    elif connection.vendor == "postgresql":
        cursor.execute(f"ALTER TABLE {AUDIT} DISABLE TRIGGER USER")
        try:
            yield
        finally:
            for name in ("rows", "table"):
                cursor.execute(f"ALTER TABLE {AUDIT} ENABLE ALWAYS TRIGGER {AUDIT}_{name}")
    else:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [AUDIT])
        triggers = cursor.fetchall()
        for name, _sql in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
        try:
            yield
        finally:
            for _name, sql in triggers:
                cursor.execute(sql)


def _wait_for_writers(cursor: Any, tables: list[str]) -> None:
    """A thread or server of the test may be about to commit rows; SQLite has one writer at a time."""
    if connection.vendor == "postgresql":
        cursor.execute(f"LOCK TABLE {', '.join(map(connection.ops.quote_name, tables))} IN SHARE ROW EXCLUSIVE MODE")


def _filled(cursor: Any, tables: list[str]) -> set[str]:
    """Return the tables that have rows; the names are those of models."""
    quote = connection.ops.quote_name
    cursor.execute(
        " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {quote(table)})" for table in tables)
    )
    return {table for (table,) in cursor.fetchall()}


def _rows(cursor: Any, table: str) -> Rows:
    cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} ORDER BY 1")
    rows: Rows = cursor.fetchall()
    return rows
