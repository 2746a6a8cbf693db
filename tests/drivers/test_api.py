"""REST for drivers: who may come, offers and their answers, steps of a trip."""

import datetime as dt
import threading

import pytest
from django.db import connections
from django.utils import timezone

from drivers import approvals
from drivers.models import Approval
from realtime import events
from stepper.models import ServiceSettings
from tests.drives import step_there
from tests.factories import AIRPORT, ALMATY, DriverFactory, PassengerFactory, StaffFactory, place
from tests.rest import as_user
from trips import accepting, assignment, bookings
from trips.booking_requests import BookingRequest
from trips.models import Offer, Trip
from trips.states import STEPS, OfferStatus, TripStatus

pytestmark = pytest.mark.django_db


def book(passenger, **changes):
    request = BookingRequest(
        pickup=events.Place("Hotel Kazakhstan", "Dostyk 52", 43.2451, 76.9577),
        dropoff=events.Place("Almaty airport", "", *AIRPORT),
        **changes,
    )
    return bookings.book(passenger, request)


@pytest.fixture
def passenger():
    # As a hotel: several trips at once.
    return PassengerFactory(max_overlapping_trips=5)


@pytest.fixture
def driver():
    return DriverFactory(at=ALMATY, user__name="Daniyar Seitkali")


@pytest.fixture
def rival():
    return DriverFactory(at=ALMATY)


@pytest.fixture
def client(driver):
    return as_user(driver.user)


@pytest.fixture
def offered(driver, rival, passenger):
    """A trip that the driver and a rival are asked for."""
    return book(passenger)


@pytest.fixture
def accepted(driver, offered):
    return accepting.accept_trip(driver.pk, offered.pk)


# Who may come here

ENDPOINTS = [
    ("GET", "offers"),
    ("POST", "trips/accept/1"),
    ("POST", "trips/decline/1"),
    ("PUT", "trips/1/status"),
    ("PUT", "availability"),
    ("POST", "location"),
    ("GET", "filters"),
    ("PUT", "filters"),
]


@pytest.mark.parametrize(("method", "endpoint"), ENDPOINTS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_only_drivers_come_here(passenger, method, endpoint, slash):
    response = as_user(passenger).generic(method, f"/api/drivers/{endpoint}{slash}")

    assert (response.status_code, response.json()["code"]) == (403, "driver.not_a_driver")


@pytest.mark.parametrize(("method", "endpoint"), ENDPOINTS[:3] + ENDPOINTS[4:6])
@pytest.mark.parametrize("approval", [Approval.PENDING, Approval.REJECTED, Approval.SUSPENDED])
def test_only_approved_drivers_get_trips(method, endpoint, approval):
    driver = DriverFactory(approval=approval)

    response = as_user(driver.user).generic(method, f"/api/drivers/{endpoint}")

    assert (response.status_code, response.json()["code"]) == (403, "driver.not_approved")


@pytest.mark.parametrize(
    ("method", "endpoint"),
    [
        ("POST", "offers"),
        ("GET", "trips/accept/1"),
        ("PUT", "trips/accept/1"),
        ("GET", "trips/decline/1"),
        ("POST", "trips/1/status"),
        ("GET", "availability"),
        ("GET", "location"),
        ("DELETE", "filters"),
    ],
)
def test_the_wrong_verb_is_refused(client, method, endpoint):
    response = client.generic(method, f"/api/drivers/{endpoint}")

    assert (response.status_code, response.json()["code"]) == (405, "method.not_allowed")


def test_a_header_cannot_name_the_driver(client, driver, rival, offered):
    client.post(f"/api/drivers/trips/accept/{offered.pk}", headers={"X-Driver-Id": str(rival.pk)})

    assert Trip.objects.get().driver == driver


# Offers


def test_offers_are_the_cards_with_the_time_left(client, driver, offered):
    body = client.get("/api/drivers/offers").json()

    (card,) = body["offers"]
    offer = Offer.objects.get(driver=driver)
    assert (card["trip_id"], card["offer_id"]) == (offered.pk, offer.pk)
    assert card["earnings"] == offered.driver_earnings
    assert card["pickup"] == {"name": "Hotel Kazakhstan", "address": "Dostyk 52", "lat": 43.2451, "lng": 76.9577}
    assert 100 <= card["seconds_left"] <= 120
    assert dt.datetime.fromisoformat(card["expires_at"]) == offer.expires_at
    # The body of `trip.offer.created` without its envelope.
    fields = {field for field in events.OfferCreated.__struct_fields__ if field not in {"id", "timestamp"}}
    assert set(card) == fields | {"seconds_left"}


def test_offers_past_their_deadline_are_not_listed(client, offered):
    Offer.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))

    assert client.get("/api/drivers/offers/").json()["offers"] == []


