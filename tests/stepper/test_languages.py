"""Languages: whose choice counts, the switch, and that nothing is offered without a catalogue."""

import os
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from django.conf import settings
from django.test import Client
from django.utils.translation import get_language, override
from rest_framework.test import APIClient

from realtime.delivery.notifications import notify
from stepper import languages
from stepper.checks import warn_of_stale_catalogues
from stepper.models import ServiceSettings, User
from tests.backoffice import signed_in
from tests.factories import PASSWORD, DriverFactory, PassengerFactory, StaffFactory

# The same middleware and templates on both set-ups.
pytestmark = [pytest.mark.embedded_only, pytest.mark.django_db]

ALL = list(languages.NAMES.items())
COOKIE = settings.LANGUAGE_COOKIE_NAME
SWITCH = b'data-testid="language-switch"'


@pytest.fixture
def all_offered(settings):
    settings.LANGUAGES = ALL


@pytest.fixture
def english_alone(settings):
    settings.LANGUAGES = [("en", "English")]


def language_of(client: Client, address: str = "/", browser: str = "") -> str:
    response = client.get(address, follow=True, headers={"Accept-Language": browser} if browser else {})
    html = response.content.decode()
    assert f'<html lang="{response["Content-Language"]}"' in html
    return response["Content-Language"]


@pytest.mark.usefixtures("all_offered")
def test_account_counts_before_cookie_and_cookie_before_browser():
    client = Client()
    assert language_of(client) == "en"
    assert language_of(client, browser="ru-RU,ru;q=0.9,en;q=0.1") == "ru"
    client.cookies[COOKIE] = "kk"
    assert language_of(client, browser="ru") == "kk"
    client.force_login(PassengerFactory(language="en"))
    assert language_of(client, browser="ru") == "en"


@pytest.mark.usefixtures("english_alone")
def test_language_without_catalogue_is_not_offered(mailoutbox):
    user = PassengerFactory(language="kk")
    assert language_of(Client(), browser="kk,ru;q=0.8") == "en"
    assert language_of(signed_in(user)) == "en"
    assert SWITCH not in Client().get("/").content
    assert Client().post("/language/", {"language": "kk"}).status_code == 400
    assert notify(user, "Yes", audience="passenger").title == "Yes"
    assert user.offered_language == "en"


def test_languages_with_a_compiled_catalogue_are_found(tmp_path: Path):
    assert languages.find_offered(tmp_path) == [("en", "English")]
    (tmp_path / "ru" / "LC_MESSAGES").mkdir(parents=True)
    (tmp_path / "ru" / "LC_MESSAGES" / "django.mo").touch()
    assert languages.find_offered(tmp_path) == [("ru", "Русский"), ("en", "English")]


def test_start_warns_of_a_catalogue_that_is_not_compiled_or_old(tmp_path: Path):
    source = tmp_path / "kk" / "LC_MESSAGES" / "django.po"
    source.parent.mkdir(parents=True)
    source.touch()
    assert [one.id for one in warn_of_stale_catalogues(tmp_path)] == ["stepper.W003"]
    made = source.with_suffix(".mo")
    made.touch()
    os.utime(source, (1, 1))
    assert warn_of_stale_catalogues(tmp_path) == []
    os.utime(made, (0, 0))
    assert [one.id for one in warn_of_stale_catalogues(tmp_path)] == ["stepper.W003"]


@pytest.mark.usefixtures("all_offered")
@pytest.mark.parametrize(("own", "shown"), [("kk", "ru"), ("ru", "ru"), ("en", "en")])
def test_administration_is_english_or_russian(own: str, shown: str):
    assert language_of(signed_in(StaffFactory(language=own)), "/admin/") == shown


@pytest.mark.usefixtures("all_offered")
@pytest.mark.parametrize("factory", [PassengerFactory, DriverFactory])
def test_switch_stores_the_choice_and_shows_the_page_again(factory):
    row = factory()
    user = row if isinstance(row, User) else row.user
    client = signed_in(user)
    page = client.get("/account/").content
    assert page.count(SWITCH) == 1
    response = client.post("/language/", {"language": "ru"}, headers={"Referer": "http://testserver/accounts/?x=1"})
    assert (response.status_code, response["Location"]) == (302, "/accounts/?x=1")
    user.refresh_from_db()
    assert user.language == "ru"
    assert language_of(client, "/account/") == "ru"
    # Signed out, the browser keeps it.
    client.logout()
    client.cookies[COOKIE] = response.cookies[COOKIE].value
    assert language_of(client) == "ru"


@pytest.mark.usefixtures("all_offered")
def test_stranger_chooses_for_this_browser():
    client = Client()
    assert client.get("/").content.count(SWITCH) == 1
    response = client.post("/language/", {"language": "kk"}, headers={"Referer": "https://elsewhere.example/trap"})
    assert response["Location"] == "/"
    cookie = response.cookies[COOKIE]
    assert (cookie.value, cookie["max-age"], cookie["httponly"], cookie["samesite"]) == ("kk", 31536000, True, "Lax")
    assert language_of(client) == "kk"


