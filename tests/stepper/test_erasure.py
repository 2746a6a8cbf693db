"""Erasing an account: whatever is stored of a person is filled with a mark, and afterwards nothing has it any more."""

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connection, models, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from drivers.models import Approval, Driver, Vehicle
from realtime import groups
from realtime.models import Event, Notification
from stepper.errors import Conflict
from stepper.models import SecurityEvent, User
from stepper.personal import erasure
from tests.factories import ALMATY, PASSWORD, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from trips import assignment, messages, safety
from trips.models import (
    Offer,
    Rating,
    SafetyAlert,
    SavedPlace,
    StaffAssignment,
    Trip,
    TripLeg,
    TripMessage,
    TripShare,
    TripTransition,
    TripWatch,
)
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

# In no other text of the database.
MARK, PHONE_MARK = "zq7x", "7015559"
OURS = ("stepper", "realtime", "drivers", "trips", "account")
# Columns of text that say nothing of a person: codes, digests, zones.
CODES = {
    "User": {"password", "session_binding", "push_muted", "mail_topics"},
    "AddressChange": {"password_digest", "token_digest"},
    "Rating": {"tags"},
    "AddressCode": {"code_digest"},
    "PhoneCode": {"token_digest", "code_digest"},
    # Where a request came from is kept as long as the log, and said before.
    "SecurityEvent": {"event", "login_digest", "address"},
    # Numbers and names of fields; the address and the page are those of staff.
    "AuditEntry": {"action", "address", "via", "model", "object_id", "merge_key"},
    "AccountSession": {"auth_hash"},
    "AppliedCommand": {"key", "about"},
    "Trip": {"request_key", "request_digest", "timezone", "zone", "boarding_code"},
    "TripShare": {"token_digest"},
    "Driver": {"timezone"},
    "PushSubscription": {"p256dh", "auth"},
    "Notification": {"action_url"},
}
# What is not theirs of a trip that they only drove.
OF_THE_PASSENGER = {"pickup_name", "pickup_address", "dropoff_name", "dropoff_address", "note"}
PLACES_OF_A_LEG = {"from_name", "from_address", "to_name", "to_address"}
OF_THE_PASSENGER |= {"traveller_name", "traveller_phone", "boarding_code"}
# A trip was driven with it: passengers saw it, and a complaint names its plate. Said before erasing.
STAYS = {"Vehicle.make", "Vehicle.model", "Vehicle.colour", "Vehicle.plate"}


class World(NamedTuple):
    """Somebody who books and drives, and whoever had to do with them."""

    user: User
    driver: Driver
    booked: Trip
    driven: Trip


def world() -> World:
    driver = DriverFactory.create(
        at=ALMATY,
        is_online=False,
        user__name=f"Mark {MARK}",
        user__email=f"{MARK}@x.kz",
        user__phone=f"+{PHONE_MARK}0001",
    )
    booked = TripFactory.create(organiser=driver.user, status=TripStatus.COMPLETED)
    driven = TripFactory.create(driver=driver, vehicle=driver.vehicle, status=TripStatus.COMPLETED)
    return World(driver.user, driver, booked, driven)


def columns(model: type[models.Model]) -> list[Any]:
    """Return the columns of a table in which something about a person can stand."""
    codes = CODES.get(model.__name__, set())
    return [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, models.CharField | models.TextField) and not field.choices and field.name not in codes
    ]


def is_about(model: type[models.Model]) -> bool:
    """Say whether a row of the table belongs to a person, a driver or a trip."""
    targets = {field.related_model for field in model._meta.concrete_fields if field.is_relation}
    return bool(targets & {User, Driver, Trip})


ABOUT = [
    model
    for app in OURS
    for model in apps.get_app_config(app).get_models()
    if is_about(model) and columns(model) and model is not Trip
]
# Tables whose rows need more than any row of their kind.
MAKERS: dict[str, Callable[[World, Trip], Any]] = {
    "Offer": lambda one, trip: OfferFactory.create(trip=trip, driver=one.driver, status="declined"),
    "Driver": lambda one, _trip: one.driver,
    "EmailAddress": lambda one, _trip: EmailAddress.objects.get_or_create(user=one.user, email=one.user.email)[0],
    "Booking": lambda _one, trip: trip.bookings.get(),
    "TripShare": lambda one, trip: TripShare.objects.get_or_create(
        trip=trip, created_by=one.user, token_digest=f"{trip.pk:064}"
    )[0],
}


