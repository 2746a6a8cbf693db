"""Fares worked by hand, and where the classes of trips begin and end."""

import datetime as dt

import pytest

from stepper.models import ServiceSettings
from tests.factories import AIRPORT, ALMATY
from trips import pricing

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
# One degree of the equator on a sphere of 6371.0088 km: 2 × π × 6371.0088 ÷ 360 = 111.195080 km.
EQUATOR = (0.0, 0.0), (0.0, 1.0)


def test_quote_of_one_degree_of_the_equator() -> None:
    quote = pricing.quote(*EQUATOR, 3, "sedan", ServiceSettings())

    # 111.195080 × 1.2 = 133.434096 km; 500 + 50 × 133.434096 = 7171.70
    assert quote.distance_km == 133.4
    assert (quote.base, quote.distance_fare, quote.multiplier, quote.fare) == (500, 6672, 1.0, 7172)
    # 15 % of 7172 = 1075.8; 7172 ÷ 3 = 2390.67, up
    assert (quote.platform_fee, quote.driver_earnings, quote.seat_price) == (1076, 6096, 2391)
    # 15 km at 40 km/h, 35 at 60, 83.434 at 80: 22.5 + 35 + 62.58 min
    assert (quote.duration_min, quote.zone) == (120, "A")


def test_quote_from_almaty_to_its_airport() -> None:
    quote = pricing.quote(ALMATY, AIRPORT, 1, "sedan", ServiceSettings())

    # The great circle is 21.0725 km: × 1.2 = 25.287; 500 + 50 × 25.287 = 1764.4
    assert quote.distance_km == 25.3
    assert quote.fare == 1764


@pytest.mark.parametrize(("vehicle_class", "fare"), [("sedan", 7172), ("suv", 9323), ("van", 10758), ("bus", 14343)])
def test_quote_multiplies_by_the_class(vehicle_class: str, fare: int) -> None:
    """7171.7048 × 1.0, 1.3, 1.5, 2.0."""
    assert pricing.quote(*EQUATOR, 1, vehicle_class, ServiceSettings()).fare == fare


def test_quote_splits_the_whole_fare() -> None:
    for seats in range(1, 5):
        quote = pricing.quote(ALMATY, AIRPORT, seats, "suv", ServiceSettings(platform_fee_percent=33.3))
        assert quote.platform_fee + quote.driver_earnings == quote.fare
        assert (seats - 1) * quote.seat_price < quote.fare <= seats * quote.seat_price


def test_quote_follows_the_settings() -> None:
    settings = ServiceSettings(
        base_fare=1000, fare_per_km=10, road_factor=1.0, multiplier_sedan=3.0, platform_fee_percent=50
    )

    quote = pricing.quote(*EQUATOR, 1, "sedan", settings)

    # (1000 + 10 × 111.195080) × 3 = 6335.85
    assert (quote.distance_km, quote.fare, quote.platform_fee) == (111.2, 6336, 3168)


@pytest.mark.parametrize(("percent", "fee", "kept"), [(0, 0, 7172), (50, 3586, 3586)])
def test_quote_takes_no_fee_to_half(percent: int, fee: int, kept: int) -> None:
    quote = pricing.quote(*EQUATOR, 1, "sedan", ServiceSettings(platform_fee_percent=percent))

    assert (quote.platform_fee, quote.driver_earnings) == (fee, kept)


@pytest.mark.parametrize(
    ("km", "minutes", "zone"),
    [
        (0, 0, "A"),
        (200, 480, "A"),
        (200.1, 480, "B"),
        (200, 481, "B"),
        (600, 2880, "B"),
        (600.1, 2880, "C"),
        (600, 2881, "C"),
    ],
)
def test_zone_goes_by_distance_and_time(km: float, minutes: float, zone: str) -> None:
    assert pricing.zone(km, minutes) == zone


@pytest.mark.parametrize(
    ("ahead", "urgency"),
    [
        (dt.timedelta(hours=-1), "urgent"),
        (dt.timedelta(hours=1, minutes=59, seconds=59), "urgent"),
        (dt.timedelta(hours=2), "high"),
        (dt.timedelta(hours=5, minutes=59, seconds=59), "high"),
        (dt.timedelta(hours=6), "normal"),
        (dt.timedelta(hours=23, minutes=59, seconds=59), "normal"),
        (dt.timedelta(hours=24), "low"),
    ],
)
def test_urgency_goes_by_the_hours_left(ahead: dt.timedelta, urgency: str) -> None:
    assert pricing.urgency(NOW + ahead, NOW) == urgency


@pytest.mark.parametrize(("urgency", "seconds"), [("urgent", 120), ("high", 180), ("normal", 300), ("low", 300)])
def test_time_to_answer_goes_by_urgency(urgency: str, seconds: int) -> None:
    assert ServiceSettings().offer_ttl(urgency) == dt.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("km", "difficulty"),
    [
        (49.9, "easy"),
        (50, "normal"),
        (199.9, "normal"),
        (200, "challenging"),
        (499.9, "challenging"),
        (500, "difficult"),
    ],
)
def test_difficulty_goes_by_the_length(km: float, difficulty: str) -> None:
    assert pricing.difficulty(km) == difficulty
