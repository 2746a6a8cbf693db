"""`make bench-positions`: drivers' fixes a second into the database, by the real buffer and by one UPDATE each.

Both write the same fixes of the same drivers on PostgreSQL, in turn: every driver reports once, and what is kept is
written at once by `PositionBuffer.flush`, the points of the trails with it; or each fix is an UPDATE with a commit of
its own.
"""

import asyncio
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.bench import harness

if TYPE_CHECKING:
    from drivers.positions import PositionBuffer

DRIVERS = 2000
# One UPDATE each is so slow that a few say enough.
SINGLE = 500
AT = (43.2220, 76.8512)
_STEP = 1e-5
# The buffer's own flush, twice a second, may come in between: then a batch is done again.
_TRIES = 5


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with harness.folder() as home, harness.scratch(home):
        asyncio.run(run(options.rounds))


async def run(rounds: int) -> None:
    from drivers.positions import PositionBuffer
    from stepper.transactions import in_thread

    ids = await in_thread(_populate)
    buffer = PositionBuffer()
    buffer.open()
    for pk in ids:
        buffer.hold(pk)
    whole, flushed, single = [], [], []
    # First what the buffer has to learn of its drivers once.
    await in_thread(_batch, buffer, ids, 0)
    for number in range(1, rounds + 1):
        reported_s, flushed_s = await in_thread(_batch, buffer, ids, number)
        flushed.append(len(ids) / flushed_s)
        whole.append(len(ids) / (reported_s + flushed_s))
        single.append(SINGLE / await in_thread(_one_by_one, ids[:SINGLE], number))
    await buffer.close()
    await in_thread(_check, ids[SINGLE:], rounds)
    harness.table(
        f"Fixes a second into PostgreSQL, {DRIVERS:,} drivers on a trip each, {rounds} rounds",
        ["Way", "fixes a second", "of one UPDATE each"],
        [
            ("PositionBuffer.flush, with the trails", harness.spread(flushed), harness.ratio(flushed, single)),
            ("report and flush", harness.spread(whole), harness.ratio(whole, single)),
            ("one UPDATE each, committed", harness.spread(single), 1.0),
        ],
    )
    harness.finish(
        {"fixes_per_s": round(statistics.median(flushed)), "vs_single_update": harness.ratio(flushed, single)}
    )


def _populate() -> list[int]:
    from django.db import connection

    from tests.bench import people

    trips = people.rides(DRIVERS, AT)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return sorted(trip.driver_id for trip in trips if trip.driver_id is not None)


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


def _one_by_one(ids: Sequence[int], number: int) -> float:
    from django.db import connection
    from django.utils import timezone

    from drivers import geo

    lat = AT[0] + number * _STEP
    started = time.perf_counter()
    with connection.cursor() as cursor:
        for pk in ids:
            now = timezone.now()
            cursor.execute(
                "UPDATE drivers_driverposition SET lat = %s, lng = %s, cell = %s, speed_kmh = %s, accuracy_m = %s, "
                "recorded_at = %s, received_at = %s WHERE driver_id = %s",
                [lat, AT[1], geo.cell(lat, AT[1]), 40.0, 8.0, now, now, pk],
            )
            if cursor.rowcount != 1:
                raise harness.Failed(f"no row of driver {pk}")
    return time.perf_counter() - started


def _check(ids: Sequence[int], rounds: int) -> None:
    """The last fix of everybody is in the table, and every fix in a trail."""
    from drivers.models import DriverPosition, TrailPoint

    last = DriverPosition.objects.filter(driver_id__in=ids, lat=AT[0] + rounds * _STEP).count()
    trails = TrailPoint.objects.filter(trip__driver_id__in=ids).count()
    if last != len(ids) or trails < len(ids) * rounds:
        raise harness.Failed(f"{last} of {len(ids)} last fixes and {trails} points of trails are in the database")


if __name__ == "__main__":
    main()
