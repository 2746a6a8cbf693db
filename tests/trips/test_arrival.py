"""Arrivals and later steps judged by the driver's position: refused, flagged, confirmed."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from drivers.models import DriverPosition
from drivers.positions import buffer as positions_buffer
from realtime import groups
from realtime.events import Point
from realtime.models import Notification
from stepper.errors import Conflict, DomainError, NotPermitted
from stepper.models import ServiceSettings
from tests.drives import step_there
from tests.factories import AIRPORT, ALMATY, DriverFactory, StaffFactory, TripFactory, place
from tests.outbox import frames
from trips import bookings, driving
from trips.models import PickupArea, Trip, TripTransition

pytestmark = pytest.mark.django_db

SECOND, MINUTE = dt.timedelta(seconds=1), dt.timedelta(minutes=1)
METRE = 1 / 111_195  # in degrees of latitude


def step(trip: Trip, status: str, **fields: Any) -> Trip:
    assert trip.driver_id is not None
    return driving.update_status(trip.driver_id, trip.pk, status=status, **fields)


def code_of(trip: Trip, status: str, **fields: Any) -> str:
    with pytest.raises(DomainError) as refused:
        step(trip, status, **fields)
    return refused.value.code


def north(trip: Trip, metres: float, age: dt.timedelta = dt.timedelta(), **fields: Any) -> Trip:
    """The trip, its driver so far north of the pickup by a fix of that age."""
    assert trip.driver is not None
    place(trip.driver, trip.pickup_lat + metres * METRE, trip.pickup_lng, age=age)
    DriverPosition.objects.filter(driver=trip.driver).update(**fields)
    return trip


def flagged() -> Trip:
    """A trip whose driver said "arrived" without a position, an hour after the departure."""
    trip = TripFactory(status="en_route", driver=DriverFactory(is_online=True), in_=-60 * MINUTE)
    return step(trip, "driver_arrived")


def arrival_of(trip: Trip) -> TripTransition:
    return trip.transitions.get(to_status="driver_arrived", from_status="en_route")


# Near, far, unknown


@pytest.mark.parametrize("status", ["accepted", "en_route"])
def test_arrival_far_away_is_refused_with_the_distance_in_words(status: str) -> None:
    trip = north(TripFactory(status=status), 40_000)

    with pytest.raises(Conflict) as refused:
        step(trip, "driver_arrived")

    assert refused.value.code == "trip.not_at_pickup"
    assert "40 km" in str(refused.value.message)
    trip.refresh_from_db()
    assert (trip.status, trip.transitions.count()) == (status, 0)


@pytest.mark.parametrize(("metres", "arrives"), [(295, True), (305, False)])
def test_arrival_is_within_the_radius_of_the_settings(metres: int, arrives: bool) -> None:
    trip = north(TripFactory(status="en_route"), metres)

    if arrives:
        assert not step(trip, "driver_arrived").arrival_flagged
    else:
        assert code_of(trip, "driver_arrived") == "trip.not_at_pickup"


def test_arrival_within_what_staff_set() -> None:
    ServiceSettings.objects.create(pk=1, arrival_radius_m=1000)
    assert not step(north(TripFactory(status="en_route"), 900), "driver_arrived").arrival_flagged


def test_the_accuracy_of_the_fix_counts_in_the_drivers_favour() -> None:
    assert not step(north(TripFactory(status="en_route"), 450, accuracy_m=160), "driver_arrived").arrival_flagged
    assert code_of(north(TripFactory(status="en_route"), 450, accuracy_m=100), "driver_arrived") == "trip.not_at_pickup"


@pytest.mark.parametrize(
    ("age_s", "fields"),
    [(70, {}), (0, {"jumped": True}), (0, {"accuracy_m": 5000})],
    ids=["old", "jumped", "a guess of the phone's"],
)
@pytest.mark.parametrize("metres", [0, 40_000])
def test_arrival_without_a_fresh_plausible_position_is_flagged(age_s: int, fields: dict[str, Any], metres: int) -> None:
    """A fix that says nothing neither confirms nor refuses."""
    trip = north(TripFactory(status="en_route"), metres, age=age_s * SECOND, **fields)

    arrived = step(trip, "driver_arrived")

    assert (arrived.status, arrived.arrival_flagged) == ("driver_arrived", True)
    assert (arrival_of(trip).doubt, arrival_of(trip).away_km) == ("no_position", None)
    assert frames(groups.trip(trip.pk))[0].arrival_confirmed is False


def test_arrival_of_a_driver_without_any_position_is_flagged() -> None:
    assert flagged().arrival_flagged


def test_a_claim_of_the_client_is_no_position() -> None:
    """`lat` and `lng` of the step go into the history, and prove nothing."""
    trip = TripFactory(status="en_route", driver=DriverFactory(is_online=True))
    assert step(trip, "driver_arrived", lat=ALMATY[0], lng=ALMATY[1]).arrival_flagged
    assert (arrival_of(trip).lat, arrival_of(trip).lng) == ALMATY

    far = north(TripFactory(status="en_route"), 40_000)
    assert code_of(far, "driver_arrived", lat=ALMATY[0], lng=ALMATY[1]) == "trip.not_at_pickup"


def test_a_fix_that_is_not_written_yet_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions are written once a second; a driver who stops and taps at once is there all the same."""
    trip = north(TripFactory(status="en_route"), 2000, age=2 * SECOND)
    buffer = positions_buffer.PositionBuffer()
    monkeypatch.setattr(positions_buffer, "buffer", buffer)
    monkeypatch.setattr(buffer, "flush", lambda: 0)
    # Nobody drives 2 km in two seconds: from a fix a few minutes ago.
    DriverPosition.objects.update(recorded_at=timezone.now() - 5 * MINUTE)
    buffer.report(trip.driver.pk, [Point(lat=trip.pickup_lat, lng=trip.pickup_lng, accuracy_m=5)])

    assert not step(trip, "driver_arrived").arrival_flagged


