"""How many trips one account may have: without a driver, at the same time, cancelled late; and how often it asks."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from realtime import events
from stepper.errors import Conflict, InvalidInput, TooManyRequests
from stepper.models import ServiceSettings, User
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.rest import BOOKING, as_user
from trips import accepting, access, assignment, bookings, driving, quotes, ratings, unfilled
from trips.booking_requests import BookingRequest, Traveller
from trips.models import Trip, TripTransition
from trips.panel import Panel

pytestmark = pytest.mark.django_db

HOTEL = events.Place("Hotel", "Dostyk 52", 43.2220, 76.8512)
AIRPORT = events.Place("Airport", "", 43.3521, 77.0405)
HOUR = dt.timedelta(hours=1)
AIDA = Traveller("Aida Bekova", "8 701 555 12 34")
AIDAS_PHONE = "+77015551234"


def wanted(**changes: Any) -> BookingRequest:
    return BookingRequest(**{"pickup": HOTEL, "dropoff": AIRPORT, **changes})


def others(number: int) -> Traveller:
    return Traveller(f"Guest {number}", f"+7701555{number:04}")


def in_(**of: float) -> dt.datetime:
    return timezone.now() + dt.timedelta(**of)


def code_of(verb: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(Conflict) as refused:
        verb(*args)
    return refused.value.code


@pytest.fixture
def passenger() -> User:
    return PassengerFactory()


@pytest.fixture
def hotel() -> User:
    return PassengerFactory(max_overlapping_trips=5)


# Without a driver


def test_book_is_refused_while_as_many_as_allowed_wait_for_a_driver(passenger: User) -> None:
    ServiceSettings.objects.create(pk=1, max_open_trips=2)
    first = bookings.book(passenger, wanted())
    later = wanted(departure_at=in_(hours=5))
    bookings.book(passenger, later, "key")

    assert code_of(bookings.book, passenger, wanted(departure_at=in_(hours=10))) == "booking.too_many"

    assert Trip.objects.count() == 2
    # Sent once more is no further booking, and others book for themselves.
    bookings.book(passenger, later, "key")
    bookings.book(PassengerFactory(), wanted())
    bookings.cancel(first.pk, passenger)
    bookings.book(passenger, wanted())


def test_an_account_with_a_number_of_its_own_may_have_as_many_waiting(hotel: User) -> None:
    ServiceSettings.objects.create(pk=1, max_open_trips=1)
    for _trip in range(5):
        bookings.book(hotel, wanted())
    assert code_of(bookings.book, hotel, wanted()) == "booking.too_many"


# At the same time


@pytest.mark.parametrize("status", ["published", "offered", "unfilled", "accepted", "en_route", "in_transit"])
def test_a_second_trip_at_the_same_time_is_refused_and_says_when_the_first_leaves(status: str) -> None:
    trip = TripFactory(status=status, timezone="Asia/Almaty")

    with pytest.raises(Conflict) as refused:
        bookings.book(trip.organiser, wanted())

    assert (refused.value.code, refused.value.status) == ("booking.overlapping", 409)
    assert "Choose another time" in str(refused.value.message)
    assert f"{timezone.localtime(trip.departure_at):%H:%M}" in str(refused.value.message)
    assert Trip.objects.count() == 1


@pytest.mark.parametrize("status", ["draft", "arrived", "completed", "cancelled"])
def test_a_trip_that_is_over_does_not_count(status: str) -> None:
    bookings.book(TripFactory(status=status).organiser, wanted())


@pytest.mark.parametrize(("minutes", "fits"), [(14, False), (16, True)])
@pytest.mark.parametrize("before", [True, False])
def test_between_two_trips_is_a_gap(passenger: User, minutes: int, fits: bool, before: bool) -> None:
    first = bookings.book(passenger, wanted(departure_at=in_(hours=5)))
    gap = dt.timedelta(minutes=minutes)
    takes = first.ends_at - first.departure_at
    request = wanted(departure_at=first.departure_at - takes - gap if before else first.ends_at + gap)

    if fits:
        bookings.book(passenger, request)
    else:
        assert code_of(bookings.book, passenger, request) == "booking.overlapping"


def test_a_trip_that_should_be_over_and_is_not_is_at_the_same_time_as_one_for_now() -> None:
    trip = TripFactory(status="in_transit")
    Trip.objects.update(departure_at=timezone.now() - 5 * HOUR, ends_at=timezone.now() - 4 * HOUR)

    assert code_of(bookings.book, trip.organiser, wanted()) == "booking.overlapping"
    bookings.book(trip.organiser, wanted(departure_at=in_(hours=3)))


def test_nine_trips_for_now_are_one(passenger: User) -> None:
    """What one passenger could do to the fleet: each trip was taken at once, so none waited for a driver."""
    for _driver in range(9):
        DriverFactory(at=ALMATY)
    outcomes = []
    for _trip in range(9):
        try:
            trip = bookings.book(passenger, wanted())
        except Conflict as refused:
            outcomes.append(refused.code)
        else:
            accepting.accept(trip.offers.first().driver_id, trip.offers.first().pk)
            outcomes.append("booked")
    assert outcomes == ["booked"] + ["booking.overlapping"] * 8


def test_an_account_books_for_others_three_at_a_time_and_each_of_them_once(passenger: User) -> None:
    bookings.book(passenger, wanted())
    bookings.book(passenger, wanted(traveller=AIDA))
    assert code_of(bookings.book, passenger, wanted(traveller=AIDA)) == "booking.overlapping"
    # The same person, however their number is written.
    assert code_of(bookings.book, passenger, wanted(traveller=Traveller("A.", AIDAS_PHONE))) == "booking.overlapping"
    bookings.book(passenger, wanted(traveller=others(1)))
    assert code_of(bookings.book, passenger, wanted(traveller=others(2))) == "booking.overlapping"
    bookings.book(passenger, wanted(traveller=others(2), departure_at=in_(hours=5)))


def test_ones_own_number_is_no_other_traveller(passenger: User) -> None:
    trip = bookings.book(passenger, wanted(traveller=Traveller("Me", str(passenger.phone))))
    assert (trip.traveller_name, trip.traveller_phone) == ("", "")
    assert code_of(bookings.book, passenger, wanted()) == "booking.overlapping"


def test_limits_are_settings(passenger: User) -> None:
    ServiceSettings.objects.create(pk=1, max_overlapping_traveller=2, max_overlapping_account=2, booking_gap_min=0)
    bookings.book(passenger, wanted())
    bookings.book(passenger, wanted())
    assert code_of(bookings.book, passenger, wanted(traveller=AIDA)) == "booking.overlapping"


def test_an_account_can_have_a_number_of_its_own(hotel: User) -> None:
    ServiceSettings.objects.create(pk=1, max_open_trips=1000)
    for number in range(5):
        bookings.book(hotel, wanted(traveller=AIDA if number == 4 else None))
    assert code_of(bookings.book, hotel, wanted(traveller=others(1))) == "booking.overlapping"


def test_a_number_of_ones_own_can_be_less() -> None:
    account = PassengerFactory(max_overlapping_trips=1)
    bookings.book(account, wanted())
    assert code_of(bookings.book, account, wanted(traveller=AIDA)) == "booking.overlapping"


def test_the_number_counts_that_staff_have_just_saved(passenger: User) -> None:
    """The session's user is older than what staff decided."""
    bookings.book(passenger, wanted())
    User.objects.filter(pk=passenger.pk).update(max_overlapping_trips=2)
    bookings.book(passenger, wanted())


