"""Editing a trip by staff before and after a driver has accepted: what can change when, and both sides are told."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from drivers import metrics
from drivers.models import Driver, DriverMetrics
from realtime import events, groups
from realtime.models import Notification
from stepper import roles
from stepper.errors import Conflict, DomainError, InvalidInput, NotPermitted
from stepper.models import User
from tests.factories import (
    AIRPORT,
    ALMATY,
    DriverFactory,
    OfferFactory,
    PassengerFactory,
    StaffFactory,
    TripFactory,
    former_leg,
)
from tests.outbox import types
from tests.role_matrix import give_role
from trips import assignment, editing
from trips.dispatch import start_round
from trips.models import Trip, TripChange

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)
REASON = "asked by phone"


@pytest.fixture
def staff() -> User:
    return StaffFactory()


@pytest.fixture
def driver() -> Driver:
    return DriverFactory(at=ALMATY)


def accepted(driver: Driver, **fields: Any) -> Trip:
    """A trip that the driver has accepted, tomorrow."""
    trip: Trip = TripFactory(
        **{"status": "accepted", "driver": driver, "in_": 24 * HOUR, "is_now": False, "accepted_at": timezone.now()}
        | fields
    )
    OfferFactory(trip=trip, driver=driver, status="accepted")
    return trip


def edit(trip: Trip, staff: User, wanted: dict[str, Any] | None = None, **more: Any) -> Trip:
    return editing.edit_trip(trip.pk, staff, wanted or {}, **{"reason": REASON} | more)


def refused(trip: Trip, staff: User, wanted: dict[str, Any] | None = None, **more: Any) -> DomainError:
    before = Trip.objects.values().get(pk=trip.pk)
    with pytest.raises(DomainError) as error:
        edit(trip, staff, wanted, **more)
    assert Trip.objects.values().get(pk=trip.pk) == before
    assert not TripChange.objects.exists()
    return error.value


def told(user: User) -> str:
    row = Notification.objects.filter(user=user).latest("pk")
    return f"{row.title}: {row.message}"


def test_both_sides_are_told_from_what_to_what_and_the_driver_keeps_the_trip(staff: User, driver: Driver) -> None:
    trip = accepted(driver)
    later = trip.departure_at + 2 * HOUR
    Notification.objects.all().delete()

    for _pressed_twice in range(2):
        trip = edit(trip, staff, {"departure_at": later, "seats": 2})

    assert (trip.status, trip.driver, trip.seats, trip.departure_at) == ("accepted", driver, 2, later)
    for user in (trip.organiser, driver.user):
        assert told(user).startswith("Our staff changed your trip: ")
        assert "seats 1 → 2" in told(user)
        assert "departure " in told(user)
    assert "you can give it back" in told(driver.user)
    assert Notification.objects.count() == 2
    row = TripChange.objects.get()
    assert (row.by, row.role, row.reason, row.changes["seats"]) == (staff, "staff", REASON, [1, 2])
    assert types(groups.driver(driver.pk))[-1] == types(groups.trip(trip.pk))[-1] == "trip.status.updated"


def test_a_fare_of_staffs_own_stands_with_its_share_of_the_fee_and_why(staff: User, driver: Driver) -> None:
    trip = accepted(driver)
    share = trip.platform_fee / trip.fare
    booking = trip.bookings.get()

    trip = edit(trip, staff, fare=20_000)

    assert trip.fare == trip.platform_fee + trip.driver_earnings == 20_000
    assert trip.platform_fee == pytest.approx(20_000 * share, abs=1)
    booking.refresh_from_db()
    assert booking.amount == 20_000
    assert TripChange.objects.get().changes["fare"][1] == 20_000
    assert "price " in told(trip.organiser)
    assert edit(trip, staff, fare=20_000).version == trip.version


@pytest.mark.parametrize("side", ["organiser", "driver"])
def test_nobody_sets_the_fare_of_their_own_trip(driver: Driver, side: str) -> None:
    trip = accepted(driver)
    own = trip.organiser if side == "organiser" else driver.user
    roles.make_groups()
    give_role(own, "dispatcher")
    assert refused(trip, own, fare=20_000).code == "auth.own_decision"


@pytest.mark.parametrize("fare", [0, -1, editing.MOST_FARE + 1])
def test_a_fare_that_is_none_is_refused_at_its_field(staff: User, driver: Driver, fare: int) -> None:
    assert "fare" in refused(accepted(driver), staff, fare=fare).fields


def test_the_price_follows_the_way_unless_staff_set_it(staff: User, driver: Driver) -> None:
    trip = accepted(driver)
    near = {"dropoff": there(ALMATY[0] + 0.05, ALMATY[1])}
    cheaper = edit(trip, staff, near)
    assert cheaper.fare < 5000
    again = edit(cheaper, staff, {"dropoff": there(*AIRPORT)}, fare=7777)
    assert (again.fare, again.fare - again.platform_fee) == (7777, again.driver_earnings)


def there(lat: float, lng: float) -> events.Place:
    return events.Place("There", "", lat, lng)


def test_an_open_trip_is_asked_about_anew(staff: User, driver: Driver) -> None:
    trip = TripFactory(status="published", in_=HOUR)
    start_round(trip.pk)
    assert trip.offers.get().status == "pending"
    edit(trip, staff, fare=9_999)
    first, second = trip.offers.order_by("pk")
    assert (first.status, first.reason) == ("withdrawn", "changed")
    assert (second.status, second.driver) == ("pending", driver)


def test_a_driver_of_another_trip_than_they_accepted_may_give_it_back_for_nothing(staff: User, driver: Driver) -> None:
    trip = accepted(driver, in_=dt.timedelta(minutes=20))
    edit(trip, staff, {"departure_at": trip.departure_at - dt.timedelta(minutes=12)})
    trip = assignment.release(driver.pk, trip.pk)
    assert trip.driver is None
    metrics.schedule_count(driver.pk)
    metrics.count_due(10)
    assert DriverMetrics.objects.get(driver=driver).cancellations == 0
    offer = driver.offers.get()
    assert (offer.reason, offer.released_at is None) == ("changed", False)


def test_a_change_of_words_alone_gives_no_such_right(staff: User, driver: Driver) -> None:
    trip = accepted(driver, in_=dt.timedelta(minutes=8))
    edit(trip, staff, {"note": "at the gate"})
    assert "give it back" not in told(driver.user)
    with pytest.raises(Conflict, match="too late"):
        assignment.release(driver.pk, trip.pk)


def test_the_driver_must_be_able_to_drive_it(staff: User, driver: Driver) -> None:
    trip = accepted(driver)
    other = accepted(driver, in_=40 * HOUR)
    assert refused(trip, staff, {"departure_at": other.departure_at}).code == "driver.overlap"
    assert refused(trip, staff, {"seats": 7, "vehicle_class": "van"}).code == "driver.too_few_seats"


def test_the_span_that_keeps_other_trips_off_moves_along(staff: User, driver: Driver) -> None:
    trip = accepted(driver)
    later = edit(trip, staff, {"departure_at": trip.departure_at + 5 * HOUR})
    assert later.busy_from is not None
    assert later.busy_until is not None
    assert later.busy_from < later.departure_at < later.ends_at < later.busy_until


@pytest.mark.parametrize(
    ("status", "wanted", "code"),
    [
        ("driver_arrived", {"seats": 2}, ""),
        ("driver_arrived", {"departure_at": "later"}, "trip.change_too_late"),
        ("in_transit", {"dropoff": "elsewhere"}, ""),
        ("in_transit", {"seats": 2}, "trip.change_too_late"),
        ("arrived", {"dropoff": "elsewhere"}, "trip.change_too_late"),
        ("completed", {"seats": 2}, "trip.transition_refused"),
        ("cancelled", {"note": "x"}, "trip.transition_refused"),
    ],
)
def test_what_can_change_depends_on_how_far_the_trip_is(
    staff: User, driver: Driver, status: str, wanted: dict[str, Any], code: str
) -> None:
    trip = accepted(driver, status=status)
    values = {"later": trip.departure_at + HOUR, "elsewhere": there(43.30, 77.00)}
    wanted = {name: values.get(value, value) if isinstance(value, str) else value for name, value in wanted.items()}
    if code:
        assert refused(trip, staff, wanted).code == code
    else:
        edit(trip, staff, wanted)
        assert TripChange.objects.count() == 1


@pytest.mark.parametrize("status", ["in_transit", "arrived"])
def test_the_fare_can_change_until_the_end(staff: User, driver: Driver, status: str) -> None:
    assert edit(accepted(driver, status=status), staff, fare=1234).fare == 1234


def test_former_legs_keep_what_their_drivers_have(staff: User, driver: Driver) -> None:
    trip = accepted(driver, status="in_transit")
    former_leg(trip, DriverFactory())
    trip.refresh_from_db()
    had = (trip.former_fare, trip.former_fee)
    assert "fare" in editing_refusal(trip, staff, fare=trip.former_fare - 1).fields
    trip = edit(trip, staff, fare=trip.fare * 2)
    assert (trip.former_fare, trip.former_fee) == had
    assert trip.own_fee + trip.own_earnings == trip.own_fare


def editing_refusal(trip: Trip, staff: User, **more: Any) -> DomainError:
    with pytest.raises(DomainError) as error:
        edit(trip, staff, **more)
    return error.value


def test_two_staff_do_not_overwrite_each_other(staff: User, driver: Driver) -> None:
    trip = accepted(driver)
    seen = trip.version
    edit(trip, staff, fare=9000, version=seen)
    with pytest.raises(Conflict) as error:
        edit(trip, StaffFactory(), fare=8000, version=seen)
    assert error.value.code == "trip.changed_meanwhile"


def test_staff_alone_and_with_a_reason(staff: User, driver: Driver) -> None:
    trip = accepted(driver)
    for who in (trip.organiser, driver.user, PassengerFactory()):
        with pytest.raises(NotPermitted):
            edit(trip, who, fare=1)
    with pytest.raises(InvalidInput):
        edit(trip, staff, fare=9000, reason=" ")
