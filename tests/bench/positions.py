"""`make bench-positions`: drivers' fixes a second into the database, by the real buffer and by one UPDATE each.

Both write the same fixes of the same drivers on PostgreSQL, in turn: every driver reports once, and what is kept is
written at once by `PositionBuffer.flush`; or each fix is an UPDATE with a commit of its own. A batch is what a process
gets in the second between two flushes if 10,000 drivers report each second. Once for drivers who wait for work, and
once for drivers on a trip, where a point of its trail is added by either.
"""

import asyncio
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from tests.bench import harness

if TYPE_CHECKING:
    from drivers.positions.buffer import PositionBuffer

DRIVERS = 10_000
# One UPDATE each is so slow that a few say enough.
SINGLE = 500
AT = (43.2220, 76.8512)
_STEP = 1e-5
# The buffer's own flush, once a second, may come in between: then a batch is done again.
_TRIES = 5


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with harness.folder() as home, harness.scratch(home):
        asyncio.run(run(options.rounds))


async def run(rounds: int) -> None:
    from drivers.positions.buffer import PositionBuffer
    from drivers.positions.late import TRAIL_STEP
    from stepper.db.transactions import run_in_thread

    crowds = await run_in_thread(_populate)
    buffer = PositionBuffer()
    buffer.open()
    figures, rows = {}, []
    for name, trip_of in crowds.items():
        ids, some = list(trip_of), dict(list(trip_of.items())[:SINGLE])
        for pk in ids:
            buffer.facts.attach_socket(pk)
        whole, flushed, single = [], [], []
        # First what the buffer has to learn of its drivers once.
        await run_in_thread(_batch, buffer, ids, 0)
        for number in range(1, rounds + 1):
            await asyncio.sleep(TRAIL_STEP.total_seconds())  # a trail keeps no more points than that
            reported_s, flushed_s = await run_in_thread(_batch, buffer, ids, number)
            flushed.append(len(ids) / flushed_s)
            whole.append(len(ids) / (reported_s + flushed_s))
            single.append(SINGLE / await run_in_thread(_one_by_one, some, number))
        await run_in_thread(_check, trip_of, rounds)
        rows += [
            (f"{name}: PositionBuffer.flush", harness.spread(flushed), harness.ratio(flushed, single)),
            (f"{name}: report and flush", harness.spread(whole), harness.ratio(whole, single)),
            (f"{name}: one by one, each committed", harness.spread(single), 1.0),
        ]
        figures[name] = (round(statistics.median(flushed)), harness.ratio(flushed, single))
    await buffer.close()
    harness.table(
        f"Fixes a second into PostgreSQL, {DRIVERS:,} drivers, {rounds} rounds",
        ["Way", "fixes a second", "of one by one"],
        rows,
    )
    fixes_per_s, vs_single_update = figures["waiting"]
    harness.finish({"fixes_per_s": fixes_per_s, "vs_single_update": vs_single_update})


def _populate() -> dict[str, dict[int, int | None]]:
    """Drivers, each with the trip that they are on."""
    from django.db import connection

    from tests.bench import people

    waiting: dict[int, int | None] = {driver.pk: None for driver in people.drivers(DRIVERS, AT)}
    driving: dict[int, int | None] = {trip.driver_id or 0: trip.pk for trip in people.rides(DRIVERS, AT)}
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return {"waiting": waiting, "on a trip": driving}


def _batch(buffer: "PositionBuffer", ids: Sequence[int], number: int) -> tuple[float, float]:
    """Seconds of reporting a fix of everybody, and of writing them."""
    from realtime import events

    point = events.Point(lat=AT[0] + number * _STEP, lng=AT[1], speed_kmh=40.0, accuracy_m=8.0)
    for _try in range(_TRIES):
        started = time.perf_counter()
        for pk in ids:
            buffer.report(pk, [point])
        reported = time.perf_counter()
        if buffer.flush() == len(ids) or number == 0:
            return reported - started, time.perf_counter() - reported
    raise harness.Failed(f"{_TRIES} batches of {len(ids)} fixes were not written whole")


def _one_by_one(trip_of: Mapping[int, int | None], number: int) -> float:
    from django.db import connection, transaction
    from django.utils import timezone

    from drivers import geo

    lat = AT[0] + number * _STEP
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
        started = time.perf_counter()
        for pk, trip_id in trip_of.items():
            now = timezone.now()
            with transaction.atomic() if trip_id else nullcontext():
                cursor.execute(
                    "UPDATE drivers_driverposition SET lat = %s, lng = %s, cell = %s, speed_kmh = %s, accuracy_m = %s, "
                    "recorded_at = %s, received_at = %s WHERE driver_id = %s",
                    [lat, AT[1], geo.cell(lat, AT[1]), 40.0, 8.0, now, now, pk],
                )
                if cursor.rowcount != 1:
                    raise harness.Failed(f"no row of driver {pk}")
                if trip_id:
                    cursor.execute(
                        "INSERT INTO drivers_trailpoint (trip_id, driver_id, lat, lng, recorded_at) "
                        "VALUES (%s, %s, %s, %s, %s)",
                        [trip_id, pk, lat, AT[1], now],
                    )
    return time.perf_counter() - started


def _check(trip_of: Mapping[int, int | None], rounds: int) -> None:
    """The last fix of everybody is in the table, and every fix in a trail."""
    from drivers.models import DriverPosition, TrailPoint

    last = DriverPosition.objects.filter(driver_id__in=trip_of, lat=AT[0] + rounds * _STEP).count()
    trips = [trip_id for trip_id in trip_of.values() if trip_id]
    trails = TrailPoint.objects.filter(trip_id__in=trips).count()
    if last != len(trip_of) or trails < len(trips) * rounds:
        raise harness.Failed(f"{last} of {len(trip_of)} last fixes and {trails} points of trails are in the database")


if __name__ == "__main__":
    main()
