"""The drivers whom staff can give a trip to: the nearest first, with what speaks against each."""

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from drivers.models import Availability, Driver, DriverPosition
from tests.backoffice import action_url, queries_of, said, signed_in
from tests.factories import ALMATY, DriverFactory, StaffFactory, TripFactory, VehicleFactory
from trips.candidates import MOST_SHOWN, REFUSING, find_candidates
from trips.eligibility import REASONS
from trips.models import StaffAssignment, Trip

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


def there(km: float, **fields: Any) -> Driver:
    driver: Driver = DriverFactory(at=(ALMATY[0] + km / 111.195, ALMATY[1]), **fields)
    return driver


def test_the_nearest_are_first_wherever_and_whatever_they_are() -> None:
    trip = TripFactory(status="unfilled", vehicle_class="suv", seats=3)
    nowhere = DriverFactory()
    far = there(2000, vehicle=VehicleFactory(vehicle_class="suv"))
    busy = there(3, availability=Availability.BUSY, vehicle=VehicleFactory(vehicle_class="suv"))
    ahead = TripFactory(status="accepted", driver=busy, in_=48 * HOUR)
    TripFactory(status="accepted", driver=busy, in_=72 * HOUR)
    small = there(1, vehicle=VehicleFactory(seats=2))
    DriverPosition.objects.filter(driver=small).update(recorded_at=timezone.now() - HOUR)
    DriverFactory(approval="suspended")

    found = find_candidates(trip)

    assert [one.driver for one in found] == [small, busy, far, nowhere]
    assert [one.judged.km and round(one.judged.km) for one in found] == [1, 3, 2000, None]
    assert (found[0].minutes, found[3].minutes) == (2, None)
    assert [one.next_trip for one in found] == [None, ahead, None, None]
    assert [(one.judged.refused, one.judged.warnings) for one in found] == [
        (["too_few_seats"], ["position_dark", "vehicle_class"]),
        ([], ["busy"]),
        ([], ["outside_radius"]),
        ([], ["offline", "no_position", "vehicle_class"]),
    ]


def test_across_180_degrees_is_near() -> None:
    trip = TripFactory(status="unfilled", pickup=(43.0, 179.9))
    near, far = DriverFactory(at=(43.0, -179.9)), DriverFactory(at=(43.0, 170.0))

    assert [one.driver for one in find_candidates(trip)] == [near, far]


def test_whom_the_trip_was_offered_to_has_nothing_against_them() -> None:
    driver, trip = there(1), TripFactory(wave=1, round_number=1)
    trip.offers.create(
        driver=driver,
        round_number=1,
        urgency="urgent",
        difficulty="easy",
        distance_km=1,
        pickup_min=2,
        expires_at=timezone.now() + HOUR,
    )

    (one,) = find_candidates(trip)
    assert (one.judged.codes, one.judged.warnings, one.judged.refused) == (["already_asked"], [], [])


def test_what_refuses_is_a_rule() -> None:
    assert REASONS.keys() >= REFUSING


# The page


def test_the_page_says_what_speaks_against_each() -> None:
    client, trip = signed_in(StaffFactory()), TripFactory(status="unfilled", seats=3)
    there(2, user__name="Aida Nurlan", vehicle__plate="777 AAA 02")
    there(3, user__name="Berik Omarov", vehicle=VehicleFactory(seats=2))
    DriverFactory(user__name="Dana Serik")

    page = client.get(action_url(trip, "assign"))

    rows = page.context["candidates"]
    assert [(row["driver"].user.name, row["away"], row["warnings"], row["refused"]) for row in rows] == [
        ("Aida Nurlan", "2.0 km, 4 min", [], []),
        ("Berik Omarov", "3.0 km, 5 min", [], ["too few seats"]),
        ("Dana Serik", "–", ["offline", "no position"], []),
    ]
    html = page.content.decode()
    assert html.count('data-testid="assign-candidate"') == 3
    assert html.count('data-testid="assign-warning"') == 2
    assert "777 AAA 02 · Sedan" in html
    assert "Never online · no position" in html


