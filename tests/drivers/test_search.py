"""The growing search finds exactly the nearest drivers."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from drivers import geo, search
from drivers.models import Driver, DriverPosition
from stepper.models import User
from tests.factories import ALMATY, DriverFactory, place
from tests.nearest import nearest_drivers

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
    return [one.driver_id for one in nearest_drivers(lat, lng, radius_km, enough)]


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

    (near,) = nearest_drivers(*ALMATY, 50, 10)

    assert near.driver_id == near.position.driver_id == driver_id
    assert near.distance_km == pytest.approx(5, abs=0.001)


def test_nearest_grows_only_until_there_are_enough(query_count: QueryCount) -> None:
    for _driver in range(3):
        at(*ALMATY)

    with query_count(1, 1):
        assert len(nearest_drivers(*ALMATY, 50, 3)) == 3
    with query_count(4, 4):
        assert len(nearest_drivers(*ALMATY, 50, 4)) == 3


def test_nearest_where_nobody_is_looks_at_the_whole_ring_once() -> None:
    with CaptureQueriesContext(connection) as looked:
        assert nearest_drivers(0, 0, 200, 10) == []
    assert len(looked) == 3


def crowd(count: int, lat: float, lng: float, spread: float) -> list[int]:
    """Drivers around a point, inserted at once; returns their ids."""
    chance = random.Random(11)
    users = User.objects.bulk_create(User(email=f"crowd{number}@example.test", name="C") for number in range(count))
    today = timezone.localdate()
    drivers = Driver.objects.bulk_create(Driver(user=user, licence_expires_on=today) for user in users)
    now = timezone.now()
    points = [(lat + chance.uniform(-spread, spread), lng + chance.uniform(-spread, spread)) for _driver in drivers]
    DriverPosition.objects.bulk_create(
        DriverPosition(
            driver=driver,
            lat=point[0],
            lng=point[1],
            cell=geo.cell(*point),
            recorded_at=now,
            received_at=now,
            dispatchable=True,
        )
        for driver, point in zip(drivers, points, strict=True)
    )
    return [driver.pk for driver in drivers]


def test_nearest_in_a_crowd_reads_a_smaller_circle_and_misses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A city at the rim of the circle, and more drivers than a look may read: still the nearest, in order."""
    crowd(700, ALMATY[0] + 0.33, ALMATY[1], 0.05)
    read: list[int] = []
    look = search._search_circle

    def looked(*args: Any) -> Any:
        rows = look(*args)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(search, "_search_circle", looked)
    everybody = brute_force(*ALMATY, 50)

    for enough in (1, 20, 60):
        assert found(*ALMATY, 50, enough) == everybody[:enough]
    assert max(read) < 700
    assert found(*ALMATY, 50, 1000) == everybody


def test_nearest_in_a_crowd_on_one_spot_reads_it_whole() -> None:
    ids = crowd(300, *ALMATY, 0.0)

    assert found(*ALMATY, 50, 5) == sorted(ids)[:5]


@pytest.mark.parametrize("enough", [1, 20])
def test_outward_goes_on_where_it_stopped(enough: int) -> None:
    crowd(250, *ALMATY, 0.3)

    batches = [[one.driver_id for one in batch] for batch in search.search_outward(*ALMATY, 30, enough)]

    assert len(batches) > 2
    assert [driver_id for batch in batches for driver_id in batch] == brute_force(*ALMATY, 30)


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
