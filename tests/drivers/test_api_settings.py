"""REST for drivers: availability, positions, filters, and who is signed in."""

import datetime as dt

import pytest
from django.utils import timezone

from drivers.models import Availability, Driver, DriverPosition
from drivers.positions import buffer
from tests.factories import ALMATY, DriverFactory, PassengerFactory
from tests.rest import as_user, book
from trips import accepting, driving

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_buffer(monkeypatch):
    """What this process remembers of another test's drivers is not about these, whose numbers are the same."""
    monkeypatch.setattr(buffer, "report", buffer.PositionBuffer().report)


@pytest.fixture
def driver():
    return DriverFactory(at=ALMATY)


@pytest.fixture
def client(driver):
    return as_user(driver.user)


# Availability


def test_going_offline_and_online(client, driver):
    offline = client.put("/api/drivers/availability", {"availability": "offline"}, format="json")
    assert (offline.status_code, offline.json()) == (200, {"availability": "offline", "is_online": False})

    online = client.put("/api/drivers/availability/", {"availability": "available"}, format="json")
    again = client.put("/api/drivers/availability", {"availability": "available"}, format="json")

    assert online.json() == again.json() == {"availability": "available", "is_online": True}


def test_going_offline_on_a_trip_waits_for_its_end(client, driver):
    trip = book(as_user(PassengerFactory()))
    accepting.accept_trip(driver.pk, trip["id"])
    driving.update_status(driver.pk, trip["id"], status="en_route")

    response = client.put("/api/drivers/availability", {"availability": "offline"}, format="json")

    assert response.json() == {"availability": "busy", "is_online": False}


def test_going_online_without_a_vehicle_is_refused():
    driver = DriverFactory(vehicle=None)

    refused = as_user(driver.user).put("/api/drivers/availability", {"availability": "available"}, format="json")

    assert (refused.status_code, refused.json()["code"]) == (409, "driver.no_vehicle")


@pytest.mark.parametrize("wanted", ["busy", "", None, True, 1, ["available"]])
def test_a_wrong_availability_is_refused(client, wanted):
    response = client.put("/api/drivers/availability", {"availability": wanted}, format="json")

    assert response.status_code == 400
    assert set(response.json()["fields"]) == {"availability"}
    assert Driver.objects.get().availability == Availability.AVAILABLE


# Positions


def report(client, body, address="/api/drivers/location"):
    return client.post(address, body, format="json")


@pytest.mark.parametrize("address", ["/api/drivers/location", "/api/drivers/location/"])
def test_one_point_is_taken(client, driver, address):
    response = report(client, {"lat": 43.223, "lng": 76.85, "speed_kmh": 40, "heading_deg": 90}, address)

    counts = {"accepted": 1, "dropped": 0, "kept_aside": 0, "clamped": 0, "late": 0}
    assert (response.status_code, response.json()) == (200, counts)
    position = DriverPosition.objects.get(driver=driver)
    assert (position.lat, position.lng, position.speed_kmh, position.heading_deg) == (43.223, 76.85, 40, 90)


def test_what_became_of_many_points_is_said(client, driver):
    """Too old; believed; a jump, between two that are believed; nowhere; inaccurate; of a clock that is ahead."""
    now = timezone.now()

    def point(lat, seconds, **fields):
        return {"lat": lat, "lng": 76.85, "recorded_at": (now + dt.timedelta(seconds=seconds)).isoformat(), **fields}

    DriverPosition.objects.update(recorded_at=now - dt.timedelta(seconds=60))
    points = [
        point(43.221, -90),
        point(43.225, -10),
        point(43.223, -20),
        point(-43.224, -15),
        point(0, -8, lng=0),
        point(43.224, -7, accuracy_m=1500),
        point(43.226, 600),
    ]
    response = report(client, {"points": points})

    assert response.json() == {"accepted": 3, "dropped": 3, "kept_aside": 1, "clamped": 1, "late": 0}
    assert DriverPosition.objects.get(driver=driver).lat == 43.226


def test_a_phone_ahead_of_time_is_set_to_now(client, driver):
    report(client, {"lat": 43.3, "lng": 76.9, "recorded_at": "2099-01-01T00:00:00Z"})

    assert DriverPosition.objects.get(driver=driver).recorded_at <= timezone.now()


