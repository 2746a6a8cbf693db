"""Numbers in addresses and fields of the operations room that are larger than any row's: refused, and no fault."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from stepper.ops.forms import EditForm
from tests.backoffice import signed_in
from tests.factories import DriverFactory, StaffFactory, TripFactory
from trips.models import Claim, Trip

pytestmark = pytest.mark.django_db

# One digit more than an address takes; more than the integers of either database; more than Python reads at once.
NUMBERS = ["9" * 19, "9" * 30, "9" * 5000]


@pytest.fixture
def desk() -> Client:
    return signed_in(StaffFactory.create())


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "path",
    [
        "claims/trip/{}/",
        "claims/driver/{}/",
        "map/drivers/{}/",
        "map/trips/{}/",
        "trips/{}/",
        "trips/{}/do/cancel/",
        "drivers/{}/",
        "in-view/?south={}&west=1&north=2&east=2",
    ],
)
def test_there_is_no_such_row(desk: Client, path: str, number: str) -> None:
    send = desk.post if path.startswith("claims/") else desk.get
    assert send(f"/ops/{path.format(number)}").status_code == 404


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "path",
    [
        "search/?q={}",
        "search/?q=%23{}",
        "trips/?q={}",
        "trips/?after={}-{}",
        "drivers/?q={}",
        "drivers/?after={}",
        "audit/?before={}-{}",
    ],
)
def test_search_finds_nothing_and_cursors_mean_nothing(desk: Client, path: str, number: str) -> None:
    assert desk.get(f"/ops/{path.format(number, number)}").status_code == 200


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    ("name", "status"),
    # The number of a row may be any text of 40 characters: not every row has a number.
    [("actor", 200), ("person", 200), ("number", 200)],
)
def test_audit_log_has_nothing_of_it(desk: Client, name: str, status: int, number: str) -> None:
    answer = desk.get("/ops/audit/", {name: number})
    assert answer.status_code == (400 if len(number) > 100 or (name == "number" and len(number) > 40) else status)
    assert answer.context["lines"] == []


@pytest.mark.parametrize("number", NUMBERS)
def test_claim_is_taken_over_from_nobody_with_such_a_number(desk: Client, number: str) -> None:
    trip: Trip = TripFactory.create(status="unfilled", escalated_at=timezone.now(), next_look_at=None)
    holder = StaffFactory.create(name="Saule")
    Claim.objects.create(subject="trip", row_id=trip.pk, by=holder, claimed_at=timezone.now())
    answer = desk.post(f"/ops/claims/trip/{trip.pk}/", {"instead_of": number})
    assert answer.status_code == 409
    assert "Saule sees to this." in answer.content.decode()
    assert Claim.objects.get().by == holder


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("do/cancel/", {"reason": "by phone", "shown": "{}"}),
        ("driver/", {"mode": "reassign", "driver": "{}"}),
        ("driver/", {"mode": "reassign", "driver": "1", "shown": "{}"}),
        ("driver/", {"mode": "hand-over", "driver": "1", "reason": "broke down", "part": "{}"}),
        ("edit/", {"reason": "by phone", "fare": "{}"}),
    ],
)
def test_form_of_a_trip_is_refused(desk: Client, path: str, fields: dict[str, str], number: str) -> None:
    trip = TripFactory.create(status="accepted", driver=DriverFactory.create())
    before = Trip.objects.values().get(pk=trip.pk)
    data: dict[str, Any] = {name: value.format(number) for name, value in fields.items()}
    answer = desk.post(f"/ops/trips/{trip.pk}/{path}", data)
    assert answer.status_code == 422
    [name] = [name for name, value in fields.items() if value == "{}"]
    assert name in answer.context["form"].errors
    assert Trip.objects.values().get(pk=trip.pk) == before


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", ["seats", "bags"])
def test_edited_trip_is_refused(desk: Client, name: str, number: str) -> None:
    trip: Trip = TripFactory.create(status="accepted", driver=DriverFactory.create())
    before = Trip.objects.values().get(pk=trip.pk)
    filled = {field.html_name: field.value() for field in EditForm.of(trip)}
    data = {key: value for key, value in filled.items() if value not in (None, False)}
    answer = desk.post(f"/ops/trips/{trip.pk}/edit/", data | {"reason": "by phone", name: number})
    # The verb says so of what the form takes for a number.
    assert answer.status_code in (400, 422)
    assert name in answer.context["form"].errors
    assert Trip.objects.values().get(pk=trip.pk) == before


@pytest.mark.parametrize("number", NUMBERS)
def test_fare_is_refused_at_its_field(desk: Client, number: str) -> None:
    answer = desk.post("/ops/settings/", {"base_fare": number, "try": ""})
    assert answer.status_code == 400
    assert "base_fare" in answer.context["form"].errors
