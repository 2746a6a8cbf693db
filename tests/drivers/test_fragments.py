"""Fragments of the driver's dashboard: what a socket sends on connect and for each event."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest

from drivers import fragments
from drivers.models import Driver
from realtime import events
from tests.factories import AIRPORT, OfferFactory, TripFactory
from trips.cards import offer_card
from trips.states import TripStatus

pytestmark = pytest.mark.django_db


def text(html: str) -> str:
    """What a person reads: tags and icons out, spaces squeezed."""
    return re.sub(r"[ \t\n]+", " ", re.sub(r"<[^>]+>", " ", html)).strip()


def test_snapshot_has_every_region(driver: Driver) -> None:
    html = fragments.snapshot(driver.pk)
    assert re.findall(r'id="([\w-]+)"[^>]*hx-swap-oob="true"', html) == [
        "driver-stats",
        "driver-notice",
        "driver-working-time",
        "availability",
        "offers-list",
        "offers-empty",
        "active-list",
        "history-list",
        "driver-upcoming",
        "driver-filters",
        "driver-hours",
        "notification-badge",
    ]


def test_offer_created_adds_the_card_without_a_query(driver: Driver, query_count: Callable[[int, int], Any]) -> None:
    offer = OfferFactory(driver=driver)
    offer.refresh_from_db()
    event = offer_card(offer, offer.trip, vehicle_seats=4)
    with query_count(0, 0):
        html = fragments.render(event, driver.pk)
    assert html.startswith('<div hx-swap-oob="beforeend:#offers-list">')
    assert f'id="offer-{offer.pk}"' in html


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("timeout", "Time ran out."),
        ("accepted_by_another", "Another driver was faster."),
        ("cancelled", "This trip is no longer offered."),
    ],
)
def test_offer_expired_leaves_the_reason_in_its_place(driver: Driver, reason: events.OfferEnd, says: str) -> None:
    html = fragments.render(events.OfferExpired(trip_id=1, offer_id=7, reason=reason), driver.pk)
    assert (text(html), 'id="offer-7"' in html) == (says, True)


def test_notification_brings_badge_and_toast(driver: Driver) -> None:
    event = events.NotificationDriver(
        notification_id=1, title="Bring chains", message="", priority="high", category="system", action_url=""
    )
    html = fragments.render(event, driver.pk)
    assert 'id="notification-badge"' in html
    assert "Bring chains" in html


def test_upcoming_trip_says_when_to_leave(driver: Driver) -> None:
    trip = TripFactory(status=TripStatus.ACCEPTED, driver=driver, in_=dt.timedelta(hours=20), pickup=AIRPORT)
    upcoming = fragments.Board.of(driver.pk).upcoming
    assert upcoming
    assert upcoming.leave_at
    assert upcoming.leave_at < trip.departure_at
    assert "to the pickup" in text(fragments.regions(fragments.Board.of(driver.pk), ["upcoming"]))
