"""What staff and the system change is in the audit log, whichever way they change it, and nobody else's doing is."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import transaction
from django.db.models import F
from django.test import Client, RequestFactory

from stepper.audit import context
from stepper.db.transactions import in_transaction
from stepper.models import AuditEntry, ServiceSettings, User
from tests.backoffice import action_url, member_of_staff, page_url, signed_in
from tests.factories import ALMATY, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from trips import bookings
from trips.models import DispatchRule, SavedPlace, Trip

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> User:
    made: User = StaffFactory.create()
    return made


@pytest.fixture
def acting(staff: User) -> Iterator[User]:
    """A request of staff runs."""
    request = RequestFactory().post("/ops/", REMOTE_ADDR="203.0.113.5")
    request.user = staff
    with context.in_request(request):
        yield staff


def entries(*names: str, **conditions: Any) -> list[Any]:
    """The changes so far, oldest first."""
    rows = AuditEntry.objects.exclude(action="look").filter(**conditions).order_by("pk")
    return list(rows.values_list(*names, flat=len(names) == 1))


def test_change_names_actor_address_row_person_and_values(acting: User) -> None:
    driver = DriverFactory.create()
    driver.approval = "suspended"
    driver.save(update_fields=["approval"])
    (row,) = AuditEntry.objects.filter(action="change")
    assert (row.actor, row.address, row.model, row.object_id) == (
        acting,
        "203.0.113.5",
        "drivers.driver",
        str(driver.pk),
    )
    assert row.person_id == driver.user_id
    assert row.fields == {"approval": ["approved", "suspended"]}


def test_update_of_many_rows_is_seen_with_what_the_database_computes(acting: User) -> None:
    trips = [TripFactory.create(bags=bags) for bags in (0, 1, 2)]
    laden = Trip.objects.filter(bags__gte=1, organiser__is_active=True)
    laden.update(bags=F("bags") + 2, version=F("version") + 1)
    assert dict(entries("object_id", "fields", model="trips.trip", action="change")) == {
        str(trips[1].pk): {"bags": [1, 3]},
        str(trips[2].pk): {"bags": [2, 4]},
    }


def test_more_rows_than_are_read_are_one_entry_with_their_number(acting: User, monkeypatch: Any) -> None:
    monkeypatch.setattr("stepper.db.changes.ROWS_READ", 2)
    Group.objects.bulk_create(Group(name=name) for name in "abc")
    Group.objects.update(name=F("name"))
    Group.objects.all().delete()
    assert entries("action", "object_id", "fields", model="auth.group") == [
        ("create", "", {"rows": [None, 3]}),
        ("change", "", {"rows": [None, 3], "name": None}),
        ("delete", "", {"rows": [3, None]}),
    ]


def test_new_and_deleted_rows_and_those_of_many_to_many(acting: User) -> None:
    group = Group.objects.create(name="night shift")
    number, user = group.pk, acting.pk
    acting.groups.add(group)
    acting.groups.remove(group)
    group.delete()
    assert entries("action", "model", "object_id", "fields") == [
        ("create", "auth.group", str(number), {"name": [None, "night shift"]}),
        ("create", "stepper.user_groups", str(user), {"user": [None, user], "group": [None, number]}),
        ("delete", "stepper.user_groups", str(user), {"user": [user, None], "group": [number, None]}),
        ("delete", "auth.group", str(number), {"name": ["night shift", None]}),
    ]


def test_personal_values_never_reach_the_log(acting: User) -> None:
    person = PassengerFactory.create(
        name="Zarina Unmistakable", email="unmistakable@example.test", phone="+77019998877"
    )
    trip = TripFactory.create(organiser=person, note="Unmistakable note", pickup_name="Unmistakable street")
    User.objects.filter(pk=person.pk).update(name="Other Unmistakable", phone="+77019998866")
    Trip.objects.filter(pk=trip.pk).update(note="Unmistakable again", traveller_name="Unmistakable T.")
    SavedPlace.objects.create(user=person, kind="home", place_name="Unmistakable home", lat=43, lng=76).delete()
    told = str(list(AuditEntry.objects.values_list("fields", "via", "object_id", "model")))
    for text in ("nmistakable", "7701999"):
        assert text not in told
    (changed,) = entries("fields", model="stepper.user", action="change")
    assert changed.keys() == {"name", "phone", "phone_verified_at"}
    assert (changed["name"], changed["phone"]) == (None, None)
    assert entries("fields", model="trips.trip", action="change") == [{"note": None, "traveller_name": None}]


def test_what_did_not_change_and_what_is_quiet_is_no_entry(acting: User) -> None:
    settings = ServiceSettings.objects.create(pk=1)
    AuditEntry.objects.all()
    before = AuditEntry.objects.count()
    settings.save()
    User.objects.filter(pk=acting.pk).update(theme="dark")
    assert AuditEntry.objects.count() == before


def test_rolled_back_change_is_not_logged(acting: User) -> None:
    rule = DispatchRule.objects.create(trip_type="private", round_size=3)
    before = AuditEntry.objects.count()

    def change_and_fail() -> None:
        with transaction.atomic():
            DispatchRule.objects.filter(pk=rule.pk).update(round_size=5)
            assert AuditEntry.objects.count() == before + 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()
    assert AuditEntry.objects.count() == before


def test_steps_of_one_unit_of_work_are_one_entry(acting: User) -> None:
    trip = TripFactory.create(bags=0)

    @in_transaction
    def change_twice() -> None:
        Trip.objects.filter(pk=trip.pk).update(bags=1)
        Trip.objects.filter(pk=trip.pk).update(bags=2, is_shared=True)

    change_twice()
    assert entries("fields", model="trips.trip", action="change") == [{"bags": [0, 2], "is_shared": [False, True]}]


def test_administration_is_audited_by_the_name_of_the_page_and_action(staff: User) -> None:
    driver = DriverFactory.create(at=ALMATY)
    signed_in(staff).post(action_url(driver, "suspend"), {"reason": "complaints of Aliya"})
    row = AuditEntry.objects.get(model="drivers.driver", action="change")
    assert row.via == "admin:drivers_driver_suspend"
    assert row.fields["approval"] == ["approved", "suspended"]
    assert row.fields["availability"] == ["available", "offline"]
    assert "Aliya" not in str(entries("fields"))


def test_passengers_and_drivers_are_not_audited(client: Client) -> None:
    trip = TripFactory.create()
    client.force_login(trip.organiser)
    assert client.post(f"/trips/{trip.pk}/cancel/").status_code in (200, 302)
    trip.refresh_from_db()
    assert trip.status == "cancelled"
    bookings.cancel(trip.pk, trip.organiser)
    assert not AuditEntry.objects.exists()


def test_command_of_the_operator_is_the_systems_doing() -> None:
    person = PassengerFactory.create()
    person.authenticator_set.create(type="totp", data={"secret": "very secret"})
    with context.by_command(["manage.py", "remove_second_factor", person.email]):
        call_command("remove_second_factor", person.email, verbosity=0)
    (row,) = AuditEntry.objects.filter(model="mfa.authenticator")
    assert (row.actor, row.via, row.action, row.person) == (None, "command remove_second_factor", "delete", person)
    assert "very secret" not in str(row.fields)


def test_command_that_runs_the_service_is_nobody() -> None:
    with context.by_command(["manage.py", "serve"]):
        assert context.find_actor() is None


def test_settings_are_told_from_what_to_what_in_the_administration(staff: User) -> None:
    ServiceSettings.objects.create(pk=1)
    client = signed_in(staff)
    url = page_url(ServiceSettings.objects.get())
    form = client.get(url).context["adminform"].form
    data = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    data["fare_per_km"] = 77
    assert client.post(url, data).status_code == 302
    assert entries("fields", model="stepper.servicesettings", action="change") == [{"fare_per_km": [50, 77]}]


def test_staff_without_a_permission_change_nothing_and_leave_nothing() -> None:
    driver = DriverFactory.create()
    assert member_of_staff("trips.view_trip").post(action_url(driver, "suspend"), {"reason": "x"}).status_code == 403
    assert not AuditEntry.objects.exclude(model="auth.permission").filter(model="drivers.driver").exists()


def test_sessions_of_others_that_staff_end_are_entries_and_own_sign_in_is_none(staff: User) -> None:
    driver = DriverFactory.create()
    signed_in(driver.user)
    client = signed_in(staff)
    assert not AuditEntry.objects.filter(model="stepper.accountsession").exists()
    client.post(action_url(driver.user, "end_sessions"))
    (row,) = AuditEntry.objects.filter(model="stepper.accountsession")
    assert (row.action, row.person, row.via) == ("delete", driver.user, "admin:stepper_user_end_sessions")
