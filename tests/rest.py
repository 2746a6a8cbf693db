"""What the tests of the REST endpoints share: signed-in clients and a booking."""

from typing import Any

from rest_framework.test import APIClient

from stepper.models import User

PICKUP = {"name": "Hotel Kazakhstan", "address": "Dostyk 52", "lat": 43.2451, "lng": 76.9577}
DROPOFF = {"name": "Almaty airport", "lat": 43.3521, "lng": 77.0405}
BOOKING = {"pickup": PICKUP, "dropoff": DROPOFF}


def as_user(user: User) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def book(client: APIClient, **changes: Any) -> Any:
    """The trip's body, booked as the client's user."""
    response = client.post("/api/trips", {**BOOKING, **changes}, format="json")
    assert response.status_code == 201, response.content
    return response.json()
