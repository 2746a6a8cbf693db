"""Who may see where a vehicle went."""

import datetime as dt
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from drivers.models import Driver, TrailPoint
from stepper.models import User
from tests.factories import DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from trips import access
from trips.models import Booking, Trip, TripTransition
from trips.panel import Panel

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
# Of a trip that went to its second driver after 20 min: minute -> what the vehicle did then.
FIRST, SECOND = (
    {5: "the first driver's home", 10: "on the first driver's way"},
    {
        25: "the second driver's home",
        30: "on the way",
        40: "at the pickup",
        50: "on the road",
        60: "at the destination",
        70: "the driver's next errand",
    },
)
STEPS = {28: "en_route", 39: "driver_arrived", 45: "passengers_boarded", 46: "in_transit", 65: "arrived"}
WHOLE = [*FIRST, *SECOND]


def began(trip: Trip) -> dt.datetime:
    return trip.created_at


def point(trip: Trip, driver: Driver | None, minute: int, **fields: bool) -> None:
    TrailPoint.objects.create(
        trip=trip, driver=driver, lat=minute, lng=0, recorded_at=began(trip) + minute * MINUTE, **fields
    )


@pytest.fixture
def first() -> Driver:
    return DriverFactory()


@pytest.fixture
def trip(first: Driver) -> Trip:
    """Completed by its second driver."""
    trip = TripFactory(status="completed", driver=DriverFactory())
    for minute in FIRST:
        point(trip, first, minute)
    for minute in SECOND:
        point(trip, trip.driver, minute)
    for minute, status in STEPS.items():
        row = TripTransition.objects.create(trip=trip, from_status="x", to_status=status, role="driver")
        TripTransition.objects.filter(pk=row.pk).update(created_at=began(trip) + minute * MINUTE)
    return trip


def seen(user: User, trip: Trip) -> list[int]:
    """The minutes of which they see where the vehicle was."""
    points = access.trail_visible_to(user, trip).order_by("recorded_at")
    return [int(lat) for lat in points.values_list("lat", flat=True)]


def test_staff_see_all_of_a_trail(trip: Trip) -> None:
    assert seen(StaffFactory(), trip) == WHOLE


def test_driver_sees_their_own_points_only(trip: Trip, first: Driver) -> None:
    assert seen(trip.driver.user, trip) == list(SECOND)
    assert seen(first.user, trip) == list(FIRST)


def test_passengers_see_the_ride_only(trip: Trip) -> None:
    """Not where a driver came from, nor where they went once everybody was out."""
    companion = PassengerFactory()
    Booking.objects.create(trip=trip, passenger=companion, status="completed", amount=0)

    assert seen(trip.organiser, trip) == seen(companion, trip) == [50, 60]


def test_stranger_sees_nothing(trip: Trip) -> None:
    cancelled = PassengerFactory()
    Booking.objects.create(trip=trip, passenger=cancelled, status="cancelled", amount=0)

    assert seen(cancelled, trip) == seen(PassengerFactory(), trip) == []


@pytest.mark.parametrize(
    ("status", "minutes"),
    [("en_route", []), ("driver_arrived", []), ("in_transit", [50, 60, 70]), ("arrived", [50, 60])],
)
def test_trail_of_a_trip_under_way_begins_with_the_boarding(trip: Trip, status: str, minutes: list[int]) -> None:
    """`in_transit` also where staff took an arrival back."""
    if not minutes:
        TripTransition.objects.filter(to_status__in=["passengers_boarded", "in_transit", "arrived"]).delete()
    Trip.objects.filter(pk=trip.pk).update(status=status)
    trip.refresh_from_db()

    assert seen(trip.organiser, trip) == minutes


def test_ride_that_staff_completed_without_an_arrival_ends_then(trip: Trip) -> None:
    TripTransition.objects.filter(to_status="arrived").delete()
    trip.completed_at = began(trip) + 55 * MINUTE
    trip.save()

    assert seen(trip.organiser, trip) == [50]


def test_ride_goes_on_behind_an_arrival_that_staff_took_back(trip: Trip) -> None:
    TripTransition.objects.create(trip=trip, from_status="arrived", to_status="in_transit", role="staff")
    trip.completed_at = began(trip) + 75 * MINUTE
    trip.save()

    assert seen(trip.organiser, trip) == [50, 60, 70]


def test_points_of_nobody_known_are_staffs_and_implausible_ones_nobodys(trip: Trip) -> None:
    point(trip, None, 51)
    point(trip, trip.driver, 52, jumped=True)

    assert [51 in seen(user, trip) for user in (StaffFactory(), trip.organiser, trip.driver.user)] == [
        True,
        False,
        False,
    ]
    assert 52 not in seen(StaffFactory(), trip)


def test_trip_page_shows_each_viewer_their_part(trip: Trip) -> None:
    shown = {
        user.pk: [lat for lat, _lng in Panel(trip, user).location.trail] for user in (trip.organiser, trip.driver.user)
    }

    assert shown == {trip.organiser.pk: [50, 60], trip.driver.user_id: list(SECOND)}


@pytest.mark.parametrize("viewer", ["organiser", "driver"])
def test_trail_is_one_query(trip: Trip, viewer: str, query_count) -> None:
    panel = Panel(trip, trip.organiser if viewer == "organiser" else trip.driver.user)

    with query_count(1, 1):
        assert panel.location.trail


# Of releases before


def test_points_of_before_are_given_to_who_had_the_trip(first: Driver) -> None:
    now = timezone.now()
    trip = TripFactory(status="in_transit", driver=DriverFactory(), accepted_at=now - 30 * MINUTE)
    OfferFactory(
        trip=trip,
        driver=first,
        status="accepted",
        responded_at=now - 60 * MINUTE,
        released_at=now - 40 * MINUTE,
    )
    for minutes in (70, 50, 35, 10):
        TrailPoint.objects.create(trip=trip, lat=minutes, lng=0, recorded_at=now - minutes * MINUTE)

    import_module("drivers.migrations.0010_drivers_of_trails").assign(apps, connection.schema_editor())

    found = dict(TrailPoint.objects.values_list("lat", "driver"))
    assert found == {70: None, 50: first.pk, 35: None, 10: trip.driver.pk}
