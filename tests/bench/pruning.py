"""Old rows among a million of each table: what a batch of each rule costs, on PostgreSQL and on SQLite.

With nothing to delete and with a full batch, beside deleting by date in one statement, and beside looking among the
20,000 oldest keys at once as earlier releases did for rounds and trails. It fails where a batch reads a table from one
end to the other.
"""

import argparse
import datetime as dt
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tests.bench import harness, parts

# Rows are made so far into the past, a tenth of which a batch finds old.
SPAN = dt.timedelta(days=1000)
BATCHES = 7
# What is computed for row n.i of a table; other columns are those of one row that was made as tests make it.
TRIP, USER = {"trip_id": "n.i"}, {"user_id": "n.i"}
COLUMNS: dict[str, dict[str, str]] = {
    "TripTransition": TRIP,
    "TripChange": TRIP,
    "Offer": TRIP,
    "DispatchRound": TRIP,
    "TrailPoint": TRIP,
    "TripWatch": TRIP,
    "TripMessage": TRIP | {"key": "'k' || n.i"},
    "SafetyAlert": TRIP,
    "TripShare": {"token_digest": "{random}"},
    "AppliedCommand": {"key": "'k' || n.i"},
    "AddressChange": USER,
    "AddressCode": USER,
    "PhoneCode": {"token_digest": "{random}"},
    "DayCount": {"name": "'sms:' || n.i"},
    "Break": {"ended_at": "{at}"},
    "Notification": {"read_at": "CASE WHEN n.i %% 2 = 0 THEN {at} END"},
    "ServerBeat": {"name": "'host:' || n.i"},
    "Session": {"session_key": "{random}"},
    "AccountSession": {"session_id": "{random}"},
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--only", default="", help="names of models, such as Offer,Session; else all")
    options.add_argument("--part", choices=["postgresql", "sqlite"])
    chosen = options.parse_args()
    if chosen.part:
        with harness.folder() as home, harness.scratch(home, chosen.part):
            print(json.dumps(_measure(chosen.rows, chosen.only.split(","))), flush=True)
        return
    found = {}
    for name in ("PostgreSQL", "SQLite"):
        arguments = ("--rows", chosen.rows, "--only", chosen.only, "--part", name.lower())
        found[name] = parts.said(parts.start(__spec__.name, *arguments))
    _report(chosen.rows, found)


def _report(rows: int, found: Mapping[str, Mapping[str, Any]]) -> None:
    columns = ("nothing", "batch", "locked", "oldest_keys", "naive_nothing", "naive")
    harness.table(
        f"Milliseconds a batch among {rows:,} rows (median), and deleting a tenth of them in one statement",
        [
            "rule",
            "database",
            "nothing to do",
            "full batch",
            "of it locked",
            "oldest 20,000: nothing",
            "by date: nothing",
            "by date: a tenth",
        ],
        [
            (rule, name, *(f"{figures[column]:,.1f}" for column in columns))
            for rule in next(iter(found.values()))
            for name, figures in ((name, part[rule]) for name, part in found.items())
        ],
    )
    whole = [
        f"{name}, {rule}: {step}"
        for name, part in found.items()
        for rule, figures in part.items()
        for step in figures["scans"]
    ]
    figures = {
        name: parts.rounded({column: max(part[rule][column] for rule in part) for column in columns})
        for name, part in found.items()
    }
    print("\n".join(whole), file=sys.stderr)
    harness.finish({"rows": rows, "slowest_ms": figures, "full_scans": len(whole)})
    if whole:
        raise harness.Failed("a batch reads a table from one end to the other")


def _measure(rows: int, only: Sequence[str]) -> dict[str, Any]:
    from django.db import connection

    from stepper.server.pruning import RULES
    from tests.bench import population
    from tests.old_rows import CASES

    base = dt.datetime.now(dt.UTC)
    started = time.perf_counter()
    filler = _Filler(rows, base)
    filler.fill_trips()
    for case in CASES.values():
        model = type(case.make(dt.timedelta(days=-1)))
        if model in filler.filled or (any(only) and model.__name__ not in only):
            continue
        filler.fill(model, next(rule.since for rule in RULES if rule.model is model))
    filler.delete_templates()
    population.analyse()
    print(f"{connection.vendor}: {rows:,} rows each after {time.perf_counter() - started:.0f} s", file=sys.stderr)
    found = {}
    for number, rule in enumerate(RULES, 1):
        if rule.model not in filler.filled:
            continue
        name = f"{rule.model.__name__} {number}"
        found[name] = _measure_rule(rule, base)
        print(f"{connection.vendor}: {name}: {found[name]}", file=sys.stderr)
    return found


class _Filler:
    """Fills tables with rows whose age falls evenly with their key, by one statement each."""

    def __init__(self, rows: int, base: dt.datetime) -> None:
        from django.db import connection

        self.is_postgresql = connection.vendor == "postgresql"
        self.rows = rows
        self.filled: set[Any] = set()
        # The keys below are those of rows that were made one by one.
        self.first = 1_000_000
        age_s = f"({self.first + rows} - n.i) * {SPAN.total_seconds() / rows}"
        if self.is_postgresql:
            self.at = f"(to_timestamp({base.timestamp()}) - {age_s} * interval '1 second')"
            self.random = "md5(n.i::text)"
            self.numbers = f"generate_series({self.first}, {self.first + rows - 1}) AS n(i)"
        else:
            self.at = f"strftime('%%Y-%%m-%%d %%H:%%M:%%f', {base.timestamp()} - {age_s}, 'unixepoch')"
            self.random = "lower(hex(randomblob(16)))"
            self.numbers = (
                f"(WITH RECURSIVE n(i) AS (SELECT {self.first} UNION ALL SELECT i + 1 FROM n "
                f"WHERE i < {self.first + rows - 1}) SELECT i FROM n) AS n"
            )

    def fill_trips(self) -> None:
        """A trip for each row of the other tables: every second one had a driver."""
        from tests.old_rows import ended_trip
        from trips.models import Trip
        from trips.states import TripStatus

        trip = ended_trip(dt.timedelta(), TripStatus.COMPLETED)
        had_driver = "CASE WHEN n.i %% 2 = 0 THEN {} END"
        self._copy(
            Trip,
            trip.pk,
            {
                "status": "CASE WHEN n.i %% 2 = 0 THEN 'completed' ELSE 'cancelled' END",
                "driver_id": had_driver.format("driver_id"),
                "vehicle_id": had_driver.format("vehicle_id"),
                "completed_at": had_driver.format(self.at),
                "cancelled_at": f"CASE WHEN n.i %% 2 = 1 THEN {self.at} END",
                "departure_at": self.at,
                "ends_at": self.at,
                "created_at": self.at,
            },
        )

    def fill(self, model: Any, since: str) -> None:
        self.filled.add(model)
        columns = COLUMNS.get(model.__name__, {})
        changed = {name: value.format(at=self.at, random=self.random) for name, value in columns.items()}
        if "__" not in since:
            changed[since] = self.at
        self._copy(model, model._base_manager.values_list("pk", flat=True).first(), changed)

    def delete_templates(self) -> None:
        """Delete the rows that were made one by one: they are young and have the lowest keys, where walks begin."""
        for model in self.filled:
            if model._meta.pk.get_internal_type() != "CharField":
                model._base_manager.filter(pk__lt=self.first).delete()

    def _copy(self, model: Any, template: Any, changed: Mapping[str, str]) -> None:
        from django.db import connection

        from tests.bench import population

        table, key = model._meta.db_table, model._meta.pk.column
        columns = [str(field.column) for field in model._meta.concrete_fields]
        values = ", ".join({"id": "n.i", **changed}.get(column, f'"{column}"') for column in columns)
        names = ", ".join(f'"{column}"' for column in columns)
        with connection.cursor() as cursor:
            population._without_foreign_keys(cursor)
            cursor.execute(
                f"INSERT INTO {table} ({names}) "
                f"SELECT {values} FROM {self.numbers} CROSS JOIN (SELECT * FROM {table} WHERE {key} = %s) AS template "
                "ORDER BY n.i",
                [template],
            )
            cursor.execute(f"DELETE FROM {table} WHERE {key} = %s", [template])
            cursor.execute(
                "SET session_replication_role = origin" if self.is_postgresql else "PRAGMA foreign_keys = ON"
            )
        print(f"{table} filled", file=sys.stderr)


def _measure_rule(rule: Any, base: dt.datetime) -> dict[str, Any]:
    from stepper.models import ServiceSettings
    from stepper.server import pruning
    from tests import plans

    settings = ServiceSettings()
    oldest, tenth = base - SPAN - dt.timedelta(hours=1), base - SPAN * 0.9

    def walk() -> Any:
        return pruning.Walk(rule, pruning._before_all_keys(rule.model), 0.0, 0.0)

    def run(cutoff: dt.datetime, walk: Any) -> None:
        pruning.prune_batch(walk, cutoff + rule.kept(settings), settings)

    figures: dict[str, Any] = {"scans": []}
    figures["nothing"] = statistics.median(parts.timed_ms(lambda: run(oldest, walk())) for _time in range(BATCHES))
    with _rolled_back():
        figures["naive_nothing"] = parts.timed_ms(lambda: _naive(rule, oldest))
    with _rolled_back():
        figures["naive"] = parts.timed_ms(lambda: _naive(rule, tenth))
    with _rolled_back():
        figures["oldest_keys"] = parts.timed_ms(lambda: _among_oldest_keys(rule, oldest))
    for cutoff in (oldest, tenth):
        with _rolled_back():
            for statement in plans.statements(lambda: run(cutoff, walk())):  # noqa: B023
                lines = plans.plan(*statement)
                figures["scans"] += plans.full_scans(lines)
                print("\n".join(["", statement[0][:300], *(line[:200] for line in lines)]), file=sys.stderr)
    with _lock_times() as locked:
        one = walk()
        figures["batch"] = statistics.median(parts.timed_ms(lambda: run(tenth, one)) for _time in range(BATCHES))
        figures["locked"] = statistics.median(locked) if locked else 0.0
    return figures


def _naive(rule: Any, cutoff: dt.datetime) -> None:
    rule.model._base_manager.filter(rule.condition(cutoff)).delete()


def _among_oldest_keys(rule: Any, cutoff: dt.datetime) -> None:
    """Delete as earlier releases did, with `IN` of a query of the oldest keys."""
    rows = rule.model._base_manager.all()
    rows.filter(rule.condition(cutoff), pk__in=rows.order_by("pk").values("pk")[:20_000]).delete()


@contextmanager
def _rolled_back() -> Iterator[None]:
    from django.db import transaction

    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@contextmanager
def _lock_times() -> Iterator[list[float]]:
    """The milliseconds of each deletion inside: so long others wait for SQLite's write lock."""
    from stepper.server import pruning

    times: list[float] = []
    delete: Callable[..., int] = pruning._delete

    def timed(rule: pruning.Rule, keys: list[Any], cutoff: dt.datetime) -> int:
        started = time.perf_counter()
        try:
            return delete(rule, keys, cutoff)
        finally:
            times.append((time.perf_counter() - started) * 1000)

    pruning._delete = timed
    try:
        yield times
    finally:
        pruning._delete = delete


if __name__ == "__main__":
    main()
