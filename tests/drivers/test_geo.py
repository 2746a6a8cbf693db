"""The distance on the globe, and that the cells of a circle hold every point of it."""

import itertools
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.geo import box, cell, cell_ranges, distance_km

RADIUS_KM = 6371.0088
Range = tuple[int, int]


def offset(lat: float, lng: float, bearing_deg: float, km: float) -> tuple[float, float]:
    """The point `km` away along a great circle: the brute force that the grid is compared with."""
    phi, arc, bearing = math.radians(lat), km / RADIUS_KM, math.radians(bearing_deg)
    sine = math.sin(phi) * math.cos(arc) + math.cos(phi) * math.sin(arc) * math.cos(bearing)
    to_phi = math.asin(max(-1.0, min(1.0, sine)))
    turn = math.atan2(
        math.sin(bearing) * math.sin(arc) * math.cos(phi), math.cos(arc) - math.sin(phi) * math.sin(to_phi)
    )
    return math.degrees(to_phi), (lng + math.degrees(turn) + 540) % 360 - 180


def covered(ranges: list[Range], lat: float, lng: float) -> bool:
    wanted = cell(lat, lng)
    return any(low <= wanted <= high for low, high in ranges)


@pytest.mark.parametrize(
    ("here", "there", "km"),
    [
        ((0, 0), (0, 0), 0),
        ((0, 0), (0, 180), math.pi * RADIUS_KM),
        ((90, 0), (-90, 77), math.pi * RADIUS_KM),
        ((0, 0), (1, 0), 111.195),
        ((0, 179.5), (0, -179.5), 111.195),
        ((43.2220, 76.8512), (43.3521, 77.0405), 21.07),  # Almaty to its airport
        ((43.2220, 76.8512), (51.1694, 71.4491), 972.77),  # Almaty to Astana
        ((43.2220, 76.8512), (42.8746, 74.5698), 189.36),  # Almaty to Bishkek
    ],
)
def test_distance_is_the_great_circle(here: tuple[float, float], there: tuple[float, float], km: float) -> None:
    assert distance_km(*here, *there) == pytest.approx(km, abs=0.05)
    assert distance_km(*there, *here) == pytest.approx(distance_km(*here, *there), abs=1e-9)


def test_cells_of_a_row_are_contiguous() -> None:
    assert cell(43.2251, 76.8551) == cell(43.2259, 76.8559)
    assert cell(43.2251, 76.8651) == cell(43.2251, 76.8551) + 1
    assert cell(43.2351, 76.8551) == cell(43.2251, 76.8551) + (1 << 20)


def test_cell_is_the_same_on_both_sides_of_the_date_line() -> None:
    assert cell(10, 180) == cell(10, -180)


@pytest.mark.parametrize("lat", [-90, 90])
def test_cell_exists_at_the_poles(lat: float) -> None:
    assert covered(cell_ranges(lat, 0, 5), lat, 0)


@given(
    lat=st.floats(-90, 90),
    lng=st.floats(-180, 180),
    radius_km=st.floats(0.05, 60),
    bearing_deg=st.floats(0, 360),
    share=st.floats(0, 1),
)
@example(lat=43.2220, lng=76.8512, radius_km=50, bearing_deg=90, share=1)
@example(lat=0, lng=180, radius_km=30, bearing_deg=90, share=1)
@example(lat=65, lng=-179.99, radius_km=30, bearing_deg=270, share=1)
@example(lat=89.9, lng=10, radius_km=30, bearing_deg=0, share=1)
@example(lat=-89.9, lng=10, radius_km=30, bearing_deg=180, share=1)
@example(lat=89.0, lng=10, radius_km=50, bearing_deg=60, share=1)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_ranges_cover_every_point_of_the_circle(
    lat: float, lng: float, radius_km: float, bearing_deg: float, share: float
) -> None:
    # A hair inside: on the rim itself floating point decides.
    there = offset(lat, lng, bearing_deg, radius_km * share * 0.999999)

    assert covered(cell_ranges(lat, lng, radius_km), *there)


@given(lat=st.floats(-80, 80), lng=st.floats(-180, 180), radius_km=st.floats(0.5, 50))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_ranges_do_not_cover_the_world(lat: float, lng: float, radius_km: float) -> None:
    """Nothing three times as far away, a few cells for the smallest circles allowed: the index does the work."""
    ranges = cell_ranges(lat, lng, radius_km)
    far = 3 * radius_km + 5

    assert not any(covered(ranges, *offset(lat, lng, bearing, far)) for bearing in range(0, 360, 15))


def test_ranges_are_apart_and_in_order() -> None:
    for lat, lng in [(43.2, 76.8), (10, 179.99), (10, -179.99), (89.99, 0)]:
        ranges = sorted(cell_ranges(lat, lng, 20))
        assert all(low <= high for low, high in ranges)
        assert all(high < low for (_, high), (low, _) in itertools.pairwise(ranges))


def test_circle_across_the_date_line_takes_two_ranges_a_row_where_it_crosses() -> None:
    across, elsewhere = cell_ranges(10, 179.99, 5), cell_ranges(10, 90.0, 5)

    assert {low >> 20 for low, _high in across} == {low >> 20 for low, _high in elsewhere}
    assert len(elsewhere) < len(across) <= 2 * len(elsewhere)


def test_ranges_of_a_small_circle_are_the_few_cells_it_touches() -> None:
    assert cell_ranges(43.225, 76.855, 0.1) == [(cell(43.225, 76.855),) * 2]


@given(lat=st.floats(-89, 89), lng=st.floats(-180, 180), radius_km=st.floats(0.05, 60), bearing_deg=st.floats(0, 360))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_box_holds_the_circle(lat: float, lng: float, radius_km: float, bearing_deg: float) -> None:
    there = offset(lat, lng, bearing_deg, radius_km)
    south, north, west, east = box(lat, lng, radius_km)

    assert south <= there[0] <= north
    assert any(west <= there[1] + turn <= east for turn in (-360, 0, 360))
