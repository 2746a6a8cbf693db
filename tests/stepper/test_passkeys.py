"""Passkeys: adding, naming and removing them, signing in and confirming with them, and what they count for."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import call_command
from django.test import Client
from fido2.utils import websafe_decode, websafe_encode

from realtime import groups
from stepper.accounts import erasing, second_factor
from stepper.api import tokens
from stepper.mail import sending
from stepper.models import SecurityEvent, ServiceSettings, User
from stepper.personal.export import Person, write
from tests.backoffice import action_url, said, signed_in
from tests.factories import PASSWORD, PassengerFactory, StaffFactory, TripFactory
from tests.factors import code_now, give_second_factor
from tests.passkeys import PRESENT, SoftKey, give_passkey, request_on
from tests.stepper.test_confirmation import LONG_AGO, leads_to_form
from tests.stepper.test_sessions import age, browser, is_signed_in, program

pytestmark = pytest.mark.django_db

PAGE = "/accounts/two-step/"
LIST, ADD, SET_UP = f"{PAGE}passkeys/", f"{PAGE}passkeys/add/", f"{PAGE}set-up/"
TURN_OFF, REMOVE_APP = f"{PAGE}turn-off/", f"{PAGE}app/remove/"
LOGIN, CODE, CONFIRM = "/accounts/login/", "/accounts/login/second-step/", "/accounts/confirm/"


@pytest.fixture(autouse=True)
def _https(settings: Any) -> None:
    settings.MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]


@pytest.fixture
def user() -> User:
    made: User = PassengerFactory(email="a@example.test")
    return made


def passkeys_of(user: User) -> list[Authenticator]:
    return list(Authenticator.objects.filter(user=user, type="webauthn").order_by("pk"))


def types_of(user: User) -> set[str]:
    return set(Authenticator.objects.filter(user=user).values_list("type", flat=True))


def events(user: User) -> list[tuple[str, str]]:
    of_it = SecurityEvent.objects.filter(subject=user, event__regex="passkey|second_factor|recovery|sessions")
    return list(of_it.order_by("pk").values_list("event", "details"))


def add(client: Client, key: SoftKey | None = None, name: str = "Phone", **changes: Any) -> Any:
    """Add a passkey on the page."""
    answer = (key or SoftKey()).register(request_on(client.get(ADD))) | changes
    return client.post(ADD, {"name": name, "passkey": json.dumps(answer)})


def codes_on(response: Any) -> list[str]:
    return re.findall(r"<li><code>(\d{8})</code></li>", response.content.decode())


def path_of(row: Authenticator, more: str = "") -> str:
    return f"{LIST}{row.pk}/{more}"


def after_password(user: User) -> Client:
    """A browser in which the password was entered, and nothing more."""
    client = Client()
    response = client.post(LOGIN, {"login": user.email, "password": PASSWORD})
    assert response["Location"] == CODE
    return client


def use(client: Client, key: SoftKey, path: str = CODE, **more: Any) -> Any:
    """Use a passkey on a page that asks for a second step."""
    answer = key.sign(request_on(client.get(path)))
    return client.post(path, {"passkey": json.dumps(answer)} | more)


def demand() -> None:
    ServiceSettings.objects.update_or_create(pk=1, defaults={"staff_second_factor": True})


# Adding


def test_first_passkey_switches_two_steps_on_and_shows_recovery_codes(user):
    here, elsewhere, courier = browser(user), browser(user), program(user)
    assert f'href="{ADD}"' in here.get(PAGE).content.decode()
    response = add(here)
    assert len(set(codes_on(response))) == 10
    assert [row.data["name"] for row in passkeys_of(user)] == ["Phone"]
    assert [is_signed_in(client) for client in (here, elsewhere, courier)] == [True, False, False]
    assert events(user) == [("passkey.added", ""), ("sessions.ended", "")]
    assert "Phone" in here.get(LIST).content.decode()


def test_further_passkey_leaves_recovery_codes_and_sessions(user):
    here = browser(user)
    add(here)
    user.refresh_from_db()
    elsewhere = browser(user)
    before = Authenticator.objects.get(user=user, type="recovery_codes").data
    response = add(here, name="")
    assert response["Location"] == PAGE
    assert said(response) == ["success: The passkey is added."]
    assert Authenticator.objects.get(user=user, type="recovery_codes").data == before
    assert is_signed_in(elsewhere)
    assert [row.data["name"] for row in passkeys_of(user)] == ["Phone", "Passkey 2"]


def test_app_is_added_beside_a_passkey(user):
    client = browser(user)
    add(client)
    shown = re.search(r'data-testid="secret">([A-Z2-7 ]+)<', client.get(SET_UP).content.decode())
    assert shown is not None
    response = client.post(SET_UP, {"code": code_now(shown[1].replace(" ", ""))})
    assert response["Location"] == PAGE
    assert types_of(user) == {"totp", "webauthn", "recovery_codes"}


def test_only_what_is_needed_of_the_answer_is_stored(user):
    add(browser(user), authenticatorAttachment="platform", anything="x" * 5000)
    stored = passkeys_of(user)[0].data["credential"]
    assert set(stored) == {"id", "rawId", "type", "response"}
    assert set(stored["response"]) == {"clientDataJSON", "attestationObject"}


def test_answer_is_stored_as_it_was_read(user):
    """Decoding base64 passes over other characters, one of which PostgreSQL refuses in JSON."""
    client, key = browser(user), SoftKey()
    answer = key.register(request_on(client.get(ADD)))
    answer["id"] = answer["rawId"] = answer["rawId"] + "\0"
    answer["response"]["clientDataJSON"] += "\0\0\0\0"
    client.post(ADD, {"name": "Phone", "passkey": json.dumps(answer)})
    assert "\\u0000" not in json.dumps([row.data for row in passkeys_of(user)])


def test_passkey_of_the_device_is_not_made_twice(user):
    client = browser(user)
    add(client, key := SoftKey())
    excluded = request_on(client.get(ADD))["publicKey"]["excludeCredentials"]
    assert [websafe_decode(one["id"]) for one in excluded] == [key.id]


def another_challenge(key: SoftKey, request: dict[str, Any]) -> dict[str, Any]:
    return key.register({"publicKey": {"challenge": websafe_encode(bytes(32))}})


def another_host(key: SoftKey, request: dict[str, Any]) -> dict[str, Any]:
    key.origin = "https://testserver.example"
    return key.register(request)


def not_secure(key: SoftKey, request: dict[str, Any]) -> dict[str, Any]:
    key.origin = "http://testserver"
    return key.register(request)


def an_assertion(key: SoftKey, request: dict[str, Any]) -> dict[str, Any]:
    return key.sign(request)


wrong_answers = [another_challenge, another_host, not_secure, an_assertion]


@pytest.mark.parametrize("make", wrong_answers)
def test_answer_that_is_not_to_the_offer_adds_nothing(user, make):
    client = browser(user)
    answer = make(SoftKey(), request_on(client.get(ADD)))
    response = client.post(ADD, {"name": "x", "passkey": json.dumps(answer)})
    assert response.status_code == 422
    assert "The passkey could not be added. Try again." in response.content.decode()
    assert not types_of(user)


def test_offer_is_answered_once_and_in_its_session_only(user):
    first, second = browser(user), browser(user)
    answer = json.dumps(SoftKey().register(request_on(first.get(ADD))))
    assert second.post(ADD, {"passkey": answer}).status_code == 422
    assert first.post(ADD, {"passkey": answer}).status_code == 200
    assert first.post(ADD, {"passkey": answer}).status_code == 422
    assert len(passkeys_of(user)) == 1


NONSENSE = ["", "1", "[]", "{}", "null", "{", '{"rawId": 1}', '{"rawId": "é", "response": {}}', "[" * 9000]


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_refused(user, text):
    key = give_passkey(user)
    waiting, client = after_password(user), browser(user)
    waiting.get(CODE)
    client.get(ADD)
    assert client.post(ADD, {"passkey": text}).status_code == 422
    assert waiting.post(CODE, {"passkey": text}).status_code == 422
    assert not is_signed_in(waiting)
    assert use(waiting, key)["Location"] == "/"


@pytest.mark.parametrize("part", ["clientDataJSON", "attestationObject"])
@pytest.mark.parametrize("value", ["", "AAAA", websafe_encode(b"\x81" * 5000), websafe_encode(b"{}"), 5, None])
def test_broken_answer_is_refused(user, part, value):
    client = browser(user)
    answer = SoftKey().register(request_on(client.get(ADD)))
    answer["response"][part] = value
    assert client.post(ADD, {"passkey": json.dumps(answer)}).status_code == 422
    assert not types_of(user)


def test_passkeys_are_limited(user, monkeypatch):
    monkeypatch.setattr("stepper.accounts.passkeys.MOST", 1)
    client = browser(user)
    add(client)
    assert said(client.get(ADD)) == ["info: You have as many passkeys as can be kept. Remove one first."]
    assert "Remove one first" in client.get(LIST).content.decode()


def test_tries_to_add_are_limited(user):
    ServiceSettings.objects.update_or_create(pk=1, defaults={"changes_per_min": 1})
    client = browser(user)
    client.post(ADD, {"passkey": "{}"})
    response = add(client)
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert not types_of(user)


# Naming and removing


def test_passkey_is_renamed(user):
    give_passkey(user)
    row, client = passkeys_of(user)[0], browser(user)
    assert 'value="Phone"' in client.get(path_of(row)).content.decode()
    assert client.post(path_of(row), {"name": "  Work\u200b  laptop "})["Location"] == LIST
    assert passkeys_of(user)[0].data["name"] == "Work laptop"
    assert client.post(path_of(row), {"name": "\u200b"}).status_code == 422
    assert passkeys_of(user)[0].data["name"] == "Work laptop"


def test_removing_one_of_two_ends_other_sessions_and_keeps_two_steps(user):
    give_passkey(user)
    give_passkey(user, "Laptop")
    here, elsewhere = browser(user), browser(user)
    response = here.post(path_of(passkeys_of(user)[0], "remove/"))
    assert response["Location"] == LIST
    assert [row.data["name"] for row in passkeys_of(user)] == ["Laptop"]
    assert [is_signed_in(client) for client in (here, elsewhere)] == [True, False]
    assert events(user)[-2:] == [("passkey.removed", "others are left"), ("sessions.ended", "")]


def test_removing_the_last_switches_two_steps_off(user):
    client = browser(user)
    add(client)
    row = passkeys_of(user)[0]
    assert "It is your only second step" in client.get(path_of(row)).content.decode()
    response = client.post(path_of(row, "remove/"))
    assert response["Location"] == PAGE
    assert said(response)[-1] == "success: Two-step sign-in is off. You were signed out everywhere else."
    assert not types_of(user)
    assert events(user)[-2:] == [("passkey.removed", ""), ("sessions.ended", "")]


def test_removing_beside_the_app_leaves_the_app(user):
    give_second_factor(user)
    give_passkey(user)
    browser(user).post(path_of(passkeys_of(user)[0], "remove/"))
    assert types_of(user) == {"totp", "recovery_codes"}


@pytest.mark.parametrize("more", ["", "remove/"])
def test_passkeys_of_others_are_not_found(user, more):
    give_passkey(other := PassengerFactory())
    row, client = passkeys_of(other)[0], browser(user)
    response = client.post(path_of(row, more), {"name": "Mine"})
    assert said(response) == ["info: This passkey was removed."]
    assert passkeys_of(other)[0].data["name"] == "Phone"


def test_switching_off_removes_passkeys_too(user):
    give_second_factor(user)
    give_passkey(user)
    assert browser(user).post(TURN_OFF)["Location"] == PAGE
    assert not types_of(user)


def test_app_is_removed_beside_a_passkey_only(user):
    give_second_factor(user)
    here, elsewhere = browser(user), browser(user)
    assert said(here.post(REMOVE_APP)) == ["info: You have no passkey. Switch two-step sign-in off instead."]
    assert types_of(user) == {"totp", "recovery_codes"}
    give_passkey(user)
    here.post(REMOVE_APP)
    assert types_of(user) == {"webauthn", "recovery_codes"}
    assert [is_signed_in(client) for client in (here, elsewhere)] == [True, False]
    assert events(user)[-2:] == [("second_factor.removed", "others are left"), ("sessions.ended", "")]
    assert said(here.post(REMOVE_APP))[-1] == "info: No authenticator app is set up."


@pytest.mark.parametrize("what", ["add", "post", "rename", "remove", "app"])
def test_each_needs_a_recent_confirmation(user, what):
    give_second_factor(user)
    give_passkey(user)
    row, client = passkeys_of(user)[0], browser(user)
    age(client, LONG_AGO)
    before = list(Authenticator.objects.values("pk", "data"))
    path = {"add": ADD, "post": ADD, "rename": path_of(row), "remove": path_of(row, "remove/"), "app": REMOVE_APP}[what]
    send, data = (client.get, {}) if what == "add" else (client.post, {"name": "x", "passkey": "{}"})
    response = send(path, data, headers={"referer": f"http://testserver{LIST}"})
    assert leads_to_form(response, ADD if what == "add" else LIST)
    assert list(Authenticator.objects.values("pk", "data")) == before


@pytest.mark.parametrize("path", [LIST, ADD, f"{LIST}1/", f"{LIST}1/remove/", REMOVE_APP])
def test_strangers_are_sent_to_sign_in(path):
    answers = [answer for answer in (Client().get(path), Client().post(path)) if answer.status_code != 405]
    assert {answer["Location"].partition("?")[0] for answer in answers} == {LOGIN}


# Signing in


def test_passkey_signs_in_after_the_password(user):
    key = give_passkey(user)
    client = after_password(user)
    assert not is_signed_in(client)
    assert use(client, key)["Location"] == "/"
    assert is_signed_in(client)
    assert passkeys_of(user)[0].last_used_at is not None


def test_passkey_page_asks_for_those_of_the_account_and_offers_a_recovery_code(user):
    key = give_passkey(user)
    give_passkey(PassengerFactory())
    response = after_password(user).get(CODE)
    assert [websafe_decode(one["id"]) for one in request_on(response)["publicKey"]["allowCredentials"]] == [key.id]
    assert "Recovery code" in response.content.decode()
    assert "no-store" in response["Cache-Control"]


def test_page_may_use_passkeys(user):
    give_passkey(user)
    assert "publickey-credentials-get=(self)" in after_password(user).get(CODE)["Permissions-Policy"]


def test_sign_in_with_the_app_alone_asks_for_no_passkey(user):
    give_second_factor(user)
    assert "data-passkey=" not in after_password(user).get(CODE).content.decode()


def test_code_signs_in_beside_a_passkey(user):
    give_second_factor(user)
    give_passkey(user)
    assert after_password(user).post(CODE, {"code": code_now()})["Location"] == "/"


def test_recovery_code_stands_in_for_a_passkey_once(user):
    codes = codes_on(add(browser(user)))
    assert after_password(user).post(CODE, {"code": codes[0]})["Location"] == "/"
    assert after_password(user).post(CODE, {"code": codes[0]}).status_code == 422


def test_answer_signs_in_once_and_in_its_session_only(user):
    key = give_passkey(user)
    first, second = after_password(user), after_password(user)
    answer = json.dumps(key.sign(request_on(first.get(CODE))))
    second.get(CODE)
    assert second.post(CODE, {"passkey": answer}).status_code == 422
    assert first.post(CODE, {"passkey": answer})["Location"] == "/"
    first.post("/accounts/logout/")
    first.post(LOGIN, {"login": user.email, "password": PASSWORD})
    assert first.post(CODE, {"passkey": answer}).status_code == 422


@pytest.mark.parametrize(
    "fault", ["origin", "subdomain", "port", "host", "key", "other account", "signature", "not present"]
)
def test_wrong_passkey_is_refused(user, fault):
    key = give_passkey(user)
    client = after_password(user)
    request = request_on(client.get(CODE))
    if fault == "origin":
        key.origin = "https://testserver.example"
    elif fault == "subdomain":
        key.origin = "https://pages.testserver"
    elif fault == "port":
        key.origin = "https://testserver:8443"
    elif fault == "host":
        key.host = "example.test"
    elif fault == "key":
        key.key = SoftKey().key
    elif fault == "other account":
        key = give_passkey(PassengerFactory())
    answer = key.sign(request, flags=0 if fault == "not present" else PRESENT)
    if fault == "signature":
        answer["response"]["signature"] = websafe_encode(b"nonsense")
    response = client.post(CODE, {"passkey": json.dumps(answer)})
    assert response.status_code == 422
    assert "The passkey was not accepted." in response.content.decode()
    assert not is_signed_in(client)


def test_refused_passkeys_are_counted_like_wrong_codes(user, settings):
    settings.SIGN_IN_FAILURES_PER_ACCOUNT = 1
    key = give_passkey(user)
    client = after_password(user)
    client.post(CODE, {"passkey": "{}"})
    response = use(client, key)
    assert (response.status_code, is_signed_in(client)) == (429, False)
    assert int(response["Retry-After"]) > 0
    assert SecurityEvent.objects.filter(subject=user, event="sign_in.locked").exists()


def test_passkey_alone_does_not_sign_in(user):
    key = give_passkey(user)
    answer = key.sign(request_on(after_password(user).get(CODE)))
    client = Client()
    assert client.post(CODE, {"passkey": json.dumps(answer)})["Location"] == LOGIN
    assert client.get("/accounts/2fa/webauthn/login/").status_code == 404


def test_token_of_an_account_with_passkeys_needs_a_recovery_code(user):
    codes = codes_on(add(browser(user)))
    body = {"email": user.email, "password": PASSWORD}
    send: dict[str, Any] = {"content_type": "application/json"}
    assert Client().post("/api/token", body, **send).json()["code"] == "auth.code_required"
    assert Client().post("/api/token", body | {"code": "12345678"}, **send).json()["code"] == "auth.code_invalid"
    assert Client().post("/api/token", body | {"code": codes[0]}, **send).status_code == 200


# Confirming


def test_confirming_takes_a_passkey_with_the_password(user):
    key = give_passkey(user)
    client = browser(user)
    age(client, LONG_AGO)
    assert use(client, key, CONFIRM, password="wrong").status_code == 400
    assert client.post(CONFIRM, {"password": PASSWORD}).status_code == 400
    assert leads_to_form(client.get(ADD), ADD)
    assert use(client, key, CONFIRM, password=PASSWORD, next=ADD)["Location"] == ADD
    assert client.get(ADD).status_code == 200


def test_confirming_refuses_a_wrong_passkey(user):
    give_passkey(user)
    client = browser(user)
    age(client, LONG_AGO)
    response = use(client, SoftKey(), CONFIRM, password=PASSWORD)
    assert response.status_code == 400
    assert "The passkey was not accepted." in response.content.decode()
    assert leads_to_form(client.get(ADD), ADD)


# Staff


@pytest.fixture
def staff() -> User:
    made: User = StaffFactory(email="staff@example.test")
    return made


@pytest.mark.parametrize("kind", ["passkey", "app"])
def test_passkey_meets_the_demand_as_the_app_does(staff, kind):
    demand()
    assert not User.objects.get(pk=staff.pk).may_act_as_staff
    give_passkey(staff) if kind == "passkey" else give_second_factor(staff)
    found = User.objects.get(pk=staff.pk)
    assert (found.may_act_as_staff, found.may_see_trips, found.lacks_second_factor) == (True, True, False)
    client = signed_in(staff)
    assert [client.get(path).status_code for path in ("/admin/", "/ops/")] == [200, 200]


def test_token_of_staff_with_a_passkey_has_their_rights(staff):
    give_passkey(staff)
    demand()
    trip = TripFactory()
    bearer = {"Authorization": f"Bearer {tokens.sign_in(staff)['access']}"}
    assert Client().get(f"/api/trips/{trip.pk}", headers=bearer).status_code == 200
    Authenticator.objects.filter(user=staff).delete()
    assert Client().get(f"/api/trips/{trip.pk}", headers=bearer).status_code == 404


def test_staff_who_remove_the_last_factor_lose_their_rights(staff):
    give_passkey(staff)
    demand()
    client, row = signed_in(staff), passkeys_of(staff)[0]
    assert "no rights of staff until" in client.get(path_of(row)).content.decode()
    client.post(path_of(row, "remove/"))
    for path in ("/admin/", "/ops/"):
        assert client.get(path, follow=True).redirect_chain[-1][0] == PAGE


def test_passkeys_refresh_the_permissions_of_open_sockets(staff, monkeypatch):
    refreshed: list[str] = []
    monkeypatch.setattr("realtime.permissions.refresh_permissions", lambda *names: refreshed.extend(names))
    give_passkey(staff)
    assert refreshed == [groups.user(staff.pk)]
    Authenticator.objects.filter(user=staff).delete()
    assert refreshed == [groups.user(staff.pk)] * 2


def test_demand_is_switched_on_by_who_has_a_passkey(staff):
    give_passkey(staff)
    second_factor.require_own_to_demand(staff)


def test_command_removes_passkeys(user):
    give_passkey(user)
    client = browser(user)
    call_command("remove_second_factor", user.email, verbosity=0)
    assert not types_of(user)
    assert not is_signed_in(client)
    assert events(user)[-2:] == [("passkey.removed", ""), ("sessions.ended", "")]


def test_staff_remove_passkeys_of_others(staff, user):
    give_passkey(user)
    client, action = signed_in(staff), action_url(user, "remove_second_factor")
    assert action in client.get(f"/admin/stepper/user/{user.pk}/change/").content.decode()
    client.post(action)
    assert not types_of(user)
    assert SecurityEvent.objects.filter(event="passkey.removed", subject=user, actor=staff).exists()


# Without HTTPS


def test_passkeys_are_hidden_without_https(user, settings):
    settings.MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
    client = browser(user)
    assert "asskey" not in client.get(PAGE).content.decode()
    for path in (LIST, ADD):
        response = client.get(path)
        assert response["Location"] == PAGE
        assert said(response)[-1].startswith("info: Passkeys need a secure connection (https)")
    assert client.post(ADD, {"passkey": "{}"})["Location"] == PAGE
    assert not types_of(user)


def test_passkey_from_before_still_stands_in_the_way_without_https(user, settings):
    """A service that went back to http asks for the second step all the same: a recovery code opens it."""
    codes = codes_on(add(browser(user)))
    key = give_passkey(user)
    answer = key.sign(request_on((client := after_password(user)).get(CODE)))
    settings.MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
    assert "data-passkey=" not in client.get(CODE).content.decode()
    assert client.post(CODE, {"passkey": json.dumps(answer)}).status_code == 422
    assert client.post(CODE, {"code": codes[0]})["Location"] == "/"
    assert client.post(path_of(passkeys_of(user)[0], "remove/"))["Location"] == LIST


@pytest.mark.parametrize(("https", "offered"), [("1", True), ("0", False)])
def test_setting_https_offers_them(https, offered, tmp_path):
    program = "from stepper import settings; print('webauthn' in settings.MFA_SUPPORTED_TYPES)"
    environ = {"DATA_DIR": str(tmp_path), "HTTPS": https, "PATH": ""}
    found = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(offered)


# Mails, export


@pytest.fixture
def _mails(settings: Any) -> None:
    settings.MAIL_OFFERED = True


@pytest.mark.usefixtures("_mails")
def test_owner_is_mailed_of_each_change(user, monkeypatch):
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "stepper.mail.sending.send", lambda name, to, *, language, context: told.append((to, context["change"]))
    )
    client = browser(user)
    add(client)
    add(client)
    for row in passkeys_of(user):
        client.post(path_of(row, "remove/"))
    assert [change for _to, change in told] == ["passkey_added", "passkey_added", "passkey_removed", "off"]
    assert {to for to, _change in told} == {user.email}


def test_mail_says_what_changed(user):
    for change, words in (("passkey_added", "a passkey was added"), ("off", "switched off")):
        message = sending.write("factor_changed", user.email, language="en", context={"user": user, "change": change})
        assert "how you sign in was changed" in message.subject
        assert words in message.body


def test_export_has_the_name_and_not_the_key(user):
    give_second_factor(user)
    give_passkey(user, "Laptop")
    found = json.loads(write(Person(user_id=user.pk, driver_id=None, language="en")))["second_factors"]
    assert sorted((row["type"], row["data"]) for row in found if row["data"]) == [("webauthn", {"name": "Laptop"})]
    assert {row["type"] for row in found} == {"webauthn", "totp", "recovery_codes"}


def test_erased_person_leaves_no_passkey(user):
    give_passkey(user)
    erasing.erase(erasing.Person(user_id=user.pk, driver_id=None, language="en"))
    assert not Authenticator.objects.exists()
