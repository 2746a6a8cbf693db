"""The table of who may move a trip where, against the one of the domain facts, and the door that asks it."""

import itertools

import pytest

from realtime import groups
from tests.factories import DriverFactory, StaffFactory, TripFactory
from tests.outbox import frames, types
from trips.models import TransitionRefused, Trip, TripTransition
from trips.states import Role, TripStatus, allowed, next_step

# Written out from the facts, not from the code: "from: to who, who; …".
FACTS = """
draft: published organiser staff
published: offered system
published: unfilled system
offered: unfilled system
unfilled: offered system organiser staff
offered: accepted driver staff
published: accepted staff
unfilled: accepted staff
accepted: offered driver staff
en_route: offered driver staff
accepted: en_route driver
accepted: accepted staff
en_route: accepted staff
driver_arrived: accepted staff
accepted: driver_arrived driver staff
en_route: driver_arrived driver staff
driver_arrived: passengers_boarded driver
passengers_boarded: in_transit driver
in_transit: arrived driver
arrived: completed driver staff
driver_arrived: en_route staff
arrived: in_transit staff
passengers_boarded: accepted staff
in_transit: accepted staff
passengers_boarded: completed staff
in_transit: completed staff
draft: cancelled organiser staff system
published: cancelled organiser staff system
offered: cancelled organiser staff system
unfilled: cancelled organiser staff system
accepted: cancelled organiser staff system
en_route: cancelled organiser staff system
driver_arrived: cancelled driver staff
passengers_boarded: cancelled staff
in_transit: cancelled staff
"""
STATUSES = [
    "draft", "published", "offered", "unfilled", "accepted", "en_route", "driver_arrived", "passengers_boarded",
    "in_transit", "arrived", "completed", "cancelled",
]  # fmt: skip
ROLES = ["organiser", "driver", "staff", "system"]


def _permitted() -> set[tuple[str, str, str]]:
    found = set()
    for line in FACTS.split("\n"):
        if line:
            current, rest = line.split(": ")
            wanted, *roles = rest.split()
            found |= {(current, wanted, role) for role in roles}
    return found


PERMITTED = _permitted()


def test_table_knows_every_status_and_role() -> None:
    assert TripStatus.values == STATUSES
    assert Role.values == ROLES
    assert len(PERMITTED) == 57


@pytest.mark.parametrize(("current", "wanted", "role"), list(itertools.product(STATUSES, STATUSES, ROLES)))
def test_transition_is_allowed_as_in_the_facts(current: str, wanted: str, role: str) -> None:
    assert allowed(current, wanted, role=role) is ((current, wanted, role) in PERMITTED)


@pytest.mark.parametrize(("current", "wanted", "role"), list(itertools.product(STATUSES, STATUSES, ROLES)))
def test_flagged_arrival_can_be_cancelled_by_the_organiser_and_is_no_no_show(
    current: str, wanted: str, role: str
) -> None:
    """From the facts: "organiser while the arrival is flagged"; the no-show is what it must never lead to."""
    facts = PERMITTED - {("driver_arrived", "cancelled", "driver")} | {("driver_arrived", "cancelled", "organiser")}
    assert allowed(current, wanted, role=role, flagged=True) is ((current, wanted, role) in facts)


@pytest.mark.parametrize(
    ("current", "following"),
    [
        ("draft", None),
        ("published", None),
        ("offered", None),
        ("unfilled", None),
        ("accepted", "en_route"),
        ("en_route", "driver_arrived"),
        ("driver_arrived", "passengers_boarded"),
        ("passengers_boarded", "in_transit"),
        ("in_transit", "arrived"),
        ("arrived", "completed"),
        ("completed", None),
        ("cancelled", None),
    ],
)
def test_next_step_is_the_drivers_next_button(current: str, following: str | None) -> None:
    assert next_step(current) == following


@pytest.fixture
def trip() -> Trip:
    return TripFactory(status="accepted", version=7)


@pytest.mark.django_db
def test_door_moves_the_row_and_counts_the_version(trip: Trip) -> None:
    trip.move(TripStatus.EN_ROUTE, Role.DRIVER, delay_minutes=10)

    assert (trip.status, trip.version, trip.delay_minutes) == ("en_route", 8, 10)
    assert Trip.objects.values_list("status", "version", "delay_minutes").get() == ("en_route", 8, 10)


@pytest.mark.django_db
def test_door_writes_the_history(trip: Trip) -> None:
    by = trip.driver.user

    trip.move(TripStatus.EN_ROUTE, Role.DRIVER, by_id=by.pk, note="on my way", lat=43.2, lng=76.9)

    row = TripTransition.objects.get()
    assert (row.trip, row.from_status, row.to_status, row.role, row.by) == (trip, "accepted", "en_route", "driver", by)
    assert (row.note, row.lat, row.lng) == ("on my way", 43.2, 76.9)


@pytest.mark.django_db
def test_door_announces_to_the_trip_its_driver_and_staff(trip: Trip) -> None:
    trip.move(TripStatus.EN_ROUTE, Role.DRIVER, note="on my way")

    frame, *others = frames(groups.trip(trip.pk))
    assert not others
    assert (frame.trip_id, frame.version, frame.previous, frame.new) == (trip.pk, 8, "accepted", "en_route")
    assert (frame.note, frame.driver_name) == ("on my way", trip.driver.user.short_name)
    assert frames(groups.driver(trip.driver.pk)) == frames(groups.STAFF) == [frame]


@pytest.mark.django_db
def test_door_announces_to_the_driver_who_loses_the_trip(trip: Trip) -> None:
    former = trip.driver

    trip.move(TripStatus.OFFERED, Role.STAFF, by_id=StaffFactory().pk, driver=None, vehicle=None)

    (frame,) = frames(groups.driver(former.pk))
    assert (frame.new, frame.driver_name) == ("offered", None)


@pytest.mark.django_db
def test_door_refuses_what_the_table_does_not_have(trip: Trip) -> None:
    with pytest.raises(TransitionRefused) as refused:
        trip.move(TripStatus.COMPLETED, Role.DRIVER)

    assert refused.value.code == "trip.transition_refused"
    assert refused.value.status == 409
    assert (refused.value.current, refused.value.wanted) == ("accepted", "completed")
    assert trip.status == "accepted"
    trip.refresh_from_db()
    assert (trip.status, trip.version) == ("accepted", 7)
    assert not TripTransition.objects.exists()
    assert types(groups.trip(trip.pk)) == []


@pytest.mark.django_db
def test_door_refuses_the_wrong_role(trip: Trip) -> None:
    with pytest.raises(TransitionRefused):
        trip.move(TripStatus.EN_ROUTE, Role.STAFF)


@pytest.mark.django_db
def test_door_refuses_who_lost_the_race_for_the_status(trip: Trip) -> None:
    Trip.objects.filter(pk=trip.pk).update(status="cancelled", version=8)

    with pytest.raises(TransitionRefused) as refused:
        trip.move(TripStatus.EN_ROUTE, Role.DRIVER)

    assert (refused.value.current, refused.value.wanted) == ("cancelled", "en_route")
    assert (trip.status, trip.version) == ("accepted", 7)
    assert not TripTransition.objects.exists()


@pytest.mark.django_db
def test_door_refuses_who_decided_on_an_older_version(trip: Trip) -> None:
    """The same status again is not the same trip: it may have another driver by now."""
    Trip.objects.filter(pk=trip.pk).update(version=9, driver=DriverFactory())

    with pytest.raises(TransitionRefused):
        trip.move(TripStatus.EN_ROUTE, Role.DRIVER)

    assert not TripTransition.objects.exists()
