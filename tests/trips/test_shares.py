"""Links to a shared trip: who makes and ends them, what the page behind one says, and when it ends."""

from typing import Any

import pytest
from django.test import Client

from realtime import groups
from stepper.errors import Conflict, NotFound
from stepper.models import User
from tests.factories import DriverFactory, PassengerFactory, StaffFactory, TripFactory, place
from tests.outbox import frames, rechecked, types
from tests.rest import as_user
from trips import bookings, driving, shares
from trips.models import Booking, Trip, TripShare
from trips.states import FINISHED, BookingStatus, TripStatus

pytestmark = pytest.mark.django_db


@pytest.fixture
def passenger() -> User:
    user: User = PassengerFactory(name="Dana Akhmetova", phone="+77010000011")
    return user


@pytest.fixture
def trip(passenger: User) -> Trip:
    driver = DriverFactory(user__name="Aigerim Sadykova", user__phone="+77010000012")
    made: Trip = TripFactory(
        organiser=passenger, driver=driver, status="en_route", note="blue door", fare=9180, delay_reason="flat tyre"
    )
    place(driver, made.pickup_lat, made.pickup_lng - 0.0617)
    return made


def _address(trip: Trip) -> str:
    return f"/t/{shares.create_share(trip.pk, trip.organiser).token}/"


def test_page_of_a_link_needs_no_account_and_says_no_more_than_it_should(client: Client, trip: Trip) -> None:
    response = client.get(_address(trip))

    page = response.content.decode()
    assert response.status_code == 200
    assert trip.driver
    assert trip.vehicle
    for said in ("Aigerim", trip.vehicle.plate_text, trip.vehicle.label, "Dana", "9 min", trip.dropoff_name):
        assert said in page, said
    for hidden in ("Sadykova", "Akhmetova", "7701", "701 000", "blue door", "9\u202f180", "flat tyre", "Aigerim S."):
        assert hidden not in page, hidden


def test_page_is_not_indexed_kept_or_passed_on(client: Client, trip: Trip) -> None:
    response = client.get(_address(trip))
    assert response["X-Robots-Tag"] == "noindex, nofollow"
    assert response["Referrer-Policy"] == "strict-origin"
    assert "no-store" in response["Cache-Control"]


def test_token_is_long_and_only_its_digest_is_stored(trip: Trip) -> None:
    made = shares.create_share(trip.pk, trip.organiser)
    assert len(made.token) == 43  # 32 random bytes
    assert made.token not in str(list(TripShare.objects.values()))


@pytest.mark.parametrize("token", ["x", "x" * 43, "%00", "a" * 5000])
def test_unknown_link_has_ended(token: str, client: Client) -> None:
    response = client.get(f"/t/{token}/")
    assert response.status_code == 410
    assert 'data-testid="share-ended"' in response.content.decode()
    assert response["Referrer-Policy"] == "strict-origin"


def test_opening_is_counted(client: Client, trip: Trip) -> None:
    address = _address(trip)
    for _number in range(3):
        client.get(address)
    assert TripShare.objects.get().opened == 3


# Who may share


def test_only_who_booked_or_has_seats_shares(trip: Trip) -> None:
    assert trip.driver
    for user in (PassengerFactory(), trip.driver.user, StaffFactory(is_superuser=True)):
        with pytest.raises(NotFound):
            shares.create_share(trip.pk, user)
    assert not TripShare.objects.exists()


@pytest.mark.parametrize("status", sorted(FINISHED))
def test_trip_that_is_over_is_not_shared(status: str, passenger: User) -> None:
    with pytest.raises(Conflict) as refused:
        shares.create_share(TripFactory(organiser=passenger, status=status).pk, passenger)
    assert refused.value.code == "share.trip_ended"


def test_trip_has_so_many_links_at_once(trip: Trip) -> None:
    for _number in range(5):
        shares.create_share(trip.pk, trip.organiser)
    with pytest.raises(Conflict) as refused:
        shares.create_share(trip.pk, trip.organiser)
    assert refused.value.code == "share.too_many"
    shares.revoke_share(trip.pk, TripShare.objects.order_by("pk")[0].pk, trip.organiser)
    shares.create_share(trip.pk, trip.organiser)


def test_links_are_made_shown_once_and_ended_on_the_trip_page(client: Client, trip: Trip) -> None:
    client.force_login(trip.organiser)
    made = client.post(f"/trips/{trip.pk}/share/").content.decode()
    share = TripShare.objects.get()
    address = made.split('data-testid="share-link"')[0].rsplit('value="', 1)[1].split('"')[0]
    assert Client().get(address).status_code == 200
    token = address.rstrip("/").rsplit("/", 1)[1]
    assert token not in client.get(f"/trips/{trip.pk}/").content.decode()

    client.post(f"/trips/{trip.pk}/share/{share.pk}/revoke/")

    assert Client().get(address).status_code == 410
    assert client.post(f"/trips/{trip.pk}/share/{share.pk}/revoke/").status_code == 200


