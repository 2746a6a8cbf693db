"""The optimum with hindsight, against trying everything."""

import datetime as dt
import itertools
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from stepper.simulator.clock import Spot, km_between
from stepper.simulator.optimum import WINDOW, driving, pickup_km
from stepper.simulator.pickups import Ride
from tests.factories import ALMATY

START = dt.datetime(2031, 5, 1, 8, 0, tzinfo=dt.UTC)
PATIENCE = dt.timedelta(minutes=15)

spots = st.builds(
    lambda north, east: Spot(ALMATY[0] + north / 100, ALMATY[1] + east / 100), st.integers(-9, 9), st.integers(-9, 9)
)


def ride(pickup: Spot, dropoff: Spot, after: dt.timedelta = dt.timedelta()) -> Ride:
    return Ride(START + after, pickup, dropoff)


def least(rides: Sequence[Ride], drivers: Sequence[Spot]) -> tuple[int, float]:
    """Rides served and kilometres of the best assignment of one window, by trying all."""
    found = []
    for chosen in itertools.product([None, *range(len(drivers))], repeat=len(rides)):
        taken = [driver for driver in chosen if driver is not None]
        if len(taken) == len(set(taken)):
            pairs = zip(chosen, rides, strict=True)
            km = sum(km_between(drivers[driver], one.pickup) for driver, one in pairs if driver is not None)
            found.append((-len(taken), round(km, 9)))
    served, km = min(found)
    return -served, km


@given(st.lists(st.tuples(spots, spots), min_size=1, max_size=4), st.lists(spots, max_size=4))
@settings(max_examples=100, deadline=None)
def test_within_a_window_nothing_is_better(places: list[tuple[Spot, Spot]], drivers: list[Spot]) -> None:
    # All at once, and too far from each other for anybody to do two of them in time.
    rides = [ride(pickup, dropoff) for pickup, dropoff in places]

    found = pickup_km(rides, drivers, patience=WINDOW)

    served = [km for km in found if km is not None]
    assert (len(served), round(sum(served), 9)) == least(rides, drivers)


def north(km: float) -> Spot:
    return Spot(ALMATY[0] + km / 111.195, ALMATY[1])


def test_driver_goes_on_from_the_dropoff() -> None:
    trip = driving(10)
    rides = [ride(north(0), north(10)), ride(north(10), north(0), after=trip + WINDOW)]

    assert [round(km or 0, 2) for km in pickup_km(rides, [north(1)], patience=PATIENCE)] == [1, 0]


def test_ride_waits_for_a_driver_within_its_patience_only() -> None:
    long = ride(north(0), north(5))
    for minutes, served in ((5, True), (1, False)):
        second = ride(north(5), north(0), after=dt.timedelta(minutes=2))
        patience = dt.timedelta(minutes=minutes + 3)
        found = pickup_km([long, second], [north(0)], patience=patience)
        assert (found[1] is not None) == served


def test_hindsight_gives_the_near_driver_to_who_books_later() -> None:
    """The first alone would take the nearest, who is the only one near the second."""
    rides = [ride(north(0), north(9)), ride(north(3), north(9), after=dt.timedelta(minutes=4))]

    drivers = [north(1), north(-1.5)]
    assert [round(km or 0, 2) for km in pickup_km(rides, drivers, patience=PATIENCE)] == [1.5, 2]
    short = dt.timedelta(minutes=1)
    assert [round(km or 0, 2) for km in pickup_km(rides, drivers, patience=PATIENCE, window=short)] == [1, 4.5]


def test_driver_who_would_not_take_it_is_not_counted_on() -> None:
    found = pickup_km(
        [ride(north(0), north(5))], [north(1), north(2)], patience=PATIENCE, would=lambda driver, _ride: driver != 0
    )

    assert [round(km or 0, 2) for km in found] == [2]


def test_without_rides_or_drivers() -> None:
    assert pickup_km([], [north(0)], patience=PATIENCE) == []
    assert pickup_km([ride(north(0), north(1))], [], patience=PATIENCE) == [None]
