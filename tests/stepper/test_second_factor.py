"""Two-step sign-in: setting it up, recovery codes and switching it off, on the pages; and what staff get without it."""

import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from drivers import availability
from realtime.delivery.notifications import notify_staff
from realtime.models import Notification
from stepper.api import tokens
from stepper.errors import NotPermitted
from stepper.models import SecurityEvent, ServiceSettings, User
from tests.backoffice import action_url, member_of_staff, page_url, run_on_list, said, signed_in
from tests.factories import PASSWORD, DriverFactory, PassengerFactory, StaffFactory, TripFactory
from tests.factors import code_now, give_second_factor
from tests.stepper.test_confirmation import LONG_AGO, leads_to_form
from tests.stepper.test_sessions import age, browser, is_signed_in, program

pytestmark = pytest.mark.django_db

PAGE = "/accounts/two-step/"
SET_UP, RENEW, TURN_OFF = f"{PAGE}set-up/", f"{PAGE}recovery-codes/", f"{PAGE}turn-off/"


@pytest.fixture
def user() -> User:
    made: User = PassengerFactory(email="a@example.test")
    return made


def secret_on(client: Client) -> str:
    shown = re.search(r'data-testid="secret">([A-Z2-7 ]+)<', client.get(SET_UP).content.decode())
    assert shown is not None
    return shown[1].replace(" ", "")


def set_up(client: Client) -> tuple[str, list[str]]:
    """Set it up on the page; return the secret and the recovery codes shown."""
    secret = secret_on(client)
    response = client.post(SET_UP, {"code": code_now(secret)})
    assert response.status_code == 200
    return secret, codes_on(response)


def codes_on(response: Any) -> list[str]:
    return re.findall(r"<li><code>(\d{8})</code></li>", response.content.decode())


def has_it(user: User) -> bool:
    return Authenticator.objects.filter(user=user, type="totp").exists()


def events(user: User) -> list[str]:
    of_it = SecurityEvent.objects.filter(subject=user, event__regex="second_factor|recovery|sessions")
    return list(of_it.order_by("pk").values_list("event", flat=True))


def demand(demanded: bool = True) -> None:
    settings, _created = ServiceSettings.objects.get_or_create(pk=1)
    settings.staff_second_factor = demanded
    settings.save()


# Setting it up


def test_page_sets_it_up_and_shows_recovery_codes_once(user):
    client = browser(user)
    assert 'href="/accounts/two-step/"' in client.get("/account/").content.decode()
    assert f'href="{SET_UP}"' in client.get(PAGE).content.decode()
    _secret, codes = set_up(client)
    assert len(set(codes)) == 10
    page = client.get(PAGE).content.decode()
    assert "10 are left" in page
    assert not [code for code in codes if code in page]
    assert events(user) == ["second_factor.set_up", "sessions.ended"]


def test_secret_is_offered_as_a_picture_and_as_text_and_stored_by_nobody(user):
    client = browser(user)
    response = client.get(SET_UP)
    text = response.content.decode()
    assert "no-store" in response["Cache-Control"]
    assert 'src="data:image/svg+xml;base64,' in text
    # The same when the page is loaded again: what was scanned stays right.
    assert secret_on(client) == secret_on(client)
    assert secret_on(client) not in str(dict(client.session))
    assert not has_it(user)


def test_another_session_is_offered_another_secret(user):
    assert secret_on(browser(user)) != secret_on(browser(user))


@pytest.mark.parametrize("code", ["000000", "", "abc", "1" * 30])
def test_wrong_code_switches_nothing_on_and_keeps_the_secret(user, code, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_800_000_000)  # whose code is not 000000
    client = browser(user)
    secret = secret_on(client)
    response = client.post(SET_UP, {"code": code})
    assert response.status_code == 422
    assert secret in response.content.decode().replace(" ", "")
    assert not has_it(user)


