"""The operations room reads the trips that are not over by their index, however many are."""

from collections.abc import Callable

import pytest
from django.utils import timezone

from stepper.db.clock import database_now
from stepper.models import ServiceSettings
from stepper.ops.finding import find
from tests.factories import DriverFactory, StaffFactory, TripFactory
from tests.plans import full_scans, plan, statements
from trips.room import in_view, picture, queue

pytestmark = pytest.mark.django_db


def _queue() -> object:
    return list(queue.trips_in_need(ServiceSettings.current(), database_now())[:200])


def _waiting() -> object:
    return queue.count_waiting(ServiceSettings.current(), database_now())


def _map() -> object:
    return picture._draw_trips(database_now())


def _in_view() -> object:
    return in_view.read(43.0, 76.0, 44.0, 78.0).trips


def _search() -> object:
    return find("+7 701 555 01 01", StaffFactory.create())


def _search_by_name() -> object:
    return find("Daniyar", StaffFactory.create())


def of_live(line: str) -> bool:
    """Say whether a step reads an index of the trips that are not over, or of those of them without a driver."""
    return "trip_live" in line or "trip_due_give_up" in line


@pytest.mark.parametrize("work", [_queue, _waiting, _map, _in_view, _search, _search_by_name])
def test_trips_that_are_over_are_not_read(work: Callable[[], object]) -> None:
    TripFactory.create(status="unfilled", escalated_at=timezone.now(), driver=None)
    TripFactory.create(status="completed", driver=DriverFactory.create())
    read = [(sql, params) for sql, params in statements(work) if 'FROM "trips_trip"' in sql]
    assert read
    for sql, params in read:
        lines = plan(sql, params, is_large=True)
        whole = [line for line in full_scans(lines) if "trips_trip" in line and not of_live(line)]
        assert whole == [], "\n".join(lines)
        assert any(of_live(line) for line in lines), "\n".join(lines)