@pytest.mark.parametrize("rows", [1, 3])
def test_offers_cost_the_same_for_any_number(client, passenger, query_count, rows):
    for _trip in range(rows):
        book(passenger)

    # Session, user, settings of the limit, driver, offers.
    with query_count(5, 5):
        assert len(client.get("/api/drivers/offers").json()["offers"]) == rows


# Accepting


def test_accepting_gives_the_trip_to_the_driver(client, driver, rival, passenger, offered):
    response = client.post(f"/api/drivers/trips/accept/{offered.pk}")

    assert response.status_code == 200
    trip = response.json()
    assert (trip["id"], trip["status"], trip["driver"]["id"]) == (offered.pk, "accepted", driver.pk)
    assert trip["organiser"]["phone"] == str(passenger.phone)
    assert Offer.objects.get(driver=rival).status == OfferStatus.WITHDRAWN


def test_accepting_again_gives_the_same_answer(client, offered):
    first = client.post(f"/api/drivers/trips/accept/{offered.pk}")
    again = client.post(f"/api/drivers/trips/accept/{offered.pk}/")

    assert (again.status_code, again.json()) == (200, first.json())


def test_accepting_what_another_has_is_refused(client, rival, offered):
    accepting.accept_trip(rival.pk, offered.pk)

    refused = client.post(f"/api/drivers/trips/accept/{offered.pk}")

    assert (refused.status_code, refused.json()["code"]) == (409, "offer.taken")


def test_accepting_too_late_is_refused(client, offered):
    Offer.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))

    refused = client.post(f"/api/drivers/trips/accept/{offered.pk}")

    assert (refused.status_code, refused.json()["code"]) == (409, "offer.expired")


def test_accepting_what_was_cancelled_is_refused(client, passenger, offered):
    bookings.cancel(offered.pk, passenger)

    refused = client.post(f"/api/drivers/trips/accept/{offered.pk}")

    assert (refused.status_code, refused.json()["code"]) == (409, "offer.withdrawn")


def test_accepting_what_overlaps_is_refused(client, driver, passenger):
    first, second = book(passenger), book(passenger)
    Offer.objects.filter(trip=second).update(status=OfferStatus.PENDING)
    accepting.accept_trip(driver.pk, first.pk)
    Offer.objects.filter(trip=second).update(status=OfferStatus.PENDING, responded_at=None, reason="")
    Trip.objects.filter(pk=second.pk).update(status=TripStatus.OFFERED)

    refused = client.post(f"/api/drivers/trips/accept/{second.pk}")

    assert (refused.status_code, refused.json()["code"]) == (409, "driver.overlap")


