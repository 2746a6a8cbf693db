"""What was under way while an account was deleted stores nothing for it any more."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.utils import timezone

from drivers import availability, documents, joining, preferences, working_time
from drivers.models import Break, Driver, DriverApplication, DriverDocument, DriverPosition
from drivers.positions.fixes import Fix
from drivers.positions.store import write_positions
from realtime import events
from realtime.delivery import choices
from realtime.models import PushSubscription
from realtime.push import subscriptions
from stepper.accounts import addresses, language, profile, second_factor
from stepper.errors import NotPermitted
from stepper.models import AddressChange, AddressCode, User
from stepper.personal import erasure
from tests.factories import DriverFactory, PassengerFactory, TripFactory
from tests.papers import VEHICLE, in_days, picture
from trips import bookings, ratings, saved_places
from trips.booking_requests import BookingRequest
from trips.models import Rating, SavedPlace, Trip
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)
PLACE = events.Place(name="Home", address="", lat=43.24, lng=76.95)


def book(user: User) -> None:
    pickup = events.Place(name="Abay Square", address="", lat=43.2430, lng=76.9577)
    dropoff = events.Place(name="Almaty airport", address="", lat=43.3521, lng=77.0405)
    bookings.book(user, BookingRequest(pickup, dropoff))


def plan_break(user: User) -> None:
    working_time.plan_break(user.driver.pk, timezone.now() + HOUR, timezone.now() + 2 * HOUR)


def set_hours(user: User) -> None:
    wanted = working_time.WorkingTime(hours={"mon": working_time.DayHours("08:00", "18:00")})
    working_time.set_working_time(user.driver.pk, wanted)


REFILLED: tuple[Any, ...] = (
    *(
        DriverDocument,
        DriverApplication,
        Break,
        PushSubscription,
        AddressChange,
        AddressCode,
        Authenticator,
        Trip,
        SavedPlace,
    ),
)
VERBS: dict[str, Callable[[User], object]] = {
    "name": lambda user: joining._save_person(user, "Aigul Serik", None, "AB1"),
    "vehicle": lambda user: joining.save_vehicle(user, VEHICLE),
    "application": joining.submit,
    "document": lambda user: documents.send_document(user, "licence", picture(), in_days(90)),
    "preferences": lambda user: preferences.set_preferences(user.driver.pk, theme="dark", navigation_app="waze"),
    "filters": lambda user: availability.set_filters(user.driver.pk, events.Filters(min_earnings=1)),
    "hours": set_hours,
    "break": plan_break,
    "pushes": lambda user: subscriptions._subscribe(user, "key", endpoint="https://e", p256dh="p", auth="a"),
    "kinds of pushes": lambda user: subscriptions.choose_topics(user, {}),
    "new address": lambda user: addresses._store(user, "new@example.kz", token="t", code=None),
    "place": lambda user: saved_places.save_place(user, kind="home", label="", place=PLACE),
    "name of the account": lambda user: profile._rename(user.pk, "Somebody Else"),
    "choices": lambda user: choices.choose(user, sms=True),
    "second factor": lambda user: second_factor._store(user, Client().session, "A" * 32, 1),
    "booking": book,
}


OF_APPLICANTS = {"name", "vehicle", "application", "booking", "name of the account"}


@pytest.mark.parametrize("name", VERBS)
def test_verb_under_way_stores_nothing_for_a_deleted_account(name: str) -> None:
    who = PassengerFactory.create() if name in OF_APPLICANTS else DriverFactory.create().user
    user = User.objects.get(pk=who.pk)
    assert hasattr(user, "driver") is (name not in OF_APPLICANTS)
    erasure._erase(user.pk)
    before = Driver.objects.values().first(), User.objects.values().get(pk=user.pk)
    with pytest.raises(NotPermitted) as raised:
        VERBS[name](user)
    assert raised.value.code == "account.inactive"
    assert (Driver.objects.values().first(), User.objects.values().get(pk=user.pk)) == before
    models = (
        DriverDocument,
        DriverApplication,
        Break,
        PushSubscription,
        AddressChange,
        AddressCode,
        Authenticator,
        Trip,
        SavedPlace,
    )
    assert [model for model in models if model.objects.exists()] == []


def test_rating_under_way_is_not_given_by_a_deleted_account() -> None:
    trip = TripFactory.create(status=TripStatus.COMPLETED)
    user = User.objects.get(pk=trip.organiser_id)
    erasure._erase(user.pk)
    with pytest.raises(NotPermitted):
        ratings.rate(trip.pk, user, stars=1, comment="Call me: +7 701 123 45 67")
    assert not Rating.objects.exists()


def test_language_of_a_deleted_account_stays() -> None:
    user = User.objects.get(pk=DriverFactory.create(user__language="en").user_id)
    erasure._erase(user.pk)
    language.choose(user, "kk")
    user.refresh_from_db()
    assert user.language == "en"


def report(driver: Driver, lat: float) -> None:
    """Write a fix as a buffer does that is flushed."""
    now = timezone.now() + HOUR
    point = events.Point(lat=lat, lng=76.9)
    write_positions([Fix(driver.pk, point, now, now, 0.0, (lat, 76.9, now, now))])


@pytest.mark.parametrize("is_active", [True, False])
def test_first_fix_on_its_way_says_nothing_of_a_deleted_account(is_active: bool) -> None:
    report(DriverFactory.create(user__is_active=is_active), 43.2)
    assert DriverPosition.objects.exists() is is_active


def test_position_of_a_driver_whom_staff_closed_on_a_trip_goes_on() -> None:
    report(DriverFactory.create(at=(43.2, 76.9), user__is_active=False), 43.3)
    assert DriverPosition.objects.get().lat == 43.3
