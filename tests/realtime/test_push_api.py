"""Pushes over REST and on their page: subscribing a browser, ending it, choosing kinds."""

import pytest
from django.test import Client
from rest_framework.test import APIClient

from realtime.models import PushSubscription
from realtime.push.encryption import vapid_public_key
from realtime.push.subscriptions import Topic
from stepper.models import User
from tests.factories import PASSWORD, PassengerFactory
from tests.push_service import Browser
from tests.rest import as_user

pytestmark = pytest.mark.django_db

ENDPOINT = "https://fcm.googleapis.com/fcm/send/abc"


@pytest.fixture
def user() -> User:
    return PassengerFactory(email="a@example.test")


def body(**changes: object) -> dict[str, object]:
    return {"endpoint": ENDPOINT, "expirationTime": None, "keys": Browser().keys} | changes


def test_browser_subscribes_with_its_session_and_ends_it(user: User) -> None:
    client = as_user(user)
    state = client.get("/api/push").json()
    assert state == {
        "is_offered": True,
        "public_key": vapid_public_key(),
        "is_subscribed": False,
        "topics": dict.fromkeys(list(Topic), True),
    }
    given = body()
    for _time in range(2):
        response = client.post("/api/push", given, format="json")
        assert (response.status_code, response.json()["is_subscribed"]) == (201, True)
    row = PushSubscription.objects.get()
    assert (row.user, row.session_id) == (user, client.session.session_key)
    for _time in range(2):
        assert client.delete("/api/push").status_code == 204
    assert not PushSubscription.objects.exists()


def test_program_subscribes_with_the_session_of_its_token(user: User) -> None:
    client = APIClient()
    tokens = client.post("/api/token", {"email": "a@example.test", "password": PASSWORD}, format="json").json()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
    assert client.post("/api/push", body(), format="json").status_code == 201
    assert PushSubscription.objects.get().session.account_session.is_program
    client.post("/api/token/revoke", {"refresh": tokens["refresh"]}, format="json")
    assert not PushSubscription.objects.exists()


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"endpoint": "https://example.test/x"}, "push.endpoint_refused", "endpoint"),
        ({"endpoint": "https://fcm.googleapis.com/" + "x" * 1000}, "input.invalid", "endpoint"),
        ({"keys": {"p256dh": "AAAA", "auth": "AAAA"}}, "input.invalid", "keys.p256dh"),
        ({"keys": {}}, "input.invalid", "keys.p256dh"),
        ({"keys": None}, "input.invalid", "keys"),
    ],
)
def test_what_is_no_subscription_is_refused_at_its_field(user: User, changes: dict, code: str, field: str) -> None:
    response = as_user(user).post("/api/push", body(**changes), format="json")
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert field in response.json()["fields"]


def test_kinds_are_chosen_one_by_one_and_stay_chosen(user: User) -> None:
    client = as_user(user)
    topics = client.put("/api/push/topics", {"offer": False, "chat": False}, format="json").json()["topics"]
    assert (topics["offer"], topics["chat"], topics["trip"]) == (False, False, True)
    assert client.put("/api/push/topics", {"chat": True}, format="json").json()["topics"]["offer"] is False
    assert as_user(User.objects.get(pk=user.pk)).get("/api/push").json()["topics"]["offer"] is False
    assert client.put("/api/push/topics", {"chat": "perhaps"}, format="json").status_code == 400


def test_page_shows_the_state_and_stores_the_kinds(user: User) -> None:
    client = Client()
    client.force_login(user)
    page = client.get("/notifications/push/").content.decode()
    assert f'data-key="{vapid_public_key()}"' in page
    assert 'data-testid="push-toggle"' in page
    # Only drivers choose whether they want offers; for others that stays as it is.
    assert page.count("checked") == len(Topic) - 1
    assert '<input type="hidden" name="offer" value="on">' in page
    assert client.post("/notifications/push/", {"offer": "on", "trip": "on"}).status_code == 302
    page = client.get("/notifications/push/").content.decode()
    assert page.count("checked") == 1


def test_page_turns_this_browser_off_without_scripts(user: User) -> None:
    client, elsewhere = as_user(user), as_user(user)
    client.post("/api/push", body(), format="json")
    elsewhere.post("/api/push", body(endpoint=f"{ENDPOINT}d"), format="json")
    assert client.post("/notifications/push/off/").status_code == 302
    assert PushSubscription.objects.get().endpoint == f"{ENDPOINT}d"


def test_page_of_a_service_without_a_key_says_so(user: User, settings) -> None:
    settings.VAPID_PRIVATE_KEY = ""
    client = Client()
    client.force_login(user)
    page = client.get("/notifications/push/").content.decode()
    assert "push-toggle" not in page
    assert "sends no pushes" in page
