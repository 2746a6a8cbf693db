"""Calls for help from a trip: who calls, with which position, what staff get, when a call is over."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from realtime.models import Notification
from stepper.errors import Conflict, NotFound, NotPermitted
from stepper.models import ServiceSettings, User
from tests.backoffice import action_url, list_url, member_of_staff, page_url, signed_in
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory, place
from tests.rest import as_user
from trips import safety
from trips.models import Booking, SafetyAlert, Trip
from trips.states import ASSIGNED, TripStatus

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def passenger() -> User:
    user: User = PassengerFactory(name="Dana Akhmetova", phone="+77010000011")
    return user


@pytest.fixture
def trip(passenger: User) -> Trip:
    made: Trip = TripFactory(organiser=passenger, driver=DriverFactory(), status=TripStatus.IN_TRANSIT)
    return made


def _driver(trip: Trip) -> User:
    assert trip.driver is not None
    return trip.driver.user


def test_twice_pressed_is_one_call_with_the_last_position(trip: Trip, passenger: User) -> None:
    staff = StaffFactory()
    first = safety.raise_alert(trip.pk, passenger, lat=43.1, lng=76.1)
    again = safety.raise_alert(trip.pk, passenger, lat=43.2, lng=76.2)
    without = safety.raise_alert(trip.pk, passenger)
    assert first.pk == again.pk == without.pk
    row = SafetyAlert.objects.get()
    assert (row.lat, row.lng, row.position_of) == (43.2, 76.2, "sender")
    told = Notification.objects.get(user=staff)
    assert (told.priority, told.action_url) == ("urgent", page_url(row))
    assert all(text in told.message for text in ("Dana Akhmetova", "+7 701 000 0011", trip.title))


def test_without_a_position_the_drivers_last_one_stands_for_it(trip: Trip, passenger: User) -> None:
    unknown = safety.raise_alert(trip.pk, _driver(trip))
    assert (unknown.lat, unknown.lng, unknown.position_of) == (None, None, "")
    assert trip.driver
    place(trip.driver, *ALMATY)
    found = safety.raise_alert(trip.pk, passenger)
    assert (found.lat, found.lng, found.position_of) == (*ALMATY, "driver")


@pytest.mark.parametrize("status", list(TripStatus))
def test_called_from_the_acceptance_to_the_end(status: TripStatus, passenger: User) -> None:
    trip = TripFactory(organiser=passenger, status=status)
    if status in ASSIGNED:
        safety.raise_alert(trip.pk, passenger)
        assert safety.may_call(passenger, trip)
        return
    with pytest.raises(Conflict) as refused:
        safety.raise_alert(trip.pk, passenger)
    assert refused.value.code == "safety.no_trip"
    assert not safety.may_call(passenger, trip)


def test_who_has_a_seat_calls_and_nobody_else(trip: Trip) -> None:
    seat = PassengerFactory()
    Booking.objects.create(trip=trip, passenger=seat, status="confirmed", seats=1, amount=100)
    safety.raise_alert(trip.pk, seat)
    for user in (PassengerFactory(), DriverFactory().user, StaffFactory()):
        with pytest.raises(NotFound):
            safety.raise_alert(trip.pk, user)
    assert SafetyAlert.objects.count() == 1


def test_handled_once_and_called_again(trip: Trip, passenger: User) -> None:
    staff = StaffFactory()
    alert = safety.raise_alert(trip.pk, passenger)
    handled = safety.mark_handled(alert.pk, staff)
    assert (handled.handled_by, handled.handled_at is not None) == (staff, True)
    assert safety.mark_handled(alert.pk, StaffFactory()).handled_by == staff
    assert Notification.objects.filter(user=passenger).count() == 1
    assert safety.raise_alert(trip.pk, passenger).pk != alert.pk
    for user in (passenger, StaffFactory(is_superuser=False)):
        with pytest.raises(NotPermitted):
            safety.mark_handled(alert.pk, user)


def test_staff_who_see_to_trips_need_no_other_permission(trip: Trip, passenger: User) -> None:
    client = member_of_staff("trips.view_trip", "trips.change_trip")
    alert = safety.raise_alert(trip.pk, passenger, lat=43.25, lng=76.95)
    assert Notification.objects.filter(category="system", priority="urgent").count() == 1
    for address in (list_url(SafetyAlert), page_url(alert)):
        page = client.get(address).content.decode()
        assert "43.25000, 76.95000" in page
        assert "Dana Akhmetova" in page
    client.post(action_url(alert, "handled"))
    alert.refresh_from_db()
    assert alert.handled_at is not None
    assert member_of_staff("trips.view_booking").get(page_url(alert)).status_code == 403


# Page and REST


def test_staff_see_an_open_call_on_every_page_and_at_the_trip(trip: Trip, passenger: User) -> None:
    other = TripFactory.create()
    alert = safety.raise_alert(trip.pk, passenger)
    staff = member_of_staff("trips.change_trip", "trips.view_trip")

    def pages() -> list[str]:
        return [staff.get(path).content.decode() for path in (reverse("admin:index"), list_url(Trip), page_url(trip))]

    address = f"{list_url(SafetyAlert)}?handled_at__isempty=1"
    assert all(address in page for page in pages())
    badge = re.compile(r"bg-red-500[^<]*>\s*1\s*<")
    assert all(badge.search(page) for page in pages())
    assert found(staff, "help") == found(staff, "any") == [trip.pk]
    assert "Somebody calls for help" in staff.get(page_url(trip)).content.decode()

    safety.mark_handled(alert.pk, StaffFactory.create())

    assert all(address in page and not badge.search(page) for page in pages())
    assert "Somebody calls for help" not in staff.get(page_url(trip)).content.decode()
    assert found(staff, "help") == found(staff, "any") == []
    assert other.pk in found(staff, "")
    # The badge is for those who may answer.
    reader = member_of_staff("trips.view_trip")
    assert address not in reader.get(list_url(Trip)).content.decode()


def found(client: Client, attention: str) -> list[int]:
    listed = client.get(list_url(Trip), {"attention": attention} if attention else {})
    return [row.pk for row in listed.context["cl"].result_list]


def _call(client: Client, trip: Trip, **fields: Any) -> Any:
    return client.post(reverse("trips:safety", args=[trip.pk]), fields, headers=HTMX)


def test_page_has_the_number_before_any_request_and_says_since_when_staff_know(trip: Trip, passenger: User) -> None:
    ServiceSettings.objects.create(pk=1, emergency_number="911")
    client = signed_in(passenger)
    page = client.get(f"/trips/{trip.pk}/").content.decode()
    for part in ('data-testid="safety-button"', 'href="tel:911"', "Call our staff for help"):
        assert part in page
    answer = _call(client, trip, lat="43.25", lng="76.95")
    assert "Our staff know since" in answer.content.decode()
    assert "Our staff know since" in client.get(f"/trips/{trip.pk}/").content.decode()
    assert SafetyAlert.objects.get().lat == 43.25


@pytest.mark.parametrize("position", [{"lat": "", "lng": ""}, {"lat": "north", "lng": "1"}, {"lat": "999", "lng": "1"}])
def test_a_position_that_cannot_be_read_does_not_hold_the_call_up(
    position: dict[str, str], trip: Trip, passenger: User
) -> None:
    assert _call(signed_in(passenger), trip, **position).status_code == 200
    assert SafetyAlert.objects.get().lat is None


def test_button_goes_with_the_trip(trip: Trip, passenger: User) -> None:
    Trip.objects.update(status=TripStatus.COMPLETED)
    client = signed_in(passenger)
    assert 'data-testid="safety-button"' not in client.get(f"/trips/{trip.pk}/").content.decode()
    assert _call(client, trip).status_code == 409


def test_driver_has_it_and_strangers_have_not(trip: Trip) -> None:
    driver = signed_in(_driver(trip))
    address = reverse("trips:safety", args=[trip.pk])
    assert address in driver.get("/driver/").content.decode()
    assert 'data-testid="safety-alert"' in driver.get(address).content.decode()
    for user in (PassengerFactory(), StaffFactory()):
        assert signed_in(user).get(address).status_code == 404


def test_rest_calls_for_help(trip: Trip, passenger: User) -> None:
    client = as_user(passenger)
    first = client.post(f"/api/trips/{trip.pk}/safety", {"lat": 43.25, "lng": 76.95}, format="json")
    assert first.status_code == 201
    again = client.post(f"/api/trips/{trip.pk}/safety", {}, format="json")
    assert again.json() == first.json()
    assert as_user(PassengerFactory()).post(f"/api/trips/{trip.pk}/safety").status_code == 404
