"""The nearest twenty of 10,000, 100,000 and 1,000,000 drivers, half of them online.

In the middle of a city, at the rim of one (nobody within 30 km, half a city behind that) and where nobody is; on
PostgreSQL and on SQLite. Every answer is compared with measuring everybody.
"""

import argparse
import asyncio
import bisect
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench import harness, parts

RADIUS_KM = 50.0
WANTED = 20
# Of so many found around a pickup twenty may be asked, although many are turned down.
ENOUGH_TO_JUDGE = 80
SAMPLES = 25
MOVERS, FIXES = 2000, 25
# The numbers below are those of rows that are made one by one.
FIRST_ID = 1000

Point = tuple[float, float]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sizes", default="10000,100000,1000000")
    options.add_argument("--part", choices=["postgresql", "sqlite"])
    chosen = options.parse_args()
    sizes = sorted(int(size) for size in chosen.sizes.split(","))
    if chosen.part:
        with harness.folder() as home, harness.scratch(home, chosen.part):
            print(json.dumps(_measure(sizes)), flush=True)
        return
    found = {}
    for name in ("PostgreSQL", "SQLite"):
        found[name] = parts.said(parts.start(__spec__.name, "--sizes", chosen.sizes, "--part", name.lower()))
    _report(sizes, found)


def _report(sizes: Sequence[int], found: dict[str, Any]) -> None:
    places = ("city", "rim", "nobody")
    harness.table(
        f"The nearest {WANTED} within {RADIUS_KM:g} km, ms (median of {SAMPLES} places)",
        ["drivers", "database", *places, "eligible, in a city", "all rows read", "wrong"],
        [
            (
                f"{size:,}",
                name,
                *(f"{part['sizes'][str(size)][figure]:,.1f}" for figure in (*places, "rules", "all_rows")),
                part["sizes"][str(size)]["wrong"],
            )
            for size in sizes
            for name, part in found.items()
        ],
    )
    first, last = str(sizes[0]), str(sizes[-1])

    def worst(part: Any, size: str) -> float:
        return max(part["sizes"][size][place] for place in places)

    figures = parts.rounded(
        {
            "postgresql_ms_1m": worst(found["PostgreSQL"], last),
            "sqlite_ms_1m": worst(found["SQLite"], last),
            "with_rules_ms_1m": max(part["sizes"][last]["rules"] for part in found.values()),
            "growth_10k_to_1m": max(worst(part, last) / worst(part, first) for part in found.values()),
            "vs_all_rows": min(part["sizes"][last]["all_rows"] / worst(part, last) for part in found.values()),
            "wrong": sum(
                part["wrong"] + sum(one["wrong"] for one in part["sizes"].values()) for part in found.values()
            ),
            "hot": found["PostgreSQL"]["hot"],
            "drivers": sizes[-1],
        }
    )
    harness.finish(figures)


def _measure(sizes: Sequence[int]) -> dict[str, Any]:
    from django.db import connection

    from drivers.models import DriverPosition
    from tests.bench import population

    wrong = _with_nobody_and_one()
    places = population.points(sizes[-1], seed=1)
    found: dict[str, Any] = {}
    hot, done = None, 0
    for size in sizes:
        started = time.perf_counter()
        population.add_drivers(FIRST_ID + done, size - done, _some(places, size - done), available_every=2)
        done = size
        population.analyse()
        print(f"{connection.vendor}: {size:,} drivers after {time.perf_counter() - started:.0f} s", file=sys.stderr)
        found[str(size)] = _measure_size()
        if connection.vendor == "postgresql" and hot is None:
            movers = DriverPosition.objects.filter(dispatchable=True).order_by("driver_id")
            hot = asyncio.run(_hot(list(movers.values_list("driver_id", "lat", "lng")[:MOVERS])))
    return {"sizes": found, "wrong": wrong, "hot": hot}


def _some(places: Iterator[Point], count: int) -> Iterator[Point]:
    for _number in range(count):
        yield next(places)


def _measure_size() -> dict[str, float]:
    from drivers import search
    from tests.nearest import nearest_drivers

    around = _sample_points()
    everybody = _Everybody()
    figures: dict[str, float] = {}
    wrong = 0
    for name, sampled in around.items():
        taken = []
        for point in sampled:
            near: list[search.Near] = []
            once = [parts.timed_ms(lambda: near.extend(nearest_drivers(*point, RADIUS_KM, WANTED)))]  # noqa: B023
            once += [parts.timed_ms(lambda: nearest_drivers(*point, RADIUS_KM, WANTED)) for _more in range(2)]  # noqa: B023
            taken.append(statistics.median(once))
            wrong += [one.driver_id for one in near] != everybody.nearest(*point)
        figures[name] = statistics.median(taken)
    figures["rules"] = _with_rules(around["city"][:-6])
    figures["all_rows"] = parts.timed_ms(lambda: _all_rows(*around["city"][0]))
    figures["wrong"] = wrong
    return figures


def _sample_points() -> dict[str, list[Point]]:
    from tests.bench import population

    chance = random.Random(2)
    city = [*population.points(SAMPLES - 6, 3, [population.ALMATY])]
    odd = [*population.points(3, 3, [population.LONGYEARBYEN]), *population.points(3, 3, [population.TAVEUNI])]
    km = 1 / 111.195
    almaty, reach = population.ALMATY, 3 * population.ALMATY.spread_km
    rim = []
    for _sample in range(SAMPLES):
        bearing, away = chance.uniform(0, 2 * math.pi), (reach + 31) * km
        lng = almaty.lng + away * math.sin(bearing) / math.cos(math.radians(almaty.lat))
        rim.append((almaty.lat + away * math.cos(bearing), lng))
    nobody = [(chance.uniform(45.5, 48), chance.uniform(62, 68)) for _sample in range(SAMPLES)]
    return {"city": [*city, *odd], "rim": rim, "nobody": nobody}


