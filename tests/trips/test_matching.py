"""Matching trips and drivers, against trying everything."""

import itertools
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trips.matching import match

Costs = list[dict[int, float]]
# Of whole numbers sums are exact, however they are added up.
small = st.lists(st.dictionaries(st.integers(1, 5), st.integers(0, 30).map(float), max_size=5), max_size=5)


def best(costs: Costs) -> tuple[int, float]:
    """Pairs and total of the best of all possible assignments."""
    found = []
    for chosen in itertools.product(*([None, *drivers] for drivers in costs)):
        taken = [driver_id for driver_id in chosen if driver_id is not None]
        if len(taken) == len(set(taken)):
            found.append((-len(taken), sum(costs[row][one] for row, one in enumerate(chosen) if one is not None)))
    pairs, total = min(found)
    return -pairs, total


@given(small)
@settings(max_examples=300, deadline=None)
def test_nothing_is_better(costs: Costs) -> None:
    found = match(costs)

    taken = [driver_id for driver_id in found if driver_id is not None]
    assert len(taken) == len(set(taken))
    total = sum(costs[row][driver_id] for row, driver_id in enumerate(found) if driver_id is not None)
    assert (len(taken), total) == best(costs)


def test_more_pairs_come_before_less_distance() -> None:
    assert match([{1: 1.0, 2: 100.0}, {1: 2.0}]) == [2, 1]


def test_greedy_would_drive_farther() -> None:
    assert match([{1: 1.0, 2: 2.0}, {1: 1.5, 2: 9.0}]) == [2, 1]


@pytest.mark.parametrize("order", list(itertools.permutations([7, 3, 5])))
def test_equal_costs_are_decided_the_same_way(order: tuple[int, ...]) -> None:
    assert match([dict.fromkeys(order, 4.0)]) == [3]
    assert match([dict.fromkeys(order, 4.0)] * 2) == match([dict.fromkeys((3, 5, 7), 4.0)] * 2)


def test_town_full_of_trips_and_drivers() -> None:
    costs = [{driver: float((trip * 37 + driver * 91) % 100) for driver in range(100)} for trip in range(300)]

    found = match([*costs, {}, {1000: 5.0}])

    assert sum(driver is not None for driver in found[:300]) == 100
    assert found[300:] == [None, 1000]


def test_process_that_never_matches_does_not_load_the_solver() -> None:
    code = "import sys, django; django.setup(); import trips.dispatch; sys.exit('scipy' in sys.modules)"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "stepper.settings"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