def test_staff_book_for_whoever_calls() -> None:
    ServiceSettings.objects.create(pk=1, bookings_per_min=1)
    staff = StaffFactory()
    for _trip in range(7):
        bookings.book(staff, wanted())


def race(number: int, verb: Callable[[int], Any]) -> list[str]:
    def one(which: int) -> str:
        try:
            verb(which)
        except Conflict as error:
            return error.code
        finally:
            connection.close()
        return "done"

    with ThreadPoolExecutor(10) as pool:
        return sorted(future.result() for future in [pool.submit(one, which) for which in range(number)])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("own_number", "booked"), [(None, 1), (4, 4)])
def test_twenty_bookings_at_the_same_moment_are_as_many_as_allowed(own_number: int | None, booked: int) -> None:
    ServiceSettings.objects.create(pk=1, bookings_per_min=100, max_open_trips=1000)
    passenger = PassengerFactory(max_overlapping_trips=own_number)

    outcomes = race(20, lambda _which: bookings.book(passenger, wanted()))

    assert outcomes == ["booking.overlapping"] * (20 - booked) + ["done"] * booked
    assert Trip.objects.count() == booked


@pytest.mark.django_db(transaction=True)
def test_twenty_bookings_for_others_at_the_same_moment_are_three() -> None:
    ServiceSettings.objects.create(pk=1, bookings_per_min=100)
    passenger = PassengerFactory()

    outcomes = race(20, lambda which: bookings.book(passenger, wanted(traveller=others(which))))

    assert outcomes.count("done") == 3
    assert Trip.objects.count() == 3


