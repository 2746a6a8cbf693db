"""What staff do for a driver who cannot: take back an arrival, complete a trip with passengers on board."""

from collections.abc import Callable
from typing import Any

import pytest

from drivers.models import Driver
from realtime import groups
from realtime.models import Notification
from stepper.errors import Conflict, InvalidInput, NotPermitted
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory
from tests.outbox import frames, types
from trips import steering
from trips.models import Offer, Trip

pytestmark = pytest.mark.django_db

Verb = Callable[..., Trip]


@pytest.mark.parametrize(
    ("verb", "current", "wanted"),
    [
        (steering.take_back_arrival, "driver_arrived", "en_route"),
        (steering.take_back_arrival, "arrived", "in_transit"),
        (steering.complete, "passengers_boarded", "completed"),
        (steering.complete, "in_transit", "completed"),
        (steering.complete, "arrived", "completed"),
    ],
)
def test_staff_correct_a_trip_once_with_a_reason_that_nobody_else_reads(verb: Verb, current: str, wanted: str) -> None:
    trip, staff = TripFactory.create(status=current), StaffFactory.create()

    for _pressed_twice in range(2):
        assert verb(trip.pk, staff, "Tapped too early").status == wanted

    row = trip.transitions.get()
    assert (row.role, row.by, row.note) == ("staff", staff, "Tapped too early")
    (frame,) = (frame for frame in frames(groups.trip(trip.pk)) if frame.trip_id == trip.pk)
    assert (frame.previous, frame.new, frame.note) == (current, wanted, "")
    assert "trip.status.updated" in types(groups.driver(trip.driver_id))
    told = Notification.objects.order_by("user").values_list("user", flat=True)
    assert sorted(told) == sorted([trip.organiser_id, trip.driver.user_id])
    # Staff's doing is nobody's decline, release or cancellation.
    assert not Offer.objects.exists()
    driver = Driver.objects.get(pk=trip.driver_id)
    assert driver.availability == ("available" if wanted == "completed" else "busy")


def refused(verb: Verb, trip: Trip, user: Any, reason: str = "because") -> str:
    with pytest.raises((Conflict, InvalidInput, NotPermitted)) as error:
        verb(trip.pk, user, reason)
    trip.refresh_from_db()
    assert not trip.transitions.exists()
    return error.value.code


@pytest.mark.parametrize("verb", [steering.take_back_arrival, steering.complete])
def test_steering_is_for_staff_and_has_a_reason(verb: Verb) -> None:
    trip, staff = TripFactory.create(status="arrived"), StaffFactory.create()

    assert refused(verb, trip, trip.organiser) == "auth.forbidden"
    assert refused(verb, trip, trip.driver.user) == "auth.forbidden"
    assert refused(verb, trip, staff, " ") == "input.invalid"


@pytest.mark.parametrize("status", ["offered", "accepted", "en_route", "in_transit", "completed", "cancelled"])
def test_there_is_no_arrival_to_take_back_elsewhere(status: str) -> None:
    trip = TripFactory.create(status=status)
    assert refused(steering.take_back_arrival, trip, StaffFactory.create()) == "trip.transition_refused"


@pytest.mark.parametrize("status", ["offered", "accepted", "driver_arrived", "cancelled"])
def test_nobody_on_board_nothing_to_complete(status: str) -> None:
    trip = TripFactory.create(status=status)
    assert refused(steering.complete, trip, StaffFactory.create()) == "trip.transition_refused"


def test_driver_goes_on_from_where_staff_put_the_trip() -> None:
    """The watch over the way begins anew, and a flag of the arrival is of no meaning any more."""
    driver = DriverFactory.create(at=ALMATY)
    trip = TripFactory.create(status="driver_arrived", driver=driver, arrival_flagged=True)

    steering.take_back_arrival(trip.pk, StaffFactory.create(), "Two streets away")

    trip.refresh_from_db()
    assert not trip.arrival_flagged
    assert trip.watch_at is not None
