"""Booking for who calls: whose account it is, once for each call, the link by SMS, who took the call."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connections
from django.test import Client

from realtime import events
from stepper.accounts import phone_proofs
from stepper.errors import Conflict, DomainError, InvalidInput, NotPermitted
from stepper.models import ServiceSettings, User
from stepper.phones import normal_phone
from tests.factories import PassengerFactory, StaffFactory, TripFactory, UserFactory
from tests.phones import PHONE, SPELLINGS, ask, enter, last_code, texts
from trips import calls
from trips.booking_requests import BookingRequest, Traveller
from trips.kept_quotes import QuoteChanged
from trips.models import Booking, SavedPlace, Trip
from trips.quotes import quote_classes
from trips.states import Role, TripStatus

pytestmark = pytest.mark.django_db

HOME = events.Place("Abay Square", "Dostyk 56", 43.2430, 76.9577)
AIRPORT = events.Place("Almaty airport", "Mailin 2", 43.3521, 77.0405)
REQUEST = BookingRequest(pickup=HOME, dropoff=AIRPORT)
KEY = "0123456789abcdef"


@pytest.fixture
def staff() -> User:
    found: User = StaffFactory.create()
    return found


@pytest.fixture(autouse=True)
def sms(settings: Any) -> None:
    from stepper.sms.configuration import read_sms  # noqa: PLC0415 - as the settings do

    settings.SMS_PROVIDER = read_sms(url="console://", debug=True)


def _book(staff: User, phone: str = PHONE, **more: Any) -> calls.Taken:
    wanted = {"name": "Aigerim", "language": "en", "key": KEY} | more
    request = wanted.pop("request", REQUEST)
    return calls.book_for_caller(staff, phone, request, **wanted)


@pytest.mark.parametrize("lacking", ["add_trip", "change_trip", "view_user"])
def test_every_permission_is_needed(lacking: str) -> None:
    user = UserFactory.create(is_staff=True)
    names = {"add_trip", "change_trip", "view_user"} - {lacking}
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    with pytest.raises(NotPermitted):
        _book(user)
    with pytest.raises(NotPermitted):
        calls.find_caller(user, PHONE)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_known_caller_is_found_in_any_spelling_with_trips_and_places(staff: User, spelling: str) -> None:
    caller = PassengerFactory.create(phone=PHONE)
    SavedPlace.objects.create(user=caller, kind="home", place_name="Abay Square", address="", lat=43.2430, lng=76.9577)
    past = TripFactory.create(organiser=caller, status=TripStatus.COMPLETED)
    waiting = TripFactory.create(organiser=caller, status=TripStatus.PUBLISHED)
    TripFactory.create(status=TripStatus.COMPLETED)

    found = calls.find_caller(staff, spelling)

    assert (found.phone, found.user, found.standing) == (PHONE, caller, calls.Standing.KNOWN)
    assert (list(found.open_trips), list(found.past_trips), found.completed) == ([waiting], [past], 1)
    assert [one.place.name for one in found.places] == ["Abay Square", past.pickup_name, past.dropoff_name]


def test_half_a_number_is_nobodys(staff: User) -> None:
    PassengerFactory.create(phone=PHONE)
    assert calls.find_caller(staff, PHONE[:-2]) is None


def test_known_caller_gets_the_trip_and_the_link_and_staff_are_its_actor(staff: User) -> None:
    caller = PassengerFactory.create(phone=PHONE, language="ru")
    taken = _book(staff, "8 (747) 123-45-67", name="", language="ru")

    assert taken.trip.organiser == caller
    [published] = taken.trip.transitions.filter(from_status=TripStatus.DRAFT)
    assert (published.role, published.by) == (Role.STAFF, staff)
    assert calls.taken_by([taken.trip.pk]) == {taken.trip.pk: staff.name}
    [(to, text)] = texts()
    assert to == PHONE
    assert str(taken.link) in text
    assert re.search("[а-я]", text)
    assert taken.is_sent
    assert Booking.objects.get(trip=taken.trip).passenger == caller
    assert Client().get(taken.link.partition(".test")[2]).status_code == 200


def test_new_caller_gets_an_account_that_their_own_sign_in_opens(staff: User, client: Client) -> None:
    taken = _book(staff)
    made = User.objects.get(phone=PHONE)
    assert (made.name, made.has_verified_phone, made.has_usable_password()) == ("Aigerim", False, False)
    assert taken.has_new_account

    ask(client)
    enter(client, last_code())

    assert client.session["_auth_user_id"] == str(made.pk)
    assert User.objects.get(pk=made.pk).has_verified_phone
    assert client.get(f"/trips/{taken.trip.pk}/").status_code == 200


def test_second_call_of_a_new_caller_goes_to_the_same_account(staff: User) -> None:
    first = _book(staff)
    assert calls.find_caller(staff, PHONE).standing is calls.Standing.CALLED_BEFORE
    second = _book(staff, name="", key="another-call-0001")
    assert second.trip.organiser == first.trip.organiser
    assert second.trip != first.trip


@pytest.mark.parametrize(
    "opened", [{}, {"email": None}, {"password": "!none", "email": None, "last_login": "2026-01-01T00:00:00Z"}]
)
def test_unproven_number_of_another_account_is_not_hijacked(staff: User, opened: dict[str, Any]) -> None:
    other = PassengerFactory.create(phone=PHONE, phone_verified_at=None, **opened)
    TripFactory.create(organiser=other, status=TripStatus.COMPLETED)
    found = calls.find_caller(staff, PHONE)
    assert (found.standing, found.user, found.past_trips) == (calls.Standing.UNPROVEN, None, ())

    trip = _book(staff).trip

    assert (trip.organiser, trip.traveller_name, trip.traveller_phone) == (staff, "Aigerim", PHONE)
    assert Trip.objects.filter(organiser=other).count() == 1
    assert [to for to, _text in texts()] == [PHONE]
    # Who proves the number takes the account over, as without the call.
    assert phone_proofs.prove(other.pk, PHONE)


def test_closed_account_is_refused_with_its_reason(staff: User) -> None:
    PassengerFactory.create(phone=PHONE, is_active=False)
    assert calls.find_caller(staff, PHONE).standing is calls.Standing.INACTIVE
    with pytest.raises(Conflict, match=r"call\.account_inactive"):
        _book(staff)
    assert not Trip.objects.exists()


def test_limits_of_the_account_do_not_count_and_an_open_trip_does_not_keep_from_another(staff: User) -> None:
    ServiceSettings.objects.create(pk=1, max_open_trips=1, max_overlapping_traveller=1, max_overlapping_account=1)
    caller = PassengerFactory.create(phone=PHONE)
    for number in range(3):
        _book(staff, key=f"call-number-{number}")
    assert Trip.objects.filter(organiser=caller).count() == 3


def test_same_call_books_once_and_says_so(staff: User) -> None:
    first, second = _book(staff), _book(staff)
    assert second.is_repeated
    assert (first.trip, second.link) == (second.trip, None)
    assert (Trip.objects.count(), len(texts()), User.objects.filter(phone=PHONE).count()) == (1, 1, 1)
    with pytest.raises(Conflict, match=r"booking\.key_reused"):
        _book(staff, request=BookingRequest(pickup=HOME, dropoff=AIRPORT, seats=2))


def test_without_sms_the_link_is_for_reading_out(staff: User, settings: Any) -> None:
    settings.SMS_PROVIDER = None
    first, second = _book(staff), _book(staff)
    assert (first.is_sent, second.is_sent) == (False, False)
    for taken in (first, second):
        assert Client().get(taken.link.partition(".test")[2]).status_code == 200


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": " "}, "caller_name"),
        ({"name": "x" * 81}, "caller_name"),
        ({"phone": "12"}, "phone"),
        ({"key": ""}, "key"),
        ({"language": "xx"}, "sms_language"),
        ({"request": BookingRequest(pickup=HOME, dropoff=AIRPORT, seats=9)}, "seats"),
    ],
)
def test_wrong_fields_are_named_and_nothing_is_written(staff: User, more: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        _book(staff, **more)
    assert list(refused.value.fields) == [field]
    assert not Trip.objects.exists()
    assert not User.objects.filter(phone=PHONE).exists()


def test_price_that_was_said_holds_and_a_lapsed_one_is_said_anew(staff: User, monkeypatch: pytest.MonkeyPatch) -> None:
    said = quote_classes(staff, REQUEST, address="")
    settings, _new = ServiceSettings.objects.get_or_create(pk=1)
    settings.base_fare *= 3
    settings.save()
    assert _book(staff, quote_token=said.kept.token).trip.fare == said.chosen.price.fare
    # Of another number of people, so it promises nothing here.
    with pytest.raises(QuoteChanged):
        _book(
            staff,
            key="another-call-0001",
            request=BookingRequest(pickup=HOME, dropoff=AIRPORT, seats=2),
            quote_token=said.kept.token,
        )


def test_traveller_other_than_the_caller_is_told_too(staff: User) -> None:
    PassengerFactory.create(phone=PHONE)
    other = normal_phone("8 701 555 66 77")
    _book(staff, request=BookingRequest(pickup=HOME, dropoff=AIRPORT, traveller=Traveller("Mother", str(other))))
    assert sorted(to for to, _text in texts()) == sorted([PHONE, str(other)])


def test_errors_have_codes(staff: User) -> None:
    with pytest.raises(DomainError) as refused:
        _book(staff, phone="nonsense")
    assert refused.value.code == "input.invalid"


@pytest.mark.django_db(transaction=True)
def test_presses_at_once_make_one_account_and_one_trip(staff: User) -> None:
    together = threading.Barrier(3)

    def press(_number: int) -> calls.Taken:
        try:
            together.wait(10)
            return _book(staff)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        taken = list(pool.map(press, range(3)))
    assert len({one.trip.pk for one in taken}) == 1
    assert sorted(one.is_repeated for one in taken) == [False, True, True]
    assert (Trip.objects.count(), User.objects.filter(phone=PHONE).count()) == (1, 1)
