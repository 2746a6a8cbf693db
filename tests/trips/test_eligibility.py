"""Every reason for which a driver around is not asked, and its limit."""

import ast
import datetime as dt
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db.models import QuerySet
from django.utils import timezone

from drivers import search
from drivers.models import Driver, DriverPosition
from stepper.models import ServiceSettings, User
from tests.factories import (
    ALMATY,
    ASTANA,
    DriverFactory,
    OfferFactory,
    TripFactory,
    VehicleFactory,
    former_leg,
    place,
)
from tests.nearest import nearest_drivers
from trips.driver_facts import _COLUMNS, Facts, facts
from trips.eligibility import REASONS, _filter_rules, _fitness_rules, assess, in_words, refusals, tally
from trips.models import Trip
from trips.policy import Policies

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def trip() -> Trip:
    return TripFactory(seats=3, round_number=2)


def reason(trip: Trip, round_number: int = 2) -> str | None:
    """What is said of the only driver around."""
    settings = ServiceSettings.current()
    near = nearest_drivers(trip.pickup_lat, trip.pickup_lng, settings.discovery_radius_km, 10)
    (candidate,) = assess(trip, round_number, near=near, policy=Policies.current().of(trip), settings=settings)
    return candidate.reason


def there(km: float = 0, **fields: Any) -> Driver:
    return DriverFactory(at=(ALMATY[0] + km / 111.195, ALMATY[1]), **fields)


def test_driver_around_is_eligible(trip: Trip) -> None:
    there()

    assert reason(trip) is None


def test_own_trip(trip: Trip) -> None:
    there(user=trip.organiser)

    assert reason(trip) == "own_trip"


def test_already_asked_in_this_round(trip: Trip) -> None:
    OfferFactory(trip=trip, driver=there(), round_number=2, status="expired")

    assert reason(trip, 2) == "already_asked"
    assert reason(trip, 3) is None


def test_already_asked_about_another_trip_is_no_reason(trip: Trip) -> None:
    OfferFactory(driver=there(), round_number=2)

    assert reason(trip) is None


def test_had_trip(trip: Trip) -> None:
    """Staff handed it over to another driver on the way, and took it off that one."""
    former_leg(trip, there())

    assert reason(trip) == "had_trip"


def test_declined_before(trip: Trip) -> None:
    OfferFactory(trip=trip, driver=there(), round_number=1, status="declined")

    assert reason(trip) == "declined_before"


def test_released_before(trip: Trip) -> None:
    OfferFactory(trip=trip, driver=there(), round_number=1, status="accepted", released_at=timezone.now())

    assert reason(trip) == "declined_before"


def test_declined_another_trip_is_no_reason(trip: Trip) -> None:
    OfferFactory(driver=there(), status="declined")

    assert reason(trip) is None


@pytest.mark.parametrize(("seconds", "code"), [(295, None), (305, "position_dark")])
def test_position_dark_after_five_minutes(trip: Trip, seconds: int, code: str | None) -> None:
    place(there(), *ALMATY, age=dt.timedelta(seconds=seconds))

    assert reason(trip) == code


@pytest.mark.parametrize(("accuracy_m", "code"), [(None, None), (200, None), (201, "position_inaccurate")])
def test_position_inaccurate_beyond_200_m(trip: Trip, accuracy_m: float | None, code: str | None) -> None:
    there()
    DriverPosition.objects.update(accuracy_m=accuracy_m)

    assert reason(trip) == code


@pytest.mark.parametrize(("jumped", "code"), [(False, None), (True, "position_doubted")])
def test_position_in_doubt_by_newer_fixes(trip: Trip, jumped: bool, code: str | None) -> None:
    there()
    DriverPosition.objects.update(jumped=jumped)

    assert reason(trip) == code


@pytest.mark.parametrize(("days", "code"), [(0, None), (-1, "licence_expired")])
def test_licence_expired_the_day_after(trip: Trip, days: int, code: str | None) -> None:
    there(licence_expires_on=timezone.localdate() + dt.timedelta(days=days))

    assert reason(trip) == code


@pytest.mark.parametrize(("days", "code"), [(None, None), (0, None), (-1, "documents_expired")])
def test_documents_expired_the_day_after(trip: Trip, days: int | None, code: str | None) -> None:
    last = None if days is None else timezone.localdate() + dt.timedelta(days=days)
    there(documents_valid_until=last)

    assert reason(trip) == code


def test_no_vehicle(trip: Trip) -> None:
    there(vehicle=None)

    assert reason(trip) == "no_vehicle"