POINT = {"lat": 43.3, "lng": 76.9}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"lat": 43.3}, "lng"),
        ({**POINT, "lat": 90.01}, "lat"),
        ({**POINT, "lng": -180.01}, "lng"),
        ({**POINT, "lat": "43.3"}, "lat"),
        ({**POINT, "lat": True}, "lat"),
        ({**POINT, "lat": None}, "lat"),
        ({**POINT, "heading_deg": 361}, "heading_deg"),
        ({**POINT, "speed_kmh": -1}, "speed_kmh"),
        ({**POINT, "accuracy_m": 10**400}, "accuracy_m"),
        ({**POINT, "recorded_at": "2030-01-01T00:00:00"}, "recorded_at"),
        ({**POINT, "recorded_at": 5}, "recorded_at"),
        ({"points": []}, "points"),
        ({"points": None}, "points"),
        ({"points": POINT}, "points"),
        ({"points": [POINT] * 101}, "points"),
        ({"points": [POINT, {**POINT, "lat": -91}]}, "points.1.lat"),
        ({"points": [5]}, "points.0"),
        ({"points": [{"lng": 76.9}]}, "points.0.lat"),
        ({}, "lat"),
        ([POINT], "body"),
    ],
)
def test_a_wrong_point_is_named_and_nothing_is_taken(client, driver, body, field):
    response = report(client, body)

    assert response.status_code == 400
    assert response.json()["code"] == "input.invalid"
    assert set(response.json()["fields"]) == {field}
    assert DriverPosition.objects.get(driver=driver).lat == ALMATY[0]


@pytest.mark.parametrize("recorded_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_the_ends_of_time_are_no_fault(client, recorded_at):
    assert report(client, {**POINT, "recorded_at": recorded_at}).status_code in {200, 400}
    fresh = DriverFactory()
    assert report(as_user(fresh.user), {**POINT, "recorded_at": recorded_at}).status_code in {200, 400}


# Filters


def test_filters_keep_what_is_left_out_and_null_removes(client):
    assert client.get("/api/drivers/filters").json() == {
        "max_distance_km": None,
        "min_earnings": None,
        "trip_types": ["private", "shared"],
        "accepts_long_distance": True,
    }

    stored = client.put("/api/drivers/filters", {"max_distance_km": 20, "min_earnings": 1500}, format="json")
    assert stored.status_code == 200
    stored = client.put(
        "/api/drivers/filters/",
        {"max_distance_km": None, "trip_types": ["private"], "accepts_long_distance": False},
        format="json",
    )

    assert stored.json() == {
        "max_distance_km": None,
        "min_earnings": 1500,
        "trip_types": ["private"],
        "accepts_long_distance": False,
    }
    assert client.get("/api/drivers/filters/").json() == stored.json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"max_distance_km": 0}, "max_distance_km"),
        ({"max_distance_km": 1001}, "max_distance_km"),
        ({"max_distance_km": "5"}, "max_distance_km"),
        ({"min_earnings": -1}, "min_earnings"),
        ({"min_earnings": 1.5}, "min_earnings"),
        ({"min_earnings": True}, "min_earnings"),
        ({"min_earnings": 10**30}, "min_earnings"),
        ({"trip_types": []}, "trip_types"),
        ({"trip_types": ["cargo"]}, "trip_types.0"),
        ({"trip_types": None}, "trip_types"),
        ({"accepts_long_distance": 1}, "accepts_long_distance"),
        ([], "body"),
    ],
)
def test_wrong_filters_are_refused(client, body, field):
    response = client.put("/api/drivers/filters", body, format="json")

    assert response.status_code == 400
    assert set(response.json()["fields"]) == {field}
    assert Driver.objects.get().trip_types == ["private", "shared"]


# Who is signed in


def test_me_of_a_driver(client, driver):
    me = client.get("/api/me/").json()

    assert me["id"] == driver.user.pk
    assert me["driver"] == {
        "id": driver.pk,
        "approval": "approved",
        "availability": "available",
        "is_online": True,
        "licence_expires_on": driver.licence_expires_on.isoformat(),
        "rating": None,
        "rating_count": 0,
        "vehicle": {
            "make": "Toyota",
            "model": "Camry",
            "colour": "White",
            "plate": driver.vehicle.plate_text,
            "seats": 4,
            "vehicle_class": "sedan",
        },
        "filters": {
            "max_distance_km": None,
            "min_earnings": None,
            "trip_types": ["private", "shared"],
            "accepts_long_distance": True,
        },
    }


# Working time


