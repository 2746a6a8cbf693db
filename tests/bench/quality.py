"""How far drivers drive to real pick-ups, and how many are served, in each mode of dispatch and at best.

The real engine on a scratch database, in simulated time: what would be waited for is moved into the past instead. The
same rides, the same drivers and the same manners (seconds to answer, an offer in ten declined) in each mode; a driver
who took a trip is at its dropoff when it is over. The optimum knows everything beforehand, also who would decline what.
FILE=… plays another city's pick-ups.
"""

import argparse
import datetime as dt
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.bench import harness

if TYPE_CHECKING:
    from stepper.simulator.clock import Spot
    from stepper.simulator.pickups import Pickups, Ride

PICKS = harness.ROOT / ".." / "shared" / "data" / "uber_nyc_2014-04-03_to_05.csv"
# Stretches of the file, by where they begin in it, and rides of each.
FROM, RIDES = (0.27, 0.6), 300
# The share of their time that drivers would be on a trip if all were served: as usual, and when there are too few.
BUSY = {"as many drivers as usual": 0.55, "few drivers": 0.8}
TICK = dt.timedelta(seconds=5)
PATIENCE = dt.timedelta(minutes=30)
MODES = ("broadcast", "targeted", "batched")
# The optimum, and how much of it is owed to knowing what comes.
AHEAD = {"optimum": dt.timedelta(minutes=5), "optimum, 1 min ahead": dt.timedelta(minutes=1)}


class Result(NamedTuple):
    served: float
    pickup_km: list[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.pickup_km)

    @property
    def p95(self) -> float:
        from stepper.simulator.report import percentile

        return percentile(self.pickup_km, 95)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--file", type=Path, default=PICKS)
    options.add_argument("--rides", type=int, default=RIDES)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    if not chosen.file.exists():
        print(f"Skipped: no pick-ups at {chosen.file}; FILE=… names some.", file=sys.stderr)
        return
    with harness.folder() as home, harness.scratch(home, "sqlite"):
        _run(chosen.file, chosen.rides, chosen.seed)


def _run(file: Path, count: int, seed: int) -> None:
    from stepper.simulator import pickups

    try:
        found = pickups.read(file)
    except pickups.NotPickups as error:
        sys.exit(str(error))
    if found.bad:
        print(f"Left out: {pickups.describe(found)}.", file=sys.stderr)
    stretches = [pickups.Pickups(found.rows[int(len(found.rows) * start) :]).rides(seed, count) for start in FROM]
    figures: dict[str, float] = {}
    for crowd, busy in BUSY.items():
        results: dict[str, list[Result]] = {name: [] for name in (*MODES, *AHEAD)}
        drivers = []
        for rides in stretches:
            homes = _homes(rides, found, busy, seed)
            drivers.append(len(homes))
            for mode in MODES:
                results[mode].append(City(mode, rides, homes, seed).run())
            for name, window in AHEAD.items():
                results[name].append(_optimum(rides, homes, seed, window))
        whole = {name: _joined(parts) for name, parts in results.items()}
        if not whole["optimum"].pickup_km or not whole["optimum"].mean:
            raise harness.Failed("Too few rides: at best every driver stands at a pick-up already.")
        harness.table(
            f"{crowd}: {' and '.join(str(number) for number in drivers)} for {len(stretches)} × {count} rides",
            ["mode", "served", "mean km", "p95 km", "of the optimum"],
            [_row(name, result, whole["optimum"]) for name, result in whole.items()],
        )
        if not figures:
            batched, broadcast = whole["batched"], whole["broadcast"]
            figures = {
                "batched_vs_optimum": round(batched.mean / whole["optimum"].mean, 3),
                "batched_vs_broadcast": round(batched.mean / broadcast.mean, 3),
                "served_vs_broadcast": round(batched.served / broadcast.served, 3),
            }
    harness.finish(figures)


def _homes(rides: Sequence["Ride"], found: "Pickups", busy: float, seed: int) -> list["Spot"]:
    """Where the drivers begin, as many as are on a trip for that share of the time.

    At pick-ups of the whole file: at those of the rides themselves they would stand where they will be wanted.
    """
    from stepper.simulator.clock import km_between
    from stepper.simulator.optimum import driving

    chance = Random(seed)
    # A kilometre to the pickup is near enough to the truth for this.
    driven = sum((driving(km_between(ride.pickup, ride.dropoff) + 1) for ride in rides), dt.timedelta())
    return [chance.choice(found.rows).spot for _driver in range(round(driven / (rides[-1].at - rides[0].at) / busy))]


