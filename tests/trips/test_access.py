"""Who sees a trip: one rule, whatever asks it."""

from typing import Any

import pytest

from realtime.sockets import commands
from stepper.errors import NotFound
from stepper.models import User
from tests.factories import DriverFactory, PassengerFactory, StaffFactory, TripFactory
from trips import access
from trips.models import Booking, Trip
from trips.states import FINISHED, TripStatus

pytestmark = pytest.mark.django_db

PEOPLE = ["organiser", "seated", "driver", "seat cancelled", "other driver", "stranger"]
ON_IT, SEES_IT = PEOPLE[:2], PEOPLE[:3]


def people(trip: Trip) -> dict[str, User]:
    seated, gone = PassengerFactory(), PassengerFactory()
    Booking.objects.create(trip=trip, passenger=seated, status="confirmed", amount=0)
    Booking.objects.create(trip=trip, passenger=gone, status="cancelled", amount=0)
    driver = trip.driver.user if trip.driver else PassengerFactory()
    return dict(
        zip(PEOPLE, (trip.organiser, seated, driver, gone, DriverFactory().user, PassengerFactory()), strict=True)
    )


@pytest.mark.parametrize("status", [TripStatus.ACCEPTED, TripStatus.COMPLETED])
def test_every_question_has_the_same_answer(status: TripStatus) -> None:
    trip = TripFactory(status=status)
    TripFactory(status=status)
    cast = people(trip)
    unfinished = trip.status not in FINISHED

    def who(sees: object) -> list[str]:
        return [name for name, user in cast.items() if trip.pk in sees(user)]  # type: ignore[operator]

    assert who(lambda user: access.visible_to(user).values_list("pk", flat=True)) == SEES_IT
    assert who(lambda user: access.list_visible_to(user).values_list("pk", flat=True)) == SEES_IT
    assert who(lambda user: access.list_booked_by(user).values_list("pk", flat=True)) == ON_IT
    assert who(lambda user: access.own_unfinished(user).on_ids) == (ON_IT if unfinished else [])
    assert who(lambda user: access.own_unfinished(user).driven_ids) == (["driver"] if unfinished else [])
    assert who(lambda user: access.only_driven_by(user).values_list("pk", flat=True)) == (
        ["driver"] if unfinished else []
    )
    assert who(lambda user: commands.read_rights(user, frozenset()).trip_ids) == (SEES_IT if unfinished else [])
    assert who(lambda user: commands.read_rights(user, frozenset({trip.pk})).trip_ids) == SEES_IT
    for name, user in cast.items():
        if name in SEES_IT:
            assert access.trip_for(user, trip.pk) == trip
        else:
            with pytest.raises(NotFound):
                access.trip_for(user, trip.pk)


def test_lists_name_a_trip_once_whatever_somebody_is_to_it() -> None:
    trip = TripFactory(status="accepted")
    Booking.objects.create(trip=trip, passenger=trip.driver.user, status="confirmed", amount=0)

    for user in (trip.organiser, trip.driver.user):
        assert list(access.list_visible_to(user)) == list(access.list_booked_by(user)) == [trip]
        assert list(access.visible_to(user)) == [trip]
    # With a seat they are not only its driver.
    assert not access.only_driven_by(trip.driver.user).exists()
    assert commands.read_rights(trip.driver.user, frozenset()).driven_ids == set()


def test_staff_who_may_see_trips_see_all() -> None:
    trips = {TripFactory(status=status).pk for status in ("offered", "accepted", "cancelled")}
    staff = StaffFactory()

    assert set(access.visible_to(staff).values_list("pk", flat=True)) == trips
    assert set(access.list_visible_to(staff).values_list("pk", flat=True)) == trips
    # What their own sockets follow by themselves is theirs only.
    assert access.own_unfinished(staff) == (None, False, set(), set())


def test_driver_row_and_own_trips_are_one_statement(query_count: Any) -> None:
    trip = TripFactory(status="accepted")
    own = TripFactory(organiser=trip.driver.user)

    for _repeated in range(2):
        with query_count(1, 1):
            found = access.own_unfinished(trip.driver.user)
        assert found == (trip.driver.pk, False, {own.pk}, {trip.pk})
