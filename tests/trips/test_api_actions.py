"""REST for what people do with a trip: cancel, rate, follow, offer again."""

import datetime as dt

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from drivers.models import DriverPosition
from stepper.errors import NotPermitted
from stepper.models import ServiceSettings, User
from tests.drives import step_there
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.rest import as_user, book
from trips import accepting, assignment, steering
from trips.models import Offer, Rating, Trip
from trips.states import STEPS, OfferStatus, TripStatus

pytestmark = pytest.mark.django_db


@pytest.fixture
def passenger():
    return PassengerFactory(name="Aigerim Kassymova")


@pytest.fixture
def stranger():
    return PassengerFactory()


@pytest.fixture
def staff():
    return StaffFactory()


@pytest.fixture
def driver():
    return DriverFactory(at=ALMATY, user__name="Daniyar Seitkali")


@pytest.fixture
def client(passenger):
    return as_user(passenger)


def in_hours(hours):
    return (timezone.now() + dt.timedelta(hours=hours)).isoformat()


# Staff


def test_staff_may_over_rest_what_their_permissions_say(client, driver):
    """Seeing is one permission, acting another, and being staff alone is neither."""
    trip_id = book(client)["id"]
    clerk = StaffFactory(is_superuser=False)

    def answers():
        fresh = as_user(User.objects.get(pk=clerk.pk))
        seen = fresh.get(f"/api/trips/{trip_id}").status_code
        listed = len(fresh.get("/api/trips").json()["results"])
        acts = [fresh.post(f"/api/trips/{trip_id}/{verb}").status_code for verb in ("broadcast-offer", "cancel")]
        return seen, listed, acts

    assert answers() == (404, 0, [404, 404])
    clerk.user_permissions.add(Permission.objects.get(codename="view_trip"))
    assert answers() == (200, 1, [403, 403])
    clerk.user_permissions.add(Permission.objects.get(codename="change_trip"))
    assert answers() == (200, 1, [200, 200])
    assert Trip.objects.get().transitions.get(to_status=TripStatus.CANCELLED).role == "staff"


def test_verbs_of_staff_are_for_who_may_change_trips(driver):
    trip = TripFactory(status="accepted", driver=driver)
    clerk = StaffFactory(is_superuser=False)
    clerk.user_permissions.add(Permission.objects.get(codename="view_trip"))

    for verb in (assignment.take_off, steering.complete, steering.take_back_arrival):
        with pytest.raises(NotPermitted):
            verb(trip.pk, clerk, "because")
    with pytest.raises(NotPermitted):
        assignment.assign(TripFactory(status="unfilled").pk, driver.pk, clerk, "asked to")


# Cancel


def test_cancel_ends_the_trip_and_its_offers(client, driver):
    trip_id = book(client)["id"]

    response = client.post(f"/api/trips/{trip_id}/cancel", {"reason": "Plans changed"}, format="json")

    assert response.status_code == 200
    assert (response.json()["status"], response.json()["cancel_reason"]) == ("cancelled", "Plans changed")
    assert Offer.objects.get().status == OfferStatus.WITHDRAWN


def test_cancel_twice_changes_nothing_the_second_time(client, driver):
    trip_id = book(client)["id"]
    first = client.post(f"/api/trips/{trip_id}/cancel").json()

    again = client.post(f"/api/trips/{trip_id}/cancel/", {"reason": "Again"}, format="json")

    assert (again.status_code, again.json()) == (200, first)


