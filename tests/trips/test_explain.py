"""Why a driver did or did not get a trip: what is stored of every look, what is judged now, the pages that say it."""

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from drivers import availability
from drivers.models import AvailabilityChange, Driver
from stepper.models import ServiceSettings
from stepper.server.dispatcher import dispatch_due
from tests.backoffice import action_url, member_of_staff
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from trips import accepting, dispatch, explain
from trips.eligibility import OUTCOMES, REASONS
from trips.models import DispatchRound, Offer, Trip

pytestmark = pytest.mark.django_db


@pytest.fixture
def trip() -> Trip:
    return TripFactory(status="published")


def there(km: float, **fields: Any) -> Driver:
    return DriverFactory(at=(ALMATY[0] + km / 111.195, ALMATY[1]), **fields)


def codes(trip: Trip, driver: Driver) -> list[str]:
    trip.refresh_from_db()
    return [one.code for one in explain.explain_driver(trip, driver).verdicts]


def test_everybody_a_look_considered_has_a_verdict(trip: Trip) -> None:
    asked, later, refused = there(1), there(10), there(2, vehicle=None)

    dispatch.start_round(trip.pk)

    ((_row, verdicts),) = explain.latest_rounds(trip, 10)
    assert [(one.driver_id, one.code) for one in verdicts] == [
        (asked.pk, "offered"),
        (refused.pk, "no_vehicle"),
        (later.pk, "later"),
    ]
    assert verdicts[0].offer == trip.offers.get()
    assert verdicts[2].km == pytest.approx(10, abs=0.01)


def test_driver_is_followed_through_the_waves(trip: Trip) -> None:
    first, second = there(1), there(10)
    dispatch.start_round(trip.pk)
    accepting.decline_trip(first.pk, trip.pk, "too short")
    dispatch_due()

    assert codes(trip, first) == ["offered", "declined_before"]
    assert codes(trip, second) == ["later", "offered"]
    answer = explain.explain_driver(trip, first)
    assert explain.outcome(answer.verdicts[0]) == "offered: declined"
    assert answer.now == ["declined_before", "already_asked"]
    assert answer.km == pytest.approx(1, abs=0.01)


def test_driver_who_was_asked_again_in_a_wave_has_each_offer_at_its_search(trip: Trip) -> None:
    ServiceSettings.objects.create(pk=1, round_size=2)
    driver, _other = there(1), there(1)
    dispatch.start_round(trip.pk)
    availability.set_online(driver.pk, False)
    availability.set_online(driver.pk, True)
    dispatch_due()
    accepting.decline_trip(driver.pk, trip.pk)
    trip.refresh_from_db()

    of_driver = explain.explain_driver(trip, driver).verdicts
    latest = [one for _row, all_of in explain.latest_rounds(trip, 10) for one in all_of if one.driver_id == driver.pk]

    words = ["offered: withdrawn", "offered: declined"]
    assert [explain.outcome(one) for one in of_driver] == words
    assert [explain.outcome(one) for one in latest] == words[::-1]


@pytest.mark.parametrize("was", ["offline", "busy"])
def test_driver_who_was_not_available_then_is_told_apart(trip: Trip, was: str) -> None:
    driver = there(1, availability=was)
    hour = dt.timedelta(hours=1)
    now = timezone.now()
    AvailabilityChange.objects.create(driver=driver, availability=was, is_online=True, cause="driver")
    AvailabilityChange.objects.update(created_at=now - hour)

    dispatch.start_round(trip.pk)
    AvailabilityChange.objects.create(
        driver=driver, previous=was, availability="available", is_online=True, cause="driver"
    )

    assert codes(trip, driver) == [was]


def test_driver_whose_history_begins_after_the_look(trip: Trip) -> None:
    driver = there(1, availability="offline", is_online=False)
    dispatch.start_round(trip.pk)

    availability.set_online(driver.pk, True)

    assert codes(trip, driver) == ["offline"]
    assert explain.explain_driver(trip, driver).now == []


def test_driver_whose_history_was_deleted_was_what_they_are_now(trip: Trip) -> None:
    """The changes of a driver who has been busy for longer than changes are kept."""
    driver = there(1, availability="busy")

    dispatch.start_round(trip.pk)

    assert codes(trip, driver) == ["busy"]


def test_driver_beyond_where_the_look_ended(trip: Trip) -> None:
    ServiceSettings.objects.create(pk=1, round_size=1)
    for place in range(25):
        there(0.1 + place / 1000)
    beyond = there(3)
    AvailabilityChange.objects.create(driver=beyond, availability="available", is_online=True, cause="driver")
    AvailabilityChange.objects.update(created_at=timezone.now() - dt.timedelta(hours=1))

    dispatch.start_round(trip.pk)

    assert codes(trip, beyond) == ["not_reached"]