@pytest.mark.parametrize("who", ["stranger", "driver"])
def test_others_can_neither_make_nor_end_links(who: str, client: Client, trip: Trip) -> None:
    share = shares.create_share(trip.pk, trip.organiser).share
    assert trip.driver
    client.force_login(PassengerFactory() if who == "stranger" else trip.driver.user)
    assert client.post(f"/trips/{trip.pk}/share/").status_code == 404
    client.post(f"/trips/{trip.pk}/share/{share.pk}/revoke/")
    assert TripShare.objects.filter(pk=share.pk).exists()
    assert 'data-testid="share-create"' not in client.get(f"/trips/{trip.pk}/").content.decode()


def test_changes_need_a_post(client: Client, trip: Trip) -> None:
    client.force_login(trip.organiser)
    assert client.get(f"/trips/{trip.pk}/share/").status_code == 405
    assert client.get(f"/trips/{trip.pk}/share/1/revoke/").status_code == 405


# When a link ends


@pytest.mark.parametrize("end", ["completed", "cancelled", "revoked"])
def test_link_ends_with_the_trip_or_before(end: str, client: Client, trip: Trip) -> None:
    made = shares.create_share(trip.pk, trip.organiser)
    if end == "completed":
        Trip.objects.update(status=TripStatus.ARRIVED)
        driving.update_status(trip.driver_id or 0, trip.pk, status="completed")
    elif end == "cancelled":
        bookings.cancel(trip.pk, trip.organiser)
    else:
        shares.revoke_share(trip.pk, made.share.pk, trip.organiser)

    assert client.get(f"/t/{made.token}/").status_code == 410
    assert not TripShare.objects.exists()
    assert rechecked(groups.shared_trip(trip.pk))


def test_link_of_a_trip_that_the_release_before_ended_does_not_work(client: Client, trip: Trip) -> None:
    address = _address(trip)
    Trip.objects.update(status=TripStatus.COMPLETED)
    assert client.get(address).status_code == 410


def test_link_ends_with_the_account_of_who_made_it(client: Client, trip: Trip) -> None:
    address = _address(trip)
    User.objects.filter(pk=trip.organiser_id).update(is_active=False)
    assert client.get(address).status_code == 410


def test_link_of_a_passenger_ends_with_their_seats(client: Client, trip: Trip) -> None:
    other = PassengerFactory()
    seats = Booking.objects.create(trip=trip, passenger=other, status=BookingStatus.CONFIRMED, amount=100)
    address = f"/t/{shares.create_share(trip.pk, other).token}/"
    assert client.get(address).status_code == 200
    Booking.objects.filter(pk=seats.pk).update(status=BookingStatus.CANCELLED)
    assert client.get(address).status_code == 410


# What goes to its group


def test_group_of_the_link_gets_the_status_and_nothing_else(trip: Trip) -> None:
    shares.create_share(trip.pk, trip.organiser)
    driving.update_status(trip.driver_id or 0, trip.pk, status="delayed", delay_minutes=5, delay_reason="secret")

    found = frames(groups.shared_trip(trip.pk))

    assert [type(frame).__name__ for frame in found] == ["SharedTripUpdated"] * 2
    assert {frame.trip_id for frame in found} == {trip.pk}
    assert "secret" not in str(found)


def test_trip_that_is_not_shared_has_no_events_for_links(trip: Trip) -> None:
    driving.update_status(trip.driver_id or 0, trip.pk, status="delayed", delay_minutes=5)
    assert types(groups.shared_trip(trip.pk)) == []


def test_page_of_a_link_costs_the_same_for_any_trip(client: Client, trip: Trip, django_assert_num_queries: Any) -> None:
    address = _address(trip)
    client.get(address)
    with django_assert_num_queries(4):
        client.get(address)


# REST


def test_programs_list_make_and_end_links() -> None:
    trip = TripFactory.create(status=TripStatus.EN_ROUTE)
    client, address = as_user(trip.organiser), f"/api/trips/{trip.pk}/shares"
    assert client.get(address).json() == {"shares": []}
    made = client.post(address, format="json")
    assert made.status_code == 201
    assert Client().get(made.json()["path"]).status_code == 200
    [listed] = client.get(address).json()["shares"]
    assert (listed["id"], listed["opened"]) == (made.json()["id"], 1)
    assert "path" not in listed
    for _time in range(2):
        assert client.delete(f"{address}/{listed['id']}").status_code == 204
    assert Client().get(made.json()["path"]).status_code == 410
    stranger = as_user(PassengerFactory.create())
    assert [one.status_code for one in (stranger.get(address), stranger.post(address, format="json"))] == [404, 404]
