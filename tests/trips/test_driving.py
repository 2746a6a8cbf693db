"""What a driver does with their trip: every step, the delay, the no-show."""

import datetime as dt
import itertools
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from drivers.models import Driver, DriverPosition
from realtime import groups
from realtime.models import Notification
from stepper.errors import Conflict, DomainError, InvalidInput, NotFound
from stepper.models import ServiceSettings
from tests.factories import ALMATY, DriverFactory, OfferFactory, TripFactory, place
from tests.outbox import frames, types
from trips import driving
from trips.models import Trip, TripTransition

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
STEPS = ["accepted", "en_route", "driver_arrived", "passengers_boarded", "in_transit", "arrived", "completed"]


def step(trip: Trip, status: str, **fields: Any) -> Trip:
    assert trip.driver_id is not None
    return driving.update_status(trip.driver_id, trip.pk, status=status, **fields)


def code_of(trip: Trip, status: str, **fields: Any) -> str:
    with pytest.raises(DomainError) as refused:
        step(trip, status, **fields)
    return refused.value.code


@pytest.mark.parametrize(("current", "following"), list(itertools.pairwise(STEPS)))
def test_step_moves_the_trip_on(current: str, following: str) -> None:
    trip = TripFactory(status=current)

    stepped = step(trip, following, note="here", lat=43.2, lng=76.8)

    assert stepped.status == Trip.objects.get().status == following
    history = trip.transitions.get()
    assert (history.role, history.by, history.note) == ("driver", trip.driver.user, "here")
    assert (history.lat, history.lng) == (43.2, 76.8)
    assert frames(groups.trip(trip.pk))[0].new == following


def test_boarding_and_driving_off_are_one_step_of_a_private_trip() -> None:
    trip = TripFactory.create(status="driver_arrived")

    for _repeated in range(2):
        assert step(trip, "in_transit", note="here", lat=43.2, lng=76.8).status == "in_transit"

    moves = list(trip.transitions.values_list("from_status", "to_status", "note", "lat"))
    assert moves == [
        ("driver_arrived", "passengers_boarded", "", 43.2),
        ("passengers_boarded", "in_transit", "here", 43.2),
    ]
    assert [frame.new for frame in frames(groups.trip(trip.pk))] == ["passengers_boarded", "in_transit"]


def test_boarding_and_driving_off_keep_the_rules_of_both() -> None:
    early = TripFactory.create(status="driver_arrived", in_=61 * MINUTE)
    shared = TripFactory.create(status="driver_arrived", trip_type="shared")

    assert code_of(early, "in_transit") == "trip.boarding_too_early"
    assert code_of(shared, "in_transit") == "trip.transition_refused"
    assert set(Trip.objects.values_list("status", flat=True)) == {"driver_arrived"}
    assert not TripTransition.objects.exists()


def test_both_in_one_are_taken_although_they_are_offered_apart() -> None:
    """A phone was offline when the setting was switched on, and sends what was tapped before."""
    trip, apart = (TripFactory.create(status="driver_arrived") for _trip in range(2))
    ServiceSettings(pk=1, boarding_apart=True).save()

    for status in ("in_transit", "arrived", "completed"):
        assert step(trip, status).status == status
    assert step(apart, "passengers_boarded").status == "passengers_boarded"
    assert step(apart, "in_transit").status == "in_transit"


def test_step_straight_to_the_pickup() -> None:
    trip = TripFactory(status="accepted")

    assert step(trip, "driver_arrived").status == "driver_arrived"
    trip.driver.refresh_from_db()
    assert trip.driver.availability == "busy"


@pytest.mark.parametrize("status", ["accepted", "en_route"])
def test_arrival_days_ahead_is_refused(status: str) -> None:
    """The passenger, who cannot cancel once the driver is there, could not for days."""
    assert code_of(TripFactory(status=status, in_=121 * MINUTE), "driver_arrived") == "trip.arrival_too_early"
    assert step(TripFactory(status=status, in_=119 * MINUTE), "driver_arrived").status == "driver_arrived"


def test_setting_off_days_ahead_is_refused() -> None:
    """A slip on tomorrow's card, of which its passenger would hear that the car is a minute away."""
    trip = TripFactory(status="accepted", in_=28 * 60 * MINUTE)
    assert code_of(trip, "en_route") == "trip.set_off_too_early"
    trip.refresh_from_db()
    trip.driver.refresh_from_db()
    assert (trip.status, trip.driver.availability) == ("accepted", "available")


@pytest.mark.parametrize(("north", "opens_min"), [(0.0, 120), (1.0, 240), (None, 480)])
def test_setting_off_opens_by_the_way_to_the_pickup(north: float | None, opens_min: int) -> None:
    """`north`: degrees from the pickup to where the driver was last; None: nobody knows."""
    for in_, is_open in ((opens_min + 15, False), (opens_min - 15, True)):
        trip = TripFactory(status="accepted", in_=in_ * MINUTE)
        if north is None:
            DriverPosition.objects.filter(driver=trip.driver).delete()
        else:
            place(trip.driver, trip.pickup_lat + north, trip.pickup_lng)
        if is_open:
            assert step(trip, "en_route").status == "en_route"
        else:
            assert code_of(trip, "en_route") == "trip.set_off_too_early"