def test_page_that_says_no_referrer_is_named_by_its_form():
    """A browser tells nothing but the host of a shared trip's page."""
    sent = {"language": "kk", "next": "/t/a-link/?x=1"}
    assert Client().post("/language/", sent, headers={"Referer": "http://testserver/"})["Location"] == "/t/a-link/?x=1"
    assert 'name="next" value="/help/?x=1"' in Client().get("/help/?x=1").content.decode()


OTHER_HOSTS = ["//evil.example/x", "///evil.example/x", "/\\evil.example/x", "\\\\evil.example/x", "//evil.example\\@x"]


@pytest.mark.parametrize("path", OTHER_HOSTS)
def test_switch_leads_to_no_host_that_a_path_of_ours_names(path: str):
    response = Client().post("/language/", {"language": "kk"}, headers={"Referer": f"http://testserver{path}"})
    assert response.status_code == 302
    assert urljoin("http://testserver/language/", response["Location"]).startswith("http://testserver/")
    assert not response["Location"].startswith(("//", "/\\", "\\"))
    named = Client().post("/language/", {"language": "kk", "next": path})
    assert urljoin("http://testserver/language/", named["Location"]).startswith("http://testserver/")
    assert not named["Location"].startswith(("//", "/\\", "\\"))


@pytest.mark.usefixtures("all_offered")
def test_switch_takes_offered_languages_from_its_form_alone():
    user = PassengerFactory()
    client = signed_in(user)
    assert client.get("/language/").status_code == 405
    for wrong in ({}, {"language": "de"}, {"language": "ru-RU"}):
        assert client.post("/language/", wrong).status_code == 400
    assert Client(enforce_csrf_checks=True).post("/language/", {"language": "ru"}).status_code == 403
    user.refresh_from_db()
    assert user.language == "en"


@pytest.mark.usefixtures("all_offered")
def test_switching_is_limited():
    ServiceSettings.objects.update_or_create(pk=1, defaults={"light_per_min": 1})
    client = signed_in(PassengerFactory())
    answers = [client.post("/language/", {"language": code}).status_code for code in ("ru", "kk")]
    assert answers == [302, 429]


@pytest.mark.usefixtures("all_offered")
def test_new_account_has_the_language_of_the_page():
    client = Client()
    client.cookies[COOKIE] = "kk"
    form = {"name": "Aigerim", "phone": "+7 701 234 56 78", "password1": "correct-horse-battery"}
    client.post("/accounts/signup/", form, headers={"Accept-Language": "ru"})
    assert User.objects.get().language == "kk"


@pytest.mark.usefixtures("all_offered")
def test_program_says_its_language_or_gets_its_accounts():
    user = PassengerFactory(language="ru")
    client = APIClient()
    body = {"email": user.email, "password": PASSWORD}
    token = client.post("/api/token", body, format="json").json()["access"]
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    assert client.get("/api/me")["Content-Language"] == "ru"
    assert client.get("/api/me", headers={"Accept-Language": "kk"})["Content-Language"] == "kk"


@pytest.mark.usefixtures("all_offered")
@pytest.mark.parametrize(
    ("account", "accepted", "said"), [("en", "ru", "Successfully signed in as"), ("ru", "en", "Вы вошли")]
)
def test_signing_in_is_said_in_the_language_of_the_account(account, accepted, said):
    user = PassengerFactory(language=account)
    client = Client(headers={"Accept-Language": accepted})
    page = client.post("/accounts/login/", {"login": user.email, "password": PASSWORD}, follow=True)
    assert said in page.content.decode()


@pytest.mark.usefixtures("all_offered")
def test_sign_in_outside_of_a_page_leaves_the_language_alone():
    with override("en"):
        Client().force_login(PassengerFactory(language="kk"))
        assert get_language() == "en"


@pytest.mark.usefixtures("all_offered")
@pytest.mark.parametrize("address", ["/accounts/logout/", "/accounts/sessions/end-all/"])
def test_signing_out_is_said_in_the_language_of_the_page_that_follows(address):
    client = Client(headers={"Accept-Language": "ru"})
    user = PassengerFactory(language="kk")
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    page = client.post(address, follow=True)
    assert page["Content-Language"] == "ru"
    assert re.search("Вы вышли|Вы выш", page.content.decode())


@pytest.mark.usefixtures("all_offered")
def test_signing_in_to_the_administration_is_said_in_its_language():
    staff = StaffFactory(language="kk")
    page = Client().post(
        "/accounts/login/?next=/admin/", {"login": staff.email, "password": PASSWORD, "next": "/admin/"}, follow=True
    )
    assert "Вы вошли" in page.content.decode()
