"""Offers a second on PostgreSQL: two dispatchers, 20,000 drivers online, twenty offers for each trip.

First booked trips wait to be offered, as many as their process could not offer itself; then all their offers run out
at the same moment; then more trips wait, and one of the dispatchers is killed in the middle. Nobody may be put a trip
twice in a round, and every trip must have its offers in the end.
"""

import argparse
import datetime as dt
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench import harness, parts

DRIVERS, OFFERS, DISPATCHERS = 20_000, 20, 2
KILLED_TRIPS = 100
WITHIN_S = 300
# What is asked meanwhile costs the database as well.
POLL_S = 0.2


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trips", type=int, default=500)
    chosen = options.parse_args()
    with harness.folder() as home, harness.scratch(home, DISPATCHER="external"):
        _run(home, chosen.trips)


def _run(home: Path, count: int) -> None:
    from stepper.models import ServiceSettings
    from tests.bench import population
    from trips.models import Offer

    ServiceSettings(pk=1, round_size=OFFERS, max_open_offers=50).save()
    towns = [population.ALMATY, population.ASTANA]
    population.add_drivers(1000, DRIVERS, population.points(DRIVERS, 1, towns))
    population.analyse()
    dispatchers = [_dispatcher(home, number) for number in range(DISPATCHERS)]
    try:
        _until(_beating, "a dispatcher starts")
        trips = _book(count, seed=3)
        offered_s = _until(lambda: _all_offered(trips) and not _unpublished(), "every trip is offered")
        offers = Offer.objects.filter(trip__in=trips).count()
        # Those who are asked next do not count.
        first = list(Offer.objects.filter(trip__in=trips).values_list("pk", flat=True))
        due = Offer.objects.filter(pk__in=first)
        due.update(expires_at=_now() - dt.timedelta(seconds=1))
        due_s = _until(lambda: not due.filter(status="pending").exists(), "every offer that is due is settled")
        twice = _twice()
        _until(_at_rest, "the next rounds are written")

        killed = _book(KILLED_TRIPS, seed=4)
        _until(lambda: Offer.objects.filter(trip__in=killed).exists(), "the first is offered")
        dispatchers.pop().kill()
        after_kill_s = _until(lambda: _all_offered(killed) and not _unpublished(), "the other one goes on")
        twice += _twice()
        wrong = [trip for trip in (*trips, *killed) if not Offer.objects.filter(trip=trip).exists()]
    finally:
        for one in dispatchers:
            one.terminate()
        for one in dispatchers:
            one.wait()
    harness.table(
        f"{DISPATCHERS} dispatchers, {DRIVERS:,} drivers online",
        ["what", "how many", "seconds", "a second"],
        [
            ("trips offered and published", len(trips), f"{offered_s:.1f}", f"{len(trips) / offered_s:.0f}"),
            ("offers written", offers, f"{offered_s:.1f}", f"{offers / offered_s:.0f}"),
            ("offers due together", len(first), f"{due_s:.1f}", f"{len(first) / due_s:.0f}"),
            ("trips, a dispatcher killed meanwhile", KILLED_TRIPS, f"{after_kill_s:.1f}", ""),
        ],
    )
    figures = {
        "trips_per_s": len(trips) / offered_s,
        "due_10k_s": due_s * 10_000 / len(first),
        "offered_twice": twice,
        "offers": offers,
        "not_offered": len(wrong),
        "after_kill_s": after_kill_s,
    }
    harness.finish(parts.rounded(figures))


def _dispatcher(home: Path, number: int) -> subprocess.Popen[bytes]:
    with open(home / f"dispatcher-{number}.log", "wb") as log:
        return subprocess.Popen([sys.executable, "manage.py", "dispatcher"], stdout=log, stderr=log)


def _until(done: Callable[[], bool], what: str) -> float:
    """Seconds until it is so."""
    started = time.monotonic()
    while not done():
        if time.monotonic() - started > WITHIN_S:
            raise harness.Failed(f"{WITHIN_S} s were not enough until {what}.")
        time.sleep(POLL_S)
    return time.monotonic() - started


def _now() -> dt.datetime:
    from django.utils import timezone

    return timezone.now()


def _beating() -> bool:
    from realtime.models import ServerBeat

    return ServerBeat.objects.count() >= DISPATCHERS


def _book(count: int, seed: int) -> list[int]:
    """Trips for now, published, their first look due."""
    from drivers import geo
    from tests.bench import population
    from tests.factories import TripFactory
    from trips.models import Booking, Trip

    like = TripFactory(status="draft")
    fields = {field.attname: getattr(like, field.attname) for field in Trip._meta.concrete_fields}
    now = _now()
    fields |= {"id": None, "status": "published", "next_look_at": now, "departure_at": now, "is_now": True}
    made: list[Any] = []
    for lat, lng in population.points(count, seed, [population.ALMATY, population.ASTANA]):
        place = {"pickup_lat": lat, "pickup_lng": lng, "pickup_cell": geo.cell(lat, lng)}
        made.append(Trip(**fields | place))
    trips = Trip.objects.bulk_create(made)
    Booking.objects.bulk_create(
        Booking(trip=trip, passenger_id=like.organiser_id, amount=trip.fare, status="confirmed") for trip in trips
    )
    return [trip.pk for trip in trips]


def _all_offered(trip_ids: Sequence[int]) -> bool:
    from trips.models import Offer

    return Offer.objects.filter(trip__in=trip_ids).values("trip").distinct().count() == len(trip_ids)


def _unpublished() -> bool:
    from realtime.models import Event

    return Event.objects.filter(published_at__isnull=True).exists()


def _at_rest() -> bool:
    from trips.models import Trip

    return not Trip.objects.filter(next_look_at__lte=_now()).exists() and not _unpublished()


def _twice() -> int:
    from django.db.models import Count

    from trips.models import Offer

    rounds = Offer.objects.values("trip", "driver", "round_number").annotate(times=Count("pk"))
    return rounds.filter(times__gt=1).count()


if __name__ == "__main__":
    main()