class _Everybody:
    """All drivers who can be asked, in memory by latitude: what the search is compared with."""

    def __init__(self) -> None:
        from drivers.models import DriverPosition

        rows = DriverPosition.objects.filter(dispatchable=True).order_by("lat").values_list("lat", "lng", "driver_id")
        self._rows = list(rows)
        self._lats = [row[0] for row in self._rows]

    def nearest(self, lat: float, lng: float) -> list[int]:
        from drivers import geo

        band = math.degrees(RADIUS_KM / geo.EARTH_RADIUS_KM) + 0.01
        first, last = bisect.bisect_left(self._lats, lat - band), bisect.bisect_right(self._lats, lat + band)
        near = ((geo.distance_km(lat, lng, row[0], row[1]), row[2]) for row in self._rows[first:last])
        return [driver_id for km, driver_id in sorted(one for one in near if one[0] <= RADIUS_KM)[:WANTED]]


def _all_rows(lat: float, lng: float) -> list[tuple[float, int]]:
    """What the search replaces."""
    from drivers import geo
    from drivers.models import DriverPosition

    rows = DriverPosition.objects.filter(dispatchable=True).values_list("lat", "lng", "driver_id")
    return sorted((geo.distance_km(lat, lng, row[0], row[1]), row[2]) for row in rows)[:WANTED]


def _with_rules(points: Sequence[Point]) -> float:
    """Search and judgement of as many drivers as twenty eligible ones take, every reason included."""
    from tests.factories import TripFactory
    from tests.nearest import nearest_drivers
    from trips.eligibility import assess
    from trips.policy import Policies

    policies = Policies.current()
    taken = []
    for point in points:
        trip = TripFactory(status="published", pickup=point, dropoff=(point[0] + 0.1, point[1]))

        def judged() -> int:
            near = nearest_drivers(*point, RADIUS_KM, ENOUGH_TO_JUDGE)  # noqa: B023
            return sum(
                one.reason is None
                for one in assess(trip, 1, near=near, policy=policies.of(trip), settings=policies.settings)  # noqa: B023
            )

        if judged() < WANTED:
            print(f"fewer than {WANTED} eligible around {point}", file=sys.stderr)
        taken.append(statistics.median([parts.timed_ms(judged) for _time in range(3)]))
    return statistics.median(taken)


def _with_nobody_and_one() -> int:
    """How often the answer is wrong with no driver at all, and with one."""
    from tests.factories import DriverFactory
    from tests.nearest import nearest_drivers

    wrong = int(nearest_drivers(43.2, 76.8, RADIUS_KM, WANTED) != [])
    only = DriverFactory(at=(43.2, 76.8))
    wrong += [one.driver_id for one in nearest_drivers(43.3, 76.8, RADIUS_KM, WANTED)] != [only.pk]
    wrong += int(nearest_drivers(44.2, 76.8, RADIUS_KM, WANTED) != [])
    only.position.delete()
    return wrong


async def _hot(movers: Sequence[tuple[int, float, float]]) -> float:
    """Share of position updates that left every index alone, through the buffer and its flush.

    Half of the drivers drive, 20 to 60 km/h, and send whenever they moved 25 m by a fix a second; the others stand
    still and their position wanders by some metres.
    """
    from django.db import connection

    from drivers import geo
    from drivers.positions.buffer import PositionBuffer
    from realtime import events
    from stepper.db.transactions import run_in_thread
    from stepper.models import ServiceSettings

    # Minutes of driving in a moment: so fast is nobody else believed.
    await run_in_thread(lambda: ServiceSettings.objects.update_or_create(pk=1, defaults={"max_speed_kmh": 10**6}))
    chance = random.Random(4)
    cars: list[Any] = [[*row, chance.uniform(0, 2 * math.pi), chance.uniform(20, 60) / 3.6] for row in movers]
    degree_m = geo.EARTH_RADIUS_KM * math.pi / 180 * 1000

    def counted() -> tuple[int, int]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'drivers_driverposition'"
            )
            updates, hot = cursor.fetchone()
        return updates, hot

    def drive(buffer: PositionBuffer) -> int:
        for number, car in enumerate(cars):
            driver_id, lat, lng, bearing, speed = car
            if number % 2:
                step_m, bearing = abs(chance.gauss(0, 4)), chance.uniform(0, 2 * math.pi)
            else:
                # The first whole second at which 25 m are behind them.
                step_m, bearing = speed * math.ceil(25 / speed), bearing + chance.gauss(0, 0.15)
            lat += step_m * math.cos(bearing) / degree_m
            lng += step_m * math.sin(bearing) / degree_m / math.cos(math.radians(lat))
            lng = (lng + 540) % 360 - 180
            car[1:4] = lat, lng, bearing
            buffer.report(driver_id, [events.Point(lat=lat, lng=lng, accuracy_m=8.0)])
        return buffer.flush()

    buffer = PositionBuffer()
    before = await run_in_thread(counted)
    buffer.open()
    for car in cars:
        buffer.facts.attach_socket(int(car[0]))
    written = 0
    for _fix in range(FIXES):
        written += await run_in_thread(drive, buffer)
    await buffer.close()
    # The server's counters come a little later.
    for _wait in range(150):
        after = await run_in_thread(counted)
        if after[0] - before[0] >= written:
            break
        await asyncio.sleep(0.1)
    return (after[1] - before[1]) / max(1, after[0] - before[0])


if __name__ == "__main__":
    main()
