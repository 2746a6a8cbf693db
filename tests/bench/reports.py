"""Reports and lists over a year of a company: a million trips, five million offers, on PostgreSQL.

For each page the number of its queries and their time in the database, and the plan of the slowest one. It fails where
a page needs more than 300 ms there.
"""

import argparse
import datetime as dt
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.bench import harness, parts

MOST_MS = 300.0


class Statement(NamedTuple):
    ms: float
    sql: str
    params: Any


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trips", type=int, default=1_000_000)
    options.add_argument("--only", default="", help="a part of the pages' names")
    options.add_argument("--part", action="store_true")
    chosen = options.parse_args()
    if chosen.part:
        with harness.folder() as home, harness.scratch(home, DEBUG="1"):
            print(json.dumps(_measure(chosen.trips, chosen.only)), flush=True)
        return
    found = parts.said(parts.start(__spec__.name, "--trips", chosen.trips, "--only", chosen.only, "--part"))
    harness.table(
        f"Pages over {chosen.trips:,} trips: queries, and their time in the database",
        ["page", "queries", "database, ms", "slowest query, ms"],
        [(page["name"], page["queries"], f"{page['ms']:.0f}", f"{page['slowest_ms']:.0f}") for page in found["pages"]],
    )
    over = [page["name"] for page in found["pages"] if page["ms"] > MOST_MS]
    slowest = max(page["ms"] for page in found["pages"])
    counting = {"fill_s": round(found["fill_s"]), "count_day_ms": round(found["count_day_ms"])}
    harness.finish({**found["rows"], **counting, "slowest_ms": round(slowest), "over": over})
    if over:
        raise harness.Failed(f"more than {MOST_MS:g} ms in the database: {', '.join(over)}")


def _measure(trips: int, only: str) -> dict[str, Any]:
    from django.utils import timezone

    from tests.bench import company, population
    from tests.factories import StaffFactory
    from trips.models import TripDay
    from trips.reports import keeping

    now = timezone.now()
    started = time.perf_counter()
    rows = company.fill(trips, now)
    fill_s = time.perf_counter() - started
    started = time.perf_counter()
    keeping.rebuild()
    days = TripDay.objects.values("day").distinct().count()
    count_day_ms = (time.perf_counter() - started) * 1000 / max(days, 1)
    print(f"{days} days counted, {count_day_ms:.0f} ms each", file=sys.stderr, flush=True)
    population.analyse()
    pages = [_measure_page(name, path, StaffFactory) for name, path in _pages(now.date(), trips) if only in name]
    return {"rows": rows, "fill_s": fill_s, "count_day_ms": count_day_ms, "pages": pages}


def _pages(today: dt.date, trips: int) -> Iterator[tuple[str, str]]:
    from stepper.ops.reports.figures import REPORTS

    month, year = (f"from={today - dt.timedelta(days=days)}&to={today}" for days in (29, 364))
    for name in REPORTS:
        yield f"{name}, 30 days", f"/ops/reports/{name}/?{month}"
        yield f"{name}, a year", f"/ops/reports/{name}/?{year}"
        yield f"{name}, a year, a class and a place", f"/ops/reports/{name}/?{year}&class=van&place=geonames-1526384"
    yield "drivers, a year, XLSX", f"/ops/reports/drivers.xlsx?{year}"
    last = (today.replace(day=1) - dt.timedelta(days=1)).strftime("%Y-%m")
    yield "statement", f"/ops/reports/statements/?driver=7&month={last}"
    yield "statement, CSV", f"/ops/reports/statements/statement.csv?driver=7&month={last}"
    yield "statements: drivers by name", "/ops/reports/statements/?q=Daniyar"
    yield "fares, tried on yesterday", "POST /ops/settings/"
    trip = trips - 3
    for name, path in {
        "trips": "trips/trip/",
        "trips, page 3": "trips/trip/?p=2",
        "trips, the last page that is counted": "trips/trip/?p=200",
        "trips, of a year": "trips/trip/?departure_at__year=2026",
        "trips, cancelled": "trips/trip/?status__exact=cancelled",
        "trips, of today": "trips/trip/?departs=today",
        "trips, need attention": "trips/trip/?attention=unfilled",
        "trip": f"trips/trip/{trip}/change/",
        "offers": "trips/offer/",
        "offers, accepted": "trips/offer/?status__exact=accepted",
        "rounds": "trips/dispatchround/",
        "transitions": "trips/triptransition/",
        "bookings": "trips/booking/",
        "ratings": "trips/rating/",
        "changes of trips": "trips/tripchange/",
        "drivers": "drivers/driver/",
        "availability": "drivers/availabilitychange/",
        "people": "stepper/user/",
        "people, a phone looked for": "stepper/user/?q=77050103000",
        "drivers, a plate looked for": "drivers/driver/?q=B77",
    }.items():
        yield f"admin: {name}", f"/admin/{path}"
    yield from _searches(trip)


