"""What the trip page says and offers: cancelling where it works, whom to ask where not, who gave the trip back."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client

from stepper.models import ServiceSettings, User
from tests.factories import ALMATY, DriverFactory, OfferFactory, PassengerFactory, StaffFactory, TripFactory
from trips import accepting, assignment
from trips.models import Trip
from trips.panel import Panel

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def passenger() -> User:
    user: User = PassengerFactory()
    return user


def _page(client: Client, trip: Trip, viewer: User) -> str:
    client.force_login(viewer)
    return client.get(f"/trips/{trip.pk}/").content.decode()


# Cancelling


def _cancel_button(trip: Trip) -> str:
    # Not the dialog, which every page has and only the button opens.
    return f'<form class="actions__form" action="/trips/{trip.pk}/cancel/">'


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        ({"status": "offered"}, True),
        ({"status": "unfilled"}, True),
        ({"status": "accepted"}, True),  # for now
        ({"status": "en_route"}, True),
        ({"status": "accepted", "in_": 3 * HOUR}, True),
        ({"status": "accepted", "in_": HOUR}, False),
        ({"status": "driver_arrived"}, False),
        ({"status": "driver_arrived", "arrival_flagged": True}, True),
        ({"status": "passengers_boarded"}, False),
        ({"status": "in_transit"}, False),
        ({"status": "arrived"}, False),
    ],
)
def test_cancel_is_offered_where_it_works_and_else_whom_to_ask(
    fields: dict[str, Any], offered: bool, client: Client, passenger: User
) -> None:
    ServiceSettings.objects.create(pk=1, support_phone="+77010000001")
    trip = TripFactory(organiser=passenger, **fields)

    page = _page(client, trip, passenger)

    assert (_cancel_button(trip) in page) == offered
    assert ('data-testid="cancel-help"' in page) == (not offered)
    assert ("+7 701 000 0001" in page) == (not offered)
    assert ('data-testid="support-contact"' in page) == (not offered)


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_finished_trip_offers_no_cancelling_and_no_help_with_it(status: str, client: Client, passenger: User) -> None:
    trip = TripFactory(organiser=passenger, status=status)
    page = _page(client, trip, passenger)
    assert _cancel_button(trip) not in page
    assert "cancel-help" not in page


@pytest.mark.parametrize(("status", "offered"), [("in_transit", True), ("arrived", False)])
def test_staff_are_offered_what_the_table_allows_them(status: str, offered: bool, client: Client) -> None:
    trip = TripFactory(status=status)
    page = _page(client, trip, StaffFactory(is_superuser=True))
    assert (_cancel_button(trip) in page) == offered
    assert "cancel-help" not in page


def test_contact_has_every_way_that_is_filled_in() -> None:
    settings = ServiceSettings(
        support_phone="+77010000001",
        support_whatsapp="+77010000002",
        support_telegram="stepper_help",
        support_hours="08:00–22:00",
    )
    support = settings.support
    assert (support.phone, support.phone_text, support.hours) == ("+77010000001", "+7 701 000 0001", "08:00–22:00")
    assert (support.whatsapp_url, support.telegram_url) == ("https://wa.me/77010000002", "https://t.me/stepper_help")
    assert support
    assert not ServiceSettings(support_hours="08:00–22:00").support


@pytest.mark.parametrize("signed_in", [True, False])
def test_help_page_shows_the_contact_to_everybody(signed_in: bool, client: Client, passenger: User) -> None:
    if signed_in:
        client.force_login(passenger)
    assert "No contact of our staff" in client.get("/help/").content.decode()
    ServiceSettings.objects.create(pk=1, support_telegram="stepper_help")
    assert "https://t.me/stepper_help" in client.get("/help/").content.decode()


# Given back


def _accepted_and_released(trip: Trip, driver: Any, capture: Any) -> None:
    with capture(execute=True):
        offer = OfferFactory(trip=trip, driver=driver)
        accepting.accept(driver.pk, offer.pk)
        assignment.release(driver.pk, trip.pk, "flat tyre")
    trip.refresh_from_db()


def test_page_says_who_gave_the_trip_back_and_who_is_asked_now(
    client: Client, passenger: User, django_capture_on_commit_callbacks: Any
) -> None:
    former = DriverFactory(at=ALMATY, user__name="Aigerim Sadykova")
    trip = TripFactory(organiser=passenger, status="offered")
    DriverFactory.create_batch(2, at=ALMATY)

    _accepted_and_released(trip, former, django_capture_on_commit_callbacks)

    page = _page(client, trip, passenger)
    assert "Aigerim had to give the trip back at" in page
    assert "Asking 2 drivers nearby" in page
    labels = [(mark.label, mark.state) for mark in Panel(trip, passenger).timeline.marks]
    assert labels[:4] == [
        ("Booked", "done"),
        ("Aigerim accepted", "done"),
        ("Aigerim gave the trip back", "given-back"),
        ("Looking for a driver", "now"),
    ]


def test_history_stays_when_the_next_driver_has_the_trip(
    client: Client, passenger: User, django_capture_on_commit_callbacks: Any
) -> None:
    trip = TripFactory(organiser=passenger, status="offered")
    _accepted_and_released(trip, DriverFactory(at=ALMATY, user__name="Aigerim S"), django_capture_on_commit_callbacks)
    following = DriverFactory(at=ALMATY, user__name="Bolat B")
    Trip.objects.update(status="offered")
    accepting.accept(following.pk, OfferFactory(trip=trip, driver=following, round_number=2).pk)

    panel = Panel(Trip.objects.get(pk=trip.pk), passenger)

    assert panel.headline.given_back_note == ""
    labels = [mark.label for mark in panel.timeline.marks]
    assert labels[:4] == ["Booked", "Aigerim accepted", "Aigerim gave the trip back", "Bolat accepted"]


def test_staffs_doing_is_not_the_drivers(passenger: User) -> None:
    driver = DriverFactory(at=ALMATY, user__name="Aigerim S")
    trip = TripFactory(organiser=passenger, status="accepted", driver=driver)
    trip.transitions.create(from_status="offered", to_status="accepted", role="driver")
    assignment.take_off(trip.pk, StaffFactory(is_superuser=True), "wrong vehicle")

    panel = Panel(Trip.objects.get(pk=trip.pk), passenger)

    assert "Our staff took the trip off Aigerim at" in panel.headline.given_back_note
    assert "Our staff took the trip off Aigerim" in [mark.label for mark in panel.timeline.marks]


def test_trip_that_nobody_had_costs_no_query_for_it(passenger: User, django_assert_num_queries: Any) -> None:
    panel = Panel(TripFactory(organiser=passenger, status="offered"), passenger)
    with django_assert_num_queries(1):
        assert panel.timeline.given_back == []