def test_code_without_an_offer_switches_nothing_on(user):
    assert browser(user).post(SET_UP, {"code": code_now()}).status_code == 422
    assert not has_it(user)


def test_code_that_set_it_up_does_not_sign_in(user):
    secret = secret_on(client := browser(user))
    code = code_now(secret)
    client.post(SET_UP, {"code": code})
    body = {"email": user.email, "password": PASSWORD, "code": code}
    assert Client().post("/api/token", body, content_type="application/json").json()["code"] == "auth.code_invalid"


def test_setting_up_ends_all_other_sessions_and_keeps_this_one(user):
    """So that every session of an account with a second factor has seen it."""
    here, elsewhere, courier = browser(user), browser(user), program(user)
    set_up(here)
    assert [is_signed_in(client) for client in (here, elsewhere, courier)] == [True, False, False]


def test_setting_up_twice_leads_to_how_it_is(user):
    client = browser(user)
    secret, _codes = set_up(client)
    for response in (client.get(SET_UP), client.post(SET_UP, {"code": code_now(secret, 1)})):
        assert response["Location"] == PAGE
        assert said(response)[-1] == "info: An authenticator app is set up already."
    assert Authenticator.objects.filter(user=user).count() == 2


def test_tries_to_set_up_are_limited(user):
    ServiceSettings.objects.update_or_create(pk=1, defaults={"changes_per_min": 2})
    client = browser(user)
    secret = secret_on(client)
    for _attempt in range(2):
        client.post(SET_UP, {"code": "1"})
    response = client.post(SET_UP, {"code": code_now(secret)})
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert not has_it(user)


# Recovery codes, switching it off


def test_new_recovery_codes_end_the_old_ones(user):
    client = browser(user)
    _secret, old = set_up(client)
    response = client.post(RENEW)
    assert "no-store" in response["Cache-Control"]
    new = codes_on(response)
    assert len(set(new)) == 10
    assert not set(old) & set(new)
    body = {"email": user.email, "password": PASSWORD}
    assert APIClient().post("/api/token", body | {"code": old[0]}, format="json").status_code == 401
    assert APIClient().post("/api/token", body | {"code": new[0]}, format="json").status_code == 200
    assert "recovery_codes.renewed" in events(user)


def test_codes_can_be_saved_as_a_file(user):
    client = browser(user)
    set_up(client)
    response = client.post(RENEW)
    assert "%0D%0A".join(codes_on(response)) in response.content.decode()


def test_switching_off_ends_all_other_sessions_and_asks_for_no_code_again(user):
    here = browser(user)
    set_up(here)
    elsewhere = browser(user)
    assert here.post(TURN_OFF)["Location"] == PAGE
    assert [is_signed_in(client) for client in (here, elsewhere)] == [True, False]
    assert not Authenticator.objects.filter(user=user).exists()
    assert events(user)[-2:] == ["second_factor.removed", "sessions.ended"]
    signing_in = Client().post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    assert signing_in["Location"] == "/"


@pytest.mark.parametrize("path", [RENEW, TURN_OFF])
def test_there_is_nothing_to_change_without_it(user, path):
    response = browser(user).post(path)
    assert response["Location"] == PAGE
    assert said(response) == ["info: Two-step sign-in is off."]
    assert not Authenticator.objects.exists()


@pytest.mark.parametrize("path", [PAGE, SET_UP, RENEW, TURN_OFF])
def test_strangers_are_sent_to_sign_in(path):
    client = Client()
    answers = [answer for answer in (client.get(path), client.post(path)) if answer.status_code != 405]
    assert {answer["Location"].partition("?")[0] for answer in answers} == {"/accounts/login/"}


# Confirming