def test_accepting_without_an_offer_is_refused(client, passenger, offered):
    stranger = DriverFactory()

    refused = as_user(stranger.user).post(f"/api/drivers/trips/accept/{offered.pk}")
    assert (refused.status_code, refused.json()["code"]) == (404, "offer.not_found")
    refused = client.post("/api/drivers/trips/accept/999999")
    assert (refused.status_code, refused.json()["code"]) == (404, "offer.not_found")
    assert client.post(f"/api/drivers/trips/accept/{10**25}").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_accepting_at_once_has_one_winner():
    drivers = [DriverFactory(at=ALMATY) for _driver in range(6)]
    trip = book(PassengerFactory())
    clients = [as_user(driver.user) for driver in drivers]
    gate = threading.Barrier(len(clients))
    answers = []

    def accept(client):
        gate.wait()
        response = client.post(f"/api/drivers/trips/accept/{trip.pk}")
        answers.append((response.status_code, response.json().get("code")))
        connections.close_all()

    threads = [threading.Thread(target=accept, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers, key=str) == [(200, None)] + [(409, "offer.taken")] * 5


# Declining


def test_declining_settles_the_offer(client, driver, offered):
    response = client.post(f"/api/drivers/trips/decline/{offered.pk}", {"reason": "Too far"}, format="json")

    offer = Offer.objects.get(driver=driver)
    assert response.status_code == 200
    assert response.json() == {"trip_id": offered.pk, "offer_id": offer.pk, "status": "declined"}
    assert (offer.status, offer.reason) == (OfferStatus.DECLINED, "Too far")


def test_declining_again_gives_the_same_answer(client, offered):
    first = client.post(f"/api/drivers/trips/decline/{offered.pk}")
    again = client.post(f"/api/drivers/trips/decline/{offered.pk}/")

    assert (again.status_code, again.json()) == (200, first.json())


def test_declining_then_accepting_is_refused(client, offered):
    client.post(f"/api/drivers/trips/decline/{offered.pk}")

    refused = client.post(f"/api/drivers/trips/accept/{offered.pk}")

    assert (refused.status_code, refused.json()["code"]) == (409, "offer.declined")


def test_declining_without_an_offer_is_refused(client):
    refused = client.post("/api/drivers/trips/decline/999999")

    assert (refused.status_code, refused.json()["code"]) == (404, "offer.not_found")


@pytest.mark.parametrize("reason", [1, None, "x" * 201, "\x00"])
def test_declining_with_a_wrong_reason_is_refused(client, offered, reason):
    response = client.post(f"/api/drivers/trips/decline/{offered.pk}", {"reason": reason}, format="json")

    assert response.status_code == 400
    assert set(response.json()["fields"]) == {"reason"}


# Steps of a trip


def step(client, trip, status, **more):
    return client.put(f"/api/drivers/trips/{trip.pk}/status", {"status": status, **more}, format="json")


def test_the_driver_steps_to_completed(client, driver, accepted):
    for status in STEPS[1:]:
        place(driver, accepted.pickup_lat, accepted.pickup_lng)
        response = step(client, accepted, status, note="", lat=43.24, lng=76.95)
        assert (response.status_code, response.json()["status"]) == (200, status)

    transition = accepted.transitions.get(to_status="completed")
    assert (transition.lat, transition.lng) == (43.24, 76.95)


def test_a_step_with_slash_and_twice(client, accepted):
    address = f"/api/drivers/trips/{accepted.pk}/status/"
    first = client.put(address, {"status": "en_route"}, format="json")
    again = client.put(address, {"status": "en_route"}, format="json")

    assert (again.status_code, again.json()) == (200, first.json())


def test_a_step_that_the_table_has_not_is_refused(client, accepted):
    refused = step(client, accepted, "completed")

    assert (refused.status_code, refused.json()["code"]) == (409, "trip.transition_refused")
    assert Trip.objects.get().status == TripStatus.ACCEPTED


@pytest.mark.parametrize("status", ["flying", "published", "accepted", ""])
def test_an_unknown_status_is_refused(client, accepted, status):
    refused = step(client, accepted, status)

    assert refused.status_code == 400
    assert refused.json()["code"] in {"trip.status_unknown", "input.invalid"}
    assert set(refused.json()["fields"]) == {"status"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "status"),
        ({"status": 5}, "status"),
        ({"status": ["en_route"]}, "status"),
        ({"status": "en_route", "lat": 43.2}, "lng"),
        ({"status": "en_route", "lng": 76.9}, "lat"),
        ({"status": "en_route", "lat": 91, "lng": 76.9}, "lat"),
        ({"status": "en_route", "lat": True, "lng": 76.9}, "lat"),
        ({"status": "en_route", "note": "x" * 301}, "note"),
        ({"status": "delayed"}, "delay_minutes"),
        ({"status": "delayed", "delay_minutes": 0}, "delay_minutes"),
        ({"status": "delayed", "delay_minutes": 1441}, "delay_minutes"),
        ({"status": "delayed", "delay_minutes": True}, "delay_minutes"),
        ({"status": "delayed", "delay_minutes": 5, "delay_reason": 1}, "delay_reason"),
    ],
)
def test_a_wrong_step_names_its_field(client, accepted, body, field):
    response = client.put(f"/api/drivers/trips/{accepted.pk}/status", body, format="json")

    assert response.status_code == 400
    assert set(response.json()["fields"]) == {field}
    assert Trip.objects.get().status == TripStatus.ACCEPTED


