"""When sessions end: a time after signing in that nothing puts off, and for staff without activity."""

import datetime as dt
import math
import re
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings as django_settings
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from stepper.accounts import session_store
from stepper.api import tokens
from stepper.errors import NotSignedIn
from stepper.models import User
from tests.backoffice import signed_in
from tests.factories import PASSWORD, PassengerFactory, StaffFactory

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2030, 5, 1, 9, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    session_store._touched.clear()


def _is_in(client: Client, path: str) -> bool:
    return client.get(path).status_code == 200


def _refreshed(refresh: str) -> str | None:
    response = Client().post("/api/token/refresh", {"refresh": refresh}, content_type="application/json")
    return response.json().get("refresh")


def test_refreshing_tokens_does_not_put_the_end_off() -> None:
    user = PassengerFactory.create()
    with time_machine.travel(NOW, tick=False) as clock:
        body = {"email": user.email, "password": PASSWORD}
        refresh = Client().post("/api/token", body, content_type="application/json").json()["refresh"]
        for _week in range(4):
            clock.shift(dt.timedelta(days=7))
            refresh = _refreshed(refresh)
            assert refresh
        clock.shift(dt.timedelta(days=3))
        assert _refreshed(refresh) is None


def test_saving_a_session_does_not_put_its_end_off() -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        client = signed_in(PassengerFactory.create())
        clock.shift(dt.timedelta(days=29))
        session = client.session
        session["something"] = "new"
        session.save()
        assert _is_in(client, "/trips/")
        clock.shift(dt.timedelta(days=2))
        assert not _is_in(client, "/trips/")


def test_signing_in_again_begins_anew() -> None:
    user = PassengerFactory.create()
    with time_machine.travel(NOW, tick=False) as clock:
        client = signed_in(user)
        clock.shift(dt.timedelta(days=20))
        client.post("/accounts/logout/")
        client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
        clock.shift(dt.timedelta(days=20))
        assert _is_in(client, "/trips/")


def _of_an_earlier_release(client: Client) -> None:
    """Leave the session as an earlier release saves it."""
    session = client.session
    del session[session_store.SIGNED_IN_AT]
    db.SessionStore.save(session)


@pytest.mark.parametrize("is_given_a_new_key", [False, True])
def test_session_of_an_earlier_release_ends_when_that_would_have_ended_it(is_given_a_new_key: bool) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        client = signed_in(PassengerFactory.create())
        _of_an_earlier_release(client)
        clock.shift(dt.timedelta(days=29))
        session = session_store.SessionStore(client.session.session_key)
        if is_given_a_new_key:
            session.cycle_key()
            client.cookies["sessionid"] = str(session.session_key)
        session["something"] = "new"
        session.save()
        assert Session.objects.get().expire_date == NOW + dt.timedelta(days=30)
        assert session.get_expiry_age() == 24 * 60 * 60
        assert _is_in(client, "/trips/")
        clock.shift(dt.timedelta(days=1))
        assert not _is_in(client, "/trips/")


def test_session_keys_have_128_random_bits() -> None:
    for _ in range(60):
        session_store.SessionStore().create()
    keys = list(Session.objects.values_list("session_key", flat=True))
    assert len(keys) == 60
    # Each place takes as many characters as there are: none is fixed, or counts.
    places = [set(column) for column in zip(*keys, strict=True)]
    assert sum(math.log2(len(place)) for place in places) > 128


@pytest.fixture
def staff() -> User:
    return StaffFactory.create()


