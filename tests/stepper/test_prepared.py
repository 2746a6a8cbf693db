"""Prepared queries read what the queryset reads, whichever ids, thread and database, and make its SQL once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from stepper.db.prepared import PreparedQuery
from stepper.models import User
from tests.factories import DriverFactory, PassengerFactory, TripFactory
from trips.models import Trip
from trips.states import TripStatus

pytestmark = pytest.mark.django_db


def trips_of(organiser_id: int, trip_id: int) -> QuerySet[Trip]:
    return Trip.objects.filter(organiser=organiser_id, pk=trip_id).select_related("organiser", "driver__user")


def test_rows_are_those_of_the_queryset() -> None:
    trip = TripFactory.create(driver=DriverFactory.create(), status=TripStatus.ACCEPTED)
    other = TripFactory.create()
    prepared = PreparedQuery(trips_of)
    for pair in ((trip.organiser_id, trip.pk), (other.organiser_id, other.pk), (trip.organiser_id, other.pk)):
        with CaptureQueriesContext(connection) as by_orm:
            expected = list(trips_of(*pair))
        with CaptureQueriesContext(connection) as by_prepared:
            found = prepared(*pair)
            names = [(one.organiser.name, one.driver and one.driver.user.name) for one in found]
        assert found == expected
        assert prepared.first(*pair) == (expected[0] if expected else None)
        assert [vars(one).keys() for one in found] == [vars(one).keys() for one in expected]
        assert [one.departure_at for one in found] == [one.departure_at for one in expected]
        assert names == [(one.organiser.name, one.driver and one.driver.user.name) for one in expected]
        # One query, of the same text: with the ids and without what stands for them.
        assert [one["sql"] for one in by_prepared] == [one["sql"] for one in by_orm]


def test_its_sql_is_made_once_and_it_reads_each_time() -> None:
    made: list[int] = []

    def named(user_id: int) -> QuerySet[User, str]:
        made.append(user_id)
        return User.objects.filter(pk=user_id).values_list("name", flat=True)

    prepared, user = PreparedQuery(named), PassengerFactory.create(name="Aliya")
    assert prepared(user.pk) == ["Aliya"]
    User.objects.filter(pk=user.pk).update(name="Dana")
    assert prepared(user.pk) == ["Dana"]
    user.delete()
    assert prepared(user.pk) == []
    assert len(made) == 1


@pytest.mark.parametrize("value", [None, 0, -1, -1_700_000_001, 2**63 - 1, 2**63, 10**30, -(10**30)])
def test_an_id_that_no_row_has_finds_none(value: int | None) -> None:
    trip = TripFactory.create()
    prepared = PreparedQuery(trips_of)
    assert prepared(trip.organiser_id, value) == prepared(value, trip.pk) == prepared(value, value) == []
    assert prepared(trip.organiser_id, trip.pk) == [trip]


@pytest.mark.parametrize(
    "make",
    [
        lambda pk: User.objects.filter(pk=pk + 1),
        lambda pk: User.objects.filter(name=pk),
        lambda _pk: User.objects.all(),
    ],
)
def test_an_id_that_is_not_compared_as_it_is_is_refused(make: Callable[[int], QuerySet[User]]) -> None:
    with pytest.raises(TypeError):
        PreparedQuery(make)(PassengerFactory.create().pk)


@pytest.mark.django_db(transaction=True)
def test_threads_read_over_their_own_connections() -> None:
    users = PassengerFactory.create_batch(20)
    prepared = PreparedQuery(lambda pk: User.objects.filter(pk=pk))

    def read(user: User) -> bool:
        try:
            return all(prepared(user.pk) == [user] for _time in range(20))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, users))