def test_hours_are_stored_and_answered(client, driver):
    monday = {"mon": {"from": "08:00", "to": "18:00"}}
    answer = client.put(
        "/api/drivers/hours", {"hours": monday, "timezone": "Asia/Bishkek", "auto_offline_min": 90}, format="json"
    )
    assert answer.status_code == 200
    assert answer.json() == client.get("/api/drivers/hours").json()
    stored = answer.json()
    assert (stored["hours"], stored["timezone"], stored["auto_offline_min"]) == (monday, "Asia/Bishkek", 90)
    assert stored["next_change_at"] is not None
    kept = client.put("/api/drivers/hours", {"auto_offline_min": 60}, format="json").json()
    assert (kept["hours"], kept["auto_offline_min"]) == (monday, 60)
    assert client.put("/api/drivers/hours", {"hours": {}}, format="json").json()["next_change_at"] is None


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"hours": {"mon": {"from": "8:00", "to": "18:00"}}}, "hours.from", "This is not what it should be."),
        ({"hours": {"mon": {"from": "08:00"}}}, "hours.to", "This field is required."),
        ({"hours": {"mon": {"from": "24:00", "to": "18:00"}}}, "hours.from", "This is not what it should be."),
        ({"hours": {"mo": {"from": "08:00", "to": "18:00"}}}, "hours", "This is not what it should be."),
        ({"timezone": "Mars/Olympus"}, "timezone", "There is no such time zone."),
        ({"timezone": "../etc/passwd"}, "timezone", "There is no such time zone."),
        ({"auto_offline_min": 59}, "auto_offline_min", "At least 60."),
        ({"auto_offline_min": 241}, "auto_offline_min", "At most 240."),
        ({"auto_offline_min": "90"}, "auto_offline_min", "This is not what it should be."),
    ],
)
def test_wrong_hours_are_refused(client, body, field, words):
    answer = client.put("/api/drivers/hours", body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, "input.invalid")
    assert answer.json()["fields"] == {field: [words]}


def test_a_break_now_and_its_end(client, driver):
    started = client.post("/api/drivers/breaks", {"minutes": 30}, format="json")
    assert started.status_code == 201
    assert started.json()["resumes"] is True
    assert started.json()["starts_at"].endswith("Z")
    assert started.json()["ends_at"].endswith("Z")
    assert Driver.objects.get().availability == Availability.OFFLINE
    assert [row["id"] for row in client.get("/api/drivers/breaks").json()["breaks"]] == [started.json()["id"]]
    again = client.post("/api/drivers/breaks", {"minutes": 30}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "driver.offline")

    address = f"/api/drivers/breaks/{started.json()['id']}"
    assert as_user(DriverFactory().user).delete(address).status_code == 404
    assert client.delete(address).json()["ended_at"] is not None
    assert client.delete(address).status_code == 200
    assert Driver.objects.get(pk=driver.pk).availability == Availability.AVAILABLE
    assert client.get("/api/drivers/breaks").json() == {"breaks": []}


def test_a_planned_break(client):
    start = timezone.now() + dt.timedelta(hours=2)
    body = {"starts_at": start.isoformat(), "ends_at": (start + dt.timedelta(minutes=45)).isoformat()}
    planned = client.post("/api/drivers/breaks", body, format="json")
    assert (planned.status_code, planned.json()["started_at"]) == (201, None)
    assert client.post("/api/drivers/breaks", body, format="json").json()["code"] == "driver.break_overlap"


@pytest.mark.parametrize(
    "body", [{}, {"minutes": 4}, {"minutes": 30, "starts_at": "2030-01-01T00:00:00Z"}, {"ends_at": "2030-01-01T00:00"}]
)
def test_a_break_without_its_times_is_refused(client, body):
    assert client.post("/api/drivers/breaks", body, format="json").status_code == 400
    assert Driver.objects.get().availability == Availability.AVAILABLE


@pytest.mark.parametrize("address", ["hours", "breaks", "availability/changes"])
def test_working_time_is_for_drivers(address):
    refused = as_user(PassengerFactory()).get(f"/api/drivers/{address}")
    assert (refused.status_code, refused.json()["code"]) == (403, "driver.not_a_driver")


@pytest.mark.parametrize("rows", [1, 3])
def test_history_of_availability(client, driver, rows, query_count):
    for number in range(rows):
        client.put(
            "/api/drivers/availability", {"availability": "available" if number % 2 else "offline"}, format="json"
        )
    other = DriverFactory(at=ALMATY)
    as_user(other.user).put("/api/drivers/availability", {"availability": "offline"}, format="json")
    with query_count(5, 5):
        found = client.get("/api/drivers/availability/changes").json()["results"]
    assert len(found) == rows
    assert found[0]["created_at"].endswith("Z")
    assert (found[-1]["previous"], found[-1]["availability"], found[-1]["cause"]) == ("available", "offline", "driver")


def test_what_the_phone_sends_is_no_activity_and_what_the_driver_does_is(client, driver):
    long_ago = timezone.now() - dt.timedelta(minutes=100)
    Driver.objects.update(active_at=long_ago)
    report(client, {"lat": 43.3, "lng": 76.9})
    client.get("/api/drivers/offers")
    assert Driver.objects.get().active_at == long_ago
    client.put("/api/drivers/availability", {"availability": "available"}, format="json")
    assert Driver.objects.filter(active_at__gt=timezone.now() - dt.timedelta(minutes=1)).exists()
