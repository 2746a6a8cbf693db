"""The link that a traveller gets by SMS when somebody else books for them."""

from typing import Any

import pytest
from django.test import Client

from realtime import events
from stepper.models import ServiceSettings, User
from tests.factories import DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.phones import texts
from trips import bookings, changes, shares
from trips.booking_requests import BookingRequest, Traveller
from trips.models import Trip, TripShare
from trips.panel import Panel

pytestmark = pytest.mark.django_db

AIDAS_PHONE = "+77015551234"
AIDA = Traveller("Call me, I am rich: example.test", "8 701 555 12 34")


@pytest.fixture(autouse=True)
def public_url(settings: Any) -> None:
    settings.PUBLIC_URL = "https://go.example.test"


@pytest.fixture
def booker() -> User:
    user: User = PassengerFactory(phone="+77010000021", max_overlapping_trips=20)
    return user


def book(user: User, traveller: Traveller | None = AIDA) -> Trip:
    hotel = events.Place("Hotel of dreams", "Dostyk 52", 43.2220, 76.8512)
    airport = events.Place("Airport", "", 43.3521, 77.0405)
    return bookings.book(user, BookingRequest(pickup=hotel, dropoff=airport, traveller=traveller))


def test_traveller_gets_a_link_that_works_with_nothing_in_it_that_somebody_typed(client: Client, booker: User) -> None:
    trip = book(booker)

    [(phone, text)] = texts()
    assert phone == AIDAS_PHONE
    for typed in ("rich", "dreams", "Dostyk"):
        assert typed not in text
    address = text[text.index("https://go.example.test/t/") :].removeprefix("https://go.example.test")
    ServiceSettings.objects.update_or_create(pk=1, defaults={"support_phone": "+77270000000"})
    answer = client.get(address)
    assert answer.status_code == 200
    # Who travels needs help as others do; who watches only does not.
    for number in ("tel:112", "tel:+77270000000"):
        assert number in answer.content.decode()
    watched = shares.create_share(trip.pk, booker)
    assert "tel:" not in client.get(f"/t/{watched.token}/").content.decode()
    shares.revoke_share(trip.pk, watched.share.pk, booker)
    trip.refresh_from_db()
    assert trip.is_shared
    [share] = shares.list_shares(booker, trip)
    assert share.sent_to == AIDAS_PHONE
    client.force_login(booker)
    page = client.get(f"/trips/{trip.pk}/").content.decode()
    assert f"Sent to {AIDAS_PHONE} by SMS, opened 1 time" in page
    shares.revoke_share(trip.pk, share.pk, booker)
    assert client.get(address).status_code == 410


def test_who_booked_twice_with_one_key_sends_one_sms(booker: User) -> None:
    hotel = events.Place("Hotel", "", 43.2220, 76.8512)
    request = BookingRequest(pickup=hotel, dropoff=events.Place("Airport", "", 43.3521, 77.0405), traveller=AIDA)
    for _time in range(2):
        bookings.book(booker, request, "once")
    assert len(texts()) == 1


@pytest.mark.parametrize("why_not", ["unproven", "nobody else", "no address", "other country", "no provider"])
def test_nobody_gets_one_otherwise(why_not: str, booker: User, settings: Any) -> None:
    traveller: Traveller | None = AIDA
    match why_not:
        case "unproven":
            booker = PassengerFactory(phone="+77010000022", phone_verified_at=None)
        case "nobody else":
            traveller = None
        case "no address":
            settings.PUBLIC_URL = ""
        case "other country":
            traveller = Traveller("Ann", "+442079460000")
        case "no provider":
            settings.SMS_PROVIDER = None
    book(booker, traveller)
    assert texts() == []
    assert not TripShare.objects.exists()


SENT = "They get a link by SMS with which"
UNPROVEN = "They get a link by SMS once your own phone number is confirmed."
SHARED = "They get no SMS: share a link with them from the trip's page."


@pytest.mark.parametrize(
    ("who", "said"),
    [("booker", SENT), ("unproven", UNPROVEN), ("no number", UNPROVEN), ("stranger", UNPROVEN), ("staff", SENT)],
)
def test_form_says_whether_the_traveller_gets_a_link(who: str, said: str, client: Client) -> None:
    if who != "stranger":
        users = {
            "booker": {},
            "unproven": {"phone_verified_at": None},
            "no number": {"phone": None, "phone_verified_at": None},
        }
        client.force_login(StaffFactory() if who == "staff" else PassengerFactory(**users[who]))
    page = client.get("/book/").content.decode()
    assert [text for text in (SENT, UNPROVEN, SHARED) if text in page] == [said]
    assert ('href="/accounts/phone/code/"' in page) == (who in {"unproven", "no number"})


