"""Sign-up and sign-in by e-mail or phone, and the landing page."""

import pytest
from django.db import IntegrityError
from django.test import Client

from stepper import languages
from stepper.accounts.adapter import AccountAdapter, normal_phone
from stepper.models import User
from tests.factories import PASSWORD, DriverFactory, PassengerFactory

pytestmark = pytest.mark.django_db

NEW = {"name": "Aigerim  Kassymova ", "phone": "8 701 234 56 78", "email": "", "password1": "a long walk home"}


def sign_up(**changes):
    client = Client(headers=changes.pop("headers", None))
    return client, client.post("/accounts/signup/", {**NEW, **changes})


def sign_in(login, password=PASSWORD, **query):
    return Client().post("/accounts/login/", {"login": login, "password": password}, query_params=query)


def test_sign_up_by_phone():
    client, response = sign_up()
    assert response.url == "/book/?welcome"
    user = User.objects.get()
    assert (user.name, str(user.phone), user.email) == ("Aigerim Kassymova", "+77012345678", None)
    assert client.get("/").url == "/trips/"


def test_sign_up_by_email():
    sign_up(phone="", email="Aigerim@Example.test")
    user = User.objects.get()
    assert (user.email, user.phone) == ("aigerim@example.test", None)


def test_two_people_without_an_email_do_not_collide():
    sign_up()
    _client, response = sign_up(phone="+7 701 234 56 79")
    assert response.status_code == 302
    assert User.objects.filter(email=None).count() == 2


def test_sign_up_needs_phone_or_email():
    _client, response = sign_up(phone="")
    assert response.context["form"].errors == {"phone": ["Enter your phone number or your e-mail."]}


@pytest.mark.parametrize(
    ("field", "value"),
    [("phone", "12"), ("email", "nobody"), ("name", " "), ("password1", "12345678"), ("password1", "short")],
)
def test_sign_up_says_at_the_field_what_is_wrong(field, value):
    _client, response = sign_up(**{field: value})
    assert field in response.context["form"].errors
    assert not User.objects.exists()


def test_sign_up_with_a_taken_phone_or_email_says_so():
    PassengerFactory(phone="+77012345678", email="a@example.test")
    _client, response = sign_up(phone="+7 701 234-56-78", email="A@example.test")
    assert set(response.context["form"].errors) == {"phone", "email"}
    assert User.objects.count() == 1


def test_sign_up_twice_is_one_account():
    client, _response = sign_up()
    assert client.post("/accounts/signup/", NEW).status_code == 302
    _other, response = sign_up()
    assert "phone" in response.context["form"].errors
    assert User.objects.count() == 1


def test_sign_up_that_loses_a_race_gets_the_same_answer(monkeypatch):
    """The same form twice at once: both pass the check, the second insert fails."""

    def save_user(self, request, user, form, commit=True):
        PassengerFactory(phone="+77012345678")
        raise IntegrityError("UNIQUE constraint failed: stepper_user.phone")

    checked = []

    def get_user_by_phone(self, phone):
        checked.append(phone)
        return None if len(checked) == 1 else User(phone=phone)

    monkeypatch.setattr(AccountAdapter, "save_user", save_user)
    monkeypatch.setattr(AccountAdapter, "get_user_by_phone", get_user_by_phone)
    _client, response = sign_up()
    assert response.status_code == 200
    assert "There is an account with this phone number already" in response.content.decode()


@pytest.mark.parametrize(("browser", "language"), [("kk", "kk"), ("ru-RU,ru;q=0.9", "ru"), ("de,fr", "en")])
def test_new_user_has_the_browsers_language(browser, language, settings):
    settings.LANGUAGES = list(languages.NAMES.items())
    sign_up(headers={"accept-language": browser})
    assert User.objects.get().language == language


@pytest.mark.parametrize("login", ["a@example.test", "A@Example.test", "+77012345678", "8 (701) 234-56-78"])
def test_sign_in_by_either(login):
    PassengerFactory(phone="+77012345678", email="a@example.test")
    assert sign_in(login).url == "/"


def test_sign_in_leads_to_where_one_was_going():
    PassengerFactory(email="a@example.test")
    assert sign_in("a@example.test", next="/book/").url == "/book/"


def test_wrong_password_is_said_at_the_password():
    PassengerFactory(email="a@example.test")
    assert sign_in("a@example.test", "wrong").context["form"].errors["password"] == [
        "This e-mail and password do not belong together."
    ]


def test_neither_email_nor_phone_is_said_at_the_field():
    assert set(sign_in("aigerim").context["form"].errors) == {"login"}


def test_closed_account_does_not_get_in():
    PassengerFactory(email="a@example.test", is_active=False)
    assert sign_in("a@example.test").url == "/accounts/inactive/"


def test_sign_out_needs_a_post():
    client = Client()
    client.force_login(PassengerFactory())
    assert client.get("/accounts/logout/").status_code == 200
    assert client.get("/trips/").status_code == 200
    client.post("/accounts/logout/")
    assert client.get("/trips/").status_code == 302


def test_adapter_knows_phones_in_any_spelling():
    user = PassengerFactory(phone="+77012345678")
    adapter = AccountAdapter()
    assert adapter.get_user_by_phone("8 701 234 56 78") == user
    assert adapter.get_user_by_phone("nonsense") is None
    assert adapter.get_phone(user) == ("+77012345678", True)
    adapter.set_phone(user, "+77012345679", False)
    user.refresh_from_db()
    assert (str(user.phone), user.has_verified_phone) == ("+77012345679", False)


@pytest.mark.parametrize(
    ("text", "phone"), [("8 701 234 56 78", "+77012345678"), ("+49 30 901820", "+4930901820"), ("7", None), ("x", None)]
)
def test_normal_phone(text, phone):
    assert normal_phone(text) == phone


def test_landing_is_for_the_signed_out():
    assert b"Create an account" in Client().get("/").content


def test_driver_starts_at_the_dashboard():
    client = Client()
    client.force_login(DriverFactory().user)
    assert client.get("/")["Location"] == "/driver/"


@pytest.mark.parametrize(
    "path", ["/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/accounts/password/reset/done/"]
)
def test_entrance_page_renders(path):
    response = Client().get(path)
    assert response.status_code == 200
    assert b"<h1>" in response.content


def test_unknown_page_is_in_our_look():
    response = Client().get("/nowhere/")
    assert response.status_code == 404
    assert b"Nothing here" in response.content