# Going later


def test_postponing_into_another_trip_is_refused() -> None:
    trip = TripFactory(status="unfilled")
    TripFactory(status="accepted", organiser=trip.organiser, in_=5 * HOUR)
    TripFactory(status="accepted", organiser=trip.organiser, in_=10 * HOUR, traveller_name="A", traveller_phone="+7701")

    assert code_of(unfilled.postpone, trip.pk, trip.organiser, in_(hours=5)) == "booking.overlapping"
    trip.refresh_from_db()
    assert trip.is_now

    # Another traveller's trip is in nobody's way, its own old time neither; and staff decide for themselves.
    unfilled.postpone(trip.pk, trip.organiser, in_(hours=10))
    unfilled.postpone(trip.pk, trip.organiser, in_(hours=10, minutes=1))
    Trip.objects.filter(pk=trip.pk).update(departure_at=in_(hours=3), ends_at=in_(hours=4))
    unfilled.postpone(trip.pk, StaffFactory(), in_(hours=5))


@pytest.mark.django_db(transaction=True)
def test_postponing_several_to_one_time_at_the_same_moment_moves_one() -> None:
    passenger = PassengerFactory()
    trips = [TripFactory(organiser=passenger, status="unfilled", in_=(1 + 3 * number) * HOUR) for number in range(4)]
    at = in_(hours=30)

    outcomes = race(4, lambda which: unfilled.postpone(trips[which].pk, passenger, at))

    assert outcomes == ["booking.overlapping"] * 3 + ["done"]


# Cancelled after a driver accepted


def cancel_late(passenger: User, number: int, ago: dt.timedelta = dt.timedelta()) -> None:
    for _trip in range(number):
        trip = TripFactory(status="accepted", organiser=passenger)
        bookings.cancel(trip.pk, passenger)
        TripTransition.objects.filter(trip=trip).update(created_at=timezone.now() - ago)


def test_cancelling_too_often_after_a_driver_accepted_blocks_further_bookings(passenger: User) -> None:
    cancel_late(passenger, 2, ago=5 * HOUR)
    bookings.cancel(bookings.book(passenger, wanted()).pk, passenger)
    cancel_late(passenger, 1)

    with pytest.raises(Conflict) as refused:
        bookings.book(passenger, wanted())

    assert (refused.value.code, refused.value.status) == ("booking.cancelled_too_often", 409)
    first = TripTransition.objects.filter(trip__organiser=passenger, to_status="cancelled").earliest("created_at")
    again = timezone.localtime(first.created_at + 24 * HOUR)
    assert f"{again:%H:%M}" in str(refused.value.message)
    # Cancelling is never blocked: the driver would drive to the pickup for nothing.
    cancel_late(passenger, 1)


def test_a_day_later_it_is_forgotten(passenger: User) -> None:
    cancel_late(passenger, 3, ago=dt.timedelta(days=1, minutes=1))
    bookings.book(passenger, wanted())


def test_cancelling_while_nobody_has_the_trip_costs_nobody_anything(passenger: User) -> None:
    for _trip in range(5):
        bookings.cancel(bookings.book(passenger, wanted()).pk, passenger)
    bookings.book(passenger, wanted())


def test_what_staff_or_the_driver_cancelled_is_not_the_passengers_doing(passenger: User) -> None:
    staff = StaffFactory()
    for _trip in range(3):
        bookings.cancel(TripFactory(status="en_route", organiser=passenger).pk, staff)
        came = TripFactory(status="driver_arrived", organiser=passenger, in_=-HOUR)
        driving.update_status(came.driver.pk, came.pk, status="no_show")
    bookings.book(passenger, wanted())


def test_a_cancellation_counts_for_who_cancelled(passenger: User) -> None:
    cancel_late(PassengerFactory(), 3)
    bookings.book(passenger, wanted())


def test_a_hotel_may_cancel_as_many_as_it_may_have(hotel: User) -> None:
    cancel_late(hotel, 4)
    bookings.book(hotel, wanted())
    cancel_late(hotel, 1)
    assert code_of(bookings.book, hotel, wanted()) == "booking.cancelled_too_often"


# Who travels


