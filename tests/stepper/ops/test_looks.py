"""What staff see of people in the operations room is in the audit log; what gives away much asks who they are."""

import pytest
from django.test import Client

from stepper.models import AuditEntry, User
from tests.backoffice import signed_in
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.stepper.test_confirmation import LONG_AGO
from tests.stepper.test_sessions import age
from trips import messages
from trips.models import Trip

pytestmark = pytest.mark.django_db


@pytest.fixture
def trip() -> Trip:
    driver = DriverFactory(at=ALMATY)
    trip: Trip = TripFactory(status="in_transit", driver=driver, organiser=PassengerFactory(phone="+77011234567"))
    return trip


@pytest.fixture
def client() -> Client:
    return signed_in(StaffFactory(is_superuser=True))


def looks() -> set[tuple[str, int | None]]:
    return set(AuditEntry.objects.filter(action="look").values_list("model", "person"))


@pytest.mark.parametrize(
    ("path", "what", "whose"),
    [
        ("/ops/trips/", "trips.trip", ""),
        ("/ops/trips/{trip}/", "trips.trip", "both"),
        ("/ops/trips/{trip}/history/", "trips.trip", "both"),
        ("/ops/trips/{trip}/trail/", "trips.trip", "both"),
        ("/ops/map/trips/{trip}/", "trips.trip", "both"),
        ("/ops/drivers/", "drivers.driver", ""),
        ("/ops/drivers/{driver}/", "drivers.driver", "driver"),
        ("/ops/drivers/{driver}/history/", "drivers.driver", "driver"),
        ("/ops/map/drivers/{driver}/", "drivers.driver", "driver"),
        ("/ops/reports/statements/?driver={driver}", "drivers.driver", "driver"),
        ("/ops/search/?q=ab", "stepper.user", ""),
        ("/ops/in-view/?south=43&west=76&north=44&east=77", "drivers.driver", ""),
    ],
)
def test_page_is_a_look_at_whom_it_shows(client: Client, trip: Trip, path: str, what: str, whose: str) -> None:
    people: dict[str, set[int | None]] = {
        "": {None},
        "driver": {trip.driver.user_id},
        "both": {trip.driver.user_id, trip.organiser_id},
    }
    assert client.get(path.format(trip=trip.pk, driver=trip.driver_id)).status_code == 200
    # Lists that a page has beside: who else was asked for a trip, the trips of a driver.
    assert {one for one in looks() if whose == "" or one[1] is not None} == {(what, person) for person in people[whose]}


def test_conversation_is_a_look_of_its_own(client: Client, trip: Trip) -> None:
    messages.send(trip.pk, trip.organiser, text="Gate 3")
    client.get(f"/ops/trips/{trip.pk}/")
    assert ("trips.tripmessage", trip.organiser_id) in looks()


def test_caller_who_is_recognised_is_looked_at(client: Client, trip: Trip) -> None:
    assert client.post("/ops/call/caller/", {"phone": "8 701 123 45 67"}).status_code == 200
    assert ("stepper.user", trip.organiser_id) in looks()


@pytest.mark.parametrize("path", ["/ops/audit/export/", "/ops/drivers/{driver}/do/deactivate/"])
def test_without_a_recent_sign_in_nothing_is_given_away_or_closed(trip: Trip, path: str) -> None:
    unconfirmed = Client()
    unconfirmed.force_login(StaffFactory(is_superuser=True))
    age(unconfirmed, LONG_AGO)
    answer = unconfirmed.post(path.format(driver=trip.driver_id), {"reason": "left the company"})
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/accounts/confirm/")
    assert User.objects.get(pk=trip.driver.user_id).is_active


@pytest.mark.parametrize("path", ["/ops/trips/?until=9999-12-31", "/ops/trips/?since=0001-01-01"])
def test_days_at_the_ends_of_the_calendar_are_days(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200
    assert client.get(path.replace("/ops/trips/", "/ops/audit/")).status_code == 200
