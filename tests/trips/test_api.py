"""REST for trips: booking, quote, list, detail; for the right person, the wrong one, twice, and with wrong input."""

import datetime as dt

import pytest
from django.utils import timezone

from stepper.models import User
from tests.drives import step_there
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.rest import BOOKING, DROPOFF, PICKUP, as_user, book
from trips import accepting
from trips.models import Offer, Trip
from trips.states import STEPS, VehicleClass

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


@pytest.fixture
def several(passenger):
    """The passenger may have several trips at once, as a hotel may."""
    User.objects.filter(pk=passenger.pk).update(max_overlapping_trips=5)


# Booking


def test_booking_publishes_the_trip_and_offers_it(client, passenger, driver):
    response = client.post("/api/trips", BOOKING, format="json")

    assert response.status_code == 201
    trip = response.json()
    assert trip["status"] == "offered"
    assert trip["pickup"] == PICKUP
    assert trip["dropoff"] == {**DROPOFF, "address": ""}
    assert trip["is_now"] is True
    assert trip["timezone"] == "Asia/Almaty"
    assert trip["seats"] == 1
    assert trip["vehicle_class"] == "sedan"
    row = Trip.objects.get()
    assert trip["fare"] == row.platform_fee + row.driver_earnings
    assert trip["offers_open"] == 1
    assert trip["driver"] is None
    assert trip["vehicle"] is None
    assert trip["organiser"] == {
        "id": passenger.pk,
        "name": "Aigerim Kassymova",
        "phone": str(passenger.phone),
        "rating": None,
        "rating_count": 0,
    }
    assert Offer.objects.get().driver == driver


def test_booking_with_nobody_around_says_when_it_is_looked_again(client):
    trip = book(client)

    assert trip["status"] == "unfilled"
    assert trip["offers_open"] == 0
    assert trip["next_look_at"].endswith("Z")


def test_booking_ignores_what_the_client_says_about_money(client, several):
    honest = book(client)
    claimed = book(client, fare=1, platform_fee=0, driver_earnings=1, seat_price=1, status="completed", driver=1)

    assert {key: claimed[key] for key in ("fare", "seat_price", "status")} == {
        key: honest[key] for key in ("fare", "seat_price", "status")
    }
    first, second = Trip.objects.order_by("pk").values_list("platform_fee", "driver_earnings")
    assert first == second


def test_booking_for_a_chosen_time_keeps_the_instant(client):
    departure_at = (timezone.now() + dt.timedelta(days=2)).replace(microsecond=0)
    there = departure_at.astimezone(dt.timezone(dt.timedelta(hours=5)))

    trip = book(client, departure_at=there.isoformat(), seats=3, vehicle_class="suv", bags=2, note="Child seat")

    assert dt.datetime.fromisoformat(trip["departure_at"]) == departure_at
    assert (trip["is_now"], trip["seats"], trip["vehicle_class"], trip["bags"], trip["note"]) == (
        False,
        3,
        "suv",
        2,
        "Child seat",
    )