@pytest.mark.parametrize(("seats", "code"), [(3, None), (2, "too_few_seats")])
def test_too_few_seats(trip: Trip, seats: int, code: str | None) -> None:
    there(vehicle=VehicleFactory(seats=seats))

    assert reason(trip) == code


@pytest.mark.parametrize(
    ("wanted", "offered", "code"),
    [
        ("sedan", "bus", None),
        ("suv", "suv", None),
        ("suv", "sedan", "vehicle_class"),
        ("bus", "van", "vehicle_class"),
    ],
)
def test_smaller_vehicle_class(wanted: str, offered: str, code: str | None) -> None:
    trip = TripFactory(vehicle_class=wanted)
    there(vehicle=VehicleFactory(vehicle_class=offered))

    assert reason(trip) == code


@pytest.mark.parametrize(
    ("taken", "code"), [(["private"], None), (["private", "shared"], None), (["shared"], "trip_type")]
)
def test_trip_type_the_driver_does_not_take(trip: Trip, taken: list[str], code: str | None) -> None:
    there(trip_types=taken)

    assert reason(trip) == code


@pytest.mark.parametrize(("km", "code"), [(199.9, None), (200, "long_distance")])
def test_long_distance_the_driver_does_not_take(km: float, code: str | None) -> None:
    trip = TripFactory(dropoff=ASTANA, distance_km=km)
    there(accepts_long_distance=False)

    assert reason(trip) == code


def test_long_distance_the_driver_takes() -> None:
    trip = TripFactory(dropoff=ASTANA)
    there()

    assert reason(trip) is None


@pytest.mark.parametrize(("km", "code"), [(4.9, None), (5.1, "too_far")])
def test_too_far_for_the_driver(trip: Trip, km: float, code: str | None) -> None:
    there(km, max_distance_km=5)

    assert reason(trip) == code


@pytest.mark.parametrize(("more", "code"), [(0, None), (1, "earnings_too_low")])
def test_earnings_below_the_drivers_least(trip: Trip, more: int, code: str | None) -> None:
    there(min_earnings=trip.driver_earnings + more)

    assert reason(trip) == code


@pytest.mark.parametrize(
    ("hours", "status", "code"),
    [
        (2.5, "accepted", "overlapping"),
        (2.5, "completed", None),
        (2.5, "cancelled", None),
        (2.7, "accepted", None),
    ],
)
def test_overlapping_trip(trip: Trip, hours: float, status: str, code: str | None) -> None:
    """The ride takes 38 min and two hours are kept free around it."""
    TripFactory(status=status, driver=there(), in_=hours * HOUR)

    assert reason(trip) == code


@pytest.mark.parametrize(("hours", "code"), [(2.5, "vehicle_overlapping"), (2.7, None)])
def test_overlapping_trip_of_another_driver_of_the_vehicle(trip: Trip, hours: float, code: str | None) -> None:
    mate = DriverFactory(vehicle=there().vehicle)
    TripFactory(status="accepted", driver=mate, in_=hours * HOUR)

    assert reason(trip) == code


@pytest.mark.parametrize(("held", "code"), [(4, None), (5, "offers_full")])
def test_offers_full_at_five(trip: Trip, held: int, code: str | None) -> None:
    driver = there()
    OfferFactory.create_batch(held, driver=driver)
    OfferFactory.create_batch(3, driver=driver, status="withdrawn")

    assert reason(trip) == code


def change(driver: Driver, **fields: Any) -> None:
    """Between the search and the judgement: the position still says that the driver can be asked."""
    Driver.objects.filter(pk=driver.pk).update(**fields)


@pytest.mark.parametrize(("availability", "code"), [("offline", "offline"), ("busy", "busy"), ("available", None)])
def test_offline_or_busy(trip: Trip, availability: str, code: str | None) -> None:
    change(there(), availability=availability)

    assert reason(trip) == code


@pytest.mark.parametrize("approval", ["pending", "rejected", "suspended"])
def test_not_approved(trip: Trip, approval: str) -> None:
    change(there(), availability="offline", approval=approval)

    assert reason(trip) == "not_approved"


def test_account_inactive(trip: Trip) -> None:
    """Whoever is deactivated goes offline at once; here by a statement that told nobody."""
    QuerySet(User).filter(pk=there().user_id).update(is_active=False)

    assert reason(trip) == "account_inactive"


@pytest.mark.parametrize(("mode", "code"), [("broadcast", None), ("targeted", None), ("batched", "answering")])
def test_answering_another_offer(trip: Trip, mode: str, code: str | None) -> None:
    ServiceSettings.objects.create(pk=1, dispatch_mode=mode)
    OfferFactory(driver=there())

    assert reason(trip) == code


