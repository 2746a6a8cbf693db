"""What needs a person: the condition that finds a trip and the words that say why agree."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from stepper.db.clock import database_now
from stepper.models import ServiceSettings
from tests.factories import TripFactory
from trips.attention import Matter, matter_of, needs_person
from trips.models import Trip, TripWatch
from trips.states import TripStatus

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


def _trip(status: str, booked: dt.timedelta = MINUTE, watch: dict[str, Any] | None = None, **fields: Any) -> Trip:
    trip: Trip = TripFactory.create(status=status, **fields)
    Trip.objects.filter(pk=trip.pk).update(created_at=timezone.now() - booked)
    if watch is not None:
        assert trip.driver is not None
        TripWatch.objects.create(trip=trip, driver=trip.driver, **watch)
    return trip


def _now() -> dt.datetime:
    return timezone.now()


CASES: dict[str, tuple[Any, Matter | None]] = {
    "escalated": (lambda: _trip("unfilled", escalated_at=_now()), Matter.UNFILLED),
    "escalated, being offered": (lambda: _trip("offered", escalated_at=_now()), Matter.UNFILLED),
    "has a driver since": (lambda: _trip("accepted", escalated_at=_now()), None),
    "late": (lambda: _trip("accepted", watch={"late_at": _now()}), Matter.LATE),
    "was late, is on the way": (lambda: _trip("en_route", watch={"late_at": _now()}), None),
    "stalled": (lambda: _trip("en_route", watch={"stall": "dark", "stalled_at": _now()}), Matter.STALLED),
    "was stalled, has arrived": (lambda: _trip("driver_arrived", watch={"stall": "dark"}), None),
    "not confirmed": (lambda: _trip("driver_arrived", arrival_flagged=True), Matter.UNCONFIRMED),
    "boarded since": (lambda: _trip("passengers_boarded", arrival_flagged=True), None),
    "waits for 5 min": (lambda: _trip("offered", booked=5 * MINUTE), Matter.WAITING),
    "waits for 4 min": (lambda: _trip("offered", booked=4 * MINUTE), None),
    "waits, leaves in 1 h": (lambda: _trip("unfilled", booked=9 * MINUTE, in_=HOUR), Matter.WAITING),
    "waits, leaves in 5 h": (lambda: _trip("unfilled", booked=9 * MINUTE, in_=5 * HOUR), None),
    "is over": (lambda: _trip("cancelled", booked=9 * MINUTE, escalated_at=_now()), None),
    "is a draft": (lambda: _trip("draft", booked=9 * MINUTE), None),
}


@pytest.mark.parametrize("name", CASES)
def test_condition_and_words_agree(name: str) -> None:
    make, wanted = CASES[name]
    trip = make()
    settings, now = ServiceSettings.current(), database_now()
    found = Trip.objects.filter(needs_person(settings, now)).exists()
    read = matter_of(Trip.objects.select_related("watch").get(pk=trip.pk), settings, now)
    assert (found, read.matter if read else None) == (wanted is not None, wanted)


def test_how_long_a_trip_waits_is_a_setting() -> None:
    ServiceSettings(pk=1, waiting_long_min=20).save()
    trip = _trip(TripStatus.OFFERED, booked=19 * MINUTE)
    settings = ServiceSettings.current()
    assert matter_of(trip, settings, database_now()) is None
    Trip.objects.filter(pk=trip.pk).update(created_at=_now() - 20 * MINUTE)
    assert Trip.objects.filter(needs_person(settings, database_now())).exists()