def make(model: type[models.Model], one: World, trip: Trip) -> Any:
    """Make a row of any table that belongs to the person."""
    maker = MAKERS.get(model.__name__)
    if maker is not None:
        return maker(one, trip)
    owners: dict[Any, Any] = {User: one.user, Driver: one.driver, Trip: trip, Vehicle: one.driver.vehicle}
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if isinstance(field, models.AutoField) or field.has_default() or field.db_default is not models.NOT_PROVIDED:
            continue
        if field.is_relation:
            target = field.related_model
            values[field.name] = owners[target] if target in owners else a_session()
        elif field.null:
            continue
        else:
            values[field.name] = any_value(field)
    found = model._base_manager.filter(**{name: value for name, value in values.items() if value in owners.values()})
    return found.first() or model._base_manager.create(**values)


def a_session() -> Session:
    key = f"{Session.objects.count():032}"
    return Session.objects.create(session_key=key, session_data="", expire_date=timezone.now() + dt.timedelta(days=1))


NUMBERS = itertools.count(1)


def any_value(field: Any) -> Any:
    if field.choices:
        return field.choices[0][0]
    if isinstance(field, models.DateTimeField):
        return timezone.now() + dt.timedelta(hours=1)
    if isinstance(field, models.DateField):
        return timezone.localdate()
    if isinstance(field, models.BinaryField):
        return b"x"
    if isinstance(field, models.JSONField):
        return {}
    if isinstance(field, models.CharField | models.TextField):
        # Of two rows of a table, which it may not let be the same.
        return f"{next(NUMBERS)}{field.name}"[: field.max_length]
    return 1