@pytest.mark.parametrize(("path", "verb"), [(SET_UP, "get"), (SET_UP, "post"), (RENEW, "post"), (TURN_OFF, "post")])
def test_each_needs_the_password_once_more(user, path, verb):
    if path != SET_UP:
        give_second_factor(user)
    client = browser(user)
    age(client, LONG_AGO)
    before = list(Authenticator.objects.values("pk", "data"))
    back = SET_UP if verb == "get" else PAGE
    data = {"code": "123456"} if verb == "post" else {}
    response = getattr(client, verb)(path, data, headers={"referer": f"http://testserver{PAGE}"})
    assert leads_to_form(response, back)
    assert list(Authenticator.objects.values("pk", "data")) == before


def test_confirming_asks_for_the_code_too_where_there_is_one(user):
    give_second_factor(user)
    client = browser(user)
    age(client, LONG_AGO)
    confirm = "/accounts/confirm/"
    assert 'name="code"' in client.get(confirm).content.decode()
    for code, message in (("", "Enter the code"), ("abc", "This code is wrong")):
        response = client.post(confirm, {"password": PASSWORD, "code": code})
        assert response.status_code == 400
        assert message in str(response.context["form"].errors["code"])
    assert leads_to_form(client.post(TURN_OFF, headers={"referer": f"http://testserver{PAGE}"}), PAGE)
    assert client.post(confirm, {"password": PASSWORD, "code": code_now(), "next": PAGE})["Location"] == PAGE
    assert client.post(TURN_OFF)["Location"] == PAGE
    assert not has_it(user)


def test_confirming_asks_for_no_code_where_there_is_none(user):
    client = browser(user)
    assert 'name="code"' not in client.get("/accounts/confirm/").content.decode()


def test_program_confirms_with_the_code(user):
    give_second_factor(user)
    client = program(user)
    path = "/api/token/confirm"
    missing, wrong = (client.post(path, {"password": PASSWORD} | more, format="json") for more in ({}, {"code": "abc"}))
    assert (missing.status_code, missing.json()["code"]) == (400, "auth.code_required")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "auth.code_invalid")
    assert client.post(path, {"password": PASSWORD, "code": code_now()}, format="json").status_code == 204


def test_wrong_codes_of_a_confirmation_are_counted_like_sign_ins(user, settings):
    settings.SIGN_IN_FAILURES_PER_ACCOUNT = 1
    give_second_factor(user)
    client = browser(user)
    client.post("/accounts/confirm/", {"password": PASSWORD, "code": "abc"})
    response = client.post("/accounts/confirm/", {"password": PASSWORD, "code": code_now()})
    assert response.status_code == 429


# What is demanded of staff


@pytest.fixture
def staff() -> User:
    made: User = StaffFactory(email="staff@example.test")
    return made


def test_nothing_is_demanded_unless_it_is_switched_on(staff):
    assert not ServiceSettings.current().staff_second_factor
    assert signed_in(staff).get("/admin/").status_code == 200


def test_staff_without_it_are_led_from_the_administration_to_setting_it_up(staff):
    client = signed_in(staff)
    assert client.get("/admin/").status_code == 200
    demand()
    response = client.get("/admin/stepper/user/", follow=True)
    assert response.redirect_chain[-1][0] == PAGE
    assert "Set it up, then the administration opens." in response.content.decode()
    set_up(client)
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/admin/", "/admin/stepper/user/add/", "/admin/password_change/", "/admin/jsi18n/", "/admin/autocomplete/"],
)
def test_no_page_of_the_administration_opens_without_it(staff, path):
    demand()
    client = signed_in(staff)
    assert {client.get(path).status_code, client.post(path).status_code} == {302}


def test_staff_with_it_notice_nothing(staff):
    give_second_factor(staff)
    demand()
    client = signed_in(staff)
    assert client.get("/admin/").status_code == 200
    assert User.objects.get(pk=staff.pk).may_see_trips


def test_recovery_codes_alone_do_not_meet_it(staff):
    give_second_factor(staff)
    Authenticator.objects.filter(type="totp").delete()
    demand()
    assert not User.objects.get(pk=staff.pk).may_act_as_staff