@pytest.mark.parametrize(("km", "code"), [(49, []), (51, ["outside_radius"])])
def test_outside_radius(trip: Trip, km: float, code: list[str]) -> None:
    policies = Policies.current()
    driver = there(km)
    fix = search.StoredFix(driver.pk, driver.position.lat, driver.position.lng, 5, timezone.now(), False)
    known = facts(trip, 1, driver_ids=[driver.pk], settings=policies.settings)[driver.pk]

    assert refusals(trip, known, fix=fix, distance_km=km, policy=policies.of(trip), settings=policies.settings) == code


def test_no_position(trip: Trip) -> None:
    policies = Policies.current()
    (known,) = facts(trip, 1, driver_ids=[there().pk], settings=policies.settings).values()

    assert refusals(trip, known, fix=None, distance_km=0, policy=policies.of(trip), settings=policies.settings) == [
        "no_position"
    ]


def test_every_reason_that_applies_is_known(trip: Trip) -> None:
    policies = Policies.current()
    driver = there(vehicle=None, trip_types=["shared"], min_earnings=10_000_000)
    (known,) = facts(trip, 1, driver_ids=[driver.pk], settings=policies.settings).values()

    found = refusals(trip, known, fix=None, distance_km=0, policy=policies.of(trip), settings=policies.settings)

    assert found == ["no_position", "no_vehicle", "trip_type", "earnings_too_low"]


def _codes(function: Callable[..., Any]) -> list[str]:
    """Return the codes of a function's rules, (code, whether it refuses), in their order."""
    tree = ast.parse(inspect.getsource(function))
    rules = [
        (node.lineno, node.elts[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[0], ast.Constant)
    ]
    return [str(code) for _line, code in sorted(rules)]


def test_every_rule_has_its_words_and_every_reason_its_rule() -> None:
    assert sorted(_codes(refusals) + _codes(_fitness_rules) + _codes(_filter_rules)) == sorted(REASONS)


def test_reasons_are_listed_in_the_order_of_the_rules() -> None:
    """Staff read the first that applies; those of licence and vehicle, then the filters, stand between the others."""
    shared = [*_codes(_fitness_rules), *_codes(_filter_rules)]
    assert [code for code in REASONS if code not in shared] == _codes(refusals)
    assert [code for code in REASONS if code in shared] == shared


def test_every_reason_is_reached_by_a_test() -> None:
    named = {node.value for node in ast.walk(ast.parse(Path(__file__).read_text())) if isinstance(node, ast.Constant)}
    assert set(REASONS) <= named


def test_columns_are_in_the_order_of_the_facts() -> None:
    """A row of the columns becomes the facts by position alone."""
    names = ["driver_id" if column == "pk" else column.rpartition("__")[2] for column in _COLUMNS]
    assert names == list(Facts._fields[: len(_COLUMNS)])
    # What the columns do not fill has a default.
    assert set(Facts._fields[len(_COLUMNS) :]) == set(Facts._field_defaults)


def test_candidates_know_how_often_they_were_asked(trip: Trip) -> None:
    driver = there()
    for number in (1, 2):
        OfferFactory(trip=trip, driver=driver, round_number=number, status="expired")
    OfferFactory.create_batch(2, driver=driver)
    settings = ServiceSettings.current()

    (candidate,) = assess(
        trip, 3, near=nearest_drivers(*ALMATY, 10, 10), policy=Policies.current().of(trip), settings=settings
    )

    assert (candidate.driver_id, candidate.facts.asked, candidate.reason) == (driver.pk, 2, None)


def test_candidates_are_judged_in_three_queries(trip: Trip, django_assert_num_queries: Any) -> None:
    for km in range(8):
        there(km / 10)
    near = nearest_drivers(*ALMATY, 10, 10)
    policies = Policies.current()

    with django_assert_num_queries(3):
        assert len(assess(trip, 2, near=near, policy=policies.of(trip), settings=policies.settings)) == 8


def test_reasons_are_counted_and_said_in_words(trip: Trip) -> None:
    there(vehicle=None)
    there(max_distance_km=0.5, vehicle=None)
    there(4, max_distance_km=1)
    there()
    near = nearest_drivers(*ALMATY, 10, 10)

    policies = Policies.current()
    counted = tally(assess(trip, 2, near=near, policy=policies.of(trip), settings=policies.settings))

    assert counted == {"no_vehicle": 2, "too_far": 1}
    assert in_words(counted) == "2 no vehicle, 1 too far for the driver"