def test_staff_are_signed_out_without_activity(staff: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        client = signed_in(staff)
        for _visit in range(3):
            assert _is_in(client, "/admin/")
            clock.shift(dt.timedelta(minutes=59))
        assert _is_in(client, "/admin/")
        clock.shift(dt.timedelta(minutes=61))
        assert not _is_in(client, "/admin/")


def test_staff_sign_in_again_after_twelve_hours_whatever_they_do(staff: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        client, made = signed_in(staff), tokens.sign_in(staff)
        for _half_hour in range(23):
            clock.shift(dt.timedelta(minutes=30))
            assert _is_in(client, "/admin/")
            assert _asks(made["access"])
            made = tokens.refresh_tokens(made["refresh"])
        clock.shift(dt.timedelta(minutes=31))
        assert not _is_in(client, "/admin/")
        assert not _asks(made["access"])
        with pytest.raises(NotSignedIn):
            tokens.refresh_tokens(made["refresh"])


def test_somebody_who_has_become_staff_since_signing_in_long_ago_signs_in_again() -> None:
    user = PassengerFactory.create()
    with time_machine.travel(NOW, tick=False) as clock:
        client = signed_in(user)
        clock.shift(dt.timedelta(days=2))
        assert _is_in(client, "/trips/")
        user.is_staff = True
        user.save()
        client.get("/trips/")
        assert not _is_in(client, "/trips/")


def test_what_a_page_asks_for_by_itself_is_no_activity(staff: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        client = signed_in(staff)
        assert _is_in(client, "/admin/")
        for _minutes in range(5):
            clock.shift(dt.timedelta(minutes=11))
            assert client.get("/notifications/", headers={"X-Automatic": "1"}).status_code == 200
        clock.shift(dt.timedelta(minutes=6))
        assert not _is_in(client, "/admin/")


def test_parts_of_pages_that_are_fetched_without_a_press_say_so(staff: User) -> None:
    """Whatever htmx fetches for an event of a script, or every few seconds."""
    pages = Path(django_settings.BASE_DIR, "templates").rglob("*.html")
    tags = [tag for page in pages for tag in re.findall(r"<[^<>]*hx-trigger=[^<>]*", page.read_text())]
    by_themselves = [tag for tag in tags if re.search(r'hx-trigger="[^"]*(refresh|every |load|revealed)', tag)]
    assert by_themselves
    assert [tag for tag in by_themselves if "X-Automatic" not in tag] == []


def test_staff_session_that_is_saved_meanwhile_ends_all_the_same(staff: User) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        client = signed_in(staff)
        assert _is_in(client, "/admin/")
        session = client.session
        session["something"] = "new"
        session.save()
        clock.shift(dt.timedelta(minutes=61))
        assert not _is_in(client, "/admin/")


def test_others_stay_signed_in_without_activity() -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        client = signed_in(PassengerFactory.create())
        assert _is_in(client, "/trips/")
        clock.shift(dt.timedelta(days=29))
        assert _is_in(client, "/trips/")


def test_use_of_a_session_is_written_every_few_minutes_only(staff: User) -> None:
    client = signed_in(staff)
    client.get("/admin/")
    client.get("/admin/")
    first = Session.objects.get().expire_date
    client.get("/admin/")
    assert Session.objects.get().expire_date == first
    session_store._touched.clear()
    client.get("/admin/")
    assert Session.objects.get().expire_date > first
    assert Session.objects.get().expire_date < timezone.now() + dt.timedelta(hours=1)


def test_staff_session_in_use_does_not_end_however_short_its_time_is(staff: User, settings: Any) -> None:
    settings.STAFF_SESSION_IDLE_S = 120
    with time_machine.travel(NOW, tick=False) as clock:
        client = signed_in(staff)
        for _request in range(6):
            assert _is_in(client, "/admin/")
            clock.shift(60)
        clock.shift(121)
        assert not _is_in(client, "/admin/")


def _asks(access: str) -> bool:
    return bool(Client().get("/api/me", headers={"Authorization": f"Bearer {access}"}).status_code == 200)


def test_program_of_staff_is_signed_out_without_activity(staff: User, settings: Any) -> None:
    settings.STAFF_SESSION_IDLE_S = 1200
    with time_machine.travel(NOW, tick=False) as clock:
        used, unused = tokens.sign_in(staff), tokens.sign_in(staff)
        for _request in range(3):
            clock.shift(1100)
            assert _asks(used["access"])
        with pytest.raises(NotSignedIn):
            tokens.refresh_tokens(unused["refresh"])
        clock.shift(1201)
        with pytest.raises(NotSignedIn):
            tokens.refresh_tokens(used["refresh"])


def test_program_of_somebody_who_has_become_staff_ends_without_activity(settings: Any) -> None:
    user = PassengerFactory.create()
    with time_machine.travel(NOW, tick=False) as clock:
        made = tokens.sign_in(user)
        user.is_staff = True
        user.save()
        session_store._touched.clear()
        assert _asks(made["access"])
        pair = tokens.refresh_tokens(made["refresh"])
        clock.shift(dt.timedelta(minutes=61))
        with pytest.raises(NotSignedIn):
            tokens.refresh_tokens(pair["refresh"])


def test_program_of_others_stays_signed_in_without_activity() -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        made = tokens.sign_in(PassengerFactory.create())
        clock.shift(dt.timedelta(hours=13))
        assert tokens.refresh_tokens(made["refresh"])


# What the browser is told


def _cookie_of(response: Any) -> Any:
    return response.cookies.get(django_settings.SESSION_COOKIE_NAME)


@pytest.mark.parametrize("path", ["/trips/", "/api/me", "/"])
def test_request_with_a_key_just_replaced_leaves_the_cookie(path: str) -> None:
    client = signed_in(PassengerFactory.create())
    on_its_way = Client()
    on_its_way.cookies["sessionid"] = str(client.session.session_key)
    client.post("/accounts/confirm/", {"password": PASSWORD})
    assert _cookie_of(on_its_way.get(path)) is None
    assert _is_in(client, "/trips/")


def test_request_on_its_way_while_the_password_changes_leaves_the_cookie() -> None:
    """It finds a session that is bound to the old password, where the new one is stored and the session not yet."""
    user = PassengerFactory.create()
    client = signed_in(user)
    user.set_password("a whole new battery")
    user.save()
    assert _cookie_of(client.get("/trips/")) is None


def test_signing_out_deletes_the_cookie() -> None:
    client = signed_in(PassengerFactory.create())
    assert _cookie_of(client.post("/accounts/logout/"))["max-age"] == 0