def fill(row: Any, *, but: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """Put the mark into every column of text of a row; return which."""
    filled = {}
    for field in columns(type(row)):
        if field.name in but:
            continue
        if "phone" in field.name:
            filled[field.name] = f"+{PHONE_MARK}000{row.pk % 10}"
        elif "email" in field.name:
            filled[field.name] = f"{MARK}@x.kz"
        elif field.name == "plate":
            filled[field.name] = MARK.upper()
        else:
            filled[field.name] = f"{MARK} 12"[: field.max_length]
    type(row)._base_manager.filter(pk=row.pk).update(**filled)
    return [f"{type(row).__name__}.{name}" for name in filled]


def fill_world(one: World) -> set[str]:
    """Fill everything that is stored of the person; return the columns."""
    filled = {*fill(one.user, but={"email", "phone", "name"}), *fill(one.driver.vehicle)}
    for model in ABOUT:
        for trip in (one.booked, one.driven):
            row = make(model, one, trip)
            but = {"email"} if model is EmailAddress else set()
            if model is TripLeg and trip is one.driven:
                but = PLACES_OF_A_LEG
            filled |= set(fill(row, but=but))
    filled |= set(fill(one.booked)) | set(fill(one.driven, but=OF_THE_PASSENGER))
    staff = StaffFactory.create()
    rows: list[models.Model] = [
        one.user,
        one.driver,
        one.booked,
        *one.booked.ratings.all(),
        *one.driven.transitions.all(),
    ]
    for logged in rows:
        LogEntry.objects.create(
            user=staff,
            content_type=ContentType.objects.get_for_model(logged),
            object_id=str(logged.pk),
            object_repr=MARK,
            change_message=MARK,
            action_flag=CHANGE,
        )
    for other, text, page in (
        (one.booked.driver.user, f"{MARK} 12 → Almaty airport", "/driver/"),
        (one.driven.organiser, f"{one.user.short_name} · Toyota", f"/trips/{one.driven.pk}/"),
        (staff, f"Mark {MARK}", f"/admin/trips/trip/{one.booked.pk}/change/"),
    ):
        Notification.objects.create(user=other, title="News", message=text, action_url=page)
    for group in (groups.user(one.user.pk), groups.driver(one.driver.pk), groups.trip(one.booked.pk)):
        now = timezone.now()
        Event.objects.create(event_id="x", group=group, type="x", frame=MARK, sweep_at=now, published_at=now)
    return filled


def marked() -> Iterator[str]:
    """Find the mark in the whole database."""
    for model in apps.get_models(include_auto_created=True):
        for row in model._base_manager.values():
            for name, value in row.items():
                text = str(value).lower()
                if MARK in text or PHONE_MARK in text:
                    yield f"{model.__name__}.{name}"


def test_nothing_that_named_a_person_is_left() -> None:
    one = world()
    filled = fill_world(one)
    # It would be found: otherwise the search proves nothing.
    assert filled - set(marked()) == set()
    assert len(ABOUT) > 15

    erasure._erase(one.user.pk)

    assert set(marked()) - STAYS == set()


def test_staff_are_left_with_no_call_for_help_and_no_report_that_names_the_person() -> None:
    """Their notifications lead to the call or the message, not to the trip."""
    trip = TripFactory.create(status=TripStatus.ARRIVED, organiser__name=f"Mark {MARK}")
    staff = StaffFactory.create(is_superuser=True)
    said = messages.send(trip.pk, trip.driver.user, text="Pay more")
    messages.report(trip.pk, said.pk, trip.organiser)
    safety.raise_alert(trip.pk, trip.organiser)
    assert Notification.objects.filter(user=staff).count() == 2
    Trip.objects.update(status=TripStatus.COMPLETED)
    erasure._erase(trip.organiser_id)
    assert not Notification.objects.filter(user=staff).exists()


def test_trips_their_money_and_stars_stay() -> None:
    one = world()
    TripTransition.objects.create(trip=one.booked, from_status="arrived", to_status="completed", role="driver")
    Rating.objects.create(
        trip=one.booked, role="organiser", by=one.user, about=one.booked.driver.user, stars=4, comment="x"
    )
    keys = (
        "fare",
        "platform_fee",
        "driver_earnings",
        "distance_km",
        "departure_at",
        "completed_at",
        "status",
        "organiser",
    )
    before = list(Trip.objects.order_by("pk").values(*keys))
    erasure._erase(one.user.pk)
    assert list(Trip.objects.order_by("pk").values(*keys)) == before
    assert one.booked.transitions.count() == 1
    assert Rating.objects.values("stars", "comment").get() == {"stars": 4, "comment": ""}


@pytest.mark.parametrize(
    ("name", "lat", "lng", "kept", "at"),
    [
        ("Dostyk 85, flat 7", 43.23456, 76.95678, "0.3 km east of Kok-Tobe", (43.23, 76.96)),
        # Everybody knows it, but not which door.
        ("Almaty airport", 43.35214, 77.04051, "Almaty airport", (43.35, 77.04)),
    ],
)
def test_place_of_a_trip_is_as_accurate_as_to_the_kilometre(
    name: str, lat: float, lng: float, kept: str, at: tuple[float, float]
) -> None:
    trip = TripFactory.create(
        status=TripStatus.COMPLETED, pickup=(lat, lng), pickup_name=name, pickup_address="Dostyk 85"
    )
    erasure._erase(trip.organiser_id)
    trip.refresh_from_db()
    assert (trip.pickup_lat, trip.pickup_lng) == at
    assert trip.pickup_address == ""
    assert trip.pickup_name == kept


def test_number_of_queries_for_a_trip_is_bounded() -> None:
    """Somebody who travels every day must not keep the database's lock for a minute."""
    user = PassengerFactory.create()
    numbers = []
    # The first time also what the process keeps from then on is read.
    for trips in (1, 1, 4):
        for _time in range(trips):
            TripFactory.create(organiser=user, status=TripStatus.CANCELLED, pickup_name="Dostyk 85, flat 7")
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            erasure._erase(user.pk)
            transaction.set_rollback(True)
        numbers.append(len(queries))
        assert len([one for one in queries if 'FROM "trips_place"' in one["sql"]]) <= 2
    # One statement each, of four trips more.
    assert numbers[2] - numbers[1] == 4


def test_twice_is_once() -> None:
    user = PassengerFactory.create()
    erasure._erase(user.pk)
    erasure._erase(user.pk)
    assert SecurityEvent.objects.filter(event="account.deleted", subject=user).count() == 1


def test_half_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in the last step takes the first ones back."""
    one = world()
    fill_world(one)
    before = sorted(marked())

    def fail(_user_id: int) -> None:
        raise RuntimeError

    monkeypatch.setattr(erasure, "end_sessions_of", fail)
    with pytest.raises(RuntimeError):
        erasure._erase(one.user.pk)
    assert sorted(marked()) == before
    assert User.objects.get(pk=one.user.pk).is_active


def test_driver_is_forgotten_on_a_trip_that_somebody_else_drives_now() -> None:
    """They wrote there, called for help and were announced before they gave it back."""
    driver = DriverFactory.create(at=ALMATY, user__name="Li Ho")
    trip = TripFactory.create(driver=driver, status=TripStatus.EN_ROUTE)
    OfferFactory.create(trip=trip, driver=driver, status="accepted", released_at=timezone.now())
    staff = StaffFactory.create()
    messages.send(trip.pk, driver.user, text="I am Li Ho, my number is 700")
    messages.report(trip.pk, TripMessage.objects.get().pk, trip.organiser)
    safety.raise_alert(trip.pk, driver.user, lat=43.5, lng=76.5)
    page = f"/trips/{trip.pk}/"
    Notification.objects.create(user=trip.organiser, title="Driver found", message="Li H. · Toyota", action_url=page)
    other = DriverFactory.create(user__name="Other Driver")
    Notification.objects.create(user=trip.organiser, title="Driver found", message="Other D.", action_url=page)
    Trip.objects.filter(pk=trip.pk).update(driver=other)
    messages.send(trip.pk, other.user, text="On my way")

    erasure._erase(driver.user_id)

    assert [row.text for row in TripMessage.objects.all()] == ["On my way"]
    assert SafetyAlert.objects.values_list("lat", "lng", "position_of").get() == (None, None, "")
    assert not Notification.objects.filter(user=staff).exists()
    told = Notification.objects.filter(user=trip.organiser, category="trip").values_list("message", flat=True)
    assert list(told) == ["Other D."]
    assert not Notification.objects.filter(message__contains="Li H").exists()


def test_what_staff_said_of_a_driver_goes_from_trips_that_they_lost() -> None:
    driver, other, staff = DriverFactory.create(), DriverFactory.create(at=ALMATY), StaffFactory.create()
    trip = TripFactory.create(driver=driver, status=TripStatus.ACCEPTED)
    assignment.reassign(trip.pk, other.pk, staff, "Daniyar smelled of drink")

    erasure._erase(driver.user_id)

    notes = TripTransition.objects.values_list("note", flat=True)
    reasons = StaffAssignment.objects.values_list("reason", "end_reason")
    assert "drink" not in f"{[*notes]} {[*reasons]}"


@pytest.mark.parametrize("who", ["passenger", "driver"])
def test_staff_are_not_left_with_calls_for_help_and_reports(who: str) -> None:
    trip = TripFactory.create(status=TripStatus.EN_ROUTE, organiser__name="Li Ho", driver__user__name="Bo Ko")
    passenger, driver = trip.organiser, trip.driver.user
    staff = StaffFactory.create()
    safety.raise_alert(trip.pk, passenger)
    messages.send(trip.pk, driver, text="Where are you?")
    messages.send(trip.pk, passenger, text="Here")
    messages.report(trip.pk, TripMessage.objects.get(sender=driver).pk, passenger)
    assert Notification.objects.filter(user=staff).count() == 2
    Trip.objects.filter(pk=trip.pk).update(status=TripStatus.COMPLETED, completed_at=timezone.now())

    erasure._erase({"passenger": passenger, "driver": driver}[who].pk)

    # Neither what staff were told, nor the other side's "New message", whose names are too short to search for.
    assert not Notification.objects.exists()


def test_steps_and_watches_do_not_say_where_the_door_is() -> None:
    trip = TripFactory.create(status=TripStatus.COMPLETED)
    TripTransition.objects.create(
        trip=trip, from_status="en_route", to_status="driver_arrived", role="driver", lat=43.23456, lng=76.95678
    )
    TripWatch.objects.create(trip=trip, driver=trip.driver, anchor_lat=43.23456, anchor_lng=76.95678)
    erasure._erase(trip.organiser_id)
    assert TripTransition.objects.values_list("lat", "lng").get() == (None, None)
    assert TripWatch.objects.values_list("anchor_lat", "anchor_lng").get() == (None, None)


@pytest.mark.parametrize("writer", ["organiser", "driver"])
def test_nobody_writes_to_or_from_an_erased_account(writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trip = TripFactory.create(status=TripStatus.COMPLETED, completed_at=timezone.now())
    user = {"organiser": trip.organiser, "driver": trip.driver.user}[writer]
    erasure._erase(trip.organiser_id)
    assert not messages.read_conversation(trip.driver.user, trip.pk).is_open
    # Also where the trip and its people were read before, and it waited for the lock.
    for is_open in (messages.is_open, lambda *_args: True):
        monkeypatch.setattr(messages, "is_open", is_open)
        with pytest.raises(Conflict) as refused:
            messages.send(trip.pk, user, text="Where is my bag?")
        assert refused.value.code == "message.closed"
    assert not TripMessage.objects.exists()


def test_nobody_keeps_an_account_from_being_erased_by_taking_its_address() -> None:
    user = PassengerFactory.create()
    PassengerFactory.create(email=f"deleted-{user.pk}@account.invalid")
    erasure._erase(user.pk)
    user.refresh_from_db()
    assert not user.is_active


def test_other_people_keep_what_is_theirs() -> None:
    one = world()
    other = one.driven.organiser
    Trip.objects.filter(pk=one.driven.pk).update(note="My note", pickup_name="My house", pickup_address="Abay 1")
    SavedPlace.objects.create(user=other, kind="home", place_name="My house", lat=43, lng=76)
    Notification.objects.create(user=other, title="Another trip", message="Other words", action_url="/trips/999999/")
    erasure._erase(one.user.pk)
    one.driven.refresh_from_db()
    assert (one.driven.note, one.driven.pickup_name, one.driven.pickup_address) == ("My note", "My house", "Abay 1")
    assert SavedPlace.objects.filter(user=other).exists()
    assert Notification.objects.filter(user=other, title="Another trip").exists()
    other.refresh_from_db()
    assert other.is_active


def test_short_name_takes_no_notifications_from_others() -> None:
    """Somebody who is called "a" must not empty the lists of whoever drove them."""
    user = PassengerFactory.create(name="a", email="a@x.kz")
    trip = TripFactory.create(organiser=user, status=TripStatus.COMPLETED)
    Notification.objects.create(user=trip.driver.user, title="Send newer documents", action_url="/driver/settings/")
    erasure._erase(user.pk)
    assert Notification.objects.filter(user=trip.driver.user).count() == 1


def test_everything_is_signed_out_and_its_sockets_are_told() -> None:
    user = PassengerFactory.create()
    clients = [Client(), Client()]
    for client in clients:
        assert client.post("/accounts/login/", {"login": user.email, "password": PASSWORD}).status_code == 302
    assert clients[0].post("/account/erase/").status_code == 302
    assert clients[1].get("/trips/").status_code == 302
    assert Event.objects.filter(group=groups.user(user.pk)).exists()


def test_page_says_before_that_it_is_refused() -> None:
    trip = TripFactory.create(status=TripStatus.OFFERED)
    client = Client()
    client.post("/accounts/login/", {"login": trip.organiser.email, "password": PASSWORD})
    html = client.get("/account/erase/").content.decode()
    assert "You have a trip that has not ended." in html
    assert 'data-testid="account-erase"' not in html


def test_driver_stays_a_row_without_a_licence() -> None:
    one = world()
    erasure._erase(one.user.pk)
    driver = Driver.objects.get(pk=one.driver.pk)
    assert (driver.licence_number, driver.vehicle_id, driver.approval) == ("", None, Approval.APPROVED)
    assert Offer.objects.filter(driver=driver).count() == 0
