"""The account page: one page for everybody, its earlier address, the name, and proving the present e-mail."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from stepper.accounts import addresses, profile
from stepper.errors import Conflict, DomainError, InvalidInput, NotPermitted
from stepper.models import ServiceSettings, User
from tests.backoffice import signed_in
from tests.factories import DriverFactory, PassengerFactory, StaffFactory

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/account/"


@pytest.mark.parametrize("who", ["passenger", "driver", "staff"])
def test_page_leads_everybody_to_everything(who: str) -> None:
    user = {"passenger": PassengerFactory.create, "staff": StaffFactory.create}.get(
        who, lambda: DriverFactory.create().user
    )()
    html = signed_in(user).get(PAGE).content.decode()
    for part in (
        *(f'href="{page}"' for page in ("/account/places/", "/notifications/push/", "/accounts/password/change/")),
        *(f'href="{page}"' for page in ("/accounts/two-step/", "/accounts/sessions/")),
        *(f'href="{page}"' for page in ("/account/export/", "/account/erase/")),
        'action="/accounts/sessions/end-all/"',
        user.email,
        str(user.phone),
    ):
        assert part in html, part
    assert ('href="/driver/settings/"' in html.partition("<main")[2]) is (who == "driver")
    assert ('action="/account/name/"' in html) is (who != "driver")


def test_earlier_address_leads_here_and_keeps_what_is_sent() -> None:
    client = signed_in(PassengerFactory.create())
    asked, sent = client.get("/accounts/"), client.post("/accounts/", {"email": "x"})
    assert [(one.status_code, one["Location"]) for one in (asked, sent)] == [(301, PAGE), (308, PAGE)]


@pytest.mark.parametrize("is_set", [True, False])
@pytest.mark.parametrize("page", [PAGE, "/driver/settings/", "/accounts/password/reset/"])
def test_page_sends_nobody_to_staff_without_a_contact(page: str, is_set: bool) -> None:
    if is_set:
        ServiceSettings(pk=1, support_phone="+77015550000").save()
    client = signed_in(DriverFactory.create().user) if "password" not in page else Client()
    words = client.get(page).content.decode().partition("<main")[2].replace("ask our staff", "Ask our staff")
    assert any(one in words for one in ("How to reach them", "Ask our staff")) is is_set


def test_help_says_what_else_helps_without_a_contact() -> None:
    page = Client().get("/help/").content.decode().partition("<main")[2]
    assert all(f'href="{one}"' in page for one in ("/trips/", "/account/", "tel:112"))
    ServiceSettings(pk=1, support_phone="+77015550000").save()
    page = Client().get("/help/").content.decode().partition("<main")[2]
    assert 'href="tel:+77015550000"' in page
    assert "tel:112" not in page


# The name


def test_name_is_changed_and_cleaned() -> None:
    user = PassengerFactory.create()
    client = signed_in(user)
    assert client.post("/account/name/", {"name": " Aigul \u202e  Serik "})["Location"] == PAGE
    user.refresh_from_db()
    assert user.name == "Aigul Serik"
    refused = client.post("/account/name/", {"name": " "})
    assert refused.status_code == 422
    assert 'aria-invalid="true"' in refused.content.decode()


@pytest.mark.parametrize(("name", "is_refused"), [("", True), ("x" * 80, False), ("x" * 81, True)])
def test_name_has_a_length(name: str, is_refused: bool) -> None:
    user = PassengerFactory.create(name="Before")
    if is_refused:
        with pytest.raises(InvalidInput):
            profile.rename(user, name)
    else:
        profile.rename(user, name)
    assert (User.objects.get(pk=user.pk).name == "Before") is is_refused


def test_driver_is_called_as_on_the_licence() -> None:
    user = DriverFactory.create().user
    with pytest.raises(Conflict) as raised:
        profile.rename(user, "Somebody Else")
    assert raised.value.code == "account.name_fixed"
    assert signed_in(user).post("/account/name/", {"name": "Somebody Else"}).status_code == 422


def test_renaming_is_limited() -> None:
    ServiceSettings(pk=1, changes_per_min=1).save()
    client = signed_in(PassengerFactory.create())
    assert [client.post("/account/name/", {"name": f"N{one}"}).status_code for one in range(2)] == [302, 429]


# Proving the present e-mail


def link() -> str:
    [found] = re.findall(r"https://go\.example\.test(/accounts/e-mail/\S+/)", str(mail.outbox[-1].body))
    return str(found)


def test_present_address_is_proven_by_a_link() -> None:
    user = PassengerFactory.create(email="aigul@x.kz")
    client = signed_in(user)
    assert "Confirm your e-mail" in client.get(PAGE).content.decode()
    assert client.post("/account/e-mail/")["Location"] == PAGE
    assert mail.outbox[-1].to == ["aigul@x.kz"]
    client.get(link())
    assert not addresses.is_proven(user)
    client.post(link())
    assert addresses.is_proven(user)
    html = client.get(PAGE).content.decode()
    assert "Your e-mail is confirmed." in html
    assert 'data-testid="email-prove"' not in html
    # Nothing changed, so there is nobody to tell.
    assert len(mail.outbox) == 1


def test_link_is_for_the_account_that_asked() -> None:
    user, stranger = PassengerFactory.create(), PassengerFactory.create()
    signed_in(user).post("/account/e-mail/")
    assert signed_in(stranger).post(link()).status_code == 409
    assert not addresses.is_proven(user)


def proven(user: User) -> None:
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)


@pytest.mark.parametrize(
    ("email", "prepare", "kind", "code"),
    [
        (None, lambda _user: None, NotPermitted, "address.missing"),
        ("aigul@x.kz", proven, Conflict, "address.proven"),
    ],
)
def test_what_needs_no_proof_is_refused(email: str | None, prepare: object, kind: type[DomainError], code: str) -> None:
    user = PassengerFactory.create(email=email)
    assert callable(prepare)
    prepare(user)
    with pytest.raises(kind) as raised:
        addresses.request_proof(user, base_url="https://x")
    assert raised.value.code == code
    assert mail.outbox == []


def test_proof_of_an_address_ends_with_it() -> None:
    user = PassengerFactory.create(email="aigul@x.kz")
    proven(user)
    user.email = "other@x.kz"
    user.save()
    assert not addresses.is_proven(user)


def test_links_are_limited() -> None:
    client = signed_in(PassengerFactory.create())
    answers = [
        client.post("/account/e-mail/").status_code for _time in range(addresses.CHANGES_TO_ADDRESS_PER_HOUR + 1)
    ]
    assert answers == [302] * addresses.CHANGES_TO_ADDRESS_PER_HOUR + [429]
