"""The page on which staff take calls: who may open it, what it draws of who calls, booking by its form."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from stepper.models import User
from tests.factories import PassengerFactory, StaffFactory, TripFactory, UserFactory
from tests.phones import PHONE, SPELLINGS
from trips.models import Trip
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

# Session, user, rights, who calls, their trips, places, who took calls: however many trips they have.
# The last is the look in the audit log.
QUERIES = 11
PERMISSIONS = ("add_trip", "change_trip", "view_user")
FORM = {
    "phone": "8 747 123 45 67",
    "caller_name": "Aigerim",
    "sms_language": "en",
    "request_key": "0123456789abcdef",
    "pickup_name": "Almaty",
    "dropoff_name": "Medeu",
    "departure": "now",
    "vehicle_class": "sedan",
    "seats": "1",
}


@pytest.fixture
def operator(client: Client) -> User:
    user: User = UserFactory.create(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=PERMISSIONS))
    client.force_login(user)
    return user


@pytest.mark.parametrize("lacking", PERMISSIONS)
@pytest.mark.parametrize("path", ["", "caller/", "quote/", "book/"])
def test_each_address_needs_every_permission(client: Client, operator: User, lacking: str, path: str) -> None:
    operator.user_permissions.remove(Permission.objects.get(codename=lacking))
    send = client.post if path else client.get
    assert send(f"/ops/call/{path}", FORM).status_code == 403
    assert not Trip.objects.exists()


@pytest.mark.parametrize("path", ["caller/", "quote/", "book/"])
def test_nothing_is_done_by_get(client: Client, operator: User, path: str) -> None:
    assert client.get(f"/ops/call/{path}").status_code == 405


@pytest.mark.parametrize("written", ["+77471234567", "%2B77471234567", "87471234567", "nonsense", ""])
def test_address_of_an_exchange_opens_the_card(client: Client, operator: User, written: str) -> None:
    page = client.get(f"/ops/call/?phone={written}").content.decode()
    assert f'data-phone="{PHONE if "7471234567" in written else ""}"' in page


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_caller_is_drawn_with_what_to_do_next(client: Client, operator: User, spelling: str) -> None:
    caller = PassengerFactory.create(phone=PHONE, name="Aliya <Omarova>")
    TripFactory.create(organiser=caller, status=TripStatus.COMPLETED)
    waiting = TripFactory.create(organiser=caller, status=TripStatus.PUBLISHED)
    drawn = client.post("/ops/call/caller/", {"phone": spelling}).content.decode()
    assert "Aliya &lt;Omarova&gt;" in drawn
    assert f'href="/ops/trips/{waiting.pk}/"' in drawn
    assert 'data-key="KeyQ"' in drawn


@pytest.mark.parametrize("number", [1, 5])
def test_caller_is_found_by_as_many_queries_however_many_trips(
    client: Client, operator: User, number: int, django_assert_num_queries: Any
) -> None:
    caller = PassengerFactory.create(phone=PHONE)
    for _trip in range(number):
        TripFactory.create(organiser=caller, status=TripStatus.COMPLETED)
        TripFactory.create(organiser=caller, status=TripStatus.PUBLISHED)
    client.post("/ops/call/caller/", {"phone": PHONE})
    with django_assert_num_queries(QUERIES):
        client.post("/ops/call/caller/", {"phone": PHONE})


def test_form_books_once_and_says_by_whom(client: Client, operator: User) -> None:
    first, second = (client.post("/ops/call/book/", FORM) for _press in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    trip = Trip.objects.get()
    assert trip.organiser.phone == PHONE
    assert f"Call taken by {operator.name}" in first.content.decode()
    assert f">#{trip.pk}</span>" in first.content.decode()
    assert "Booked already" in second.content.decode()


def test_without_sms_the_page_says_so_and_shows_the_link(client: Client, operator: User, settings: Any) -> None:
    settings.SMS_PROVIDER, settings.PUBLIC_URL = None, ""
    assert "call-sms-off" in client.get("/ops/call/").content.decode()
    booked = client.post("/ops/call/book/", FORM).content.decode()
    assert "call-no-sms" in booked
    assert 'value="http://testserver/t/' in booked


def test_refusals_name_their_field(client: Client, operator: User) -> None:
    answer = client.post("/ops/call/book/", FORM | {"caller_name": "", "dropoff_name": "Nowhere at all"})
    assert answer.status_code == 422
    assert "Dropoff:" in answer.content.decode()
    answer = client.post("/ops/call/book/", FORM | {"caller_name": ""})
    assert "Caller&#x27;s name:" in answer.content.decode()
    PassengerFactory.create(phone=PHONE, is_active=False)
    assert "is closed" in client.post("/ops/call/book/", FORM).content.decode()
    assert not Trip.objects.exists()


def test_superusers_of_the_company_take_calls_too(client: Client) -> None:
    client.force_login(StaffFactory.create())
    assert client.get("/ops/call/").status_code == 200