def test_booking_twice_with_one_key_is_one_trip(client):
    first = client.post("/api/trips", BOOKING, format="json", headers={"Idempotency-Key": "k-1"})
    again = client.post("/api/trips/", BOOKING, format="json", headers={"Idempotency-Key": "k-1"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert Trip.objects.count() == 1


def test_a_key_is_each_users_own(client, stranger):
    first = client.post("/api/trips", BOOKING, format="json", headers={"Idempotency-Key": "k-1"})
    other = as_user(stranger).post("/api/trips", BOOKING, format="json", headers={"Idempotency-Key": "k-1"})

    assert other.status_code == 201
    assert first.json()["id"] != other.json()["id"]


@pytest.mark.parametrize("key", ["", "k" * 65, "a b", "ключ"])
def test_a_wrong_key_is_refused(client, key):
    response = client.post("/api/trips", BOOKING, format="json", headers={"Idempotency-Key": key})

    assert response.status_code == 400
    assert set(response.json()["fields"]) == {"Idempotency-Key"}


WRONG = [
    ({"pickup": None}, "pickup"),
    ({"pickup": "Almaty"}, "pickup"),
    ({"pickup": [43, 76]}, "pickup"),
    ({"pickup": {"name": "x", "lng": 76.9}}, "pickup.lat"),
    ({"pickup": {**PICKUP, "lat": 90.1}}, "pickup.lat"),
    ({"pickup": {**PICKUP, "lat": "43.2"}}, "pickup.lat"),
    ({"pickup": {**PICKUP, "lat": True}}, "pickup.lat"),
    ({"pickup": {**PICKUP, "lat": 10**400}}, "pickup.lat"),
    ({"pickup": {**PICKUP, "lng": -180.1}}, "pickup.lng"),
    ({"pickup": {**PICKUP, "name": ""}}, "pickup.name"),
    ({"pickup": {**PICKUP, "name": 5}}, "pickup.name"),
    ({"pickup": {**PICKUP, "name": "a\x00b"}}, "pickup.name"),
    ({"pickup": {**PICKUP, "name": "x" * 121}}, "pickup.name"),
    ({"pickup": {**PICKUP, "address": "x" * 201}}, "pickup.address"),
    ({"dropoff": {**DROPOFF, "lat": -91}}, "dropoff.lat"),
    ({"dropoff": PICKUP}, "dropoff"),
    ({"dropoff": {**PICKUP, "lat": 43.2452}}, "dropoff"),
    ({"departure_at": "2001-01-01T00:00:00Z"}, "departure_at"),
    ({"departure_at": "2099-01-01T00:00:00Z"}, "departure_at"),
    ({"departure_at": "2099-01-01T00:00:00"}, "departure_at"),
    ({"departure_at": "9999-12-31T23:59:59Z"}, "departure_at"),
    ({"departure_at": "0001-01-01T00:00:00+14:00"}, "departure_at"),
    ({"departure_at": "soon"}, "departure_at"),
    ({"departure_at": 1900000000}, "departure_at"),
    ({"departure_at": True}, "departure_at"),
    ({"departure_at": ""}, "departure_at"),
    ({"seats": 0}, "seats"),
    ({"seats": -1}, "seats"),
    ({"seats": 5}, "seats"),
    ({"seats": 51, "vehicle_class": "bus"}, "seats"),
    ({"seats": 10**30}, "seats"),
    ({"seats": True}, "seats"),
    ({"seats": "2"}, "seats"),
    ({"seats": 1.5}, "seats"),
    ({"seats": None}, "seats"),
    ({"vehicle_class": "rocket"}, "vehicle_class"),
    ({"vehicle_class": ["sedan"]}, "vehicle_class"),
    ({"vehicle_class": {"a": 1}}, "vehicle_class"),
    ({"vehicle_class": None}, "vehicle_class"),
    ({"bags": -1}, "bags"),
    ({"bags": 51}, "bags"),
    ({"bags": False}, "bags"),
    ({"note": "x" * 301}, "note"),
    ({"note": 1}, "note"),
    ({"note": "\x00"}, "note"),
]


@pytest.mark.parametrize(("changes", "field"), WRONG)
def test_wrong_input_names_its_field_and_writes_nothing(client, changes, field):
    response = client.post("/api/trips", {**BOOKING, **changes}, format="json")

    assert response.status_code == 400
    assert set(response.json()) == {"code", "message", "fields"}
    ahead = changes.get("departure_at") == "2099-01-01T00:00:00Z"
    assert response.json()["code"] == ("booking.too_far_ahead" if ahead else "input.invalid")
    assert field in response.json()["fields"]
    assert not Trip.objects.exists()
    quoted = client.post("/api/trips/quote", {**BOOKING, **changes}, format="json")
    assert (quoted.status_code, quoted.json()) == (400, response.json())


def test_every_wrong_field_is_named_at_once(client):
    response = client.post("/api/trips", {"pickup": {"lat": 91}, "seats": 0}, format="json")

    assert set(response.json()["fields"]) == {"pickup.name", "pickup.lat", "pickup.lng", "dropoff", "seats"}


# Quote


def test_quote_has_the_price_of_each_class_and_books_nothing(client, driver):
    quote = client.post("/api/trips/quote", BOOKING, format="json")

    assert quote.status_code == 200
    body = quote.json()
    # How the fare is split is none of a passenger's business.
    assert set(body) == {
        "distance_km",
        "duration_min",
        "zone",
        "base",
        "distance_fare",
        "multiplier",
        "fare",
        "seat_price",
        "classes",
        "asked_from",
        "quote",
        "kept_until",
    }
    assert [one["vehicle_class"] for one in body["classes"]] == VehicleClass.values
    sedan = body["classes"][0]
    assert sedan == {
        "vehicle_class": "sedan",
        "seats": 4,
        "has_room": True,
        "fare": body["fare"],
        "seat_price": body["seat_price"],
        "same_price": False,
        "wait_min": 20,
    }
    assert body["fare"] == book(client)["fare"]
    assert Trip.objects.count() == 1


@pytest.mark.parametrize(("who", "sees"), [("passenger", False), ("driver", True), ("staff", True)])
def test_how_the_fare_is_split_is_for_the_driver_and_staff(who, sees, passenger, driver):
    trip = TripFactory(organiser=passenger, driver=driver, status="accepted")
    user = {"passenger": passenger, "driver": driver.user, "staff": StaffFactory()}[who]
    body = as_user(user).get(f"/api/trips/{trip.pk}").json()
    split = (trip.platform_fee, trip.driver_earnings) if sees else (None, None)
    assert (body["platform_fee"], body["driver_earnings"]) == split


def test_quote_by_get_is_refused(client):
    assert client.get("/api/trips/quote").status_code == 405


# List


def test_list_is_ones_own_newest_first(client, several, stranger, driver):
    first, second = book(client), book(client)
    book(as_user(stranger))

    body = client.get("/api/trips").json()

    assert [trip["id"] for trip in body["results"]] == [second["id"], first["id"]]
    assert body["results"][1] == client.get(f"/api/trips/{first['id']}").json()
    assert (body["next"], body["previous"]) == (None, None)


def test_list_of_a_driver_is_what_they_drive(client, driver):
    trip = book(client)
    assert as_user(driver.user).get("/api/trips").json()["results"] == []

    accepting.accept_trip(driver.pk, trip["id"])

    assert [row["id"] for row in as_user(driver.user).get("/api/trips").json()["results"]] == [trip["id"]]


def test_list_of_staff_is_everybodys(client, stranger, staff):
    book(client)
    book(as_user(stranger))

    assert len(as_user(staff).get("/api/trips").json()["results"]) == 2


def test_list_by_status(client, several, driver):
    kept, cancelled = book(client), book(client)
    client.post(f"/api/trips/{cancelled['id']}/cancel")

    def listed(query):
        return {trip["id"] for trip in client.get(f"/api/trips?{query}").json()["results"]}

    assert listed("status=cancelled") == {cancelled["id"]}
    assert listed("status=offered&status=cancelled") == {kept["id"], cancelled["id"]}
    assert listed("status=completed") == set()


@pytest.mark.parametrize("query", ["status=odd", "status=", "status=%00", "status=offered&status=odd"])
def test_list_by_an_unknown_status_is_refused(client, query):
    response = client.get(f"/api/trips?{query}")

    assert response.status_code == 400
    assert set(response.json()["fields"]) == {"status"}


def test_list_is_paged_by_cursor(client, several):
    ids = [book(client)["id"] for _trip in range(3)]

    first = client.get("/api/trips?page_size=2").json()
    second = client.get(first["next"]).json()

    assert [trip["id"] for trip in first["results"]] == [ids[2], ids[1]]
    assert [trip["id"] for trip in second["results"]] == [ids[0]]
    assert second["next"] is None
    assert client.get(second["previous"]).json()["results"] == first["results"]


@pytest.mark.parametrize("cursor", ["x", "cD1hYmM=", "cD0lMDA=", "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "кот"])
def test_a_wrong_cursor_is_refused(client, cursor):
    response = client.get(f"/api/trips?cursor={cursor}")

    assert response.status_code == 400
    assert set(response.json()["fields"]) == {"cursor"}


@pytest.mark.parametrize("size", ["abc", "0", "-1", "1.5", "", "99999999999"])
def test_a_page_size_that_is_no_number_of_rows_is_refused(client, size):
    response = client.get(f"/api/trips?page_size={size}")

    assert response.status_code == 400
    assert set(response.json()["fields"]) == {"page_size"}


def test_all_that_is_wrong_with_a_list_is_named(client):
    response = client.get("/api/trips?page_size=abc&status=nonsense&cursor=x")

    assert response.status_code == 400
    assert set(response.json()["fields"]) == {"page_size", "status", "cursor"}
    assert response.json()["message"] == "What was sent is not valid: see fields."


@pytest.mark.parametrize("rows", [1, 3])
def test_list_costs_the_same_for_any_number_of_trips(client, several, driver, query_count, rows):
    ids = [book(client)["id"] for _trip in range(rows)]
    accepting.accept_trip(driver.pk, ids[0])

    # Session, user, settings of the limit, trips.
    with query_count(4, 4):
        assert len(client.get("/api/trips").json()["results"]) == rows


# Detail


def test_detail_is_for_the_people_on_the_trip_and_staff(client, stranger, driver, staff):
    trip_id = book(client)["id"]
    accepting.accept_trip(driver.pk, trip_id)

    assert client.get(f"/api/trips/{trip_id}").status_code == 200
    assert as_user(driver.user).get(f"/api/trips/{trip_id}/").status_code == 200
    assert as_user(staff).get(f"/api/trips/{trip_id}").status_code == 200
    refused = as_user(stranger).get(f"/api/trips/{trip_id}")
    assert (refused.status_code, refused.json()["code"]) == (404, "trip.not_found")


def test_an_offered_trip_is_not_yet_the_drivers(client, driver):
    trip_id = book(client)["id"]

    assert as_user(driver.user).get(f"/api/trips/{trip_id}").status_code == 404


def test_driver_and_passenger_see_each_others_phone_during_the_trip_only(client, passenger, driver):
    trip_id = book(client)["id"]
    accepting.accept_trip(driver.pk, trip_id)
    there = as_user(driver.user)

    seen = client.get(f"/api/trips/{trip_id}").json()
    assert seen["driver"] == {
        "id": driver.pk,
        "name": "Daniyar S.",
        "phone": str(driver.user.phone),
        "rating": None,
        "rating_count": 0,
    }
    assert seen["vehicle"]["plate"] == driver.vehicle.plate_text
    assert there.get(f"/api/trips/{trip_id}").json()["organiser"]["phone"] == str(passenger.phone)

    for step in STEPS[1:]:
        step_there(trip_id, step)

    assert client.get(f"/api/trips/{trip_id}").json()["driver"]["phone"] is None
    afterwards = there.get(f"/api/trips/{trip_id}").json()["organiser"]
    assert (afterwards["phone"], afterwards["name"]) == (None, "Aigerim K.")