def test_setting_off_makes_the_driver_busy() -> None:
    trip = TripFactory(status="accepted")

    step(trip, "en_route")

    trip.driver.refresh_from_db()
    assert trip.driver.availability == "busy"
    assert not trip.driver.position.dispatchable


def test_setting_off_for_a_second_trip_is_refused() -> None:
    driving_now = TripFactory(status="in_transit")
    trip = TripFactory(status="accepted", driver=driving_now.driver, in_=dt.timedelta(hours=2))

    assert code_of(trip, "en_route") == "driver.busy"
    trip.refresh_from_db()
    assert trip.status == "accepted"


@pytest.mark.parametrize(("is_online", "availability"), [(True, "available"), (False, "offline")])
def test_completing_frees_the_driver(
    is_online: bool, availability: str, django_capture_on_commit_callbacks: Any
) -> None:
    trip = TripFactory(status="arrived")
    Driver.objects.update(is_online=is_online)

    with django_capture_on_commit_callbacks(execute=True):
        step(trip, "completed")

    trip.driver.refresh_from_db()
    assert trip.driver.availability == availability
    assert trip.driver.position.dispatchable is is_online


def test_completing_completes_the_bookings() -> None:
    trip = TripFactory(status="arrived")

    step(trip, "completed")

    trip.refresh_from_db()
    assert trip.completed_at is not None
    assert trip.bookings.get().status == "completed"


def test_completing_has_waiting_trips_around_looked_at(django_capture_on_commit_callbacks: Any) -> None:
    trip = TripFactory(status="arrived")
    waiting = TripFactory(status="unfilled", next_look_at=timezone.now() + 15 * MINUTE)

    with django_capture_on_commit_callbacks(execute=True):
        step(trip, "completed")

    waiting.refresh_from_db()
    assert waiting.next_look_at <= timezone.now() + MINUTE


@pytest.mark.parametrize("status", STEPS[1:])
def test_step_repeated_changes_nothing(status: str) -> None:
    trip = TripFactory(status=status, version=5)

    again = step(trip, status)

    assert (again.status, again.version) == (status, 5)
    assert types(groups.trip(trip.pk)) == []


@pytest.mark.parametrize(
    ("current", "wanted"),
    [
        ("accepted", "in_transit"),
        ("accepted", "completed"),
        ("en_route", "passengers_boarded"),
        ("driver_arrived", "en_route"),
        ("passengers_boarded", "arrived"),
        ("in_transit", "completed"),
        ("completed", "arrived"),
        ("cancelled", "en_route"),
    ],
)
def test_step_out_of_order_is_refused(current: str, wanted: str) -> None:
    trip = TripFactory(status=current, driver=DriverFactory(at=ALMATY))

    assert code_of(trip, wanted) == "trip.transition_refused"
    trip.refresh_from_db()
    assert trip.status == current
    assert not trip.transitions.exists()


@pytest.mark.parametrize("status", ["", "accepted", "offered", "cancelled", "unfilled", "boarded", "ARRIVED"])
def test_step_to_what_a_driver_cannot_say_is_unknown(status: str) -> None:
    trip = TripFactory(status="accepted")

    with pytest.raises(InvalidInput) as refused:
        step(trip, status)

    assert refused.value.code == "trip.status_unknown"
    assert list(refused.value.fields) == ["status"]


def test_step_of_somebody_elses_trip_is_not_found() -> None:
    trip = TripFactory(status="accepted")

    for wanted in ("en_route", "delayed", "released", "no_show"):
        with pytest.raises(NotFound) as refused:
            driving.update_status(DriverFactory().pk, trip.pk, status=wanted, delay_minutes=5)
        assert refused.value.code == "trip.not_found"


@pytest.mark.parametrize(("minutes", "opens"), [(61, False), (59, True)])
def test_boarding_opens_an_hour_before_departure(minutes: int, opens: bool) -> None:
    trip = TripFactory(status="driver_arrived", in_=minutes * MINUTE)

    if opens:
        assert step(trip, "passengers_boarded").status == "passengers_boarded"
    else:
        assert code_of(trip, "passengers_boarded") == "trip.boarding_too_early"


def test_boarding_too_early_says_when_in_the_trips_zone() -> None:
    trip = TripFactory(status="driver_arrived", in_=3 * 60 * MINUTE, timezone="America/New_York")

    with pytest.raises(Conflict) as refused:
        step(trip, "passengers_boarded")

    opens_at = timezone.localtime(trip.departure_at - 60 * MINUTE, ZoneInfo(trip.timezone))
    assert f"{opens_at:%H:%M}" in str(refused.value.message)