@pytest.mark.parametrize("drivers", [1, MOST_SHOWN + 5])
def test_the_page_costs_the_same_for_one_driver_and_many(query_count: Any, drivers: int) -> None:
    client, trip = signed_in(StaffFactory()), TripFactory(status="unfilled")
    for number in range(drivers):
        driver = there(number * 3)
        TripFactory(status="accepted", driver=driver, in_=100 * HOUR)

    queries_of(client, action_url(trip, "assign"), query_count(13, 13))


def test_who_is_searched_for_is_shown_whatever_speaks_against_them() -> None:
    client, trip = signed_in(StaffFactory()), TripFactory(status="unfilled")
    there(1, user__name="Aida Nurlan")
    DriverFactory(user__name="Berik Omarov", approval="suspended")

    page = client.get(action_url(trip, "assign"), {"q": "berik"})
    assert [(row["driver"].user.name, row["refused"]) for row in page.context["candidates"]] == [
        ("Berik Omarov", ["not approved"])
    ]
    assert (
        "No driver has this name, phone or plate."
        in client.get(action_url(trip, "assign"), {"q": "nobody"}).content.decode()
    )


def test_without_drivers_the_page_says_so() -> None:
    page = signed_in(StaffFactory()).get(action_url(TripFactory(status="unfilled"), "assign"))

    assert "There are no drivers who are approved and have a vehicle." in page.content.decode()


def test_a_warning_is_refused_on_the_page_until_a_reason_is_typed() -> None:
    client, trip, driver = signed_in(StaffFactory()), TripFactory(status="unfilled"), DriverFactory()

    page = client.post(action_url(trip, "assign"), {"driver": driver.pk, "reason": ""})
    assert "Say why this driver drives it all the same: offline, no position." in said(page)[0]
    assert f'value="{driver.pk}" checked' in page.content.decode()
    assert not StaffAssignment.objects.exists()

    assert client.post(action_url(trip, "assign"), {"driver": driver.pk, "reason": "called"}).status_code == 302
    assert Trip.objects.get().driver == driver


def test_a_trip_with_a_driver_is_moved_to_another_from_its_page() -> None:
    client, trip, other = signed_in(StaffFactory()), TripFactory(status="en_route"), there(1)
    assert 'data-testid="reassign"' in client.get(f"/admin/trips/trip/{trip.pk}/change/").content.decode()
    page = client.get(action_url(trip, "reassign"))
    assert [row["driver"] for row in page.context["candidates"]] == [other]

    response = client.post(action_url(trip, "reassign"), {"driver": other.pk})
    assert said(response) == ["success: 1 moved to another driver"]
    assert Trip.objects.get().driver == other


def test_taking_off_a_trip_long_ahead_says_when_others_are_asked() -> None:
    client = signed_in(StaffFactory())
    late, soon = TripFactory(status="accepted", in_=120 * HOUR), TripFactory(status="accepted", in_=3 * HOUR)

    assert "others are asked from " in client.get(action_url(late, "take_off")).content.decode()
    assert "others are asked at once" in client.get(action_url(soon, "take_off")).content.decode()
    assert any("drivers are asked from " in words for words in said(client.post(action_url(late, "take_off"))))
    assert said(client.post(action_url(soon, "take_off")))[-1] == "success: 1 taken off the driver"


def test_the_histories_say_who_gave_a_trip_to_whom_and_why() -> None:
    staff = StaffFactory()
    client, trip, driver = signed_in(staff), TripFactory(status="unfilled"), DriverFactory(user__name="Aida Nurlan")
    client.post(action_url(trip, "assign"), {"driver": driver.pk, "reason": "called her"})
    client.post(action_url(trip, "take_off"), {"reason": "flat tyre"})

    for url in (
        f"/admin/trips/trip/{trip.pk}/change/",
        f"/admin/trips/trip/{trip.pk}/why/",
        f"/admin/trips/trip/{trip.pk}/why/?driver={driver.pk}",
        f"/admin/drivers/driver/{driver.pk}/why/?trip={trip.pk}",
        "/admin/trips/staffassignment/",
    ):
        html = client.get(url).content.decode()
        for words in ("Aida Nurlan", staff.name, "called her; against it: offline, no position", "flat tyre"):
            assert words in html, (url, words)