def test_driver_outside_the_radius(trip: Trip) -> None:
    outside = there(60)
    AvailabilityChange.objects.create(driver=outside, availability="available", is_online=True, cause="driver")
    AvailabilityChange.objects.update(created_at=timezone.now() - dt.timedelta(hours=1))

    dispatch.start_round(trip.pk)

    assert codes(trip, outside) == ["outside_radius"]
    assert explain.explain_driver(trip, outside).now == ["outside_radius"]


def test_trip_that_has_a_driver_is_not_judged_any_more(trip: Trip) -> None:
    winner, loser = there(1), there(2)
    dispatch.start_round(trip.pk)
    accepting.accept_trip(winner.pk, trip.pk)
    trip.refresh_from_db()

    answer = explain.explain_driver(trip, loser)

    assert answer.now is None
    assert explain.outcome(answer.verdicts[0]) == "offered: withdrawn"


def test_every_code_has_words() -> None:
    assert set(explain.CODES) == {*REASONS, *OUTCOMES, "not_reached"}
    assert all(str(words) for words in explain.CODES.values())


def test_score_in_words() -> None:
    parts = {"distance": 2.1, "rating": 0.6, "waiting": -1.0}
    assert explain.parts_in_words(parts) == "distance 2.10, rating +0.60, waiting -1.00"
    assert explain.parts_in_words({"distance": 0.0, "waiting": -0.004}) == "distance 0.00"


# The pages


def text(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_trip_page_lists_whom_each_look_considered(trip: Trip) -> None:
    near, far = there(1), there(12, max_distance_km=5)
    dispatch.start_round(trip.pk)

    page = text(member_of_staff("trips.view_trip", "drivers.view_driver").get(action_url(trip, "why")))

    assert "2 considered: 1 offered, 1 too far for the driver" in page
    assert near.user.name in page
    assert far.user.name in page
    assert "offered: open" in page


def test_trip_page_answers_for_one_driver(trip: Trip) -> None:
    driver = there(12, max_distance_km=5)
    dispatch.start_round(trip.pk)

    client = member_of_staff("trips.view_trip", "drivers.view_driver")
    page = text(client.get(action_url(trip, "why"), {"driver": driver.pk}))

    assert "What speaks against it now" in page
    assert "<code>too_far</code>" in page


def test_driver_page_answers_for_one_trip(trip: Trip) -> None:
    driver = there(1)
    dispatch.start_round(trip.pk)
    Offer.objects.update(status="expired", reason="timeout", responded_at=timezone.now())

    client = member_of_staff("trips.view_trip", "drivers.view_driver")
    page = text(client.get(action_url(driver, "why"), {"trip": trip.pk}))

    assert "offered: expired (not answered in time)" in page


@pytest.mark.parametrize("number", ["0", "99999999999999999999", "x", ""])
def test_trip_that_does_not_exist_is_said_at_the_field(number: str) -> None:
    client = member_of_staff("trips.view_trip", "drivers.view_driver")

    response = client.get(action_url(there(1), "why"), {"trip": number})

    assert response.status_code == 200
    assert response.context["form"].errors["trip"]


@pytest.mark.parametrize("permission", ["trips.view_trip", "drivers.view_driver"])
def test_pages_need_to_see_trips_and_drivers(trip: Trip, permission: str) -> None:
    client = member_of_staff(permission)

    assert client.get(action_url(trip, "why")).status_code == 403
    assert client.get(action_url(there(1), "why")).status_code == 403


def test_pages_are_for_staff(trip: Trip, client: Any) -> None:
    client.force_login(PassengerFactory())

    assert client.get(action_url(trip, "why"), follow=True).status_code == 403


def test_page_of_nothing_is_not_found(client: Any) -> None:
    client.force_login(StaffFactory(is_superuser=True))

    assert client.get(action_url(Trip(pk=987654), "why")).status_code == 404


def test_trip_page_costs_the_same_for_few_and_many_looks(trip: Trip, django_assert_num_queries: Any) -> None:
    client = member_of_staff("trips.view_trip", "drivers.view_driver")
    there(1)
    dispatch.start_round(trip.pk)
    url = action_url(trip, "why")
    client.get(url)
    with CaptureQueriesContext(connection) as one_look:
        client.get(url)
    for number in range(5):
        DispatchRound.objects.create(trip=trip, number=number + 2, verdicts=[[there(2).pk, 2.0, "too_far", 2.0]])

    with django_assert_num_queries(len(one_look)):
        assert text(client.get(url)).count("too far for the driver") == 5
