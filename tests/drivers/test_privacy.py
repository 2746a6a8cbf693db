"""Who gets a driver's position of a trip, and from when: every transport gives the same answer."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from drivers.models import Driver
from drivers.positions.facts import KnownDrivers
from drivers.positions.fixes import first_fix
from drivers.positions.relaying import PositionRelay
from realtime import groups
from realtime.events import Point
from realtime.sockets import commands
from tests.factories import MEDEU, DriverFactory, TripFactory, place
from tests.rest import as_user
from trips.models import Trip
from trips.states import ASSIGNED, DRIVING, TripStatus

pytestmark = pytest.mark.django_db

# The settings say 120 minutes and 300 seconds.
BEFORE_OPENING, AFTER_OPENING = dt.timedelta(minutes=121), dt.timedelta(minutes=119)
FRESH, OLD = dt.timedelta(seconds=240), dt.timedelta(seconds=301)
_POINT = Point(lat=MEDEU[0], lng=MEDEU[1])


class Watched:
    """Stands for the channel layer where everybody watches: keeps the groups that got a position."""

    def __init__(self) -> None:
        self.groups: list[str] = []

    def is_watched(self, _group: str) -> bool:
        return True

    def relay(self, group: str, _message: dict[str, Any]) -> None:
        self.groups.append(group)


def by_page(trip: Trip) -> bool:
    """A position is on the map, and no words say that it is old."""
    client = Client()
    client.force_login(trip.organiser)
    html = client.get(f"/trips/{trip.pk}/").content.decode()
    return "data-position=" in html and 'id="trip-dark" hidden' in html


def by_rest(trip: Trip) -> bool:
    return as_user(trip.organiser).get(f"/api/trips/{trip.pk}/location").json()["location"] is not None


def by_snapshot(trip: Trip) -> bool:
    (snapshot,) = commands.trip_snapshots(trip.organiser, [trip.pk])
    return snapshot.location is not None


def by_socket_of_page(trip: Trip) -> bool:
    return commands.last_location(trip.organiser, trip.pk) is not None


def by_relay(trip: Trip, driver: Driver, age: dt.timedelta) -> bool:
    """A fix that was made `age` ago and comes in now is sent to whoever watches the trip."""
    watched = Watched()
    now = timezone.now()
    fix = first_fix(driver.pk, _POINT, recorded_at=now - age, received_at=now, known_at=0)
    relay = PositionRelay(watched)
    relay._hub = watched  # type: ignore[assignment]
    relay.relay_fix(fix, KnownDrivers().read_facts([driver.pk])[driver.pk].rides)
    # Staff see the map of all drivers, whatever they drive.
    assert groups.STAFF in watched.groups
    return groups.trip(trip.pk) in watched.groups


@pytest.mark.parametrize("status", TripStatus)
@pytest.mark.parametrize("in_", [BEFORE_OPENING, AFTER_OPENING], ids=["before", "after"])
@pytest.mark.parametrize("age", [FRESH, OLD], ids=["fresh", "old"])
def test_every_transport_gives_the_position_by_the_same_rule(
    status: TripStatus, in_: dt.timedelta, age: dt.timedelta
) -> None:
    trip = TripFactory(status=status, in_=in_)
    driver = trip.driver or DriverFactory()
    place(driver, *MEDEU, age=age)
    is_tracked = status in DRIVING or (status in ASSIGNED and in_ == AFTER_OPENING)
    is_shown = is_tracked and age == FRESH

    assert {shows.__name__: shows(trip) for shows in (by_page, by_rest, by_snapshot, by_socket_of_page)} == {
        "by_page": is_shown,
        "by_rest": is_shown,
        "by_snapshot": is_shown,
        "by_socket_of_page": is_shown,
    }
    # Also an old one: the phone was away, and the frame says when it was there.
    assert by_relay(trip, driver, age) == is_tracked


def test_setting_off_early_opens_the_position_to_watchers() -> None:
    """The step has what is known of the driver read again (an event that `changes_driver`)."""
    trip = TripFactory(status=TripStatus.ACCEPTED, in_=BEFORE_OPENING)
    known = KnownDrivers()
    (before,) = known.read_facts([trip.driver.pk])[trip.driver.pk].rides
    Trip.objects.filter(pk=trip.pk).update(status=TripStatus.EN_ROUTE)

    (after,) = known.read_facts([trip.driver.pk])[trip.driver.pk].rides

    now = timezone.now()
    assert (before.tracked_from <= now, after.tracked_from <= now) == (False, True)
