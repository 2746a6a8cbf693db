"""Messages between passenger and driver: who reads and writes, when, what is told to whom, reporting and hiding."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from realtime import events, groups
from realtime.delivery import notifications
from realtime.models import Event, Notification
from stepper.errors import Conflict, InvalidInput, NotFound, NotPermitted, TooManyRequests
from stepper.models import ServiceSettings, User
from tests.backoffice import action_url, member_of_staff, page_url, run_on_list
from tests.factories import DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.outbox import frames, types
from tests.rest import as_user
from trips import assignment, conversations, driving, messages
from trips.models import Booking, Trip, TripMessage
from trips.quick_replies import OFFERED, QuickReply
from trips.states import Role, TripStatus

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def passenger() -> User:
    user: User = PassengerFactory(name="Dana Akhmetova", phone="+77010000011")
    return user


@pytest.fixture
def trip(passenger: User) -> Trip:
    driver = DriverFactory(user__name="Aigerim Sadykova")
    made: Trip = TripFactory(organiser=passenger, driver=driver, status=TripStatus.ACCEPTED)
    return made


def _driver(trip: Trip) -> User:
    assert trip.driver is not None
    return trip.driver.user


def _said(user: User, trip: Trip) -> list[str]:
    return [row.words for row in messages.read_conversation(user, trip.pk).messages]


def _end(trip: Trip, ago: dt.timedelta, status: TripStatus = TripStatus.COMPLETED) -> None:
    ended = "completed_at" if status == TripStatus.COMPLETED else "cancelled_at"
    Trip.objects.filter(pk=trip.pk).update(status=status, **{ended: timezone.now() - ago})


# Writing and reading


def test_both_sides_write_and_read(trip: Trip, passenger: User) -> None:
    messages.send(trip.pk, passenger, text="  I wear a\u202e red hat\n ")
    messages.send(trip.pk, _driver(trip), text="See you")
    for reader in (passenger, _driver(trip)):
        assert _said(reader, trip) == ["I wear a red hat", "See you"]
    first = TripMessage.objects.order_by("pk")[0]
    assert (first.role, first.sender, first.driver, first.read_at) == (Role.ORGANISER, passenger, trip.driver, None)


def test_event_goes_to_the_two_alone_and_does_not_say_what_was_written(trip: Trip, passenger: User) -> None:
    Trip.objects.update(is_shared=True)
    row = messages.send(trip.pk, passenger, text="my secret")
    mine = {groups.user(passenger.pk), groups.user(_driver(trip).pk), groups.trip_for_staff(trip.pk)}
    logged = Event.objects.filter(type="trip.message.created")
    assert set(logged.values_list("group", flat=True)) == mine
    assert "my secret" not in "".join(Event.objects.values_list("frame", flat=True))
    event = frames(groups.user(passenger.pk))[0]
    assert isinstance(event, events.TripMessageCreated)
    assert (event.trip_id, event.message_id, event.by) == (trip.pk, row.pk, "organiser")


def test_same_message_with_the_same_key_is_one(trip: Trip, passenger: User) -> None:
    first = messages.send(trip.pk, passenger, text="Hello", key="a")
    assert messages.send(trip.pk, passenger, text=" Hello ", key="a") == first
    assert types(groups.user(passenger.pk)).count("trip.message.created") == 1
    with pytest.raises(Conflict) as refused:
        messages.send(trip.pk, passenger, text="Something else", key="a")
    assert refused.value.code == "command.key_reused"
    # A key is its maker's.
    messages.send(trip.pk, _driver(trip), text="Hello too", key="a")
    assert TripMessage.objects.count() == 2


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, "text"),
        ({"text": " \u200b\n "}, "text"),
        ({"text": "x" * 501}, "text"),
        ({"quick": "here"}, "quick"),
        ({"quick": "nothing"}, "quick"),
        ({"quick": "wait", "text": "and this"}, "quick"),
    ],
)
def test_wrong_message_is_refused(wanted: dict[str, str], field: str, trip: Trip, passenger: User) -> None:
    with pytest.raises(InvalidInput) as refused:
        messages.send(trip.pk, passenger, **wanted)
    assert list(refused.value.fields) == [field]
    assert not TripMessage.objects.exists()


def test_quick_reply_is_read_in_each_readers_language(trip: Trip, passenger: User) -> None:
    messages.send(trip.pk, passenger, quick="wait")
    row = TripMessage.objects.get()
    assert (row.quick, row.text) == ("wait", "")
    words = {}
    for language in ("en", "ru", "kk"):
        with translation.override(language):
            words[language] = _said(_driver(trip), trip)[0]
    assert words == {
        "en": "Please wait five minutes",
        "ru": "Подождите, пожалуйста, пять минут",
        "kk": "Бес минут күте тұрыңызшы",
    }


def test_each_side_has_quick_replies_of_its_own(trip: Trip) -> None:
    assert set(OFFERED) == {Role.ORGANISER, Role.DRIVER}
    assert {reply for offered in OFFERED.values() for reply in offered} == set(QuickReply)


def test_writing_is_limited_and_reading_apart(trip: Trip, passenger: User) -> None:
    ServiceSettings.objects.create(pk=1, changes_per_min=2)
    for number in range(2):
        messages.send(trip.pk, passenger, text=str(number))
    with pytest.raises(TooManyRequests):
        messages.send(trip.pk, passenger, text="3")
    messages.send(trip.pk, _driver(trip), text="4")
    messages.mark_read(trip.pk, passenger, 2**60)


# Rights


def _others(trip: Trip) -> dict[str, User]:
    seat = PassengerFactory()
    Booking.objects.create(trip=trip, passenger=seat, status="confirmed", seats=1, amount=100)
    return {
        "another passenger": PassengerFactory(),
        "passenger with a seat": seat,
        "another driver": DriverFactory().user,
        "staff without the permission": StaffFactory(is_superuser=False),
    }


def test_nobody_else_reads_writes_marks_or_reports(trip: Trip, passenger: User) -> None:
    row = messages.send(trip.pk, passenger, text="Hello")
    refused: list[Callable[[User], object]] = [
        lambda user: messages.read_conversation(user, trip.pk),
        lambda user: messages.send(trip.pk, user, text="x"),
        lambda user: messages.mark_read(trip.pk, user, row.pk),
        lambda user: messages.report(trip.pk, row.pk, user),
    ]
    for name, user in _others(trip).items():
        for verb in refused:
            with pytest.raises(NotFound):
                verb(user)
        assert conversations.draw_changed(user.pk, trip.pk) == "", name
    row.refresh_from_db()
    assert (row.read_at, row.reported_at, TripMessage.objects.count()) == (None, None, 1)


def test_staff_with_the_permission_read_all_and_write_nothing(trip: Trip, passenger: User) -> None:
    messages.send(trip.pk, passenger, text="to the first")
    other = DriverFactory()
    Trip.objects.update(driver=other)
    messages.send(trip.pk, passenger, text="to the second")
    staff = StaffFactory()
    found = messages.read_conversation(staff, trip.pk)
    assert [row.words for row in found.messages] == ["to the first", "to the second"]
    assert not found.is_open
    with pytest.raises(NotFound):
        messages.send(trip.pk, staff, text="x")


def test_former_driver_sees_nothing_and_the_next_one_starts_anew(trip: Trip, passenger: User) -> None:
    former = _driver(trip)
    messages.send(trip.pk, passenger, text="for the first driver")
    messages.send(trip.pk, former, text="by the first driver")
    assert trip.driver_id
    driving.update_status(trip.driver_id, trip.pk, status="released")
    with pytest.raises(NotFound):
        messages.read_conversation(former, trip.pk)
    assert _said(passenger, trip) == []
    with pytest.raises(Conflict):
        messages.send(trip.pk, passenger, text="x")

    other = DriverFactory(at=(43.2220, 76.8512))
    assignment.assign(trip.pk, other.pk, StaffFactory(), "asked to")
    messages.send(trip.pk, passenger, text="for the second")
    assert _said(other.user, trip) == _said(passenger, trip) == ["for the second"]
    with pytest.raises(NotFound):
        messages.send(trip.pk, former, text="x")
    assert messages.count_unread(other.user, [Trip.objects.get()]) == {trip.pk: 1}


# Until when


@pytest.mark.parametrize("status", [TripStatus.COMPLETED, TripStatus.CANCELLED])
def test_closed_some_hours_after_the_end_and_still_read(status: TripStatus, trip: Trip, passenger: User) -> None:
    messages.send(trip.pk, passenger, text="before")
    _end(trip, dt.timedelta(hours=23, minutes=59), status)
    messages.send(trip.pk, passenger, text="in time")
    messages.send(trip.pk, _driver(trip), text="also in time")
    _end(trip, dt.timedelta(hours=24, seconds=1), status)
    for user in (passenger, _driver(trip)):
        with pytest.raises(Conflict) as refused:
            messages.send(trip.pk, user, text="too late")
        assert refused.value.code == "message.closed"
        assert len(_said(user, trip)) == 3


def test_how_long_is_a_setting(trip: Trip, passenger: User) -> None:
    ServiceSettings.objects.create(pk=1, messages_open_h=1)
    _end(trip, dt.timedelta(minutes=61))
    with pytest.raises(Conflict):
        messages.send(trip.pk, passenger, text="x")


@pytest.mark.parametrize("status", [TripStatus.OFFERED, TripStatus.UNFILLED, TripStatus.CANCELLED])
def test_without_a_driver_there_is_nobody_to_write_to(status: TripStatus, passenger: User) -> None:
    trip = TripFactory(organiser=passenger, status=status, cancelled_at=timezone.now())
    assert messages.read_conversation(passenger, trip.pk).messages == []
    with pytest.raises(Conflict):
        messages.send(trip.pk, passenger, text="x")


# Notifications and reading


def test_other_side_is_notified_without_the_text_and_not_for_each(trip: Trip, passenger: User) -> None:
    for text in ("my secret", "another"):
        messages.send(trip.pk, passenger, text=text)
    row = Notification.objects.get()
    assert (row.user, row.category, row.action_url) == (_driver(trip), "chat", f"/trips/{trip.pk}/messages/")
    assert "secret" not in f"{row.title} {row.message}"
    assert "Dana" in row.message
    assert types(groups.user(_driver(trip).pk)).count("notification.driver") == 1

    messages.mark_read(trip.pk, _driver(trip), 2**60)
    messages.send(trip.pk, passenger, text="a third")
    assert Notification.objects.count() == 2


def test_who_has_not_read_for_a_while_is_notified_again(trip: Trip, passenger: User) -> None:
    messages.send(trip.pk, passenger, text="1")
    Notification.objects.update(created_at=timezone.now() - dt.timedelta(minutes=3))
    messages.send(trip.pk, passenger, text="2")
    assert Notification.objects.filter(user=_driver(trip)).count() == 2


def test_who_has_read_the_notification_alone_is_notified_of_the_next_message(trip: Trip, passenger: User) -> None:
    messages.send(trip.pk, passenger, text="1")
    notifications.mark_all_read(_driver(trip).pk)
    messages.send(trip.pk, passenger, text="2")
    messages.send(trip.pk, passenger, text="3")
    assert notifications.unread_count(_driver(trip).pk) == 1


def test_who_was_written_to_by_the_driver_before_is_notified_by_the_next_one(trip: Trip, passenger: User) -> None:
    messages.send(trip.pk, _driver(trip), text="I am late")
    other = DriverFactory()
    assignment.reassign(trip.pk, other.pk, StaffFactory(), "broke down")
    messages.send(trip.pk, other.user, text="I come instead")
    assert Notification.objects.filter(user=passenger, category="chat").count() == 2


def test_reading_is_said_once_and_takes_the_notification_with_it(trip: Trip, passenger: User) -> None:
    first = messages.send(trip.pk, passenger, text="1")
    second = messages.send(trip.pk, passenger, text="2")
    driver = _driver(trip)
    own = messages.send(trip.pk, driver, text="mine")
    assert messages.count_unread(driver, [trip]) == {trip.pk: 2}

    assert messages.mark_read(trip.pk, driver, first.pk) == 1
    assert messages.mark_read(trip.pk, driver, own.pk) == 1
    assert messages.mark_read(trip.pk, driver, own.pk) == 0
    read = [frame for frame in frames(groups.user(passenger.pk)) if isinstance(frame, events.TripMessageRead)]
    assert [(frame.by, frame.message_id) for frame in read] == [("driver", first.pk), ("driver", second.pk)]
    assert messages.count_unread(driver, [trip]) == {}
    assert messages.count_unread(passenger, [trip]) == {trip.pk: 1}
    assert not Notification.objects.filter(user=driver, read_at__isnull=True).exists()
    assert Notification.objects.filter(user=passenger, read_at__isnull=True).exists()


# Reporting and hiding


def test_message_of_the_other_side_is_reported_once(trip: Trip, passenger: User) -> None:
    staff = StaffFactory()
    row = messages.send(trip.pk, _driver(trip), text="rude")
    for _time in range(2):
        assert messages.report(trip.pk, row.pk, passenger).reported_at is not None
    told = Notification.objects.get(user=staff)
    assert told.action_url == page_url(row)
    assert "rude" not in f"{told.title} {told.message}"
    with pytest.raises(NotFound) as refused:
        messages.report(trip.pk, row.pk, _driver(trip))
    assert refused.value.code == "message.not_found"


def test_hidden_text_is_shown_to_staff_alone(trip: Trip, passenger: User) -> None:
    row = messages.send(trip.pk, _driver(trip), text="rude")
    staff = StaffFactory()
    for _time in range(2):
        messages.hide(row.pk, staff)
    assert _said(passenger, trip) == _said(_driver(trip), trip) == [""]
    assert "rude" not in conversations.draw_changed(passenger.pk, trip.pk)
    assert TripMessage.objects.get().said == "rude"
    for user in (passenger, _driver(trip)):
        assert types(groups.user(user.pk)).count("trip.message.hidden") == 1
    messages.show_again(row.pk, staff)
    assert _said(passenger, trip) == ["rude"]


@pytest.mark.parametrize("verb", [messages.hide, messages.show_again])
def test_hiding_needs_the_permission(verb: Callable[[int, User], object], trip: Trip, passenger: User) -> None:
    row = messages.send(trip.pk, passenger, text="x")
    for user in (passenger, StaffFactory(is_superuser=False)):
        with pytest.raises(NotPermitted):
            verb(row.pk, user)


def test_staff_hide_in_the_administration(trip: Trip, passenger: User) -> None:
    row = messages.send(trip.pk, passenger, text="rude words")
    reader = member_of_staff("trips.view_tripmessage")
    assert "rude words" in reader.get(page_url(row)).content.decode()
    run_on_list(reader, "hide", [row], confirmed="1")
    row.refresh_from_db()
    assert row.hidden_at is None
    hider = member_of_staff("trips.view_tripmessage", "trips.change_tripmessage")
    hider.post(action_url(row, "hide"))
    assert TripMessage.objects.filter(pk=row.pk, hidden_at__isnull=False).exists()
    without = member_of_staff("trips.view_trip", "trips.change_trip")
    assert without.get(page_url(row)).status_code == 403
    assert "rude words" not in without.get(page_url(trip)).content.decode()
    assert (
        "rude words"
        in member_of_staff("trips.view_trip", "trips.view_tripmessage").get(page_url(trip)).content.decode()
    )


# Pages


def _sent_from_page(client: Client, trip: Trip, **fields: Any) -> Any:
    return client.post(reverse("trips:messages", args=[trip.pk]), fields, headers=HTMX)


def test_page_sends_keeps_what_was_refused_and_escapes(client: Client, trip: Trip, passenger: User) -> None:
    client.force_login(passenger)
    answer = _sent_from_page(client, trip, text="<b>Hello</b>", key="k")
    page = answer.content.decode()
    assert "&lt;b&gt;Hello" in page
    assert "<b>Hello" not in page
    # The answer was lost, the same is sent again; then something else from the same form.
    _sent_from_page(client, trip, text="<b>Hello</b>", key="k")
    _sent_from_page(client, trip, text="Hello again", key="k")
    assert _said(passenger, trip) == ["<b>Hello</b>", "Hello again"]

    too_long = _sent_from_page(client, trip, text="y" * 501, key="k2")
    assert too_long.status_code == 400
    assert 'value="yyy' in too_long.content.decode()
    assert "At most 500 characters." in too_long.content.decode()


def test_page_says_that_it_is_closed_and_whom_to_ask(client: Client, trip: Trip, passenger: User) -> None:
    ServiceSettings.objects.create(pk=1, support_phone="+77270000000")
    client.force_login(passenger)
    _end(trip, dt.timedelta(hours=25))
    page = client.get(reverse("trips:messages", args=[trip.pk])).content.decode()
    assert 'data-testid="message-closed"' in page
    assert 'data-testid="message-input"' not in page
    assert "tel:+77270000000" in page
    assert _sent_from_page(client, trip, text="x", key="k").status_code == 409


@pytest.mark.parametrize(
    ("hours", "support", "shown", "hidden"),
    [
        (23, "", ["Lost something?", "?lost=1"], ["lost-closed"]),
        (25, "+77270000000", ["lost-closed", "tel:+77270000000"], ["?lost=1"]),
        (25, "", [], ["lost-closed", "?lost=1"]),
    ],
)
def test_lost_something(
    client: Client, trip: Trip, passenger: User, hours: int, support: str, shown: list[str], hidden: list[str]
) -> None:
    ServiceSettings.objects.create(pk=1, support_phone=support)
    client.force_login(passenger)
    _end(trip, dt.timedelta(hours=hours))
    page = client.get(reverse("trips:detail", args=[trip.pk])).content.decode()
    assert [text for text in shown if text not in page] == []
    assert [text for text in hidden if text in page] == []
    client.force_login(_driver(trip))
    assert "Lost something?" not in client.get(reverse("trips:detail", args=[trip.pk])).content.decode()


def test_lost_something_begins_the_message(client: Client, trip: Trip, passenger: User) -> None:
    client.force_login(passenger)
    _end(trip, dt.timedelta(hours=1))
    page = client.get(reverse("trips:messages", args=[trip.pk]) + "?lost=1").content.decode()
    assert 'value="I think I left something in the car: "' in page


def test_unread_number_is_on_the_trip_in_lists_and_on_the_dashboard(
    client: Client, trip: Trip, passenger: User
) -> None:
    messages.send(trip.pk, passenger, text="1")
    messages.send(trip.pk, passenger, text="2")
    messages.send(trip.pk, _driver(trip), text="3")
    badge = f'id="message-unread-{trip.pk}" class="badge badge--urgent" data-testid="message-unread">'
    client.force_login(passenger)
    for address in (f"/trips/{trip.pk}/", "/trips/"):
        assert f"{badge}1<" in client.get(address).content.decode()
    client.force_login(_driver(trip))
    assert f"{badge}2<" in client.get("/driver/").content.decode()
    messages.mark_read(trip.pk, _driver(trip), 2**60)
    assert badge not in client.get("/driver/").content.decode()
    _end(trip, dt.timedelta(hours=1))
    messages.send(trip.pk, passenger, text="My umbrella?")
    assert f"{badge}1<" in client.get("/driver/tab/history/").content.decode()


# REST


def test_rest_sends_reads_marks_and_reports(trip: Trip, passenger: User) -> None:
    path = f"/api/trips/{trip.pk}/messages"
    sender, reader = as_user(passenger), as_user(_driver(trip))
    sent = [sender.post(path, {"text": "Hello"}, format="json", headers={"Idempotency-Key": "a"}) for _time in range(2)]
    assert [answer.status_code for answer in sent] == [201, 201]
    assert sent[0].json() == sent[1].json()
    found = reader.get(path).json()
    assert (found["unread"], found["open"]) == (1, True)
    (row,) = found["messages"]
    assert (row["text"], row["by"], row["mine"], row["read_at"]) == ("Hello", "organiser", False, None)
    assert reader.post(f"{path}/read", {"up_to": row["id"]}, format="json").json() == {"read": 1}
    assert reader.post(f"{path}/{row['id']}/report").status_code == 200
    assert TripMessage.objects.get().reported_at is not None


@pytest.mark.parametrize(
    "body", [{}, {"text": 5}, {"text": "x" * 501}, {"quick": "here"}, {"text": "x", "quick": "ok"}]
)
def test_rest_refuses_what_is_wrong(body: dict[str, Any], trip: Trip, passenger: User) -> None:
    answer = as_user(passenger).post(f"/api/trips/{trip.pk}/messages", body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (400, "input.invalid")
