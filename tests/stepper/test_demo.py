"""The demo accounts."""

import datetime as dt
import io
import re
from itertools import pairwise
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from drivers.models import Approval, Driver
from stepper.management.commands.demo import DRIVER, DRIVERS, PASSENGER, STAFF, plate
from stepper.models import ServiceSettings, User
from stepper.simulator.people import DEMO_PASSWORD
from tests.factories import StaffFactory
from trips.models import Booking, Rating, Trip, TripTransition
from trips.states import STEPS, Role, TripStatus, allowed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _debug(settings: Settings) -> None:
    settings.DEBUG = True


@pytest.fixture
def people() -> dict[str | None, User]:
    call_command("demo", verbosity=0)
    return {user.email: user for user in User.objects.all()}


def test_demo_creates_the_accounts(people: dict[str, User]) -> None:
    drivers = [f"driver{number}@demo.test" for number in range(1, 31)]
    staff = [f"{name}@demo.test" for name in ("staff", "dispatcher", "support", "finance", "administrator")]
    assert sorted(people) == sorted([*drivers, "passenger1@demo.test", "passenger2@demo.test", *staff])
    assert [email for email, user in people.items() if user.is_staff] == staff
    assert [email for email, user in people.items() if user.is_superuser] == [STAFF]
    held = {(user.email, group.name) for user in people.values() for group in user.groups.all()}
    assert held == {(email, f"role:{email.partition('@')[0]}") for email in staff if email != STAFF}


def test_real_use_locks_the_accounts_of_the_demo(
    people: dict[str, User], settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their password is in the README; a superuser is among them."""
    monkeypatch.setattr("stepper.management.commands.prepare.call_command", lambda *_args, **_options: None)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    own = StaffFactory(email="own@example.kz")
    settings.DEBUG = False

    call_command("prepare")

    assert list(User.objects.filter(is_active=True)) == [own]
    assert f"Locked {len(people)} demo accounts" in capsys.readouterr().out
    call_command("prepare")
    assert capsys.readouterr() == ("", "")


def test_demo_has_a_contact_and_real_use_is_told_when_there_is_none(
    people: dict[str, User], settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepper.management.commands.prepare.call_command", lambda *_args, **_options: None)
    assert ServiceSettings.current().support.phone
    ServiceSettings.objects.all().delete()
    StaffFactory(email="own@example.kz")
    settings.DEBUG = False
    call_command("prepare")
    assert "No contact of your staff is set" in capsys.readouterr().err


def test_demo_leaves_its_accounts_open(people: dict[str, User], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepper.management.commands.prepare.call_command", lambda *_args, **_options: None)
    call_command("prepare")
    assert not User.objects.filter(is_active=False).exists()


def test_demo_accounts_share_one_hash_of_the_password(people: dict[str, User]) -> None:
    hashes = {user.password for user in people.values()}
    assert len(hashes) == 1
    assert check_password(DEMO_PASSWORD, hashes.pop())


def test_readme_says_the_password_of_the_demo() -> None:
    readme = (Path(settings.BASE_DIR) / "README.md").read_text()
    said = re.findall(r"password is `([^`]+)`", readme) + re.findall(r'@demo\.test", "password": "([^"]+)"', readme)
    assert said == [DEMO_PASSWORD, DEMO_PASSWORD]


def test_demo_drivers_may_drive(people: dict[str, User]) -> None:
    drivers = Driver.objects.select_related("vehicle")
    assert {driver.approval for driver in drivers} == {Approval.APPROVED}
    assert all(driver.licence_expires_on > timezone.localdate() + dt.timedelta(days=700) for driver in drivers)
    assert {driver.vehicle.vehicle_class for driver in drivers if driver.vehicle} == {"sedan", "suv", "van", "bus"}


def test_demo_plates_differ_and_look_kazakh() -> None:
    plates = [plate(number) for number in range(len(DRIVERS))]
    assert len(set(plates)) == len(DRIVERS)
    assert plates[0] == "101 ABE 02"


def test_demo_history_took_steps_the_table_allows(people: dict[str, User]) -> None:
    trips = Trip.objects.filter(driver__user__email=DRIVER, organiser__email=PASSENGER)
    assert len(trips) == 6
    for trip in trips:
        steps = list(TripTransition.objects.filter(trip=trip))
        assert [step.to_status for step in steps] == [TripStatus.PUBLISHED, TripStatus.OFFERED, *STEPS]
        assert all(allowed(step.from_status, step.to_status, role=step.role) for step in steps)
        assert trip.version == len(steps)
        assert trip.accepted_at == steps[2].created_at
        assert trip.completed_at == steps[-1].created_at
        assert steps[-1].created_at < timezone.now()


def test_demo_history_has_no_overlaps(people: dict[str, User]) -> None:
    times = [
        at for span in Trip.objects.order_by("accepted_at").values_list("accepted_at", "completed_at") for at in span
    ]
    assert all(before is not None and after is not None and before < after for before, after in pairwise(times))


def test_demo_ratings_add_up(people: dict[str, User]) -> None:
    driver = Driver.objects.get(user=people[DRIVER])
    stars = list(Rating.objects.filter(role=Role.ORGANISER, about=driver.user).values_list("stars", flat=True))
    assert (driver.rating_sum, driver.rating_count) == (sum(stars), len(stars))
    assert driver.rating == 4.7


def test_demo_repeated_changes_nothing(people: dict[str, User]) -> None:
    before = list(User.objects.order_by("pk").values()), list(Trip.objects.order_by("pk").values())
    call_command("demo", verbosity=0)
    assert before == (list(User.objects.order_by("pk").values()), list(Trip.objects.order_by("pk").values()))


def test_demo_adds_who_is_missing(people: dict[str, User]) -> None:
    people["passenger2@demo.test"].delete()
    call_command("demo", verbosity=0)
    assert User.objects.filter(email="passenger2@demo.test").exists()
    assert Booking.objects.count() == 6


def test_demo_lets_the_virtual_passenger_book_more_at_once_than_a_person_may(people: dict[str, User]) -> None:
    """Also in a demo of before there was such a limit."""
    User.objects.update(max_overlapping_trips=None)

    call_command("demo", verbosity=0)

    trusted = User.objects.filter(max_overlapping_trips__isnull=False)
    assert [user.email for user in trusted] == ["passenger2@demo.test"]


def test_demo_refuses_where_debug_is_off(settings: Settings) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG is off"):
        call_command("demo")
    assert not User.objects.exists()


def test_demo_does_it_where_debug_is_off_when_told(settings: Settings) -> None:
    settings.DEBUG = False
    call_command("demo", yes=True, verbosity=0)
    assert User.objects.filter(email=DRIVER).exists()


def test_the_demo_starts_again_after_people_have_changed_their_address() -> None:
    call_command("demo", verbosity=0)
    User.objects.filter(email=DRIVER).update(email="new@example.kz")
    User.objects.filter(email=PASSENGER).update(email="other@example.kz")
    people = User.objects.count()

    call_command("demo", verbosity=0)

    assert User.objects.count() == people
