"""Accepts a second through the whole domain call, on PostgreSQL with fifty connections.

Uncontested: every trip is offered to one driver. Contested: every trip is offered to ten, who all want it at once;
exactly one must get it, and the other nine must hear `offer.taken`. What else a caller meets (a deadlock above all) is
a failure.
"""

import argparse
import datetime as dt
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from queue import SimpleQueue

import django

from tests.bench import harness, parts

CONNECTIONS, PROCESSES = 50, 5
CROWD = 10
# Offers made at a time; a driver has at most one of them.
BATCH = 500


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=10_000, help="contested rounds")
    options.add_argument("--uncontested", type=int, default=5_000)
    options.add_argument("--worker", action="store_true")
    chosen = options.parse_args()
    if chosen.worker:
        django.setup()
        _work()
        return
    with (
        harness.folder() as home,
        harness.scratch(home, DATABASE_POOL=str(CONNECTIONS // PROCESSES + 1)),
    ):
        _run(chosen.rounds, chosen.uncontested)


def _run(rounds: int, uncontested: int) -> None:
    from django.utils import timezone

    from drivers.models import Driver
    from tests.bench import population

    population.add_drivers(1000, BATCH * CROWD, population.points(BATCH * CROWD, 1))
    # Some of the population have let theirs run out, and accepting asks for it.
    Driver.objects.update(licence_expires_on=timezone.localdate() + dt.timedelta(days=365))
    population.analyse()
    workers = [parts.start(__spec__.name, "--worker") for _number in range(PROCESSES)]
    for worker in workers:
        parts.said(worker)
    figures = {
        name: _measure(workers, total, crowd)
        for name, total, crowd in (("one", uncontested, 1), ("ten", rounds, CROWD))
    }
    for worker in workers:
        parts.tell(worker, [])
        worker.wait()
    rows = []
    for name, (trips, seconds, outcomes, wrong) in figures.items():
        accepted = outcomes["accepted"]
        rows.append(
            (f"offered to {name}", trips, f"{accepted / seconds:.0f}", f"{sum(outcomes.values()) / seconds:.0f}", wrong)
        )
    harness.table("Accepts", ["trips", "rounds", "accepts/s", "answers/s", "not one winner"], rows)
    failures = figures["one"][2] + figures["ten"][2]
    failures.pop("accepted"), failures.pop("offer.taken", None)
    for what, number in failures.items():
        print(f"{number} × {what}", file=sys.stderr)
    found = parts.rounded(
        {
            "accepts_per_s": figures["one"][2]["accepted"] / figures["one"][1],
            "contested_accepts_per_s": figures["ten"][2]["accepted"] / figures["ten"][1],
            "rounds": figures["ten"][0],
            "rounds_with_not_one_winner": figures["ten"][3] + figures["one"][3],
            "failures": failures.total(),
        }
    )
    harness.finish(found)


def _measure(workers: Sequence[parts.Part], total: int, crowd: int) -> tuple[int, float, Counter[str], int]:
    """(trips, seconds while somebody accepted, what callers got, trips without exactly one winner)."""
    outcomes: Counter[str] = Counter()
    seconds, wrong, done = 0.0, 0, 0
    while done < total:
        count = min(BATCH, total - done)
        trips, offers = _offer(count, crowd)
        shares = [offers[number::PROCESSES] for number in range(PROCESSES)]
        started = time.perf_counter()
        for worker, share in zip(workers, shares, strict=True):
            parts.tell(worker, share)
        for worker in workers:
            outcomes.update(parts.said(worker))
        seconds += time.perf_counter() - started
        wrong += _not_one_winner(trips)
        _finish(trips)
        done += count
    return done, seconds, outcomes, wrong


def _offer(count: int, crowd: int) -> tuple[list[int], list[tuple[int, int]]]:
    """`count` trips that leave tomorrow, each before `crowd` drivers of its own: their ids, (driver, offer) by trip."""
    from django.utils import timezone

    from tests.factories import TripFactory
    from trips.models import Booking, Offer, Trip

    like = Trip.objects.order_by("pk").first() or TripFactory(status="draft")
    now = timezone.now()
    fields = {field.attname: getattr(like, field.attname) for field in Trip._meta.concrete_fields}
    fields |= {"id": None, "status": "offered", "driver_id": None, "vehicle_id": None, "accepted_at": None}
    fields |= {"departure_at": now + dt.timedelta(days=1), "ends_at": now + dt.timedelta(days=1, hours=1)}
    fields |= {"search_until": now + dt.timedelta(days=1), "is_now": False, "round_number": 1, "next_look_at": None}
    trips = Trip.objects.bulk_create(Trip(**fields) for _number in range(count))
    Booking.objects.bulk_create(
        Booking(trip=trip, passenger_id=like.organiser_id, amount=trip.fare, status="confirmed") for trip in trips
    )
    offers = Offer.objects.bulk_create(
        Offer(
            trip=trip,
            driver_id=1000 + number * crowd + place,
            round_number=1,
            urgency="normal",
            difficulty="easy",
            distance_km=1.0,
            pickup_min=2,
            expires_at=now + dt.timedelta(minutes=5),
        )
        for number, trip in enumerate(trips)
        for place in range(crowd)
    )
    return [trip.pk for trip in trips], [(offer.driver_id, offer.pk) for offer in offers]


def _not_one_winner(trip_ids: Sequence[int]) -> int:
    from django.db.models import Count, F, Q

    from trips.models import Trip

    winners = Count("offers", filter=Q(offers__status="accepted"))
    pending = Count("offers", filter=Q(offers__status="pending"))
    winner = Q(offers__status="accepted", offers__driver=F("driver"))
    counted = Trip.objects.filter(pk__in=trip_ids).annotate(
        winners=winners, pending=pending, right=Count("offers", filter=winner)
    )
    return len(trip_ids) - counted.filter(winners=1, pending=0, right=1, status="accepted").count()


def _finish(trip_ids: Sequence[int]) -> None:
    """Out of the drivers' way, so that the next trips overlap with nothing."""
    from django.utils import timezone

    from trips.models import Trip

    Trip.objects.filter(pk__in=trip_ids).update(status="completed", completed_at=timezone.now())


def _work() -> None:
    """A process with its share of the connections: answers each line of offers with what became of them."""
    from django.db import connection

    from stepper.errors import DomainError
    from trips import accepting

    waiting: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
    results: SimpleQueue[str] = SimpleQueue()

    def accept() -> None:
        connection.ensure_connection()
        while (offer := waiting.get()) is not None:
            try:
                accepting.accept(*offer)
                results.put("accepted")
            except DomainError as error:
                results.put(error.code)
            except Exception as error:  # noqa: BLE001 - counted as a failure
                results.put(repr(error))
        connection.close()

    threads = [threading.Thread(target=accept) for _number in range(CONNECTIONS // PROCESSES)]
    for thread in threads:
        thread.start()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        offers = json.loads(line)
        if not offers:
            break
        for offer in offers:
            waiting.put(tuple(offer))
        print(json.dumps(Counter(results.get() for _offer in offers)), flush=True)
    for _thread in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