@pytest.mark.parametrize(
    ("current", "status", "told"),
    [
        ("accepted", "en_route", "Your driver is on the way"),
        ("en_route", "driver_arrived", "Your driver is at the pickup"),
        ("arrived", "completed", "You have arrived. How was your trip?"),
    ],
)
def test_passenger_is_notified_of_what_matters(current: str, status: str, told: str) -> None:
    trip = TripFactory(status=current)

    step(trip, status)

    row = Notification.objects.get()
    assert (row.user, row.title, row.action_url) == (trip.organiser, told, f"/trips/{trip.pk}/")


# A delay


@pytest.mark.parametrize("status", STEPS[:-1])
def test_delay_is_announced_and_is_no_state(status: str) -> None:
    trip = TripFactory(status=status, version=3)

    step(trip, "delayed", delay_minutes=20, delay_reason="traffic")

    trip.refresh_from_db()
    assert (trip.status, trip.delay_minutes, trip.delay_reason, trip.version) == (status, 20, "traffic", 4)
    (frame,) = frames(groups.trip(trip.pk))
    assert (frame.previous, frame.new, frame.version) == (status, status, 4)
    assert (frame.delay_minutes, frame.delay_reason) == (20, "traffic")
    assert "20 min" in Notification.objects.get(user=trip.organiser).message
    assert not trip.transitions.exists()


def test_delay_takes_the_note_where_no_reason_is_given() -> None:
    assert step(TripFactory(status="en_route"), "delayed", delay_minutes=5, note="snow").delay_reason == "snow"


def test_delay_repeated_is_announced_once() -> None:
    trip = TripFactory(status="en_route")

    step(trip, "delayed", delay_minutes=5, delay_reason="snow")
    step(trip, "delayed", delay_minutes=5, delay_reason="snow")

    assert len(frames(groups.trip(trip.pk))) == Notification.objects.count() == 1


@pytest.mark.parametrize("minutes", [None, 0, -5, 1441, True])
def test_delay_is_between_a_minute_and_a_day(minutes: int | None) -> None:
    trip = TripFactory(status="en_route")

    with pytest.raises(InvalidInput) as refused:
        step(trip, "delayed", delay_minutes=minutes)

    assert list(refused.value.fields) == ["delay_minutes"]


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_delay_of_a_finished_trip_is_refused(status: str) -> None:
    trip = TripFactory(status=status, driver=DriverFactory())

    assert code_of(trip, "delayed", delay_minutes=5) == "trip.transition_refused"


# Giving back, no-show, staff


def test_released_gives_the_trip_back() -> None:
    trip = TripFactory(status="accepted")
    held = OfferFactory(trip=trip, driver=trip.driver, status="accepted")

    assert step(trip, "released", note="ill").status == "offered"

    held.refresh_from_db()
    assert held.released_at is not None
    assert trip.transitions.get().note == "ill"


def waited_for(minutes: float = 5, departed: float = 5) -> Trip:
    """A trip whose driver has been at the pickup for so long, and that should have left so long ago."""
    trip = TripFactory(status="driver_arrived", in_=dt.timedelta(minutes=-departed))
    arrived = trip.transitions.create(from_status="en_route", to_status="driver_arrived", role="driver")
    trip.transitions.filter(pk=arrived.pk).update(created_at=timezone.now() - dt.timedelta(minutes=minutes))
    return trip


@pytest.mark.parametrize(("arrived", "departed"), [(4.9, 60), (60, 4.9), (60, -60)])
def test_no_show_before_the_passenger_was_waited_for_is_refused(arrived: float, departed: float) -> None:
    assert code_of(waited_for(arrived, departed), "no_show") == "trip.no_show_too_early"


def test_no_show_waits_as_long_as_staff_say() -> None:
    ServiceSettings.objects.create(pk=1, no_show_wait_min=20)
    assert code_of(waited_for(19, 60), "no_show") == "trip.no_show_too_early"
    assert step(waited_for(20, 60), "no_show").status == "cancelled"


def test_no_show_cancels_the_trip_and_frees_the_driver() -> None:
    trip = waited_for()

    step(trip, "no_show")

    trip.refresh_from_db()
    assert (trip.status, trip.cancel_reason) == ("cancelled", "The passenger did not come.")
    assert trip.bookings.get().status == "cancelled"
    trip.driver.refresh_from_db()
    assert trip.driver.availability == "available"
    assert trip.transitions.get(to_status="cancelled").role == "driver"
    assert [row.user for row in Notification.objects.all()] == [trip.organiser]


def test_no_show_twice_changes_nothing() -> None:
    trip = waited_for()

    version = step(trip, "no_show").version

    assert step(trip, "no_show").version == version


@pytest.mark.parametrize("status", ["accepted", "en_route", "passengers_boarded", "completed"])
def test_no_show_only_at_the_pickup(status: str) -> None:
    assert code_of(TripFactory(status=status), "no_show") == "trip.transition_refused"
