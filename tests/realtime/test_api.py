"""REST for notifications: one's own by category, with how many are unread; read one by one or together."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from realtime.delivery.notifications import mark_read, notify
from realtime.models import Notification
from stepper.models import User
from tests.factories import PassengerFactory

pytestmark = pytest.mark.django_db

LIST = "/api/notifications"


@pytest.fixture
def user() -> User:
    return PassengerFactory()


@pytest.fixture
def client(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def told(user: User, *categories: str) -> list[Notification]:
    return [notify(user, f"About {one}", audience="passenger", category=one) for one in categories]


def test_list_has_ones_own_newest_first_with_the_unread_of_each_category(client: APIClient, user: User) -> None:
    trip, system = told(user, "trip", "system")
    told(PassengerFactory(), "chat")
    mark_read(user.pk, system.pk)

    body = client.get(LIST).json()

    assert [row["id"] for row in body["results"]] == [system.pk, trip.pk]
    assert body["results"][1] | {"created_at": None} == {
        "id": trip.pk,
        "title": "About trip",
        "message": "",
        "priority": "normal",
        "category": "trip",
        "action_url": "",
        "created_at": None,
        "read_at": None,
    }
    assert body["results"][0]["read_at"] is not None
    assert (body["unread"], body["unread_by_category"]) == (1, {"trip": 1, "system": 0})


def test_list_of_a_category_goes_on_page_by_page(client: APIClient, user: User) -> None:
    told(user, "trip", "system", "trip", "trip")

    page = client.get(LIST, {"category": "trip", "page_size": "2"}).json()
    rest = client.get(page["next"]).json()

    assert [row["category"] for row in page["results"] + rest["results"]] == ["trip"] * 3
    assert rest["next"] is None
    assert page["unread"] == 4


@pytest.mark.parametrize("number", [1, 3])
def test_list_costs_the_same_for_one_and_three(
    client: APIClient, user: User, number: int, query_count: Callable[[int, int], Any]
) -> None:
    told(user, *["trip"] * number)
    with query_count(3, 3):
        assert len(client.get(LIST).json()["results"]) == number


def test_unknown_category_is_refused(client: APIClient) -> None:
    refused = client.get(LIST, {"category": "weather"})
    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["category"])
    refused = client.post(f"{LIST}/read", {"category": "weather"}, format="json")
    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["category"])


def test_reading_one_twice_gives_the_same_answer(client: APIClient, user: User) -> None:
    (row,) = told(user, "trip")

    first, again = (client.post(f"{LIST}/{row.pk}/read") for _time in range(2))

    assert first.json() == again.json()
    assert (first.status_code, first.json()["id"]) == (200, row.pk)
    assert first.json()["read_at"] is not None


def test_somebody_elses_is_not_found(client: APIClient) -> None:
    (row,) = told(PassengerFactory(), "trip")

    refused = client.post(f"{LIST}/{row.pk}/read")

    assert (refused.status_code, refused.json()["code"]) == (404, "notification.not_found")
    assert Notification.objects.get().read_at is None


def test_reading_all_says_how_many_and_what_is_left(client: APIClient, user: User) -> None:
    told(user, "trip", "trip", "system")
    told(PassengerFactory(), "trip")

    assert client.post(f"{LIST}/read", {"category": "trip"}, format="json").json() == {"read": 2, "unread": 1}
    assert client.post(f"{LIST}/read").json() == {"read": 1, "unread": 0}
    assert client.post(f"{LIST}/read").json() == {"read": 0, "unread": 0}
    assert Notification.objects.filter(read_at=None).count() == 1
