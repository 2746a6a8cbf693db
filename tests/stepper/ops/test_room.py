"""The pages of the room: the queue and its claims, search, what is on the map."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from stepper.models import User
from stepper.ops.finding import find
from tests.backoffice import member_of_staff, queries_of, signed_in
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from trips.models import Claim, Trip

pytestmark = pytest.mark.django_db

SEES = ("trips.view_trip", "drivers.view_driver")


def unfilled() -> Trip:
    trip: Trip = TripFactory.create(status="unfilled", escalated_at=timezone.now(), next_look_at=None)
    return trip


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


PATHS = ("queue/", "search/?q=x", "in-view/?south=43&west=76&north=44&east=77", "map/drivers/1/", "map/trips/1/")


@pytest.mark.parametrize("path", PATHS)
def test_each_page_needs_the_permissions_of_the_room(client: Client, path: str) -> None:
    assert client.get(f"/ops/{path}").status_code == 302
    assert member_of_staff("trips.view_trip").get(f"/ops/{path}").status_code == 403


def test_room_is_drawn_with_its_queue(query_count: Callable[[int, int], Any]) -> None:
    for _number in range(3):
        unfilled()
    page = text(member_of_staff(*SEES), "/ops/")
    assert page.count('data-testid="ops-queue-item"') == 3
    assert 'data-testid="ops-counter-online"' in page
    # Who may not claim is not offered to.
    assert 'data-testid="ops-claim"' not in page
    staff = signed_in(StaffFactory.create())
    assert text(staff, "/ops/").count('data-testid="ops-claim"') == 3
    # Session, account, second factor, settings; trips, calls, drivers, claims.
    queries_of(staff, "/ops/queue/", query_count(8, 8))


def test_claim_is_made_taken_over_and_released_on_the_page() -> None:
    trip, first, second = unfilled(), StaffFactory.create(name="Saule"), StaffFactory.create(name="Asem")
    address = f"/ops/claims/trip/{trip.pk}/"
    one, other = signed_in(first), signed_in(second)
    assert "Yours since" in one.post(address).content.decode()
    page = other.post(address)
    assert (page.status_code, "Saule sees to this." in page.content.decode()) == (409, True)
    assert "Asem" not in text(one, "/ops/queue/")
    assert "Yours since" in other.post(address, {"instead_of": first.pk}).content.decode()
    assert "Asem since" in text(one, "/ops/queue/")
    other.post(address, {"action": "release"})
    assert not Claim.objects.exists()


def test_claim_is_posted_by_those_who_may_alone() -> None:
    trip = unfilled()
    assert member_of_staff(*SEES).post(f"/ops/claims/trip/{trip.pk}/").status_code == 403
    assert signed_in(StaffFactory.create()).get(f"/ops/claims/trip/{trip.pk}/").status_code == 405
    assert signed_in(StaffFactory.create()).post("/ops/claims/weather/1/").status_code == 404
    assert not Claim.objects.exists()


# Search


def paths(term: str, user: User | None = None) -> list[str]:
    return [one.path for one in find(term, user or StaffFactory.create())]


@pytest.mark.parametrize("term", ["+7 701 555-01-01", "87015550101", "8 (701) 555 01 01", "7015550101"])
def test_phone_is_found_in_any_spelling(term: str) -> None:
    passenger = PassengerFactory.create(phone="+77015550101")
    trip = TripFactory.create(organiser=passenger, status="offered")
    TripFactory.create(organiser=passenger, status="completed")
    assert paths(term) == [f"/ops/trips/{trip.pk}/", "/ops/call/#phone=%2B77015550101"]


@pytest.mark.parametrize("term", ["101 ABK 02", "101abk02", "101авк02", "АВК"])
def test_plate_is_found_in_either_alphabet(term: str) -> None:
    driver = DriverFactory.create(vehicle__plate="101 ABK 02")
    assert paths(term) == [f"/ops/drivers/{driver.pk}/"]


def test_trip_is_found_by_its_number_also_when_it_is_over() -> None:
    trip = TripFactory.create(status="cancelled")
    for term in (f"#{trip.pk}", f"№ {trip.pk}", str(trip.pk)):
        assert f"/ops/trips/{trip.pk}/" in paths(term)
    assert paths(f"#{trip.pk + 10**6}") == []
    assert paths("9" * 40) == []


def test_name_is_found_without_case_and_the_driver_is_no_passenger() -> None:
    driver = DriverFactory.create(user__name="Ержан Серик")
    assert paths("ержан") == [f"/ops/drivers/{driver.pk}/"]


def test_passengers_are_for_those_who_may_see_accounts() -> None:
    PassengerFactory.create(name="Zarina Ospan")
    staff = StaffFactory.create(is_superuser=False)
    assert paths("Zarina", staff) == []


@pytest.mark.parametrize("term", ["", " ", "z", "\x00ab", "'"])
def test_nothing_is_found_by_nothing(term: str) -> None:
    TripFactory.create(status="offered")
    assert paths(term) == []


def test_number_of_queries_of_a_search(query_count: Callable[[int, int], Any]) -> None:
    for _number in range(3):
        TripFactory.create(status="accepted", driver=DriverFactory.create(user__name="Zhanna A"))
    staff = StaffFactory.create()
    assert staff.has_perm("stepper.view_user")  # reads whether it needs a second factor
    with query_count(3, 3):
        assert len(find("Zhanna", staff)) == 6
    with query_count(4, 4):
        find("123", staff)


# The map


def test_map_in_words_and_the_cards_of_what_is_on_it() -> None:
    driver = DriverFactory.create(at=ALMATY, user__name="Daniyar Seitkali")
    trip = TripFactory.create(status="unfilled")
    client = member_of_staff(*SEES)
    page = text(client, "/ops/in-view/?south=43&west=76&north=44&east=77.5")
    for path in (f"/ops/drivers/{driver.pk}/", f"/ops/trips/{trip.pk}/"):
        assert f'href="{path}"' in page
    assert "Daniyar Seitkali" in text(client, f"/ops/map/drivers/{driver.pk}/")
    assert "Almaty airport" in text(client, f"/ops/map/trips/{trip.pk}/")
    assert client.get("/ops/map/trips/999999999/").status_code == 404
    assert client.get("/ops/in-view/?south=x").status_code == 404
    assert "No driver in this part" in text(client, "/ops/in-view/?south=10&west=10&north=11&east=11")


def test_a_state_has_one_name_in_counters_legend_and_the_page_of_the_trip() -> None:
    trip = TripFactory(status="unfilled", next_look_at=None)
    client = member_of_staff(*SEES)
    room = client.get("/ops/").content.decode()
    legend = room.partition("room__legend")[2].partition("</ul>")[0]
    page = client.get(f"/ops/trips/{trip.pk}/").content.decode()
    assert '<dt class="counter__label">Without a driver</dt>' in room
    assert '<dt class="counter__label">Asking drivers</dt>' in room
    assert re.findall(r"square--(\w+)\"></span>([^<]+)<", legend)[:2] == [
        ("open", "Asking drivers"),
        ("unfilled", "Without a driver"),
    ]
    assert re.search(r'data-testid="ops-status"[^>]*>Without a driver<', page)
    # The queue is empty beside a trip that is counted as without a driver.
    assert "Trips without a driver" not in room