def test_cancel_by_somebody_else_is_refused(client, stranger, driver, staff):
    trip_id = book(client)["id"]
    accepting.accept_trip(driver.pk, trip_id)

    refused = as_user(stranger).post(f"/api/trips/{trip_id}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (404, "trip.not_found")
    refused = as_user(driver.user).post(f"/api/trips/{trip_id}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.forbidden")
    assert as_user(staff).post(f"/api/trips/{trip_id}/cancel").json()["status"] == "cancelled"


def test_cancel_too_late_is_refused(client, driver):
    trip_id = book(client, departure_at=in_hours(1))["id"]
    accepting.accept_trip(driver.pk, trip_id)

    refused = client.post(f"/api/trips/{trip_id}/cancel")

    assert (refused.status_code, refused.json()["code"]) == (409, "trip.cancel_too_late")
    assert Trip.objects.get().status == TripStatus.ACCEPTED


def test_cancel_by_get_is_refused(client):
    trip_id = book(client)["id"]

    assert client.get(f"/api/trips/{trip_id}/cancel").status_code == 405
    assert Trip.objects.get().status == TripStatus.UNFILLED


@pytest.mark.parametrize("reason", [5, None, ["x"], "x" * 201, "\x00"])
def test_cancel_with_a_wrong_reason_is_refused(client, reason):
    trip_id = book(client)["id"]
    response = client.post(f"/api/trips/{trip_id}/cancel", {"reason": reason}, format="json")

    assert response.status_code == 400
    assert set(response.json()["fields"]) == {"reason"}


# Rating


@pytest.fixture
def completed(client, driver):
    trip_id = book(client)["id"]
    accepting.accept_trip(driver.pk, trip_id)
    for step in STEPS[1:]:
        step_there(trip_id, step)
    return trip_id


def test_both_sides_rate_and_change_it_for_ten_minutes(client, driver, completed):
    there = as_user(driver.user)

    given = client.post(f"/api/trips/{completed}/rate", {"stars": 5, "comment": "Calm driving"}, format="json")
    assert given.status_code == 201
    assert {key: given.json()[key] for key in ("trip_id", "role", "stars", "comment")} == {
        "trip_id": completed,
        "role": "organiser",
        "stars": 5,
        "comment": "Calm driving",
    }
    assert there.post(f"/api/trips/{completed}/rate/", {"stars": 4}, format="json").status_code == 201

    changed = client.post(f"/api/trips/{completed}/rate", {"stars": 2}, format="json")
    assert (changed.status_code, changed.json()["stars"], changed.json()["comment"]) == (200, 2, "Calm driving")
    emptied = client.post(f"/api/trips/{completed}/rate", {"stars": 2, "comment": ""}, format="json")
    assert (emptied.status_code, emptied.json()["comment"]) == (200, "")
    Rating.objects.update(created_at=timezone.now() - dt.timedelta(minutes=10))
    late = client.post(f"/api/trips/{completed}/rate", {"stars": 1}, format="json")
    assert (late.status_code, late.json()["code"]) == (409, "rating.already_given")
    seen = client.get(f"/api/trips/{completed}").json()
    assert (seen["my_stars"], seen["driver"]["rating"], seen["organiser"]["rating"]) == (2, 2.0, 4.0)


def test_rating_before_the_end_is_refused(client, driver):
    trip_id = book(client)["id"]
    accepting.accept_trip(driver.pk, trip_id)

    refused = client.post(f"/api/trips/{trip_id}/rate", {"stars": 5}, format="json")

    assert (refused.status_code, refused.json()["code"]) == (409, "rating.too_early")


def test_rating_by_somebody_else_is_refused(stranger, staff, completed):
    refused = as_user(stranger).post(f"/api/trips/{completed}/rate", {"stars": 5}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (404, "trip.not_found")
    refused = as_user(staff).post(f"/api/trips/{completed}/rate", {"stars": 5}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.forbidden")


@pytest.mark.parametrize("stars", [0, 6, -1, True, "5", 4.5, None, 10**30])
def test_rating_with_wrong_stars_is_refused(client, completed, stars):
    response = client.post(f"/api/trips/{completed}/rate", {"stars": stars}, format="json")

    assert response.status_code == 400
    assert set(response.json()["fields"]) == {"stars"}


# Location


def located(client, trip_id):
    response = client.get(f"/api/trips/{trip_id}/location")
    assert response.status_code == 200
    assert response.json()["trip_id"] == trip_id
    return response.json()["location"]


def test_location_is_the_drivers_last_position(client, driver):
    trip_id = book(client)["id"]
    assert located(client, trip_id) is None

    accepting.accept_trip(driver.pk, trip_id)

    seen = located(client, trip_id)
    assert (seen["trip_id"], seen["lat"], seen["lng"]) == (trip_id, *ALMATY)
    assert set(seen["eta"]) == {"pickup_min", "dropoff_min"}


def test_location_is_for_the_people_on_the_trip(client, driver, stranger, staff):
    trip_id = book(client)["id"]
    accepting.accept_trip(driver.pk, trip_id)

    refused = as_user(stranger).get(f"/api/trips/{trip_id}/location")
    assert (refused.status_code, refused.json()["code"]) == (404, "trip.not_found")
    assert located(as_user(staff), trip_id) is not None


def test_location_too_old_is_not_shown(client, driver):
    trip_id = book(client)["id"]
    accepting.accept_trip(driver.pk, trip_id)
    DriverPosition.objects.update(recorded_at=timezone.now() - dt.timedelta(seconds=301))

    assert located(client, trip_id) is None


def test_location_is_not_shown_before_tracking_opens(client, driver):
    trip_id = book(client, departure_at=in_hours(3))["id"]
    accepting.accept_trip(driver.pk, trip_id)
    assert located(client, trip_id) is None

    ServiceSettings(pk=1, tracking_opens_min=240).save()

    assert located(client, trip_id) is not None


def test_location_is_not_shown_after_the_trip(client, completed):
    assert located(client, completed) is None


# Offering again


def test_offering_again_asks_who_is_around_now(client, staff):
    trip_id = book(client)["id"]
    DriverFactory(at=ALMATY)

    response = client.post(f"/api/trips/{trip_id}/broadcast-offer/")

    assert response.status_code == 200
    assert response.json() == {"trip_id": trip_id, "drivers_notified": 1, "eligible_drivers": 1}
    again = as_user(staff).post(f"/api/trips/{trip_id}/broadcast-offer")
    assert (again.status_code, again.json()["drivers_notified"]) == (200, 0)


def test_offering_again_by_somebody_else_is_refused(client, stranger):
    trip_id = book(client)["id"]

    refused = as_user(stranger).post(f"/api/trips/{trip_id}/broadcast-offer")

    assert (refused.status_code, refused.json()["code"]) == (404, "trip.not_found")


def test_offering_again_what_a_driver_has_is_refused(client, driver):
    trip_id = book(client)["id"]
    accepting.accept_trip(driver.pk, trip_id)

    refused = client.post(f"/api/trips/{trip_id}/broadcast-offer")
    assert (refused.status_code, refused.json()["code"]) == (409, "trip.transition_refused")
    refused = as_user(driver.user).post(f"/api/trips/{trip_id}/broadcast-offer")
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.forbidden")


def test_offering_again_by_get_is_refused(client):
    assert client.get(f"/api/trips/{book(client)['id']}/broadcast-offer").status_code == 405