@pytest.mark.parametrize("superuser", [True, False])
def test_no_right_of_staff_counts_without_it(superuser):
    made = StaffFactory(is_superuser=superuser)
    made.user_permissions.set(Permission.objects.filter(codename__in=["view_trip", "change_trip"]))

    def rights() -> list[bool]:
        user = User.objects.get(pk=made.pk)
        return [
            user.may_act_as_staff,
            user.may_see_trips,
            user.may_steer_trips,
            user.has_perm("trips.view_trip"),
            user.has_perms(["trips.view_trip"]),
            user.has_module_perms("trips"),
        ]

    assert all(rights())
    demand()
    assert not any(rights())
    give_second_factor(made)
    assert all(rights())
    Authenticator.objects.filter(type="totp").delete()
    assert not any(rights())
    demand(demanded=False)
    assert all(rights())


@pytest.mark.parametrize("kind", ["token", "cookie"])
def test_rest_shows_staff_without_it_no_trips_of_others(staff, kind):
    trip = TripFactory()
    client = APIClient()
    if kind == "token":
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.sign_in(staff)['access']}")
    else:
        client.force_login(staff)
    path = f"/api/trips/{trip.pk}"
    assert client.get(path).status_code == 200
    demand()
    assert client.get(path).status_code == 404
    assert client.post(f"{path}/cancel", {"reason": "other"}, format="json").status_code == 404
    # What is theirs as a passenger goes on.
    assert client.get("/api/me").status_code == 200


def test_pages_show_staff_without_it_no_trips_of_others(staff):
    trip = TripFactory()
    client = signed_in(staff)
    assert client.get(f"/trips/{trip.pk}/").status_code == 200
    demand()
    assert client.get(f"/trips/{trip.pk}/").status_code == 404


def test_staff_without_it_take_no_driver_offline(staff):
    driver = DriverFactory(at=(43.2, 76.8))
    demand()
    with pytest.raises(NotPermitted):
        availability.take_offline(driver.pk, User.objects.get(pk=staff.pk))


def test_staff_without_it_are_told_nothing_new(staff):
    having = StaffFactory()
    give_second_factor(having)
    demand()
    notify_staff("trips.change_trip", lambda: ("Title", "Message"), "/admin/")
    assert list(Notification.objects.values_list("user_id", flat=True)) == [having.pk]


def test_passengers_and_drivers_are_not_asked(user):
    demand()
    assert signed_in(user).get("/trips/").status_code == 200
    assert signed_in(DriverFactory().user).get("/driver/").status_code == 200