def _searches(trip: int) -> Iterator[tuple[str, str]]:
    # One passenger, all of them, all drivers, one vehicle, a passenger's phone, a part of it, and people of both kinds.
    looked_for = {
        "a name": "Passenger100077",
        "everybody's name": "Aliya",
        "all drivers' name": "Daniyar",
        "two names": "Aliya Passenger100077",
        "passenger and driver": "Daniyar Passenger100077",
        "two common names": "Aliya Daniyar",
        "a plate": "B77",
        "a phone": "%2B77050103000",
        "a part of phones": "7050103",
        "number of a trip": str(trip),
        "what is nowhere": "Zhanibek",
    }
    lists = {
        "trips": "trips/trip",
        "offers": "trips/offer",
        "bookings": "trips/booking",
        "ratings": "trips/rating",
        "transitions": "trips/triptransition",
        "rounds": "trips/dispatchround",
        "availability": "drivers/availabilitychange",
    }
    for name, path in lists.items():
        for what, term in looked_for.items():
            yield f"admin: {name}, {what}", f"/admin/{path}/?q={term}"
    yield "admin: trips, all drivers' name, cancelled", "/admin/trips/trip/?q=Daniyar&status__exact=cancelled"
    yield "ops: trips", "/ops/trips/"
    yield "ops: trips, all", "/ops/trips/?show=all"
    yield "ops: drivers", "/ops/drivers/"
    for what, term in looked_for.items():
        yield f"ops: trips, {what}", f"/ops/trips/?q={term}"
        yield f"ops: drivers, {what}", f"/ops/drivers/?q={term}"
        yield f"ops: found, {what}", f"/ops/search/?q={term}"


def _measure_page(name: str, path: str, make_staff: Any) -> dict[str, Any]:
    from django.test import Client

    # A person of its own for each: nobody looks at so many pages in a minute.
    client = Client(raise_request_exception=False, headers={"host": "127.0.0.1"})
    client.force_login(make_staff())
    for _warm in range(2):
        with _noted() as found:
            posts = path.startswith("POST ")
            answer = client.post(path.removeprefix("POST "), _fares()) if posts else client.get(path)
        if answer.status_code != 200:
            # The others are measured all the same.
            print(f"\n{name}: {path} answers {answer.status_code} {getattr(answer, 'url', '')}", file=sys.stderr)
            return {"name": f"{name}: {answer.status_code}", "queries": len(found), "ms": 1e6, "slowest_ms": 0.0}
    slowest = max(found, key=lambda one: one.ms)
    page: dict[str, Any] = {
        "name": name,
        "queries": len(found),
        "ms": sum(one.ms for one in found),
        "slowest_ms": slowest.ms,
    }
    print(f"\n{name}: {page['queries']} queries, {page['ms']:.1f} ms", file=sys.stderr)
    for one in sorted(found, key=lambda one: -one.ms)[: 3 if page["ms"] > MOST_MS else 1]:
        _print_plan(one)
    return page


def _fares() -> dict[str, Any]:
    from stepper.admin.service_settings import FARES
    from stepper.models import ServiceSettings

    current = ServiceSettings.current()
    return {name: getattr(current, name) for name in FARES} | {"base_fare": 700, "shown": "", "try": ""}


@contextmanager
def _noted() -> Iterator[list[Statement]]:
    """The statements inside and how long each took, until its first rows came."""
    from django.db import connection

    found: list[Statement] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            found.append(Statement((time.perf_counter() - started) * 1000, sql, params))

    with connection.execute_wrapper(note):
        yield found


def _print_plan(statement: Statement) -> None:
    from django.db import connection

    print(f"{statement.ms:.1f} ms: {' '.join(statement.sql.split())[:400]}", file=sys.stderr)
    if not statement.sql.lstrip().upper().startswith(("SELECT", "WITH")) or "FOR " in statement.sql[-60:]:
        return
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement.sql}", statement.params)
        lines: Sequence[Any] = cursor.fetchall()
    print("\n".join(f"    {row[0][:180]}" for row in lines[:24]), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