@pytest.mark.parametrize(
    ("traveller", "fields"),
    [
        (Traveller("", "8 701 555 12 34"), {"traveller.name"}),
        (Traveller("  ", "12"), {"traveller.name", "traveller.phone"}),
        (Traveller("x" * 81, "8 701 555 12 34"), {"traveller.name"}),
        (Traveller("Aida", ""), {"traveller.phone"}),
    ],
)
def test_a_traveller_has_a_name_and_a_number(passenger: User, traveller: Traveller, fields: set[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        bookings.book(passenger, wanted(traveller=traveller))
    assert set(refused.value.fields) == fields


def test_traveller_over_rest_is_for_those_on_the_trip(passenger: User) -> None:
    driver = DriverFactory(at=ALMATY)
    client = as_user(passenger)
    body = {**BOOKING, "traveller": {"name": " Aida  Bekova ", "phone": "8 701 555 12 34"}}
    answer = client.post("/api/trips", body, format="json")
    assert answer.status_code == 201
    assert answer.json()["traveller"] == {"name": "Aida Bekova", "phone": AIDAS_PHONE}

    path = f"/api/drivers/trips/accept/{answer.json()['id']}"
    assert as_user(driver.user).post(path).json()["traveller"] == {"name": "Aida Bekova", "phone": AIDAS_PHONE}
    bookings.cancel(answer.json()["id"], passenger)
    after = as_user(driver.user).get(f"/api/trips/{answer.json()['id']}").json()
    assert after["traveller"] == {"name": "Aida B.", "phone": None}


@pytest.mark.parametrize(
    ("traveller", "field"),
    [
        ({"name": "Aida"}, "traveller.phone"),
        ({"name": "Aida", "phone": "12"}, "traveller.phone"),
        ({"name": 5, "phone": AIDAS_PHONE}, "traveller.name"),
        ("Aida", "traveller"),
    ],
)
def test_a_wrong_traveller_over_rest_is_named(passenger: User, traveller: Any, field: str) -> None:
    answer = as_user(passenger).post("/api/trips", {**BOOKING, "traveller": traveller}, format="json")
    assert (answer.status_code, set(answer.json()["fields"])) == (400, {field})


FORM = {
    "pickup_name": "Almaty airport",
    "dropoff_name": "Medeu",
    "departure": "now",
    "vehicle_class": "sedan",
    "seats": "1",
}


def page_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_booking_page_books_for_somebody_else(passenger: User) -> None:
    client = page_of(passenger)
    refused = client.post("/book/", {**FORM, "traveller_name": "Aida", "traveller_phone": "12"})
    assert refused.status_code == 422
    assert list(refused.context["form"].errors) == ["traveller_phone"]
    assert 'data-testid="traveller"' in refused.content.decode()

    client.post("/book/", {**FORM, "traveller_name": "Aida Bekova", "traveller_phone": "8 701 555 12 34"})
    trip = Trip.objects.get()
    assert (trip.traveller_name, trip.traveller_phone) == ("Aida Bekova", AIDAS_PHONE)
    assert f"For Aida Bekova, {AIDAS_PHONE}" in client.get(f"/trips/{trip.pk}/").content.decode()


def test_driver_asks_for_the_traveller_and_calls_them() -> None:
    trip = TripFactory(status="accepted", traveller_name="Aida Bekova", traveller_phone=AIDAS_PHONE)
    html = page_of(trip.driver.user).get("/driver/tab/active/").content.decode()
    assert "Aida B." in html
    assert f'href="tel:{AIDAS_PHONE}"' in html
    assert f"booked by {trip.organiser.short_name}" in html
    assert str(trip.organiser.phone) not in html
    panel = Panel(access.trip_for(trip.driver.user, trip.pk), trip.driver.user)
    assert panel.viewing.phone == AIDAS_PHONE
    assert "Aida B." in page_of(trip.driver.user).get(f"/trips/{trip.pk}/").content.decode()


def test_a_key_of_a_booking_without_traveller_is_the_one_it_was_before_there_were_any() -> None:
    """During an upgrade the same booking comes to an old process and then to a new one."""
    request = BookingRequest(HOTEL, AIRPORT, note="by the gate")
    assert bookings._digest(request) == "f3e368ee3249385bd2e42929bbe33bc8"
    assert (
        bookings._digest(BookingRequest(HOTEL, AIRPORT, note="by the gate", traveller=AIDA))
        != "f3e368ee3249385bd2e42929bbe33bc8"
    )


# How often

LATER = timezone.now() + 9 * HOUR
VERBS: dict[str, tuple[str, Callable[[Trip, User], Any]]] = {
    "book": ("bookings_per_min", lambda _trip, user: bookings.book(user, wanted(departure_at=LATER), "key")),
    "quote": ("light_per_min", lambda _trip, user: quotes.quote_booking(user, wanted())),
    "cancel": ("changes_per_min", lambda trip, user: bookings.cancel(trip.pk, user)),
    "widen": ("changes_per_min", lambda trip, user: unfilled.widen(trip.pk, user, 100)),
    "postpone": ("changes_per_min", lambda trip, user: unfilled.postpone(trip.pk, user, LATER)),
    "offer_again": ("changes_per_min", lambda trip, user: assignment.offer_again(trip.pk, user)),
}


@pytest.mark.parametrize("verb", VERBS)
def test_passengers_verbs_have_a_limit_also_when_repeated(verb: str) -> None:
    setting, call = VERBS[verb]
    ServiceSettings.objects.create(pk=1, **{setting: 2})
    trip = TripFactory(status="unfilled")
    for _call in range(2):
        call(trip, trip.organiser)

    with pytest.raises(TooManyRequests) as refused:
        call(trip, trip.organiser)

    assert refused.value.code == "rate.limited"
    assert 1 <= refused.value.retry_after_s <= 60


@pytest.mark.parametrize("verb", VERBS)
def test_staff_are_not_limited(verb: str) -> None:
    setting, call = VERBS[verb]
    ServiceSettings.objects.create(pk=1, **{setting: 1})
    trip, staff = TripFactory(status="unfilled"), StaffFactory()
    for _call in range(3):
        call(trip, staff)


def test_rating_has_a_limit() -> None:
    ServiceSettings.objects.create(pk=1, changes_per_min=1)
    done = TripFactory(status="completed")
    ratings.rate(done.pk, done.organiser, stars=5)
    with pytest.raises(TooManyRequests):
        ratings.rate(done.pk, done.organiser, stars=5)


@pytest.mark.parametrize("verb", [accepting.accept, accepting.decline])
def test_answers_to_offers_have_a_limit(verb: Callable[[int, int], Any]) -> None:
    ServiceSettings.objects.create(pk=1, answers_per_min=2)
    offer = OfferFactory()
    for _call in range(2):
        verb(offer.driver.pk, offer.pk)
    with pytest.raises(TooManyRequests):
        verb(offer.driver.pk, offer.pk)


def test_a_driver_over_one_limit_still_finishes_the_trip() -> None:
    ServiceSettings.objects.create(pk=1, answers_per_min=1, changes_per_min=1)
    trip = TripFactory(status="arrived")
    offer = OfferFactory(driver=trip.driver)
    accepting.decline(trip.driver.pk, offer.pk)
    with pytest.raises(TooManyRequests):
        accepting.decline(trip.driver.pk, offer.pk)
    assert driving.update_status(trip.driver.pk, trip.pk, status="completed").status == "completed"


@pytest.mark.django_db(transaction=True)
def test_a_verb_that_is_repeated_for_the_database_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ServiceSettings.objects.create(pk=1, changes_per_min=1)
    trip = TripFactory(status="unfilled")
    reads = []
    real = access.trip_for

    def changed_meanwhile(user: User, trip_id: int) -> Trip:
        reads.append(trip_id)
        found = real(user, trip_id)
        if len(reads) == 1:
            found.driver_id = 0  # what was read is not what is locked
        return found

    monkeypatch.setattr(bookings, "trip_for", changed_meanwhile)
    assert bookings.cancel(trip.pk, trip.organiser).status == "cancelled"
    assert len(reads) == 2


def test_pages_and_rest_share_a_count(passenger: User) -> None:
    ServiceSettings.objects.create(pk=1, bookings_per_min=2)
    rest, page = as_user(passenger), page_of(passenger)
    assert rest.post("/api/trips", BOOKING, format="json").status_code == 201
    assert page.post("/book/", FORM).status_code == 422  # overlaps, and counts

    refused = rest.post("/api/trips", BOOKING, format="json")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate.limited")
    on_page = page.post("/book/", {**FORM, "note": "by the gate"})
    assert on_page.status_code == 429
    assert 1 <= int(on_page["Retry-After"]) <= 60
    html = on_page.content.decode()
    assert "Too many requests" in html
    # What was typed is still there.
    assert "by the gate" in html