def _joined(parts: Sequence[Result]) -> Result:
    return Result(statistics.fmean(part.served for part in parts), [km for part in parts for km in part.pickup_km])


def _row(name: str, result: Result, best: Result) -> tuple[str, str, str, str, str]:
    return (
        name,
        f"{result.served:.1%}",
        f"{result.mean:.2f}",
        f"{result.p95:.2f}",
        f"{result.mean / best.mean:.2f}",
    )


def _optimum(rides: Sequence["Ride"], homes: Sequence["Spot"], seed: int, window: dt.timedelta) -> Result:
    from stepper.simulator.behaviour import Behaviour
    from stepper.simulator.optimum import pickup_km

    declines = Behaviour().declines

    def would(driver: int, ride: int) -> bool:
        return not _declines(_chance(seed, driver, ride), declines)

    km = [one for one in pickup_km(rides, homes, patience=PATIENCE, would=would, window=window) if one is not None]
    return Result(len(km) / len(rides), km)


def _chance(seed: int, driver: int, ride: int) -> Random:
    """What a driver, by number, makes of a ride: the same in each mode."""
    return Random(f"{seed}:{driver}:{ride}")


def _declines(chance: Random, share: float) -> bool:
    return chance.random() < share


class City:
    """A city's drivers and rides in one mode. `now` is the file's clock."""

    def __init__(self, mode: str, rides: Sequence["Ride"], homes: Sequence["Spot"], seed: int) -> None:
        from stepper.models import ServiceSettings, User
        from stepper.simulator import people
        from stepper.simulator.behaviour import Behaviour

        self.seed = seed
        self.behaviour = Behaviour()
        self.rides = list(rides)
        self.now = rides[0].at
        ServiceSettings(
            pk=1,
            dispatch_mode=mode,
            patience_min=int(PATIENCE.total_seconds() / 60),
            # The database's clock stands nearly still.
            position_fresh_s=3600,
            overlap_margin_min=0,
            # One passenger books for everybody, in a minute what takes the city a day.
            bookings_per_min=1_000_000,
            answers_per_min=1_000_000,
        ).save()
        self._clear()
        crowd = people.create_accounts(f"{mode}-{len(homes)}", len(homes), passengers=1)
        User.objects.filter(email__in=crowd.passengers).update(max_overlapping_trips=1_000_000)
        self.passenger = User.objects.get(email=crowd.passengers[0])
        self.drivers = self._settle(crowd.drivers, homes)
        # Ride by trip, when and how a driver answers an offer, when and where a driver is free again.
        self.booked: dict[int, int] = {}
        self.answers: dict[int, tuple[dt.datetime, bool]] = {}
        self.driving: dict[int, tuple[dt.datetime, Spot]] = {}
        self.pickup_km: list[float] = []

    def _clear(self) -> None:
        """Drivers of the mode before are out of the way."""
        from drivers.models import Driver, DriverPosition
        from trips.models import Trip

        Trip.objects.exclude(status="completed").update(status="cancelled", driver=None, next_look_at=None)
        Driver.objects.update(availability="offline", is_online=False)
        DriverPosition.objects.all().delete()

    def _settle(self, emails: Sequence[str], homes: Sequence["Spot"]) -> list[int]:
        from drivers import geo
        from drivers.models import Driver, DriverPosition
        from stepper.simulator.clock import now

        drivers = list(Driver.objects.filter(user__email__in=emails).order_by("pk"))
        Driver.objects.filter(pk__in=[driver.pk for driver in drivers]).update(availability="available", is_online=True)
        DriverPosition.objects.bulk_create(
            DriverPosition(
                driver=driver,
                lat=home.lat,
                lng=home.lng,
                cell=geo.cell(home.lat, home.lng),
                recorded_at=now(),
                received_at=now(),
                dispatchable=True,
            )
            for driver, home in zip(drivers, homes, strict=True)
        )
        return [driver.pk for driver in drivers]

    def run(self) -> Result:
        rides = iter(enumerate(self.rides))
        following = next(rides, None)
        over_at = self.rides[-1].at + PATIENCE
        while following is not None or (self._is_open() and self.now < over_at):
            while following is not None and following[1].at <= self.now:
                self._book(*following)
                following = next(rides, None)
            self._free_drivers()
            self._dispatch()
            self._answer()
            self._pass_time()
        return Result(len(self.pickup_km) / len(self.rides), self.pickup_km)

    def _is_open(self) -> bool:
        from trips.models import Trip

        return Trip.objects.filter(pk__in=self.booked, status__in=["published", "offered", "unfilled"]).exists()

    def _book(self, number: int, ride: "Ride") -> None:
        from realtime.events import Place
        from trips import bookings
        from trips.booking_requests import BookingRequest

        pickup, dropoff = (Place("Place", "", *spot) for spot in (ride.pickup, ride.dropoff))
        trip = bookings.book(self.passenger, BookingRequest(pickup=pickup, dropoff=dropoff))
        self.booked[trip.pk] = number

    def _dispatch(self) -> None:
        from trips import deadlines

        while deadlines.expire_due_offers() + deadlines.start_due_rounds() + deadlines.cancel_due_searches():
            pass

    def _answer(self) -> None:
        """Each driver answers when they would; who comes too late hears so."""
        from stepper.errors import Conflict
        from trips import accepting
        from trips.models import Offer

        for offer in Offer.objects.open():
            if offer.pk not in self.answers:
                self.answers[offer.pk] = self._reaction(offer)
        for offer_id, (at, declines) in sorted(self.answers.items(), key=lambda one: (one[1], one[0])):
            if at > self.now:
                break
            del self.answers[offer_id]
            mine = Offer.objects.filter(pk=offer_id, status="pending").first()
            # The next ride is begun when the last is over.
            if mine is None or mine.driver_id in self.driving:
                continue
            try:
                if declines:
                    accepting.decline(mine.driver_id, offer_id)
                else:
                    accepting.accept(mine.driver_id, offer_id)
                    self._drive(mine)
            except Conflict:
                continue

    def _reaction(self, offer: Any) -> tuple[dt.datetime, bool]:
        """When the driver answers, and whether they decline."""
        chance = _chance(self.seed, self.drivers.index(offer.driver_id), self.booked[offer.trip_id])
        declines = _declines(chance, self.behaviour.declines)
        seconds = self.behaviour.hesitation_s(
            chance, offer.distance_km, time_to_answer=offer.expires_at - offer.created_at
        )
        return self.now + dt.timedelta(seconds=seconds), declines

    def _drive(self, offer: Any) -> None:
        """Steps of a trip are not what is measured: the driver is away for as long as it takes."""
        from drivers.models import Driver, DriverPosition
        from stepper.simulator.clock import km_between
        from stepper.simulator.optimum import driving

        ride = self.rides[self.booked[offer.trip_id]]
        takes = driving(offer.distance_km) + driving(km_between(ride.pickup, ride.dropoff))
        self.pickup_km.append(offer.distance_km)
        self.driving[offer.driver_id] = (self.now + takes, ride.dropoff)
        Driver.objects.filter(pk=offer.driver_id).update(availability="busy")
        DriverPosition.objects.filter(driver=offer.driver_id).update(dispatchable=False)

    def _free_drivers(self) -> None:
        from drivers import geo
        from drivers.models import Driver, DriverPosition
        from stepper.simulator.clock import now
        from trips import waking
        from trips.models import Trip

        free = {driver_id: spot for driver_id, (at, spot) in self.driving.items() if at <= self.now}
        for driver_id, spot in free.items():
            del self.driving[driver_id]
            Trip.objects.filter(driver=driver_id, status="accepted").update(status="completed", completed_at=now())
            Driver.objects.filter(pk=driver_id).update(availability="available")
            DriverPosition.objects.filter(driver=driver_id).update(
                lat=spot.lat, lng=spot.lng, cell=geo.cell(*spot), recorded_at=now(), dispatchable=True
            )
        waking.wake_trips_around(free)

    def _pass_time(self) -> None:
        """Everything that is waited for comes nearer by a tick."""
        from django.db.models import F

        from trips.models import Offer, Trip

        self.now += TICK
        Offer.objects.filter(status="pending").update(expires_at=F("expires_at") - TICK)
        waiting = Trip.objects.filter(pk__in=self.booked, status__in=["published", "offered", "unfilled"])
        waiting.update(search_until=F("search_until") - TICK)
        waiting.filter(next_look_at__isnull=False).update(next_look_at=F("next_look_at") - TICK)


if __name__ == "__main__":
    main()