def test_rights_cost_people_nothing_and_staff_one_query(user, staff, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert not user.may_see_trips
        assert not user.lacks_second_factor
    with django_assert_num_queries(1):
        assert staff.may_see_trips
        assert staff.may_act_as_staff
        assert staff.has_perm("trips.change_trip")


# Switching the demand on


def settings_form(client: Client, **changes: Any) -> Any:
    row, _created = ServiceSettings.objects.get_or_create(pk=1)
    page = client.get(page_url(row))
    form = page.context["adminform"].form
    data = {name: form.initial[name] for name in form.fields if form.initial.get(name) is not None}
    data.pop("staff_second_factor", None)
    return client.post(page_url(row), data | changes)


def is_demanded() -> bool:
    return ServiceSettings.current().staff_second_factor


def test_demand_is_switched_on_by_a_superuser_who_has_it(staff):
    client = signed_in(staff)
    refused = settings_form(client, staff_second_factor="on")
    assert "Set up two-step sign-in for yourself first" in refused.content.decode()
    assert not is_demanded()
    give_second_factor(staff)
    assert settings_form(client, staff_second_factor="on").status_code == 302
    assert is_demanded()
    assert SecurityEvent.objects.filter(details__contains="staff_second_factor: False → True").exists()
    assert settings_form(client).status_code == 302
    assert not is_demanded()


def test_demand_cannot_be_switched_without_being_a_superuser():
    client = member_of_staff("stepper.view_servicesettings", "stepper.change_servicesettings")
    give_second_factor(User.objects.get(is_staff=True))
    settings_form(client, staff_second_factor="on")
    assert not is_demanded()
    demand()
    assert settings_form(client).status_code == 302
    assert is_demanded()


def test_switching_the_demand_needs_a_recent_confirmation(staff):
    give_second_factor(staff)
    client = signed_in(staff)
    age(client, LONG_AGO)
    response = settings_form(client, staff_second_factor="on")
    assert response["Location"].startswith("/accounts/confirm/")
    assert not is_demanded()


def test_superusers_are_reminded_while_nothing_is_demanded(staff):
    reminder = "Staff need no two-step sign-in"
    assert reminder in signed_in(staff).get("/admin/").content.decode()
    assert reminder not in member_of_staff("trips.view_trip").get("/admin/").content.decode()
    give_second_factor(staff)
    demand()
    assert reminder not in signed_in(staff).get("/admin/").content.decode()


# A lost phone


def test_superuser_removes_a_colleagues(staff):
    colleague = StaffFactory(is_superuser=False)
    give_second_factor(colleague)
    theirs = browser(colleague)
    client = signed_in(staff)
    run_on = action_url(colleague, "remove_second_factor")
    assert "proved to you who they are" in client.get(run_on).content.decode()
    assert said(client.post(run_on)) == ["success: 1 without two-step sign-in"]
    assert not Authenticator.objects.filter(user=colleague).exists()
    assert not is_signed_in(theirs)
    assert SecurityEvent.objects.filter(event="second_factor.removed", subject=colleague, actor=staff).exists()
    assert said(client.post(run_on))[1:] == ["error: 1 refused: Asem Staff: Two-step sign-in is off."]


def test_removing_is_offered_for_those_who_have_it(staff, user):
    client, action = signed_in(staff), action_url(user, "remove_second_factor")
    assert action not in client.get(page_url(user)).content.decode()
    give_second_factor(user)
    assert action in client.get(page_url(user)).content.decode()


def test_staff_remove_no_colleagues(staff):
    give_second_factor(staff)
    client = member_of_staff("stepper.view_user", "stepper.change_user")
    client.post(action_url(staff, "remove_second_factor"))
    assert has_it(staff)


def test_removing_needs_a_recent_confirmation(staff, user):
    give_second_factor(user)
    client = signed_in(staff)
    age(client, LONG_AGO)
    assert client.post(action_url(user, "remove_second_factor"))["Location"].startswith("/accounts/confirm/")
    assert has_it(user)


def test_it_is_not_removed_from_a_list(staff, user):
    give_second_factor(user)
    run_on_list(signed_in(staff), "remove_second_factor", [user])
    assert has_it(user)


@pytest.mark.parametrize("login", ["A@example.test", "8 702 999 00 11"])
def test_command_removes_it(login, capsys):
    user = PassengerFactory(email="a@example.test", phone="+77029990011")
    give_second_factor(user)
    client = browser(user)
    call_command("remove_second_factor", login)
    assert "signs in with the password alone now" in capsys.readouterr().out
    assert not has_it(user)
    assert not is_signed_in(client)
    assert events(user)[-2:] == ["second_factor.removed", "sessions.ended"]
    with pytest.raises(CommandError, match="is off"):
        call_command("remove_second_factor", login)


@pytest.mark.parametrize("login", ["b@example.test", "+77010000000", "nobody"])
def test_command_says_that_there_is_no_such_account(login):
    with pytest.raises(CommandError, match="There is no account"):
        call_command("remove_second_factor", login)


def test_deleted_account_leaves_no_event_of_its_own(user):
    give_second_factor(user)
    user.delete()
    assert not SecurityEvent.objects.filter(event="second_factor.removed").exists()


def test_secrets_have_no_page_in_the_administration(staff):
    assert signed_in(staff).get("/admin/mfa/authenticator/").status_code == 404