@pytest.mark.parametrize(
    ("status", "wanted"), [("passengers_boarded", "driver_arrived"), ("completed", "driver_arrived")]
)
def test_a_step_that_there_is_not_is_refused_as_such_wherever_the_driver_is(status: str, wanted: str) -> None:
    assert code_of(north(TripFactory(status=status), 40_000), wanted) == "trip.transition_refused"


# Places that staff mark


def test_pickup_area_allows_more() -> None:
    area = PickupArea.objects.create(
        name="Airport", lat=AIRPORT[0], lng=AIRPORT[1], radius_m=800, arrival_radius_m=1500
    )
    inside = TripFactory(status="en_route", pickup=(AIRPORT[0] + 700 * METRE, AIRPORT[1]), dropoff=ALMATY)
    outside = TripFactory(status="en_route", pickup=(AIRPORT[0] + 900 * METRE, AIRPORT[1]), dropoff=ALMATY)

    assert code_of(north(inside, 1600), "driver_arrived") == "trip.not_at_pickup"
    assert code_of(north(outside, 1400), "driver_arrived") == "trip.not_at_pickup"
    assert not step(north(inside, 1400), "driver_arrived").arrival_flagged
    area.delete()
    assert code_of(north(outside, 1400), "driver_arrived") == "trip.not_at_pickup"


def test_pickup_area_never_allows_less_than_the_settings() -> None:
    PickupArea.objects.create(name="Centre", lat=ALMATY[0], lng=ALMATY[1], radius_m=800, arrival_radius_m=50)
    assert not step(north(TripFactory(status="en_route"), 290), "driver_arrived").arrival_flagged


# What a flagged arrival does not do


def test_flagged_arrival_never_leads_to_a_no_show() -> None:
    trip = flagged()
    trip.transitions.update(created_at=timezone.now() - 60 * MINUTE)

    assert code_of(trip, "no_show") == "trip.arrival_unconfirmed"

    north(trip, 40_000)
    assert code_of(trip, "no_show") == "trip.arrival_unconfirmed"
    trip.refresh_from_db()
    assert trip.status == "driver_arrived"


def test_flagged_arrival_can_be_cancelled_by_the_organiser_and_tells_so() -> None:
    trip = flagged()
    told = Notification.objects.get(user=trip.organiser)
    assert (told.title, "you can still cancel" in told.message) == ("Your driver says they are at the pickup", True)

    assert bookings.cancel(trip.pk, trip.organiser).status == "cancelled"

    assert trip.transitions.get(to_status="cancelled").role == "organiser"
    trip.driver.refresh_from_db()
    assert trip.driver.availability == "available"


def test_confirmed_arrival_cannot_be_cancelled_by_the_organiser() -> None:
    trip = TripFactory(status="en_route")
    step_there(trip.pk, "driver_arrived")

    with pytest.raises(Conflict) as refused:
        bookings.cancel(trip.pk, trip.organiser)

    assert refused.value.code == "trip.cancel_too_late"


def test_flagged_arrival_goes_on_to_board() -> None:
    """A driver must be able to drive on without a working phone's position."""
    assert step(flagged(), "passengers_boarded").status == "passengers_boarded"


# Confirming


