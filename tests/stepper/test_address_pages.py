"""The account page: what it shows whom, and the way from a new address to the button that confirms it."""

import re

import pytest
from django.core import mail as django_mail
from django.core.cache import cache
from django.test import Client

from stepper.accounts.addresses import CHANGES_PER_HOUR
from stepper.models import AddressChange, ServiceSettings, User
from tests.factories import PASSWORD, PassengerFactory

pytestmark = pytest.mark.django_db(transaction=True)

NEW = "new@example.test"


@pytest.fixture(autouse=True)
def _fresh_counters():
    cache.clear()


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


def without_password(**fields):
    user = PassengerFactory(**fields)
    user.set_unusable_password()
    user.save()
    return user


def ask(client, email=NEW, proof=PASSWORD, **extra):
    return client.post("/account/", {"email": email, "proof": proof}, **extra)


def link():
    [found] = re.findall(r"https://go\.example\.test(/accounts/e-mail/\S+/)", str(django_mail.outbox[-1].body))
    return found


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("path", ["/account/", "/accounts/e-mail/code/", "/accounts/e-mail/some-token/"])
def test_signed_out_people_sign_in_first_and_come_back(path, method):
    response = getattr(Client(), method)(path)
    if (path, method) == ("/accounts/e-mail/code/", "get"):
        assert response.status_code == 405
        return
    assert response.url == f"/accounts/login/?next={path}"


def test_page_shows_address_and_phone_and_who_changes_the_phone(settings):
    settings.SMS_PROVIDER = None
    ServiceSettings(pk=1, support_phone="+77015550000").save()
    user = PassengerFactory(email="old@example.test", phone="+77012345678")
    page = signed_in(user).get("/account/").content.decode()
    assert "old@example.test" in page
    assert "+77012345678" in page
    assert "Our staff change your phone number" in page
    assert "Our staff change your e-mail" not in page
    assert 'type="password"' in page
    assert 'class="menu__item" href="/account/"' in page


def test_address_changes_by_the_link_and_a_button():
    user = PassengerFactory(email="old@example.test")
    client = signed_in(user)
    assert ask(client).url == "/account/"
    page = client.get("/account/").content.decode()
    assert f"We sent a link to {NEW}" in page
    assert PASSWORD not in page
    confirmation = client.get(link())
    assert NEW in confirmation.content.decode()
    # Opened by a program that looks into mails: nothing has changed yet.
    assert User.objects.get(pk=user.pk).email == "old@example.test"
    assert client.post(link()).url == "/account/"
    assert User.objects.get(pk=user.pk).email == NEW
    page = client.get("/account/").content.decode()
    assert "Your e-mail is changed." in page
    assert "It works until" not in page


def test_link_names_the_public_address_whatever_the_host():
    client = signed_in(PassengerFactory(email="old@example.test"))
    ask(client, headers={"host": "localhost:81"})
    assert link()
    assert "localhost" not in django_mail.outbox[0].body


@pytest.mark.parametrize(
    ("email", "proof", "status", "at"),
    [
        ("", PASSWORD, 422, "email"),
        ("nobody", PASSWORD, 400, "email"),
        (NEW, "", 422, "proof"),
        (NEW, "x", 400, "proof"),
    ],
)
def test_refusal_stands_at_its_field(email, proof, status, at):
    response = ask(signed_in(PassengerFactory()), email, proof)
    assert (response.status_code, set(response.context["form"].errors)) == (status, {at})
    assert 'aria-invalid="true"' in response.content.decode()
    assert django_mail.outbox == []


def test_free_and_taken_address_are_answered_alike_until_the_link_is_opened():
    PassengerFactory(email="taken@example.test")
    pages = {}
    for email in ("taken@example.test", "free@example.test"):
        user = PassengerFactory(name="Aliya", email=None)
        client = signed_in(user)
        response = ask(client, email, follow=True)
        main = response.content.decode().partition("<main")[2].replace(email, "…").replace(str(user.phone), "…")
        pages[email] = response.redirect_chain, re.sub(r'value="\w{64}"|\d\d?:\d\d', "…", main)
        if email == "taken@example.test":
            response = client.post(link())
            assert response.status_code == 409
            assert "Another account has this e-mail" in response.content.decode()
    assert pages["taken@example.test"] == pages["free@example.test"]
    assert len(django_mail.outbox) == 2


def test_link_of_somebody_else_is_refused():
    ask(signed_in(PassengerFactory()))
    stranger = signed_in(PassengerFactory(email="stranger@example.test"))
    for response in (stranger.get(link()), stranger.post(link())):
        assert response.status_code == 409
        assert "This link no longer works" in response.content.decode()
        assert NEW not in response.content.decode()


def test_too_many_say_when_to_come_back():
    client = signed_in(PassengerFactory())
    for _change in range(CHANGES_PER_HOUR):
        ask(client, proof="wrong")
    response = ask(client)
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= 3600


def test_account_without_a_password_gets_a_code_first():
    client = signed_in(without_password(email="old@example.test"))
    page = client.get("/account/").content.decode()
    assert "We send a code to old@example.test first" in page
    assert 'autocomplete="one-time-code"' in page
    assert ask(client, proof="").status_code == 422
    client.post("/accounts/e-mail/code/")
    [code] = re.findall(r"^\d{6}$", str(django_mail.outbox[0].body), re.MULTILINE)
    assert ask(client, proof=code).status_code == 302
    assert client.post(link()).status_code == 302
    assert User.objects.get().email == NEW


def test_account_with_neither_password_nor_address_is_sent_to_staff(settings):
    settings.SMS_PROVIDER = None
    ServiceSettings(pk=1, support_phone="+77015550000").save()
    client = signed_in(without_password(email=None))
    page = client.get("/account/").content.decode()
    assert "Ask our staff" in page
    assert 'name="proof"' not in page
    for proof in ("", "!", PASSWORD):
        ask(client, proof=proof)
    client.post("/accounts/e-mail/code/")
    assert (AddressChange.objects.count(), django_mail.outbox) == (0, [])


@pytest.mark.parametrize(
    ("language", "address", "number"),
    [
        ("ru", "Почту меняет диспетчер", "Номер телефона меняет диспетчер"),
        ("kk", "Поштаңызды диспетчер өзгертеді", "Телефон нөміріңізді диспетчер өзгертеді"),
    ],
)
def test_who_changes_what_is_said_without_a_pronoun(settings, language, address, number):
    """ "It" has a gender in Russian, and the address and the number have not the same."""
    settings.MAIL_OFFERED, settings.PUBLIC_URL, settings.SMS_PROVIDER = False, "", None
    ServiceSettings(pk=1, support_phone="+77015550000").save()
    page = signed_in(PassengerFactory(language=language)).get("/account/").content.decode()
    assert address in page
    assert number in page


def test_without_a_mail_server_staff_change_it(settings):
    settings.MAIL_OFFERED, settings.PUBLIC_URL, settings.SMS_PROVIDER = False, "", None
    ServiceSettings(pk=1, support_phone="+77015550000").save()
    client = signed_in(PassengerFactory(email="old@example.test"))
    page = client.get("/account/").content.decode()
    assert "Our staff change your phone number" in page
    assert "Our staff change your e-mail" in page
    assert 'name="proof"' not in page
    assert ask(client).status_code == 409
    assert AddressChange.objects.count() == 0


@pytest.mark.parametrize("path", ["/account/", "/accounts/e-mail/some-token/"])
def test_pages_take_no_other_verb(path):
    assert signed_in(PassengerFactory()).delete(path).status_code == 405