def test_a_delay_is_told_and_is_no_state(client, accepted):
    response = step(client, accepted, "delayed", delay_minutes=10, delay_reason="Traffic")

    trip = response.json()
    assert (response.status_code, trip["status"]) == (200, "accepted")
    assert (trip["delay_minutes"], trip["delay_reason"]) == (10, "Traffic")


def test_a_released_trip_is_no_longer_the_drivers(client, passenger, accepted):
    response = step(client, accepted, "released", note="Flat tyre")

    assert (response.status_code, response.json()) == (200, {"id": accepted.pk, "status": "released"})
    assert client.get(f"/api/trips/{accepted.pk}").status_code == 404


def test_a_released_trip_is_not_told_to_who_released_it_once_more(client, rival, accepted):
    """Somebody else has it: their name and number, and what the passenger wrote, are none of the former driver's."""
    step(client, accepted, "released")
    assignment.assign(accepted.pk, rival.pk, StaffFactory(), "asked to")

    response = step(client, accepted, "released")

    assert (response.status_code, response.json()) == (200, {"id": accepted.pk, "status": "released"})


def test_a_no_show_cancels_at_the_pickup(client, driver, accepted):
    assert step(client, accepted, "no_show").status_code == 409
    step_there(accepted.pk, "driver_arrived")
    assert step(client, accepted, "no_show").json()["code"] == "trip.no_show_too_early"
    long_ago = timezone.now() - dt.timedelta(minutes=6)
    accepted.transitions.update(created_at=long_ago)
    Trip.objects.update(departure_at=long_ago)

    response = step(client, accepted, "no_show")

    assert (response.status_code, response.json()["status"]) == (200, "cancelled")


def test_another_drivers_trip_is_not_found(rival, accepted):
    refused = step(as_user(rival.user), accepted, "en_route")

    assert (refused.status_code, refused.json()["code"]) == (404, "trip.not_found")


def test_a_suspended_driver_finishes_the_trip_under_way(client, driver, accepted):
    step(client, accepted, "en_route")
    place(driver, accepted.pickup_lat, accepted.pickup_lng)
    approvals.suspend(driver.pk, StaffFactory.create(), "Complaint")

    assert step(client, accepted, "driver_arrived").status_code == 200
    refused = client.get("/api/drivers/offers")
    assert (refused.status_code, refused.json()["code"]) == (403, "driver.not_approved")


def test_availability_has_a_limit_of_its_own(client, driver):
    ServiceSettings(pk=1, status_per_min=2).save()

    wanted = ("offline", "available", "offline")
    answers = [client.put("/api/drivers/availability", {"availability": one}, format="json") for one in wanted]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    driver.refresh_from_db()
    assert driver.availability == "available"


def test_status_updates_have_a_limit_of_their_own(client, accepted):
    ServiceSettings(pk=1, status_per_min=2).save()

    codes = [step(client, accepted, status).status_code for status in ("en_route", "en_route", "driver_arrived")]

    assert codes == [200, 200, 429]
    refused = step(client, accepted, "driver_arrived")
    assert refused.json()["code"] == "rate.limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert client.get("/api/drivers/offers").status_code == 200