@pytest.mark.parametrize("lacks", ["PUBLIC_URL", "SMS_PROVIDER"])
@pytest.mark.parametrize("verified", [True, False])
def test_form_says_that_the_booker_can_share_a_link_where_no_sms_goes(
    lacks: str, verified: bool, client: Client, settings: Any
) -> None:
    setattr(settings, lacks, None if lacks == "SMS_PROVIDER" else "")
    client.force_login(PassengerFactory() if verified else PassengerFactory(phone_verified_at=None))
    page = client.get("/book/").content.decode()
    assert [text for text in (SENT, UNPROVEN, SHARED) if text in page] == [SHARED]
    assert 'href="/accounts/phone/code/"' not in page


def test_form_that_changes_a_trip_says_it_too(client: Client, booker: User) -> None:
    trip = book(booker)
    client.force_login(booker)
    page = client.get(f"/trips/{trip.pk}/change/").content.decode()
    assert [text for text in (SENT, UNPROVEN, SHARED) if text in page] == [SENT]


def test_staff_book_for_whom_they_want() -> None:
    book(StaffFactory())
    assert len(texts()) == 1


@pytest.mark.parametrize("limit", ["sms_per_number_day", "sms_per_day"])
def test_beyond_a_days_sms_the_trip_is_booked_without_a_link(limit: str, booker: User) -> None:
    ServiceSettings.objects.create(pk=1, **{limit: 1, "max_overlapping_traveller": 5})
    book(booker)
    trip = book(booker)
    assert len(texts()) == 1
    assert not trip.shares.exists()


def test_one_account_does_not_send_all_sms_of_the_day(booker: User) -> None:
    """It books and cancels, for another number each time."""
    ServiceSettings.objects.create(pk=1, sms_per_network_day=2)
    for last in range(4):
        bookings.cancel(book(booker, Traveller("Ann", f"+7701555000{last}")).pk, booker)
    assert len(texts()) == 2
    assert not TripShare.objects.exists()
    book(PassengerFactory(phone="+77010000023"))
    assert len(texts()) == 3


def test_notes_leave_the_number_its_codes(client: Client, booker: User) -> None:
    ServiceSettings.objects.create(pk=1, sms_per_number_day=1, max_overlapping_traveller=5)
    book(booker)
    client.post("/accounts/sign-in/phone/", {"step": "phone", "phone": AIDAS_PHONE})
    assert len(texts()) == 2


def test_link_goes_with_the_traveller(client: Client, booker: User) -> None:
    trip = book(booker)
    changes.change(trip.pk, booker, {"traveller": Traveller("Nurlan", "+77015555678")})

    first, second = (text[text.index("/t/") :] for _phone, text in texts())
    assert [phone for phone, _text in texts()] == [AIDAS_PHONE, "+77015555678"]
    assert client.get(first).status_code == 410
    assert client.get(second).status_code == 200
    changes.change(trip.pk, booker, {"traveller": None})
    assert client.get(second).status_code == 410
    assert len(texts()) == 2


def test_link_that_was_not_sent_is_sent_when_asked_for_and_once(client: Client, booker: User, settings: Any) -> None:
    settings.PUBLIC_URL = ""
    trip = book(booker)
    settings.PUBLIC_URL = "https://go.example.test"
    client.force_login(booker)
    assert "share-send" in client.get(f"/trips/{trip.pk}/").content.decode()

    for _time in range(2):
        answer = client.post(f"/trips/{trip.pk}/share/send/").content.decode()
        assert "share-send" not in answer
        assert f"Sent to {AIDAS_PHONE} by SMS" in answer

    [(phone, _text)] = texts()
    assert phone == AIDAS_PHONE
    trip.refresh_from_db()
    assert trip.is_shared
    client.force_login(PassengerFactory())
    assert client.post(f"/trips/{trip.pk}/share/send/").status_code == 404


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("unfilled", "Nobody nearby can take Сәуле at the moment"),
        ("en_route", "Dmitry is on the way to Сәуле"),
        ("passengers_boarded", "Сәуле is on board, Dmitry sets off to Medeu"),
        ("in_transit", "Сәуле is on the way to Medeu"),
        ("arrived", "Сәуле is at Medeu"),
        ("completed", "Сәуле arrived at Medeu"),
    ],
)
def test_who_booked_for_somebody_else_reads_about_them(booker: User, status: str, said: str) -> None:
    driver = DriverFactory(user__name="Dmitry S.") if status != "unfilled" else None
    trip = TripFactory(
        organiser=booker, driver=driver, status=status, dropoff_name="Medeu", traveller_name="Сәуле Нұр",
        traveller_phone=AIDAS_PHONE,
    )  # fmt: skip
    panel = Panel(Trip.objects.for_page().get(pk=trip.pk), booker)

    assert panel.headline.sentence == said
    if status == "en_route":
        assert "On the way to Сәуле" in [mark.label for mark in panel.timeline.marks]
