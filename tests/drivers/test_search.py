"""The growing search finds exactly the nearest drivers."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from drivers import geo, search
from drivers.models import DriverPosition
from tests.factories import ALMATY, DriverFactory, place

pytestmark = pytest.mark.django_db

QueryCount = Callable[[int, int], Any]


def at(lat: float, lng: float, dispatchable: bool = True) -> int:
    """A driver there; returns their id."""
    driver = DriverFactory(vehicle=None, availability="available" if dispatchable else "offline")
    place(driver, lat, lng)
    return driver.pk


def brute_force(lat: float, lng: float, radius_km: float) -> list[int]:
    rows = DriverPosition.objects.filter(dispatchable=True)
    near = sorted((geo.distance_km(lat, lng, row.lat, row.lng), row.driver_id) for row in rows)
    return [driver_id for km, driver_id in near if km <= radius_km]


def found(lat: float, lng: float, radius_km: float, enough: int) -> list[int]:
    return [one.driver_id for one in search.nearest(lat, lng, radius_km, enough)]


@pytest.mark.parametrize("centre", [ALMATY, (0.0, 179.95), (-33.9, -179.99), (78.2, 15.6)])
def test_nearest_is_the_same_as_measuring_everybody(centre: tuple[float, float]) -> None:
    chance = random.Random(7)
    for _driver in range(60):
        spread = chance.choice([0.01, 0.1, 0.6])
        lng = centre[1] + chance.uniform(-spread, spread)
        at(centre[0] + chance.uniform(-spread, spread), (lng + 540) % 360 - 180, chance.random() < 0.8)

    everybody = brute_force(*centre, 50)
    assert len(everybody) > 20
    assert found(*centre, 50, 1000) == everybody
    for enough in (1, 5, 20):
        few = found(*centre, 50, enough)
        assert len(few) >= enough
        assert few == everybody[: len(few)]


def test_nearest_says_how_far() -> None:
    driver_id = at(ALMATY[0] + 5 / 111.195, ALMATY[1])

    (near,) = search.nearest(*ALMATY, 50, 10)

    assert near.driver_id == near.position.driver_id == driver_id
    assert near.distance_km == pytest.approx(5, abs=0.001)


def test_nearest_grows_only_until_there_are_enough(query_count: QueryCount) -> None:
    for _driver in range(3):
        at(*ALMATY)

    with query_count(1, 1):
        assert len(search.nearest(*ALMATY, 50, 3)) == 3
    with query_count(5, 5):
        assert len(search.nearest(*ALMATY, 50, 4)) == 3


def test_nearest_where_nobody_is_looks_at_the_whole_ring_once() -> None:
    with CaptureQueriesContext(connection) as looked:
        assert search.nearest(0, 0, 200, 10) == []
    assert len(looked) == 5


def test_nearest_stays_within_a_small_radius() -> None:
    inside = at(ALMATY[0] + 0.9 / 111.195, ALMATY[1])
    at(ALMATY[0] + 1.1 / 111.195, ALMATY[1])

    assert found(*ALMATY, 1.0, 10) == [inside]


def test_nearest_leaves_who_cannot_be_asked() -> None:
    at(*ALMATY, dispatchable=False)

    assert found(*ALMATY, 50, 10) == []


def test_nearest_at_the_same_distance_has_a_fixed_order() -> None:
    ids = [at(*ALMATY) for _driver in range(4)]

    assert found(*ALMATY, 50, 10) == sorted(ids)


def test_cells_of_the_widest_ring_across_the_date_line_fit_a_statement() -> None:
    """Two ranges a row, 361 rows: SQLite limits what one statement can hold."""
    here = at(10, -179.999)

    assert found(10, 179.999, 200, 10) == [here]
