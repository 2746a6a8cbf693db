"""Who may open the operations room: staff with permission; others see what they see elsewhere."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from stepper.models import SecurityEvent
from tests.backoffice import staff_with
from tests.factories import DriverFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_stranger_is_sent_to_sign_in(client: Client) -> None:
    assert client.get("/ops/")["Location"] == "/accounts/login/?next=/ops/"


def test_staff_without_any_permission_are_refused_and_it_is_logged(client: Client) -> None:
    client.force_login(staff_with())
    assert client.get("/ops/").status_code == 403
    assert SecurityEvent.objects.filter(event="permission.refused", details="/ops/").exists()


def test_refused_staff_read_that_it_is_their_role_and_have_their_sections(client: Client) -> None:
    client.force_login(staff_with("view_trip"))
    answer = client.get("/ops/reports/")
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "Your role does not include this" in page
    assert "your session has ended" not in page
    assert {'href="/ops/trips/"', 'href="/ops/"'} <= set(re.findall(r'href="/ops/[^"]*"', page))
    assert 'href="/ops/reports/"' not in page


def test_passenger_reads_that_it_belongs_to_somebody_else(client: Client) -> None:
    client.force_login(UserFactory())
    assert "This page belongs to somebody else" in client.get("/ops/reports/").content.decode()


@pytest.mark.parametrize(("permissions", "start"), [(("view_trip",), "/ops/"), ((), "/trips/")])
def test_staff_start_in_the_operations_room(client: Client, permissions: tuple[str, ...], start: str) -> None:
    client.force_login(staff_with(*permissions))
    assert client.get("/")["Location"] == start


def test_staff_who_drive_start_at_their_dashboard(client: Client) -> None:
    user = staff_with("view_trip")
    DriverFactory(user=user)
    client.force_login(user)
    assert client.get("/")["Location"] == "/driver/"


@pytest.mark.parametrize(("permission", "is_led"), [("view_trip", True), ("view_vehicle", False)])
def test_administration_leads_staff_to_their_sections(client: Client, permission: str, is_led: bool) -> None:
    client.force_login(staff_with(permission))
    assert ('href="/ops/"' in client.get("/admin/").content.decode()) is is_led


@pytest.mark.parametrize(("permission", "theirs"), [("view_trip", "/ops/trips/"), ("view_driver", "/ops/drivers/")])
def test_staff_are_led_to_what_they_may_open_and_refused_the_rest(client: Client, permission: str, theirs: str) -> None:
    client.force_login(staff_with(permission))
    assert client.get("/ops/")["Location"] == theirs
    for path in ("/ops/trips/", "/ops/drivers/"):
        assert client.get(path).status_code == (200 if path == theirs else 403)


def test_staff_with_the_permissions_open_the_room_and_find_it_in_their_menu(client: Client) -> None:
    client.force_login(staff_with("view_trip", "view_driver"))
    assert client.get("/ops/").status_code == 200
    assert 'href="/ops/"' in client.get("/account/").content.decode()


def test_whoever_is_not_staff_does_not_find_it(client: Client) -> None:
    user = UserFactory()
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_trip", "view_driver"]))
    client.force_login(user)
    assert client.get("/ops/").status_code == 403
    assert 'href="/ops/"' not in client.get("/account/").content.decode()
