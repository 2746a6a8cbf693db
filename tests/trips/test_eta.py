"""Expected times: against real drives, with the delay that a driver announced, and never before the driver sets off."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client

from drivers.geo import distance_km
from drivers.positions.tracking import last_known
from realtime.models import Notification
from stepper.models import ServiceSettings
from stepper.templatetags.units import clock, time_of_day
from tests.factories import AIRPORT, ALMATY, MEDEU, DriverFactory, StaffFactory, TripFactory, place
from trips import assignment, driving, eta
from trips.models import Trip
from trips.panel import Panel

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
SPEEDS = eta.speeds_of(ServiceSettings())
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)

# What people need without jams (the domain facts): from, to, minutes.
REAL_DRIVES = {
    "Almaty–airport": (ALMATY, AIRPORT, 30),
    "Almaty–Medeu": (ALMATY, MEDEU, 30),
    "Almaty–Bishkek": (ALMATY, (42.8746, 74.5698), 240),
    "Almaty–Charyn canyon": (ALMATY, (43.3458, 79.0906), 195),
    "Astana–Burabay": ((51.1694, 71.4491), (53.0833, 70.2833), 165),
    "Astana–Karaganda": ((51.1694, 71.4491), (49.8047, 73.1094), 150),
    "Aktau–Aktobe": ((43.6508, 51.1600), (50.2839, 57.1670), 780),
}


@pytest.mark.parametrize("name", REAL_DRIVES)
def test_estimate_is_within_two_fifths_of_a_real_drive(name: str) -> None:
    start, end, real_min = REAL_DRIVES[name]
    assert 0.6 * real_min <= eta.minutes(distance_km(*start, *end), SPEEDS) <= 1.4 * real_min


@pytest.mark.parametrize(
    ("straight_km", "reported_kmh", "minutes"),
    [
        (0, None, 0),
        (10, None, 18),  # 12 km by road at 40 km/h
        (12.5, None, 22),  # 15 at 40
        (25, None, 38),  # 15 at 40 and 15 at 60
        (100, None, 110),  # 15 at 40, 35 at 60, 70 at 80
        (2.5, 60, 3),  # 3 km by road: as reported
        (2.5, 5, 36),
        (2.5, 4.9, 4),  # standing in traffic: 3 km at 40
        (2.6, 60, 5),  # farther: what is driven here says nothing of the road ahead
    ],
)
def test_each_part_of_the_way_has_its_speed(straight_km: float, reported_kmh: float | None, minutes: int) -> None:
    assert eta.minutes(straight_km, SPEEDS, reported_kmh) == minutes


def test_speeds_are_settings() -> None:
    faster = ServiceSettings(road_factor=1, speed_city_kmh=30, speed_suburb_kmh=70, speed_highway_kmh=120)
    # 15 km at 30, 35 at 70, 60 at 120
    assert eta.minutes(110, eta.speeds_of(faster)) == 90


@pytest.mark.parametrize(("delayed_by", "minutes"), [(None, 10), (5, 10), (10, 10), (10.1, 11), (25, 25), (-60, 10)])
def test_announced_delay_is_contained_and_not_added(delayed_by: float | None, minutes: int) -> None:
    until = None if delayed_by is None else NOW + delayed_by * MINUTE
    assert eta.with_delay(10, until, NOW) == minutes


# On a trip


def _place_driver(trip: Trip, lat: float, lng: float) -> None:
    assert trip.driver
    place(trip.driver, lat, lng)


def _drive_to_pickup(**fields: Any) -> Trip:
    """A trip whose driver is 5 km (9 min) from the pickup."""
    trip: Trip = TripFactory(status="en_route", **fields)
    _place_driver(trip, trip.pickup_lat, trip.pickup_lng - 0.0617)
    return trip


def _delay(trip: Trip, minutes: int, reason: str = "") -> None:
    driving.update_status(trip.driver_id or 0, trip.pk, status="delayed", delay_minutes=minutes, delay_reason=reason)
    trip.refresh_from_db()


def _frame_eta(trip: Trip) -> tuple[int | None, int | None]:
    frame = last_known(Trip.objects.get(pk=trip.pk), ServiceSettings.current())
    assert frame is not None
    return frame.eta.pickup_min, frame.eta.dropoff_min


def test_delay_is_in_every_expected_time_of_the_trip() -> None:
    trip = _drive_to_pickup()
    drive_min = round((trip.ends_at - trip.departure_at) / MINUTE)
    assert _frame_eta(trip) == (9, 9 + drive_min)

    _delay(trip, 7)

    assert _frame_eta(trip) == (16, 16 + drive_min)
    panel = Panel(Trip.objects.get(pk=trip.pk), trip.organiser)
    assert panel.headline.figure == "16 min"
    expected = {mark.expected: mark.at for mark in panel.timeline.marks if mark.expected}
    pickup_at = panel.viewing.now + 16 * MINUTE
    assert expected["pickup"] == f"≈ {clock(pickup_at, trip.timezone)}"
    assert expected["dropoff"] == f"≈ {clock(pickup_at + drive_min * MINUTE, trip.timezone)}"


def test_delay_of_a_later_trip_counts_from_its_departure() -> None:
    trip = TripFactory(status="accepted", in_=90 * MINUTE)

    _delay(trip, 20)

    assert trip.delayed_until == trip.departure_at + 20 * MINUTE
    panel = Panel(trip, trip.organiser)
    assert panel.headline.figure == time_of_day(trip.departure_at + 20 * MINUTE, trip.timezone)
    assert panel.headline.figure in panel.headline.sentence


def test_later_announcement_replaces_the_one_before() -> None:
    trip = _drive_to_pickup()
    _delay(trip, 30)
    _delay(trip, 5)
    assert _frame_eta(trip)[0] == 14


@pytest.mark.parametrize("step", ["driver_arrived", "released"])
def test_delay_ends_where_its_stop_is_reached_or_its_driver_leaves(step: str) -> None:
    trip = _drive_to_pickup()
    _delay(trip, 15)
    _place_driver(trip, trip.pickup_lat, trip.pickup_lng)

    driving.update_status(trip.driver_id or 0, trip.pk, status=step)

    trip.refresh_from_db()
    assert (trip.delay_minutes, trip.delay_reason, trip.delayed_until) == (0, "", None)


def test_delay_on_the_road_counts_to_the_dropoff() -> None:
    trip = TripFactory(status="in_transit")
    _place_driver(trip, trip.dropoff_lat, trip.dropoff_lng - 0.0617)

    _delay(trip, 7)

    assert _frame_eta(trip) == (None, 16)


def test_delay_at_the_pickup_counts_to_the_dropoff_on_page_and_in_frame_alike() -> None:
    trip = TripFactory(status="driver_arrived")
    _place_driver(trip, trip.pickup_lat, trip.pickup_lng)
    drive_min = round((trip.ends_at - trip.departure_at) / MINUTE)
    assert _frame_eta(trip) == (0, drive_min)

    _delay(trip, 7)

    assert _frame_eta(trip) == (0, drive_min + 7)
    delayed = Trip.objects.get(pk=trip.pk)
    panel = Panel(delayed, trip.organiser)
    assert delayed.delayed_until
    dropoff_at = clock(delayed.delayed_until, trip.timezone)
    assert {mark.expected: mark.at for mark in panel.timeline.marks if mark.expected} == {"dropoff": f"≈ {dropoff_at}"}


def test_trip_at_its_dropoff_is_not_said_to_be_late(client: Client) -> None:
    trip = TripFactory(status="arrived")
    _delay(trip, 7)
    client.force_login(trip.organiser)
    assert "Delayed by" not in client.get(f"/trips/{trip.pk}/").content.decode()


def test_delay_that_the_release_before_took_back_counts_no_more() -> None:
    trip = _drive_to_pickup()
    _delay(trip, 15)
    Trip.objects.filter(pk=trip.pk).update(delay_minutes=0, delay_reason="")
    assert _frame_eta(trip)[0] == 9


def test_nothing_is_promised_before_the_driver_has_set_off() -> None:
    trip = TripFactory(status="accepted")
    _place_driver(trip, trip.pickup_lat, trip.pickup_lng)

    assert _frame_eta(trip) == (None, None)
    assert Panel(trip, trip.organiser).headline.figure == "Accepted"


def test_driver_who_is_early_waits_for_the_departure() -> None:
    trip = _drive_to_pickup(in_=40 * MINUTE)
    drive_min = round((trip.ends_at - trip.departure_at) / MINUTE)
    pickup_min, dropoff_min = _frame_eta(trip)
    assert pickup_min == 9
    assert dropoff_min == 40 + drive_min


def test_news_are_in_the_language_of_whom_they_are_for() -> None:
    trip = TripFactory(status="en_route", organiser__language="ru", driver__vehicle__colour="Red")
    assert trip.driver
    _delay(trip, 7)
    other = DriverFactory(vehicle__colour="Red")
    assignment.reassign(trip.pk, other.pk, StaffFactory(), "broke down")
    delayed, found = Notification.objects.filter(user=trip.organiser).order_by("pk").values_list("message", flat=True)
    assert delayed == "7 мин"
    assert "Красная Toyota" in found


def test_page_says_the_delay_and_its_reason_until_the_pickup_is_reached(client: Client) -> None:
    trip = _drive_to_pickup()
    _delay(trip, 7, reason="Snow on the <pass>")
    client.force_login(trip.organiser)
    assert "Delayed by about 7 min: Snow on the &lt;pass&gt;" in client.get(f"/trips/{trip.pk}/").content.decode()
    _place_driver(trip, trip.pickup_lat, trip.pickup_lng)

    driving.update_status(trip.driver_id or 0, trip.pk, status="driver_arrived")

    assert "Delayed by" not in client.get(f"/trips/{trip.pk}/").content.decode()
