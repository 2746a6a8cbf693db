"""Why a passenger cancels: the reasons to choose from, who reads them, and what is said before it is asked."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils.translation import override

from realtime import events, groups
from realtime.models import Notification
from stepper.errors import InvalidInput
from stepper.models import ServiceSettings, User
from tests.factories import OfferFactory, PassengerFactory, StaffFactory, TripFactory
from tests.outbox import frames
from tests.rest import as_user
from trips import bookings
from trips.models import Trip
from trips.panel import Panel
from trips.states import CancelReason

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)
WORDS = "He wanted to be paid by card only"


def cancelled(code: str, words: str = "", **fields: Any) -> Trip:
    trip = TripFactory(**({"status": "accepted", "in_": 5 * HOUR} | fields))
    bookings.cancel(trip.pk, trip.organiser, words, reason_code=code)
    return Trip.objects.for_page().get(pk=trip.pk)


# Who reads it


@pytest.mark.parametrize(
    ("code", "to_driver"),
    [
        ("plans_changed", "The passenger cancelled: Plans changed."),
        ("other", "The passenger cancelled: Another reason."),
        ("driver_asked", "The passenger cancelled."),
    ],
)
def test_driver_reads_what_was_chosen_and_never_the_words(code: str, to_driver: str) -> None:
    trip = cancelled(code, WORDS)
    assert trip.driver

    assert (trip.cancel_code, trip.cancel_reason) == (code, WORDS)
    told = Notification.objects.get(user=trip.driver.user)
    assert (told.title, told.message) == ("Trip cancelled", f"{trip.title}. {to_driver}")
    said = [
        frame
        for group in (groups.trip(trip.pk), groups.driver(trip.driver.pk), groups.user(trip.driver.user_id))
        for frame in frames(group)
    ]
    assert any(isinstance(frame, events.BookingCancelled) for frame in said)
    assert WORDS not in str(said)
    assert "driver_asked" not in str(said)
    assert trip.transitions.get(to_status="cancelled").note == WORDS
    answer = as_user(trip.driver.user).get(f"/api/trips/{trip.pk}").json()
    hidden = code == CancelReason.DRIVER_ASKED
    assert (answer["cancel_code"], answer["cancel_reason"]) == ("" if hidden else code, "")
    line = Panel(trip, trip.driver.user).headline.line
    assert WORDS not in line
    assert ("asked" in line) is False


@pytest.mark.parametrize("by", ["organiser", "staff"])
def test_organiser_and_staff_read_both(by: str) -> None:
    trip = cancelled("driver_asked", WORDS)
    viewer = trip.organiser if by == "organiser" else StaffFactory()

    assert Panel(trip, viewer).headline.line.endswith(f"The driver asked to cancel: {WORDS}")
    answer = as_user(viewer).get(f"/api/trips/{trip.pk}").json()
    assert (answer["cancel_code"], answer["cancel_reason"]) == ("driver_asked", WORDS)


def test_driver_reads_the_reason_in_their_language() -> None:
    trip = TripFactory(status="accepted", driver__user__language="ru")
    assert trip.driver
    with override("en"):
        bookings.cancel(trip.pk, trip.organiser, reason_code="plans_changed")
    with override("ru"):
        wanted = f"{trip.title}. {CancelReason.PLANS_CHANGED.label}"
    told = Notification.objects.get(user=trip.driver.user).message
    assert told.split(": ")[-1].rstrip(".") == wanted.rsplit(". ", maxsplit=1)[-1]


def test_words_without_a_reason_are_told_as_before() -> None:
    trip = cancelled("", "My flight is delayed")
    assert trip.driver
    assert Notification.objects.get(user=trip.driver.user).message == f"{trip.title}. My flight is delayed"
    assert as_user(trip.driver.user).get(f"/api/trips/{trip.pk}").json()["cancel_reason"] == "My flight is delayed"


def test_unknown_reason_is_refused_and_a_second_one_changes_nothing() -> None:
    trip = TripFactory()
    with pytest.raises(InvalidInput) as refused:
        bookings.cancel(trip.pk, trip.organiser, reason_code="bored")
    assert refused.value.fields.keys() == {"reason_code"}
    bookings.cancel(trip.pk, trip.organiser, reason_code="other_way")
    bookings.cancel(trip.pk, trip.organiser, reason_code="driver_asked")
    assert Trip.objects.get().cancel_code == "other_way"


@pytest.mark.parametrize("by_page", [True, False])
def test_no_driver_asked_where_there_is_none(client: Client, by_page: bool) -> None:
    trip = TripFactory(status="published", driver=None)
    sent = {"reason_code": "driver_asked"}
    if by_page:
        client.force_login(trip.organiser)
        answer = client.post(f"/trips/{trip.pk}/cancel/", sent)
        assert (answer.status_code, "This trip has no driver" in answer.content.decode()) == (409, True)
    else:
        refused = as_user(trip.organiser).post(f"/api/trips/{trip.pk}/cancel", sent, format="json")
        assert (refused.status_code, refused.json()["fields"].keys()) == (400, {"reason_code"})
    trip.refresh_from_db()
    assert trip.status == "published"


def test_answer_to_what_was_sent_keeps_nothing_of_the_question_before(client: Client) -> None:
    trip = TripFactory(status="accepted", in_=5 * HOUR)
    client.force_login(trip.organiser)
    assert client.get(f"/trips/{trip.pk}/cancel/").content.decode().count("hx-preserve") == len(CancelReason) + 1
    answer = client.post(f"/trips/{trip.pk}/cancel/", {"reason_code": "other", "reason": "x" * 201})
    assert (answer.status_code, "hx-preserve" in answer.content.decode()) == (409, False)


def test_rest_takes_a_reason() -> None:
    trip = TripFactory()
    client = as_user(trip.organiser)
    path = f"/api/trips/{trip.pk}/cancel"
    assert client.post(path, {"reason_code": "bored"}, format="json").json()["fields"].keys() == {"reason_code"}
    answer = client.post(path, {"reason_code": "wrong_trip", "reason": "Wrong day"}, format="json").json()
    assert (answer["status"], answer["cancel_code"], answer["cancel_reason"]) == (
        "cancelled",
        "wrong_trip",
        "Wrong day",
    )


# On the page


def test_page_offers_reasons_and_keeps_words_from_the_driver(client: Client) -> None:
    trip = TripFactory(status="accepted")
    client.force_login(trip.organiser)
    page = client.get(f"/trips/{trip.pk}/cancel/").content.decode()
    for reason in CancelReason:
        assert f'value="{reason.value}"' in page
    assert 'data-testid="cancel-confirm"' in page
    assert "checked" not in page

    client.post(f"/trips/{trip.pk}/cancel/", {"reason": WORDS})
    trip.refresh_from_db()
    assert (trip.cancel_code, trip.cancel_reason) == ("other", WORDS)


def terms(trip: Trip, viewer: User | None = None) -> str:
    return Panel(Trip.objects.for_page().get(pk=trip.pk), viewer or trip.organiser).actions.cancel_consequence


@pytest.mark.parametrize(("status", "is_offered"), [("offered", False), ("accepted", True)])
def test_who_has_no_driver_was_asked_by_none(client: Client, status: str, is_offered: bool) -> None:
    trip = TripFactory(status=status, in_=5 * HOUR)
    client.force_login(trip.organiser)
    page = client.get(f"/trips/{trip.pk}/cancel/").content.decode()
    assert ('value="driver_asked"' in page) == is_offered
    assert 'value="plans_changed"' in page


def test_what_applies_is_said_first() -> None:
    ServiceSettings.objects.create(pk=1, late_cancels_per_day=3)
    passenger = PassengerFactory()
    open_trip = TripFactory(organiser=passenger)
    assert "drivers who were asked are told" in terms(open_trip)
    assert "cannot book" not in terms(open_trip)

    later = TripFactory(organiser=passenger, status="accepted", in_=5 * HOUR)
    assert "You can cancel here until" in terms(later)
    assert "Who cancels 3 trips in a day" in terms(later)
    assert "so far" not in terms(later)
    now = TripFactory(organiser=passenger, status="en_route")
    assert "until" not in terms(now)

    bookings.cancel(now.pk, passenger)
    assert terms(later).endswith("You have cancelled 1 so far.")
    assert "cannot book" not in terms(later, StaffFactory())
    # A hotel with a number of its own may cancel as often.
    User.objects.filter(pk=passenger.pk).update(max_overlapping_trips=7)
    assert "Who cancels 7 trips in a day" in terms(later, User.objects.get(pk=passenger.pk))


# Staff


def test_staff_find_trips_that_the_driver_asked_to_cancel(client: Client) -> None:
    asked, other = cancelled("driver_asked"), cancelled("plans_changed")
    OfferFactory()
    client.force_login(StaffFactory())

    def listed(query: str) -> list[int]:
        page = client.get(f"/admin/trips/trip/?{query}")
        return [trip.pk for trip in page.context["cl"].result_list]

    assert listed("attention=driver_asked") == [asked.pk]
    assert listed("cancel_code__exact=plans_changed") == [other.pk]
    page = client.get("/admin/trips/trip/?attention=driver_asked").content.decode()
    assert page.count("Cancelled as the driver asked") > 1