def test_arrival_repeated_at_the_pickup_is_confirmed() -> None:
    trip = north(flagged(), 20)
    version = trip.version

    again = step(trip, "driver_arrived")

    assert (again.status, again.arrival_flagged, again.version) == ("driver_arrived", False, version + 1)
    frame = frames(groups.trip(trip.pk))[-1]
    assert (frame.previous, frame.new, frame.arrival_confirmed) == ("driver_arrived", "driver_arrived", True)
    row = trip.transitions.get(from_status="driver_arrived")
    assert (row.to_status, row.role, row.by) == ("driver_arrived", "driver", trip.driver.user)
    assert Notification.objects.filter(user=trip.organiser, title="Your driver is at the pickup").count() == 1
    assert step(trip, "driver_arrived").version == version + 1


@pytest.mark.parametrize("metres", [None, 40_000])
def test_arrival_repeated_elsewhere_stays_flagged_and_changes_nothing(metres: int | None) -> None:
    trip = flagged()
    if metres is not None:
        north(trip, metres)

    again = step(trip, "driver_arrived")

    assert (again.arrival_flagged, again.version) == (True, trip.version)


def test_no_show_after_a_flagged_arrival_waits_from_the_confirmation() -> None:
    trip = flagged()
    trip.transitions.update(created_at=timezone.now() - 60 * MINUTE)
    north(trip, 20)

    # It confirms the arrival, which the refusal does not take back.
    assert code_of(trip, "no_show") == "trip.no_show_too_early"
    trip.refresh_from_db()
    assert not trip.arrival_flagged

    trip.transitions.update(created_at=timezone.now() - 6 * MINUTE)
    assert step(trip, "no_show").status == "cancelled"


def test_no_show_says_where_the_driver_is() -> None:
    trip = TripFactory(status="en_route", in_=-60 * MINUTE)
    step_there(trip.pk, "driver_arrived")
    trip.transitions.update(created_at=timezone.now() - 60 * MINUTE)
    north(trip, 40_000)

    step(trip, "no_show")

    assert trip.transitions.get(to_status="cancelled").doubt == "far"


def test_staff_confirm_a_flagged_arrival() -> None:
    trip, staff = flagged(), StaffFactory()

    confirmed = driving.confirm_arrival(trip.pk, staff, "the passenger sees the car")

    assert (confirmed.status, confirmed.arrival_flagged) == ("driver_arrived", False)
    row = trip.transitions.get(from_status="driver_arrived")
    assert (row.role, row.by, row.note) == ("staff", staff, "the passenger sees the car")
    assert code_of(trip, "no_show") == "trip.no_show_too_early"
    version = confirmed.version
    assert driving.confirm_arrival(trip.pk, staff).version == version


@pytest.mark.parametrize("status", ["accepted", "en_route"])
def test_staff_take_the_step_for_a_driver_whose_position_is_elsewhere(status: str) -> None:
    trip, staff = north(TripFactory(status=status), 900), StaffFactory()

    arrived = driving.confirm_arrival(trip.pk, staff, "closed quarter")

    assert (arrived.status, arrived.arrival_flagged) == ("driver_arrived", False)
    assert trip.transitions.get().role == "staff"
    trip.driver.refresh_from_db()
    assert trip.driver.availability == "busy"
    assert Notification.objects.get(user=trip.organiser).title == "Your driver is at the pickup"


@pytest.mark.parametrize("status", ["offered", "passengers_boarded", "completed", "cancelled"])
def test_staff_confirm_only_what_can_be_an_arrival(status: str) -> None:
    with pytest.raises(Conflict) as refused:
        driving.confirm_arrival(TripFactory(status=status).pk, StaffFactory())
    assert refused.value.code == "trip.transition_refused"


def test_confirming_is_for_staff_who_may_steer_trips() -> None:
    trip = flagged()
    for user in (trip.organiser, trip.driver.user, StaffFactory(is_superuser=False)):
        with pytest.raises(NotPermitted):
            driving.confirm_arrival(trip.pk, user)


# Later steps: never refused, noted


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        ("driver_arrived", "passengers_boarded"),
        ("passengers_boarded", "in_transit"),
        ("in_transit", "arrived"),
        ("arrived", "completed"),
    ],
)
def test_later_steps_note_what_the_position_says(current: str, wanted: str) -> None:
    there, far, unknown = (TripFactory(status=current) for _number in range(3))
    DriverPosition.objects.filter(driver=unknown.driver).delete()

    step_there(there.pk, wanted)
    step(north(far, 40_000), wanted)
    step(unknown, wanted)

    rows = [trip.transitions.get(to_status=wanted) for trip in (there, far, unknown)]
    assert [row.doubt for row in rows] == ["", "far", "no_position"]
    assert (rows[1].away_km or 0) > 10


def test_setting_off_is_not_judged() -> None:
    trip = north(TripFactory(status="accepted"), 40_000)
    step(trip, "en_route")
    assert trip.transitions.get().doubt == ""
