"""Who may open the operations room: staff with permission; others see what they see elsewhere."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from stepper.models import SecurityEvent
from tests.backoffice import staff_with
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


def test_stranger_is_sent_to_sign_in(client: Client) -> None:
    assert client.get("/ops/")["Location"] == "/accounts/login/?next=/ops/"


def test_staff_without_any_permission_are_refused_and_it_is_logged(client: Client) -> None:
    client.force_login(staff_with())
    assert client.get("/ops/").status_code == 403
    assert SecurityEvent.objects.filter(event="permission.refused", details="/ops/").exists()


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
