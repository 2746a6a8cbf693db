"""Calls that an exchange announces: its token, whose pages open the card, once for each call."""

import hashlib
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.utils import timezone

from realtime import erasing, events
from realtime.models import Event
from stepper.accounts.person import Person
from stepper.call_exchange import read_extensions, read_token_digest
from stepper.models import User
from tests.factories import PassengerFactory, StaffFactory, UserFactory
from trips import fragments
from trips.room import fragments as room

pytestmark = pytest.mark.django_db

URL = "/api/calls"
TOKEN = "of the exchange"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def exchange(settings: Any) -> None:
    cache.clear()
    settings.CALL_TOKEN_SHA256 = hashlib.sha256(TOKEN.encode()).hexdigest()
    settings.CALL_EXTENSIONS = {"101": "asem@example.test"}


@pytest.fixture
def operator() -> User:
    user: User = UserFactory.create(is_staff=True, email="asem@example.test")
    user.user_permissions.set(Permission.objects.filter(codename__in=["add_trip", "change_trip", "view_user"]))
    return user


def _groups() -> list[str]:
    return sorted(Event.objects.filter(type="call.announced").values_list("group", flat=True))


def _post(client: Client, body: dict[str, str], headers: dict[str, str] | None = None) -> Any:
    return client.post(URL, body, content_type="application/json", headers=headers or ALLOWED)


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer wrong"}, {"X-Call-Token": ""}])
def test_who_does_not_know_the_token_is_refused(client: Client, operator: User, headers: dict[str, str]) -> None:
    assert _post(client, {"number": "87471234567"}, headers).status_code == 401
    for _number in range(10):
        _post(client, {"number": "87471234567"}, headers)
    assert _post(client, {"number": "87471234567"}, headers).status_code == 429
    assert _groups() == []
    # The exchange itself goes on.
    assert _post(client, {"number": "87471234567"}).status_code == 201


def test_without_a_token_there_is_no_such_thing(client: Client, settings: Any) -> None:
    settings.CALL_TOKEN_SHA256 = ""
    answer = _post(client, {"number": "87471234567"})
    assert (answer.status_code, answer.json()["code"]) == (404, "call.not_configured")


@pytest.mark.parametrize("wanted", ["101", "asem@example.test", "Asem@Example.test"])
def test_card_opens_at_the_operator_who_is_called(client: Client, operator: User, wanted: str) -> None:
    StaffFactory.create()
    answer = _post(client, {"number": "8 (747) 123-45-67", "operator": wanted, "call_id": "1777887000.42"})
    assert (answer.status_code, answer.json()) == (201, {"operators": 1, "repeated": False})
    assert _groups() == [f"user.{operator.pk}"]


def test_without_an_operator_it_opens_at_all_who_may_take_calls(client: Client, operator: User) -> None:
    other = StaffFactory.create()
    UserFactory.create(is_staff=True)
    PassengerFactory.create()
    assert client.get(URL, {"number": "87471234567"}, headers={"X-Call-Token": TOKEN}).status_code == 201
    assert _groups() == sorted([f"user.{operator.pk}", f"user.{other.pk}"])


def test_call_rings_whose_extension_it_is_among_many(client: Client, operator: User, settings: Any) -> None:
    others = [StaffFactory.create() for _number in range(3)]
    settings.CALL_EXTENSIONS = {"101": operator.email, "102": others[1].email, "1": others[2].email}
    for extension, rung in (("102", others[1]), ("101", operator)):
        Event.objects.all().delete()
        assert _post(client, {"number": "87471234567", "operator": extension}).json()["operators"] == 1
        assert _groups() == [f"user.{rung.pk}"]


def test_staff_who_may_not_take_calls_keep_nobody_from_being_rung(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many are rung as the limit says of those who may, not those of the first accounts who may."""
    monkeypatch.setattr("trips.incoming_calls.MOST_OPERATORS", 2)
    for names in ((), ("add_trip",), ("add_trip", "change_trip"), ("view_user", "view_trip")):
        user = UserFactory.create(is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
    may = [StaffFactory.create(), StaffFactory.create()]
    assert _post(client, {"number": "87471234567"}).json()["operators"] == 2
    assert _groups() == sorted(f"user.{one.pk}" for one in may)


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_staff": False}])
def test_extension_of_who_has_left_rings_nobody(client: Client, operator: User, change: dict[str, bool]) -> None:
    StaffFactory.create()
    User.objects.filter(pk=operator.pk).update(**change)
    assert _post(client, {"number": "87471234567", "operator": "101"}).status_code == 400
    assert _groups() == []


def test_call_that_is_announced_again_opens_one_card(client: Client, operator: User) -> None:
    body = {"number": "87471234567", "operator": "101", "call_id": "1"}
    assert [_post(client, body).status_code for _again in range(3)] == [201, 200, 200]
    assert _groups() == [f"user.{operator.pk}"]


@pytest.mark.parametrize("body", [{}, {"number": "12"}, {"number": "87471234567", "operator": "999"}])
def test_what_is_wrong_is_named(client: Client, operator: User, body: dict[str, str]) -> None:
    answer = _post(client, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "input.invalid")
    assert list(answer.json()["fields"]) == ["operator" if "operator" in body else "number"]
    assert _groups() == []


def test_card_names_who_has_proved_the_number_alone(client: Client, operator: User) -> None:
    caller = PassengerFactory.create(phone="+77471234567", name="Aliya <b>")
    _post(client, {"number": "87471234567"})
    event = events.decode_frame(Event.objects.get(type="call.announced").frame)
    assert isinstance(event, events.CallAnnounced)
    for draw in (fragments.list_render, room.render):
        assert "Aliya &lt;b&gt; calls" in draw(event, operator.pk)
    User.objects.filter(pk=caller.pk).update(phone_verified_at=None)
    assert "Aliya" not in fragments.list_render(event, operator.pk)


def test_erasing_who_called_takes_their_calls_out_of_the_log(client: Client, operator: User) -> None:
    caller = PassengerFactory.create(phone="+77471234567")
    for number in ("87471234567", "87471234568"):
        _post(client, {"number": number})
    Event.objects.update(published_at=timezone.now())
    erasing.erase(Person(caller.pk, None, "en", names=("Aliya", "+77471234567")))
    [left] = Event.objects.filter(type="call.announced").values_list("frame", flat=True)
    assert "+77471234568" in left


def test_settings_that_say_nothing_useful_are_refused() -> None:
    assert read_extensions("101=A@b.kz, 102=c@d.kz") == {"101": "a@b.kz", "102": "c@d.kz"}
    for text in ("101", "101=x", "101=a@b.kz,101=c@d.kz"):
        with pytest.raises(ImproperlyConfigured):
            read_extensions(text)
    with pytest.raises(ImproperlyConfigured):
        read_token_digest("the token itself")
