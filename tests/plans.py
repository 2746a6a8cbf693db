"""How the database carries out a statement, and which tables it reads as a whole."""

import re
from collections.abc import Callable
from typing import Any

from django.db import connection

Statement = tuple[str, Any]


def statements(work: Callable[[], object]) -> list[Statement]:
    """Run `work` and return the SELECT, UPDATE and DELETE statements that it executed, with their parameters."""
    found: list[Statement] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("SELECT", "UPDATE", "DELETE")):
            found.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        work()
    return found


def plan(sql: str, params: Any, *, is_large: bool = False, bitmaps: bool = False) -> list[str]:
    """Return the lines of a statement's plan. `is_large`: plan as for tables that are too large to be read as a whole.

    `bitmaps`: then a table may be read by several indexes, as for conditions of which one is enough.
    The statement itself is not carried out. The test's transaction takes the statistics back, so call it inside one.
    """
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
            return [str(row[3]) for row in cursor.fetchall()]
        if is_large:
            # A subquery is read whole into memory where its table is as small as the statistics say, in spite of the
            # settings below. Of a table without a page nothing counts but that it was never analyzed.
            cursor.execute(
                "UPDATE pg_class SET relpages = CASE WHEN pg_relation_size(oid) > 0 THEN 1 ELSE 0 END, "
                "reltuples = CASE WHEN pg_relation_size(oid) > 0 THEN 1e9 ELSE -1 END "
                "WHERE relkind = 'r' AND oid >= 16384"
            )
            steps = ["seqscan", "sort", "hashjoin", "mergejoin", *([] if bitmaps else ["bitmapscan"])]
            for step in steps:
                cursor.execute(f"SET enable_{step} = off")
        cursor.execute(f"EXPLAIN {sql}", params)
        lines = [str(row[0]) for row in cursor.fetchall()]
        if is_large:
            for step in steps:
                cursor.execute(f"RESET enable_{step}")
        return lines


def full_scans(lines: list[str]) -> list[str]:
    """Return the steps of a plan that read a table, or an index, from one end to the other, or sort."""
    whole = re.compile(r"^\s*(->\s*)?(Parallel )?Seq Scan|^\s*(->\s*)?Sort|^SCAN |USE TEMP B-TREE FOR ORDER")
    return [line.strip() for line in lines if whole.search(line)]
