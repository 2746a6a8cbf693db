"""Deadlines are the database's: a process whose clock is off shows and decides the same."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from drivers.models import DriverPosition
from drivers.positions.buffer import report
from realtime import events, groups
from realtime.models import Event
from realtime.outbox import read_watermark, refresh_permissions
from stepper.db.clock import database_now, read_database_now
from stepper.web.context import Page
from tests.clocks import clock_wrong_by, real_now
from tests.factories import ALMATY, DriverFactory, PassengerFactory, TripFactory, place
from tests.outbox import frames
from tests.rest import as_user, book
from trips import accepting
from trips.models import Offer

OFF = [dt.timedelta(hours=1), dt.timedelta(hours=-1)]
MOMENT = dt.timedelta(seconds=10)


@pytest.fixture(params=OFF, ids=["ahead", "behind"])
def wrong_clock(request: pytest.FixtureRequest) -> Iterator[dt.timedelta]:
    """This process's clock is an hour off; the database's is right, and so is the tests' `real_now`."""
    with clock_wrong_by(request.param):
        yield request.param


@pytest.mark.django_db
def test_the_difference_is_measured_with_every_look_at_the_outbox(wrong_clock: dt.timedelta) -> None:
    assert abs(timezone.now() - real_now()) > MOMENT
    read_watermark()
    assert abs(database_now() - real_now()) < MOMENT
    assert abs(read_database_now() - real_now()) < MOMENT


@pytest.mark.django_db
def test_clocks_that_agree_stay_equal() -> None:
    read_watermark()
    now = real_now()
    with time_machine.travel(now, tick=False):
        assert database_now() == now


@pytest.mark.django_db
def test_the_card_says_the_deadline_by_which_the_answer_is_judged(wrong_clock: dt.timedelta) -> None:
    driver = DriverFactory.create(at=ALMATY)
    place(driver, *ALMATY, age=wrong_clock)
    read_watermark()
    trip_id = book(as_user(PassengerFactory.create()))["id"]

    offer = Offer.objects.get(trip=trip_id)
    (card,) = [frame for frame in frames(groups.driver(driver.pk)) if isinstance(frame, events.OfferCreated)]
    assert (card.expires_at, card.created_at) == (offer.expires_at, offer.created_at)
    assert abs(offer.created_at - real_now()) < MOMENT
    listed = as_user(driver.user).get("/api/drivers/offers").json()
    assert abs(dt.datetime.fromisoformat(listed["server_time"]) - real_now()) < MOMENT
    answer_s = (offer.expires_at - offer.created_at).total_seconds()
    assert 0 < answer_s - listed["offers"][0]["seconds_left"] < MOMENT.total_seconds()
    assert accepting.accept(driver.pk, offer.pk).driver_id == driver.pk


@pytest.mark.django_db
def test_pages_count_down_by_the_databases_clock(wrong_clock: dt.timedelta, rf: Any) -> None:
    read_watermark()
    assert abs(dt.datetime.fromisoformat(Page(rf.get("/")).server_time) - real_now()) < MOMENT


@pytest.mark.django_db
def test_a_position_is_as_old_as_it_is(wrong_clock: dt.timedelta) -> None:
    """A phone's fix is neither refused as too old nor clamped, and the driver is found by it."""
    driver = DriverFactory.create(at=ALMATY)
    DriverPosition.objects.all().delete()
    read_watermark()
    at = real_now() - dt.timedelta(seconds=20)
    assert report(driver.pk, [events.Point(lat=43.25, lng=76.9, recorded_at=at)]).accepted == 1
    position = DriverPosition.objects.get()
    assert position.recorded_at == at
    assert position.is_fresh(300)


@pytest.mark.django_db
def test_an_event_is_swept_when_the_database_says_so(wrong_clock: dt.timedelta) -> None:
    read_watermark()
    refresh_permissions(groups.trip(TripFactory.create().pk))
    assert abs(Event.objects.get().sweep_at - real_now()) < MOMENT
