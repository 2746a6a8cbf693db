"""A recent sign-in, or the password once more: the same rule for pages, REST and the administration."""

import time
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client, RequestFactory
from rest_framework.test import APIClient

from stepper.accounts import confirmation
from stepper.accounts.confirmation import CONFIRMED_AT
from stepper.accounts.sessions import sessions_of
from stepper.api import tokens
from stepper.models import ServiceSettings, User
from tests.backoffice import action_url, member_of_staff, page_url, signed_in
from tests.factories import PASSWORD, PassengerFactory, StaffFactory
from tests.stepper.test_admin import current_settings
from tests.stepper.test_sessions import age, browser, program, row_of

pytestmark = pytest.mark.django_db

CONFIRM = "/accounts/confirm/"
LIST = "/accounts/sessions/"
LONG_AGO = 31 * 60
NEW = "a whole new battery"


@pytest.fixture
def user():
    return PassengerFactory(email="a@example.test")


@pytest.fixture
def staff():
    return StaffFactory(email="staff@example.test")


def unusable(user: User) -> Client:
    """A browser of an account that has lost its password and has no phone either, signed in a moment ago."""
    user.set_unusable_password()
    user.phone = None
    user.save()
    client = Client()
    client.force_login(user)
    return client


def leads_to_form(response, back):
    return response.status_code == 302 and response.url == f"{CONFIRM}?next={back.replace('/', '%2F')}"


@pytest.mark.parametrize(
    ("seconds", "opens_form", "passes"),
    [
        (0, True, True),
        (15 * 60 - 5, True, True),
        (15 * 60 + 5, True, False),
        (15 * 60 + 5, False, True),
        (30 * 60 - 5, False, True),
        (30 * 60 + 5, False, False),
        (-3600, False, False),
    ],
)
def test_how_long_a_password_counts(user, seconds, opens_form, passes):
    client = browser(user)
    age(client, seconds)
    assert confirmation.is_confirmed(client.session, user, opens_form=opens_form) is passes


@pytest.mark.parametrize("kind", [browser, program])
@pytest.mark.parametrize(("seconds", "status"), [(30 * 60 - 5, 204), (30 * 60 + 5, 403)])
def test_program_may_do_for_thirty_minutes_what_needs_the_password(user, kind, seconds, status):
    client = kind(user)
    _age(client, user, seconds)
    assert client.post("/api/sessions/end-others").status_code == status


@pytest.mark.parametrize("value", [None, "now", [1]])
def test_session_without_a_time_is_not_confirmed(user, value):
    client = browser(user)
    session = client.session
    session[CONFIRMED_AT] = value
    assert not confirmation.is_confirmed(session, user)


# Pages


@pytest.mark.parametrize("what", ["end-others/", "end-all/", "{}/end/"])
def test_page_asks_for_the_password_and_leads_back(user, what):
    here, other = browser(user), browser(user)
    age(here, LONG_AGO)
    path = LIST + what.format(row_of(other).pk)
    refused = here.post(path, headers={"referer": f"http://testserver{LIST}"})
    assert leads_to_form(refused, LIST)
    assert other.get("/trips/").status_code == 200

    assert here.get(refused["Location"]).status_code == 200
    confirmed = here.post(CONFIRM, {"password": PASSWORD, "next": LIST})
    assert confirmed["Location"] == LIST
    here.post(LIST + what.format(row_of(other).pk))
    assert other.get("/trips/").status_code == 302


@pytest.mark.parametrize("path", [CONFIRM, "/api/token/confirm"])
def test_confirming_gives_the_session_another_key(user, path):
    client = browser(user)
    key = str(client.session.session_key)
    sent: Any = {"data": {"password": PASSWORD}} if path == CONFIRM else body(PASSWORD, client)
    client.post(path, **sent)
    assert client.session.session_key != key
    stolen = Client()
    stolen.cookies["sessionid"] = key
    assert stolen.get("/trips/").status_code == 302


def test_wrong_password_is_said_at_its_field_and_confirms_nothing(user):
    client = browser(user)
    age(client, LONG_AGO)
    response = client.post(CONFIRM, {"password": "wrong"})
    assert response.status_code == 400
    assert response.context["form"].errors == {"password": ["This is not your password."]}
    assert not confirmation.is_confirmed(client.session, user)


def test_wrong_passwords_are_counted_like_sign_ins(user, settings):
    settings.SIGN_IN_FAILURES_PER_ACCOUNT = 1
    client = Client()
    client.force_login(user)
    client.post(CONFIRM, {"password": "wrong"})
    response = client.post(CONFIRM, {"password": PASSWORD})
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0


@pytest.mark.parametrize("wanted", ["https://evil.test/", "//evil.test/", "javascript:alert(1)", ""])
def test_confirming_leads_nowhere_else(user, wanted):
    assert browser(user).post(CONFIRM, {"password": PASSWORD, "next": wanted})["Location"] == "/"


@pytest.mark.parametrize("wanted", ["driver", "\u06df\u05a4"])
def test_address_without_a_slash_is_no_name_of_a_view(user, wanted):
    assert browser(user).post(CONFIRM, {"password": PASSWORD, "next": wanted}).status_code == 302


def test_form_of_another_host_is_not_led_back_to(user):
    client = browser(user)
    age(client, LONG_AGO)
    assert leads_to_form(client.post(f"{LIST}end-all/", headers={"referer": "https://evil.test/x"}), "/")


def test_account_without_a_password_passes_nowhere(user):
    """Though it signed in a moment ago: there is nothing that it could be asked for."""
    client = unusable(user)
    assert client.get(CONFIRM).status_code == 403
    assert client.post(CONFIRM, {"password": ""}).status_code == 403
    assert not confirmation.is_confirmed(client.session, user)
    assert client.post(f"{LIST}end-others/", follow=True).status_code == 403
    answer = client.post("/api/sessions/end-all", headers={"x-csrftoken": "x"})
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.no_password")


