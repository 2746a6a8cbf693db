"""Staff export and erase a person who has asked for it."""

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from stepper.accounts.confirmation import CONFIRMED_AT, note_confirmed
from stepper.accounts.erasing import erased_address
from stepper.errors import Conflict, NotPermitted
from stepper.models import AuditEntry, SecurityEvent, User
from stepper.personal import export
from stepper.personal.erasure import erase_person
from stepper.personal.export import export_person
from tests.backoffice import action_url, said, signed_in
from tests.factories import DriverFactory, PassengerFactory, StaffFactory, TripFactory
from trips.models import Trip

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> User:
    made: User = PassengerFactory.create(name="Aliya Unmistakable")
    return made


def with_permissions(*names: str) -> User:
    staff: User = StaffFactory.create(is_superuser=False)
    staff.user_permissions.set(Permission.objects.filter(codename__in=names))
    return User.objects.get(pk=staff.pk)


def confirmed(staff: User) -> Client:
    client = signed_in(staff)
    session = client.session
    note_confirmed(session)
    session.save()
    return client


def test_export_is_what_the_person_would_get_and_is_logged(person: User) -> None:
    trip = TripFactory.create(organiser=person)
    client = confirmed(with_permissions("view_user", "export_person"))
    assert client.get(action_url(person, "export_data")).status_code == 200
    response = client.post(action_url(person, "export_data"))
    found = json.loads(response.content)
    assert found["account"][0]["name"] == "Aliya Unmistakable"
    assert [row["id"] for row in found["trips_booked"]] == [trip.pk]
    (row,) = AuditEntry.objects.filter(action="export")
    assert (row.person, row.model, row.via) == (person, "stepper.user", "admin:stepper_user_export_data")
    assert SecurityEvent.objects.filter(event="data.exported", subject=person).exists()


def test_erase_takes_the_name_and_leaves_the_trip(person: User) -> None:
    trip = TripFactory.create(organiser=person, status="completed")
    client = confirmed(with_permissions("view_user", "erase_person"))
    response = client.post(action_url(person, "erase_data"))
    assert said(response) == ["success: 1 erased"]
    person.refresh_from_db()
    assert (person.email, person.is_active) == (erased_address(person.pk), False)
    assert Trip.objects.get(pk=trip.pk).organiser_id == person.pk
    (row,) = AuditEntry.objects.filter(action="erase")
    assert (row.person, row.object_id) == (person, str(person.pk))
    for log in (AuditEntry, LogEntry, SecurityEvent):
        assert "Unmistakable" not in str(list(log.objects.values()))
    # Nothing is left to do.
    assert "erase_data" not in client.get(f"/admin/stepper/user/{person.pk}/change/").content.decode()


def test_closed_account_is_erased_too(person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)
    erase_person(StaffFactory.create(), person.pk)
    person.refresh_from_db()
    assert person.email == erased_address(person.pk)


def test_twice_is_once(person: User) -> None:
    client = confirmed(StaffFactory.create())
    for _twice in range(2):
        client.post(action_url(person, "erase_data"))
    assert AuditEntry.objects.filter(action="erase").count() == 1


def test_each_needs_its_permission(person: User) -> None:
    for verb, permission in ((export_person, "erase_person"), (erase_person, "export_person")):
        with pytest.raises(NotPermitted):
            verb(with_permissions("view_user", "change_user", permission), person.pk)
    client = confirmed(with_permissions("view_user", "change_user"))
    for action in ("export_data", "erase_data"):
        assert client.post(action_url(person, action)).status_code == 403
    assert not AuditEntry.objects.exclude(action="look").filter(person=person).exists()


def test_password_is_asked_for_first(person: User) -> None:
    staff = with_permissions("view_user", "export_person", "erase_person")
    client = signed_in(staff)
    session = client.session
    session[CONFIRMED_AT] = 0
    session.save()
    for action in ("export_data", "erase_data"):
        assert "/accounts/confirm" in client.post(action_url(person, action))["Location"]
    person.refresh_from_db()
    assert person.is_active


def test_colleagues_are_not_for_staff() -> None:
    staff, colleague = with_permissions("export_person", "erase_person"), StaffFactory.create()
    for verb in (export_person, erase_person):
        with pytest.raises(NotPermitted) as error:
            verb(staff, colleague.pk)
        assert error.value.code == "account.is_staff"


def test_whoever_has_a_trip_is_not_erased() -> None:
    trip = TripFactory.create(status="en_route")
    for user_id in (trip.organiser_id, trip.driver.user_id):
        with pytest.raises(Conflict) as error:
            erase_person(StaffFactory.create(), user_id)
        assert error.value.code == "account.trip_unfinished"


def test_exports_of_one_member_of_staff_are_limited(person: User, monkeypatch: Any) -> None:
    monkeypatch.setattr(export, "EXPORTS_BY_STAFF_PER_HOUR", 1)
    client = confirmed(StaffFactory.create())
    assert client.post(action_url(person, "export_data")).status_code == 200
    response = client.post(action_url(DriverFactory.create().user, "export_data"))
    assert response.status_code in (302, 429)
    assert AuditEntry.objects.filter(action="export").count() == 1
