"""What the log costs those whose doing is not logged."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from stepper.audit import context
from stepper.models import User
from tests.factories import PassengerFactory, StaffFactory
from trips.models import SavedPlace

# The statement that begins a transaction is seen on SQLite alone; who is asked is the same on both.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.embedded_only]


def statements_of_an_insert(user: User | AnonymousUser, owner: User) -> list[str]:
    request = RequestFactory().post("/account/places/")
    request.user = user
    with context.in_request(request), CaptureQueriesContext(connection) as captured:
        SavedPlace.objects.create(user=owner, kind="home", place_name="Dostyk 85", lat=43.2, lng=76.9)
    return [one["sql"].split()[0] for one in captured]


def test_insert_of_a_passenger_begins_no_transaction() -> None:
    passenger = PassengerFactory()
    assert statements_of_an_insert(passenger, passenger) == ["INSERT"]


def test_insert_of_staff_is_logged_in_its_transaction() -> None:
    assert statements_of_an_insert(StaffFactory(), PassengerFactory()) == ["BEGIN", "INSERT", "INSERT", "COMMIT"]