# REST


@pytest.mark.parametrize("kind", [browser, program])
def test_rest_wants_the_password_and_takes_it(user, kind):
    client, other = kind(user), browser(user)
    _age(client, user)
    refused = client.delete(f"/api/sessions/{row_of(other).pk}")
    assert (refused.status_code, refused.json()["code"]) == (403, "auth.confirmation_required")

    wrong = client.post("/api/token/confirm", **body("wrong", client))
    assert (wrong.status_code, wrong.json()["code"]) == (400, "auth.password_wrong")
    assert client.delete(f"/api/sessions/{row_of(other).pk}").status_code == 403
    assert client.post("/api/token/confirm", **body(PASSWORD, client)).status_code == 204
    assert client.delete(f"/api/sessions/{row_of(other).pk}").status_code == 204


def body(password, client):
    json = {"format": "json"} if isinstance(client, APIClient) else {"content_type": "application/json"}
    return {"data": {"password": password}, **json}


def _age(client: Client, user: User, seconds: int = LONG_AGO) -> None:
    if not isinstance(client, APIClient):
        age(client, seconds)
        return
    session = SessionStore(sessions_of(user).get(is_program=True).session_id)
    session[CONFIRMED_AT] = int(time.time()) - seconds
    session.save()


def test_confirming_keeps_a_programs_tokens(user):
    client, pair = APIClient(), tokens.sign_in(user)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {pair['access']}")
    assert client.post("/api/token/confirm", {"password": PASSWORD}, format="json").status_code == 204
    assert client.get("/api/me").status_code == 200
    assert client.post("/api/token/refresh", {"refresh": pair["refresh"]}, format="json").status_code == 200


# The administration


@pytest.fixture
def tired(staff):
    """A member of staff with every right who signed in long ago."""
    client = signed_in(staff)
    age(client, LONG_AGO)
    return client


def changes(user):
    group = Group.objects.create(name="clerks")
    form = {"name": "Renamed", "email": user.email, "phone": str(user.phone), "language": "en", "is_active": "on"}
    new = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    created = {"name": "New", "email": "new@example.test", "phone": "", "language": "en", **new}
    deletes = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
    return {
        page_url(user): form,
        f"/admin/stepper/user/{user.pk}/password/": new,
        f"/admin/stepper/user/{user.pk}/delete/": {"post": "yes"},
        "/admin/stepper/user/add/": created,
        "/admin/stepper/user/": deletes,
        action_url(user, "end_sessions"): {},
        page_url(group): {"name": "Renamed"},
        "/admin/auth/group/add/": {"name": "Another"},
        f"/admin/auth/group/{group.pk}/delete/": {"post": "yes"},
        "/admin/stepper/servicesettings/1/change/": current_settings(security_log_kept_days=30),
    }


def test_staff_change_nobody_without_confirming(tired, user):
    ServiceSettings.objects.create(pk=1)
    before = User.objects.count(), User.objects.get(pk=user.pk).password
    for path, form in changes(user).items():
        answer = tired.post(path, form, headers={"referer": f"http://testserver{path}"})
        assert leads_to_form(answer, path), path
    user.refresh_from_db()
    assert (User.objects.count(), user.password) == before
    assert user.name != "Renamed"
    assert list(Group.objects.values_list("name", flat=True)) == ["clerks"]
    assert ServiceSettings.current().security_log_kept_days == 365


def test_staff_who_confirmed_change_what_they_may(tired, user):
    tired.post(CONFIRM, {"password": PASSWORD})
    path = page_url(user)
    assert leads_to_form(tired.post(path, changes(user)[path]), path) is False
    user.refresh_from_db()
    assert user.name == "Renamed"


def test_staff_read_without_confirming_and_are_shown_the_way(tired, user):
    page = tired.get(page_url(user))
    text = page.content.decode()
    assert page.status_code == 200
    assert user.email in text
    assert 'name="_save"' not in text
    assert f"{CONFIRM}?next=" in text
    assert tired.get("/admin/stepper/user/").status_code == 200


@pytest.mark.parametrize("form", ["add/", "{}/password/", "{}/delete/", "end_sessions"])
def test_form_that_only_changes_asks_first(tired, user, form):
    is_action = form == "end_sessions"
    path = action_url(user, form) if is_action else "/admin/stepper/user/" + form.format(user.pk)
    assert leads_to_form(tired.get(path), path)


def test_staff_who_only_look_are_not_asked(user):
    client = member_of_staff("stepper.view_user")
    age(client, LONG_AGO)
    assert CONFIRM not in client.get(page_url(user)).content.decode()


def test_staff_without_a_password_change_nobody(staff, user):
    client = unusable(staff)
    for path, form in changes(user).items():
        assert client.post(path, form, follow=True).status_code == 403, path
    user.refresh_from_db()
    assert user.name != "Renamed"


# What asks for the password by itself goes on doing so


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (
            "/accounts/password/change/",
            {"oldpassword": "", "password1": "a whole new battery", "password2": "a whole new battery"},
        ),
        ("/account/", {"email": "new@example.test", "proof": ""}),
    ],
)
def test_recent_sign_in_does_not_replace_the_password_where_it_is_asked_for(user, path, form):
    client = browser(user)
    client.post(path, form)
    stored = User.objects.get(pk=user.pk)
    assert (stored.password, stored.email) == (user.password, user.email)
    assert client.get("/trips/").status_code == 200


def test_confirm_checks_the_account_of_the_session(user):
    request = RequestFactory().post("/")
    with pytest.raises(confirmation.InvalidInput):
        confirmation.confirm(request, browser(user).session, user, "wrong")
