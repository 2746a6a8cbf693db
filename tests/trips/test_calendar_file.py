"""The file of a trip for calendars, read by a parser that others maintain."""

import datetime as dt
from typing import Any

import icalendar
import pytest
from django.test import Client

from tests.factories import DriverFactory, PassengerFactory, StaffFactory, TripFactory
from trips import bookings, changes
from trips.models import Trip

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def trip() -> Trip:
    made: Trip = TripFactory(
        in_=30 * HOUR,
        pickup_name="Көктөбе; Almaty, «Gate\\2»",
        pickup_address="Ащыбұлақ көшесі 12, кіреберіс 3, үшінші қабат, оң жақтағы есік, домофон 45",
        dropoff_name="Airport",
    )
    return made


def event_of(client: Client, trip: Trip) -> Any:
    answer = client.get(f"/trips/{trip.pk}/calendar.ics")
    assert answer.status_code == 200
    assert max(len(line) for line in answer.content.split(b"\r\n")) <= 75
    calendar = icalendar.Calendar.from_ical(answer.content)
    assert not calendar.errors
    (event,) = calendar.events
    assert not event.errors
    return event


def test_calendar_has_the_trip_with_an_alarm(client: Client, trip: Trip) -> None:
    client.force_login(trip.organiser)

    event = event_of(client, trip)

    assert event.start == trip.departure_at.replace(microsecond=0)
    assert event.start.utcoffset() == dt.timedelta()
    assert event.end == trip.ends_at.replace(microsecond=0)
    assert event["SUMMARY"] == trip.title
    assert event["LOCATION"] == f"{trip.pickup_name}, {trip.pickup_address}"
    assert event["STATUS"] == "CONFIRMED"
    assert event["URL"] == f"http://testserver/trips/{trip.pk}/"
    (alarm,) = event.walk("VALARM")
    assert alarm["TRIGGER"].dt == -HOUR


def test_changed_and_cancelled_trip_is_the_same_event(client: Client, trip: Trip) -> None:
    client.force_login(trip.organiser)
    first = event_of(client, trip)

    changes.change(trip.pk, trip.organiser, {"departure_at": trip.departure_at + HOUR})
    moved = event_of(client, trip)
    bookings.cancel(trip.pk, trip.organiser)
    cancelled = event_of(client, trip)

    assert first["UID"] == moved["UID"] == cancelled["UID"]
    assert first["SEQUENCE"] < moved["SEQUENCE"] < cancelled["SEQUENCE"]
    assert moved.start == first.start + HOUR
    assert cancelled["STATUS"] == "CANCELLED"
    assert not cancelled.walk("VALARM")


def test_file_is_for_who_sees_the_trip_and_for_trips_for_later(client: Client, trip: Trip) -> None:
    address = f"/trips/{trip.pk}/calendar.ics"
    assert client.get(address).status_code == 302
    for user, status in ((PassengerFactory(), 404), (DriverFactory().user, 404), (StaffFactory(), 200)):
        client.force_login(user)
        assert client.get(address).status_code == status
    now = TripFactory()
    client.force_login(now.organiser)
    assert client.get(f"/trips/{now.pk}/calendar.ics").status_code == 404

    client.force_login(trip.organiser)
    answer = client.get(address)
    assert answer["Content-Type"] == "text/calendar; charset=utf-8"
    assert answer["Content-Disposition"] == f'attachment; filename="steppergo-{trip.pk}.ics"'
    assert client.post(address).status_code == 405
    link = f'href="{address}"'
    assert link in client.get(f"/trips/{trip.pk}/").content.decode()
    assert "calendar.ics" not in client.get(f"/trips/{now.pk}/").content.decode()
