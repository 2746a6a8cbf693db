"""The least that drivers could have driven to the pick-ups, had everything been known beforehand.

Window by window of five minutes, the trips of a window are assigned to the drivers who are free in it: as many trips
as possible, then the fewest kilometres. Nobody can dispatch like that, as it takes knowing who will book and who will
become free; it says how much a way of dispatching gives away.
"""

import datetime as dt
from collections.abc import Callable, Sequence

from stepper.models import ServiceSettings
from stepper.simulator.clock import Spot, km_between
from stepper.simulator.pickups import Ride
from trips import eta
from trips.matching import match

WINDOW = dt.timedelta(minutes=5)


def driving(km: float) -> dt.timedelta:
    """Return how long a drive takes, as passengers are told where staff have changed no setting (trips.eta)."""
    return dt.timedelta(minutes=eta.minutes(km, eta.speeds_of(ServiceSettings())))


def pickup_km(
    rides: Sequence[Ride],
    drivers: Sequence[Spot],
    *,
    patience: dt.timedelta,
    would: Callable[[int, int], bool] = lambda driver, ride: True,
    window: dt.timedelta = WINDOW,
) -> list[float | None]:
    """Return for each ride the kilometres to its pick-up; None: not served within `patience`. `rides` in order of time.

    `would`: whether a driver, by place in `drivers`, would take a ride; that, too, is known beforehand.
    `window`: how far ahead everything is known.
    """
    found: list[float | None] = [None] * len(rides)
    if not rides:
        return found
    where = list(drivers)
    free_at = [rides[0].at] * len(drivers)
    waiting: list[int] = []
    ends, ahead = rides[0].at + window, 0
    while waiting or ahead < len(rides):
        while ahead < len(rides) and rides[ahead].at < ends:
            waiting.append(ahead)
            ahead += 1
        costs = [
            {
                driver: km_between(spot, rides[ride].pickup)
                for driver, spot in enumerate(where)
                if free_at[driver] < min(ends, rides[ride].at + patience) and would(driver, ride)
            }
            for ride in waiting
        ]
        for ride, driver in zip(list(waiting), match(costs), strict=True):
            if driver is not None:
                km = found[ride] = km_between(where[driver], rides[ride].pickup)
                leaves_at = max(free_at[driver], rides[ride].at)
                free_at[driver] = leaves_at + driving(km) + driving(km_between(rides[ride].pickup, rides[ride].dropoff))
                where[driver] = rides[ride].dropoff
        waiting = [ride for ride in waiting if found[ride] is None and rides[ride].at + patience > ends]
        ends += window
    return found
